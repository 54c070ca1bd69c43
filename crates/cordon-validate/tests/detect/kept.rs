//! A record that did not change counts the same, whether it is seen or kept.

use cordon_validate::detect::{HeldOn, Key, Observer, Place, Seen, Step};
use proptest::prelude::*;

use super::source::record_type;

/// What became of a record, by lots.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Same,
    Moved,
    Gone,
    Came,
    Modified,
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Same),
        2 => Just(Fate::Moved),
        2 => Just(Fate::Gone),
        1 => Just(Fate::Came),
        1 => Just(Fate::Modified),
    ]
}

fn seen(key: Key, target: u64, position: u32, privileged: bool, fate: Fate) -> Seen {
    let hash = key.high.rotate_left(7) ^ key.low;
    let place = Place { position, hash, proven: false, privileged, listed: true };
    let (before, after) = match fate {
        Fate::Same => (Some(place), Some(place)),
        Fate::Moved => (Some(place), Some(Place { position: position / 2, ..place })),
        Fate::Gone => (Some(place), None),
        Fate::Came => (None, Some(place)),
        Fate::Modified => (Some(place), Some(Place { hash: hash ^ 1, ..place })),
    };
    Seen { key, target, before, after }
}

/// Users and their grants, three entitlements on each target.
fn records() -> impl Strategy<Value = [Vec<Seen>; 2]> {
    let users = prop::collection::vec(fates(), 60);
    let grants = prop::collection::btree_map((0..60_u64, 0..24_u64), fates(), 0..900);
    (users, grants).prop_map(|(users, grants)| {
        let users = (0..)
            .zip(users)
            .map(|(user, fate)| seen(Key { high: user, low: 1 }, 0, user as u32, false, fate));
        let grants = (0..).zip(grants).map(|(position, ((user, entitlement), fate))| {
            let key = Key { high: user, low: 1_000 + entitlement };
            seen(key, 2_000 + entitlement / 3, position, entitlement % 3 == 0, fate)
        });
        [users.collect(), grants.collect()]
    })
}

/// The step, when those unchanged records are kept that `keeps` chooses, so many in one go.
fn step(records: &[Vec<Seen>; 2], keeps: impl Fn(&Seen) -> bool, together: usize) -> Step {
    let mut observer = Observer::new();
    observer.held_on(records[1].iter().map(|grant| (grant.key.low, grant.target)));
    for (name, records) in ["resource.user", "grant.user"].into_iter().zip(records) {
        observer.section(&record_type(name));
        let same = |seen: &&Seen| {
            let both = seen.before.zip(seen.after);
            both.is_some_and(|(old, new)| old.hash == new.hash) && keeps(seen)
        };
        let (kept, seen): (Vec<&Seen>, Vec<&Seen>) = records.iter().partition(same);
        for seen in seen {
            observer.see(seen);
        }
        for kept in kept.chunks(together) {
            if name == "grant.user" {
                let before = |seen: &&Seen| seen.before.unwrap();
                let principals = kept.chunk_by(|a, b| a.key.high == b.key.high);
                let principals: Vec<_> =
                    principals.map(|of| (of[0].key.high, of.len() as u32)).collect();
                let privileged = kept.iter().filter(|seen| before(seen).privileged).count();
                let grants = kept.iter().map(|seen| (seen.key.low, before(seen).position));
                observer.keep_grants(grants, &principals, privileged as u64);
            } else {
                observer.keep(kept.len() as u64);
            }
        }
    }
    Step::of(&mut observer)
}

proptest! {
    #[test]
    fn a_step_is_the_same_whether_unchanged_records_are_seen_or_kept(
        records in records(),
        lots in any::<u64>(),
        together in 1_usize..400,
    ) {
        let seen = step(&records, |_| false, 1);
        prop_assert_eq!(&seen, &step(&records, |_| true, together));
        let some = |seen: &Seen| lots >> ((seen.key.high ^ seen.key.low) % 64) & 1 == 0;
        prop_assert_eq!(&seen, &step(&records, some, together));
    }
}

#[test]
fn an_entitlement_of_which_nothing_was_told_stands_for_itself() {
    let mut observer = Observer::new();
    observer.held_on([(7, 70), (7, 71)]);
    assert_eq!((observer.target(7), observer.target(8)), (70, 8));
}

#[test]
fn of_an_entitlement_the_last_note_stands_before_a_step_is_seen_and_the_first_word_after() {
    let mut known = HeldOn::default();
    known.note(7, 70);
    known.note(7, 71);
    known.note(8, 80);
    assert_eq!(known.known(), 2);
    let mut observer = Observer::knowing(known);
    observer.held_on([(7, 72), (9, 90)]);
    assert_eq!([7, 8, 9, 10].map(|entitlement| observer.target(entitlement)), [71, 80, 90, 10]);
}
