//! `on_suspicion = "hold-removals"`: what a sync adds and changes flows at once, suspicious removals
//! are held.

use cordon_testkit::{Connector, Host, Scenario};
use serde_json::{Value, json};

use crate::partial::{quarantined, release, reorganised, users};
use crate::world::{delivered, last_good, run_of};

/// A host whose connector `src` has this guard, and synced once.
fn guarded(guard: &Value) -> Host {
    let src = Connector::faulty(&Scenario::default()).set("guard", guard);
    let host = Host::setup().connector("src", src).file_sink("out").start();
    let first = run_of(&host.sync("src").done());
    if first["outcome"] == "quarantined" {
        release(&host, &[]).done();
    }
    delivered(&host);
    host
}

fn holding() -> Host {
    guarded(&json!({ "on_suspicion": "hold-removals" }))
}

/// Syncs that scenario; what comes of it.
fn sync(host: &Host, scenario: &Scenario) -> String {
    host.play("src", scenario);
    let run = run_of(&host.sync("src").done());
    run["outcome"].as_str().unwrap().to_owned()
}

#[test]
fn joiners_flow_at_once_while_suspicious_removals_are_held() {
    let host = holding();
    let before = host.changes("out").len();
    assert_eq!(sync(&host, &reorganised(30, 5)), "quarantined");
    assert_eq!(last_good(&host, "src"), 3);
    delivered(&host);
    let new = host.changes("out").split_off(before);
    assert!(new.len() == 15 && new.iter().all(|change| change["op"] == "added"), "{new:?}");
    assert_eq!(users(&host), (105, 5));
    let status = host.status("src");
    assert_eq!(
        (&status["trust"], &status["trust_reasons"][0]),
        (&"quarantined".into(), &"RemovalsHeld".into())
    );
    assert_eq!(status["rest"]["left_by"], "policy");
    assert_eq!(status["rest"]["left"]["removed"], 90);
    let table = host.cordon_as("table", &["status"]).done().stdout;
    assert!(table.contains("src 2: 15 changes passed, 90 removals are held"), "{table}");
    let held = quarantined(&host);
    assert_eq!((&held["sync"], &held["against"]), (&2.into(), &3.into()));
    let runs = host.cordon(&["runs", "src"]).done().items();
    let part = runs.iter().find(|run| run["sync"] == 3).unwrap();
    assert_eq!((&part["trigger"], &part["outcome"]), (&"release".into(), &"committed".into()));
}

#[test]
fn later_joiners_flow_too_and_the_removals_go_on_being_held() {
    let host = holding();
    sync(&host, &reorganised(30, 5));
    assert_eq!(sync(&host, &reorganised(30, 5)), "quarantined");
    assert_eq!((&quarantined(&host)["sync"], last_good(&host, "src")), (&2.into(), 3));
    assert_eq!(sync(&host, &reorganised(30, 7)), "quarantined");
    delivered(&host);
    assert_eq!(users(&host), (107, 7));
    assert_eq!(quarantined(&host)["changes"], json!({ "added": 0, "removed": 90, "modified": 0 }));
}

#[test]
fn held_removals_are_released_by_a_person_and_cleared_by_a_source_that_has_them_again() {
    let host = holding();
    sync(&host, &reorganised(30, 5));
    release(&host, &[]).done();
    delivered(&host);
    assert_eq!(users(&host), (75, 5));
    assert_eq!(sync(&host, &reorganised(30, 5)), "committed");
    let host = holding();
    sync(&host, &reorganised(30, 5));
    assert_eq!(sync(&host, &reorganised(0, 5)), "committed");
    assert_eq!(host.cordon(&["quarantine"]).done().items().len(), 0);
    delivered(&host);
    assert_eq!(
        (users(&host), host.status("src")["trust"].as_str().unwrap()),
        ((105, 5), "trusted")
    );
}

#[test]
fn removals_alone_are_held_without_stopping_what_was_accepted_before() {
    let host = holding();
    assert_eq!(sync(&host, &reorganised(30, 0)), "quarantined");
    assert_eq!(last_good(&host, "src"), 1);
    assert_eq!(host.status("src")["rest"]["left_by"], "policy");
    delivered(&host);
    assert_eq!(users(&host), (100, 0));
}

#[test]
fn everything_waits_where_much_is_at_stake_or_more_than_removals_is_odd() {
    let waits = |host: &Host| {
        assert_eq!(host.status("src")["rest"], Value::Null);
        assert_ne!(host.status("src")["trust_reasons"][0], "RemovalsHeld");
        assert_eq!(quarantined(host)["changes"]["added"], 15);
    };
    let host = guarded(&json!({ "on_suspicion": "hold-removals", "risk": "high" }));
    assert_eq!(sync(&host, &reorganised(30, 5)), "quarantined");
    waits(&host);
    let host = holding();
    assert_eq!(sync(&host, &reorganised(30, 5).and("sync-end", "lie-total")), "quarantined");
    waits(&host);
    // What is new is in doubt by itself.
    let host =
        guarded(&json!({ "on_suspicion": "hold-removals", "added": { "user": { "count": 4 } } }));
    assert_eq!(sync(&host, &reorganised(30, 5)), "quarantined");
    waits(&host);
    delivered(&host);
    assert_eq!(users(&host), (100, 0));
}

#[test]
fn a_kill_while_removals_are_held_lets_no_removal_pass() {
    let beginnings = [
        "gate.judged",
        "part.",
        "gate.published",
        "gate.committed",
        "ledger.quarantine",
        "ledger.commit",
        "store.rebase",
        "store.publish",
    ];
    for point in crate::kill_drills::points(&beginnings) {
        let mut host = holding();
        host.play("src", &reorganised(30, 5));
        host.terminate();
        host.arm(&point);
        host.start();
        host.sync("src");
        host.ended();
        host.disarm();
        host.start();
        delivered(&host);
        let (all, joined) = users(&host);
        assert!(
            all == 100 + joined && (joined == 0 || joined == 5),
            "after {point}: {all} {joined}"
        );
        assert_eq!(sync(&host, &reorganised(30, 5)), "quarantined", "after {point}");
        delivered(&host);
        assert_eq!(users(&host), (105, 5), "after {point}");
        assert_eq!(host.status("src")["rest"]["left"]["removed"], 90, "after {point}");
    }
}
