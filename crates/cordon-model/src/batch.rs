//! Batches: records of one scope, kind and type, as columns.
//!
//! A sync of ten million grants is never ten million objects: records stay columns from the wire to
//! the snapshot's files. A batch that exists has consistent columns; [`Batch::new`] is its only door.

use crate::{AttributeName, AttributeType, RecordType};

/// Records in a batch, at most.
pub const BATCH_RECORDS_MAX: usize = 4_096;
/// Bytes of one text value, at most.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// One bit a record, least significant first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    /// Takes `len` bits from bytes; none when there are fewer or more bytes than that needs.
    pub fn from_bytes(bytes: Vec<u8>, len: usize) -> Option<Self> {
        (bytes.len() == len.div_ceil(8)).then_some(Self { bytes, len })
    }

    /// The bit at `index`.
    ///
    /// # Panics
    /// When `index` is not below [`Bits::len`].
    pub fn get(&self, index: usize) -> bool {
        assert!(index < self.len, "bit {index} of {}", self.len);
        self.bytes[index / 8] & (1 << (index % 8)) != 0
    }

    /// Adds a bit at the end.
    pub fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if bit {
            self.bytes[self.len / 8] |= 1 << (self.len % 8);
        }
        self.len += 1;
    }

    /// How many bits there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bits are set.
    pub fn count_ones(&self) -> usize {
        let whole = self.len / 8;
        let rest = self.len % 8;
        let mut ones: u32 = self.bytes[..whole].iter().map(|byte| byte.count_ones()).sum();
        if rest > 0 {
            ones += (self.bytes[whole] & ((1 << rest) - 1)).count_ones();
        }
        ones as usize
    }

    /// The bytes, as they came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, by value.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The values of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// Texts laid end to end: text `i` is `data[offsets[i]..offsets[i + 1]]`.
    Text {
        /// One more than there are records, from 0, never falling.
        offsets: Vec<i32>,
        /// All texts.
        data: String,
    },
    /// Whole numbers.
    Integer(Vec<i64>),
    /// Yes or no.
    Boolean(Bits),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(Vec<i64>),
}

impl Values {
    /// The type of these values.
    pub fn value_type(&self) -> AttributeType {
        match self {
            Self::Text { .. } => AttributeType::Text,
            Self::Integer(_) => AttributeType::Integer,
            Self::Boolean(_) => AttributeType::Boolean,
            Self::Timestamp(_) => AttributeType::Timestamp,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text { offsets, .. } => offsets.len().saturating_sub(1),
            Self::Integer(numbers) | Self::Timestamp(numbers) => numbers.len(),
            Self::Boolean(bits) => bits.len(),
        }
    }

    /// The text at `index`; none for other types.
    pub fn text(&self, index: usize) -> Option<&str> {
        match self {
            Self::Text { offsets, data } => {
                Some(&data[offsets[index] as usize..offsets[index + 1] as usize])
            }
            _ => None,
        }
    }
}

/// One attribute of every record of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The attribute.
    pub name: AttributeName,
    /// Which records have it; none = all.
    pub presence: Option<Bits>,
    /// Its values; an absent record still takes its place.
    pub values: Values,
}

impl Column {
    /// Whether the record at `index` has this attribute.
    pub fn is_present(&self, index: usize) -> bool {
        self.presence.as_ref().is_none_or(|bits| bits.get(index))
    }

    /// The text of the record at `index`; none when absent or not text.
    pub fn text(&self, index: usize) -> Option<&str> {
        if self.is_present(index) { self.values.text(index) } else { None }
    }
}

/// Why columns are no batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The batch is too large.
    #[error("a batch of {records} records, more than {BATCH_RECORDS_MAX}")]
    TooManyRecords {
        /// How many it has.
        records: usize,
    },
    /// A column is longer or shorter than the batch.
    #[error("column {column} has {found} values for {records} records")]
    Length {
        /// The column.
        column: AttributeName,
        /// Its values.
        found: usize,
        /// The records of the batch.
        records: usize,
    },
    /// A column appears twice.
    #[error("column {column} appears twice")]
    Twice {
        /// The column.
        column: AttributeName,
    },
    /// A text column's offsets leave its data, fall, or cut a character.
    #[error("text {index} of column {column} does not lie in its data")]
    Offsets {
        /// The column.
        column: AttributeName,
        /// The first text that is wrong.
        index: usize,
    },
    /// A text is too long.
    #[error("text {index} of column {column} has {bytes} bytes, more than {TEXT_BYTES_MAX}")]
    TextTooLong {
        /// The column.
        column: AttributeName,
        /// The first text that is too long.
        index: usize,
        /// Its length.
        bytes: usize,
    },
}

/// Records of one scope, kind and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    scope: u32,
    record_type: RecordType,
    records: usize,
    columns: Vec<Column>,
}

impl Batch {
    /// Checks columns against each other and makes them a batch.
    pub fn new(
        scope: u32,
        record_type: RecordType,
        records: usize,
        columns: Vec<Column>,
    ) -> Result<Self, BatchError> {
        if records > BATCH_RECORDS_MAX {
            return Err(BatchError::TooManyRecords { records });
        }
        for (position, column) in columns.iter().enumerate() {
            if columns[..position].iter().any(|earlier| earlier.name == column.name) {
                return Err(BatchError::Twice { column: column.name.clone() });
            }
            check_lengths(column, records)?;
            check_texts(column)?;
        }
        Ok(Self { scope, record_type, records, columns })
    }

    /// The scope's ordinal in its stream.
    pub fn scope(&self) -> u32 {
        self.scope
    }

    /// Kind and type of every record.
    pub fn record_type(&self) -> &RecordType {
        &self.record_type
    }

    /// How many records there are.
    pub fn records(&self) -> usize {
        self.records
    }

    /// The columns, in the order in which they came.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.as_str() == name)
    }

    /// The columns, by value.
    pub fn into_columns(self) -> Vec<Column> {
        self.columns
    }
}

fn check_lengths(column: &Column, records: usize) -> Result<(), BatchError> {
    let presence = column.presence.as_ref().map_or(records, Bits::len);
    let found = column.values.len();
    if found == records && presence == records {
        return Ok(());
    }
    let found = if found == records { presence } else { found };
    Err(BatchError::Length { column: column.name.clone(), found, records })
}

fn check_texts(column: &Column) -> Result<(), BatchError> {
    let Values::Text { offsets, data } = &column.values else { return Ok(()) };
    let outside = |index| BatchError::Offsets { column: column.name.clone(), index };
    if offsets.first() != Some(&0) {
        return Err(outside(0));
    }
    for (index, pair) in offsets.windows(2).enumerate() {
        let (Ok(from), Ok(to)) = (usize::try_from(pair[0]), usize::try_from(pair[1])) else {
            return Err(outside(index));
        };
        // `get` refuses what falls, what leaves the data and what cuts a character.
        let Some(text) = data.get(from..to) else { return Err(outside(index)) };
        if text.len() > TEXT_BYTES_MAX {
            return Err(BatchError::TextTooLong {
                column: column.name.clone(),
                index,
                bytes: text.len(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{RecordKind, TypeName};

    fn users() -> RecordType {
        RecordType { kind: RecordKind::Resource, name: TypeName::new("user").unwrap() }
    }

    fn texts(offsets: &[i32], data: &str) -> Column {
        Column {
            name: AttributeName::new("id").unwrap(),
            presence: None,
            values: Values::Text { offsets: offsets.to_vec(), data: data.to_owned() },
        }
    }

    #[test]
    fn offsets_that_leave_their_data_are_refused() {
        for (offsets, data) in [
            (&[0, 9][..], "abc"),
            (&[0, 2, 1], "abc"),
            (&[1, 2], "abc"),
            (&[0, -1], "abc"),
            (&[0, 1], "é"),
            (&[], "abc"),
        ] {
            let records = offsets.len().saturating_sub(1);
            let batch = Batch::new(0, users(), records, vec![texts(offsets, data)]);
            assert!(
                matches!(batch, Err(BatchError::Offsets { .. })),
                "{offsets:?} in {data:?} gave {batch:?}"
            );
        }
    }

    #[test]
    fn a_column_with_too_few_values_is_refused() {
        let batch = Batch::new(0, users(), 3, vec![texts(&[0, 1], "a")]);
        assert!(matches!(batch, Err(BatchError::Length { found: 1, records: 3, .. })));
    }

    #[test]
    fn a_column_that_appears_twice_is_refused() {
        let batch = Batch::new(0, users(), 1, vec![texts(&[0, 1], "a"), texts(&[0, 1], "b")]);
        assert!(matches!(batch, Err(BatchError::Twice { .. })));
    }

    proptest! {
        #[test]
        fn a_batch_that_exists_can_be_read_without_panic(
            offsets in prop::collection::vec(-2i32..12, 0..6),
            data in "[aé]{0,6}",
        ) {
            let records = offsets.len().saturating_sub(1);
            if let Ok(batch) = Batch::new(0, users(), records, vec![texts(&offsets, &data)]) {
                for index in 0..records {
                    let _ = batch.columns()[0].text(index);
                }
            }
        }

        #[test]
        fn bits_come_back_as_they_were_pushed(bits in prop::collection::vec(any::<bool>(), 0..70)) {
            let mut packed = Bits::default();
            bits.iter().for_each(|bit| packed.push(*bit));
            prop_assert_eq!(packed.count_ones(), bits.iter().filter(|bit| **bit).count());
            for (index, bit) in bits.iter().enumerate() {
                prop_assert_eq!(packed.get(index), *bit);
            }
        }
    }
}
