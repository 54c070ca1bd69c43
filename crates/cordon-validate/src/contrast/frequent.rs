//! The most frequent of any number of values, in bounded memory.

use std::collections::HashMap;

/// Values that are counted at a time.
const COUNTERS: usize = 512;

/// Counts by Misra and Gries ("Finding repeated elements", 1982): where there are more values than
/// counters, each count is too low by at most one in [`COUNTERS`] of all that was noted, and never too
/// high; so a value that half of the records have is never lost.
#[derive(Debug, Default)]
pub(super) struct Frequent {
    counts: HashMap<String, u64>,
    dropped: bool,
}

impl Frequent {
    pub(super) fn note(&mut self, value: String) {
        if let Some(count) = self.counts.get_mut(&value) {
            *count += 1;
        } else if self.counts.len() < COUNTERS {
            self.counts.insert(value, 1);
        } else {
            self.dropped = true;
            self.counts.retain(|_, count| {
                *count -= 1;
                *count > 0
            });
        }
    }

    /// Whether every count is exact.
    pub(super) fn is_exact(&self) -> bool {
        !self.dropped
    }

    /// Values and counts, the most frequent first.
    pub(super) fn into_most_frequent(self) -> Vec<(String, u64)> {
        let mut counts: Vec<_> = self.counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_count_is_never_too_high_nor_too_low_by_more_than_its_bound(
            values in prop::collection::vec(0_u32..2_000, 0..5_000), common in 0_u64..5_000,
        ) {
            let mut frequent = Frequent::default();
            let mut truth: HashMap<String, u64> = HashMap::new();
            let all = values.len() as u64 + common;
            let common = (0..common).map(|_| "common".to_owned());
            for value in values.iter().map(u32::to_string).chain(common) {
                *truth.entry(value.clone()).or_default() += 1;
                frequent.note(value);
                prop_assert!(frequent.counts.len() <= COUNTERS);
            }
            let slack = if frequent.is_exact() { 0 } else { all / COUNTERS as u64 };
            let counts: HashMap<_, _> = frequent.into_most_frequent().into_iter().collect();
            for (value, true_count) in truth {
                let count = counts.get(&value).copied().unwrap_or(0);
                prop_assert!(count <= true_count && count + slack >= true_count);
            }
        }
    }
}
