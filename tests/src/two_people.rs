//! Where policy wants two people, one person releases nothing.

use std::time::Duration;

use cordon_testkit::{Answer, Connector, Host, Scenario};
use serde_json::{Value, json};

use crate::partial::{quarantined, release_line, reorganised, users};
use crate::world::{delivered, last_good, run_of};

/// A user of every machine, and its group.
const DAEMON: (u32, &str) = (1, "daemon");

/// A host on which `daemon` may give orders, too, and something waits that needs this.
fn waiting(release: &Value) -> Host {
    let src = Connector::faulty(&Scenario::default()).set("guard", json!({ "release": release }));
    let setup = Host::setup().connector("src", src).file_sink("out");
    let host = setup.set("daemon", "socket_group", DAEMON.1).start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    host.play("src", &reorganised(30, 5));
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined");
    delivered(&host);
    host
}

fn words(line: &[String]) -> Vec<&str> {
    line.iter().map(String::as_str).collect()
}

fn by_root(host: &Host, more: &[&str]) -> Answer {
    host.cordon(&words(&release_line(&quarantined(host), more)))
}

/// None where the test may not become another user.
fn by_daemon(host: &Host, more: &[&str]) -> Option<Answer> {
    host.cordon_by(DAEMON.0, &words(&release_line(&quarantined(host), more)))
}

#[test]
fn the_word_of_one_is_written_down_and_releases_nothing() {
    let host = waiting(&json!({ "people": 2 }));
    let problem = by_root(&host, &["--only", "added"]).exits(5).problem();
    assert_eq!(problem["code"], "CRD-H008");
    let told = problem["message"].as_str().unwrap();
    assert!(told.contains("a second person has to agree") && told.contains("evidence"), "{told}");
    assert_eq!((last_good(&host, "src"), users(&host)), (1, (100, 0)));
    for asked in [&quarantined(&host)["asked"], &host.status("src")["asked"]] {
        assert_eq!(asked["selection"], "added");
        assert_eq!(asked["reason"], "INC-4411");
    }
    let diff = host.cordon(&["diff", "src"]).done().json();
    assert_eq!(
        (&diff["header"]["people"], &diff["header"]["asked"]["selection"]),
        (&2.into(), &"added".into())
    );
    let events = host.cordon(&["events", "src", "-n", "20"]).done().items();
    assert!(events.iter().any(|event| event["kind"] == "release.requested"));
    let told = by_root(&host, &["--only", "added"]).exits(5).problem();
    assert!(told["message"].as_str().unwrap().contains("asked already"), "{told}");
    assert_eq!(last_good(&host, "src"), 1);
}

#[test]
fn a_second_person_releases_exactly_what_the_first_asked_for() {
    let host = waiting(&json!({ "people": 2 }));
    by_root(&host, &["--only", "added"]).exits(5);
    // Another selection is another word; now the first is the second person.
    let Some(other) = by_daemon(&host, &[]) else { return };
    other.exits(5);
    assert_eq!(quarantined(&host)["asked"]["by"], "daemon (uid 1)");
    assert_eq!(last_good(&host, "src"), 1);
    by_root(&host, &["--only", "added"]).exits(5);
    by_daemon(&host, &["--only", "added"]).unwrap().done();
    delivered(&host);
    assert_eq!((last_good(&host, "src"), users(&host)), (3, (105, 5)));
    let events = host.cordon(&["events", "src", "-n", "20"]).done().items();
    let committed = events.iter().find(|event| {
        event["kind"] == "snapshot.committed"
            && event["body"].as_str().unwrap().contains(r#""sync":3"#)
    });
    let committed = committed.unwrap();
    assert_eq!(committed["actor"], "daemon (uid 1)");
    let body: Value = serde_json::from_str(committed["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["asked_by"], "root (uid 0)");
    // What is left is another content: both have to agree on it anew.
    assert_eq!(quarantined(&host)["asked"], Value::Null);
    by_daemon(&host, &[]).unwrap().exits(5);
    by_root(&host, &[]).done();
    delivered(&host);
    assert_eq!(users(&host), (75, 5));
}

#[test]
fn a_word_that_nobody_confirmed_in_time_means_nothing() {
    let host = waiting(&json!({ "people": 2, "expires": "1s" }));
    by_root(&host, &[]).exits(5);
    let deadline = Duration::from_secs(20);
    cordon_testkit::wait_until("the word has lapsed", deadline, || {
        quarantined(&host)["asked"] == Value::Null
    });
    let Some(late) = by_daemon(&host, &[]) else { return };
    late.exits(5);
    assert_eq!(last_good(&host, "src"), 1);
}

#[test]
fn a_word_lapses_when_another_sync_takes_the_place_of_what_it_spoke_of() {
    let host = waiting(&json!({ "people": 2 }));
    by_root(&host, &[]).exits(5);
    host.play("src", &reorganised(31, 5));
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined");
    assert_eq!(quarantined(&host)["asked"], Value::Null);
    let Some(other) = by_daemon(&host, &[]) else { return };
    other.exits(5);
    assert_eq!(last_good(&host, "src"), 1);
}

#[test]
fn a_word_survives_a_kill_and_a_sync_that_brings_the_same() {
    let mut host = waiting(&json!({ "people": 2 }));
    by_root(&host, &[]).exits(5);
    host.kill();
    host.start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined");
    assert_eq!(quarantined(&host)["asked"]["selection"], "all changes");
    let Some(second) = by_daemon(&host, &[]) else { return };
    second.done();
    assert_eq!(last_good(&host, "src"), 2);
}

#[test]
fn critical_connectors_need_two_people_without_being_told() {
    let src = Connector::faulty(&Scenario::default()).set("guard", json!({ "risk": "critical" }));
    let host = Host::setup().connector("src", src).file_sink("out").start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined");
    by_root(&host, &[]).exits(5);
    assert_eq!(host.changes("out").len(), 0);
}

#[test]
fn only_members_of_the_groups_that_policy_names_release() {
    let host = waiting(&json!({ "by": [DAEMON.1] }));
    let refused = by_root(&host, &[]).exits(5).problem();
    assert!(refused["message"].as_str().unwrap().contains("may not release"), "{refused}");
    assert_eq!(last_good(&host, "src"), 1);
    let Some(member) = by_daemon(&host, &[]) else { return };
    member.done();
    assert_eq!(last_good(&host, "src"), 2);
}

#[test]
fn who_releases_is_chosen_by_the_risk_of_the_connector() {
    // The default is the risk "medium", and that of "high" is not reached.
    let at = json!({ "medium": { "by": [DAEMON.1] }, "high": { "people": 2 } });
    let host = waiting(&json!({ "at": at }));
    let refused = by_root(&host, &[]).exits(5).problem();
    assert!(refused["hint"].as_str().unwrap().contains("members of daemon may"), "{refused}");
    assert_eq!(last_good(&host, "src"), 1);
    let text = host.cordon_as("table", &["describe", "src"]).done().stdout;
    assert!(text.contains("members of daemon"), "{text}");
    let Some(member) = by_daemon(&host, &[]) else { return };
    member.done();
    assert_eq!(last_good(&host, "src"), 2);
}
