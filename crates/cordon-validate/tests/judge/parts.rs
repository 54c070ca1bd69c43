//! Parts of a candidate: what a person may let pass, and what flows while removals are held.

use cordon_model::{Finding, Outcome, Severity, SyncNumber};
use cordon_validate::reading::Earlier;
use cordon_validate::{
    Agreed, Judged, Policy, Release, ReleaseError, Selection, Verdict, agree, codes, flow,
    holds_removals_alone, release_part,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::scene::{Move, Scene, digest};

const CURRENT: Option<SyncNumber> = Some(SyncNumber(417));
const HOLD: &str = "on_suspicion = \"hold-removals\"";

/// The rules that object to removals alone.
const REMOVALS: [&str; 12] = [
    "CRD-C201", "CRD-C202", "CRD-D101", "CRD-D102", "CRD-D103", "CRD-D104", "CRD-D501", "CRD-D502",
    "CRD-D503", "CRD-D504", "CRD-D506", "CRD-V101",
];

fn agreed(digest: &str) -> Agreed {
    let release = Release {
        by: "ann".to_owned(),
        reason: "INC-4411".to_owned(),
        digest: digest.to_owned(),
        at: "2026-03-02T04:00:00Z".parse().unwrap(),
        selection: Selection::without_removals(),
        asked_by: None,
    };
    agree(&Policy::default(), digest, release, 1_000, None).unwrap()
}

/// A sync that lost half of its users and brought twelve.
fn whole() -> Scene {
    Scene::users(Move { before: 1_000, removed: 500, added: 12, modified: 40 })
}

/// What it brought, as content of its own.
fn part() -> Scene {
    let mut part = Scene::users(Move { before: 1_000, removed: 0, added: 12, modified: 40 });
    part.candidate.sync = SyncNumber(419);
    part.candidate.digest = "ab".repeat(32);
    part
}

#[test]
fn a_part_is_accepted_as_content_of_its_own_on_the_word_for_the_whole() {
    let accepted =
        release_part(&whole().verdict(), part().judged(), agreed(&digest()), CURRENT).unwrap();
    assert_eq!(accepted.sync(), SyncNumber(419));
    assert_eq!(accepted.digest(), "ab".repeat(32));
    assert_eq!(accepted.against(), CURRENT);
    assert_eq!(accepted.released_by().unwrap().selection, Selection::without_removals());
}

#[test]
fn a_person_may_release_a_part_that_the_judge_doubts_but_none_that_is_invalid() {
    let doubtful = part().guard("added = { user = { count = 3 } }");
    assert_eq!(doubtful.verdict().outcome, Outcome::Quarantined);
    let word = || agreed(&digest());
    assert!(release_part(&whole().verdict(), doubtful.judged(), word(), CURRENT).is_ok());
    let mut broken = part();
    broken.scope("users").report.declared = 7;
    let error = release_part(&whole().verdict(), broken.judged(), word(), CURRENT).unwrap_err();
    assert!(matches!(error, ReleaseError::InvalidPart { .. }), "{error}");
}

#[test]
fn the_word_for_a_part_is_bound_to_the_whole_that_was_reviewed() {
    let other = agreed(&"00".repeat(32));
    let error = release_part(&whole().verdict(), part().judged(), other, CURRENT).unwrap_err();
    assert!(matches!(error, ReleaseError::OtherDigest { .. }), "{error}");
    let later = Some(SyncNumber(420));
    let error = release_part(&whole().verdict(), part().judged(), agreed(&digest()), later);
    assert!(matches!(error.unwrap_err(), ReleaseError::Outrun { .. }));
    let mut elsewhere = part();
    elsewhere.candidate.against = Some(SyncNumber(400));
    let error = release_part(&whole().verdict(), elsewhere.judged(), agreed(&digest()), CURRENT);
    assert!(matches!(error.unwrap_err(), ReleaseError::Outrun { .. }));
    let clean = Scene::users(Move::removing(1_000, 0)).verdict();
    let error = release_part(&clean, part().judged(), agreed(&digest()), CURRENT).unwrap_err();
    assert!(matches!(error, ReleaseError::NotQuarantined { .. }), "{error}");
}

#[test]
fn what_a_person_left_out_does_not_pass_behind_their_back() {
    let mut rest = Scene::users(Move::removing(1_000, 3));
    assert_eq!(rest.verdict().outcome, Outcome::Accepted);
    rest.history.withheld = 3;
    assert_eq!(
        rest.check(),
        "quarantined\nquarantine CRD-C311: 3 changes that a person did not release"
    );
}

#[test]
fn removals_alone_are_held_only_where_policy_says_so_and_little_is_at_stake() {
    let verdict = |scene: &Scene| holds_removals_alone(&scene.verdict(), &scene.policy);
    assert!(!verdict(&whole()));
    assert!(verdict(&whole().guard(HOLD)));
    assert!(verdict(&whole().guard(&format!("{HOLD}\nrisk = \"medium\""))));
    for risk in ["high", "critical"] {
        assert!(!verdict(&whole().guard(&format!("{HOLD}\nrisk = \"{risk}\""))), "{risk}");
    }
    assert!(!verdict(&Scene::users(Move::removing(1_000, 1)).guard(HOLD)), "nothing is held");
    assert!(!verdict(&whole().privileged(50, 0, 20).guard(HOLD)), "privileges are more");
    let rekeyed = Scene::users(Move { before: 1_000, removed: 900, added: 900, modified: 0 });
    assert!(!verdict(&rekeyed.guard(HOLD)), "ids that changed are more than removals");
    let mut total = whole().guard(HOLD);
    total.scope("users").report.source_total = Some(1_000);
    assert!(!verdict(&total), "a read that was cut short is more than removals");
}

#[test]
fn only_rules_about_removals_speak_of_removals() {
    let speaking: Vec<_> =
        codes::ALL.iter().map(|rule| rule.code).filter(|c| codes::speaks_of_removals(c)).collect();
    assert_eq!(speaking, REMOVALS);
    assert!(!codes::speaks_of_removals("CRD-X999"), "an unknown rule may object to anything");
}

#[test]
fn what_flows_is_accepted_by_the_judge_alone() {
    let part = part().guard(HOLD);
    let last_good = part.last_good.clone().unwrap();
    let accepted = flow(&last_good, part.candidate.clone(), &part.history, &part.policy).unwrap();
    assert_eq!(accepted.released_by(), None);
    let doubtful = part.guard(&format!("{HOLD}\nadded = {{ user = {{ count = 3 }} }}"));
    let held = flow(&last_good, doubtful.candidate, &doubtful.history, &doubtful.policy);
    assert_eq!(held.unwrap_err().outcome, Outcome::Quarantined);
}

#[test]
fn what_flows_ends_nothing_that_waits_and_takes_no_removal_along() {
    let flows = |scene: &Scene| {
        let last_good = scene.last_good.as_ref().unwrap();
        flow(last_good, scene.candidate.clone(), &scene.history, &scene.policy)
    };
    // What waits goes on waiting, and the rest flows as if there were nothing: neither ends it.
    let mut beside = part().guard(&format!("{HOLD}\nrecover = \"review\""));
    beside.history.quarantined = Some(SyncNumber(416));
    beside.history.withheld = 3;
    beside.history.held = 500;
    beside.history.earlier =
        Some(Earlier { sync: SyncNumber(416), is_same: false, times: 1, was_only_unusual: false });
    assert_eq!(beside.verdict().outcome, Outcome::Quarantined);
    assert_eq!(flows(&beside).unwrap().verdict().findings, []);
    // The judge has nothing against one removal; what flows has.
    let one = Scene::users(Move { before: 1_000, removed: 1, added: 12, modified: 40 }).guard(HOLD);
    assert_eq!(one.verdict().outcome, Outcome::Accepted);
    assert_eq!(flows(&one).unwrap_err().outcome, Outcome::Accepted);
    // Nor does it flow where the policy holds everything.
    for guard in ["", &format!("{HOLD}\nrisk = \"high\"")] {
        let held = part().guard(guard);
        assert_eq!(held.verdict().outcome, Outcome::Accepted);
        assert!(flows(&held).is_err(), "{guard}");
    }
    assert!(flows(&part().guard(HOLD)).is_ok());
}

fn findings() -> impl Strategy<Value = Vec<Finding>> {
    let codes: Vec<_> = codes::ALL.to_vec();
    let severities =
        vec![Severity::Info, Severity::Warning, Severity::Quarantine, Severity::Reject];
    let finding = (select(codes), select(severities))
        .prop_map(|(rule, severity)| rule.finding(severity, "user", String::new()));
    prop::collection::vec(finding, 0..5)
}

proptest! {
    #[test]
    fn what_flows_holds_no_removal_and_nothing_that_the_judge_objects_to(
        before in 0..2_000_u64, gone in 0..100_u64, added in 0..400_u64, modified in 0..400_u64,
        vanished in 0..8_u64, appeared in 0..8_u64, risk in select(vec!["low", "medium", "high"]),
        count in 1..400_u64, hold in any::<bool>(),
    ) {
        let removed = before * gone / 100;
        let guard = format!(
            "risk = \"{risk}\"\nadded = {{ user = {{ count = {count} }} }}{}",
            if hold { format!("\n{HOLD}") } else { String::new() }
        );
        let scene = Scene::users(Move { before, removed, added, modified })
            .privileged(100, appeared, vanished).guard(&guard);
        let last_good = scene.last_good.clone().unwrap();
        let flowed = flow(&last_good, scene.candidate.clone(), &scene.history, &scene.policy);
        let judged = scene.judged();
        match flowed {
            Ok(accepted) => {
                prop_assert_eq!(removed, 0);
                prop_assert!(hold && risk != "high");
                prop_assert!(matches!(judged, Judged::Accepted(_)));
                prop_assert!(accepted.verdict().findings.iter().all(|f| f.severity < Severity::Quarantine));
            }
            Err(_) => prop_assert!(
                removed > 0 || !hold || risk == "high" || matches!(judged, Judged::Held(_))
            ),
        }
    }

    #[test]
    fn one_finding_about_anything_else_holds_everything(
        findings in findings(), hold in any::<bool>(),
    ) {
        let policy = if hold { whole().guard(HOLD).policy } else { Policy::default() };
        let mut verdict: Verdict = whole().verdict();
        verdict.outcome = match findings.iter().map(|f| f.severity).max() {
            Some(Severity::Reject) => Outcome::Rejected,
            Some(Severity::Quarantine) => Outcome::Quarantined,
            _ => Outcome::Accepted,
        };
        verdict.findings = findings;
        let holding: Vec<_> =
            verdict.findings.iter().filter(|f| f.severity >= Severity::Quarantine).collect();
        let removals = |code: &str| REMOVALS.contains(&code);
        let alone = !holding.is_empty()
            && holding.iter().all(|f| f.severity == Severity::Quarantine && removals(&f.code));
        prop_assert_eq!(holds_removals_alone(&verdict, &policy), hold && alone);
    }
}
