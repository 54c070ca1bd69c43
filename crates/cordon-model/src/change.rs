//! Changes: the difference between two snapshots, record by record.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{RecordType, Row, SyncNumber};

/// What happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeOp {
    /// It was not there before.
    Added,
    /// It has other values.
    Modified,
    /// It is gone from a scope that was enumerated to its end.
    Removed,
}

impl ChangeOp {
    /// The operation in one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Modified => "modified",
            Self::Removed => "removed",
        }
    }
}

impl fmt::Display for ChangeOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One record that differs between two snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What happened.
    pub op: ChangeOp,
    /// The record's kind and type.
    pub record_type: RecordType,
    /// Names the record for people and keys, see [`Row::key`].
    pub key: String,
    /// The record before; none when it was added.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<Row>,
    /// The record after; none when it was removed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<Row>,
    /// Since when its removal is accepted and not final; none: it is no such record, or nobody asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending_removal: Option<PendingRemoval>,
}

/// A removal that was accepted and can still be taken back by the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRemoval {
    /// The sync that no longer had the record.
    pub sync: SyncNumber,
    /// When the removal was accepted; none: in the moment of which the change tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Timestamp>,
}
