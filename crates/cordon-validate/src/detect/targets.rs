//! What is known of each target's grants, without holding them.
//!
//! A grant's key names its entitlement, not its target, and nearly all grants of a step did not
//! change: what one of those takes is what the detector costs. It is one look-up, of its entitlement.
//! A look-up in a table that no cache holds waits for memory; made for many grants in one go, they
//! wait together.

use super::observe::{ByHash, Seen};

/// Targets whose grants are counted apart.
pub const TARGETS_MAX: usize = 1 << 20;
/// Entitlements whose place is remembered. The grants of others take a look-up more.
const ENTITLEMENTS_MAX: usize = 1 << 20;
/// Kept grants that are counted in one go.
const TOGETHER: usize = 256;
/// The place of a target beyond the limit.
const NOWHERE: u32 = u32::MAX;

/// What is known of one target's grants.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Extent {
    /// Grants before.
    pub(super) before: u32,
    /// Grants after.
    pub(super) after: u32,
    /// Position before of the last grant that is kept, from one; zero = none is.
    pub(super) kept_last: u32,
}

impl Extent {
    fn see(&mut self, seen: &Seen) {
        match (seen.before, seen.after) {
            (Some(before), Some(_)) => self.keep(before.position),
            (Some(_), None) => self.before = self.before.saturating_add(1),
            (None, Some(_)) => self.after = self.after.saturating_add(1),
            (None, None) => {}
        }
    }

    fn keep(&mut self, position: u32) {
        self.before = self.before.saturating_add(1);
        self.after = self.after.saturating_add(1);
        self.kept_last = self.kept_last.max(position.saturating_add(1));
    }
}

/// A grant that is kept, until it is counted.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    entitlement: u64,
    position: u32,
    /// Where in the extents its target is, once that was looked up and is known.
    place: Option<u32>,
}

/// The targets that were seen, at most [`TARGETS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Targets {
    extents: Vec<Extent>,
    /// Where in `extents` a target is.
    by_target: ByHash<u64, u32>,
    /// The same by entitlement, or [`NOWHERE`].
    by_entitlement: ByHash<u64, u32>,
    /// What entitlements are held on.
    held_on: ByHash<u64, u64>,
    waiting: Vec<Waiting>,
}

impl Targets {
    /// How many there are, once everything is counted.
    pub(super) fn len(&self) -> u64 {
        self.extents.len() as u64
    }

    /// What is known of a target, once everything is counted.
    pub(super) fn get(&self, target: u64) -> Option<&Extent> {
        self.extents.get(*self.by_target.get(&target)? as usize)
    }

    /// Notes what entitlements are held on, as far as that is not known.
    pub(super) fn tell(&mut self, told: impl IntoIterator<Item = (u64, u64)>) {
        let told = told.into_iter();
        self.held_on.reserve(told.size_hint().0);
        for (entitlement, target) in told {
            self.held_on.entry(entitlement).or_insert(target);
        }
    }

    /// What an entitlement is held on; the entitlement itself where nobody told.
    pub(super) fn of(&self, entitlement: u64) -> u64 {
        self.held_on.get(&entitlement).copied().unwrap_or(entitlement)
    }

    /// Counts a grant.
    pub(super) fn see(&mut self, seen: &Seen) {
        let place = self.place(seen.target);
        if let Some(extent) = self.extents.get_mut(place as usize) {
            extent.see(seen);
        }
    }

    /// Counts a grant that is kept, by its entitlement and its position before; now or later.
    #[inline]
    pub(super) fn keep(&mut self, entitlement: u64, position: u32) {
        self.waiting.push(Waiting { entitlement, position, place: None });
        if self.waiting.len() >= TOGETHER {
            self.count();
        }
    }

    /// Counts the grants that wait.
    pub(super) fn count(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        // The first loop only looks up, so that no look-up waits for the one before.
        for grant in &mut waiting {
            grant.place = self.by_entitlement.get(&grant.entitlement).copied();
        }
        for grant in &waiting {
            let place = grant.place.unwrap_or_else(|| self.place_of(grant.entitlement));
            if let Some(extent) = self.extents.get_mut(place as usize) {
                extent.keep(grant.position);
            }
        }
        waiting.clear();
        self.waiting = waiting;
    }

    fn place_of(&mut self, entitlement: u64) -> u32 {
        if let Some(place) = self.by_entitlement.get(&entitlement) {
            return *place;
        }
        let place = self.place(self.of(entitlement));
        if self.by_entitlement.len() < ENTITLEMENTS_MAX {
            self.by_entitlement.insert(entitlement, place);
        }
        place
    }

    fn place(&mut self, target: u64) -> u32 {
        if let Some(place) = self.by_target.get(&target) {
            return *place;
        }
        if self.extents.len() == TARGETS_MAX {
            return NOWHERE;
        }
        let place = self.extents.len() as u32;
        self.by_target.insert(target, place);
        self.extents.push(Extent::default());
        place
    }
}
