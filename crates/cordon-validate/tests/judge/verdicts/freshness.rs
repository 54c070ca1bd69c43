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

/// Judges a step between two tokens, of a source that runs by the clock.
fn check_tokens(before: &str, now: &str) -> String {
    let mut scene = Scene::users(Move::removing(1_000, 0)).watermarks(MONDAY, TUESDAY);
    scene.history.watermarks.get_mut("users").unwrap().token = Some(before.to_owned());
    scene.scope("users").report.watermark.token = Some(now.to_owned());
    scene.check()
}

#[test]
fn a_source_whose_log_got_shorter_is_quarantined_though_its_clock_runs() {
    assert_snapshot!(check_tokens("lsn:77@1000", "lsn:77@999"), @r"
    quarantined
    quarantine CRD-W101: the source of scope users had come to lsn:77@1000, now it is at lsn:77@999
    ");
}

#[test]
fn a_log_that_grew_or_is_another_one_is_accepted_without_a_word() {
    for (before, now) in [
        ("lsn:77@999", "lsn:77@1000"),
        ("lsn:77@1000", "lsn:77@1000"),
        ("lsn:77@1000", "lsn:78@5"),
        ("sha256:ff", "sha256:00"),
        // No numbers, so nothing that could go back.
        ("lsn:77@1000", "lsn:77@"),
        ("lsn:77@1000", "lsn:77@-5"),
        ("lsn:77@+5", "lsn:77@+4"),
        ("@9", "@8"),
        ("9", "8"),
    ] {
        assert_eq!(check_tokens(before, now).trim(), "accepted", "{before} {now}");
    }
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
