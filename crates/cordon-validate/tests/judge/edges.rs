//! The edges of checks, where one more, one less or the other kind decides: each case here is one that
//! a wrong comparison in the judge would get wrong and no other test sees.

mod bounds;
mod columns;
mod marks;
mod pending;
mod records;
mod rules;
mod weakened;

use cordon_model::Outcome;
use cordon_validate::lookup::{Answers, Lookup};
use cordon_validate::{DefectKind, Percent};

use crate::scene::{Move, Scene, digest, record_type};

/// The message of the one finding with this code.
#[track_caller]
fn message(scene: &Scene, code: &str) -> String {
    let findings = scene.verdict().findings;
    let found: Vec<_> = findings.iter().filter(|finding| finding.code == code).collect();
    assert_eq!(found.len(), 1, "{findings:?}");
    found[0].message.clone()
}

#[test]
fn of_twenty_records_the_percentage_is_the_limit_that_is_told() {
    let loss = |before| Scene::users(Move::removing(before, 6));
    assert!(message(&loss(20), "CRD-D101").ends_with("limit 10 % and more than 5"));
    assert!(message(&loss(19), "CRD-D101").ends_with("limit 5 of fewer than 20"));
    assert!(message(&loss(20), "CRD-D103").ends_with("limit 20 %"), "of the day");
    assert!(message(&loss(19), "CRD-D103").ends_with("limit 5 of fewer than 20"));
}

#[test]
fn of_twenty_privileged_grants_the_percentage_is_the_limit_that_is_told() {
    let grants =
        |before, appeared| Scene::users(Move::removing(1_000, 0)).privileged(before, appeared, 0);
    assert!(message(&grants(20, 2), "CRD-D301").ends_with("limit 5 %"));
    assert!(message(&grants(19, 4), "CRD-D301").ends_with("limit 3"));
    assert_eq!(grants(19, 3).verdict().outcome, Outcome::Accepted);
}

#[test]
fn a_scope_of_one_label_has_the_limit_of_that_label() {
    let loose = "removed.user = { percent = 90 }\nbudget = [{ within = \"24h\" }]";
    let scope = || Scene::next().with("s", "resource.user", Move::removing(100, 50)).guard(loose);
    assert_eq!(scope().verdict().outcome, Outcome::Accepted);
    // A label of which the scope holds nothing is none of its labels.
    let mut with_none = scope();
    let held = &mut with_none.last_good.as_mut().unwrap().scopes.get_mut("s").unwrap().records;
    held.insert(record_type("resource.group"), 0);
    assert_eq!(with_none.verdict().outcome, Outcome::Accepted);
    // Of two labels neither's own limit counts, whichever comes first.
    let other = "removed.group = { percent = 90 }\nbudget = [{ within = \"24h\" }]";
    for guard in [loose, other] {
        let two = scope().with("s", "resource.group", Move::removing(100, 0)).guard(guard);
        assert!(message(&two, "CRD-D102").contains("50 removed"), "{guard}");
    }
    // Two types of one label are one label.
    let held = "removed.entitlement = { percent = 90 }\nbudget = [{ within = \"24h\" }]";
    let both = Scene::next()
        .with("s", "entitlement.app", Move::removing(100, 25))
        .with("s", "entitlement.group", Move::removing(100, 25))
        .guard(held);
    assert_eq!(both.verdict().outcome, Outcome::Accepted);
}

#[test]
fn a_scope_that_held_nothing_may_be_silent() {
    let mut scene = Scene::users(Move::removing(100, 0)).guard("on_incomplete = \"quarantine\"");
    let mut silent = scene.last_good.as_ref().unwrap().scopes["users"].clone();
    silent.records.clear();
    scene.last_good.as_mut().unwrap().scopes.insert("empty".to_owned(), silent.clone());
    assert_eq!(scene.verdict().outcome, Outcome::Accepted);
    silent.records.insert(record_type("resource.user"), 1);
    scene.last_good.as_mut().unwrap().scopes.insert("empty".to_owned(), silent);
    assert!(scene.check().contains("CRD-C103"));
}

#[test]
fn a_step_that_does_not_fit_is_rejected_whatever_else_is_wrong_with_records() {
    let mut scene = Scene::users(Move::removing(1_000, 0));
    let delta = scene.candidate.delta.as_mut().unwrap();
    delta.types.get_mut(&record_type("resource.user")).unwrap().added = 7;
    let wrong_time = scene.clone().defect(DefectKind::ImplausibleTime, "hired", 1, 1_000);
    assert!(wrong_time.check().contains("reject CRD-P201"), "{}", wrong_time.check());
    // Keys that appear twice make every count ambiguous, and are told instead.
    let twice = scene.defect(DefectKind::DuplicateKey, "id", 1, 1_000);
    assert!(!twice.check().contains("CRD-P201"));
    assert_eq!(twice.verdict().outcome, Outcome::Rejected);
}

#[test]
fn each_number_of_a_step_has_to_fit_also_where_the_others_do() {
    for (before, after) in [(1_001, 1_000), (1_000, 1_001), (999, 1_000), (1_000, 999)] {
        let mut scene = Scene::users(Move::removing(1_000, 0));
        let delta = scene.candidate.delta.as_mut().unwrap();
        let step = delta.types.get_mut(&record_type("resource.user")).unwrap();
        (step.before, step.after) = (before, after);
        assert!(scene.check().contains("reject CRD-P201"), "{before} to {after}");
    }
}

/// Sixty-two scopes of ten users each, all emptied, beside many users who stay.
fn emptied() -> Scene {
    let mut scene = Scene::users(Move::removing(100_000, 0));
    for scope in 0..62 {
        scene = scene.with(&format!("s{scope:02}"), "resource.user", Move::removing(10, 10));
    }
    scene
}

#[test]
fn what_is_too_much_to_list_is_summed_up_and_holds_as_what_it_sums_up() {
    let verdict = emptied().verdict();
    let of: Vec<_> = verdict.findings.iter().filter(|it| it.code == "CRD-C202").collect();
    assert_eq!((verdict.outcome, of.len()), (Outcome::Quarantined, 51));
    let sum = of.iter().find(|finding| finding.message.starts_with("the same of")).unwrap();
    assert_eq!(sum.message, "the same of 12 more, 50 are listed");
    assert_eq!((sum.measured, sum.examples.len()), (Some(12), 10));
}

#[test]
fn what_is_answered_is_answered_in_sum_too_and_nothing_else_is() {
    let answers = Answers {
        record_type: record_type("resource.user"),
        missing: 620,
        asked: 620,
        present: 0,
        absent: 620,
        known: 5,
        known_present: 5,
        invented_present: false,
        present_examples: Vec::new(),
        absent_examples: Vec::new(),
    };
    let lookup = Lookup {
        digest: digest(),
        confidence: Percent::whole(95),
        types: vec![answers],
        trouble: None,
    };
    let mut scene = emptied().guard("removals_verified = \"accept\"");
    scene.history.lookup = Some(lookup);
    let verdict = scene.verdict();
    assert_eq!(verdict.outcome, Outcome::Accepted, "{:?}", verdict.findings);
    let sums: Vec<_> = verdict
        .findings
        .iter()
        .filter(|finding| finding.message.starts_with("the same of"))
        .collect();
    assert!(!sums.is_empty());
    let c202: Vec<_> = sums.iter().filter(|finding| finding.code == "CRD-C202").collect();
    assert_eq!((c202.len(), c202[0].measured), (1, Some(12)));
    assert_eq!(c202[0].message, "the same of 12 more, 50 are listed");
    // Sixty scopes that hold other numbers than their source counts are answered by nothing.
    let mut wrong = scene.clone();
    for scope in 0..60 {
        let name = format!("t{scope:02}");
        wrong = wrong.with(&name, "resource.user", Move::removing(10, 0));
        wrong.scope(&name).report.source_total = Some(11);
    }
    let verdict = wrong.verdict();
    assert_eq!(verdict.outcome, Outcome::Quarantined);
    let sum = verdict
        .findings
        .iter()
        .find(|it| it.code == "CRD-C101" && it.message.starts_with("the same of"));
    assert_eq!(sum.unwrap().severity, cordon_model::Severity::Quarantine);
}
