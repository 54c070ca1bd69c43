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

/// References that end nowhere.
pub(super) struct Dangling {
    /// In the candidate.
    pub(super) missed: Vec<Defect>,
    /// Those of them that end beyond it: what they point at was left out.
    pub(super) cut: Vec<Defect>,
}

/// What was missed, by the position of the type and of the column that points.
type Missed = BTreeMap<(u16, u16), Both>;

#[derive(Default)]
struct Both {
    missed: Misses,
    cut: Misses,
}

impl Both {
    fn note(&mut self, hash: u64, row: u32, ends: &mut Sides) -> Result<(), ReadError> {
        self.missed.of += 1;
        self.cut.of += 1;
        if ends.here.has(hash)? {
            return Ok(());
        }
        self.missed.add(row);
        if ends.beyond.has(hash)? {
            self.cut.add(row);
        }
        Ok(())
    }
}

pub(super) fn dangling(
    staging: &Staging,
    targets: Collected,
    parts: &[Part],
    beyond: &[Part],
) -> Result<Dangling, StageError> {
    let store = &staging.store;
    let mut found = Dangling { missed: Vec::new(), cut: Vec::new() };
    for part in parts.iter().filter(|part| part.reported) {
        if part.entry.record_type.kind == RecordKind::Grant {
            let both = principals(store, part, parts, beyond)?;
            found.add(both, columns::PRINCIPAL, part)?;
        }
    }
    let mut missed = Missed::new();
    for (targets, kind) in
        [(targets.entitlements, RecordKind::Entitlement), (targets.resources, RecordKind::Resource)]
    {
        let of_kind = |part: &&Part| part.entry.record_type.kind == kind;
        let ends = Sides::new(store, parts, beyond, of_kind)?;
        look_up(targets, ends, &mut missed)?;
    }
    for ((slot, column), both) in missed {
        let of = &staging.types[slot as usize];
        let part = parts.iter().find(|p| p.reported && p.entry.record_type == of.record_type);
        let part = part.expect("a type with references has rows");
        found.add(both, &of.columns[column as usize].name, part)?;
    }
    Ok(found)
}

impl Dangling {
    fn add(&mut self, both: Both, column: &str, part: &Part) -> Result<(), ReadError> {
        for (misses, defects) in [(both.missed, &mut self.missed), (both.cut, &mut self.cut)] {
            if misses.count > 0 {
                let (kind, column) = (DefectKind::DanglingReference, Some(column.to_owned()));
                defects.push(misses.into_defect(kind, column, part)?);
            }
        }
        Ok(())
    }
}

/// The principals of a type's grants that are no resources of that type.
fn principals(
    store: &Store,
    grants: &Part,
    parts: &[Part],
    beyond: &[Part],
) -> Result<Both, StageError> {
    let name = grants.entry.record_type.name.clone();
    let resources = RecordType { kind: RecordKind::Resource, name };
    let of_type = |part: &&Part| part.entry.record_type == resources;
    let mut ends = Sides::new(store, parts, beyond, of_type)?;
    let mut index = grants.index(store)?;
    let mut both = Both::default();
    let mut last = None;
    while let Some(entry) = index.next()? {
        if last == Some(entry.key.high) {
            continue;
        }
        last = Some(entry.key.high);
        both.note(entry.key.high, entry.row, &mut ends)?;
    }
    Ok(both)
}

fn look_up(
    mut targets: Sorted<Target>,
    mut ends: Sides,
    missed: &mut Missed,
) -> Result<(), StageError> {
    while let Some(target) = targets.next()? {
        let both = missed.entry((target.slot, target.column)).or_default();
        both.note(target.hash, target.row, &mut ends)?;
    }
    Ok(())
}

/// Where references may end: in the candidate, and beyond it.
struct Sides {
    here: Ends,
    beyond: Ends,
}

impl Sides {
    fn new(
        store: &Store,
        parts: &[Part],
        beyond: &[Part],
        wanted: impl Fn(&&Part) -> bool,
    ) -> Result<Self, ReadError> {
        let here = Ends::new(store, parts.iter().filter(&wanted))?;
        Ok(Self { here, beyond: Ends::new(store, beyond.iter().filter(&wanted))? })
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
