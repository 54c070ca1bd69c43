//! A file that several threads read at once.
//!
//! Handles of one open file share one position, so whoever seeks moves all others: the Parquet
//! reader's own way with files is for one reader at a time. Here every read says where it reads.

use std::fs::File;
use std::io::{BufReader, Read, Result as IoResult};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// An open file without a position.
#[derive(Debug, Clone)]
pub(crate) struct Positionless {
    file: Arc<File>,
    bytes: u64,
}

impl Positionless {
    pub(crate) fn new(file: File) -> IoResult<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), bytes })
    }
}

impl Length for Positionless {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Positionless {
    type T = BufReader<Onward>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(Onward { file: Arc::clone(&self.file), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.bytes) {
            let size = self.bytes;
            return Err(ParquetError::EOF(format!("{length} bytes from {start} on, of {size}")));
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

/// Reads on from a place in a file.
#[derive(Debug)]
pub(crate) struct Onward {
    file: Arc<File>,
    at: u64,
}

impl Read for Onward {
    fn read(&mut self, bytes: &mut [u8]) -> IoResult<usize> {
        let read = self.file.read_at(bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
