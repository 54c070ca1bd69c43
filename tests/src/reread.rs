//! A suspicious source is read once more before a person is woken.

use std::time::Duration;

use cordon_testkit::{Connector, Host, Scenario, wait_for, wait_until};
use serde_json::{Value, json};

use crate::world::{believed_from, delivered, held_by, last_good, newest_run, run_of};

const SOON: Duration = Duration::from_secs(20);

/// A host whose source was read once, while it was honest; suspicious readings are repeated as told.
fn synced(reread: &Value) -> Host {
    let connector =
        Connector::faulty(&Scenario::default()).set("guard", json!({ "reread": reread }));
    let host = Host::setup().connector("src", connector).file_sink("out").start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    delivered(&host);
    host
}

/// The same source, which gives so many percent of its users.
fn cut(percent: u32) -> Scenario {
    Scenario::with("sync-end", &format!("truncate:{percent}"))
}

/// Waits for the end of that sync, with which reading again ends.
#[track_caller]
fn ended(host: &Host, sync: u64) -> Value {
    wait_for("the sync ends", SOON, || {
        let run = newest_run(host, "src");
        let is_over = run["sync"] == sync && run["outcome"] != "running";
        (is_over && host.status("src")["reread_at"].is_null()).then_some(run)
    })
}

/// Makes sure that no further sync comes by itself.
#[track_caller]
fn rests_at(host: &Host, sync: u64) {
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(newest_run(host, "src")["sync"], sync);
}

fn codes(run: &Value) -> Vec<String> {
    let findings = run["findings"].as_array().cloned().unwrap_or_default();
    findings.iter().filter_map(|it| it["code"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_fault_that_passes_is_cleared_by_a_second_reading_and_wakes_nobody() {
    let host = synced(&json!({ "after": "2s" }));
    host.play("src", &cut(60));
    let first = run_of(&host.sync("src").done());
    assert_eq!(first["outcome"], "quarantined");
    let status = host.status("src");
    assert!(status["reread_at"].is_string(), "{status}");
    assert_eq!(status["trust_reasons"][0], "ReadsAgain");
    assert_eq!(host.cordon(&["status", "src", "--exit-code"]).code, 0, "nobody has to look yet");
    let table = host.cordon_as("table", &["status"]).done().stdout;
    assert!(table.contains("read again in") && !table.contains("decision waits"), "{table}");

    host.play("src", &Scenario::default());
    let second = ended(&host, 3);
    assert_eq!((&second["outcome"], &second["trigger"]), (&json!("committed"), &json!("reread")));
    assert!(codes(&second).contains(&"CRD-V302".to_owned()), "{second}");
    assert_eq!((last_good(&host, "src"), &host.status("src")["trust"]), (3, &json!("trusted")));
    assert_eq!(believed_from(&host, "src").len(), 310, "nobody lost anything");
    let events = host.cordon(&["events", "src", "-n", "50"]).done().items();
    let told = events.iter().find(|event| event["kind"] == "sync.read-again").unwrap();
    assert!(told["body"].as_str().unwrap().contains(r#""transient":true"#), "{told}");
    let detail = host.cordon(&["describe", "src"]).done().items().remove(0);
    assert_eq!((&detail["rereads"], &detail["rereads_transient"]), (&json!(1), &json!(1)));
    assert!(!host.log().contains("sync quarantined"), "somebody was woken");
}

#[test]
fn what_a_second_reading_brings_again_stands_and_is_not_read_a_third_time() {
    let host = synced(&json!({ "after": "1s" }));
    host.play("src", &cut(60));
    host.sync("src").done();
    let second = ended(&host, 3);
    assert_eq!(second["outcome"], "quarantined");
    assert!(codes(&second).contains(&"CRD-V303".to_owned()), "{second}");
    assert!(host.log().contains("sync quarantined"), "now a person is needed");
    let status = host.status("src");
    assert_eq!((&status["reread_at"], &status["quarantined_sync"]), (&Value::Null, &json!(2)));
    assert_eq!(host.cordon(&["status", "src", "--exit-code"]).code, 3);
    rests_at(&host, 3);
    assert_eq!(last_good(&host, "src"), 1);
}

#[test]
fn a_second_reading_that_is_wrong_in_another_way_stands_too() {
    let host = synced(&json!({ "after": "1s" }));
    host.play("src", &cut(60));
    host.sync("src").done();
    host.play("src", &cut(50));
    let second = ended(&host, 3);
    assert_eq!(second["outcome"], "quarantined");
    assert!(held_by(&second).contains(&"CRD-D101".to_owned()));
    assert_eq!(host.status("src")["quarantined_sync"], 3);
    rests_at(&host, 3);
}

#[test]
fn a_second_reading_comes_also_after_a_kill() {
    let mut host = synced(&json!({ "after": "3s" }));
    host.play("src", &cut(60));
    host.sync("src").done();
    host.play("src", &Scenario::default());
    host.kill();
    host.start();
    assert_eq!(ended(&host, 3)["trigger"], "reread");
    assert_eq!(last_good(&host, "src"), 3);
}

#[test]
fn a_pause_holds_the_second_reading() {
    let host = synced(&json!({ "after": "1s" }));
    host.play("src", &cut(60));
    host.sync("src").done();
    host.cordon(&["pause", "src", "--reason", "drill"]).done();
    let newest = newest_run(&host, "src")["sync"].as_u64().unwrap();
    rests_at(&host, newest);
    host.play("src", &Scenario::default());
    host.cordon(&["resume", "src"]).done();
    wait_until("the source is read again", SOON, || last_good(&host, "src") > 1);
}

#[test]
fn where_the_policy_reads_nothing_again_a_person_is_woken_at_once() {
    let host = synced(&json!({ "times": 0, "after": "1s" }));
    host.play("src", &cut(60));
    host.sync("src").done();
    assert_eq!(host.status("src")["reread_at"], Value::Null);
    assert!(host.log().contains("sync quarantined"));
    rests_at(&host, 2);
}

#[test]
fn a_decision_of_a_person_ends_the_wait_for_a_second_reading() {
    let host = synced(&json!({ "after": "2s" }));
    host.play("src", &cut(60));
    host.sync("src").done();
    host.cordon(&["reject", "src", "2", "--reason", "drill"]).done();
    rests_at(&host, 2);
}

#[test]
fn a_second_reading_that_fails_is_tried_as_every_sync_and_storms_nothing() {
    let host = synced(&json!({ "after": "1s" }));
    host.play("src", &cut(60));
    host.sync("src").done();
    host.play("src", &Scenario::with("page:1", "error:unavailable"));
    wait_until("it fails", SOON, || newest_run(&host, "src")["outcome"] == "failed");
    std::thread::sleep(Duration::from_secs(3));
    let failed = newest_run(&host, "src")["sync"].as_u64().unwrap();
    assert!(failed <= 9, "{failed} syncs in three seconds");
    host.play("src", &Scenario::default());
    wait_until("it recovers", Duration::from_secs(60), || last_good(&host, "src") > 1);
}
