//! What is read once more, and what the second reading says.

use cordon_model::{Finding, Outcome, Severity, SyncNumber};
use cordon_validate::reading::{Earlier, REREADS_MAX, Waiting, is_of_reading};
use cordon_validate::{Policy, codes};
use insta::assert_snapshot;
use proptest::prelude::*;

use crate::scene::{Move, Scene};

fn loss() -> Scene {
    Scene::users(Move::removing(1_000, 400))
}

impl Scene {
    /// The same scene, read again because sync 416 waits.
    fn after(mut self, is_same: bool, times: u64) -> Self {
        let sync = SyncNumber(416);
        self.history.quarantined = Some(sync);
        self.history.earlier = Some(Earlier { sync, is_same, times, was_only_unusual: false });
        self
    }

    fn awaits(&self) -> bool {
        let verdict = self.verdict();
        Waiting { findings: &verdict.findings, repeats: 0 }.awaits_reading(&self.policy)
    }
}

#[test]
fn a_loss_is_read_once_more_and_the_same_loss_never_again() {
    let first = loss().verdict();
    let waiting = |repeats| Waiting { findings: &first.findings, repeats };
    assert!(waiting(0).awaits_reading(&Policy::default()));
    assert!(!waiting(1).awaits_reading(&Policy::default()), "it brought the same");
    assert_snapshot!(loss().after(true, 1).check(), @r"
    quarantined
    quarantine CRD-D101: users fell from 1,000 to 600: 400 removed (40 %), limit 10 % and more than 5
    quarantine CRD-D103: 400 of 1,000 users removed within 24 hours (40 %), 400 of them now, limit 20 %
    info CRD-V303: read again after sync 416: it brought the same, so it is no fault of one reading
    ");
}

#[test]
fn a_second_reading_that_differs_is_judged_by_itself() {
    assert_snapshot!(Scene::users(Move::removing(1_000, 1)).after(false, 1).check(), @r"
    accepted
    info CRD-V302: read again after sync 416: it brought something else, so what that one brought did not last
    ");
    let other = loss().after(false, 1);
    assert_eq!(other.verdict().outcome, Outcome::Quarantined);
    assert!(!other.awaits(), "one reading more is all that the policy asks for");
    assert!(loss().after(false, 1).guard("reread.times = 2").awaits());
}

#[test]
fn where_a_person_is_wanted_whatever_comes_nothing_is_read_again() {
    let first = Scene::first().holding("users", "resource.user", 10);
    let review = first.guard("first_sync = \"review\"");
    assert!(review.verdict().outcome == Outcome::Quarantined && !review.awaits());
    let mut recovery = Scene::users(Move::removing(100, 0)).guard("recover = \"review\"");
    recovery.history.quarantined = Some(SyncNumber(416));
    assert!(recovery.verdict().outcome == Outcome::Quarantined && !recovery.awaits());
    assert!(!loss().guard("reread.times = 0").awaits());
}

/// A finding of that rule.
fn finding(rule: &codes::Rule, severity: Severity, measured: Option<u64>) -> Finding {
    Finding { measured, ..rule.finding(severity, "", String::new()) }
}

#[test]
fn what_the_source_confirmed_is_not_read_again_and_what_it_denied_is() {
    let removed = finding(&codes::REMOVED, Severity::Quarantine, None);
    let gone = finding(&codes::CONFIRMED_GONE, Severity::Info, None);
    let there = finding(&codes::STILL_THERE, Severity::Quarantine, None);
    let silent = finding(&codes::NOT_CONFIRMED, Severity::Warning, None);
    let lost = finding(&codes::COLUMN_VANISHED, Severity::Quarantine, None);
    for (others, expected) in [
        (vec![], true),
        (vec![&gone], false),
        (vec![&there], true),
        (vec![&gone, &there], true),
        (vec![&silent], true),
        (vec![&gone, &silent], true),
        (vec![&gone, &lost], true),
    ] {
        let findings: Vec<_> = [&removed].into_iter().chain(others).cloned().collect();
        let waiting = Waiting { findings: &findings, repeats: 0 };
        assert_eq!(waiting.awaits_reading(&Policy::default()), expected, "{findings:?}");
    }
}

#[test]
fn only_unusual_is_what_nothing_holds_but_the_wish_to_read_again() {
    let once = finding(&codes::UNUSUAL_ONCE, Severity::Quarantine, None);
    let removed = finding(&codes::REMOVED, Severity::Quarantine, None);
    let warned = finding(&codes::LOSS_UNUSUAL, Severity::Warning, None);
    for (findings, expected) in [
        (vec![], false),
        (vec![&warned], false),
        (vec![&removed], false),
        (vec![&once], true),
        (vec![&once, &warned], true),
        (vec![&removed, &once], false),
        (vec![&once, &removed], false),
    ] {
        let findings: Vec<Finding> = findings.into_iter().cloned().collect();
        let waiting = Waiting { findings: &findings, repeats: 0 };
        assert_eq!(waiting.is_only_unusual(), expected, "{findings:?}");
    }
}

#[test]
fn a_wait_for_a_second_reading_was_never_a_persons_to_end() {
    let recovered = |was_only_unusual: bool| {
        let mut scene = Scene::users(Move::removing(1_000, 0)).guard("recover = \"review\"");
        scene.history.quarantined = Some(SyncNumber(416));
        let sync = SyncNumber(416);
        scene.history.earlier = Some(Earlier { sync, is_same: true, times: 1, was_only_unusual });
        scene.verdict().outcome
    };
    assert_eq!(recovered(true), Outcome::Accepted);
    assert_eq!(recovered(false), Outcome::Quarantined);
}

#[test]
fn the_next_reading_is_told_of_the_one_that_waits_for_it_and_of_no_other() {
    let policy = Policy::default();
    let sync = SyncNumber(416);
    let waits = [finding(&codes::REMOVED, Severity::Quarantine, None)];
    let first = Waiting { findings: &waits, repeats: 0 };
    let told = Earlier { sync, is_same: true, times: 1, was_only_unusual: false };
    assert_eq!(first.as_earlier(sync, true, &policy), Some(told));
    let again = Waiting { repeats: 1, ..first };
    assert_eq!(again.as_earlier(sync, true, &policy), None);
}

#[test]
fn three_rules_say_what_became_of_reading_again() {
    for rule in codes::ALL {
        let of_reading = ["CRD-V302", "CRD-V303", "CRD-V304"].contains(&rule.code);
        let finding = finding(rule, Severity::Info, None);
        assert_eq!(is_of_reading(&finding), of_reading, "{}", rule.code);
    }
}

fn any_finding() -> impl Strategy<Value = Finding> {
    let severities = vec![Severity::Info, Severity::Warning, Severity::Quarantine];
    let rules = prop::sample::select(codes::ALL);
    let measured = prop::option::of(0_u64..9);
    (rules, prop::sample::select(severities), measured)
        .prop_map(|(rule, severity, measured)| finding(&rule, severity, measured))
}

proptest! {
    /// Whatever each reading brings, automatic ones follow each other so many times and no more.
    #[test]
    fn rereading_ends(
        readings in prop::collection::vec(
            (prop::collection::vec(any_finding(), 0..6), any::<bool>()), 1..40,
        ),
        times in 0_u32..20,
    ) {
        let mut policy = Policy::default();
        policy.reread.times = times;
        let mut chain = 0;
        let mut waits: Option<(Vec<Finding>, u64)> = None;
        for (number, (findings, same)) in readings.into_iter().enumerate() {
            let earlier = waits.as_ref().and_then(|(findings, repeats)| {
                let waiting = Waiting { findings, repeats: *repeats };
                waiting.as_earlier(SyncNumber(number as u64), same, &policy)
            });
            chain = if earlier.is_some() { chain + 1 } else { 0 };
            prop_assert!(chain <= u64::from(times).min(REREADS_MAX), "{} in a row", chain);
            let again = earlier.as_ref().is_some_and(|earlier| earlier.is_same);
            waits = match waits {
                Some((kept, repeats)) if again => Some((kept, repeats + 1)),
                _ => {
                    let told = earlier.map(|it| {
                        prop_assert_eq!(it.times, chain);
                        Ok(finding(&codes::DIFFERED, Severity::Info, Some(it.times)))
                    });
                    let told = told.transpose()?;
                    // What the judge itself says of earlier readings is not up to the source.
                    let own = ["CRD-V302", "CRD-V303", "CRD-V304"];
                    let findings = findings.into_iter().filter(|it| !own.contains(&&*it.code));
                    Some((findings.chain(told).collect(), 0))
                }
            };
        }
    }
}
