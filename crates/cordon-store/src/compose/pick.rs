//! Which changes of a candidate are selected, as a bit a row.

use std::collections::BTreeMap;

use cordon_model::{ChangeOp, RecordType};
use cordon_validate::Selection;

use crate::ChangeCounts;
use crate::changes::types;
use crate::finish::Chosen;
use crate::index::{Located, Step, walk};
use crate::manifest::FileEntry;
use crate::read_error::ReadError;
use crate::snapshot::Snapshot;
use crate::store::Store;

/// What is selected, and what is left.
#[derive(Debug)]
pub(super) struct Picked {
    /// Rows of the candidate that are new or have other values, by file of the candidate.
    pub(super) taken: Vec<Chosen>,
    /// Rows that are removed, by file of the last known good.
    pub(super) dropped: Vec<Chosen>,
    /// Rows that stay although the candidate removes or modifies them, by file of the last known
    /// good.
    pub(super) left: Vec<Chosen>,
    /// What is selected, by kind and type.
    pub(super) selected: BTreeMap<RecordType, ChangeCounts>,
    left_counts: ChangeCounts,
}

/// The files of a side that have one kind and type, and where they stand in its manifest.
struct Side<'a> {
    places: Vec<usize>,
    files: Vec<&'a FileEntry>,
}

impl<'a> Side<'a> {
    fn new(snapshot: Option<&'a Snapshot>, record_type: &RecordType) -> Self {
        let files = snapshot.into_iter().flat_map(|of| of.manifest.files.iter().enumerate());
        let (places, files) = files.filter(|(_, file)| file.record_type == *record_type).unzip();
        Self { places, files }
    }

    fn of<'b>(&self, chosen: &'b mut [Chosen], located: &Located) -> &'b mut Chosen {
        &mut chosen[self.places[located.file as usize]]
    }
}

fn nothing(snapshot: Option<&Snapshot>) -> Vec<Chosen> {
    let files = snapshot.into_iter().flat_map(|of| &of.manifest.files);
    files.map(|file| Chosen::none(file.rows)).collect()
}

/// What a step changes: the change, the old row and the new one.
fn change(step: Step) -> Option<(ChangeOp, Option<Located>, Option<Located>)> {
    match step {
        Step::Added(new) => Some((ChangeOp::Added, None, Some(new))),
        Step::Removed(old) => Some((ChangeOp::Removed, Some(old), None)),
        Step::Both { before, after } if before.entry.hash != after.entry.hash => {
            Some((ChangeOp::Modified, Some(before), Some(after)))
        }
        Step::Both { .. } => None,
    }
}

fn count(counts: &mut ChangeCounts, op: ChangeOp) {
    match op {
        ChangeOp::Added => counts.added += 1,
        ChangeOp::Modified => counts.modified += 1,
        ChangeOp::Removed => counts.removed += 1,
    }
}

impl Picked {
    pub(super) fn new(
        store: &Store,
        last_good: Option<&Snapshot>,
        candidate: &Snapshot,
        selection: &Selection,
    ) -> Result<Self, ReadError> {
        let mut picked = Self {
            taken: nothing(Some(candidate)),
            dropped: nothing(last_good),
            left: nothing(last_good),
            selected: BTreeMap::new(),
            left_counts: ChangeCounts::default(),
        };
        let types = types(last_good, candidate);
        for record_type in &types {
            picked.mark(store, last_good, candidate, record_type, selection)?;
        }
        if selection.asks_for_keys() {
            keep_fitting(store, Some(candidate), &mut picked.taken, selection)?;
            keep_fitting(store, last_good, &mut picked.dropped, selection)?;
        }
        for record_type in types {
            picked.settle(store, last_good, candidate, record_type)?;
        }
        Ok(picked)
    }

    /// How many changes are selected, and how many are left.
    pub(super) fn counts(&self) -> (ChangeCounts, ChangeCounts) {
        let mut selected = ChangeCounts::default();
        for counts in self.selected.values() {
            selected.added += counts.added;
            selected.modified += counts.modified;
            selected.removed += counts.removed;
        }
        (selected, self.left_counts)
    }

    /// Marks the changes of one kind and type that the selection takes, whatever their keys are.
    fn mark(
        &mut self,
        store: &Store,
        last_good: Option<&Snapshot>,
        candidate: &Snapshot,
        record_type: &RecordType,
        selection: &Selection,
    ) -> Result<(), ReadError> {
        let (before, after) =
            (Side::new(last_good, record_type), Side::new(Some(candidate), record_type));
        let label = record_type.label();
        let old = store.merged(before.files.iter().copied())?;
        walk(old, store.merged(after.files.iter().copied())?, |step| {
            match change(step).filter(|(op, _, _)| selection.takes(*op, label)) {
                Some((_, _, Some(new))) => after.of(&mut self.taken, &new).add(new.entry.row),
                Some((_, Some(old), None)) => before.of(&mut self.dropped, &old).add(old.entry.row),
                _ => {}
            }
            Ok(())
        })
    }

    /// Counts what is selected and marks what is left.
    fn settle(
        &mut self,
        store: &Store,
        last_good: Option<&Snapshot>,
        candidate: &Snapshot,
        record_type: RecordType,
    ) -> Result<(), ReadError> {
        let (before, after) =
            (Side::new(last_good, &record_type), Side::new(Some(candidate), &record_type));
        let mut selected = ChangeCounts::default();
        let old = store.merged(before.files.iter().copied())?;
        walk(old, store.merged(after.files.iter().copied())?, |step| {
            let Some((op, old, new)) = change(step) else { return Ok::<_, ReadError>(()) };
            let is_selected = match (&old, &new) {
                (_, Some(new)) => after.of(&mut self.taken, new).has(new.entry.row),
                (Some(old), None) => before.of(&mut self.dropped, old).has(old.entry.row),
                (None, None) => false,
            };
            if is_selected {
                count(&mut selected, op);
                return Ok(());
            }
            count(&mut self.left_counts, op);
            if let Some(old) = old {
                before.of(&mut self.left, &old).add(old.entry.row);
            }
            Ok(())
        })?;
        self.selected.insert(record_type, selected);
        Ok(())
    }
}

/// Drops the rows whose keys do not fit.
fn keep_fitting(
    store: &Store,
    snapshot: Option<&Snapshot>,
    chosen: &mut [Chosen],
    selection: &Selection,
) -> Result<(), ReadError> {
    let files = snapshot.into_iter().flat_map(|of| &of.manifest.files);
    for (entry, chosen) in files.zip(chosen).filter(|(_, chosen)| chosen.count() > 0) {
        let mut fitting = Chosen::none(entry.rows);
        store.open_data(entry)?.each_key(chosen, |row, key| {
            if selection.fits(key) {
                fitting.add(row);
            }
        })?;
        *chosen = fitting;
    }
    Ok(())
}
