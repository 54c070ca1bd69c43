//! What waits for a person whatever the checks found.

use cordon_model::SyncNumber;
use insta::assert_snapshot;

use crate::scene::{Move, Scene};

fn first() -> Scene {
    Scene::first().holding("users", "resource.user", 1_000)
}

#[test]
fn a_complete_first_sync_is_accepted() {
    assert_snapshot!(first().check(), @"accepted");
}

#[test]
fn a_first_sync_with_a_scope_cut_short_waits_whatever_the_policy_says_of_later_ones() {
    assert_snapshot!(first().cut_short("users").check(), @r"
    quarantined
    quarantine CRD-C102: scope users was cut short after 1,000 records (page 3 of 5 timed out): a first sync needs every scope complete
    ");
}

#[test]
fn a_first_sync_without_records_waits() {
    assert_snapshot!(Scene::first().check(), @r"
    quarantined
    quarantine CRD-C301: the first sync holds no record
    ");
    let empty = Scene::first().holding("users", "resource.user", 0);
    assert!(empty.check().contains("CRD-C301"), "a type that is announced and has no record");
}

#[test]
fn a_first_sync_waits_for_review_where_policy_or_risk_asks_for_it() {
    assert_snapshot!(first().guard("first_sync = \"review\"").check(), @r#"
    quarantined
    quarantine CRD-C302: a first sync waits for review (first_sync = "review")
    "#);
    assert_snapshot!(first().guard("risk = \"high\"").check(), @r"
    quarantined
    quarantine CRD-C302: a first sync waits for review at high risk
    ");
    assert_snapshot!(first().guard("risk = \"critical\"").check(), @r"
    quarantined
    quarantine CRD-C302: a first sync waits for review at critical risk
    ");
}

#[test]
fn later_syncs_pass_without_review_at_any_risk() {
    let next = Scene::users(Move::removing(1_000, 1));
    assert_snapshot!(next.guard("risk = \"critical\"\nfirst_sync = \"review\"").check(), @"accepted");
}

#[test]
fn a_clean_sync_ends_a_quarantine_only_where_policy_allows() {
    let recovered = |guard: &str| {
        let mut scene = Scene::users(Move::removing(1_000, 0)).guard(guard);
        scene.history.quarantined = Some(SyncNumber(415));
        scene.check()
    };
    assert_snapshot!(recovered(""), @"accepted");
    assert_snapshot!(recovered("recover = \"review\""), @r#"
    quarantined
    quarantine CRD-C303: sync 415 is in quarantine, and only a person ends it (recover = "review")
    "#);
    assert_snapshot!(recovered("risk = \"high\""), @r"
    quarantined
    quarantine CRD-C303: sync 415 is in quarantine, and only a person ends it (at high risk)
    ");
}
