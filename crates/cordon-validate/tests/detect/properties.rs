//! Whatever the step: no order of seeing matters, no memory outgrows its bound.

use cordon_validate::detect::{Learned, Memory, Prior, assess};
use proptest::prelude::*;
use proptest::sample::select;

use super::source::{Source, in_order, step};
use super::sources::{Offers, judged_by};

/// Bytes of a memory, at most, as the ledger would keep it.
const MEMORY_BYTES_MAX: usize = 400_000;

/// What happens to a source from one day to the next.
#[derive(Debug, Clone)]
pub(super) struct Changes {
    leavers: Vec<u32>,
    members: Vec<(u32, u32, bool)>,
    names: Vec<(u32, String)>,
}

pub(super) fn changes() -> impl Strategy<Value = Changes> {
    let leavers = prop::collection::vec(0..80_u32, 0..12);
    let members = prop::collection::vec((0..5_u32, 0..80_u32, any::<bool>()), 0..20);
    let names = prop::collection::vec((0..80_u32, "[a-zA-Z]{4,8}"), 0..6);
    (leavers, members, names).prop_map(|(leavers, members, names)| Changes {
        leavers,
        members,
        names,
    })
}

impl Changes {
    /// The first of each sort alone.
    pub(super) fn few(mut self) -> Self {
        self.leavers.truncate(1);
        self.members.truncate(2);
        self.names.truncate(1);
        self
    }

    pub(super) fn upon(self, before: &Source) -> Source {
        let mut after = before.without(&self.leavers);
        for (group, user, joins) in self.members {
            if joins {
                after.members.insert((group, user));
            } else {
                after.members.remove(&(group, user));
            }
        }
        after.users.extend(self.names);
        after
    }
}

fn days() -> impl Strategy<Value = (Source, Source)> {
    changes().prop_map(|changes| {
        let before = Source::of(80, 5);
        let after = changes.upon(&before);
        (before, after)
    })
}

proptest! {
    #[test]
    fn the_order_in_which_records_are_seen_has_no_effect(
        (before, after) in days(),
        turns in 0..200_usize,
        backwards: bool,
    ) {
        let straight = step(&before, &after, false, in_order);
        let turned = step(&before, &after, false, |seen| {
            let by = turns % seen.len().max(1);
            seen.rotate_left(by);
            if backwards {
                seen.reverse();
            }
        });
        prop_assert_eq!(straight, turned);
    }

    #[test]
    fn no_verdict_depends_on_the_order_in_which_records_are_seen(
        (before, after) in days(),
        turns in 0..200_usize,
        offers in select(vec![Offers::Nothing, Offers::Totals, Offers::Lookup]),
    ) {
        let straight = step(&before, &after, false, in_order);
        let turned = step(&before, &after, false, |seen| {
            let by = turns % seen.len().max(1);
            seen.rotate_left(by);
            seen.reverse();
        });
        let verdict =
            |step| judged_by(&before, &after, &after, offers, step).verdict().clone();
        prop_assert_eq!(verdict(straight), verdict(turned));
    }

    #[test]
    fn the_same_step_and_memory_give_the_same_scores((before, after) in days()) {
        let memory = Memory::default().learn(&step(&before, &before, false, in_order), Learned::Accepted);
        let one = assess(&step(&before, &after, false, in_order), &memory, Prior::shipped());
        let text = serde_json::to_string(&memory).unwrap();
        let stored: Memory = serde_json::from_str(&text).unwrap();
        let other = assess(&step(&before, &after, false, in_order), &stored, Prior::shipped());
        prop_assert_eq!(one, other);
    }
}

#[test]
fn a_memory_has_a_bound_that_no_sync_moves() {
    let whole = Source::of(6_000, 8);
    let none = Source::of(0, 8);
    let (came, went) = (step(&none, &whole, false, in_order), step(&whole, &none, false, in_order));
    let mut memory = Memory::default();
    for round in 0..600 {
        let step = if round % 2 == 0 { &came } else { &went };
        let mut step = step.clone();
        step.content = round;
        memory = memory.learn(&step, Learned::Accepted);
        if round % 100 == 99 {
            let bytes = serde_json::to_vec(&memory).unwrap().len();
            assert!(bytes < MEMORY_BYTES_MAX, "{bytes} bytes after {round} syncs");
        }
    }
}
