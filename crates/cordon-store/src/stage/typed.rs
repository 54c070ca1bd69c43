//! The records of one kind and type on their way to disk.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow_schema::{DataType, SchemaRef};
use cordon_model::{Batch, Column, RecordKind, RecordSchema, RecordType, columns};

use crate::columns::{TypeColumns, key_columns};
use crate::disk::PathError;
use crate::hash::{KeyHasher, Keys, RowHasher};
use crate::index::Entry;
use crate::limits::RECORDS_MAX;
use crate::sorter::Sorter;
use crate::stage::StageError;
use crate::stage::arrays::Spare;
use crate::stage::arrival::{Arrival, HeldOn};
use crate::stage::check::{Defects, KeyTexts, is_reference};
use crate::stage::targets::{Target, Targets};
use crate::tally::{Tally, tallies};

/// Where references of all types are collected.
#[derive(Debug)]
pub(crate) struct References {
    /// What grants give.
    pub(crate) entitlements: Targets,
    /// What `type:id` columns point at.
    pub(crate) resources: Targets,
    /// What entitlements are held on, where the detector wants to know.
    pub(crate) held_on: Option<HeldOn>,
}

/// The scope that a batch belongs to.
#[derive(Debug)]
pub(crate) struct BatchScope {
    /// Its ordinal in this staging.
    pub(crate) ordinal: u32,
    /// Its name, as a dictionary of one.
    pub(crate) name: Arc<StringArray>,
}

/// One kind and type, being staged.
#[derive(Debug)]
pub(crate) struct TypeStage {
    pub(crate) record_type: RecordType,
    pub(crate) columns: TypeColumns,
    pub(crate) index: Sorter<Entry>,
    pub(crate) rows: u32,
    pub(crate) row_bytes_max: usize,
    /// By column.
    pub(crate) tallies: Vec<Tally>,
    pub(crate) defects: Defects,
    pub(crate) arrival: Arrival,
    schema: SchemaRef,
    slot: u16,
    keys: Keys,
    hasher: KeyHasher,
    spare: Spare,
    privileged: Option<usize>,
    /// The column that says what an entitlement is held on.
    resource: Option<usize>,
}

impl TypeStage {
    pub(crate) fn new(
        schema: &RecordSchema,
        slot: u16,
        hasher: &KeyHasher,
        dir: &Path,
    ) -> Result<Self, StageError> {
        let columns = TypeColumns::announced(schema)?;
        let record_type = schema.record_type.clone();
        let scope = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let entitlement = record_type.kind == RecordKind::Entitlement;
        Ok(Self {
            schema: columns.file_schema(scope),
            index: Sorter::new(dir),
            rows: 0,
            row_bytes_max: 0,
            tallies: tallies(&columns, key_columns(&record_type)),
            defects: Defects::default(),
            arrival: Arrival::default(),
            slot,
            keys: Keys::new(hasher, &record_type),
            hasher: hasher.clone(),
            spare: Spare::new(&columns),
            privileged: columns.position(columns::PRIVILEGED).filter(|_| entitlement),
            resource: columns.position(columns::RESOURCE).filter(|_| entitlement),
            record_type,
            columns,
        })
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Checks and hashes a batch; returns the rows for the file.
    pub(crate) fn append(
        &mut self,
        batch: Batch,
        scope: &BatchScope,
        references: &mut References,
    ) -> Result<RecordBatch, StageError> {
        let records = batch.records();
        let columns = self.place(batch)?;
        let arrays = self.spare.attributes(columns, records);
        self.take(arrays, records, scope, references)
    }

    /// Checks and hashes rows of a stored file anew; returns them for the file.
    pub(crate) fn append_stored(
        &mut self,
        columns: &TypeColumns,
        rows: &RecordBatch,
        scope: &BatchScope,
        references: &mut References,
    ) -> Result<RecordBatch, StageError> {
        let mut arrays = self.spare.attributes(Vec::new(), rows.num_rows());
        for (column, array) in columns.iter().zip(rows.columns()) {
            let (record_type, name) = (|| self.record_type.clone(), || column.name.clone());
            let Some(position) = self.columns.position(&column.name) else {
                let column = name();
                return Err(StageError::UnknownColumn { record_type: record_type(), column });
            };
            let (expected, found) = (self.columns[position].value_type, column.value_type);
            if found != expected {
                let (record_type, column) = (record_type(), name());
                return Err(StageError::WrongType { record_type, column, expected, found });
            }
            arrays[position] = array.clone();
        }
        self.take(arrays, rows.num_rows(), scope, references)
    }

    fn take(
        &mut self,
        mut arrays: Vec<ArrayRef>,
        records: usize,
        scope: &BatchScope,
        references: &mut References,
    ) -> Result<RecordBatch, StageError> {
        if (RECORDS_MAX - self.rows) as usize <= records {
            let record_type = self.record_type.clone();
            return Err(StageError::TooManyRecords { record_type, max: RECORDS_MAX });
        }
        self.check(&arrays, references)?;
        arrays.extend(self.spare.added(&scope.name, records));
        let rows = RecordBatch::try_new(self.schema.clone(), arrays)
            .expect("every column has its type and one value a record");
        self.index(&rows, scope.ordinal, references)?;
        self.rows += records as u32;
        self.arrival.add(scope.ordinal, records as u32);
        Ok(rows)
    }

    /// Finds each column's place and refuses what was not announced.
    fn place(&self, batch: Batch) -> Result<Vec<(usize, Column)>, StageError> {
        let record_type = || self.record_type.clone();
        for column in key_columns(&self.record_type) {
            if batch.column(column).is_none() {
                return Err(StageError::MissingKeyColumn { record_type: record_type(), column });
            }
        }
        let placed = batch.into_columns().into_iter().map(|column| {
            let Some(position) = self.columns.position(column.name.as_str()) else {
                let column = column.name.into();
                return Err(StageError::UnknownColumn { record_type: record_type(), column });
            };
            let expected = self.columns[position].value_type;
            let found = column.values.value_type();
            if found != expected {
                let column = column.name.into();
                let record_type = record_type();
                return Err(StageError::WrongType { record_type, column, expected, found });
            }
            Ok((position, column))
        });
        placed.collect()
    }

    fn check(&mut self, arrays: &[ArrayRef], references: &mut References) -> Result<(), PathError> {
        let keys = key_texts(&self.record_type, &self.columns, arrays);
        let names = key_columns(&self.record_type);
        for (position, (column, array)) in self.columns.iter().zip(arrays).enumerate() {
            self.tallies[position].add(array);
            let named = names.contains(&column.name.as_str());
            self.defects.check(column, array, named, &keys);
        }
        let mut last = None;
        for (position, column) in self.columns.iter().enumerate() {
            let array = &arrays[position];
            if !column.is_reference() || array.null_count() == array.len() {
                continue;
            }
            let texts: &StringArray = array.as_string();
            for row in (0..texts.len()).filter(|row| texts.is_valid(*row)) {
                let text = texts.value(row);
                if last == Some((position, text)) {
                    continue;
                }
                if !is_reference(text) {
                    self.defects.malformed_reference(column, || keys.key(row));
                    continue;
                }
                last = Some((position, text));
                references.resources.push(Target {
                    hash: self.hasher.reference(text),
                    row: self.rows + row as u32,
                    slot: self.slot,
                    column: position as u16,
                })?;
            }
        }
        Ok(())
    }

    fn index(
        &mut self,
        rows: &RecordBatch,
        scope: u32,
        references: &mut References,
    ) -> Result<(), PathError> {
        let keys = key_texts(&self.record_type, &self.columns, rows.columns());
        let mut hasher = RowHasher::new(&self.columns, rows);
        let privileged: Option<&BooleanArray> =
            self.privileged.map(|position| rows.column(position).as_boolean());
        let is_privileged =
            |row| privileged.is_some_and(|marks| marks.is_valid(row) && marks.value(row));
        let resources: Option<&StringArray> =
            self.resource.map(|position| rows.column(position).as_string());
        let gives = key_columns(&self.record_type).get(1);
        let gives = gives.and_then(|name| self.columns.position(name));
        for row in 0..rows.num_rows() {
            let (first, second) = keys.get(row);
            let key = self.keys.key(first, second);
            let number = self.rows + row as u32;
            let (hash, bytes) = hasher.hash(row);
            self.row_bytes_max = self.row_bytes_max.max(bytes);
            let entry = Entry::new(key, hash, number, scope, is_privileged(row));
            self.index.push(entry);
            if let Some(texts) = resources.filter(|texts| texts.is_valid(row))
                && let Some(held_on) = &mut references.held_on
            {
                held_on.add(key.high, || self.hasher.reference(texts.value(row)));
            }
            if let Some(column) = gives {
                let (slot, column) = (self.slot, column as u16);
                references.entitlements.push(Target {
                    hash: key.low,
                    row: number,
                    slot,
                    column,
                })?;
            }
        }
        Ok(())
    }
}

fn key_texts<'a>(
    record_type: &'a RecordType,
    columns: &TypeColumns,
    arrays: &'a [ArrayRef],
) -> KeyTexts<'a> {
    let names = key_columns(record_type);
    let texts = |name: &&str| {
        let position = columns.position(name).expect("the columns of a key are fixed");
        arrays[position].as_string::<i32>()
    };
    KeyTexts { record_type, first: texts(&names[0]), second: names.get(1).map(texts) }
}
