//! What the detector is shown of a step, while both sides are walked anyway.
//!
//! Every record once, as its index knows it; then the rows of some that changed. Indexes are in the
//! order of key hashes, so the first so many changed records are a fair sample of all, and of a
//! sample few pages have to be read. What it holds has bounds: those of the [`Observer`], and
//! [`ROWS_BYTES_MAX`] for rows.
//!
//! A grant's index entry knows its entitlement. What that is held on was collected while the sync
//! arrived; of an entitlement that is gone its row tells; else the entitlement stands for itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cordon_model::{RecordKind, Row, ScopeOutcome, Value, columns};
use cordon_validate::detect::{Kept, Key, Observer, Place, Seen, Step};

use crate::finish::Reports;
use crate::finish::sides::{Opened, Side, Sides};
use crate::hash::{KeyHasher, RowHash};
use crate::index::Located;
use crate::manifest::FileEntry;
use crate::read_error::ReadError;
use crate::stage::HeldOn;

/// Rows that are read of the changed records of a type, in each direction of change.
const ROWS_MAX: u64 = 10_000;
/// The same of grants: beyond their keys, which the index has, their rows say little.
const GRANTS_MAX: u64 = 500;
/// Bytes of all rows that are read, about.
const ROWS_BYTES_MAX: u64 = 64 << 20;
/// What a value takes beside its bytes.
const VALUE_BYTES: u64 = 96;

/// Shows a step to an observer.
pub(crate) struct Watch {
    observer: Observer,
    hasher: KeyHasher,
    /// Scopes whose records the source counts as they arrived.
    proven: BTreeSet<String>,
    bytes_left: u64,
}

impl Watch {
    pub(crate) fn new(reports: &Reports, held_on: HeldOn, hasher: KeyHasher) -> Self {
        let proven = reports.values().filter(|report| {
            report.outcome == ScopeOutcome::Complete && report.source_total == Some(report.received)
        });
        let mut observer = Observer::new();
        observer.held_on(held_on.into_map());
        Self {
            observer,
            hasher,
            proven: proven.map(|report| report.name.clone()).collect(),
            bytes_left: ROWS_BYTES_MAX,
        }
    }

    /// Begins a kind and type.
    pub(super) fn begin(&mut self, sides: &Sides<'_>) -> OfType {
        self.observer.section(sides.record_type);
        let row_bytes = |side| {
            let largest = sides.files(side).into_iter().map(|file| {
                file.row_bytes_max.saturating_add(VALUE_BYTES * file.columns.len() as u64)
            });
            largest.max().unwrap_or(1).max(1)
        };
        let row_bytes = row_bytes(Side::Before).max(row_bytes(Side::After));
        OfType {
            kind: sides.record_type.kind,
            before: Listing::new(&sides.files(Side::Before), &self.proven),
            after: Listing::new(&sides.files(Side::After), &self.proven),
            row_bytes,
            changed: Vec::new(),
            counts: HashMap::new(),
        }
    }

    /// Shows a record that was found on one side or both. `privileged` says on which of them it is a
    /// grant of a privileged entitlement.
    #[inline]
    pub(super) fn see(
        &mut self,
        of: &mut OfType,
        old: Option<&Located>,
        new: Option<&Located>,
        privileged: (bool, bool),
    ) {
        let Some(located) = old.or(new) else { return };
        let key = Key { high: located.entry.key.high, low: located.entry.key.low };
        if let Some((old, _)) = old.zip(new).filter(|(old, new)| old.entry.hash == new.entry.hash) {
            let kept = Kept {
                key,
                hash: half(&old.entry.hash),
                position: of.before.position(old),
                privileged: privileged.0,
            };
            self.observer.keep(&kept);
            return;
        }
        let target = match of.kind {
            RecordKind::Grant => self.observer.target(key.low),
            RecordKind::Resource | RecordKind::Entitlement => 0,
        };
        self.observer.see(&Seen {
            key,
            target,
            before: old.map(|old| of.before.place(old, privileged.0)),
            after: new.map(|new| of.after.place(new, privileged.1)),
        });
        self.bytes_left = of.want(key, old, new, self.bytes_left);
    }

    /// Ends a kind and type: shows its changed rows, as far as they are wanted, and its columns.
    pub(super) fn end(&mut self, of: &OfType, opened: &mut Opened<'_>) -> Result<(), ReadError> {
        let wanted = of.changed.iter().flat_map(|(_, old, new)| {
            let old = old.map(|old| (Side::Before, old));
            old.into_iter().chain(new.map(|new| (Side::After, new)))
        });
        let wanted: Vec<_> = wanted.collect();
        let mut rows = opened.rows(&wanted)?.into_iter();
        for (key, old, new) in &of.changed {
            let before = old.and_then(|_| rows.next());
            let after = new.and_then(|_| rows.next());
            if of.kind == RecordKind::Entitlement
                && let Some(row) = before.as_ref().filter(|_| after.is_none())
            {
                self.remember(key.high, row);
            }
            self.observer.row(*key, before.as_ref(), after.as_ref());
        }
        Ok(())
    }

    /// What an entitlement that is gone was held on.
    fn remember(&mut self, entitlement: u64, row: &Row) {
        if let Some(Value::Text(resource)) = row.values.get(columns::RESOURCE) {
            let resource = self.hasher.reference(resource);
            self.observer.held_on([(entitlement, resource)]);
        }
    }

    /// How many records have a value in each column.
    pub(super) fn columns(&mut self, sides: &Sides<'_>) {
        let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let (before, after) = (sides.files(Side::Before), sides.files(Side::After));
        for column in before.iter().flat_map(|file| &file.columns) {
            counts.entry(&column.name).or_default().0 += column.present;
        }
        for column in after.iter().flat_map(|file| &file.columns) {
            counts.entry(&column.name).or_default().1 += column.present;
        }
        for (name, (before, after)) in counts {
            self.observer.column(sides.record_type, name, before, after);
        }
    }

    /// The step, measured.
    pub(crate) fn finish(self) -> Step {
        Step::of(self.observer)
    }
}

/// A changed record, and where its rows are.
type Changed = (Key, Option<Located>, Option<Located>);

/// One kind and type while it is watched.
pub(super) struct OfType {
    kind: RecordKind,
    before: Listing,
    after: Listing,
    row_bytes: u64,
    changed: Vec<Changed>,
    counts: HashMap<(bool, bool), u64>,
}

impl OfType {
    /// Notes that the rows of a changed record are wanted, while there is room; returns what is left
    /// of it.
    fn want(
        &mut self,
        key: Key,
        old: Option<&Located>,
        new: Option<&Located>,
        bytes_left: u64,
    ) -> u64 {
        let rows = u64::from(old.is_some()) + u64::from(new.is_some());
        let Some(left) = bytes_left.checked_sub(rows * self.row_bytes) else { return bytes_left };
        let count = self.counts.entry((old.is_some(), new.is_some())).or_default();
        let most = if self.kind == RecordKind::Grant { GRANTS_MAX } else { ROWS_MAX };
        if *count >= most {
            return bytes_left;
        }
        *count += 1;
        self.changed.push((key, old.copied(), new.copied()));
        left
    }
}

/// Where each record of a side stands in the source's listing, and whether its scope is proven.
struct Listing {
    files: Vec<Pieces>,
}

/// The listing of one file.
struct Pieces {
    /// Where its rows begin.
    base: u32,
    /// They are in the order in which the source lists them.
    is_listed: bool,
    /// Where scopes arrived in turns: the first row of each piece, and its place in the listing.
    pieces: Vec<(u32, u32)>,
    /// By scope ordinal.
    proven: Vec<bool>,
}

impl Listing {
    fn new(files: &[&FileEntry], proven: &BTreeSet<String>) -> Self {
        let rows = |file: &FileEntry| u32::try_from(file.rows).unwrap_or(u32::MAX);
        // Of several files one is a listing, the largest: beside it are what was carried forward, or
        // the few changes of a part. It comes last, so that its end is the end of all.
        let largest = files.iter().enumerate().rev().max_by_key(|(_, file)| file.rows);
        let largest = largest.map_or(0, |(at, _)| at);
        let others = files.iter().enumerate().filter(|(at, _)| *at != largest);
        let others = others.fold(0_u32, |sum, (_, file)| sum.saturating_add(rows(file)));
        let mut next = 0_u32;
        let files = files.iter().enumerate().map(|(at, file)| {
            let is_listed = at == largest;
            let base = if is_listed { others } else { next };
            if !is_listed {
                next = next.saturating_add(rows(file));
            }
            Pieces {
                base,
                is_listed,
                pieces: pieces(file, base),
                proven: file.scopes.iter().map(|scope| proven.contains(scope)).collect(),
            }
        });
        Self { files: files.collect() }
    }

    #[inline]
    fn position(&self, located: &Located) -> u32 {
        let (file, row) = (&self.files[located.file as usize], located.entry.row);
        let piece = file.pieces.partition_point(|(first, _)| *first <= row);
        match piece.checked_sub(1).and_then(|piece| file.pieces.get(piece)) {
            Some((first, place)) => place.saturating_add(row - first),
            None => file.base.saturating_add(row),
        }
    }

    fn place(&self, located: &Located, privileged: bool) -> Place {
        let (file, entry) = (&self.files[located.file as usize], &located.entry);
        let (position, hash) = (self.position(located), half(&entry.hash));
        let proven = file.proven[entry.scope() as usize];
        Place { position, hash, proven, privileged, listed: file.is_listed }
    }
}

/// The half of a row's hash that an observer is shown.
fn half(hash: &RowHash) -> u64 {
    hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Puts the pieces of each scope one behind the other, as the source lists it.
fn pieces(file: &FileEntry, base: u32) -> Vec<(u32, u32)> {
    let mut lengths = vec![0_u32; file.scopes.len()];
    for piece in &file.arrival {
        if let Some(length) = lengths.get_mut(piece.scope as usize) {
            *length = length.saturating_add(piece.rows);
        }
    }
    let mut next = base;
    let places = lengths.iter().map(|length| {
        let place = next;
        next = next.saturating_add(*length);
        place
    });
    let mut places: Vec<u32> = places.collect();
    let mut row = 0_u32;
    let placed = file.arrival.iter().filter_map(|piece| {
        let place = places.get_mut(piece.scope as usize)?;
        let placed = (row, *place);
        *place = place.saturating_add(piece.rows);
        row = row.saturating_add(piece.rows);
        Some(placed)
    });
    placed.collect()
}
