//! Staging, snapshots, diff and publish.
//!
//! A sync streams through [`Staging`] into Parquet files and sorted indexes and ends as a candidate
//! on disk; [`Store::publish`] takes the proof that it was accepted and makes it a snapshot with one
//! rename. What was published before stays readable, whole, at every moment.
//!
//! The calls block: they belong on a thread that may. Absent on purpose: which snapshot is the last
//! known good (the ledger knows), and whether a candidate may become one (the judge decides).

mod changes;
mod columns;
mod compose;
mod disk;
mod encoder;
mod faults;
mod finish;
mod hash;
mod index;
mod layout;
mod limits;
mod manifest;
mod parquet_file;
mod pread;
mod publish;
mod read_error;
mod rows;
mod scan;
mod snapshot;
mod some;
mod sorter;
mod stage;
mod store;
mod sweep;
mod tally;
#[cfg(test)]
mod tests;

pub use changes::{ChangeCounts, Changes};
pub use compose::{ComposeError, Composed};
pub use faults::{FAULT_POINTS, FaultHook, Faults};
pub use finish::Grace;
pub use manifest::{
    Composition, FileColumn, FileEntry, Manifest, ObjectRef, Piece, Provenance, ScopeState, Since,
    Tombstones,
};
pub use publish::{PublishError, Published};
pub use read_error::{Damage, ReadError};
pub use scan::Rows;
pub use snapshot::Snapshot;
pub use stage::{StageError, StageSpec, StageTimings, Staged, Staging};
pub use store::{OpenError, Store};
pub use sweep::{Keep, SweepError, Swept};
