//! Percentages that compare exactly.
//!
//! Held in hundredths of a percent and compared in whole numbers: a drop of exactly the limit must
//! pass and one record more must not, on every size of source.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest percentage: additions may be many times what was there.
const HUNDREDTHS_MAX: u32 = 1_000_000;

/// A percentage with up to two decimals, from 0 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent {
    hundredths: u32,
}

/// Why a number is no percentage.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{number} is not a percentage: 0 to 10000, with two decimals at most")]
pub struct PercentError {
    number: f64,
}

impl Percent {
    /// So many percent.
    pub const fn whole(percent: u8) -> Self {
        Self { hundredths: percent as u32 * 100 }
    }

    /// Takes a number as people write it.
    pub fn new(number: f64) -> Result<Self, PercentError> {
        let hundredths = (number * 100.0).round();
        // 0.07 * 100 is not 7 in binary; what differs by less than this was written with two
        // decimals. The comparison fails for NaN.
        let written = (number * 100.0 - hundredths).abs() < 1e-6;
        if !(written && (0.0..=f64::from(HUNDREDTHS_MAX)).contains(&hundredths)) {
            return Err(PercentError { number });
        }
        Ok(Self { hundredths: hundredths as u32 })
    }

    /// What is left to all, as a fraction: 0.05 of 95 %; nothing from 100 % on.
    pub(crate) fn complement(self) -> f64 {
        f64::from(10_000_u32.saturating_sub(self.hundredths)) / 10_000.0
    }

    /// The largest part of `whole` that does not exceed this share.
    pub fn of(self, whole: u64) -> u64 {
        let part = u128::from(whole) * u128::from(self.hundredths) / 10_000;
        u64::try_from(part).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.hundredths / 100, self.hundredths % 100);
        match rest {
            0 => write!(f, "{whole} %"),
            rest if rest % 10 == 0 => write!(f, "{whole}.{} %", rest / 10),
            rest => write!(f, "{whole}.{rest:02} %"),
        }
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.hundredths.is_multiple_of(100) {
            serializer.serialize_u32(self.hundredths / 100)
        } else {
            serializer.serialize_f64(f64::from(self.hundredths) / 100.0)
        }
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
