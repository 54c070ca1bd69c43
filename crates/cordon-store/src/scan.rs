//! All records of a kind and type, in the order of their files.

use std::collections::VecDeque;

use cordon_model::{RecordType, Row};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::errors::ParquetError;

use crate::manifest::FileEntry;
use crate::read_error::{Damage, ReadError};
use crate::rows::DataFile;
use crate::snapshot::Snapshot;
use crate::store::Store;

impl Store {
    /// Every record of a kind and type, read as it is asked for. After an error there are no more.
    pub fn rows(&self, of: &Snapshot, record_type: &RecordType) -> Rows {
        let files = of.manifest.files.iter().filter(|file| file.record_type == *record_type);
        Rows { store: self.clone(), files: files.cloned().collect(), open: None }
    }
}

/// Records in the order of their files.
pub struct Rows {
    store: Store,
    files: VecDeque<FileEntry>,
    open: Option<Open>,
}

/// The file that is being read.
struct Open {
    file: DataFile,
    reader: ParquetRecordBatchReader,
    left: u64,
    rows: VecDeque<Row>,
}

impl Rows {
    fn take(&mut self) -> Result<Option<Row>, ReadError> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(entry) = self.files.pop_front() else { return Ok(None) };
                let file = self.store.open_data(&entry)?;
                let reader = file.all()?;
                self.open = Some(Open { file, reader, left: entry.rows, rows: VecDeque::new() });
                continue;
            };
            if let Some(row) = open.rows.pop_front() {
                return Ok(Some(row));
            }
            match open.reader.next() {
                Some(Ok(batch)) => {
                    open.left = open.left.saturating_sub(batch.num_rows() as u64);
                    open.rows = open.file.rows_of(&batch).collect();
                }
                Some(Err(error)) => {
                    return Err(open.file.parquet_error(ParquetError::from(error)));
                }
                None if open.left > 0 => {
                    let damage = Damage::Rows { expected: open.left, found: 0 };
                    return Err(ReadError::damaged(open.file.path(), damage));
                }
                None => self.open = None,
            }
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let taken = self.take();
        if taken.is_err() {
            self.files.clear();
            self.open = None;
        }
        taken.transpose()
    }
}
