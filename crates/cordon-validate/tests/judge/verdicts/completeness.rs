//! Completeness: totals, incomplete and silent scopes, and what was emptied.

use cordon_model::ScopeOutcome;
use insta::assert_snapshot;

use crate::scene::{Move, Scene};

fn steady() -> Scene {
    Scene::users(Move::removing(1_000, 0)).with("groups", "resource.group", Move::removing(40, 0))
}

#[test]
fn a_scope_cut_short_is_carried_forward_and_the_rest_passes() {
    let mut scene = steady().cut_short("users");
    scene.scope("users").report.received = 600;
    scene.scope("users").report.declared = 600;
    scene.scope("users").report.source_total = Some(1_000);
    assert_snapshot!(scene.check(), @r"
    accepted
    warning CRD-C102: scope users was cut short after 600 of 1,000 records (page 3 of 5 timed out): what is missing is carried forward
    ");
}

#[test]
fn a_policy_may_hold_incomplete_syncs() {
    let scene = steady().cut_short("users").guard("on_incomplete = \"quarantine\"");
    assert_snapshot!(scene.check(), @r"
    quarantined
    quarantine CRD-C102: scope users was cut short after 1,000 records (page 3 of 5 timed out): the policy holds incomplete syncs
    ");
}

#[test]
fn a_scope_that_was_not_reported_is_unknown_and_not_gone() {
    let scene = steady().unreported("groups");
    assert_snapshot!(scene.check(), @r"
    accepted
    warning CRD-C103: scope groups was not reported: its 40 records are carried forward
    ");
    assert_snapshot!(scene.guard("on_incomplete = \"quarantine\"").check(), @r"
    quarantined
    quarantine CRD-C103: scope groups was not reported: its 40 records are unknown, and the policy holds incomplete syncs
    ");
}

#[test]
fn a_silent_scope_is_noticed_even_when_the_step_forgot_it() {
    let mut scene = steady().unreported("groups");
    scene.candidate.delta.as_mut().unwrap().unreported_scopes.clear();
    assert!(scene.check().contains("CRD-C103"), "{}", scene.check());
}

#[test]
fn a_scope_that_was_silent_last_time_too_is_still_noticed() {
    let mut scene = steady().unreported("groups");
    // A census lists what reported, so the last known good's has no such scope.
    scene.last_good.as_mut().unwrap().scopes.remove("groups");
    assert_snapshot!(scene.check(), @r"
    accepted
    warning CRD-C103: scope groups was not reported: its 40 records are carried forward
    ");
}

#[test]
fn a_source_that_counts_more_than_arrived_is_quarantined() {
    let mut scene = steady();
    scene.scope("users").report.source_total = Some(1_000);
    assert_snapshot!(scene.check(), @"accepted");
    scene.scope("users").report.source_total = Some(1_001);
    assert_snapshot!(scene.check(), @r"
    quarantined
    quarantine CRD-C101: scope users claims to be complete with 1,000 records, but the source counts 1,001
    ");
}

#[test]
fn an_empty_sync_after_a_full_one_is_quarantined() {
    let scene = Scene::users(Move::removing(3, 3));
    assert_snapshot!(scene.check(), @r"
    quarantined
    quarantine CRD-C202: scope users held 3 records and is empty now, though it claims to be complete
    quarantine CRD-C201: users fell from 3 to 0: none is left
    ");
}

#[test]
fn a_scope_that_is_empty_for_the_first_time_is_quarantined_though_its_type_lives_on() {
    let scene = Scene::next().with("members of sre", "grant.user", Move::removing(2, 2)).with(
        "members of staff",
        "grant.user",
        Move::removing(10_000, 0),
    );
    assert_snapshot!(scene.check(), @r"
    quarantined
    quarantine CRD-C202: scope members of sre held 2 records and is empty now, though it claims to be complete
    ");
}

#[test]
fn a_scope_that_was_empty_may_stay_so() {
    let scene = steady().with("keys", "resource.secret", Move::removing(0, 0));
    assert_snapshot!(scene.check(), @"accepted");
}

#[test]
fn a_scope_that_is_gone_takes_a_few_records_along_and_no_more() {
    let gone = |records| {
        let mut scene = Scene::next()
            .with("members of staff", "grant.user", Move::removing(10_000, 0))
            .with("members of sre", "grant.user", Move::removing(records, records));
        scene.scope("members of sre").report.outcome = ScopeOutcome::Gone;
        scene.check()
    };
    assert_snapshot!(gone(5), @r"
    accepted
    info CRD-C203: scope members of sre is gone, and its 5 records with it
    ");
    assert_snapshot!(gone(6), @r"
    quarantined
    quarantine CRD-D102: records of scope members of sre fell from 6 to 0: 6 removed (100 %), limit 5 of fewer than 20
    info CRD-C203: scope members of sre is gone, and its 6 records with it
    ");
}

#[test]
fn thousands_of_broken_scopes_give_a_verdict_that_can_be_read() {
    let mut scene = steady();
    for index in 0..5_000 {
        let name = format!("members of g{index:04}");
        scene = scene.holding(&name, "grant.user", 0);
        scene = scene.cut_short(&name);
    }
    let findings = scene.verdict().findings;
    assert_eq!(findings.len(), 51);
    assert_eq!(findings[50].message, "the same of 4,950 more, 50 are listed");
    assert_eq!(findings[50].measured, Some(4_950));
    assert_eq!(findings[50].examples[0], "members of g0050");
}

#[test]
fn what_is_too_much_to_list_still_holds_the_sync() {
    let mut scene = steady().guard("on_incomplete = \"quarantine\"");
    for index in 0..60 {
        let name = format!("s{index}");
        scene = scene.holding(&name, "grant.user", 0).cut_short(&name);
    }
    assert!(scene.check().starts_with("quarantined"));
}

#[test]
fn a_hostile_reason_stays_short_and_steers_no_terminal() {
    let mut scene = steady();
    let reason = format!("\u{1b}]0;owned\u{7}{}", "x".repeat(1_000_000));
    scene.scope("users").report.outcome = ScopeOutcome::Incomplete { reason };
    let text = scene.check();
    assert!(text.len() < 1_000, "{} bytes", text.len());
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'));
}
