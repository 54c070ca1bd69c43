//! Sources that change and readings that fail, with and without what a source can prove.
//!
//! A source counts its records, or answers for single ones, or neither. Whatever a reading loses is
//! caught by either word, down to one record; whatever really left is not held by them.

use cordon_model::Outcome;
use cordon_validate::lookup::{Answers, Lookup, questions};
use cordon_validate::{Percent, Verdict};
use proptest::prelude::*;

use crate::scene::{Move, Scene, digest, record_type};

/// What a source can say beside its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Totals,
    Lookup,
    Neither,
}

/// One scope of a source on one day, and what its reading loses without noticing.
#[derive(Debug, Clone, Copy)]
struct Day {
    before: u64,
    left: u64,
    lost: u64,
}

impl Day {
    fn missing(self) -> u64 {
        self.left + self.lost
    }
}

/// A day of a scope with up to a thousand records; `faulty` readings lose a page, a tail or all.
fn days(faulty: bool) -> impl Strategy<Value = Day> {
    let lost = if faulty { 1..=100_u64 } else { 0..=0 };
    (20..1_000_u64, 0..=100_u64, lost).prop_map(|(before, left, lost)| {
        // Most days few leave; a fault may take one record or everything that is left.
        let left = before * left * left * left / 1_000_000 / 20;
        let lost = ((before - left) * lost).div_ceil(100);
        Day { before, left, lost }
    })
}

/// Judges what was read of two scopes, which the connector takes for complete.
fn judged(users: Day, members: Day, word: Word, guard: &str) -> Verdict {
    let mut scene = Scene::next();
    for (scope, of, day) in [("users", "resource.user", users), ("members", "grant.user", members)]
    {
        scene = scene.with(scope, of, Move::removing(day.before, day.missing()));
        if word == Word::Totals {
            scene.scope(scope).report.source_total = Some(day.before - day.left);
        }
    }
    scene = scene.guard(guard);
    if word == Word::Lookup {
        scene.history.lookup = Some(answered(&scene, users, members));
    }
    scene.verdict()
}

/// What an honest source answers.
fn answered(scene: &Scene, users: Day, members: Day) -> Lookup {
    let lookups = scene.policy.lookup;
    let days = [("resource.user", users), ("grant.user", members)];
    let days = days.map(|(of, day)| (record_type(of), day));
    let missing = days.iter().map(|(of, day)| (of.clone(), day.missing()));
    let missing = missing.filter(|(_, missing)| *missing > 0).collect();
    let asked = questions(&missing, &lookups);
    let types = days.into_iter().filter(|(_, day)| day.missing() > 0).map(|(of, day)| {
        let asked = asked[&of];
        // The missing are few enough here to be asked for one by one.
        let known = 5.min(day.before - day.missing());
        Answers {
            record_type: of,
            missing: day.missing(),
            asked,
            present: day.lost,
            absent: day.left,
            known,
            known_present: known,
            invented_present: false,
            present_examples: Vec::new(),
            absent_examples: Vec::new(),
        }
    });
    let (types, confidence) = (types.collect(), Percent::whole(95));
    Lookup { digest: digest(), confidence, types, trouble: None }
}

fn has(verdict: &Verdict, codes: &[&str]) -> bool {
    verdict.findings.iter().any(|finding| codes.contains(&finding.code.as_str()))
}

const ACCEPT: &str = "removals_verified = \"accept\"\nlookup.when = \"always\"";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_a_reading_loses_is_caught_by_totals_or_by_lookup(
        users in days(true), members in prop_oneof![days(true), days(false)],
    ) {
        for (word, code) in [(Word::Totals, "CRD-C101"), (Word::Lookup, "CRD-V101")] {
            let verdict = judged(users, members, word, ACCEPT);
            prop_assert_eq!(verdict.outcome, Outcome::Quarantined);
            // Proven, not only suspected; but a source that is empty may say so before it counts.
            prop_assert!(has(&verdict, &[code, "CRD-C201", "CRD-C202"]), "{:?}", verdict.findings);
        }
    }

    #[test]
    fn whoever_really_left_is_not_held_by_what_the_source_says(
        users in days(false), members in days(false),
    ) {
        let plain = judged(users, members, Word::Neither, "");
        for word in [Word::Totals, Word::Lookup] {
            let told = judged(users, members, word, "");
            prop_assert_eq!(told.outcome, plain.outcome, "{:?}", told.findings);
            prop_assert!(!has(&told, &["CRD-C101", "CRD-V101", "CRD-V202"]));
        }
        // And where the policy believes it, it passes.
        let believed = judged(users, members, Word::Lookup, ACCEPT);
        prop_assert_eq!(believed.outcome, Outcome::Accepted);
    }
}
