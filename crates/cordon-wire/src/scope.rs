//! Scopes and watermarks on the wire.

use cordon_model::{ScopeOutcome, Watermark};
use jiff::Timestamp;

use crate::v1;

/// Bytes of a scope's name, of a reason and of a watermark's token, at most.
pub const TEXT_BYTES_MAX: usize = 512;

/// Why the end of a scope cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireScopeError {
    /// The outcome is none of the known ones.
    #[error("unknown scope outcome {0}")]
    Outcome(i32),
    /// A text is longer than it may be.
    #[error("the {what} has {bytes} bytes, more than {TEXT_BYTES_MAX}")]
    TooLong {
        /// Which text.
        what: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The time is outside what a calendar can say.
    #[error("the watermark's time {0} is not a date")]
    Time(i64),
}

/// Reads how a scope ended.
pub fn outcome_from_wire(end: &v1::ScopeEnd) -> Result<ScopeOutcome, WireScopeError> {
    check_length("reason", &end.reason)?;
    match v1::ScopeOutcome::try_from(end.outcome) {
        Ok(v1::ScopeOutcome::Complete) => Ok(ScopeOutcome::Complete),
        Ok(v1::ScopeOutcome::Incomplete) => {
            Ok(ScopeOutcome::Incomplete { reason: end.reason.clone() })
        }
        Ok(v1::ScopeOutcome::Gone) => Ok(ScopeOutcome::Gone),
        Ok(v1::ScopeOutcome::Unspecified) | Err(_) => Err(WireScopeError::Outcome(end.outcome)),
    }
}

/// Reads a watermark; none says nothing.
pub fn watermark_from_wire(watermark: Option<&v1::Watermark>) -> Result<Watermark, WireScopeError> {
    let Some(watermark) = watermark else { return Ok(Watermark::default()) };
    check_length("watermark's token", &watermark.token)?;
    let time = match watermark.time {
        0 => None,
        micros => {
            Some(Timestamp::from_microsecond(micros).map_err(|_| WireScopeError::Time(micros))?)
        }
    };
    let token = (!watermark.token.is_empty()).then(|| watermark.token.clone());
    Ok(Watermark { time, token })
}

/// Puts a watermark on the wire.
pub fn watermark_to_wire(watermark: &Watermark) -> v1::Watermark {
    v1::Watermark {
        time: watermark.time.map_or(0, Timestamp::as_microsecond),
        token: watermark.token.clone().unwrap_or_default(),
    }
}

/// Refuses a text that is longer than it may be.
pub fn check_length(what: &'static str, text: &str) -> Result<(), WireScopeError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(WireScopeError::TooLong { what, bytes: text.len() });
    }
    Ok(())
}
