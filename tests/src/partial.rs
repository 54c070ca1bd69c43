//! A part of what waits is released; what is left waits on, and sinks get exactly what was released.

use std::collections::BTreeMap;

use cordon_testkit::{Answer, Host, Scenario};
use serde_json::Value;

use crate::world::{believed_from, delivered, held_by, last_good, newest_run, run_of};

/// The honest source a while later: users from 20 on have left, so many, and others joined.
pub(crate) fn reorganised(left: u32, joined: u32) -> Scenario {
    let without = (20..20 + left).map(|user| format!("u{user}")).collect();
    Scenario { users: 100 + joined, without, ..Scenario::default() }
}

/// A host whose connector `src` brought 30 removals and 5 joiners after an honest sync.
fn waiting() -> Host {
    let host = Host::setup().faulty("src", &Scenario::default()).file_sink("out").start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    delivered(&host);
    host.play("src", &reorganised(30, 5));
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined");
    host
}

/// What waits.
#[track_caller]
pub(crate) fn quarantined(host: &Host) -> Value {
    let mut items = host.cordon(&["quarantine", "src"]).done().items();
    assert_eq!(items.len(), 1, "{items:?}");
    items.remove(0)
}

/// The line that releases what waits, or a part of it.
pub(crate) fn release_line(waiting: &Value, more: &[&str]) -> Vec<String> {
    let (sync, digest) = (waiting["sync"].to_string(), waiting["digest"].as_str().unwrap());
    let line = ["release", "src", &sync, "--digest", digest, "--reason", "INC-4411", "--yes"];
    line.iter().chain(more).map(|word| (*word).to_owned()).collect()
}

#[track_caller]
pub(crate) fn release(host: &Host, more: &[&str]) -> Answer {
    let line = release_line(&quarantined(host), more);
    host.cordon(&line.iter().map(String::as_str).collect::<Vec<_>>())
}

/// How many users a consumer believes in, and of them how many joined.
#[track_caller]
pub(crate) fn users(host: &Host) -> (usize, usize) {
    let believed = believed_from(host, "src");
    let users = believed.keys().filter(|key| key.starts_with("user:") && !key.contains("->"));
    let users: Vec<&String> = users.collect();
    (users.len(), users.iter().filter(|key| key.len() == "user:u100".len()).count())
}

#[test]
fn joiners_pass_while_removals_stay_quarantined() {
    let host = waiting();
    let before = host.changes("out").len();
    let message = release(&host, &["--only", "added,changed"]).done().items()[0]["message"].clone();
    assert_eq!(message, "released 15 of 105 changes (15 add); 90 removals stay quarantined");
    assert_eq!(last_good(&host, "src"), 3);
    delivered(&host);
    let new = host.changes("out").split_off(before);
    assert_eq!(new.len(), 15, "exactly what was released");
    assert!(new.iter().all(|change| change["op"] == "added"), "{new:?}");
    assert_eq!(users(&host), (105, 5));

    let rest = quarantined(&host);
    assert_eq!((&rest["sync"], &rest["against"]), (&2.into(), &3.into()));
    assert_eq!(rest["changes"], serde_json::json!({ "added": 0, "removed": 90, "modified": 0 }));
    assert_eq!(rest["rest"]["left_by"], "person");
    assert_eq!(rest["rest"]["released"]["added"], 15);
    let codes = held_by(&rest);
    assert!(
        codes.contains(&"CRD-D101".to_owned()) && codes.contains(&"CRD-C311".to_owned()),
        "{codes:?}"
    );
    let status = host.status("src");
    assert_eq!(status["trust"], "quarantined");
    assert_eq!(status["trust_reasons"][0], "PartQuarantined");
    let diff = host.cordon(&["diff", "src"]).done();
    assert!(diff.items().iter().all(|change| change["op"] == "removed"));
    assert_eq!(diff.items().len(), 90);
    let part = host.cordon(&["diff", "src", "3"]).done().items();
    assert!(part.len() == 15 && part.iter().all(|change| change["op"] == "added"));
    let run = newest_run(&host, "src");
    assert_eq!(
        (&run["sync"], &run["trigger"], &run["outcome"]),
        (&3.into(), &"release".into(), &"released".into())
    );
}

#[test]
fn the_evidence_binds_the_part_to_what_was_reviewed() {
    let host = waiting();
    let reviewed = quarantined(&host)["digest"].as_str().unwrap().to_owned();
    release(&host, &["--only", "added"]).done();
    let events = host.cordon(&["events", "src", "-n", "20"]).done().items();
    let committed = events.iter().find(|event| {
        event["kind"] == "snapshot.committed"
            && event["body"].as_str().unwrap().contains(r#""sync":3"#)
    });
    let body: Value = serde_json::from_str(committed.unwrap()["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["part"]["of"], 2);
    assert_eq!(body["part"]["digest"], reviewed.as_str());
    assert_eq!(body["part"]["selection"], "added");
    assert_eq!((&body["released"], &body["reason"]), (&true.into(), &"INC-4411".into()));
    assert!(events.iter().any(|event| event["kind"] == "quarantine.remains"));
}

#[test]
fn what_is_left_has_a_digest_of_its_own_and_the_old_one_releases_nothing() {
    let host = waiting();
    let old = release_line(&quarantined(&host), &[]);
    release(&host, &["--only", "added"]).done();
    host.cordon(&old.iter().map(String::as_str).collect::<Vec<_>>()).exits(6);
    assert_eq!(last_good(&host, "src"), 3);
}

#[test]
fn the_same_sync_joins_what_is_left_and_another_supersedes_it_but_passes_nothing() {
    let host = waiting();
    release(&host, &["--only", "added"]).done();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined");
    let rest = quarantined(&host);
    assert_eq!((&rest["sync"], &rest["repeats"]), (&2.into(), &1.into()));
    host.play("src", &reorganised(30, 6));
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined");
    let rest = quarantined(&host);
    assert_eq!((&rest["sync"], &rest["changes"]["added"]), (&5.into(), &3.into()));
    delivered(&host);
    assert_eq!((last_good(&host, "src"), users(&host)), (3, (105, 5)));
}

#[test]
fn a_source_that_takes_back_what_was_left_clears_the_quarantine() {
    let host = waiting();
    release(&host, &["--only", "added"]).done();
    host.play("src", &reorganised(0, 6));
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    assert_eq!(host.cordon(&["quarantine"]).done().items().len(), 0);
    delivered(&host);
    assert_eq!(users(&host), (106, 6));
}

#[test]
fn a_reorganisation_released_in_two_parts_is_not_asked_for_again() {
    let host = waiting();
    release(&host, &["--only", "added"]).done();
    let message = release(&host, &[]).done().items()[0]["message"].clone();
    assert_eq!(message, "released 90 of 90 changes (90 remove); nothing waits any more");
    assert_eq!(last_good(&host, "src"), 4);
    assert_eq!(host.cordon(&["quarantine"]).done().items().len(), 0);
    delivered(&host);
    assert_eq!(users(&host), (75, 5));
    let again = run_of(&host.sync("src").done());
    assert_eq!(again["outcome"], "committed");
    assert_eq!(again["changes"], serde_json::json!({ "added": 0, "removed": 0, "modified": 0 }));
    let first =
        host.cordon(&["runs", "src"]).done().items().into_iter().find(|run| run["sync"] == 2);
    assert_eq!(first.unwrap()["outcome"], "released");
}

#[test]
fn what_was_left_out_waits_however_small_it_is() {
    let host = waiting();
    // All but one leaver: what is left is far below every limit.
    let mut keys = Vec::new();
    for user in 20..49 {
        keys.extend([
            "--select".to_owned(),
            format!("user:u{user}"),
            "--select".to_owned(),
            format!("user:u{user} -> *"),
        ]);
    }
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    release(&host, &keys).done();
    let rest = quarantined(&host);
    assert_eq!(rest["changes"]["removed"], 3);
    for _ in 0..2 {
        assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined");
    }
    delivered(&host);
    assert!(believed_from(&host, "src").contains_key("user:u49"));
}

#[test]
fn a_part_that_would_point_at_nothing_is_refused_and_changes_nothing() {
    let host = waiting();
    let before = host.changes("out");
    let refused = release(&host, &["--only", "added", "--kind", "grant"]).exits(2).problem();
    let told = refused["message"].as_str().unwrap();
    assert!(told.contains("grant.user point by `principal` at 5 that are not selected"), "{told}");
    let refused = release(&host, &["--only", "removed", "--kind", "user"]).exits(2).problem();
    let told = refused["message"].as_str().unwrap();
    assert!(told.contains("would stay and point by `principal` at 30"), "{told}");
    release(&host, &["--kind", "secret"]).exits(2);
    assert_eq!(last_good(&host, "src"), 1);
    assert_eq!(host.changes("out"), before);
    assert_eq!(quarantined(&host)["rest"], Value::Null);
    let status = host.status("src");
    assert_eq!((&status["reason"], &status["runtime"]), (&"".into(), &"idle".into()));
}

#[test]
fn a_part_is_named_by_type_and_by_key() {
    let host = waiting();
    release(&host, &["--select", "user:u100", "--select", "user:u100 -> *"]).done();
    delivered(&host);
    assert_eq!(users(&host), (101, 1));
    release(&host, &["--only", "removed", "--kind", "grant"]).done();
    delivered(&host);
    let granted =
        believed_from(&host, "src").into_keys().filter(|key| key.starts_with("user:u25 ->"));
    assert_eq!(granted.count(), 0);
    assert_eq!(users(&host), (101, 1));
    assert_eq!(
        quarantined(&host)["changes"],
        serde_json::json!({ "added": 12, "removed": 30, "modified": 0 })
    );
}

#[test]
fn what_a_selection_shows_is_what_it_releases() {
    let host = waiting();
    let selection = ["--only", "added", "--select", "user:u100", "--select", "user:u100 -> *"];
    let keys = |sync: &[&str]| -> Vec<String> {
        let items = host.cordon(&[&["diff", "src"], sync].concat()).done().items();
        items.iter().map(|change| change["key"].as_str().unwrap().to_owned()).collect()
    };
    let shown = keys(&selection);
    assert!(shown.len() > 1 && shown[0] == "user:u100", "{shown:?}");
    let page = [&["diff", "src", "--limit", "1"], &selection[..]].concat();
    let text = host.cordon_as("table", &page).done().stdout;
    assert!(text.contains(&format!("selected: {} to add, 0 to remove", shown.len())), "{text}");
    let line = "--only added --select 'user:u100' --select 'user:u100 -> *' --reason";
    assert!(text.contains(line), "{text}");
    host.cordon(&["diff", "src", "--kind", "no-label"]).exits(2);
    host.cordon(&["diff", "src", "--select", ""]).exits(2);

    release(&host, &selection).done();
    delivered(&host);
    let released = last_good(&host, "src").to_string();
    assert_eq!(keys(&[&released, "--against", "1"]), shown);
}

#[test]
fn a_rejected_rest_is_gone_and_what_was_released_stays() {
    let host = waiting();
    release(&host, &["--only", "added"]).done();
    host.cordon(&["reject", "src", "2", "--reason", "a cut export"]).done();
    assert_eq!(host.cordon(&["quarantine"]).done().items().len(), 0);
    assert_eq!(last_good(&host, "src"), 3);
    delivered(&host);
    assert_eq!(users(&host), (105, 5));
    // The decision was on that candidate; the same content is looked at anew.
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined");
}

#[test]
fn a_part_of_a_first_sync_is_a_first_snapshot() {
    let careful = cordon_testkit::Connector::faulty(&Scenario::default())
        .set("guard", serde_json::json!({ "first_sync": "review" }));
    let host = Host::setup().connector("src", careful).file_sink("out").start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined");
    release(&host, &["--kind", "user,group"]).done();
    delivered(&host);
    assert_eq!(users(&host), (100, 0));
    assert_eq!(quarantined(&host)["changes"]["added"], 5 + 200);
    release(&host, &[]).done();
    delivered(&host);
    assert_eq!(believed_from(&host, "src").len(), 100 + 5 + 5 + 200);
}

#[test]
fn a_release_while_a_sync_runs_outruns_it_and_it_runs_again() {
    let host = waiting();
    host.play("src", &reorganised(30, 6).and("page:1", "slow:20"));
    host.cordon(&["sync", "src"]).done();
    let syncing = std::time::Duration::from_secs(20);
    cordon_testkit::wait_until("the sync runs", syncing, || {
        host.status("src")["runtime"] == "syncing"
    });
    release(&host, &["--only", "added"]).done();
    assert_eq!(last_good(&host, "src"), 4);
    host.play("src", &reorganised(30, 6));
    // It was compared with what was served before; what it brought is not held against that.
    cordon_testkit::wait_until("it ran again", syncing, || {
        quarantined(&host)["against"] == 4 && quarantined(&host)["sync"] == 5
    });
    assert_eq!(quarantined(&host)["changes"]["added"], 3);
    let runs = host.cordon(&["runs", "src"]).done().items();
    let outrun = runs.iter().find(|run| run["sync"] == 3).unwrap();
    assert_eq!((&outrun["outcome"], &outrun["reason"]), (&"failed".into(), &"requested".into()));
    delivered(&host);
    assert_eq!(users(&host), (105, 5));
}

/// What a consumer believes after a partial release that nothing disturbed.
fn undisturbed() -> BTreeMap<String, Value> {
    let host = waiting();
    release(&host, &["--only", "added"]).done();
    delivered(&host);
    believed_from(&host, "src")
}

#[test]
fn a_kill_at_any_step_of_a_partial_release_can_be_released_again() {
    let expected = undisturbed();
    let beginnings = [
        "part.",
        "gate.published",
        "gate.committed",
        "store.stage",
        "store.publish",
        "store.rebase",
        "ledger.commit",
        "outbox.",
    ];
    for point in crate::kill_drills::points(&beginnings) {
        let mut host = waiting();
        let before = believed_from(&host, "src");
        host.terminate();
        host.arm(&point);
        host.start();
        let line = release_line(&quarantined(&host), &["--only", "added"]);
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        host.cordon(&line);
        host.ended();
        host.disarm();
        host.start();
        let now = last_good(&host, "src");
        let rest = quarantined(&host);
        assert_eq!(rest["sync"], 2, "after {point}");
        if now == 1 {
            assert_eq!(rest["rest"], Value::Null, "after {point}");
            assert_eq!(believed_from(&host, "src"), before, "after {point}");
            release(&host, &["--only", "added"]).done();
        }
        delivered(&host);
        assert_eq!(believed_from(&host, "src"), expected, "after {point}");
        assert_eq!(quarantined(&host)["changes"]["removed"], 90, "after {point}");
        release(&host, &[]).done();
        delivered(&host);
        assert_eq!(users(&host), (75, 5), "after {point}");
        let doctor = host.cordon(&["doctor"]);
        for item in doctor.items() {
            if item["name"] == "evidence" || item["name"] == "snapshots" {
                assert_eq!(item["state"], "ok", "after {point}: {item}");
            }
        }
    }
}
