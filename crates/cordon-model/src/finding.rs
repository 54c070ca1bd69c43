//! Findings and outcomes: what a check noticed, and what came of it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a finding does to its sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Odd, but not enough to hold the sync back.
    Warning,
    /// A person decides.
    Quarantine,
    /// The sync is invalid; nobody can accept it.
    Reject,
}

impl Severity {
    /// The severity in one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that a check noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable code of the rule, e.g. `CRD-D101`. The letter is the check: P protocol, R record, F
    /// references, C completeness, D change against the last known good, S shape, W watermark.
    pub code: String,
    /// What it does to the sync.
    pub severity: Severity,
    /// What it speaks of: a type's label, a scope's name, or empty for the whole sync.
    pub subject: String,
    /// What was seen and what is allowed, in words and numbers.
    pub message: String,
    /// What was measured, for machines.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub measured: Option<u64>,
    /// What it was measured against.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<u64>,
    /// Keys of records that show it; never all of them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub examples: Vec<String>,
}

/// What came of a sync that was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It may replace the last known good.
    Accepted,
    /// It waits for a person.
    Quarantined,
    /// It is invalid.
    Rejected,
}

impl Outcome {
    /// The outcome in one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Quarantined => "quarantined",
            Self::Rejected => "rejected",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
