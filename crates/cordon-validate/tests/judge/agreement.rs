//! Two people: who may confirm what whom asked for, and for how long.

use cordon_validate::{Asked, Disagreement, Policy, PolicyPatch, Release, Selection, agree};
use jiff::{SignedDuration, Timestamp};

use crate::scene::digest;

const EIGHT_HOURS: SignedDuration = SignedDuration::from_hours(8);

fn at() -> Timestamp {
    "2026-03-02T04:00:00Z".parse().unwrap()
}

fn policy(toml: &str) -> Policy {
    let patch: PolicyPatch = toml::from_str(toml).unwrap();
    Policy::default().overlaid(&patch)
}

fn two() -> Policy {
    policy("release = { people = 2 }")
}

fn word(by: &str, at: Timestamp, selection: Selection) -> Release {
    Release {
        by: by.to_owned(),
        reason: "INC-4411".to_owned(),
        digest: "91fe04c2".to_owned(),
        at,
        selection,
        asked_by: None,
    }
}

/// What ann, uid 1000, asked for at four.
fn asked(selection: Selection) -> Asked {
    let word = word("ann (uid 1000)", at(), selection);
    match agree(&two(), &digest(), word, 1_000, None) {
        Err(Disagreement::First(asked)) => *asked,
        other => panic!("{other:?}"),
    }
}

/// Whether a second word releases; renders what comes of it.
fn second(uid: u32, digest: &str, selection: Selection, after: SignedDuration) -> &'static str {
    let asked = asked(Selection::without_removals());
    let word = word("bob (uid 1001)", at() + after, selection);
    match agree(&two(), digest, word, uid, Some(&asked)) {
        Ok(agreed) => {
            assert_eq!(agreed.release().asked_by.as_deref(), Some("ann (uid 1000)"));
            assert_eq!(agreed.release().by, "bob (uid 1001)");
            "released"
        }
        Err(Disagreement::First(_)) => "asked anew",
        Err(Disagreement::Same(_)) => "the same person",
    }
}

#[test]
fn the_word_of_one_is_enough_unless_the_policy_wants_two() {
    for lone in [
        "",
        "release = { people = 1 }",
        "risk = \"high\"",
        "risk = \"critical\"\nrelease = { people = 1 }",
    ] {
        let word = word("ann", at(), Selection::all());
        assert!(agree(&policy(lone), &digest(), word, 1_000, None).is_ok(), "{lone}");
    }
    for two in ["release = { people = 2 }", "risk = \"critical\""] {
        let word = word("ann", at(), Selection::all());
        assert!(agree(&policy(two), &digest(), word, 1_000, None).is_err(), "{two}");
    }
}

#[test]
fn the_first_word_waits_for_as_long_as_the_policy_says() {
    let first = asked(Selection::all());
    assert_eq!(first.expires_at, at() + EIGHT_HOURS);
    assert_eq!((first.by.as_str(), first.uid), ("ann (uid 1000)", 1_000));
    assert_eq!(first.digest, digest());
}

#[test]
fn a_second_person_confirms_exactly_what_was_asked_for_in_time() {
    let (digest, hour) = (digest(), SignedDuration::from_hours(1));
    let part = Selection::without_removals;
    assert_eq!(second(1_001, &digest, part(), hour), "released");
    assert_eq!(second(1_001, &digest, Selection::all(), hour), "asked anew");
    assert_eq!(second(1_001, &"ab".repeat(32), part(), hour), "asked anew");
    let moment = SignedDuration::from_micros(1);
    assert_eq!(second(1_001, &digest, part(), EIGHT_HOURS - moment), "released");
    assert_eq!(second(1_001, &digest, part(), EIGHT_HOURS), "asked anew");
}

#[test]
fn nobody_confirms_their_own_word_not_even_root() {
    let hour = SignedDuration::from_hours(1);
    assert_eq!(second(1_000, &digest(), Selection::without_removals(), hour), "the same person");
    let root = Asked { uid: 0, by: "root (uid 0)".to_owned(), ..asked(Selection::all()) };
    let word = word("root (uid 0)", at(), Selection::all());
    let refused = agree(&two(), &digest(), word, 0, Some(&root)).unwrap_err();
    assert_eq!(refused.to_string(), "root (uid 0) asked already, and a second person has to agree");
}
