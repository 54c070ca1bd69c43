//! What is known of each target's grants, without holding them.
//!
//! A grant's key names its entitlement, not its target, and nearly all grants of a step did not
//! change: what one of those takes is what the detector costs. So they are counted by entitlement, in a
//! table with one short line for each, and put to their targets at the end.

use super::kept::KeptGrants;
use super::observe::{ByHash, HeldOn, Seen};

/// Targets whose grants are counted apart.
pub const TARGETS_MAX: usize = 1 << 20;

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
            (Some(before), Some(_)) => self.keep(1, before.position.saturating_add(1)),
            (Some(_), None) => self.before = self.before.saturating_add(1),
            (None, Some(_)) => self.after = self.after.saturating_add(1),
            (None, None) => {}
        }
    }

    fn keep(&mut self, grants: u32, last: u32) {
        self.before = self.before.saturating_add(grants);
        self.after = self.after.saturating_add(grants);
        self.kept_last = self.kept_last.max(last);
    }
}

/// The targets that were seen, at most [`TARGETS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Targets {
    extents: Vec<Extent>,
    /// Where in `extents` a target is.
    by_target: ByHash<u64, u32>,
    /// What entitlements are held on.
    held_on: ByHash<u64, u64>,
    kept: KeptGrants,
}

impl Targets {
    /// What is held on them is known.
    pub(super) fn knowing(held_on: HeldOn) -> Self {
        Self { held_on: held_on.0, ..Self::default() }
    }

    /// Makes room for the grants that come now.
    pub(super) fn expect(&mut self) {
        self.kept.reserve(self.held_on.len());
    }

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
        if let Some(extent) = self.extent(seen.target) {
            extent.see(seen);
        }
    }

    /// Counts a grant that is kept, by its entitlement and its position before.
    #[inline]
    pub(super) fn keep(&mut self, entitlement: u64, position: u32) {
        if self.kept.keep(entitlement, position.saturating_add(1)) {
            self.count();
        }
    }

    /// Puts the grants that are kept to their targets.
    pub(super) fn count(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        self.by_target.reserve(kept.entitlements().min(TARGETS_MAX - self.extents.len()));
        for (entitlement, grants, last) in kept.into_counts() {
            if let Some(extent) = self.extent(self.of(entitlement)) {
                extent.keep(grants, last);
            }
        }
    }

    fn extent(&mut self, target: u64) -> Option<&mut Extent> {
        let place = match self.by_target.get(&target) {
            Some(place) => *place,
            None if self.extents.len() == TARGETS_MAX => return None,
            None => {
                let place = self.extents.len() as u32;
                self.by_target.insert(target, place);
                self.extents.push(Extent::default());
                place
            }
        };
        self.extents.get_mut(place as usize)
    }
}
