//! Do the references of this sync end somewhere, in it or in what it carries forward?
//!
//! A grant's index begins with its principal, so principals are found by walking two indexes. What
//! else is pointed at was collected while it passed, sorted, and is looked up in one walk. Records
//! that were carried forward are not asked again: they were when they came.

use std::collections::BTreeMap;

use cordon_model::{RecordKind, RecordType, columns};
use cordon_validate::{Defect, DefectKind};

use crate::disk::PathError;
use crate::finish::{Misses, Part};
use crate::index::Merged;
use crate::read_error::ReadError;
use crate::sorter::Sorted;
use crate::stage::{StageError, Staging, Target};
use crate::store::Store;

/// What references point at, in the order in which it is looked up.
pub(super) struct Collected {
    entitlements: Sorted<Target>,
    resources: Sorted<Target>,
}

/// What was missed, by the position of the type and of the column that points.
type Missed = BTreeMap<(u16, u16), Misses>;

pub(super) fn dangling(
    staging: &Staging,
    targets: Collected,
    parts: &[Part],
) -> Result<Vec<Defect>, StageError> {
    let mut defects = Vec::new();
    for part in parts.iter().filter(|part| part.reported) {
        if part.entry.record_type.kind == RecordKind::Grant {
            defects.extend(principals(&staging.store, part, parts)?);
        }
    }
    let mut missed = Missed::new();
    look_up(&staging.store, targets.entitlements, parts, RecordKind::Entitlement, &mut missed)?;
    look_up(&staging.store, targets.resources, parts, RecordKind::Resource, &mut missed)?;
    for ((slot, column), misses) in missed {
        if misses.count == 0 {
            continue;
        }
        let of = &staging.types[slot as usize];
        let part = parts.iter().find(|p| p.reported && p.entry.record_type == of.record_type);
        let part = part.expect("a type with references has rows");
        let column = Some(of.columns[column as usize].name.clone());
        defects.push(misses.into_defect(DefectKind::DanglingReference, column, part)?);
    }
    Ok(defects)
}

/// The principals of a type's grants that are no resources of that type.
fn principals(store: &Store, grants: &Part, parts: &[Part]) -> Result<Option<Defect>, StageError> {
    let name = grants.entry.record_type.name.clone();
    let resources = RecordType { kind: RecordKind::Resource, name };
    let resources = parts.iter().filter(|part| part.entry.record_type == resources);
    let mut resources = Ends::new(store, resources)?;
    let mut index = grants.index(store)?;
    let mut misses = Misses::default();
    let mut last = None;
    while let Some(entry) = index.next()? {
        if last == Some(entry.key.high) {
            continue;
        }
        last = Some(entry.key.high);
        misses.of += 1;
        if !resources.has(entry.key.high)? {
            misses.add(entry.row);
        }
    }
    if misses.count == 0 {
        return Ok(None);
    }
    let column = Some(columns::PRINCIPAL.to_owned());
    Ok(Some(misses.into_defect(DefectKind::DanglingReference, column, grants)?))
}

fn look_up(
    store: &Store,
    mut targets: Sorted<Target>,
    parts: &[Part],
    kind: RecordKind,
    missed: &mut Missed,
) -> Result<(), StageError> {
    let Some(mut target) = targets.next()? else { return Ok(()) };
    let mut ends = Ends::new(store, parts.iter().filter(|p| p.entry.record_type.kind == kind))?;
    loop {
        let misses = missed.entry((target.slot, target.column)).or_default();
        misses.of += 1;
        if !ends.has(target.hash)? {
            misses.add(target.row);
        }
        match targets.next()? {
            Some(next) => target = next,
            None => return Ok(()),
        }
    }
}

/// Where references may end, asked in rising order.
struct Ends(Merged);

impl Ends {
    fn new<'a>(store: &Store, parts: impl Iterator<Item = &'a Part>) -> Result<Self, ReadError> {
        let readers = parts.map(|part| part.index(store)).collect::<Result<_, _>>()?;
        Ok(Self(Merged::new(readers)?))
    }

    fn has(&mut self, hash: u64) -> Result<bool, ReadError> {
        while self.0.head().is_some_and(|head| head.entry.key.high < hash) {
            self.0.next()?;
        }
        Ok(self.0.head().is_some_and(|head| head.entry.key.high == hash))
    }
}

impl Staging {
    /// What references point at.
    pub(super) fn take_targets(&mut self) -> Result<Collected, PathError> {
        Ok(Collected {
            entitlements: self.references.entitlements.take()?,
            resources: self.references.resources.take()?,
        })
    }
}
