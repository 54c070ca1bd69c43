//! Would a record that stays point at one whose removal is selected?
//!
//! Asked only of records that the candidate removes or modifies and the selection leaves as they
//! were: the others point at nothing in the candidate, too, and the judge is told of them there.

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, StringArray};
use cordon_model::{RecordKind, columns};

use crate::columns::key_columns;
use crate::compose::ComposeError;
use crate::compose::pick::Picked;
use crate::disk::PathError;
use crate::finish::Chosen;
use crate::hash::{KeyHasher, Keys};
use crate::index::Merged;
use crate::manifest::FileEntry;
use crate::read_error::ReadError;
use crate::rows::DataFile;
use crate::snapshot::Snapshot;
use crate::stage::{Staging, Target, Targets};
use crate::store::Store;

/// What the records that are left point at.
struct PointedAt {
    entitlements: Targets,
    resources: Targets,
}

/// The columns that point, of any kind of record, by a number.
const POINTING: [&str; 5] =
    [columns::PARENT, columns::OWNER, columns::RESOURCE, columns::PRINCIPAL, columns::ENTITLEMENT];

pub(super) fn check_left(
    staging: &mut Staging,
    last_good: Option<&Snapshot>,
    picked: &Picked,
) -> Result<(), ComposeError> {
    let Some(last_good) = last_good else { return Ok(()) };
    let files = &last_good.manifest.files;
    let lose = |kind| {
        let removed = files.iter().zip(&picked.dropped);
        removed.filter(|(file, _)| file.record_type.kind == kind).any(|(_, rows)| rows.count() > 0)
    };
    if !lose(RecordKind::Resource) && !lose(RecordKind::Entitlement) {
        return Ok(());
    }
    let store = staging.store.clone();
    let mut pointed = PointedAt::new(staging.dir.path(), store.limits.target_entries);
    for (slot, (entry, left)) in files.iter().zip(&picked.left).enumerate() {
        if left.count() > 0 {
            pointed.collect(&store, entry, left, slot as u16)?;
        }
    }
    let PointedAt { mut entitlements, mut resources } = pointed;
    for (targets, kind) in
        [(&mut entitlements, RecordKind::Entitlement), (&mut resources, RecordKind::Resource)]
    {
        look_up(&store, targets, kind, last_good, picked)?;
    }
    Ok(())
}

impl PointedAt {
    fn new(dir: &Path, entries_max: usize) -> Self {
        Self {
            entitlements: Targets::new(dir, entries_max),
            resources: Targets::new(dir, entries_max),
        }
    }

    fn collect(
        &mut self,
        store: &Store,
        entry: &FileEntry,
        left: &Chosen,
        slot: u16,
    ) -> Result<(), ComposeError> {
        let hasher = KeyHasher::new(&store.shared.key);
        let mut keys = Keys::new(&hasher, &entry.record_type);
        let data = store.open_data(entry)?;
        let mut rows = left.rows();
        for batch in data.select(left.mask(entry.rows))? {
            let batch = batch.map_err(|error| data.parquet_error(error.into()))?;
            for at in 0..batch.num_rows() {
                let Some(row) = rows.next() else { break };
                if entry.record_type.kind == RecordKind::Grant {
                    let names = key_columns(&entry.record_type);
                    let key = keys.key(text(&batch, names[0], at), text(&batch, names[1], at));
                    self.resource(key.high, row, slot, columns::PRINCIPAL)?;
                    self.entitlement(key.low, row, slot)?;
                }
                for name in columns::REFERENCES {
                    let reference = text(&batch, name, at);
                    if !reference.is_empty() {
                        self.resource(hasher.reference(reference), row, slot, name)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn resource(&mut self, hash: u64, row: u32, slot: u16, name: &str) -> Result<(), ComposeError> {
        let column = POINTING.iter().position(|known| *known == name).unwrap_or_default() as u16;
        Ok(self.resources.push(Target { hash, row, slot, column }).map_err(of_stage)?)
    }

    fn entitlement(&mut self, hash: u64, row: u32, slot: u16) -> Result<(), ComposeError> {
        let target = Target { hash, row, slot, column: POINTING.len() as u16 - 1 };
        Ok(self.entitlements.push(target).map_err(of_stage)?)
    }
}

fn of_stage(error: PathError) -> crate::stage::StageError {
    error.into()
}

/// A text of a row; empty when there is none.
fn text<'a>(batch: &'a RecordBatch, name: &str, at: usize) -> &'a str {
    let array: Option<&StringArray> =
        batch.column_by_name(name).and_then(|array| array.as_string_opt::<i32>());
    array.filter(|array| array.is_valid(at)).map_or("", |array| array.value(at))
}

/// The first removed record that is pointed at ends the search: nothing is composed.
fn look_up(
    store: &Store,
    targets: &mut Targets,
    kind: RecordKind,
    last_good: &Snapshot,
    picked: &Picked,
) -> Result<(), ComposeError> {
    let mut targets = targets.take().map_err(of_stage)?;
    let mut removed = Removed::new(store, last_good, picked, kind)?;
    let mut found: Option<(Target, u64)> = None;
    while let Some(target) = targets.next().map_err(of_stage)? {
        if !removed.has(target.hash)? {
            continue;
        }
        match &mut found {
            None => found = Some((target, 1)),
            Some((first, count)) if (first.slot, first.column) == (target.slot, target.column) => {
                *count += 1;
            }
            Some(_) => {}
        }
    }
    let Some((target, count)) = found else { return Ok(()) };
    let entry = &last_good.manifest.files[target.slot as usize];
    let data: DataFile = store.open_data(entry)?;
    let example = data.key_texts(&[target.row])?.into_iter().next().unwrap_or_default();
    Err(ComposeError::PointsAtRemoved {
        record_type: entry.record_type.clone(),
        column: POINTING[target.column as usize].to_owned(),
        count,
        example,
    })
}

/// The halves of the keys of records whose removal is selected, asked in rising order.
struct Removed<'a> {
    merged: Merged,
    chosen: Vec<&'a Chosen>,
}

impl<'a> Removed<'a> {
    fn new(
        store: &Store,
        last_good: &Snapshot,
        picked: &'a Picked,
        kind: RecordKind,
    ) -> Result<Self, ReadError> {
        let files = last_good.manifest.files.iter().zip(&picked.dropped);
        let (files, chosen): (Vec<_>, Vec<_>) =
            files.filter(|(file, _)| file.record_type.kind == kind).unzip();
        Ok(Self { merged: store.merged(files)?, chosen })
    }

    fn has(&mut self, hash: u64) -> Result<bool, ReadError> {
        while let Some(head) = self.merged.head() {
            let is_removed = self.chosen[head.file as usize].has(head.entry.row);
            if head.entry.key.high > hash || (is_removed && head.entry.key.high == hash) {
                return Ok(head.entry.key.high == hash);
            }
            self.merged.next()?;
        }
        Ok(false)
    }
}
