//! The step from one snapshot to the next, record by record.
//!
//! Removals come first, grants before what they refer to; then what is new or changed, resources
//! before entitlements before grants. Whoever applies changes in this order never points at something
//! that is not there. Within a type the order is that of rows in their files, so that files are read
//! from front to back however many changes there are. The same two snapshots always give the same
//! order, which is what lets a delivery resume by number.
//!
//! There are two views of a snapshot. What it holds is what is judged and reviewed. What sinks are told
//! also has the records whose removal is accepted and not final: becoming a tombstone, and coming back
//! from it, are modifications to them.

use std::collections::{BTreeMap, VecDeque};

use cordon_model::{Change, ChangeOp, PendingRemoval, RecordType, Row};
use serde::{Deserialize, Serialize};

use crate::index::{Located, Merged, Step, walk};
use crate::manifest::{FileEntry, Since};
use crate::read_error::{Damage, ReadError};
use crate::rows::{DataFile, Fetched};
use crate::snapshot::Snapshot;
use crate::sorter::{Fixed, Sorted, Sorter};
use crate::store::Store;

mod view;

use view::{Files, View};
pub(crate) use view::{Sides, types};

/// Bytes of rows that are fetched together, at most.
const BLOCK_BYTES_MAX: u64 = 32 << 20;

/// Changes of one kind and type, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChangeCounts {
    /// Keys that are new.
    pub added: u64,
    /// Keys with other values.
    pub modified: u64,
    /// Keys that are gone.
    pub removed: u64,
}

impl ChangeCounts {
    /// All changes.
    pub fn total(&self) -> u64 {
        self.added + self.modified + self.removed
    }
}

impl Store {
    /// The changes from one snapshot (none: from nothing) to another, without the first `skip`.
    /// Records that are skipped are counted, not read.
    pub fn changes(
        &self,
        from: Option<&Snapshot>,
        to: &Snapshot,
        skip: u64,
    ) -> Result<Changes, ReadError> {
        self.changes_in(View::Held, from, to, skip)
    }

    /// The same as sinks are told of them, pending removals included.
    pub fn deliveries(
        &self,
        from: Option<&Snapshot>,
        to: &Snapshot,
        skip: u64,
    ) -> Result<Changes, ReadError> {
        self.changes_in(View::Told, from, to, skip)
    }

    fn changes_in(
        &self,
        view: View,
        from: Option<&Snapshot>,
        to: &Snapshot,
        skip: u64,
    ) -> Result<Changes, ReadError> {
        let types = view.types(from, to);
        let removed = types.iter().rev().map(|of| (Phase::Removed, of.clone()));
        let present = types.iter().map(|of| (Phase::Present, of.clone()));
        let mut changes = Changes {
            store: self.clone(),
            view,
            from: from.cloned(),
            to: to.clone(),
            sections: removed.chain(present).collect(),
            skip,
            running: None,
        };
        // A damaged index is reported here, where nothing was delivered yet, not half way.
        changes.start_section()?;
        Ok(changes)
    }

    /// Every record of one kind and type, as an addition to nothing.
    pub fn records(&self, of: &Snapshot, record_type: &RecordType) -> Result<Changes, ReadError> {
        let mut records = Changes {
            store: self.clone(),
            view: View::Held,
            from: None,
            to: of.clone(),
            sections: [(Phase::Present, record_type.clone())].into(),
            skip: 0,
            running: None,
        };
        records.start_section()?;
        Ok(records)
    }

    /// How many changes there are, by kind and type; types without one are absent.
    pub fn change_counts(
        &self,
        from: Option<&Snapshot>,
        to: &Snapshot,
    ) -> Result<BTreeMap<RecordType, ChangeCounts>, ReadError> {
        let mut counted = BTreeMap::new();
        for record_type in types(from, to) {
            let before = View::Held.files(from, &record_type);
            let after = View::Held.files(Some(to), &record_type);
            let sides = Sides { before: before.live, after: after.live };
            let counts = count(sides, self.merged(before.all)?, self.merged(after.all)?)?;
            if counts != ChangeCounts::default() {
                counted.insert(record_type, counts);
            }
        }
        Ok(counted)
    }
}

/// Counts the changes of one kind and type.
pub(crate) fn count(
    sides: Sides,
    before: Merged,
    after: Merged,
) -> Result<ChangeCounts, ReadError> {
    let mut counts = ChangeCounts::default();
    walk(before, after, |step| {
        match step {
            Step::Added(_) => counts.added += 1,
            Step::Removed(_) => counts.removed += 1,
            Step::Both { before, after } if sides.differ(&before, &after) => counts.modified += 1,
            Step::Both { .. } => {}
        }
        Ok::<_, ReadError>(())
    })?;
    Ok(counts)
}

/// Which changes a section has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Records that are gone.
    Removed,
    /// Records that are new or have other values.
    Present,
}

/// A row of a side: its file and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    file: u32,
    row: u32,
}

impl From<Located> for Place {
    fn from(Located { file, entry }: Located) -> Self {
        Self { file, row: entry.row }
    }
}

/// A change whose rows were not fetched yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    /// Where it is: the new row, or of a removal the old one. Gives the order.
    place: Place,
    /// The old row of a modification.
    before: Option<Place>,
    /// The ordinal of the scope that it is in.
    scope: u32,
}

impl Fixed for Pending {
    type Key = Place;
    const BYTES: usize = 20;

    fn key(&self) -> Place {
        self.place
    }

    fn put(&self, out: &mut [u8]) {
        // No snapshot has so many files of one type.
        let before = self.before.unwrap_or(Place { file: u32::MAX, row: 0 });
        let numbers = [self.place.file, self.place.row, before.file, before.row, self.scope];
        for (number, out) in numbers.iter().zip(out.chunks_exact_mut(4)) {
            out.copy_from_slice(&number.to_le_bytes());
        }
    }

    fn get(bytes: &[u8]) -> Self {
        let mut numbers = bytes.chunks_exact(4).map(|number| {
            u32::from_le_bytes(*number.first_chunk().expect("a chunk has four bytes"))
        });
        let mut next = || numbers.next().expect("a pending change has 20 bytes");
        let place = Place { file: next(), row: next() };
        let before = Place { file: next(), row: next() };
        let scope = next();
        Self { place, before: (before.file != u32::MAX).then_some(before), scope }
    }
}

/// Changes in a stable order, read as they are asked for. After an error there are no more.
#[derive(Debug)]
pub struct Changes {
    store: Store,
    view: View,
    from: Option<Snapshot>,
    to: Snapshot,
    sections: VecDeque<(Phase, RecordType)>,
    skip: u64,
    running: Option<Section>,
}

/// The section that is being read.
#[derive(Debug)]
struct Section {
    phase: Phase,
    record_type: RecordType,
    sorted: Sorted<Pending>,
    before: Side,
    after: Side,
    /// Files of the new side that hold records.
    live: usize,
    /// Since when removals are pending, by file behind those and by scope.
    since: Vec<Vec<Since>>,
    block: VecDeque<Pending>,
    block_max: usize,
}

/// The files of one side that were needed so far, and the rows of the current block.
#[derive(Debug, Default)]
struct Side {
    files: Vec<FileEntry>,
    open: Vec<Option<DataFile>>,
    fetched: Vec<Option<Fetched>>,
}

impl Side {
    fn new(files: &[&FileEntry]) -> Self {
        Self {
            files: files.iter().map(|file| (*file).clone()).collect(),
            open: files.iter().map(|_| None).collect(),
            fetched: files.iter().map(|_| None).collect(),
        }
    }

    fn row_bytes_max(&self) -> u64 {
        self.files.iter().map(|file| file.row_bytes_max).max().unwrap_or(0)
    }

    /// Fetches all rows of a block, each file once.
    fn fetch(
        &mut self,
        store: &Store,
        places: impl Iterator<Item = Place>,
    ) -> Result<(), ReadError> {
        let mut rows = vec![Vec::new(); self.files.len()];
        places.for_each(|place| rows[place.file as usize].push(place.row));
        for (file, mut rows) in rows.into_iter().enumerate() {
            self.fetched[file] = None;
            if rows.is_empty() {
                continue;
            }
            rows.sort_unstable();
            rows.dedup();
            let open = match &mut self.open[file] {
                Some(open) => open,
                none => none.insert(store.open_data(&self.files[file])?),
            };
            self.fetched[file] = Some(open.fetch(&rows)?);
        }
        Ok(())
    }

    fn row(&self, place: Place) -> Result<Row, ReadError> {
        let file = place.file as usize;
        let open = self.open[file].as_ref().expect("the block's files are open");
        let fetched = self.fetched[file].as_ref().expect("the block's rows were fetched");
        open.row(fetched, place.row).ok_or_else(|| {
            let damage = Damage::Rows { expected: u64::from(place.row) + 1, found: 0 };
            ReadError::damaged(open.path(), damage)
        })
    }
}

impl Changes {
    /// Walks the indexes for the next section that is not skipped whole.
    fn start_section(&mut self) -> Result<(), ReadError> {
        while let Some((phase, record_type)) = self.sections.pop_front() {
            let Files { all: before, live } = self.view.files(self.from.as_ref(), &record_type);
            let was_live = live;
            let Files { all: after, live } = self.view.files(Some(&self.to), &record_type);
            let sides = Sides { before: was_live, after: live };
            let mut sorter = Sorter::new(&self.store.shared.layout.staging());
            let mut count = 0;
            let max = self.store.limits.target_entries;
            walk(self.store.merged(before.clone())?, self.store.merged(after.clone())?, |step| {
                if let Some(pending) = pending(phase, sides, step) {
                    sorter.push(pending);
                    sorter.shrink(max)?;
                    count += 1;
                }
                Ok::<_, ReadError>(())
            })?;
            if count <= self.skip {
                self.skip -= count;
                continue;
            }
            let mut sorted = sorter.into_sorted()?;
            for _ in 0..std::mem::take(&mut self.skip) {
                sorted.next()?;
            }
            let (before, after) = (Side::new(&before), Side::new(&after));
            let row_bytes = before.row_bytes_max().max(after.row_bytes_max()).max(1);
            let most = self.store.limits.block_changes as u64;
            let block_max = (BLOCK_BYTES_MAX / row_bytes).clamp(1, most) as usize;
            let block = VecDeque::new();
            let since = self.view.since(&self.to, &record_type);
            self.running = Some(Section {
                phase,
                record_type,
                sorted,
                before,
                after,
                live,
                since,
                block,
                block_max,
            });
            return Ok(());
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Option<Change>, ReadError> {
        while let Some(section) = &mut self.running {
            if let Some(change) = section.next(&self.store)? {
                return Ok(Some(change));
            }
            self.running = None;
            self.start_section()?;
        }
        Ok(None)
    }
}

impl Iterator for Changes {
    type Item = Result<Change, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let taken = self.take();
        if taken.is_err() {
            self.running = None;
        }
        taken.transpose()
    }
}

impl Section {
    fn next(&mut self, store: &Store) -> Result<Option<Change>, ReadError> {
        if self.block.is_empty() {
            while self.block.len() < self.block_max
                && let Some(pending) = self.sorted.next()?
            {
                self.block.push_back(pending);
            }
            let places = self.block.iter().map(|pending| pending.place);
            match self.phase {
                Phase::Removed => self.before.fetch(store, places)?,
                Phase::Present => {
                    self.after.fetch(store, places)?;
                    let before = self.block.iter().filter_map(|pending| pending.before);
                    self.before.fetch(store, before)?;
                }
            }
        }
        let Some(pending) = self.block.pop_front() else { return Ok(None) };
        let pending_removal = self.pending_removal(&pending);
        let (op, before, after) = match (self.phase, pending.before) {
            (Phase::Removed, _) => (ChangeOp::Removed, Some(pending.place), None),
            (Phase::Present, None) => (ChangeOp::Added, None, Some(pending.place)),
            (Phase::Present, old) => (ChangeOp::Modified, old, Some(pending.place)),
        };
        let before = before.map(|place| self.before.row(place)).transpose()?;
        let after = after.map(|place| self.after.row(place)).transpose()?;
        let key = after.as_ref().or(before.as_ref()).map(Row::key).unwrap_or_default();
        let record_type = self.record_type.clone();
        Ok(Some(Change { op, record_type, key, before, after, pending_removal }))
    }

    /// Since when the new row is a tombstone's.
    fn pending_removal(&self, pending: &Pending) -> Option<PendingRemoval> {
        if self.phase == Phase::Removed {
            return None;
        }
        let dead = (pending.place.file as usize).checked_sub(self.live)?;
        let Since { sync, at } = *self.since.get(dead)?.get(pending.scope as usize)?;
        Some(PendingRemoval { sync, since: at })
    }
}

fn pending(phase: Phase, sides: Sides, step: Step) -> Option<Pending> {
    let (of, before) = match (phase, step) {
        (Phase::Removed, Step::Removed(old)) => (old, None),
        (Phase::Present, Step::Added(new)) => (new, None),
        (Phase::Present, Step::Both { before, after }) if sides.differ(&before, &after) => {
            (after, Some(before.into()))
        }
        _ => return None,
    };
    Some(Pending { place: of.into(), before, scope: of.entry.scope() })
}
