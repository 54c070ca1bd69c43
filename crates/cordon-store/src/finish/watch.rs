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
//! It runs beside the walk, on a thread of its own, and has rows read while the walk goes on: of a type
//! that has ended, and before that where no more of them will be wanted.

mod listing;
mod rows;
mod told;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::thread::{Scope, ScopedJoinHandle};

use cordon_model::{RecordKind, Row, ScopeOutcome, Value, columns};
use cordon_validate::detect::{Key, Observer, Seen, Step};

use crate::finish::Reports;
use crate::finish::sides::{Opened, Side, Sides};
use crate::hash::{KeyHash, KeyHasher, RowHash};
use crate::read_error::ReadError;
use crate::stage::HeldOn;
use listing::Listing;
use rows::{ChangedRow, ROWS_BYTES_MAX, Reading, RowsOf};
pub(super) use told::Teller;
use told::{Batch, Changed, Listener, Told, telling};

/// Readings that go on beside the walk: the files that they read are open.
const READINGS_MAX: usize = 8;

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
                        readings.extend(of.rows.read_full(scope));
                    }
                    listener.give_back(batch);
                    if readings.front().is_some_and(ScopedJoinHandle::is_finished) {
                        self.settle(readings.pop_front())?;
                    }
                }
                Told::Type(opened) => {
                    if let Some(of) = current.take() {
                        self.end(of, &mut readings, scope)?;
                    }
                    current = Some(self.begin(opened));
                }
            }
            while readings.len() > READINGS_MAX {
                self.settle(readings.pop_front())?;
            }
        }
        if let Some(of) = current {
            self.show(of.rows.read()?);
        }
        self.settle(readings)?;
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
        OfType {
            before: Listing::new(&sides.files(Side::Before), &self.proven),
            after: Listing::new(&sides.files(Side::After), &self.proven),
            rows: RowsOf::new(opened),
        }
    }

    /// Ends a kind and type: what is still wanted of its rows is read while others are walked.
    fn end<'scope, 'a: 'scope>(
        &mut self,
        of: OfType<'a>,
        readings: &mut VecDeque<Reading<'scope>>,
        scope: &'scope Scope<'scope, '_>,
    ) -> Result<(), ReadError> {
        // What an entitlement was held on that is gone has to be known before its grants are seen.
        if of.rows.kind() == RecordKind::Entitlement {
            self.show(of.rows.read()?);
            return self.settle(readings.drain(..));
        }
        readings.extend(of.rows.read_beside(scope));
        Ok(())
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
        self.observer.keep(batch.kept);
        let grants = batch.grants.iter();
        let grants = grants.map(|kept| (kept.entitlement, of.before.position(kept.file, kept.row)));
        self.observer.keep_grants(grants, &batch.principals, batch.privileged);
        for changed in &batch.changed {
            self.change(of, changed);
        }
    }

    fn change(&mut self, of: &mut OfType<'_>, changed: &Changed) {
        let Changed { old, new, privileged } = changed;
        let Some(located) = old.as_ref().or(new.as_ref()) else { return };
        let key = shown(located.entry.key);
        let target = match of.rows.kind() {
            RecordKind::Grant => self.observer.target(key.low),
            RecordKind::Resource | RecordKind::Entitlement => 0,
        };
        self.observer.see(&Seen {
            key,
            target,
            before: old.map(|old| of.before.place(&old, privileged.0)),
            after: new.map(|new| of.after.place(&new, privileged.1)),
        });
        of.rows.want(changed, &mut self.bytes_left);
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

/// One kind and type while it is watched.
struct OfType<'a> {
    before: Listing,
    after: Listing,
    rows: RowsOf<'a>,
}

/// A key as an observer is shown it.
fn shown(key: KeyHash) -> Key {
    Key { high: key.high, low: key.low }
}

/// The half of a row's hash that an observer is shown.
fn half(hash: &RowHash) -> u64 {
    hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
