//! Attributes that always had one of a few values, and have others.

use insta::assert_snapshot;

use crate::scene::{Move, Scene};

const STATUS: [(&str, u64); 3] = [("active", 380), ("disabled", 30), ("terminated", 10)];

/// Judges a step of 420 users whose status was one of three for so many snapshots, and is this now.
fn after(snapshots: u32, now: &[(&str, u64)]) -> String {
    let step = Move { before: 420, removed: 0, added: 0, modified: 0 };
    let present = now.iter().map(|(_, records)| records).sum();
    let scene = Scene::users(step).column("status", Some(420), Some(present));
    scene.values("status", &STATUS, snapshots, Some(now)).check()
}

#[test]
fn a_small_set_of_values_that_is_replaced_is_quarantined() {
    assert_snapshot!(after(14, &[("A", 380), ("D", 30), ("T", 10)]), @r"
    quarantined
    quarantine CRD-S304: semantic: user.status is `A`, `D`, `T` in 420 of 420 users, never seen before; 14 snapshots in a row had nothing but `active`, `disabled`, `terminated`
    ");
    // Most, and no less.
    let moved = |records| after(14, &[("active", 420 - records), ("A", records)]);
    assert!(moved(211).starts_with("quarantined\nquarantine CRD-S304"));
    assert!(moved(210).starts_with("accepted\nwarning CRD-S304"));
}

#[test]
fn one_new_value_in_one_record_is_only_told() {
    assert_snapshot!(after(14, &[("active", 380), ("disabled", 30), ("terminated", 9), ("retired", 1)]), @r"
    accepted
    info CRD-S304: semantic: user.status is `retired` in 1 of 420 users, never seen before; 14 snapshots in a row had nothing but `active`, `disabled`, `terminated`
    ");
}

#[test]
fn a_tenth_with_a_new_value_is_warned_about() {
    let moved = |records| after(14, &[("active", 420 - records), ("suspended", records)]);
    assert!(moved(41).starts_with("accepted\ninfo CRD-S304"), "{}", moved(41));
    assert!(moved(42).starts_with("accepted\nwarning CRD-S304"), "{}", moved(42));
}

#[test]
fn known_values_in_other_numbers_are_none_that_were_never_seen() {
    assert_eq!(after(14, &[("active", 10), ("terminated", 410)]), "accepted");
}

#[test]
fn values_that_were_not_there_for_long_are_not_taken_for_all_there_are() {
    assert_eq!(after(2, &[("A", 380), ("D", 40)]), "accepted");
    assert!(after(3, &[("A", 380), ("D", 40)]).starts_with("quarantined"));
}

#[test]
fn twice_as_many_with_words_of_their_own_replace_nothing() {
    let step = Move { before: 420, removed: 0, added: 1_000, modified: 0 };
    let now = [&STATUS[..], &[("A", 1_000)]].concat();
    let scene = Scene::users(step).column("status", Some(420), Some(1_420));
    let told = scene.values("status", &STATUS, 14, Some(&now)).check();
    assert!(told.contains("warning CRD-S304") && !told.contains("quarantine CRD-S304"), "{told}");
}

#[test]
fn a_handful_of_records_makes_no_vocabulary() {
    let step = Move { before: 19, removed: 0, added: 0, modified: 0 };
    let scene = Scene::users(step).column("status", Some(19), Some(19));
    let told = scene.values("status", &[("active", 19)], 14, Some(&[("A", 19)])).check();
    assert_eq!(told, "accepted");
}

#[test]
fn values_that_are_no_longer_few_are_warned_about() {
    let step = Move { before: 420, removed: 0, added: 0, modified: 0 };
    let scene = Scene::users(step).column("status", Some(420), Some(420));
    assert_snapshot!(scene.values("status", &STATUS, 14, None).check(), @r"
    accepted
    warning CRD-S304: semantic: user.status has more than 12 values now, or longer ones; 14 snapshots in a row had nothing but `active`, `disabled`, `terminated`
    ");
}

#[test]
fn a_source_s_own_words_cannot_steer_a_terminal() {
    let told = after(14, &[("\u{1b}[2J", 420)]);
    assert!(told.contains("`\u{fffd}[2J`"), "{told:?}");
}

#[test]
fn a_new_vocabulary_can_be_exempted_by_attribute() {
    let step = Move { before: 420, removed: 0, added: 0, modified: 0 };
    let scene = |subject: &str| {
        let mut scene = Scene::users(step)
            .column("status", Some(420), Some(420))
            .values("status", &STATUS, 14, Some(&[("A", 420)]))
            .guard(&format!(
                "[exemption.x]\ncode = \"CRD-S304\"\nsubject = \"{subject}\"\n\
                 until = \"2026-03-31\"\nowner = \"iam\"\nreason = \"CHG-9\"\n"
            ));
        scene.history.judged_at = Some("2026-03-02T07:00:00Z".parse().unwrap());
        scene.check()
    };
    assert!(scene("user.status").starts_with("accepted\nwarning CRD-S304"));
    assert!(scene("user.title").starts_with("quarantined"));
}
