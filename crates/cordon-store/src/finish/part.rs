//! A file of the candidate and where it is: fresh in the staging folder, or in the store already.

use std::path::PathBuf;

use crate::index::IndexReader;
use crate::layout::ObjectKind;
use crate::manifest::FileEntry;
use crate::read_error::ReadError;
use crate::rows::DataFile;
use crate::store::Store;

/// Rows and index of one file.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) entry: FileEntry,
    /// Where it was staged; none: the last known good has it already.
    pub(crate) staged: Option<StagedPaths>,
    /// It holds what this sync reported, not what was carried forward.
    pub(crate) reported: bool,
}

/// The files of a part in the staging folder.
#[derive(Debug)]
pub(crate) struct StagedPaths {
    pub(crate) data: PathBuf,
    pub(crate) index: PathBuf,
}

impl Part {
    /// Reads its index from the beginning.
    pub(crate) fn index(&self, store: &Store) -> Result<IndexReader, ReadError> {
        match &self.staged {
            Some(paths) => IndexReader::open_own(&paths.index, &self.entry),
            None => {
                let path = store.shared.layout.object(ObjectKind::Index, &self.entry.index);
                IndexReader::open(&path, &self.entry)
            }
        }
    }

    /// Opens its rows.
    pub(crate) fn data(&self, store: &Store) -> Result<DataFile, ReadError> {
        match &self.staged {
            Some(_) => self.own_data(),
            None => store.open_data(&self.entry),
        }
    }

    /// Opens the rows of a part that this sync staged.
    pub(crate) fn own_data(&self) -> Result<DataFile, ReadError> {
        let paths = self.staged.as_ref().expect("only staged parts have rows that are wrong");
        DataFile::open_own(&paths.data, &self.entry)
    }
}
