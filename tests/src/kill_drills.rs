//! The supervisor dies by SIGKILL in every gap of its work. After the next start the last known good
//! is the old or the new snapshot, whole; the sink has every accepted change once or more, and none
//! that was not accepted.

use std::collections::BTreeMap;
use std::process::Command;

use cordon_testkit::{Host, Scenario, programs};
use serde_json::Value;

use crate::world::{believed_from, delivered, last_good, run_of};

/// Fault points as `cordond` lists them, of these beginnings.
pub(crate) fn points(beginnings: &[&str]) -> Vec<String> {
    let output = Command::new(programs::path("cordond")).arg("--fault-points").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let points: Vec<String> = text
        .lines()
        .filter(|point| beginnings.iter().any(|beginning| point.starts_with(beginning)))
        .map(str::to_owned)
        .collect();
    assert!(!points.is_empty(), "no fault point begins with {beginnings:?}");
    points
}

fn host() -> Host {
    let host = Host::setup().faulty("src", &Scenario::default()).file_sink("out").start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    delivered(&host);
    host
}

/// What a consumer believes after day 1 when nobody ever dies.
fn undisturbed() -> BTreeMap<String, Value> {
    let host = host();
    host.play("src", &Scenario::default().on_day(1));
    host.sync("src").done();
    delivered(&host);
    believed_from(&host, "src")
}

/// Dies at a point while a sync of this scenario runs, and starts again.
fn die_at(host: &mut Host, point: &str, scenario: &Scenario) {
    host.play("src", scenario);
    host.terminate();
    host.arm(point);
    host.start();
    host.sync("src");
    let status = host.ended();
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(9), "cordond passed {point} and went on: {status}");
    host.disarm();
    host.start();
}

/// Whatever happened, the state is whole and says so.
#[track_caller]
fn is_whole(host: &Host, point: &str) {
    let doctor = host.cordon(&["doctor"]);
    for item in doctor.items() {
        if item["name"] == "evidence" || item["name"] == "snapshots" {
            assert_eq!(item["state"], "ok", "after {point}: {item}");
        }
    }
    host.cordon(&["diff", "src", "--full"]).done();
}

#[test]
fn a_kill_at_any_step_of_a_commit_leaves_the_old_or_the_new_snapshot_whole() {
    let expected = undisturbed();
    for point in
        points(&["session.", "gate.", "store.stage", "store.publish", "ledger.commit", "outbox."])
    {
        let mut host = host();
        let before = believed_from(&host, "src");
        die_at(&mut host, &point, &Scenario::default().on_day(1));
        let now = last_good(&host, "src");
        assert!(now <= 2, "after {point} the last known good is {now}");
        is_whole(&host, &point);
        delivered(&host);
        let believed = believed_from(&host, "src");
        let whole = if now == 1 { &before } else { &expected };
        assert_eq!(&believed, whole, "after {point}, at snapshot {now}");
        assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed", "after {point}");
        delivered(&host);
        assert_eq!(believed_from(&host, "src"), expected, "after {point} and another sync");
    }
}

#[test]
fn a_kill_at_any_step_of_a_quarantine_lets_nothing_pass() {
    for point in points(&["gate.staged", "gate.judged", "ledger.quarantine"]) {
        let mut host = host();
        let before = believed_from(&host, "src");
        die_at(&mut host, &point, &Scenario::with("sync-end", "truncate:50"));
        assert_eq!(last_good(&host, "src"), 1, "after {point}");
        is_whole(&host, &point);
        assert_eq!(believed_from(&host, "src"), before, "after {point}");
        assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined", "after {point}");
        assert_eq!(host.cordon(&["quarantine"]).done().items().len(), 1, "after {point}");
    }
}

#[test]
fn a_kill_at_any_step_of_a_release_can_be_released_again() {
    for point in points(&["store.publish", "gate.published", "ledger.commit", "gate.committed"]) {
        let mut host = host();
        host.play("src", &Scenario::with("sync-end", "truncate:50"));
        let run = run_of(&host.sync("src").done());
        let digest = run["digest"].as_str().unwrap().to_owned();
        let release = ["release", "src", "2", "--digest", &digest, "--reason", "drill", "--yes"];
        host.terminate();
        host.arm(&point);
        host.start();
        host.cordon(&release);
        host.ended();
        host.disarm();
        host.start();
        is_whole(&host, &point);
        if last_good(&host, "src") == 1 {
            assert_eq!(host.cordon(&["quarantine"]).done().items().len(), 1, "after {point}");
            host.cordon(&release).done();
        }
        assert_eq!(last_good(&host, "src"), 2, "after {point}");
        delivered(&host);
        let users = believed_from(&host, "src");
        let users = users.keys().filter(|key| key.starts_with("user:") && !key.contains("->"));
        assert_eq!(users.count(), 50, "after {point}");
    }
}
