//! One kind and type on both sides of a step, and the rows of a few of its records.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use cordon_model::{RecordType, Row};

use crate::finish::Part;
use crate::index::Located;
use crate::manifest::FileEntry;
use crate::read_error::{Damage, ReadError};
use crate::rows::DataFile;
use crate::store::Store;

/// One kind and type on both sides.
pub(super) struct Sides<'a> {
    pub(super) store: &'a Store,
    pub(super) record_type: &'a RecordType,
    pub(super) before: Vec<&'a FileEntry>,
    pub(super) after: Vec<&'a Part>,
}

/// A side of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// The last known good.
    Before,
    /// The candidate.
    After,
}

impl<'a> Sides<'a> {
    /// The files of a side.
    pub(super) fn files(&self, side: Side) -> Vec<&'a FileEntry> {
        match side {
            Side::Before => self.before.clone(),
            Side::After => self.after.iter().map(|part| &part.entry).collect(),
        }
    }
}

/// The files of both sides that were needed so far. Opening a stored one reads all of it, to compare
/// it with its digest; so it is done once, whoever asks first.
pub(super) struct Opened<'a> {
    pub(super) sides: &'a Sides<'a>,
    before: Vec<OnceLock<DataFile>>,
    after: Vec<OnceLock<DataFile>>,
    opening: Mutex<()>,
}

impl<'a> Opened<'a> {
    pub(super) fn new(sides: &'a Sides<'a>) -> Self {
        let none = |count| (0..count).map(|_| OnceLock::new()).collect();
        let (before, after) = (none(sides.before.len()), none(sides.after.len()));
        Self { sides, before, after, opening: Mutex::new(()) }
    }

    fn file(&self, side: Side, file: u32) -> Result<&DataFile, ReadError> {
        let (sides, at) = (self.sides, file as usize);
        let place = match side {
            Side::Before => &self.before[at],
            Side::After => &self.after[at],
        };
        let _alone = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = place.get() {
            return Ok(file);
        }
        let opened = match side {
            Side::Before => sides.store.open_data(sides.before[at])?,
            Side::After => sides.after[at].data(sides.store)?,
        };
        Ok(place.get_or_init(|| opened))
    }

    /// The keys of a few records, in their order, wherever their rows are.
    pub(super) fn names(&self, examples: &[(Side, Located)]) -> Result<Vec<String>, ReadError> {
        let mut names = vec![String::new(); examples.len()];
        for ((side, file), places) in by_file(examples) {
            let rows: Vec<_> = places.iter().map(|at| examples[*at].1.entry.row).collect();
            for (place, name) in places.into_iter().zip(self.file(side, file)?.key_texts(&rows)?) {
                names[place] = name;
            }
        }
        Ok(names)
    }

    /// The rows of records, in their order, wherever they are. Where somebody waits for them, the two
    /// sides are read at the same time: nearly all that it takes is decoding pages.
    pub(super) fn rows(
        &self,
        of: &[(Side, Located)],
        is_waited_for: bool,
    ) -> Result<Vec<Row>, ReadError> {
        let files = by_file(of);
        let read = |side: Side| -> Result<Vec<(usize, Row)>, ReadError> {
            let mut found = Vec::new();
            for ((_, file), places) in files.iter().filter(|((of, _), _)| *of == side) {
                read_rows(self.file(side, *file)?, places, of, &mut found)?;
            }
            Ok(found)
        };
        let (before, after) = if is_waited_for {
            std::thread::scope(|scope| {
                let after = scope.spawn(|| read(Side::After));
                let before = read(Side::Before);
                (before, after.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            })
        } else {
            (read(Side::Before), read(Side::After))
        };
        let mut found = before?;
        found.extend(after?);
        found.sort_unstable_by_key(|(at, _)| *at);
        Ok(found.into_iter().map(|(_, row)| row).collect())
    }
}

/// Positions of records by the file that they are in.
fn by_file(of: &[(Side, Located)]) -> BTreeMap<(Side, u32), Vec<usize>> {
    let mut files: BTreeMap<(Side, u32), Vec<usize>> = BTreeMap::new();
    for (at, (side, located)) in of.iter().enumerate() {
        files.entry((*side, located.file)).or_default().push(at);
    }
    files
}

/// Reads the rows of those records that are in one file.
fn read_rows(
    data: &DataFile,
    places: &[usize],
    of: &[(Side, Located)],
    found: &mut Vec<(usize, Row)>,
) -> Result<(), ReadError> {
    let mut numbers: Vec<_> = places.iter().map(|at| of[*at].1.entry.row).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let fetched = data.fetch(&numbers)?;
    for at in places {
        let row = of[*at].1.entry.row;
        let damage = || {
            let damage = Damage::Rows { expected: u64::from(row) + 1, found: 0 };
            ReadError::damaged(data.path(), damage)
        };
        found.push((*at, data.row(&fetched, row).ok_or_else(damage)?));
    }
    Ok(())
}
