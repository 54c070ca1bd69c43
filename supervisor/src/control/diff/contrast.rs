//! Where a change is: the groups of records that explain it, for a diff's head.
//!
//! Read from the snapshots when somebody looks, so a sync costs nothing more for it. A change that is
//! too large to be looked through while a person waits has no groups, and that is said.

use std::collections::BTreeMap;

use cordon_model::{AttributeName, ChangeOp, RecordType};
use cordon_store::{ReadError, Snapshot, Store};
use cordon_validate::contrast::{CHANGES_MIN, Contrast, Group};
use cordon_wire::v1;

use super::Pair;
use crate::limits::{CONTRAST_CHANGES, CONTRAST_RECORDS};

/// What explains the step between two snapshots.
#[derive(Debug, Default)]
pub(super) struct Grouped {
    pub(super) groups: Vec<v1::ChangeGroup>,
    /// What was not looked through, in words; empty where everything was.
    pub(super) left_out: String,
}

/// The groups that explain the step between two snapshots.
pub(super) fn groups(
    store: &Store,
    pair: &Pair,
    total: &v1::ChangeCounts,
    masked: &BTreeMap<RecordType, Vec<AttributeName>>,
) -> Result<Grouped, ReadError> {
    let Some(before) = &pair.before else { return Ok(Grouped::default()) };
    let changes = total.added.saturating_add(total.removed).saturating_add(total.modified);
    if changes < CHANGES_MIN {
        return Ok(Grouped::default());
    }
    if changes > CONTRAST_CHANGES {
        let left_out = format!(
            "what {changes} changes have in common is not looked for; it is in up to {CONTRAST_CHANGES}"
        );
        return Ok(Grouped { left_out, ..Grouped::default() });
    }
    let masked = masked.iter().flat_map(|(of, names)| {
        names.iter().map(move |name| (of.clone(), name.as_str().to_owned()))
    });
    let mut contrast = Contrast::new(masked);
    for change in store.changes(Some(before), &pair.after, 0)? {
        contrast.note(&change?);
    }
    let mut suspects = contrast.suspects();
    let mut left_out = Vec::new();
    for (op, side) in [(ChangeOp::Removed, before), (ChangeOp::Added, &pair.after)] {
        for of in suspects.types(op) {
            let records = records(side, &of);
            if records > CONTRAST_RECORDS {
                left_out.push(format!(
                    "how many of the {records} records of {of} each group has is not counted; it is \
                     in up to {CONTRAST_RECORDS}"
                ));
                continue;
            }
            for record in store.records(side, &of)? {
                if let Some(row) = record?.after {
                    suspects.count(op, &row);
                }
            }
        }
    }
    left_out.dedup();
    let groups = suspects.into_groups().into_iter().map(group).collect();
    Ok(Grouped { groups, left_out: left_out.join("; ") })
}

fn records(of: &Snapshot, record_type: &RecordType) -> u64 {
    of.manifest.census.types.get(record_type).map_or(0, |census| census.records)
}

fn group(group: Group) -> v1::ChangeGroup {
    v1::ChangeGroup {
        op: group.op.as_str().into(),
        record_type: group.record_type.to_string(),
        attribute: group.attribute,
        value: group.value.unwrap_or_default(),
        changed: group.changed,
        of_changed: group.of_changed,
        of_group: group.of_group,
        at_least: !group.is_exact,
    }
}
