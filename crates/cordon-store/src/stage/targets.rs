//! What references point at, collected to be looked up when everything has arrived.
//!
//! Millions of grants point at few entitlements: a small cache drops most repetitions before they
//! reach the sorter, which drops the rest.

use std::path::Path;

use crate::disk::PathError;
use crate::sorter::{Fixed, Sorted, Sorter};

const RECENT_SLOTS: usize = 1 << 13;

/// Something that a column of a type points at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// The half of the key that it should be found by.
    pub(crate) hash: u64,
    /// A row that points at it.
    pub(crate) row: u32,
    /// Position of the type that points.
    pub(crate) slot: u16,
    /// Position of the column that points.
    pub(crate) column: u16,
}

impl Target {
    fn source(&self) -> (u64, u16, u16) {
        (self.hash, self.slot, self.column)
    }
}

impl Fixed for Target {
    type Key = (u64, u16, u16, u32);
    const BYTES: usize = 16;

    fn key(&self) -> Self::Key {
        (self.hash, self.slot, self.column, self.row)
    }

    fn repeats(&self, earlier: &Self) -> bool {
        self.source() == earlier.source()
    }

    fn put(&self, out: &mut [u8]) {
        out[0..8].copy_from_slice(&self.hash.to_le_bytes());
        out[8..12].copy_from_slice(&self.row.to_le_bytes());
        out[12..14].copy_from_slice(&self.slot.to_le_bytes());
        out[14..16].copy_from_slice(&self.column.to_le_bytes());
    }

    fn get(bytes: &[u8]) -> Self {
        let (hash, rest) = bytes.split_first_chunk().expect("a target has 16 bytes");
        let (row, rest) = rest.split_first_chunk().expect("a target has 16 bytes");
        let (slot, rest) = rest.split_first_chunk().expect("a target has 16 bytes");
        let column = rest.first_chunk().expect("a target has 16 bytes");
        Self {
            hash: u64::from_le_bytes(*hash),
            row: u32::from_le_bytes(*row),
            slot: u16::from_le_bytes(*slot),
            column: u16::from_le_bytes(*column),
        }
    }
}

/// Collects targets, each at least once and seldom twice.
#[derive(Debug)]
pub(crate) struct Targets {
    sorter: Sorter<Target>,
    recent: Vec<Option<(u64, u16, u16)>>,
    entries_max: usize,
}

impl Targets {
    pub(crate) fn new(dir: &Path, entries_max: usize) -> Self {
        Self { sorter: Sorter::new(dir), recent: vec![None; RECENT_SLOTS], entries_max }
    }

    pub(crate) fn push(&mut self, target: Target) -> Result<(), PathError> {
        let slot = &mut self.recent[target.hash as usize % RECENT_SLOTS];
        if *slot == Some(target.source()) {
            return Ok(());
        }
        *slot = Some(target.source());
        self.sorter.push(target);
        self.sorter.shrink(self.entries_max)
    }

    /// Everything collected so far, in order.
    pub(crate) fn take(&mut self) -> Result<Sorted<Target>, PathError> {
        self.sorter.take().into_sorted()
    }
}
