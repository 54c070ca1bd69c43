//! What is counted of one column while its rows pass: how many have a value, and which values, while
//! those are a few words.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use cordon_model::AttributeType;
use cordon_validate::{VALUE_BYTES_MAX, VALUES_MAX, ValueCounts};

use crate::columns::TypeColumn;

/// Columns of a type whose values are counted, the first by name: a manifest has a bound.
const COUNTED_MAX: usize = 32;

/// One column, counted.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Rows that have a value.
    pub(crate) present: u64,
    /// None: they are many, or not counted.
    few: Option<Few>,
}

/// A few values, in the order in which they came, and the place of the last.
#[derive(Debug, Default)]
struct Few {
    values: Vec<(String, u64)>,
    last: usize,
}

/// The tallies of a type's columns. What names a record or points at one is no word.
pub(crate) fn tallies(columns: &[TypeColumn], names: &[&str]) -> Vec<Tally> {
    let mut counted = 0;
    let tallies = columns.iter().map(|column| {
        let is_word = column.value_type == AttributeType::Text
            && !column.is_reference()
            && !names.contains(&column.name.as_str());
        counted += usize::from(is_word);
        let few = (is_word && counted <= COUNTED_MAX).then(Few::default);
        Tally { present: 0, few }
    });
    tallies.collect()
}

impl Tally {
    /// Counts the rows of a batch.
    pub(crate) fn add(&mut self, array: &ArrayRef) {
        self.present += (array.len() - array.null_count()) as u64;
        if array.null_count() == array.len() {
            return;
        }
        let Some(few) = &mut self.few else { return };
        let texts = array.as_string::<i32>();
        if !texts.iter().flatten().all(|text| few.count(text)) {
            self.few = None;
        }
    }

    /// How many rows have each value.
    pub(crate) fn values(&self) -> Option<ValueCounts> {
        self.few.as_ref().map(|few| few.values.iter().cloned().collect())
    }
}

impl Few {
    /// Counts a value; says whether they are still few.
    fn count(&mut self, text: &str) -> bool {
        // Most rows have the value of the row before.
        if let Some((value, rows)) = self.values.get_mut(self.last)
            && value == text
        {
            *rows += 1;
            return true;
        }
        if let Some(place) = self.values.iter().position(|(value, _)| value == text) {
            self.last = place;
            self.values[place].1 += 1;
            return true;
        }
        if self.values.len() == VALUES_MAX || text.len() > VALUE_BYTES_MAX {
            return false;
        }
        self.last = self.values.len();
        self.values.push((text.to_owned(), 1));
        true
    }
}
