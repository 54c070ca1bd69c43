//! The values of an attribute that has only a few: a status, an employment type, a kind of account.
//!
//! Whoever reads `status = active` reads one of a handful of words. When most records move to words that
//! nobody ever saw, the records are all there and mean something else: the export was turned from words
//! into letters, or another column took the attribute's name. So the words are counted where there are
//! few, and what a snapshot had goes along with the next: what it holds is all that has to be kept, and a
//! candidate that is not accepted teaches nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::PERCENT_RECORDS_MIN;

/// Values of an attribute up to which they are few.
pub const VALUES_MAX: usize = 12;
/// Bytes of a value up to which it is a word.
pub const VALUE_BYTES_MAX: usize = 32;
/// Values of earlier snapshots that are remembered.
const EARLIER_MAX: usize = 16;
/// Snapshots without a new value from which on the values are taken for all there are.
const STEADY_MIN: u32 = 3;
/// Records that share a value, on average; with fewer it is no word of a vocabulary.
const RECORDS_A_VALUE_MIN: u64 = 4;
/// As many renewals were released, and from then on they are its habit, as those of a date are.
const RENEWALS_MAX: u32 = 2;

/// How many records have each value.
pub type ValueCounts = BTreeMap<String, u64>;

/// The few values of an attribute, now and before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Values {
    /// How many records have each.
    pub now: ValueCounts,
    /// Those that earlier snapshots had and no record has now, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<String>,
    /// Snapshots in a row, up to this one, that brought no new value.
    #[serde(default)]
    pub steady: u32,
    /// How often most records left a vocabulary for new values, and a person released it.
    #[serde(default)]
    pub renewed: u32,
}

impl Values {
    /// What was counted, of an attribute that nothing is known of.
    pub fn first(now: ValueCounts) -> Self {
        Self { now, ..Self::default() }
    }

    /// What was counted, after a snapshot that had these.
    #[must_use]
    pub fn after(now: ValueCounts, before: &Self) -> Self {
        let had = before.earlier.iter().chain(before.now.keys());
        let mut earlier: Vec<String> =
            had.filter(|value| !now.contains_key(*value)).cloned().collect();
        let surplus = earlier.len().saturating_sub(EARLIER_MAX);
        earlier.drain(..surplus);
        let values = Self { now, earlier, ..Self::default() };
        let is_new = values.new_since(before).next().is_some();
        Self {
            steady: if is_new { 0 } else { before.steady.saturating_add(1) },
            renewed: before.renewed + u32::from(before.is_closed() && values.replaces(before)),
            ..values
        }
    }

    /// Whether these are few words that many records share, and were so for long enough to be all there
    /// are.
    pub(crate) fn is_closed(&self) -> bool {
        let records = self.records();
        records >= PERCENT_RECORDS_MIN
            && records >= (self.now.len() as u64).saturating_mul(RECORDS_A_VALUE_MIN)
            && self.snapshots() >= STEADY_MIN
            && self.renewed < RENEWALS_MAX
    }

    /// Snapshots in a row that had no value but these and earlier ones.
    pub(crate) fn snapshots(&self) -> u32 {
        self.steady.saturating_add(1)
    }

    /// Records that have a value.
    pub(crate) fn records(&self) -> u64 {
        sum(self.now.values())
    }

    /// The values that were never seen before, and how many records have each.
    pub(crate) fn new_since<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (&'a str, u64)> {
        let known =
            |value: &String| before.now.contains_key(value) || before.earlier.contains(value);
        let new = self.now.iter().filter(move |(value, _)| !known(value));
        new.map(|(value, records)| (value.as_str(), *records))
    }

    /// Whether most records have values that were never seen, and most of those that had one of the
    /// known values have lost it. Where as many came with new values, nothing was replaced.
    pub(crate) fn replaces(&self, before: &Self) -> bool {
        let new: u64 =
            self.new_since(before).map(|(_, records)| records).fold(0, u64::saturating_add);
        let known = self.records() - new;
        let most = |part: u64, whole: u64| part.saturating_mul(2) > whole;
        most(new, self.records()) && !most(known, before.records())
    }
}

fn sum<'a>(counts: impl Iterator<Item = &'a u64>) -> u64 {
    counts.fold(0, |sum, count| sum.saturating_add(*count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, u64)]) -> ValueCounts {
        counts.iter().map(|(value, records)| ((*value).to_owned(), *records)).collect()
    }

    #[test]
    fn a_value_that_was_there_once_is_never_new_again() {
        let first = Values::first(counts(&[("active", 90), ("leave", 10)]));
        let second = Values::after(counts(&[("active", 100)]), &first);
        assert_eq!((second.earlier.as_slice(), second.steady), (&["leave".to_owned()][..], 1));
        let third = Values::after(counts(&[("active", 95), ("leave", 5)]), &second);
        assert_eq!((third.earlier.len(), third.steady), (0, 2));
        let fourth = Values::after(counts(&[("active", 95), ("retired", 5)]), &third);
        assert_eq!((fourth.steady, fourth.renewed), (0, 0));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut values = Values::first(counts(&[("0", 100)]));
        for day in 1..1_000 {
            values = Values::after(counts(&[(&day.to_string(), 100)]), &values);
        }
        assert_eq!((values.earlier.len(), values.renewed), (EARLIER_MAX, 0));
        assert_eq!(values.earlier.last().map(String::as_str), Some("998"));
    }

    #[test]
    fn what_stayed_for_three_snapshots_and_many_share_is_a_vocabulary() {
        let stays = |now: &[(&str, u64)], snapshots: u32| {
            let first = Values::first(counts(now));
            (1..snapshots).fold(first, |before, _| Values::after(counts(now), &before))
        };
        let words = [("active", 15), ("disabled", 5)];
        assert!(!stays(&words, 2).is_closed());
        assert!(stays(&words, 3).is_closed());
        assert!(!stays(&[("active", 14), ("disabled", 5)], 3).is_closed());
        let four_each = ["a", "b", "c", "d", "e"].map(|word| (word, 4));
        assert!(stays(&four_each, 3).is_closed());
        assert!(!stays(&[&four_each[..], &[("f", 3)]].concat(), 3).is_closed());
        let names: Vec<String> = (0..6).map(|it| it.to_string()).collect();
        let names: Vec<(&str, u64)> = names.iter().map(|it| (it.as_str(), 3)).collect();
        assert!(!stays(&[names.as_slice(), &[("x", 2)]].concat(), 3).is_closed());
    }

    #[test]
    fn a_vocabulary_that_was_renewed_twice_is_a_date() {
        let mut values = Values::first(counts(&[("monday", 100)]));
        let mut closed = Vec::new();
        for day in ["tuesday", "wednesday", "thursday"] {
            for _ in 0..2 {
                values = Values::after(values.now.clone(), &values);
            }
            closed.push(values.is_closed());
            values = Values::after(counts(&[(day, 100)]), &values);
        }
        assert_eq!(closed, [true, true, false]);
    }

    #[test]
    fn values_are_replaced_when_most_records_left_the_known_ones_for_new_ones() {
        let before = Values::first(counts(&[("active", 80), ("disabled", 20)]));
        let replaces = |now: &[(&str, u64)]| Values::after(counts(now), &before).replaces(&before);
        assert!(replaces(&[("A", 80), ("D", 20)]));
        assert!(replaces(&[("active", 49), ("A", 51)]));
        assert!(!replaces(&[("active", 50), ("A", 50)]));
        // Two companies become one, and the other has words of its own.
        assert!(!replaces(&[("active", 80), ("disabled", 20), ("A", 200)]));
        assert!(!replaces(&[]));
    }
}
