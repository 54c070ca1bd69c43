//! Time spans of policies, such as `8h` and `7d`.
//!
//! A day is 24 hours here: a budget over a day must not grow when clocks change.

use std::fmt;
use std::time::Duration;

use jiff::SpanRelativeTo;
use serde::{Deserialize, Serialize};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
/// The longest span.
const DAYS_MAX: u64 = 366;

/// A span of whole seconds: a second to 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeSpan {
    seconds: u64,
}

/// Why a text is no time span of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no time span of a second to {DAYS_MAX} days; write it like \"8h\" or \"7d\"")]
pub struct TimeSpanError {
    text: String,
}

impl TimeSpan {
    /// So many hours.
    pub const fn hours(hours: u16) -> Self {
        Self { seconds: hours as u64 * HOUR }
    }

    /// So long; none when it is not a whole number of seconds within the bounds.
    pub fn of(duration: Duration) -> Option<Self> {
        let seconds = duration.as_secs();
        let fits = duration.subsec_nanos() == 0 && (1..=DAYS_MAX * DAY).contains(&seconds);
        fits.then_some(Self { seconds })
    }

    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// In words: `24 hours`, `7 days`.
    pub fn in_words(self) -> String {
        let words = |number: u64, unit: &str| crate::words::counted(number, unit);
        match self.seconds {
            seconds if seconds.is_multiple_of(DAY) && seconds > DAY => words(seconds / DAY, "day"),
            seconds if seconds.is_multiple_of(HOUR) => words(seconds / HOUR, "hour"),
            _ => self.to_string(),
        }
    }

    /// In seconds.
    pub const fn seconds(self) -> u64 {
        self.seconds
    }
}

impl TryFrom<String> for TimeSpan {
    type Error = TimeSpanError;

    fn try_from(text: String) -> Result<Self, TimeSpanError> {
        let read = || {
            let span: jiff::Span = text.parse().ok()?;
            let span = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
            Self::of(Duration::try_from(span).ok()?)
        };
        read().ok_or_else(|| TimeSpanError { text: text.chars().take(80).collect() })
    }
}

impl From<TimeSpan> for String {
    fn from(span: TimeSpan) -> String {
        span.to_string()
    }
}

impl fmt::Display for TimeSpan {
    /// As people write it: `24h`, `7d`, `1h 30m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds;
        if seconds.is_multiple_of(DAY) && seconds > DAY {
            return write!(f, "{}d", seconds / DAY);
        }
        let parts = [(seconds / HOUR, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
        let mut apart = "";
        for (number, unit) in parts.into_iter().filter(|(number, _)| *number > 0) {
            write!(f, "{apart}{number}{unit}")?;
            apart = " ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<TimeSpan> {
        TimeSpan::try_from(text.to_owned()).ok()
    }

    #[test]
    fn a_span_is_read_as_people_write_it_and_comes_back_as_it_was() {
        for (text, seconds, shown) in [
            ("8h", 8 * 3_600, "8h"),
            ("24h", 86_400, "24h"),
            ("1d", 86_400, "24h"),
            ("7d", 7 * 86_400, "7d"),
            ("2 weeks", 14 * 86_400, "14d"),
            ("1h 30m", 5_400, "1h 30m"),
            ("36h 5s", 129_605, "36h 5s"),
            ("366d", 366 * 86_400, "366d"),
        ] {
            let span = read(text).expect(text);
            assert_eq!((span.seconds(), span.to_string().as_str()), (seconds, shown), "{text}");
            assert_eq!(read(&span.to_string()), Some(span));
        }
    }

    #[test]
    fn what_is_no_span_of_whole_seconds_within_a_year_is_refused() {
        for text in ["", "8", "0s", "-8h", "500ms", "1s 1ns", "1 month", "1y", "367d", "366d 1s"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
