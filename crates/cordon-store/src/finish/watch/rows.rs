//! Which rows are read of the records that changed, and when.
//!
//! The first in the order of key hashes, which is a fair sample of all. As soon as so many are wanted as
//! will be read, they are, while the walk goes on: nobody waits for them then, nor until their file is
//! compared with its digest. What is decoded is pages, and those that are wanted of one direction of
//! change lie in the same pages as those of another: so all are read together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{Scope, ScopedJoinHandle};

use cordon_model::{RecordKind, Row};
use cordon_validate::detect::Key;

use crate::finish::sides::{Opened, Side};
use crate::finish::watch::shown;
use crate::finish::watch::told::Changed;
use crate::read_error::ReadError;

/// Rows that are read of the changed records of a type, in each direction of change.
const ROWS_MAX: usize = 10_000;
/// The same of grants: beyond their keys, which the index has, their rows say little.
const GRANTS_MAX: usize = 500;
/// Bytes of all rows that are read, about.
pub(super) const ROWS_BYTES_MAX: u64 = 64 << 20;
/// What a value takes beside its bytes.
const VALUE_BYTES: u64 = 96;

/// A changed record as its rows have it, on the sides where it is.
pub(super) struct ChangedRow {
    pub(super) key: Key,
    pub(super) before: Option<Row>,
    pub(super) after: Option<Row>,
}

/// Rows of a type while they are read.
pub(super) type Reading<'scope> = ScopedJoinHandle<'scope, Result<Vec<ChangedRow>, ReadError>>;

/// Rows that are wanted of a kind and type.
pub(super) struct RowsOf<'a> {
    opened: Arc<Opened<'a>>,
    row_bytes: u64,
    wanted: Wanted,
}

impl<'a> RowsOf<'a> {
    pub(super) fn new(opened: Arc<Opened<'a>>) -> Self {
        let row_bytes = |side| {
            let largest = opened.sides.files(side).into_iter().map(|file| {
                file.row_bytes_max.saturating_add(VALUE_BYTES * file.columns.len() as u64)
            });
            largest.max().unwrap_or(1).max(1)
        };
        let row_bytes = row_bytes(Side::Before).max(row_bytes(Side::After));
        let most = match opened.sides.record_type.kind {
            RecordKind::Grant => GRANTS_MAX,
            RecordKind::Resource | RecordKind::Entitlement => ROWS_MAX,
        };
        Self { opened, row_bytes, wanted: Wanted::new(most) }
    }

    pub(super) fn kind(&self) -> RecordKind {
        self.opened.sides.record_type.kind
    }

    /// Notes that the rows of a changed record are wanted, while there is room for them.
    pub(super) fn want(&mut self, changed: &Changed, bytes_left: &mut u64) {
        let rows = u64::from(changed.old.is_some()) + u64::from(changed.new.is_some());
        if let Some(left) = bytes_left.checked_sub(rows * self.row_bytes)
            && self.wanted.add(changed)
        {
            *bytes_left = left;
        }
    }

    /// Begins to read those that are wanted, where no more will be.
    pub(super) fn read_full<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
    ) -> Option<Reading<'scope>>
    where
        'a: 'scope,
    {
        let wanted = self.wanted.take_full()?;
        Some(self.read_wanted(wanted, scope))
    }

    /// Begins to read all that is left.
    pub(super) fn read_beside<'scope>(
        mut self,
        scope: &'scope Scope<'scope, '_>,
    ) -> Option<Reading<'scope>>
    where
        'a: 'scope,
    {
        let wanted = self.wanted.take();
        (!wanted.is_empty()).then(|| self.read_wanted(wanted, scope))
    }

    fn read_wanted<'scope>(
        &self,
        wanted: Vec<Changed>,
        scope: &'scope Scope<'scope, '_>,
    ) -> Reading<'scope>
    where
        'a: 'scope,
    {
        let opened = Arc::clone(&self.opened);
        scope.spawn(move || read(&opened, &wanted, false))
    }

    /// Reads all that is left, which is waited for.
    pub(super) fn read(mut self) -> Result<Vec<ChangedRow>, ReadError> {
        read(&self.opened, &self.wanted.take(), true)
    }
}

fn read(
    opened: &Opened<'_>,
    wanted: &[Changed],
    is_waited_for: bool,
) -> Result<Vec<ChangedRow>, ReadError> {
    let places = wanted.iter().flat_map(|Changed { old, new, .. }| {
        let old = old.map(|old| (Side::Before, old));
        old.into_iter().chain(new.map(|new| (Side::After, new)))
    });
    let places: Vec<_> = places.collect();
    let mut rows = opened.rows(&places, is_waited_for)?.into_iter();
    let read = wanted.iter().filter_map(|Changed { old, new, .. }| {
        let key = shown(old.or(*new)?.entry.key);
        let before = old.and_then(|_| rows.next());
        let after = new.and_then(|_| rows.next());
        Some(ChangedRow { key, before, after })
    });
    Ok(read.collect())
}

/// Changed records whose rows are wanted.
struct Wanted {
    /// By the sides that they are on.
    directions: BTreeMap<(bool, bool), Direction>,
    /// So many of each direction.
    most: usize,
}

#[derive(Default)]
struct Direction {
    records: Vec<Changed>,
    is_full: bool,
}

impl Wanted {
    fn new(most: usize) -> Self {
        Self { directions: BTreeMap::new(), most }
    }

    /// Says whether there was room.
    fn add(&mut self, changed: &Changed) -> bool {
        let sides = (changed.old.is_some(), changed.new.is_some());
        let direction = self.directions.entry(sides).or_default();
        if direction.is_full {
            return false;
        }
        direction.records.push(*changed);
        direction.is_full = direction.records.len() >= self.most;
        true
    }

    /// Takes all, where each direction that there was so far is full.
    fn take_full(&mut self) -> Option<Vec<Changed>> {
        let is_full = self.directions.values().all(|direction| direction.is_full);
        let wanted = if is_full { self.take() } else { Vec::new() };
        (!wanted.is_empty()).then_some(wanted)
    }

    /// Takes all that are left.
    fn take(&mut self) -> Vec<Changed> {
        let directions = self.directions.values_mut();
        directions.flat_map(|direction| std::mem::take(&mut direction.records)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::KeyHash;
    use crate::index::{Entry, Located};

    fn located(number: u64) -> Located {
        let entry = Entry::new(KeyHash { high: number, low: 0 }, [0; 16], 0, 0, false);
        Located { file: 0, entry }
    }

    fn numbers(wanted: &[Changed]) -> Vec<u64> {
        wanted.iter().map(|it| it.old.or(it.new).unwrap().entry.key.high).collect()
    }

    #[test]
    fn of_each_direction_the_first_are_wanted_and_once_it_is_full_no_more() {
        let mut wanted = Wanted::new(2);
        let gone = |n| Changed { old: Some(located(n)), new: None, privileged: (false, false) };
        let came = |n| Changed { old: None, new: Some(located(n)), privileged: (false, false) };
        assert!(wanted.add(&gone(1)) && wanted.take_full().is_none());
        assert!(wanted.add(&gone(2)) && !wanted.add(&gone(3)));
        assert_eq!(numbers(&wanted.take_full().unwrap()), [1, 2]);
        assert!(wanted.take_full().is_none());
        assert!(!wanted.add(&gone(4)), "they were taken, and it is full still");
        assert!(wanted.add(&came(5)) && wanted.take_full().is_none());
        assert!(wanted.add(&came(6)) && !wanted.add(&came(7)));
        assert_eq!(numbers(&wanted.take_full().unwrap()), [5, 6]);
        let changed = |n| Changed { new: Some(located(n)), ..gone(n) };
        assert!(wanted.add(&changed(8)) && wanted.take_full().is_none());
        assert_eq!(numbers(&wanted.take()), [8]);
        assert!(wanted.take().is_empty());
    }
}
