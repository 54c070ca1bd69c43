//! What a sync takes of a busy host, by what it brings and what the try before it came to.
//!
//! One that computes and brings nothing gives way, whatever it says of its progress. One whose last
//! try failed gives way all through, and has little time at all in its first seconds, whatever it
//! brings in them: what starts anew over and over to harm its host then costs its neighbours next to
//! nothing, and an honest one comes some seconds later. Pure.

use std::time::Duration;

use cordon_sandbox::Weight;

use crate::limits::{GIVE_WAY_AFTER, LITTLE_FOR};
use crate::unit::Credit;

/// How a sync stands beside others.
#[derive(Debug)]
pub(super) struct Standing {
    credit: Credit,
    begun: Duration,
    brought: u64,
    /// When it brought something last.
    moved: Duration,
}

impl Standing {
    /// A sync that begins now.
    pub(super) fn new(credit: Credit, now: Duration) -> Self {
        Self { credit, begun: now, brought: 0, moved: now }
    }

    /// What it weighs, having brought so much by now.
    pub(super) fn look(&mut self, now: Duration, brought: u64) -> Weight {
        if brought > self.brought {
            (self.brought, self.moved) = (brought, now);
        }
        let is_within = |since: Duration, span| now.saturating_sub(since) < span;
        match self.credit {
            Credit::Given if is_within(self.moved, GIVE_WAY_AFTER) => Weight::Usual,
            Credit::Lost if is_within(self.begun, LITTLE_FOR) => Weight::Little,
            Credit::Given | Credit::Lost => Weight::Least,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Weight::{Least, Little, Usual};
    use super::*;

    /// Looks at half seconds; `brought` says what came by then.
    fn check(credit: Credit, brought: &[u64]) -> Vec<Weight> {
        let mut standing = Standing::new(credit, Duration::ZERO);
        let times = (0..).map(|half| Duration::from_millis(500 * half));
        times.zip(brought).map(|(now, brought)| standing.look(now, *brought)).collect()
    }

    #[test]
    fn who_brings_nothing_gives_way_until_something_comes() {
        assert_eq!(check(Credit::Given, &[0, 0, 9, 9, 10]), [Usual, Least, Usual, Least, Usual]);
    }

    #[test]
    fn after_a_failure_it_has_little_at_first_and_gives_way_then_whatever_it_brings() {
        let halves = usize::try_from(2 * LITTLE_FOR.as_secs()).unwrap();
        let bringing: Vec<u64> = (0..).take(halves + 2).collect();
        for brought in [vec![0; halves + 2], bringing] {
            let weights = check(Credit::Lost, &brought);
            let (little, rest) = weights.split_at(halves);
            assert_eq!(little.first(), Some(&Little));
            assert!(little.iter().all(|weight| *weight == Little), "{little:?}");
            assert_eq!(rest, [Least, Least]);
        }
    }
}
