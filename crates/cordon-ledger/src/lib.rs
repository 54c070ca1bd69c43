//! What Cordon remembers: runs, decisions, snapshots, deliveries, and the evidence of all of them.
//!
//! One SQLite file, because a host must come back from any crash with one truth. A commit is one
//! transaction: snapshot, last known good, outbox entry, run and evidence are there together or not
//! at all, and what was committed survives a power loss. Every other write brings its evidence
//! record in the same transaction, too.
//!
//! One connection writes and a few read. SQLite lets one transaction write at a time anyway; a queue
//! in front of one connection makes tasks wait in order instead of failing with "database is locked".
//!
//! Absent on purpose: a clock (callers pass the time), files of snapshots, and every judgement. The
//! crate stores what others decided and refuses only what contradicts its own rows.

mod cells;
mod chain;
mod commit;
mod connection;
mod decisions;
mod error;
mod evidence;
mod faults;
mod history;
mod memory;
mod open;
mod outbox;
mod quarantine;
mod requests;
mod rereads;
mod rest;
mod retention;
mod runs;
mod schema;
mod snapshots;
mod wanted;
mod witness;

pub use chain::{
    ChainFault, ChainReport, Extent, canonical_json, encode, evidence_hash, first_prev_hash,
};
pub use commit::{Acceptance, Commit, Committed, Part};
pub use connection::Ledger;
pub use decisions::{DecisionKind, DecisionRow};
pub use error::{AdvanceError, CommitError, OpenError, ReadError, VerifyError, WriteError};
pub use evidence::{EvidenceRow, EvidenceSeq};
pub use faults::{FAULT_POINTS, FaultHook};
pub use history::{HistoryRow, WindowRow};
pub use memory::MEMORY_BYTES_MAX;
pub use outbox::{OutboxWork, SinkLag, WorkKind};
pub use quarantine::{Entered, QuarantinedRow, QuarantinedRun};
pub use requests::RequestRow;
pub use rereads::{READ_AGAIN, Rereads};
pub use rest::{LeftBy, Remaining, Rest};
pub use retention::{Delivery, Kept};
pub use runs::{
    ChangeCounts, DRY_RUN, DryRun, FailedRun, Measured, Recovered, RejectedRun, RunOutcome, RunRow,
    SUPERVISOR_ENDED, TRIGGER_RELEASE, Work,
};
pub use schema::SCHEMA_VERSION;
pub use snapshots::SnapshotRow;
pub use wanted::Wanted;
