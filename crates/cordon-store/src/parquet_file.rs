//! Writing rows as Parquet.
//!
//! The file is hashed while it is written, so that its name is known without reading it again. It is
//! Parquet as any engine reads it; nothing in it speaks of the library that wrote it best.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use cordon_model::columns;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::columns::{CONFIRMED, SCOPE};
use crate::disk;
use crate::index::WrittenFile;
use crate::limits::ROW_GROUP_ROWS_MAX;
use crate::manifest::ObjectRef;
use crate::stage::StageError;

const WRITE_BYTES: usize = 256 << 10;
/// Beyond this a dictionary saves nothing that the compression does not.
const DICTIONARY_BYTES_MAX: usize = 64 << 10;
/// Rows of a page, at most. Whoever wants one row decodes a page of each column: fewer rows cost no
/// room worth naming until the compression has too little to look at.
const PAGE_ROWS_MAX: usize = 4 << 10;

/// A Parquet file that grows.
pub(crate) struct ParquetFile {
    path: PathBuf,
    writer: ArrowWriter<HashedFile>,
    rows: u64,
}

impl ParquetFile {
    pub(crate) fn create(
        path: PathBuf,
        schema: SchemaRef,
        bytes_max: u64,
    ) -> Result<Self, StageError> {
        let file = HashedFile::new(disk::create_new(&path)?, bytes_max);
        let options =
            ArrowWriterOptions::new().with_properties(properties()).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, schema, options)
            .map_err(|source| encode_error(&path, source))?;
        Ok(Self { path, writer, rows: 0 })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        self.writer.write(batch).map_err(|source| encode_error(&self.path, source))?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Bytes of memory that the unfinished row group takes.
    pub(crate) fn memory(&self) -> usize {
        self.writer.memory_size()
    }

    /// Writes the unfinished row group out.
    pub(crate) fn flush(&mut self) -> Result<(), StageError> {
        self.writer.flush().map_err(|source| encode_error(&self.path, source))
    }

    /// The file and how many rows it has.
    pub(crate) fn finish(self) -> Result<(WrittenFile, u64), StageError> {
        let Self { path, writer, rows } = self;
        let file = writer.into_inner().map_err(|source| encode_error(&path, source))?;
        match file.finish() {
            Ok(object) => Ok((WrittenFile { path, object }, rows)),
            Err(source) => Err(StageError::Write { path, source }),
        }
    }
}

fn properties() -> WriterProperties {
    let level = ZstdLevel::try_new(1).expect("zstd has level 1");
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_data_page_row_count_limit(PAGE_ROWS_MAX)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX);
    // Nearly every row has another value: a dictionary would be given up after much hashing.
    for key in [columns::ID, columns::NAME, columns::PRINCIPAL, columns::ENTITLEMENT] {
        let column = ColumnPath::from(key);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_statistics_enabled(column, EnabledStatistics::None);
    }
    for added in [SCOPE, CONFIRMED] {
        let column = ColumnPath::from(added);
        properties = properties.set_column_statistics_enabled(column, EnabledStatistics::None);
    }
    properties.build()
}

/// A full disk arrives wrapped by the encoder; people should see what the system said.
fn encode_error(path: &Path, source: ParquetError) -> StageError {
    let path = path.to_owned();
    match source {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(source) => StageError::Write { path, source: *source },
            Err(error) => StageError::Encode { path, source: ParquetError::External(error) },
        },
        source => StageError::Encode { path, source },
    }
}

/// Hashes what it writes.
struct HashedFile {
    file: File,
    buffer: Vec<u8>,
    hasher: blake3::Hasher,
    bytes: u64,
    bytes_max: u64,
}

impl HashedFile {
    fn new(file: File, bytes_max: u64) -> Self {
        let buffer = Vec::with_capacity(WRITE_BYTES);
        Self { file, buffer, hasher: blake3::Hasher::new(), bytes: 0, bytes_max }
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.bytes += self.buffer.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.hasher.update(&self.buffer);
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<ObjectRef> {
        self.write_out()?;
        Ok(ObjectRef { digest: self.hasher.finalize().to_hex().to_string(), bytes: self.bytes })
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() >= WRITE_BYTES {
            self.write_out()?;
        }
        let room = WRITE_BYTES - self.buffer.len();
        let taken = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
