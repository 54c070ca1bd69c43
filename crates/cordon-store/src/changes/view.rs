//! Two views of a snapshot: what it holds, and what sinks are told of.

use cordon_model::RecordType;

use crate::index::Located;
use crate::manifest::{FileEntry, Since, Tombstones};
use crate::snapshot::Snapshot;

/// What of a snapshot is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// Its records.
    Held,
    /// Its records and those whose removal is pending.
    Told,
}

/// Files of one kind and type: records first, then tombstones.
pub(super) struct Files<'a> {
    pub(super) all: Vec<&'a FileEntry>,
    pub(super) live: usize,
}

impl View {
    fn tombstones(self, of: Option<&Snapshot>) -> &[Tombstones] {
        match (self, of) {
            (Self::Told, Some(of)) => &of.manifest.tombstones,
            _ => &[],
        }
    }

    pub(super) fn types(self, from: Option<&Snapshot>, to: &Snapshot) -> Vec<RecordType> {
        let mut all = types(from, to);
        for of in from.into_iter().chain([to]) {
            all.extend(self.tombstones(Some(of)).iter().map(|dead| dead.file.record_type.clone()));
        }
        all.sort();
        all.dedup();
        all
    }

    pub(super) fn files<'a>(self, of: Option<&'a Snapshot>, record_type: &RecordType) -> Files<'a> {
        let files = of.into_iter().flat_map(|of| &of.manifest.files);
        let mut all: Vec<_> = files.filter(|file| file.record_type == *record_type).collect();
        let live = all.len();
        let dead = self.tombstones(of).iter().map(|dead| &dead.file);
        all.extend(dead.filter(|file| file.record_type == *record_type));
        Files { all, live }
    }

    /// Since when, by tombstone's file of this kind and type and by scope.
    pub(super) fn since(self, of: &Snapshot, record_type: &RecordType) -> Vec<Vec<Since>> {
        let dead = self.tombstones(Some(of)).iter();
        let dead = dead.filter(|dead| dead.file.record_type == *record_type);
        dead.map(|dead| dead.since.clone()).collect()
    }
}

/// How many of the files on each side hold records, and not tombstones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sides {
    pub(crate) before: usize,
    pub(crate) after: usize,
}

impl Sides {
    pub(super) fn differ(self, before: &Located, after: &Located) -> bool {
        let (was_dead, is_dead) =
            (before.file as usize >= self.before, after.file as usize >= self.after);
        before.entry.hash != after.entry.hash || was_dead != is_dead
    }
}

/// Every kind and type of either side, in order.
pub(crate) fn types(from: Option<&Snapshot>, to: &Snapshot) -> Vec<RecordType> {
    let both = from.into_iter().chain([to]);
    let mut types: Vec<_> =
        both.flat_map(|of| of.manifest.files.iter().map(|file| file.record_type.clone())).collect();
    types.sort();
    types.dedup();
    types
}
