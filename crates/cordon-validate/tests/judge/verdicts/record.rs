//! Defects of records.

use cordon_validate::DefectKind;
use insta::assert_snapshot;

use crate::scene::{Move, Scene};

fn check(kind: DefectKind, column: &str, count: u64, of: u64) -> String {
    Scene::users(Move::removing(of, 0)).defect(kind, column, count, of).check()
}

#[test]
fn records_that_cannot_be_told_apart_make_a_sync_invalid() {
    assert_snapshot!(check(DefectKind::DuplicateKey, "id", 2, 1_000), @r"
    rejected
    reject CRD-R101: 2 user keys appear more than once
    ");
    assert_snapshot!(check(DefectKind::MalformedId, "id", 1, 1_000), @r"
    rejected
    reject CRD-R102: the id of 1 of 1,000 users (0.1 %) is malformed
    ");
    assert_snapshot!(check(DefectKind::MalformedReference, "owner", 1, 1_000), @r"
    rejected
    reject CRD-R103: the owner of 1 of 1,000 users (0.1 %) is not of the form type:id
    ");
    assert_snapshot!(check(DefectKind::MissingRequired, "id", 1, 1_000), @r"
    rejected
    reject CRD-R104: 1 of 1,000 users (0.1 %) have no id, which is required
    ");
}

#[test]
fn a_lost_required_attribute_waits_for_a_person() {
    assert_snapshot!(check(DefectKind::MissingRequired, "mail", 1, 1_000), @r"
    quarantined
    quarantine CRD-R201: 1 of 1,000 users (0.1 %) have no mail, which is required
    ");
}

#[test]
fn a_key_column_of_another_kind_of_record_is_an_attribute_here() {
    let check = check(DefectKind::MissingRequired, "principal", 1, 1_000);
    assert!(check.starts_with("quarantined"), "{check}");
}

#[test]
fn a_few_impossible_dates_are_mentioned_and_more_than_a_hundredth_quarantined() {
    assert_snapshot!(check(DefectKind::ImplausibleTime, "expires", 10, 1_000), @r"
    accepted
    warning CRD-R202: the expires of 10 of 1,000 users (1 %) lies before 1970 or after 2200, limit 1 %
    ");
    assert_snapshot!(check(DefectKind::ImplausibleTime, "expires", 11, 1_000), @r"
    quarantined
    quarantine CRD-R202: the expires of 11 of 1,000 users (1.1 %) lies before 1970 or after 2200, limit 1 %
    ");
}

#[test]
fn dead_references_are_mentioned_and_more_than_a_hundredth_quarantined() {
    assert_snapshot!(check(DefectKind::DanglingReference, "owner", 10, 1_000), @r"
    accepted
    warning CRD-F101: 10 of 1,000 targets (1 %) of user.owner do not exist, limit 1 %
    ");
    assert_snapshot!(check(DefectKind::DanglingReference, "owner", 11, 1_000), @r"
    quarantined
    quarantine CRD-F101: 11 of 1,000 targets (1.1 %) of user.owner do not exist, limit 1 %
    ");
    let strict = Scene::users(Move::removing(1_000, 0))
        .defect(DefectKind::DanglingReference, "owner", 1, 1_000)
        .guard("dangling_percent = 0");
    assert!(strict.check().starts_with("quarantined"));
}

#[test]
fn a_defect_of_no_record_says_nothing() {
    assert_snapshot!(check(DefectKind::DuplicateKey, "id", 0, 1_000), @"accepted");
}

#[test]
fn every_defect_is_reported_and_the_worst_decides() {
    let scene = Scene::users(Move::removing(1_000, 500))
        .defect(DefectKind::ImplausibleTime, "expires", 1, 1_000)
        .defect(DefectKind::MissingRequired, "mail", 3, 1_000)
        .defect(DefectKind::MalformedId, "id", 1, 1_000);
    let codes: Vec<_> = scene.verdict().findings.into_iter().map(|f| f.code).collect();
    assert_eq!(codes, ["CRD-R102", "CRD-R201", "CRD-D101", "CRD-D103", "CRD-R202"]);
    assert!(scene.check().starts_with("rejected"));
    let verdict = scene.verdict();
    assert_eq!(verdict.worst().unwrap().code, "CRD-R102");
}

#[test]
fn an_attribute_that_the_policy_requires_is_missed_in_every_type_of_its_label() {
    let scene = |present| {
        Scene::users(Move::removing(1_000, 0))
            .column("mail", Some(1_000), Some(present))
            .guard("schema.required = [\"user.mail\"]")
            .check()
    };
    assert_snapshot!(scene(1_000), @"accepted");
    assert_snapshot!(scene(999), @r"
    quarantined
    quarantine CRD-R201: 1 of 1,000 users (0.1 %) have no mail, which the policy requires
    ");
    let never = Scene::users(Move::removing(1_000, 0)).guard("schema.required = [\"user.mail\"]");
    assert!(never.check().contains("1,000 of 1,000 users (100 %) have no mail"));
}
