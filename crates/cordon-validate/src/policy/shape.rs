//! How unusual a step may be: the detector's switch and its thresholds.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::detect::{HOLD, READ_AGAIN};
use crate::words::count;

/// Whether the shape of a step is held against history, and what becomes of an unusual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// The detector looks. Where it does not, nothing is measured and nothing learnt either.
    pub is_on: bool,
    /// From here on a step is held.
    pub hold: Unusual,
    /// From here on the source is read again first.
    pub read_again: Unusual,
}

impl Default for Shape {
    fn default() -> Self {
        Self { is_on: true, hold: Unusual::nearest(HOLD), read_again: Unusual::nearest(READ_AGAIN) }
    }
}

/// How unusual something is, in powers of ten: 2 is what one sync in a hundred has. Held in
/// hundredths, so that policies compare exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unusual {
    hundredths: u16,
}

/// Why a number says of nothing how unusual it is.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{number} is no threshold: 0.5 to 12, with two decimals at most")]
pub struct UnusualError {
    number: f64,
}

impl Unusual {
    /// Takes a number as people write it.
    pub fn new(number: f64) -> Result<Self, UnusualError> {
        let hundredths = (number * 100.0).round();
        let written = (number * 100.0 - hundredths).abs() < 1e-6;
        if !(written && (50.0..=1_200.0).contains(&hundredths)) {
            return Err(UnusualError { number });
        }
        Ok(Self { hundredths: hundredths as u16 })
    }

    fn nearest(number: f64) -> Self {
        Self { hundredths: (number * 100.0).round().clamp(50.0, 1_200.0) as u16 }
    }

    /// The threshold as a number.
    pub fn powers(self) -> f64 {
        f64::from(self.hundredths) / 100.0
    }
}

impl fmt::Display for Unusual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one sync in {}", count(10_f64.powf(self.powers()).round() as u64))
    }
}

impl Serialize for Unusual {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.powers())
    }
}

impl<'de> Deserialize<'de> for Unusual {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// What a configuration says of it: `"off"`, `"on"`, or thresholds, which turn it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"off\", \"on\" or { hold = 2.5, read_again = 1.2 }, each from 0.5 to 12"
)]
pub enum ShapePatch {
    /// Nothing but whether the detector looks.
    Switch(Switch),
    /// Thresholds; what is absent stays as it was.
    Thresholds(Thresholds),
}

/// Whether the detector looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// It does.
    On,
    /// It does not.
    Off,
}

/// What a configuration says of thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// See [`Shape::hold`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Unusual>,
    /// See [`Shape::read_again`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_again: Option<Unusual>,
}

impl Shape {
    pub(super) fn overlaid(self, patch: ShapePatch) -> Self {
        match patch {
            ShapePatch::Switch(switch) => Self { is_on: switch == Switch::On, ..self },
            ShapePatch::Thresholds(thresholds) => Self {
                is_on: true,
                hold: thresholds.hold.unwrap_or(self.hold),
                read_again: thresholds.read_again.unwrap_or(self.read_again),
            },
        }
    }

    pub(super) fn in_words(self) -> String {
        if !self.is_on {
            return "not looked at".to_owned();
        }
        format!("read again when as rare as {}, quarantine as {}", self.read_again, self.hold)
    }
}
