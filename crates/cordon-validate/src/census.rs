//! A census: what a snapshot or a candidate holds, counted.
//!
//! The judge never sees records. What it may know of them is here, small whatever the sync's size,
//! and stored with the snapshot, so that a decision can be replayed years later.

use std::collections::BTreeMap;

use cordon_model::{AttributeType, RecordType, ScopeReport};
use serde::{Deserialize, Serialize};

use crate::Values;

/// Keys of a few records that show something.
pub type Examples = Vec<String>;

/// What a snapshot or a candidate holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Census {
    /// Counts by kind and type.
    pub types: BTreeMap<RecordType, TypeCensus>,
    /// Every scope, by name; scopes of the last known good that did not report are absent.
    pub scopes: BTreeMap<String, ScopeCensus>,
    /// Grants of privileged entitlements.
    pub privileged: PrivilegedCensus,
}

/// One kind and type, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TypeCensus {
    /// Records, those carried forward included.
    pub records: u64,
    /// Records that were carried forward from the last known good.
    pub carried: u64,
    /// Columns seen, by name.
    pub columns: BTreeMap<String, ColumnCensus>,
}

/// One column, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnCensus {
    /// The type of its values.
    #[serde(rename = "type")]
    pub value_type: AttributeType,
    /// The connector announced it as required.
    pub required: bool,
    /// Records that have a value.
    pub present: u64,
    /// Its values, where they are few words; none: they are many, or nothing is known of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Values>,
}

/// One scope, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeCensus {
    /// What the sync said of it.
    pub report: ScopeReport,
    /// Records that it holds by kind and type, those carried forward included.
    pub records: BTreeMap<RecordType, u64>,
}

/// Grants of privileged entitlements, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PrivilegedCensus {
    /// Entitlements marked privileged.
    pub entitlements: u64,
    /// Grants of them.
    pub grants: u64,
}
