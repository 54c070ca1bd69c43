//! Scopes: the unit of completeness.
//!
//! "Missing" means "gone" only inside a scope that was enumerated to its end, so every record
//! belongs to one, and every scope says how it ended.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How the enumeration of a scope ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum ScopeOutcome {
    /// To its end: what is missing is gone.
    Complete,
    /// Not to its end: what is missing is unknown.
    Incomplete {
        /// Why, in the connector's words.
        reason: String,
    },
    /// The scope itself no longer exists, and all its records with it.
    Gone,
}

impl ScopeOutcome {
    /// Whether a record that is missing from this scope may be taken as gone.
    pub fn proves_absence(&self) -> bool {
        matches!(self, Self::Complete | Self::Gone)
    }
}

/// How current a source says it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Watermark {
    /// The moment at which the source was current.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time: Option<Timestamp>,
    /// A sequence number, LSN or content digest of the source. One of the form `COURSE@NUMBER` has an
    /// order among those of the same course.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
}

impl Watermark {
    /// The token's course and its place in it, where it has an order.
    pub fn place(&self) -> Option<(&str, u64)> {
        let (course, number) = self.token.as_deref()?.rsplit_once('@')?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        Some((course, number.parse().ok().filter(|_| is_number && !course.is_empty())?))
    }
}

/// What a sync said of one scope, beside what was counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeReport {
    /// Stable across syncs.
    pub name: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: ScopeOutcome,
    /// Records that arrived, counted by the supervisor.
    pub received: u64,
    /// Records that the connector says it sent.
    pub declared: u64,
    /// Records in the scope as the source counts them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source_total: Option<u64>,
    /// How current the source says it is.
    #[serde(default)]
    pub watermark: Watermark,
}
