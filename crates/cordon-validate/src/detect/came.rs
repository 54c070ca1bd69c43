//! New grants by the ends between which they are.
//!
//! A grant that went is replaced where another came between the same ends, and the last one that came
//! is taken first. There may be hundreds of thousands of them: they are sorted once and found in a
//! plain list.

use super::observe::Moved;

/// New grants, until something takes them.
pub(super) struct Came<'a> {
    grants: &'a [Moved],
    /// Principal, target and place in `grants`, in order.
    sorted: Vec<(u64, u64, u32)>,
    taken: Vec<bool>,
    /// At the last grant between two ends, how many between them are taken.
    taken_between: Vec<u32>,
}

impl<'a> Came<'a> {
    pub(super) fn new(grants: &'a [Moved]) -> Self {
        let sorted = (0..).zip(grants).map(|(place, m)| (m.key.high, m.target, place));
        let mut sorted: Vec<_> = sorted.collect();
        sorted.sort_unstable();
        Self {
            grants,
            sorted,
            taken: vec![false; grants.len()],
            taken_between: vec![0; grants.len()],
        }
    }

    /// Takes the last grant between these ends that is left.
    pub(super) fn take(&mut self, principal: u64, target: u64) -> Option<&'a Moved> {
        let ends = (principal, target);
        let end = self.sorted.partition_point(|(p, t, _)| (*p, *t) <= ends);
        let taken = self.taken_between.get_mut(end.checked_sub(1)?)?;
        let at = (end - 1).checked_sub(*taken as usize)?;
        let (p, t, place) = *self.sorted.get(at)?;
        if (p, t) != ends {
            return None;
        }
        *taken += 1;
        *self.taken.get_mut(at)? = true;
        self.grants.get(place as usize)
    }

    /// Those that nothing took, in the order of their ends.
    pub(super) fn left(&self) -> impl Iterator<Item = &'a Moved> {
        let left = self.sorted.iter().zip(&self.taken).filter(|(_, taken)| !**taken);
        left.filter_map(|((_, _, place), _)| self.grants.get(*place as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::super::observe::Key;
    use super::*;

    #[test]
    fn the_last_between_two_ends_is_taken_first_and_what_is_left_stays_in_order() {
        let ends = [(2, 7), (1, 7), (2, 7), (2, 6), (2, 7)];
        let grants = (0..).zip(ends).map(|(position, (high, target))| Moved {
            key: Key { high, low: u64::from(position) },
            target,
            position,
            proven: false,
            privileged: false,
            listed: true,
        });
        let grants: Vec<Moved> = grants.collect();
        let mut came = Came::new(&grants);
        let mut take = |principal, target| came.take(principal, target).map(|m| m.position);
        assert_eq!((take(2, 7), take(2, 7)), (Some(4), Some(2)));
        assert_eq!((take(1, 6), take(1, 7), take(1, 7), take(3, 7)), (None, Some(1), None, None));
        let left: Vec<u32> = came.left().map(|m| m.position).collect();
        assert_eq!(left, [3, 0]);
        assert!(Came::new(&[]).take(2, 7).is_none());
    }
}
