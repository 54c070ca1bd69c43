//! Grants that are kept, counted by entitlement.
//!
//! Nearly all grants of a step are kept, and no cache holds a line for each entitlement: what one
//! grant takes is one wait for memory. So a line is a quarter of what such a wait brings, and nothing
//! else is looked up: the waits of grants that follow each other then run together. A map of the
//! library has its lines longer and asks twice.

/// Entitlements from which on a count is full.
pub(super) const ENTITLEMENTS_MAX: usize = 1 << 20;

/// The grants of one entitlement; a line without grants is free.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    entitlement: u64,
    grants: u32,
    /// Position of the last of them, from one.
    last: u32,
}

/// A count of kept grants.
#[derive(Debug, Default)]
pub(super) struct KeptGrants {
    /// A power of two of lines, a quarter of them free at least; none at first.
    lines: Vec<Line>,
    used: usize,
}

impl KeptGrants {
    /// Makes room for so many entitlements.
    pub(super) fn reserve(&mut self, entitlements: usize) {
        let entitlements = entitlements.min(ENTITLEMENTS_MAX);
        let lines = (entitlements + entitlements / 3 + 1).next_power_of_two();
        if lines > self.lines.len() {
            let old = std::mem::replace(&mut self.lines, vec![Line::default(); lines]);
            self.used = 0;
            for line in old.into_iter().filter(|line| line.grants > 0) {
                self.add(line);
            }
        }
    }

    /// Entitlements that were counted so far.
    pub(super) fn entitlements(&self) -> usize {
        self.used
    }

    /// Counts a grant at a position from one; says whether the count is full, and has to end.
    #[inline]
    pub(super) fn keep(&mut self, entitlement: u64, position: u32) -> bool {
        if self.used >= self.lines.len() / 4 * 3 {
            self.reserve(self.used + 1);
        }
        self.add(Line { entitlement, grants: 1, last: position });
        self.used >= ENTITLEMENTS_MAX
    }

    #[inline]
    fn add(&mut self, more: Line) {
        let last = self.lines.len() - 1;
        let mut at = more.entitlement as usize & last;
        while let Some(line) = self.lines.get_mut(at) {
            if line.grants == 0 {
                *line = more;
                self.used += 1;
                return;
            }
            if line.entitlement == more.entitlement {
                line.grants = line.grants.saturating_add(more.grants);
                line.last = line.last.max(more.last);
                return;
            }
            at = (at + 1) & last;
        }
    }

    /// Ends the count: entitlements, their grants, and the position of the last of them, from one.
    pub(super) fn into_counts(self) -> impl Iterator<Item = (u64, u32, u32)> {
        let lines = self.lines.into_iter().filter(|line| line.grants > 0);
        lines.map(|line| (line.entitlement, line.grants, line.last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn counts(kept: KeptGrants) -> BTreeMap<u64, (u32, u32)> {
        kept.into_counts()
            .map(|(entitlement, grants, last)| (entitlement, (grants, last)))
            .collect()
    }

    proptest! {
        /// Hashes that begin alike share their place in the table.
        #[test]
        fn every_grant_is_counted_at_its_entitlement_and_nowhere_else(
            grants in prop::collection::vec((0_u64..40, 0_u64..30, 1_u32..5_000), 0..2_000),
            room in prop::option::of(0_usize..3_000),
        ) {
            let mut kept = KeptGrants::default();
            if let Some(room) = room {
                kept.reserve(room);
            }
            let mut expected: BTreeMap<u64, (u32, u32)> = BTreeMap::new();
            for (high, low, position) in grants {
                let entitlement = (high << 32) | low;
                prop_assert!(!kept.keep(entitlement, position));
                let (grants, last) = expected.entry(entitlement).or_default();
                *grants += 1;
                *last = position.max(*last);
            }
            prop_assert_eq!(counts(kept), expected);
        }
    }

    #[test]
    fn a_count_says_when_it_is_full_and_has_room_for_what_is_counted_till_then() {
        let mut kept = KeptGrants::default();
        let all = ENTITLEMENTS_MAX as u64;
        let full: Vec<u64> = (0..all).filter(|at| kept.keep(*at, 1)).collect();
        assert_eq!(full, [all - 1]);
        assert!(kept.lines.len() <= 2 * ENTITLEMENTS_MAX);
        assert_eq!(kept.into_counts().count() as u64, all);
    }
}
