//! Why something stored cannot be used.

use std::io;
use std::path::PathBuf;

use crate::disk::PathError;

/// Why something stored was refused. Nothing is deleted or repaired because of it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such file.
    #[error("{} is missing", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what was written.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The check that failed.
        #[source]
        damage: Damage,
    },
}

impl ReadError {
    pub(crate) fn damaged(path: impl Into<PathBuf>, damage: Damage) -> Self {
        Self::Damaged { path: path.into(), damage }
    }
}

impl From<PathError> for ReadError {
    fn from(PathError { path, source }: PathError) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            _ => Self::Read { path, source },
        }
    }
}

/// The check that a stored file failed.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It is longer or shorter than its manifest says.
    #[error("it has {found} bytes instead of {expected}")]
    Size {
        /// What the manifest says.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// It is larger than such a file can be.
    #[error("it has more than {bytes_max} bytes")]
    TooLarge {
        /// What such a file may have.
        bytes_max: u64,
    },
    /// Its content has another digest.
    #[error("its digest is {found} instead of {expected}")]
    Digest {
        /// The digest it should have.
        expected: String,
        /// The digest it has.
        found: String,
    },
    /// Its first line is not that of a manifest.
    #[error("it does not begin like a manifest")]
    Header,
    /// It was written by another version.
    #[error("it has format {found}; this build reads format {known}")]
    Format {
        /// Its format.
        found: u32,
        /// The format that this build knows.
        known: u32,
    },
    /// It is not the JSON of a manifest.
    #[error("it is not a manifest")]
    Manifest(#[source] serde_json::Error),
    /// It speaks of another connector, sync or file than its name says.
    #[error("it speaks of {found} instead of {expected}")]
    Name {
        /// What its place says.
        expected: String,
        /// What it says.
        found: String,
    },
    /// A number in an index points outside its file.
    #[error("index entry {entry} points at {what} {number} of {count}")]
    Range {
        /// Which entry.
        entry: u64,
        /// A row or a scope.
        what: &'static str,
        /// The number.
        number: u32,
        /// How many there are.
        count: u64,
    },
    /// An index is not in the order of its keys.
    #[error("index entry {entry} is out of order")]
    Order {
        /// Which entry.
        entry: u64,
    },
    /// It has more or fewer rows than its manifest says.
    #[error("it has {found} rows instead of {expected}")]
    Rows {
        /// What the manifest says.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// A column is not there or has another type.
    #[error("column {column} is not as the manifest says")]
    Column {
        /// Which column.
        column: String,
    },
    /// It cannot be read as Parquet.
    #[error("it is not readable Parquet")]
    Parquet(#[source] parquet::errors::ParquetError),
    /// It was made with another secret than the store has.
    #[error("its indexes were made with key {found}, but this store has {expected}")]
    OtherKey {
        /// The store's.
        expected: String,
        /// The manifest's.
        found: String,
    },
    /// The secret of the store has another length.
    #[error("it has {found} bytes instead of 32")]
    Key {
        /// Its length.
        found: u64,
    },
}
