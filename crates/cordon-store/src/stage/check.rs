//! What is wrong with single records, counted while they pass.
//!
//! Nearly every batch is sound, so each check first asks a whole column in one sweep and looks at
//! single records only where that raises a suspicion.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, StringArray, TimestampMicrosecondArray};
use cordon_model::{AttributeType, RecordType};
use cordon_validate::{Defect, DefectKind};

use crate::columns::{TypeColumn, key_text};
use crate::limits::EXAMPLES_MAX;

/// Bytes of an id, at most.
const ID_BYTES_MAX: usize = 1024;
/// 2200-01-01T00:00:00Z in microseconds.
const TIME_MAX: i64 = 7_258_118_400_000_000;

/// The texts that name each record of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyTexts<'a> {
    pub(crate) record_type: &'a RecordType,
    pub(crate) first: &'a StringArray,
    pub(crate) second: Option<&'a StringArray>,
}

impl<'a> KeyTexts<'a> {
    /// The texts of a record; an absent one is empty.
    pub(crate) fn get(&self, row: usize) -> (&'a str, &'a str) {
        (text(self.first, row), self.second.map_or("", |second| text(second, row)))
    }

    pub(crate) fn key(&self, row: usize) -> String {
        let (first, second) = self.get(row);
        key_text(self.record_type, first, second)
    }
}

fn text(array: &StringArray, row: usize) -> &str {
    if array.is_null(row) { "" } else { array.value(row) }
}

#[derive(Debug, Default)]
struct Tally {
    count: u64,
    examples: Vec<String>,
}

/// The defects of one kind and type.
#[derive(Debug, Default)]
pub(crate) struct Defects {
    tallies: BTreeMap<(DefectKind, Option<String>), Tally>,
}

impl Defects {
    /// Counts one wrong record.
    fn add(&mut self, kind: DefectKind, column: &str, key: impl FnOnce() -> String) {
        let tally = self.tallies.entry((kind, Some(column.to_owned()))).or_default();
        tally.count += 1;
        if tally.examples.len() < EXAMPLES_MAX {
            tally.examples.push(key());
        }
    }

    /// A reference that is not of the form `type:id`.
    pub(crate) fn malformed_reference(
        &mut self,
        column: &TypeColumn,
        key: impl FnOnce() -> String,
    ) {
        self.add(DefectKind::MalformedReference, &column.name, key);
    }

    /// Looks at one column of a batch; `names` says that its texts name the record.
    pub(crate) fn check(
        &mut self,
        column: &TypeColumn,
        array: &ArrayRef,
        names: bool,
        keys: &KeyTexts<'_>,
    ) {
        if column.required && array.null_count() > 0 {
            for row in (0..array.len()).filter(|row| array.is_null(*row)) {
                self.add(DefectKind::MissingRequired, &column.name, || keys.key(row));
            }
        }
        if names {
            self.check_ids(column, array.as_string(), keys);
        }
        if column.value_type == AttributeType::Timestamp {
            self.check_times(column, array.as_primitive::<TimestampMicrosecondType>(), keys);
        }
    }

    fn check_ids(&mut self, column: &TypeColumn, ids: &StringArray, keys: &KeyTexts<'_>) {
        if !suspicious(ids) {
            return;
        }
        for row in (0..ids.len()).filter(|row| ids.is_valid(*row)) {
            if !is_id(ids.value(row)) {
                self.add(DefectKind::MalformedId, &column.name, || keys.key(row));
            }
        }
    }

    fn check_times(
        &mut self,
        column: &TypeColumn,
        times: &TimestampMicrosecondArray,
        keys: &KeyTexts<'_>,
    ) {
        let plausible = |micros: &i64| (0..=TIME_MAX).contains(micros);
        if times.null_count() == times.len() || times.values().iter().all(plausible) {
            return;
        }
        for row in (0..times.len()).filter(|row| times.is_valid(*row)) {
            if !plausible(&times.value(row)) {
                self.add(DefectKind::ImplausibleTime, &column.name, || keys.key(row));
            }
        }
    }

    /// The defects found, out of `of` records.
    pub(crate) fn into_defects(self, record_type: &RecordType, of: u64) -> Vec<Defect> {
        let defects = self.tallies.into_iter().map(|((kind, column), tally)| Defect {
            kind,
            record_type: record_type.clone(),
            column,
            count: tally.count,
            of,
            examples: tally.examples,
        });
        defects.collect()
    }
}

/// Whether any id of a column may be wrong. May say yes to a sound column, never no to a wrong one:
/// the two-byte control characters all begin with 0xc2.
fn suspicious(ids: &StringArray) -> bool {
    let control = |bad, byte: &u8| bad | (*byte < 0x20) | (*byte == 0x7f) | (*byte == 0xc2);
    let length =
        |bad, pair: &[i32]| bad | !(1..=ID_BYTES_MAX as i32).contains(&(pair[1] - pair[0]));
    ids.value_data().iter().fold(false, control)
        || ids.value_offsets().windows(2).fold(false, length)
}

fn is_id(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len()) && !id.chars().any(char::is_control)
}

/// Whether a text is `type:id`.
pub(crate) fn is_reference(text: &str) -> bool {
    let Some((name, id)) = text.split_once(':') else { return false };
    let mut bytes = name.bytes();
    (1..=32).contains(&name.len())
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && is_id(id)
}
