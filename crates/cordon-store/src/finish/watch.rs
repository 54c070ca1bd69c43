//! What the detector is shown of a step, while both sides are walked anyway.
//!
//! Every record once, as its index knows it; then the rows of some that changed. Indexes are in the
//! order of key hashes, so the first so many changed records are a fair sample of all, and of a
//! sample few pages have to be read. What it holds has bounds: those of the [`Observer`], and
//! [`ROWS_BYTES_MAX`] for rows.
//!
//! A grant's index entry knows its entitlement. What that is held on was collected while the sync
//! arrived; of an entitlement that is gone its row tells; else the entitlement stands for itself.
//!
//! It runs beside the walk, on a thread of its own, and reads the rows of one type while the next is
//! walked.

mod listing;
mod told;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::thread::{Scope, ScopedJoinHandle};

use cordon_model::{RecordKind, Row, ScopeOutcome, Value, columns};
use cordon_validate::detect::{Kept, Key, Observer, Seen, Step};

use crate::finish::Reports;
use crate::finish::sides::{Opened, Side, Sides};
use crate::hash::{KeyHash, KeyHasher, RowHash};
use crate::read_error::ReadError;
use crate::stage::HeldOn;
use listing::Listing;
pub(super) use told::Teller;
use told::{Batch, Changed, Listener, Told, telling};

/// Rows that are read of the changed records of a type, in each direction of change.
const ROWS_MAX: u64 = 10_000;
/// The same of grants: beyond their keys, which the index has, their rows say little.
const GRANTS_MAX: u64 = 500;
/// Bytes of all rows that are read, about.
const ROWS_BYTES_MAX: u64 = 64 << 20;
/// What a value takes beside its bytes.
const VALUE_BYTES: u64 = 96;
/// Types whose rows are read while others are walked: their files are open.
const READINGS_MAX: usize = 4;

/// Shows a step to an observer.
pub(crate) struct Watch {
    observer: Observer,
    hasher: KeyHasher,
    /// Scopes whose records the source counts as they arrived.
    proven: BTreeSet<String>,
    bytes_left: u64,
}

/// The step while it is measured.
pub(super) type Measuring<'scope> = ScopedJoinHandle<'scope, Result<Step, ReadError>>;

impl Watch {
    pub(crate) fn new(reports: &Reports, held_on: HeldOn, hasher: KeyHasher) -> Self {
        let proven = reports.values().filter(|report| {
            report.outcome == ScopeOutcome::Complete && report.source_total == Some(report.received)
        });
        Self {
            observer: Observer::knowing(held_on.into_known()),
            hasher,
            proven: proven.map(|report| report.name.clone()).collect(),
            bytes_left: ROWS_BYTES_MAX,
        }
    }

    /// Watches what the teller tells, until that is dropped.
    pub(super) fn start<'scope, 'a: 'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
    ) -> (Teller<'a>, Measuring<'scope>) {
        let (teller, listener) = telling();
        (teller, scope.spawn(move || self.follow(scope, &listener)))
    }

    fn follow<'scope, 'a: 'scope>(
        mut self,
        scope: &'scope Scope<'scope, '_>,
        listener: &Listener<'a>,
    ) -> Result<Step, ReadError> {
        let mut current: Option<OfType<'a>> = None;
        let mut readings: VecDeque<Reading<'scope>> = VecDeque::new();
        for told in &listener.told {
            match told {
                Told::Records(batch) => {
                    if let Some(of) = &mut current {
                        self.see(of, &batch);
                    }
                    listener.give_back(batch);
                    if readings.front().is_some_and(ScopedJoinHandle::is_finished) {
                        self.settle(readings.pop_front())?;
                    }
                }
                Told::Type(opened) => {
                    let next = self.begin(opened);
                    if let Some(of) = current.replace(next) {
                        readings.extend(self.read(of, scope)?);
                        if readings.len() > READINGS_MAX {
                            self.settle(readings.pop_front())?;
                        }
                    }
                }
            }
        }
        self.settle(readings)?;
        if let Some(of) = current {
            self.show(of.read(true)?);
        }
        let step = Step::of(&mut self.observer);
        // What was seen may be much, and nobody waits until its memory is given back.
        let _ = std::thread::Builder::new().spawn(move || drop(self.observer));
        Ok(step)
    }

    /// Begins a kind and type.
    fn begin<'a>(&mut self, opened: Arc<Opened<'a>>) -> OfType<'a> {
        let sides = opened.sides;
        self.observer.section(sides.record_type);
        self.columns(sides);
        let row_bytes = |side| {
            let largest = sides.files(side).into_iter().map(|file| {
                file.row_bytes_max.saturating_add(VALUE_BYTES * file.columns.len() as u64)
            });
            largest.max().unwrap_or(1).max(1)
        };
        OfType {
            before: Listing::new(&sides.files(Side::Before), &self.proven),
            after: Listing::new(&sides.files(Side::After), &self.proven),
            row_bytes: row_bytes(Side::Before).max(row_bytes(Side::After)),
            opened,
            wanted: Vec::new(),
            counts: HashMap::new(),
        }
    }

    /// How many records have a value in each column.
    fn columns(&mut self, sides: &Sides<'_>) {
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

    /// Shows records.
    fn see(&mut self, of: &mut OfType<'_>, batch: &Batch) {
        for kept in &batch.kept {
            self.observer.keep(&Kept {
                key: shown(kept.key),
                hash: kept.hash,
                position: of.before.position(kept.file, kept.row),
                privileged: kept.privileged,
            });
        }
        for changed in &batch.changed {
            self.change(of, changed);
        }
    }

    fn change(&mut self, of: &mut OfType<'_>, changed: &Changed) {
        let Changed { old, new, privileged } = changed;
        let Some(located) = old.as_ref().or(new.as_ref()) else { return };
        let key = shown(located.entry.key);
        let target = match of.kind() {
            RecordKind::Grant => self.observer.target(key.low),
            RecordKind::Resource | RecordKind::Entitlement => 0,
        };
        self.observer.see(&Seen {
            key,
            target,
            before: old.map(|old| of.before.place(&old, privileged.0)),
            after: new.map(|new| of.after.place(&new, privileged.1)),
        });
        self.bytes_left = of.want(changed, self.bytes_left);
    }

    /// Reads the rows that are wanted of a type that has ended, while others are walked.
    fn read<'scope, 'a: 'scope>(
        &mut self,
        of: OfType<'a>,
        scope: &'scope Scope<'scope, '_>,
    ) -> Result<Option<Reading<'scope>>, ReadError> {
        // What an entitlement was held on that is gone has to be known before its grants are seen.
        if of.kind() == RecordKind::Entitlement {
            self.show(of.read(true)?);
            return Ok(None);
        }
        let is_any = !of.wanted.is_empty();
        Ok(is_any.then(|| scope.spawn(move || of.read(false))))
    }

    /// Shows what was read meanwhile.
    fn settle<'scope>(
        &mut self,
        readings: impl IntoIterator<Item = Reading<'scope>>,
    ) -> Result<(), ReadError> {
        for reading in readings {
            self.show(reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(())
    }

    /// Shows rows of changed records.
    fn show(&mut self, rows: Vec<ChangedRow>) {
        for ChangedRow { key, before, after } in rows {
            if let Some(row) = before.as_ref().filter(|_| after.is_none())
                && row.record_type.kind == RecordKind::Entitlement
            {
                self.remember(key.high, row);
            }
            self.observer.row(key, before, after);
        }
    }

    /// What an entitlement that is gone was held on.
    fn remember(&mut self, entitlement: u64, row: &Row) {
        if let Some(Value::Text(resource)) = row.values.get(columns::RESOURCE) {
            let resource = self.hasher.reference(resource);
            self.observer.held_on([(entitlement, resource)]);
        }
    }
}

/// Rows of a type while they are read.
type Reading<'scope> = ScopedJoinHandle<'scope, Result<Vec<ChangedRow>, ReadError>>;

/// A changed record as its rows have it, on the sides where it is.
struct ChangedRow {
    key: Key,
    before: Option<Row>,
    after: Option<Row>,
}

/// One kind and type while it is watched.
struct OfType<'a> {
    opened: Arc<Opened<'a>>,
    before: Listing,
    after: Listing,
    row_bytes: u64,
    wanted: Vec<Changed>,
    counts: HashMap<(bool, bool), u64>,
}

impl OfType<'_> {
    fn kind(&self) -> RecordKind {
        self.opened.sides.record_type.kind
    }

    /// Notes that the rows of a changed record are wanted, while there is room; returns what is left
    /// of it.
    fn want(&mut self, changed: &Changed, bytes_left: u64) -> u64 {
        let sides = (changed.old.is_some(), changed.new.is_some());
        let rows = u64::from(sides.0) + u64::from(sides.1);
        let Some(left) = bytes_left.checked_sub(rows * self.row_bytes) else { return bytes_left };
        let most = if self.kind() == RecordKind::Grant { GRANTS_MAX } else { ROWS_MAX };
        let count = self.counts.entry(sides).or_default();
        if *count >= most {
            return bytes_left;
        }
        *count += 1;
        self.wanted.push(*changed);
        left
    }

    /// Reads the rows that are wanted.
    fn read(&self, is_waited_for: bool) -> Result<Vec<ChangedRow>, ReadError> {
        let places = self.wanted.iter().flat_map(|Changed { old, new, .. }| {
            let old = old.map(|old| (Side::Before, old));
            old.into_iter().chain(new.map(|new| (Side::After, new)))
        });
        let places: Vec<_> = places.collect();
        let mut rows = self.opened.rows(&places, is_waited_for)?.into_iter();
        let read = self.wanted.iter().filter_map(|Changed { old, new, .. }| {
            let key = shown(old.or(*new)?.entry.key);
            let before = old.and_then(|_| rows.next());
            let after = new.and_then(|_| rows.next());
            Some(ChangedRow { key, before, after })
        });
        Ok(read.collect())
    }
}

/// A key as an observer is shown it.
fn shown(key: KeyHash) -> Key {
    Key { high: key.high, low: key.low }
}

/// The half of a row's hash that an observer is shown.
fn half(hash: &RowHash) -> u64 {
    hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
