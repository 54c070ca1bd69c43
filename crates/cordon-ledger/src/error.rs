//! What can go wrong, by operation.

use std::io;
use std::path::PathBuf;

use cordon_model::{ConnectorName, SyncNumber};

use crate::{ChainFault, RunOutcome};

/// Why a ledger was not opened. In every case its file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system said no.
    #[error("cannot open the ledger {path}")]
    File {
        /// The ledger's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite said no.
    #[error("cannot open the ledger {path}")]
    Database {
        /// The ledger's file.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// A later Cordon wrote it.
    #[error(
        "the ledger {path} has schema version {found} and this Cordon knows versions up to {known}: run the newer Cordon that wrote it"
    )]
    Newer {
        /// The ledger's file.
        path: PathBuf,
        /// The version that it has.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// It is a database of something else.
    #[error("{path} is a database, but not a ledger of Cordon")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged.
    #[error("the ledger {path} is damaged and was left as it is: {check}")]
    Damaged {
        /// The ledger's file.
        path: PathBuf,
        /// The check that failed, and on what.
        check: String,
    },
    /// Its evidence was changed.
    #[error("the evidence in the ledger {path} does not hold, it was left as it is")]
    Evidence {
        /// The ledger's file.
        path: PathBuf,
        /// The first record that fails.
        source: ChainFault,
    },
}

/// Why something was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// SQLite said no.
    #[error("cannot read the ledger's {table}")]
    Query {
        /// What was read.
        table: &'static str,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// A value is not one that the ledger writes.
    #[error("the ledger has a damaged value in {table}.{column}: {why}")]
    Cell {
        /// Where it stands.
        table: &'static str,
        /// In which column.
        column: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// Why the evidence was not found whole.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record fails.
    #[error(transparent)]
    Fault(#[from] ChainFault),
}

/// Why something was not written. In every case the ledger is as it was.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// SQLite said no.
    #[error("cannot write the ledger's {table}")]
    Query {
        /// What was written.
        table: &'static str,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// What the write builds on could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A text is longer than the ledger keeps.
    #[error("{what} has {bytes} bytes, the ledger keeps at most {bytes_max}")]
    TooLong {
        /// Which text.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The greatest length.
        bytes_max: usize,
    },
    /// A number is greater than the ledger keeps.
    #[error("{what} is {value}, greater than any number that the ledger keeps")]
    TooGreat {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// A decision came without a reason.
    #[error("a reason is needed, and {actor:?} gave none")]
    NoReason {
        /// Who decided.
        actor: String,
    },
    /// An event has a kind that only the ledger itself writes, or that is malformed.
    #[error(
        "{kind:?} is no kind of event: 1 to 64 of a-z, 0-9, - and ., and not one that the ledger writes itself"
    )]
    EventKind {
        /// The kind.
        kind: String,
    },
    /// No such sync was begun.
    #[error("no sync {sync} of {connector} was begun")]
    UnknownSync {
        /// Whose sync.
        connector: ConnectorName,
        /// Its number.
        sync: SyncNumber,
    },
    /// The sync is past this step.
    #[error(
        "sync {sync} of {connector} is {found}, and only one that is {needed} can take this step"
    )]
    Outcome {
        /// Whose sync.
        connector: ConnectorName,
        /// Its number.
        sync: SyncNumber,
        /// Where it stands.
        found: RunOutcome,
        /// Where it would have to stand.
        needed: RunOutcome,
    },
    /// Something else waits in quarantine, or nothing.
    #[error(
        "sync {sync} of {connector} does not wait in quarantine, {} does", waits(*.waiting)
    )]
    NotWaiting {
        /// Whose sync.
        connector: ConnectorName,
        /// The sync that was meant.
        sync: SyncNumber,
        /// The sync that waits.
        waiting: Option<SyncNumber>,
    },
    /// More is to be remembered of a connector than any needs.
    #[error(
        "what is remembered of {connector} has {bytes} bytes, more than {bytes_max}: nothing was written"
    )]
    MemoryTooLong {
        /// Whose memory.
        connector: ConnectorName,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        bytes_max: usize,
    },
}

fn waits(sync: Option<SyncNumber>) -> String {
    sync.map_or_else(|| "nothing".to_owned(), |sync| format!("sync {sync}"))
}

/// Why a snapshot was not committed. In every case the last known good is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Another snapshot was committed since the candidate was compared.
    #[error(
        "sync {sync} of {connector} was compared with {}, but the last known good is {}",
        snapshot(*.from), snapshot(*.current)
    )]
    Outrun {
        /// Whose sync.
        connector: ConnectorName,
        /// Its number.
        sync: SyncNumber,
        /// What it was compared with.
        from: Option<SyncNumber>,
        /// The last known good.
        current: Option<SyncNumber>,
    },
    /// The content is not what waits in quarantine.
    #[error(
        "sync {sync} of {connector} waits in quarantine with digest {quarantined}, not {given}: nothing was released"
    )]
    Digest {
        /// Whose sync.
        connector: ConnectorName,
        /// Its number.
        sync: SyncNumber,
        /// The digest of what waits.
        quarantined: String,
        /// The digest that was given.
        given: String,
    },
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

fn snapshot(sync: Option<SyncNumber>) -> String {
    sync.map_or_else(|| "nothing".to_owned(), |sync| format!("snapshot {sync}"))
}

impl From<ReadError> for CommitError {
    fn from(error: ReadError) -> Self {
        Self::Write(error.into())
    }
}

/// Why a cursor was not moved.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// The sequence number was never given to a change.
    #[error(
        "sink {sink:?} claims change {seq} of {connector}, whose last committed change is {last_seq}"
    )]
    Unwritten {
        /// Which sink.
        sink: String,
        /// Whose changes.
        connector: ConnectorName,
        /// The change that it claims.
        seq: u64,
        /// The last change that there is.
        last_seq: u64,
    },
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<ReadError> for AdvanceError {
    fn from(error: ReadError) -> Self {
        Self::Write(error.into())
    }
}
