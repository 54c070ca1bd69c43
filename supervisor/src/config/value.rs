//! Values with units: `128MiB`, `15m`, `25%`, `1s..5m`, `100/min`.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// A number of bytes, written with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

/// A time span, written with units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

/// Percent of one core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Percent(pub(super) u32);

/// Two time spans, `from..to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spans(pub(super) RangeInclusive<Duration>);

/// So many in a time, `100/min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnitsPer(pub(super) u64, pub(super) Duration);

/// Reads `15m` or `2h 30m`.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let refused = || format!("{text:?} is no time span; write it like \"15m\" or \"2h 30m\"");
    let span: jiff::SignedDuration = text.parse().map_err(|_| refused())?;
    let duration = Duration::try_from(span).map_err(|_| refused())?;
    if duration.is_zero() || duration > Duration::from_secs(366 * 86_400) {
        return Err(format!("{text:?} is not between 1 ms and one year"));
    }
    Ok(duration)
}

fn bytes(text: &str) -> Result<u64, String> {
    let refused = || format!("{text:?} is no size; write it like \"128MiB\" or \"2GiB\"");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| refused())?;
    let factor = match unit.trim() {
        "B" | "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1u64 << 40,
        _ => return Err(refused()),
    };
    number.checked_mul(factor).filter(|bytes| *bytes > 0).ok_or_else(refused)
}

fn percent(text: &str) -> Result<u32, String> {
    text.strip_suffix('%')
        .and_then(|number| number.trim().parse().ok())
        .filter(|percent| (1..=100_000).contains(percent))
        .ok_or_else(|| format!("{text:?} is no share of a core; write it like \"50%\""))
}

fn spans(text: &str) -> Result<RangeInclusive<Duration>, String> {
    let (from, to) = text
        .split_once("..")
        .ok_or_else(|| format!("{text:?} is no range; write it like \"1s..5m\""))?;
    let (from, to) = (span(from.trim())?, span(to.trim())?);
    if from > to {
        return Err(format!("{text:?} runs backwards"));
    }
    Ok(from..=to)
}

fn units_per(text: &str) -> Result<UnitsPer, String> {
    let refused = || format!("{text:?} is no rate; write it like \"100/min\" or \"5/30s\"");
    let (units, per) = text.split_once('/').ok_or_else(refused)?;
    let units: u64 = units.trim().parse().map_err(|_| refused())?;
    let per = match per.trim() {
        "s" => Duration::from_secs(1),
        "min" => Duration::from_secs(60),
        "h" => Duration::from_secs(3_600),
        other => span(other).map_err(|_| refused())?,
    };
    if units == 0 || per < Duration::from_secs(1) {
        return Err(format!("{text:?} asks for nothing, or looks more often than each second"));
    }
    Ok(UnitsPer(units, per))
}

/// Reads a text; of anything else it says what was expected.
struct Written<T> {
    expected: &'static str,
    parse: fn(&str) -> Result<T, String>,
}

impl<T> Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }
}

fn read<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    parse: fn(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    deserializer.deserialize_str(Written { expected, parse })
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, "a size such as \"128MiB\"", bytes).map(Self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, "a time span such as \"15m\"", span).map(Self)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, "a share of a core such as \"50%\"", percent).map(Self)
    }
}

impl<'de> Deserialize<'de> for Spans {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, "a range such as \"1s..5m\"", spans).map(Self)
    }
}

impl<'de> Deserialize<'de> for UnitsPer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, "a rate such as \"100/min\"", units_per)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_mean_what_they_say() {
        assert_eq!(bytes("128MiB"), Ok(128 * 1024 * 1024));
        assert_eq!(span("2h 30m"), Ok(Duration::from_secs(9_000)));
        assert_eq!(percent("150%"), Ok(150));
        assert_eq!(units_per("100/min"), Ok(UnitsPer(100, Duration::from_secs(60))));
        assert_eq!(units_per("5 / 30s"), Ok(UnitsPer(5, Duration::from_secs(30))));
        assert_eq!(spans("1s..5m"), Ok(Duration::from_secs(1)..=Duration::from_secs(300)));
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for text in ["", "0MiB", "12XB", "-1B", "99999999999999999999B", "16777216TiB"] {
            assert!(bytes(text).is_err(), "{text:?}");
        }
        for text in ["", "0s", "-5m", "5 parsecs", "3000d"] {
            assert!(span(text).is_err(), "{text:?}");
        }
        for text in ["", "100", "0/min", "-1/s", "1/fortnight", "1/100ms", "1/"] {
            assert!(units_per(text).is_err(), "{text:?}");
        }
        assert!(spans("5m..1s").is_err());
        assert!(percent("0%").is_err());
    }
}
