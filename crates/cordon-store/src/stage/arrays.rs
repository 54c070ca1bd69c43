//! A batch's columns become Arrow arrays without touching single records: offsets, numbers and bits
//! move, presence becomes the null mask.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;
use cordon_model::{BATCH_RECORDS_MAX, Bits, Column, Values};

use crate::columns::{TypeColumns, data_type};

/// Arrays that every batch of a type may need, made once.
#[derive(Debug)]
pub(crate) struct Spare {
    /// By column: nulls, for batches without it.
    nulls: Vec<ArrayRef>,
    /// Nulls for the confirmation.
    unconfirmed: ArrayRef,
    /// Zeros: every row of a batch has the same scope.
    zeros: Int32Array,
}

impl Spare {
    pub(crate) fn new(columns: &TypeColumns) -> Self {
        let nulls = columns.iter().map(|column| data_type(column.value_type));
        Self {
            nulls: nulls.map(|of| new_null_array(&of, BATCH_RECORDS_MAX)).collect(),
            unconfirmed: new_null_array(&DataType::Int64, BATCH_RECORDS_MAX),
            zeros: Int32Array::from(vec![0; BATCH_RECORDS_MAX]),
        }
    }

    /// The arrays of a batch in the order of the type's columns.
    pub(crate) fn attributes(
        &self,
        columns: Vec<(usize, Column)>,
        records: usize,
    ) -> Vec<ArrayRef> {
        let mut arrays: Vec<ArrayRef> =
            self.nulls.iter().map(|nulls| nulls.slice(0, records)).collect();
        for (position, column) in columns {
            arrays[position] = array(column);
        }
        arrays
    }

    /// The columns that the store adds.
    pub(crate) fn added(&self, scope: &Arc<StringArray>, records: usize) -> [ArrayRef; 2] {
        let keys = self.zeros.slice(0, records);
        let scope = DictionaryArray::<Int32Type>::new(keys, scope.clone());
        [Arc::new(scope), self.unconfirmed.slice(0, records)]
    }
}

fn array(column: Column) -> ArrayRef {
    let nulls = column.presence.map(|bits| NullBuffer::new(bools(bits)));
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    match column.values {
        Values::Text { offsets, data } => {
            let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
            let data = Buffer::from_vec(data.into_bytes());
            let texts = StringArray::try_new(offsets, data, nulls);
            Arc::new(texts.expect("a batch's texts lie in its data, on the borders of characters"))
        }
        Values::Integer(numbers) => Arc::new(Int64Array::new(numbers.into(), nulls)),
        Values::Boolean(bits) => Arc::new(BooleanArray::new(bools(bits), nulls)),
        Values::Timestamp(micros) => {
            let times = TimestampMicrosecondArray::new(micros.into(), nulls);
            Arc::new(times.with_timezone("UTC"))
        }
    }
}

fn bools(bits: Bits) -> BooleanBuffer {
    let len = bits.len();
    BooleanBuffer::new(Buffer::from_vec(bits.into_bytes()), 0, len)
}
