//! Exemptions: a finding that somebody answers for, for a while.
//!
//! An exempted finding stays in the verdict, with who answers for it and until when; it only no longer
//! holds the sync back. What nobody can accept cannot be exempted, and neither can the removal of a
//! protected record.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use super::KeyGlob;
use crate::codes;

/// Characters of an owner and of a reason, at most.
const WORDS_CHARS_MAX: usize = 200;
/// Exemptions of one policy, at most.
pub const EXEMPTIONS_MAX: usize = 64;

/// A finding that somebody answers for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with code, owner, reason and until")]
pub struct Exemption {
    /// The finding's code.
    pub code: ExemptCode,
    /// What it speaks of: a label, a scope, the name of a rule; none = whatever it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<KeyGlob>,
    /// What may be measured, at most; none = whatever was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    /// Who answers for it.
    pub owner: Words,
    /// Why.
    pub reason: Words,
    /// From this moment on it no longer counts.
    pub until: Until,
}

impl Exemption {
    /// Whether it takes a finding of a rule at a moment.
    pub(crate) fn takes(
        &self,
        code: &str,
        subject: &str,
        measured: Option<u64>,
        at: Option<Timestamp>,
    ) -> bool {
        self.code.0 == code
            && self.subject.as_ref().is_none_or(|glob| glob.matches(subject))
            && self.max.is_none_or(|max| measured.is_some_and(|measured| measured <= max))
            && at.is_some_and(|at| !self.is_over(at))
    }

    /// Whether it no longer counts.
    pub fn is_over(&self, at: Timestamp) -> bool {
        at >= self.until.0
    }

    /// Whether it lets nothing pass that another one would not.
    pub(super) fn within(&self, other: &Self) -> bool {
        let max = match (self.max, other.max) {
            (_, None) => true,
            (Some(max), Some(other)) => max <= other,
            (None, Some(_)) => false,
        };
        self.code == other.code
            && (other.subject.is_none() || self.subject == other.subject)
            && max
            && self.until <= other.until
    }
}

impl fmt::Display for Exemption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code.0)?;
        if let Some(subject) = &self.subject {
            write!(f, " of {subject}")?;
        }
        if let Some(max) = self.max {
            write!(f, " up to {}", crate::words::count(max))?;
        }
        write!(f, " until {}, {}: {}", self.until, self.owner.0, self.reason.0)
    }
}

/// The code of a finding that can be exempted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExemptCode(String);

/// Why a code cannot be exempted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExemptCodeError {
    /// No finding bears it.
    #[error("{0:?} is the code of no finding, such as CRD-D101")]
    Unknown(String),
    /// Nobody can answer for it.
    #[error("{0} cannot be exempted: {1}")]
    Never(&'static str, &'static str),
}

impl TryFrom<String> for ExemptCode {
    type Error = ExemptCodeError;

    fn try_from(text: String) -> Result<Self, ExemptCodeError> {
        let Some(rule) = codes::explain(&text) else {
            return Err(ExemptCodeError::Unknown(text.chars().take(80).collect()));
        };
        if rule.code == codes::PROTECTED_REMOVED.code {
            return Err(ExemptCodeError::Never(rule.code, "protected records never go unattended"));
        }
        if codes::invalidates(rule) {
            return Err(ExemptCodeError::Never(rule.code, "nobody can accept such a sync"));
        }
        Ok(Self(text))
    }
}

impl From<ExemptCode> for String {
    fn from(code: ExemptCode) -> String {
        code.0
    }
}

/// A line that says something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Words(String);

/// Why a text says nothing, or too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an owner and a reason are one line each, of 1 to {WORDS_CHARS_MAX} characters")]
pub struct WordsError;

impl Words {
    /// The line.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Words {
    type Error = WordsError;

    fn try_from(text: String) -> Result<Self, WordsError> {
        let length = text.trim().chars().count();
        if length == 0 || text.chars().count() > WORDS_CHARS_MAX || text.contains(char::is_control)
        {
            return Err(WordsError);
        }
        Ok(Self(text))
    }
}

impl From<Words> for String {
    fn from(words: Words) -> String {
        words.0
    }
}

/// A moment that is written as a day, its end in UTC being meant, or in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Until(pub Timestamp);

/// Why a text is no such moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no day such as \"2026-12-31\", and no moment such as \"2026-12-31T18:00:00Z\"")]
pub struct UntilError(String);

impl TryFrom<String> for Until {
    type Error = UntilError;

    fn try_from(text: String) -> Result<Self, UntilError> {
        let moment = || text.parse::<Timestamp>().ok();
        let day = || {
            let next = text.parse::<Date>().ok()?.tomorrow().ok()?;
            Some(next.to_zoned(TimeZone::UTC).ok()?.timestamp())
        };
        let read = moment().or_else(|| if text.len() == 10 { day() } else { None });
        read.map(Self).ok_or_else(|| UntilError(text.chars().take(80).collect()))
    }
}

impl From<Until> for String {
    fn from(until: Until) -> String {
        until.to_string()
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zoned = self.0.to_zoned(TimeZone::UTC);
        let midnight = zoned.time() == jiff::civil::Time::midnight();
        match zoned.date().checked_sub(1.day()) {
            Ok(day) if midnight => write!(f, "{day}"),
            _ => write!(f, "{}", self.0),
        }
    }
}
