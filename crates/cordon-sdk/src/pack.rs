//! Packs records into columns, one record at a time.
//!
//! A grant costs the author's process a few dozen nanoseconds here, so a field is found by the place
//! that it has in its base schema and only then by name, and no record is held as a map. Schemas are
//! enforced here rather than by the supervisor alone: an author reads the error where it was made.

use cordon_model::{
    AttributeName, AttributeType, BATCH_RECORDS_MAX, Batch, Bits, Column, RecordKind, RecordSchema,
    RecordType, TEXT_BYTES_MAX, Value, Values,
};

use crate::Error;

/// Bytes of values at which a batch is sent, even with room for more records. A record more may add
/// as much as all its texts allow, and the message must still stay under the wire's 4 MiB.
const BATCH_BYTES: usize = 1024 * 1024;
/// Bytes of values of one record, at most.
const RECORD_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Columns that grow by a record at a time.
pub struct Packer {
    record_type: RecordType,
    columns: Vec<Growing>,
    records: usize,
    bytes: usize,
    row_bytes: usize,
}

struct Growing {
    name: AttributeName,
    required: bool,
    filled: usize,
    present: usize,
    presence: Option<Bits>,
    values: Values,
}

impl Packer {
    pub(crate) fn new(schema: &RecordSchema) -> Self {
        let columns = schema
            .attributes
            .iter()
            .map(|attribute| Growing {
                name: attribute.name.clone(),
                required: attribute.required,
                filled: 0,
                present: 0,
                presence: None,
                values: empty(attribute.value_type, 0, 0),
            })
            .collect();
        let record_type = schema.record_type.clone();
        Self { record_type, columns, records: 0, bytes: 0, row_bytes: 0 }
    }

    pub(crate) fn packs(&self, kind: RecordKind, type_name: &str) -> bool {
        self.record_type.kind == kind && self.record_type.name.as_str() == type_name
    }

    pub(crate) fn is_full(&self) -> bool {
        self.records >= BATCH_RECORDS_MAX || self.bytes >= BATCH_BYTES
    }

    pub(crate) fn records(&self) -> usize {
        self.records
    }

    /// Sets a text of the record at hand, given in pieces that stand together.
    pub(crate) fn text(&mut self, place: usize, name: &str, pieces: &[&str]) -> Result<(), Error> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if length > TEXT_BYTES_MAX {
            return Err(Error::bug(format!(
                "attribute {name} of {} has {length} bytes, more than {TEXT_BYTES_MAX}",
                self.record_type
            )));
        }
        let column = self.column(place, name, AttributeType::Text)?;
        let Values::Text { offsets, data } = &mut column.values else {
            unreachable!("the column's type was compared")
        };
        pieces.iter().for_each(|piece| data.push_str(piece));
        // A batch is sent long before its texts reach 2 GiB.
        offsets.push(data.len() as i32);
        self.row_bytes += length + 4;
        Ok(())
    }

    /// Sets a value of the record at hand.
    pub(crate) fn value(&mut self, place: usize, name: &str, value: &Value) -> Result<(), Error> {
        match value {
            Value::Text(text) => return self.text(place, name, &[text]),
            Value::Integer(number) => {
                let column = self.column(place, name, AttributeType::Integer)?;
                if let Values::Integer(numbers) = &mut column.values {
                    numbers.push(*number);
                }
            }
            Value::Boolean(yes) => {
                let column = self.column(place, name, AttributeType::Boolean)?;
                if let Values::Boolean(bits) = &mut column.values {
                    bits.push(*yes);
                }
            }
            Value::Timestamp(time) => {
                let column = self.column(place, name, AttributeType::Timestamp)?;
                if let Values::Timestamp(times) = &mut column.values {
                    times.push(time.as_microsecond());
                }
            }
        }
        self.row_bytes += 8;
        Ok(())
    }

    /// Ends the record at hand; what was not set is absent.
    pub(crate) fn end_row(&mut self) -> Result<(), Error> {
        if self.row_bytes > RECORD_BYTES_MAX {
            return Err(Error::bug(format!(
                "a record of {} has {} bytes, more than {RECORD_BYTES_MAX}",
                self.record_type, self.row_bytes
            )));
        }
        for column in &mut self.columns {
            if column.filled == self.records {
                column.push_absent();
            }
        }
        self.records += 1;
        // What is absent still takes its place.
        self.bytes += std::mem::take(&mut self.row_bytes) + self.columns.len();
        Ok(())
    }

    /// Takes back what was set of the record at hand.
    pub(crate) fn undo_row(&mut self) {
        self.row_bytes = 0;
        for column in &mut self.columns {
            if column.filled > self.records {
                column.undo();
            }
        }
    }

    /// Takes the records so far as a batch; none when there are none.
    pub(crate) fn take(&mut self, scope: u32) -> Result<Option<Batch>, Error> {
        if self.records == 0 {
            return Ok(None);
        }
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            let taken = column.take();
            // A column that no record has says nothing; the schema already tells that it exists.
            if taken.present > 0 || column.required {
                let (presence, values) = (taken.presence, taken.values);
                columns.push(Column { name: column.name.clone(), presence, values });
            }
        }
        let records = std::mem::take(&mut self.records);
        self.bytes = 0;
        let batch = Batch::new(scope, self.record_type.clone(), records, columns)
            .map_err(|error| Error::bug("cannot pack a batch").caused_by(error))?;
        Ok(Some(batch))
    }

    fn column(
        &mut self,
        place: usize,
        name: &str,
        value_type: AttributeType,
    ) -> Result<&mut Growing, Error> {
        let place = match self.columns.get(place) {
            Some(column) if column.name.as_str() == name => place,
            _ => self
                .columns
                .iter()
                .position(|column| column.name.as_str() == name)
                .ok_or_else(|| undeclared(&self.record_type, name))?,
        };
        let column = &mut self.columns[place];
        if column.values.value_type() != value_type {
            return Err(Error::bug(format!(
                "attribute {name} of {} is {:?}, but a value of type {value_type:?} was set",
                self.record_type,
                column.values.value_type()
            )));
        }
        if column.filled != self.records {
            return Err(Error::bug(format!(
                "attribute {name} of {} is set twice in one record",
                self.record_type
            )));
        }
        column.filled += 1;
        column.present += 1;
        if let Some(presence) = &mut column.presence {
            presence.push(true);
        }
        Ok(column)
    }
}

fn undeclared(record_type: &RecordType, name: &str) -> Error {
    Error::bug(format!("attribute {name:?} is not declared in the schema of {record_type}"))
}

struct Taken {
    present: usize,
    presence: Option<Bits>,
    values: Values,
}

impl Growing {
    fn push_absent(&mut self) {
        self.presence.get_or_insert_with(|| ones(self.filled)).push(false);
        self.filled += 1;
        match &mut self.values {
            Values::Text { offsets, data } => offsets.push(data.len() as i32),
            Values::Integer(numbers) | Values::Timestamp(numbers) => numbers.push(0),
            Values::Boolean(bits) => bits.push(false),
        }
    }

    /// Takes back the last value. Only an author's mistake leads here, so its cost does not matter.
    fn undo(&mut self) {
        self.filled -= 1;
        self.present -= 1;
        if let Some(presence) = &mut self.presence {
            *presence = first(presence, self.filled);
        }
        match &mut self.values {
            Values::Text { offsets, data } => {
                offsets.pop();
                data.truncate(offsets.last().map_or(0, |end| *end as usize));
            }
            Values::Integer(numbers) | Values::Timestamp(numbers) => {
                numbers.pop();
            }
            Values::Boolean(bits) => *bits = first(bits, self.filled),
        }
    }

    fn take(&mut self) -> Taken {
        let text_bytes = match &self.values {
            Values::Text { data, .. } => data.len(),
            _ => 0,
        };
        let next = empty(self.values.value_type(), self.filled, text_bytes);
        self.filled = 0;
        Taken {
            present: std::mem::take(&mut self.present),
            presence: self.presence.take(),
            values: std::mem::replace(&mut self.values, next),
        }
    }
}

/// Values of no record, with room for as many as the last batch had.
fn empty(value_type: AttributeType, records: usize, text_bytes: usize) -> Values {
    match value_type {
        AttributeType::Text => {
            let mut offsets = Vec::with_capacity(records + 1);
            offsets.push(0);
            Values::Text { offsets, data: String::with_capacity(text_bytes) }
        }
        AttributeType::Integer => Values::Integer(Vec::with_capacity(records)),
        AttributeType::Boolean => Values::Boolean(Bits::default()),
        AttributeType::Timestamp => Values::Timestamp(Vec::with_capacity(records)),
    }
}

fn ones(len: usize) -> Bits {
    let mut bits = Bits::default();
    (0..len).for_each(|_| bits.push(true));
    bits
}

fn first(bits: &Bits, len: usize) -> Bits {
    let mut kept = Bits::default();
    (0..len).for_each(|index| kept.push(bits.get(index)));
    kept
}
