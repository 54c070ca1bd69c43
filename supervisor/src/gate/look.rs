//! A look at single records, for the checks that counts cannot answer: operators' rules, protected
//! records, and grants of what the policy calls privileged.
//!
//! Records stream by once and only a few keys are kept. What nobody asks for is not read: without
//! rules and protected records this costs nothing, and all current records are read only for rules on
//! them.

use std::collections::{BTreeMap, HashSet};

use cordon_model::{Change, ChangeOp, RecordKind, RecordType, Row, Value, columns};
use cordon_store::{ReadError, Snapshot, Store};
use cordon_validate::{
    Census, Delta, MarkedGrants, Policy, RuleCount, RuleCounter, RuleName, announced,
};
use jiff::Timestamp;

/// Keys that are kept of protected records, and of grants.
const LISTED_MAX: usize = 100;
/// Entitlements that are remembered as privileged.
const MARKED_MAX: usize = 200_000;

/// What was seen of single records.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// What each rule found.
    pub(crate) rules: BTreeMap<RuleName, RuleCount>,
    /// Protected records that would be removed, by key.
    pub(crate) protected_removed: Vec<String>,
    /// How many more of them there are.
    pub(crate) protected_unlisted: u64,
    /// Grants of entitlements that the policy calls privileged.
    pub(crate) marked_grants: MarkedGrants,
}

/// Looks at the records of a candidate, and at those that the step from the last known good changes.
pub(crate) fn look(
    store: &Store,
    policy: &Policy,
    last_good: Option<&Snapshot>,
    candidate: &Snapshot,
    now: Timestamp,
) -> Result<Looked, ReadError> {
    let mut looked = Looked::default();
    let manifest = &candidate.manifest;
    let announced = announced(&manifest.schemas);
    let mut counter = RuleCounter::new(&policy.counted_rules(), &announced, now);
    if let (Some(last_good), Some(step)) = (last_good, &manifest.delta) {
        let guards_grants = policy.marks_entitlements() && changes_grants(step);
        let marked = match guards_grants {
            true => Marked::find(store, policy, [last_good, candidate], now)?,
            false => Marked::default(),
        };
        let guards_removals = policy.guards_single_records() && removed(step) > 0;
        if counter.wants_changes() || guards_removals || guards_grants {
            for change in store.changes(Some(last_good), candidate, 0)? {
                let change = change?;
                counter.change(&change);
                looked.protected(policy, &change);
                looked.marked(policy, &marked, &change);
            }
        }
    }
    let mut types: Vec<_> = manifest.files.iter().map(|file| &file.record_type).collect();
    types.sort();
    types.dedup();
    types.retain(|of| counter.wants_current(of));
    for record_type in types {
        for row in store.rows(candidate, record_type) {
            counter.current(&row?);
        }
    }
    let before = last_good.map(|snapshot| &snapshot.manifest.census);
    looked.rules =
        counter.finish(|of| records(before, of), |of| records(Some(&manifest.census), of));
    Ok(looked)
}

impl Looked {
    fn protected(&mut self, policy: &Policy, change: &Change) {
        if change.op != ChangeOp::Removed || !policy.protects(&change.key) {
            return;
        }
        if self.protected_removed.len() < LISTED_MAX {
            self.protected_removed.push(change.key.clone());
        } else {
            self.protected_unlisted += 1;
        }
    }

    fn marked(&mut self, policy: &Policy, marked: &Marked, change: &Change) {
        let row = change.after.as_ref().or(change.before.as_ref());
        let entitlement = row.and_then(|row| row.values.get(columns::ENTITLEMENT));
        let is_grant = change.record_type.kind == RecordKind::Grant;
        let Some(Value::Text(entitlement)) = entitlement.filter(|_| is_grant) else { return };
        let grants = &mut self.marked_grants;
        let count = match change.op {
            ChangeOp::Added => &mut grants.appeared,
            ChangeOp::Removed => &mut grants.vanished,
            ChangeOp::Modified => return,
        };
        if policy.marks_id(entitlement) || marked.has(entitlement) {
            *count += 1;
            if grants.examples.len() < LISTED_MAX {
                grants.examples.push(change.key.clone());
            }
        }
    }
}

/// The entitlements of both sides that the policy calls privileged for what they are like.
#[derive(Debug, Default)]
struct Marked {
    ids: HashSet<String>,
    /// There are more of them than are remembered: all count.
    overflows: bool,
}

impl Marked {
    fn find(
        store: &Store,
        policy: &Policy,
        sides: [&Snapshot; 2],
        now: Timestamp,
    ) -> Result<Self, ReadError> {
        let mut marked = Self::default();
        if policy.privileged_where.is_empty() {
            return Ok(marked);
        }
        for side in sides {
            let types = side.manifest.census.types.keys();
            for record_type in types.filter(|of| of.kind == RecordKind::Entitlement) {
                for row in store.rows(side, record_type) {
                    let row = row?;
                    if policy.marks(&row, now) {
                        marked.add(&row);
                    }
                }
            }
        }
        Ok(marked)
    }

    fn add(&mut self, entitlement: &Row) {
        if self.ids.len() >= MARKED_MAX {
            self.overflows = true;
        } else if let Some(Value::Text(id)) = entitlement.values.get(columns::ID) {
            self.ids.insert(id.clone());
        }
    }

    fn has(&self, id: &str) -> bool {
        self.overflows || self.ids.contains(id)
    }
}

fn changes_grants(delta: &Delta) -> bool {
    let grants = delta.types.iter().filter(|(of, _)| of.kind == RecordKind::Grant);
    grants.into_iter().any(|(_, step)| step.added > 0 || step.removed > 0)
}

fn removed(delta: &Delta) -> u64 {
    delta.types.values().map(|step| step.removed).fold(0, u64::saturating_add)
}

fn records(census: Option<&Census>, record_type: &RecordType) -> u64 {
    census.and_then(|census| census.types.get(record_type)).map_or(0, |counted| counted.records)
}
