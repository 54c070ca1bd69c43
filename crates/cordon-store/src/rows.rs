//! Fetching rows of stored files by their numbers.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_buffer::BooleanBuffer;
use cordon_model::{AttributeType, RecordType, Row, Value};
use jiff::Timestamp;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::PageIndexPolicy;

use crate::columns::{TypeColumns, data_type, key_columns, key_text};
use crate::disk::AtPath;
use crate::finish::Chosen;
use crate::layout::ObjectKind;
use crate::manifest::FileEntry;
use crate::pread::Positionless;
use crate::read_error::{Damage, ReadError};
use crate::store::Store;

/// Bytes of rows that are decoded together, at most.
const BATCH_BYTES_MAX: u64 = 16 << 20;

/// A stored Parquet file, ready to be read, by several at once.
#[derive(Debug)]
pub(crate) struct DataFile {
    path: PathBuf,
    file: Positionless,
    metadata: ArrowReaderMetadata,
    record_type: RecordType,
    pub(crate) columns: TypeColumns,
    rows: u64,
    batch_rows: usize,
}

impl Store {
    /// Opens the rows of a stored file after comparing the whole file with its digest: what is not
    /// exactly what was written never reaches the decoder.
    pub(crate) fn open_data(&self, entry: &FileEntry) -> Result<DataFile, ReadError> {
        let path = self.shared.layout.object(ObjectKind::Data, &entry.data);
        let file = self.open_object(ObjectKind::Data, &entry.data)?;
        DataFile::new(path, file, entry)
    }
}

impl DataFile {
    /// Opens a file that this process wrote.
    pub(crate) fn open_own(path: &Path, entry: &FileEntry) -> Result<Self, ReadError> {
        let file = File::open(path).at(path)?;
        Self::new(path.to_owned(), file, entry)
    }

    fn new(path: PathBuf, file: File, entry: &FileEntry) -> Result<Self, ReadError> {
        let file = Positionless::new(file).at(&path)?;
        let options = ArrowReaderOptions::new()
            .with_skip_arrow_metadata(true)
            .with_offset_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(&file, options)
            .map_err(|error| ReadError::damaged(&path, Damage::Parquet(error)))?;
        let rows = metadata.metadata().file_metadata().num_rows();
        if u64::try_from(rows) != Ok(entry.rows) {
            let found = u64::try_from(rows).unwrap_or_default();
            let damage = Damage::Rows { expected: entry.rows, found };
            return Err(ReadError::damaged(path, damage));
        }
        let columns = TypeColumns::stored(&entry.columns);
        for (position, column) in columns.iter().enumerate() {
            let field = metadata.schema().fields().get(position);
            let as_said = field.is_some_and(|field| {
                field.name() == &column.name && *field.data_type() == data_type(column.value_type)
            });
            if !as_said {
                let damage = Damage::Column { column: column.name.clone() };
                return Err(ReadError::damaged(path, damage));
            }
        }
        let record_type = entry.record_type.clone();
        let batch_rows = (BATCH_BYTES_MAX / entry.row_bytes_max.max(1)).clamp(1, 4096) as usize;
        Ok(Self { path, file, metadata, record_type, columns, rows: entry.rows, batch_rows })
    }

    pub(crate) fn parquet_error(&self, error: ParquetError) -> ReadError {
        ReadError::damaged(&self.path, Damage::Parquet(error))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the rows whose bits are set, in order, with every column.
    pub(crate) fn select(
        &self,
        rows: BooleanBuffer,
    ) -> Result<ParquetRecordBatchReader, ReadError> {
        self.reader(RowSelection::from_boolean_buffer(rows), ProjectionMask::all())
    }

    fn reader(
        &self,
        selection: RowSelection,
        columns: ProjectionMask,
    ) -> Result<ParquetRecordBatchReader, ReadError> {
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
            .with_row_selection(selection)
            .with_projection(columns)
            .with_batch_size(self.batch_rows)
            .build()
            .map_err(|error| self.parquet_error(error))
    }

    /// Reads every row, in order, with every column.
    pub(crate) fn all(&self) -> Result<ParquetRecordBatchReader, ReadError> {
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
            .with_batch_size(self.batch_rows)
            .build()
            .map_err(|error| self.parquet_error(error))
    }

    /// The rows of a batch that this file gave, by value.
    pub(crate) fn rows_of(&self, batch: &RecordBatch) -> impl Iterator<Item = Row> {
        (0..batch.num_rows()).map(|at| self.row_at(batch, at))
    }

    /// Fetches rows by number; `rows` rise. The batches together hold exactly those rows.
    pub(crate) fn fetch(&self, rows: &[u32]) -> Result<Fetched, ReadError> {
        self.fetch_columns(rows, ProjectionMask::all())
    }

    fn fetch_columns(&self, rows: &[u32], mask: ProjectionMask) -> Result<Fetched, ReadError> {
        let total = usize::try_from(self.rows).unwrap_or(usize::MAX);
        let ranges = rows.iter().map(|row| *row as usize..*row as usize + 1);
        let selection = RowSelection::from_consecutive_ranges(ranges, total);
        let mut batches = Vec::new();
        for batch in self.reader(selection, mask)? {
            let batch = batch.map_err(|error| self.parquet_error(ParquetError::from(error)))?;
            batches.push(batch);
        }
        let found = batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
        if found != rows.len() as u64 {
            let damage = Damage::Rows { expected: rows.len() as u64, found };
            return Err(ReadError::damaged(&self.path, damage));
        }
        Ok(Fetched { rows: rows.to_vec(), batches })
    }

    /// The keys of a few rows as people read them, in the order of `rows`.
    pub(crate) fn key_texts(&self, rows: &[u32]) -> Result<Vec<String>, ReadError> {
        let mut sorted = rows.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let names = key_columns(&self.record_type);
        let schema = self.metadata.parquet_schema();
        let mask = ProjectionMask::columns(schema, names.iter().copied());
        let fetched = self.fetch_columns(&sorted, mask)?;
        let text = |row, name: &str| -> String {
            let Some((batch, at)) = fetched.find(row) else { return String::new() };
            let array = batch.column_by_name(name).and_then(|array| array.as_string_opt::<i32>());
            let array = array.filter(|array| array.is_valid(at));
            array.map_or_else(String::new, |array| array.value(at).to_owned())
        };
        let keys = rows.iter().map(|row| {
            let second = names.get(1).map_or_else(String::new, |name| text(*row, name));
            key_text(&self.record_type, &text(*row, names[0]), &second)
        });
        Ok(keys.collect())
    }

    /// Reads the keys of chosen rows as people read them, in the order of rows.
    pub(crate) fn each_key(
        &self,
        chosen: &Chosen,
        mut each: impl FnMut(u32, &str),
    ) -> Result<(), ReadError> {
        let names = key_columns(&self.record_type);
        let schema = self.metadata.parquet_schema();
        let mask = ProjectionMask::columns(schema, names.iter().copied());
        let selection = RowSelection::from_boolean_buffer(chosen.mask(self.rows));
        let mut rows = chosen.rows();
        for batch in self.reader(selection, mask)? {
            let batch = batch.map_err(|error| self.parquet_error(ParquetError::from(error)))?;
            let texts = |name: &&str| batch.column_by_name(name)?.as_string_opt::<i32>();
            let (first, second) = (names.first().and_then(texts), names.get(1).and_then(texts));
            for at in 0..batch.num_rows() {
                let text = |array: Option<&StringArray>| -> String {
                    let array = array.filter(|array| array.is_valid(at));
                    array.map_or_else(String::new, |array| array.value(at).to_owned())
                };
                let Some(row) = rows.next() else { break };
                each(row, &key_text(&self.record_type, &text(first), &text(second)));
            }
        }
        match rows.next() {
            None => Ok(()),
            Some(row) => {
                let damage = Damage::Rows { expected: self.rows, found: u64::from(row) };
                Err(ReadError::damaged(&self.path, damage))
            }
        }
    }

    /// A fetched row by value; none when it was not fetched.
    pub(crate) fn row(&self, fetched: &Fetched, row: u32) -> Option<Row> {
        fetched.find(row).map(|(batch, at)| self.row_at(batch, at))
    }

    fn row_at(&self, batch: &RecordBatch, at: usize) -> Row {
        let values = self.columns.iter().zip(batch.columns()).filter_map(|(column, array)| {
            Some((column.name.clone(), value(column.value_type, array, at)?))
        });
        Row { record_type: self.record_type.clone(), values: values.collect::<BTreeMap<_, _>>() }
    }
}

/// Rows that were fetched together.
#[derive(Debug)]
pub(crate) struct Fetched {
    rows: Vec<u32>,
    batches: Vec<RecordBatch>,
}

impl Fetched {
    fn find(&self, row: u32) -> Option<(&RecordBatch, usize)> {
        let mut at = self.rows.binary_search(&row).ok()?;
        for batch in &self.batches {
            if at < batch.num_rows() {
                return Some((batch, at));
            }
            at -= batch.num_rows();
        }
        None
    }
}

/// One value; none when absent. A time that no calendar holds stays a number: such a record is
/// refused by the judge, and people should see what was sent.
fn value(value_type: AttributeType, array: &ArrayRef, at: usize) -> Option<Value> {
    if array.is_null(at) {
        return None;
    }
    Some(match value_type {
        AttributeType::Text => Value::Text(array.as_string_opt::<i32>()?.value(at).to_owned()),
        AttributeType::Integer => Value::Integer(array.as_primitive_opt::<Int64Type>()?.value(at)),
        AttributeType::Boolean => Value::Boolean(array.as_boolean_opt()?.value(at)),
        AttributeType::Timestamp => {
            let micros = array.as_primitive_opt::<TimestampMicrosecondType>()?.value(at);
            Timestamp::from_microsecond(micros).map_or(Value::Integer(micros), Value::Timestamp)
        }
    })
}
