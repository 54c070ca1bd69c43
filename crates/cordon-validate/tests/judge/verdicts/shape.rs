//! Columns that vanish, change their type or lose their values.

use cordon_model::AttributeType;
use insta::assert_snapshot;

use crate::scene::{Move, Scene};

/// Judges a step of users in which so many have a column before and now.
fn check(users: u64, before: Option<u64>, now: Option<u64>) -> String {
    Scene::users(Move::removing(users, 0)).column("mail", before, now).check()
}

#[test]
fn a_column_that_disappears_is_quarantined_though_every_record_is_there() {
    assert_snapshot!(check(4_212, Some(4_200), None), @r"
    quarantined
    quarantine CRD-S302: breaking: user.mail is gone from all 4,212 users; 4,200 of 4,212 had it
    ");
    assert_snapshot!(check(4_212, Some(1), None), @r"
    quarantined
    quarantine CRD-S302: breaking: user.mail is gone from all 4,212 users; 1 of 4,212 had it
    ");
    assert_snapshot!(check(4_212, Some(0), None), @"accepted");
}

#[test]
fn a_column_that_is_sent_without_a_value_is_gone_too() {
    assert_snapshot!(check(4_212, Some(20), Some(0)), @r"
    quarantined
    quarantine CRD-S302: breaking: user.mail is gone from all 4,212 users; 20 of 4,212 had it
    ");
    // So few can lose a rare attribute on one day.
    assert_snapshot!(check(4_212, Some(19), Some(0)), @"accepted");
}

#[test]
fn a_share_of_values_may_fall_by_ten_points_and_no_further() {
    assert_snapshot!(check(1_000, Some(950), Some(850)), @"accepted");
    assert_snapshot!(check(1_000, Some(950), Some(849)), @r"
    quarantined
    quarantine CRD-S303: narrowing: user.mail fell from 95 % to 84.9 % of users, limit 10 points
    ");
}

#[test]
fn in_a_small_type_up_to_five_values_may_go() {
    assert_snapshot!(check(19, Some(19), Some(14)), @"accepted");
    assert!(check(19, Some(19), Some(13)).contains("CRD-S303"));
}

#[test]
fn many_new_records_without_an_optional_attribute_lose_no_value() {
    let step = Move { before: 1_000, removed: 0, added: 1_000, modified: 0 };
    let scene = || Scene::users(step).column("mail", Some(1_000), Some(1_000));
    assert_snapshot!(scene().check(), @"accepted");

    let mut required = scene();
    for column in required.columns("mail") {
        column.required = true;
    }
    assert_snapshot!(required.check(), @r"
    quarantined
    quarantine CRD-S303: narrowing: user.mail fell from 100 % to 50 % of users, limit 10 points
    ");
}

#[test]
fn a_column_whose_values_change_type_is_quarantined() {
    let mut scene = Scene::users(Move::removing(100, 0)).column("number", Some(100), Some(100));
    scene.columns("number")[1].value_type = AttributeType::Integer;
    assert_snapshot!(scene.check(), @r"
    quarantined
    quarantine CRD-S301: breaking: user.number was text, and is a whole number now
    ");
}

#[test]
fn a_new_column_is_mentioned() {
    assert_snapshot!(check(100, None, Some(100)), @r"
    accepted
    info CRD-S101: additive: user.mail is new
    ");
}

#[test]
fn an_attribute_that_is_no_longer_required_is_warned_about() {
    let mut scene = Scene::users(Move::removing(100, 0)).column("mail", Some(100), Some(100));
    scene.columns("mail")[0].required = true;
    assert_snapshot!(scene.check(), @r"
    accepted
    warning CRD-S201: narrowing: user.mail is no longer announced as required
    ");
}
