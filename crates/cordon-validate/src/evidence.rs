//! What the judge is told of one candidate: its census, its defects, and the step from the last
//! known good.

use std::collections::BTreeMap;

use cordon_model::{ConnectorName, RecordType, SyncNumber, Watermark};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::detect::{Memory, Step};
use crate::lookup::Lookup;
use crate::reading::Earlier;
use crate::{Census, Examples, RuleCount, RuleName, TimeSpan};

/// A staged sync, as the judge sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Whose sync it is.
    pub connector: ConnectorName,
    /// Its number.
    pub sync: SyncNumber,
    /// BLAKE3 of the manifest, in hex. Binds every later decision to exactly this content.
    pub digest: String,
    /// The snapshot that it was compared with; none on a first sync.
    pub against: Option<SyncNumber>,
    /// What it holds.
    pub census: Census,
    /// The step from the last known good; none on a first sync.
    pub delta: Option<Delta>,
    /// What is wrong with its records.
    pub defects: Vec<Defect>,
    /// The shape of the step, measured; none on a first sync, or where nobody measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// Removals that are accepted and not final, were it accepted; none where the policy gives no time
    /// of grace. They weigh nothing: the step has every removal when it comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingRemovals>,
}

/// Removals that are accepted and can still be taken back by the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PendingRemovals {
    /// All that wait.
    pub waiting: u64,
    /// Those among them that this sync misses first.
    pub began: u64,
    /// Those that waited and are back.
    pub returned: u64,
    /// Those that waited and are final now.
    pub ended: u64,
    /// When the first that waits may become final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_from: Option<Timestamp>,
}

/// Records that are wrong in one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defect {
    /// In which way.
    pub kind: DefectKind,
    /// The records' kind and type.
    pub record_type: RecordType,
    /// The column at fault, where one is.
    pub column: Option<String>,
    /// How many records (for references: how many distinct targets) are wrong.
    pub count: u64,
    /// Out of how many.
    pub of: u64,
    /// A few of them.
    pub examples: Examples,
}

/// In which way records are wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefectKind {
    /// Two records of the sync have the same key.
    DuplicateKey,
    /// An id is empty, longer than 1,024 bytes, or has control characters.
    MalformedId,
    /// A required attribute is absent.
    MissingRequired,
    /// A timestamp lies before 1970 or after 2200.
    ImplausibleTime,
    /// A reference is not of the form `type:id`.
    MalformedReference,
    /// A reference points at nothing, in this sync or in what it carries forward.
    DanglingReference,
}

/// The step from the last known good to a candidate, after records of incomplete scopes were
/// carried forward.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Delta {
    /// By kind and type; a type that neither side holds is absent.
    pub types: BTreeMap<RecordType, TypeDelta>,
    /// By the scope that held the record before (removed, modified) or holds it now (added).
    pub scopes: BTreeMap<String, ScopeDelta>,
    /// Grants of privileged entitlements.
    pub privileged: PrivilegedDelta,
    /// Scopes of the last known good that this sync did not report.
    pub unreported_scopes: Vec<String>,
}

/// The step of one kind and type.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TypeDelta {
    /// Records before.
    pub before: u64,
    /// Records after.
    pub after: u64,
    /// Keys that are new.
    pub added: u64,
    /// Keys with other values.
    pub modified: u64,
    /// Keys that are gone.
    pub removed: u64,
    /// Records kept because their scope was incomplete or silent.
    pub carried: u64,
    /// A few removed keys.
    pub removed_examples: Examples,
    /// A few added keys.
    pub added_examples: Examples,
}

/// The step of one scope.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScopeDelta {
    /// Records before.
    pub before: u64,
    /// Records after.
    pub after: u64,
    /// Keys that are new.
    pub added: u64,
    /// Keys that are gone.
    pub removed: u64,
}

/// The step of privileged grants. A grant counts by whether its entitlement is privileged on that
/// side; an entitlement that becomes privileged adds all its grants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PrivilegedDelta {
    /// Privileged grants before.
    pub before: u64,
    /// Privileged grants after.
    pub after: u64,
    /// Privileged grants that appeared.
    pub appeared: u64,
    /// Privileged grants that vanished.
    pub vanished: u64,
    /// A few that appeared or vanished.
    pub examples: Examples,
}

/// What earlier syncs of the connector add to the judgement. Kept by the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History {
    /// Accepted syncs so far.
    pub accepted: u64,
    /// What was removed before, by each time that the policy has a budget for.
    #[serde(default)]
    pub windows: BTreeMap<TimeSpan, Window>,
    /// An older accepted snapshot, not the last known good, that has exactly this content.
    pub replays: Option<SyncNumber>,
    /// The newest watermark accepted, by scope.
    pub watermarks: BTreeMap<String, Watermark>,
    /// Protected records that the candidate would remove, by key.
    pub protected_removed: Vec<String>,
    /// How many more of them there are than are listed.
    #[serde(default)]
    pub protected_unlisted: u64,
    /// Grants of entitlements that the policy calls privileged that appear or vanish.
    #[serde(default)]
    pub marked_grants: MarkedGrants,
    /// When it is judged; none when nobody said, and then no exemption counts.
    #[serde(default)]
    pub judged_at: Option<Timestamp>,
    /// What the operators' rules found, by name.
    #[serde(default)]
    pub rules: BTreeMap<RuleName, RuleCount>,
    /// The sync that waits in quarantine, where one does.
    #[serde(default)]
    pub quarantined: Option<SyncNumber>,
    /// Changes of the candidate that a person saw and did not release.
    #[serde(default)]
    pub withheld: u64,
    /// Removals of the candidate that are held while the rest of it passed.
    #[serde(default)]
    pub held: u64,
    /// What the source said of the records that the candidate misses; none when it was not asked.
    #[serde(default)]
    pub lookup: Option<Lookup>,
    /// The reading that waits for this one; none when none does.
    #[serde(default)]
    pub earlier: Option<Earlier>,
    /// What the detector remembers of the connector's syncs; none before the first that it saw.
    #[serde(default)]
    pub memory: Option<Memory>,
}

/// What was removed within a time, over all syncs accepted in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Window {
    /// By syncs that policy accepted, by label (`user`, `grant`, ...).
    pub removed: BTreeMap<String, u64>,
    /// By syncs that a person released, by label.
    #[serde(default)]
    pub released: BTreeMap<String, u64>,
    /// Records that there were at its beginning, by label.
    pub records_then: BTreeMap<String, u64>,
}

/// Grants of entitlements that the policy calls privileged, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MarkedGrants {
    /// Those that appeared.
    pub appeared: u64,
    /// Those that vanished.
    pub vanished: u64,
    /// A few of them.
    #[serde(default)]
    pub examples: Examples,
}
