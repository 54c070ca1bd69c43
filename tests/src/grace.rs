//! Removals with a time of grace: accepted, told as pending, and final only when the time is over and
//! no sync brought the record back.

use std::time::{Duration, Instant};

use cordon_testkit::{Connector, Host, Scenario};
use serde_json::{Value, json};

use crate::partial::release;
use crate::world::{believed_from, delivered, newest_run, run_of, without_detector};

/// Users alone, so that one who leaves takes nothing along.
fn source(without: &[&str]) -> Scenario {
    let without = without.iter().map(|user| (*user).to_owned()).collect();
    Scenario { users: 60, groups: 0, grants_per_user: 0, without, ..Scenario::default() }
}

/// A host whose connector gives removals this time of grace, synced once.
fn host(grace: &str) -> Host {
    let mut guard = json!({ "grace": grace });
    without_detector(&mut guard);
    let connector = Connector::faulty(&source(&[])).set("guard", guard);
    let host = Host::setup().connector("src", connector).file_sink("out").start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    delivered(&host);
    host
}

/// Syncs a source without these users; gives what a sink is told of it.
#[track_caller]
fn sync_without(host: &Host, users: &[&str]) -> Vec<Value> {
    let before = host.changes("out").len();
    host.play("src", &source(users));
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    delivered(host);
    host.changes("out").split_off(before)
}

#[test]
fn a_diff_of_what_waits_counts_its_removals_as_sinks_are_told_of_them() {
    let host = host("24h");
    let all: Vec<String> = (10..40).map(|user| format!("u{user}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    host.play("src", &source(&all));
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined");
    let header = host.cordon(&["diff", "src"]).done().json()["header"].take();
    assert_eq!(header["total"], json!({ "added": 0, "removed": 30, "modified": 0 }));
    assert_eq!(header["told"], json!({ "added": 0, "removed": 0, "modified": 30 }));
}

fn told(changes: &[Value]) -> Vec<String> {
    let told = changes.iter().map(|change| {
        let (op, key) = (change["op"].as_str().unwrap(), change["key"].as_str().unwrap());
        match change.get("pending_removal") {
            None => format!("{op} {key}"),
            Some(pending) => format!("{op} {key} pending since {}", pending["sync"]),
        }
    });
    told.collect()
}

#[track_caller]
fn pending(host: &Host) -> Option<u64> {
    let status = host.status("src");
    status["pending_removals"].get("measured").and_then(Value::as_u64)
}

#[test]
fn an_accepted_removal_is_pending_until_its_grace_is_over_and_a_sync_still_misses_it() {
    let mut host = host("4s");
    let began = Instant::now();
    let changes = sync_without(&host, &["u7"]);
    assert_eq!(told(&changes), ["modified user:u7 pending since 2"]);
    assert_eq!(changes[0]["before"], changes[0]["after"], "it is as it last was");
    assert_eq!(changes[0]["pending_removal"]["since"], changes[0]["committed_at"]);
    // It is no record of the snapshot any more, and is shown as what it is.
    let status = host.status("src");
    assert_eq!(status["records"], 59);
    assert_eq!(pending(&host), Some(1));
    let describe = host.cordon_as("table", &["describe", "src"]).done().stdout;
    assert!(describe.contains("1 removal pending (1 new); none is final before"), "{describe}");
    assert!(describe.contains("pending for 4s, then final"), "{describe}");
    let diff = host.cordon_as("table", &["diff", "src"]).done().stdout;
    assert!(diff.contains("1 to remove") && diff.contains("1 removal pending"), "{diff}");
    let diff = host.cordon(&["diff", "src", "--delivered"]).done().items();
    assert_eq!((&diff[0]["op"], &diff[0]["pending_since"]), (&"modified".into(), &2.into()));
    // Nothing is kept in memory of it.
    host.kill();
    host.start();
    assert_eq!(pending(&host), Some(1));
    if began.elapsed() < Duration::from_secs(3) {
        assert_eq!(told(&sync_without(&host, &["u7"])), Vec::<String>::new());
    }
    std::thread::sleep(Duration::from_secs(5).saturating_sub(began.elapsed()));
    std::thread::sleep(Duration::from_secs(4));
    assert!(believed_from(&host, "src").contains_key("user:u7"), "time alone ends nothing");
    assert_eq!(told(&sync_without(&host, &["u7"])), ["removed user:u7"]);
    assert!(!believed_from(&host, "src").contains_key("user:u7"));
    assert!(pending(&host).is_none_or(|pending| pending == 0));
}

#[test]
fn a_record_that_comes_back_within_its_grace_was_never_taken_away() {
    let host = host("24h");
    assert_eq!(told(&sync_without(&host, &["u7", "u8"])).len(), 2);
    assert_eq!(pending(&host), Some(2));
    let changes = sync_without(&host, &["u8"]);
    assert_eq!(told(&changes), ["modified user:u7"]);
    assert!(!changes[0]["after"].is_null());
    assert_eq!(pending(&host), Some(1));
    assert!(host.changes("out").iter().all(|change| change["op"] != "removed"));
    let events = host.cordon(&["events", "src", "-n", "5"]).done().items();
    let bodies: Vec<Value> = events
        .iter()
        .filter(|event| event["kind"] == "snapshot.committed")
        .map(|event| serde_json::from_str(event["body"].as_str().unwrap()).unwrap())
        .collect();
    let found = bodies.iter().find(|body| body["sync"] == 3).unwrap();
    assert_eq!(
        (&found["pending"]["waiting"], &found["pending"]["returned"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn limits_and_budgets_count_a_pending_removal_when_it_comes_and_never_again() {
    let host = host("24h");
    let lost = |users: std::ops::Range<u32>| -> Vec<String> {
        users.map(|user| format!("u{user}")).collect()
    };
    let without = |lost: &[String]| Scenario { without: lost.to_vec(), ..source(&[]) };
    // Six are a tenth of sixty, five more a tenth of what is left; the day allows a fifth.
    for (last, outcome) in [(16, "committed"), (21, "committed"), (22, "committed")] {
        host.play("src", &without(&lost(10..last)));
        assert_eq!(run_of(&host.sync("src").done())["outcome"], outcome, "{last}");
    }
    assert_eq!(pending(&host), Some(12));
    host.play("src", &without(&lost(10..23)));
    let run = run_of(&host.sync("src").done());
    assert_eq!(run["outcome"], "quarantined");
    assert_eq!(newest_run(&host, "src")["findings"][0]["code"], "CRD-D103");
}

#[test]
fn what_a_person_released_has_its_grace_too() {
    let host = host("24h");
    let lost: Vec<String> = (10..40).map(|user| format!("u{user}")).collect();
    host.play("src", &Scenario { without: lost, ..source(&[]) });
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined");
    let before = host.changes("out").len();
    // A part first, and then all that is left.
    release(&host, &["--select", "user:u10"]).done();
    assert_eq!(pending(&host), Some(1));
    release(&host, &[]).done();
    assert_eq!(pending(&host), Some(30));
    delivered(&host);
    let new = host.changes("out").split_off(before);
    assert_eq!(new.len(), 30);
    assert!(new.iter().all(|change| change["pending_removal"].is_object()), "{new:?}");
    assert_eq!(believed_from(&host, "src").len(), 60);
}

#[test]
fn a_grace_that_is_taken_away_is_told_and_ends_what_is_pending() {
    let host = host("24h");
    sync_without(&host, &["u7"]);
    let config = std::fs::read_to_string(host.config()).unwrap();
    assert!(config.contains("\"24h\""), "{config}");
    host.put("cordon.toml", config.replace("\"24h\"", "\"off\""));
    host.cordon(&["reload"]).done();
    let standing = host.status("src")["standing"].to_string();
    assert!(standing.contains("CRD-O201") && standing.contains("grace"), "{standing}");
    assert_eq!(told(&sync_without(&host, &["u7"])), ["removed user:u7"]);
    assert_eq!(pending(&host), Some(0), "this sync ended the last one");
    assert_eq!(told(&sync_without(&host, &["u7", "u8"])), ["removed user:u8"]);
    assert_eq!(pending(&host), None);
}
