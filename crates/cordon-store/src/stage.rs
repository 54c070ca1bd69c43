//! Staging: batches of a running sync become files and indexes.

mod arrays;
mod arrival;
mod check;
mod dir;
mod targets;
mod typed;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{RecordBatch, StringArray};
use cordon_model::{
    AttributeType, Batch, ConnectorName, RecordSchema, RecordType, ScopeReport, SyncNumber,
};
use cordon_validate::Candidate;
use jiff::Timestamp;

use crate::columns::TypeColumns;
use crate::disk::{AtPath, PathError};
use crate::encoder::{Encoder, Slot};
use crate::finish::{self, Grace};
use crate::hash::KeyHasher;
use crate::limits::{Limits, SCOPES_MAX, TYPES_MAX};
use crate::manifest::Provenance;
use crate::read_error::ReadError;
use crate::snapshot::Snapshot;
pub(crate) use crate::stage::dir::StagingDir;
use crate::stage::typed::BatchScope;
use crate::store::Store;

pub(crate) use arrival::HeldOn;
pub(crate) use targets::{Target, Targets};
pub(crate) use typed::{References, TypeStage};

/// What is known of a sync before its first record.
#[derive(Debug, Clone)]
pub struct StageSpec {
    /// Whose sync it is.
    pub connector: ConnectorName,
    /// Its number.
    pub sync: SyncNumber,
    /// What the connector announced.
    pub schemas: Vec<RecordSchema>,
    /// Where the records come from.
    pub provenance: Provenance,
    /// When it began.
    pub started_at: Timestamp,
    /// Whether the shape of its step is measured, for the detector.
    pub shape: bool,
    /// How long removals are pending; none: they are final at once.
    pub grace: Option<Grace>,
}

/// Why a sync was not staged. Nothing of it is in any snapshot.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Rows cannot be encoded.
    #[error("cannot encode {}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        source: parquet::errors::ParquetError,
    },
    /// What is stored cannot be read.
    #[error(transparent)]
    Read(ReadError),
    /// A batch names a scope that was not begun.
    #[error("a batch of scope {ordinal}, which was not begun")]
    UnknownScope {
        /// The scope's ordinal.
        ordinal: u32,
    },
    /// A scope was begun twice.
    #[error("scope {name:?} was begun twice")]
    RepeatedScope {
        /// Its name.
        name: String,
    },
    /// A scope's ordinal was used twice.
    #[error("scope ordinal {ordinal} was used twice")]
    RepeatedOrdinal {
        /// The ordinal.
        ordinal: u32,
    },
    /// There are too many scopes.
    #[error("more than {max} scopes")]
    TooManyScopes {
        /// How many there may be.
        max: usize,
    },
    /// A scope was begun and nobody said how it ended.
    #[error("scope {name:?} was begun and not reported")]
    UnreportedScope {
        /// Its name.
        name: String,
    },
    /// Two reports speak of one scope.
    #[error("scope {name:?} was reported twice")]
    RepeatedReport {
        /// Its name.
        name: String,
    },
    /// A type was announced twice.
    #[error("{record_type} was announced twice")]
    RepeatedType {
        /// Kind and type.
        record_type: RecordType,
    },
    /// Too much was announced.
    #[error("{found} {what} announced, more than {max}")]
    TooMuchAnnounced {
        /// Types, or columns of a type.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// A batch has records of a type that was not announced.
    #[error("a batch of {record_type}, which was not announced")]
    UnknownType {
        /// Kind and type.
        record_type: RecordType,
    },
    /// A batch has a column that was not announced.
    #[error("{record_type} has column {column}, which was not announced")]
    UnknownColumn {
        /// Kind and type.
        record_type: RecordType,
        /// The column.
        column: String,
    },
    /// A column was announced twice.
    #[error("{record_type} announces column {column} twice")]
    RepeatedColumn {
        /// Kind and type.
        record_type: RecordType,
        /// The column.
        column: String,
    },
    /// A column has another type than it should.
    #[error("column {column} of {record_type} is {found:?}, not {expected:?}")]
    WrongType {
        /// Kind and type.
        record_type: RecordType,
        /// The column.
        column: String,
        /// The type it should have.
        expected: AttributeType,
        /// The type it has.
        found: AttributeType,
    },
    /// A batch lacks a column that names its records.
    #[error("a batch of {record_type} without column {column}")]
    MissingKeyColumn {
        /// Kind and type.
        record_type: RecordType,
        /// The column.
        column: &'static str,
    },
    /// There are more records of a type than a row number can count.
    #[error("more than {max} records of {record_type}")]
    TooManyRecords {
        /// Kind and type.
        record_type: RecordType,
        /// How many there may be.
        max: u32,
    },
    /// There are too many privileged entitlements to tell their grants apart.
    #[error("more than {max} privileged entitlements")]
    TooManyPrivileged {
        /// How many there may be.
        max: usize,
    },
}

impl StageError {
    /// Whether the connector broke the contract, as opposed to a disk that failed.
    pub fn is_protocol(&self) -> bool {
        !matches!(self, Self::Write { .. } | Self::Encode { .. } | Self::Read(_))
    }
}

impl From<ReadError> for StageError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<PathError> for StageError {
    fn from(PathError { path, source }: PathError) -> Self {
        Self::Write { path, source }
    }
}

/// How long the parts of [`Staging::finish`] took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageTimings {
    /// Merging the spilled indexes and closing the files.
    pub index: Duration,
    /// Carrying records forward.
    pub carry: Duration,
    /// Looking for the ends of references.
    pub references: Duration,
    /// Comparing with the last known good.
    pub diff: Duration,
    /// Syncing files and the manifest to disk.
    pub commit: Duration,
}

/// A staged sync.
#[derive(Debug, Clone)]
pub struct Staged {
    /// What the judge needs to know.
    pub candidate: Candidate,
    /// See [`crate::Manifest::content_digest`].
    pub content_digest: String,
    /// How long it took.
    pub timings: StageTimings,
}

/// A scope that was begun.
#[derive(Debug)]
pub(crate) struct StageScope {
    pub(crate) name: String,
    batch: BatchScope,
}

/// A running sync on its way to disk. Dropped before [`Staging::finish`], it leaves nothing.
#[derive(Debug)]
pub struct Staging {
    // Ends before the folder goes that it writes to.
    pub(crate) encoder: Encoder,
    pub(crate) dir: StagingDir,
    pub(crate) store: Store,
    pub(crate) spec: StageSpec,
    pub(crate) types: Vec<TypeStage>,
    pub(crate) scopes: Vec<StageScope>,
    pub(crate) references: References,
    by_type: HashMap<RecordType, usize>,
    by_ordinal: HashMap<u32, usize>,
    by_name: HashSet<String>,
    limits: Limits,
    buffered: usize,
}

impl Store {
    /// Begins to stage a sync.
    pub fn stage(&self, spec: StageSpec) -> Result<Staging, StageError> {
        let found = spec.schemas.len();
        if found > TYPES_MAX {
            return Err(StageError::TooMuchAnnounced { what: "types", found, max: TYPES_MAX });
        }
        let dir = StagingDir::make(self, &spec.connector, spec.sync)?;
        let hasher = KeyHasher::new(&self.shared.key);
        let mut types = Vec::with_capacity(found);
        let mut by_type = HashMap::new();
        for (slot, schema) in spec.schemas.iter().enumerate() {
            if by_type.insert(schema.record_type.clone(), slot).is_some() {
                let record_type = schema.record_type.clone();
                return Err(StageError::RepeatedType { record_type });
            }
            types.push(TypeStage::new(schema, slot as u16, &hasher, dir.path())?);
        }
        let limits = self.limits;
        let slots = types.iter().map(|of| Slot {
            path: dir.path().join(format!("{}.parquet", of.record_type)),
            schema: of.schema(),
        });
        Ok(Staging {
            encoder: Encoder::start(slots.collect(), limits.file_bytes_max).at(dir.path())?,
            references: References {
                entitlements: Targets::new(dir.path(), limits.target_entries),
                resources: Targets::new(dir.path(), limits.target_entries),
                held_on: spec.shape.then(HeldOn::default),
            },
            dir,
            store: self.clone(),
            spec,
            types,
            scopes: Vec::new(),
            by_type,
            by_ordinal: HashMap::new(),
            by_name: HashSet::new(),
            limits,
            buffered: 0,
        })
    }
}

impl Staging {
    /// Opens a scope; batches name it by its ordinal.
    pub fn begin_scope(&mut self, ordinal: u32, name: &str) -> Result<(), StageError> {
        if self.scopes.len() == SCOPES_MAX {
            return Err(StageError::TooManyScopes { max: SCOPES_MAX });
        }
        if self.by_ordinal.contains_key(&ordinal) {
            return Err(StageError::RepeatedOrdinal { ordinal });
        }
        if !self.by_name.insert(name.to_owned()) {
            return Err(StageError::RepeatedScope { name: name.to_owned() });
        }
        let place = self.scopes.len();
        self.by_ordinal.insert(ordinal, place);
        let batch =
            BatchScope { ordinal: place as u32, name: Arc::new(StringArray::from(vec![name])) };
        self.scopes.push(StageScope { name: name.to_owned(), batch });
        Ok(())
    }

    /// Takes in a batch.
    pub fn append(&mut self, batch: Batch) -> Result<(), StageError> {
        let ordinal = batch.scope();
        let place = self.by_ordinal.get(&ordinal).ok_or(StageError::UnknownScope { ordinal })?;
        let Some(slot) = self.by_type.get(batch.record_type()).copied() else {
            let record_type = batch.record_type().clone();
            return Err(StageError::UnknownType { record_type });
        };
        if batch.records() == 0 {
            return Ok(());
        }
        let scope = &self.scopes[*place].batch;
        let rows = self.types[slot].append(batch, scope, &mut self.references)?;
        self.take(slot, rows)
    }

    fn take(&mut self, slot: usize, rows: RecordBatch) -> Result<(), StageError> {
        self.buffered += rows.num_rows();
        self.encoder.send(slot, rows)?;
        if self.buffered >= self.limits.run_entries {
            self.spill_largest()?;
        }
        Ok(())
    }

    /// Takes in rows of a stored file, as they were when a sync reported them.
    pub(crate) fn append_stored(
        &mut self,
        ordinal: u32,
        record_type: &RecordType,
        columns: &TypeColumns,
        rows: &RecordBatch,
    ) -> Result<(), StageError> {
        let place = self.by_ordinal.get(&ordinal).ok_or(StageError::UnknownScope { ordinal })?;
        let Some(slot) = self.by_type.get(record_type).copied() else {
            return Err(StageError::UnknownType { record_type: record_type.clone() });
        };
        let scope = &self.scopes[*place].batch;
        let rows = self.types[slot].append_stored(columns, rows, scope, &mut self.references)?;
        self.take(slot, rows)
    }

    /// All types share one bound, so the largest buffer goes.
    fn spill_largest(&mut self) -> Result<(), StageError> {
        let largest = self.types.iter_mut().max_by_key(|of| of.index.buffered());
        if let Some(of) = largest {
            self.buffered -= of.index.buffered();
            of.index.spill()?;
        }
        Ok(())
    }

    /// Ends the sync: finds duplicates and dangling references, carries forward what is unknown,
    /// compares with the last known good, and writes the candidate durably.
    pub fn finish(
        self,
        reports: Vec<ScopeReport>,
        last_good: Option<&Snapshot>,
    ) -> Result<Staged, StageError> {
        finish::finish(self, reports, last_good)
    }
}
