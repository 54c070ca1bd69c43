//! Freshness: watermarks that stand still, go back or get lost.

use insta::assert_snapshot;

use crate::scene::{Move, Scene};

const MONDAY: Option<&str> = Some("2026-03-02T04:00:00Z");
const TUESDAY: Option<&str> = Some("2026-03-03T04:00:00Z");

fn check(before: Option<&str>, now: Option<&str>) -> String {
    Scene::users(Move::removing(1_000, 0)).watermarks(before, now).check()
}

#[test]
fn a_source_that_went_back_in_time_is_quarantined() {
    assert_snapshot!(check(TUESDAY, MONDAY), @r"
    quarantined
    quarantine CRD-W101: the source of scope users was current as of 2026-03-03T04:00:00Z, now as of 2026-03-02T04:00:00Z
    ");
}

#[test]
fn a_source_that_moved_on_is_accepted_without_a_word() {
    assert_snapshot!(check(MONDAY, TUESDAY), @"accepted");
    assert_snapshot!(check(None, TUESDAY), @"accepted");
    assert_snapshot!(check(None, None), @"accepted");
}

#[test]
fn a_source_that_stood_still_is_mentioned() {
    assert_snapshot!(check(MONDAY, MONDAY), @r"
    accepted
    info CRD-W201: the source of scope users is current as of 2026-03-02T04:00:00Z, as it was
    ");
    let mut scene = Scene::users(Move::removing(1_000, 0)).watermarks(None, None);
    let token = Some("lsn 7".to_owned());
    scene.history.watermarks.get_mut("users").unwrap().token = token.clone();
    scene.scope("users").report.watermark.token = token;
    assert_snapshot!(scene.check(), @r"
    accepted
    info CRD-W201: the source of scope users did not move
    ");
}

#[test]
fn a_source_that_stops_telling_its_time_is_warned_about() {
    assert_snapshot!(check(MONDAY, None), @r"
    accepted
    warning CRD-W102: scope users no longer says how current it is; it was as of 2026-03-02T04:00:00Z
    ");
}

#[test]
fn the_last_known_goods_watermark_counts_when_the_history_has_none() {
    let mut scene = Scene::users(Move::removing(1_000, 0)).watermarks(None, MONDAY);
    scene.history.watermarks.clear();
    let scope = scene.last_good.as_mut().unwrap().scopes.get_mut("users").unwrap();
    scope.report.watermark.time = TUESDAY.map(|time| time.parse().unwrap());
    assert!(scene.check().contains("CRD-W101"), "{}", scene.check());
}
