//! A suspicious source is read once more before a person is woken.

use std::time::Duration;

use cordon_testkit::{Connector, Host, Scenario, wait_for, wait_until};
use serde_json::{Value, json};

use crate::export::{Export, csv, scattered, workers};
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
    ended_of(host, "src", sync)
}

/// The same of another connector.
#[track_caller]
fn ended_of(host: &Host, connector: &str, sync: u64) -> Value {
    wait_for("the sync ends", SOON, || {
        let run = newest_run(host, connector);
        let is_over = run["sync"] == sync && run["outcome"] != "running";
        (is_over && host.status(connector)["reread_at"].is_null()).then_some(run)
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

/// An export that was read and accepted once, under a guard by which nothing that the detector finds
/// holds a sync, but the source is read again for it.
#[track_caller]
fn grey(more: &Value) -> Export {
    let mut guard = json!({
        "shape": { "hold": 12, "read_again": 1.2 }, "lookup": { "keys": 0 },
        // The test brings the second reading.
        "reread": { "after": "1h" },
    });
    for (key, value) in more.as_object().unwrap() {
        guard[key] = value.clone();
    }
    let export = Export::of_workers(guard);
    let run = export.sync(&csv(&workers(300)));
    if run["outcome"] == "quarantined" {
        export.release(&run);
    }
    assert_eq!(last_good(&export.host, "hr"), 1);
    export
}

/// What ten, or so many, leavers from all over the listing make of it: no fixed limit is broken.
fn unusual(gone: usize) -> String {
    csv(&scattered(&workers(300), gone))
}

/// A sync that only the wish to read again holds: no person is asked for anything.
#[track_caller]
fn asks_nobody(export: &Export, run: &Value) {
    let host = &export.host;
    assert_eq!(run["outcome"], "quarantined", "{run}");
    assert_eq!(held_by(run), ["CRD-V301"], "{run}");
    let status = host.status("hr");
    assert!(status["reread_at"].is_string(), "{status}");
    assert_ne!(status["trust"], "quarantined", "what is served is as good as before");
    assert_eq!(host.cordon(&["status", "hr", "--exit-code"]).code, 0, "nobody has to look");
    assert!(!is_told(host, run), "somebody was woken");
}

/// Whether the log tells a person that this sync waits.
fn is_told(host: &Host, run: &Value) -> bool {
    let sync = format!(" sync={} ", run["sync"]);
    host.log().lines().any(|line| line.contains("sync quarantined") && line.contains(&sync))
}

/// How often the source was read again, and how often the fault had passed by then.
#[track_caller]
fn rereads(export: &Export) -> (u64, u64) {
    let detail = export.host.cordon(&["describe", "hr"]).done().items().remove(0);
    let count = |name: &str| detail[name].as_u64().unwrap();
    (count("rereads"), count("rereads_transient"))
}

#[test]
fn what_is_only_unusual_is_committed_by_a_second_reading_that_brings_the_same() {
    let export = grey(&json!({ "reread": { "after": "3s" } }));
    let run = export.sync(&unusual(10));
    asks_nobody(&export, &run);
    let warned = run["findings"].as_array().unwrap().iter().find(|it| it["code"] == "CRD-D501");
    assert_eq!(warned.unwrap()["severity"], "warning", "{run}");
    assert_eq!(last_good(&export.host, "hr"), 1, "and it is not accepted yet");
    let table = export.host.cordon_as("table", &["status"]).done().stdout;
    assert!(table.contains("read again in") && !table.contains("decision waits"), "{table}");

    let second = ended_of(&export.host, "hr", 3);
    assert_eq!((&second["outcome"], &second["trigger"]), (&json!("committed"), &json!("reread")));
    assert!(codes(&second).contains(&"CRD-V303".to_owned()), "{second}");
    assert_eq!(held_by(&second), [""; 0], "{second}");
    let status = export.host.status("hr");
    assert_eq!((last_good(&export.host, "hr"), &status["trust"]), (3, &json!("trusted")));
    assert_eq!(export.host.cordon(&["quarantine"]).done().items().len(), 0);
    assert_eq!(rereads(&export), (1, 0), "it was no fault that passed");
    assert!(!export.host.log().contains("sync quarantined"), "somebody was woken");
    delivered(&export.host);
    let users = believed_from(&export.host, "hr").into_keys();
    let users = users.filter(|key| key.starts_with("user:") && !key.contains("->"));
    assert_eq!(users.count(), 290);
}

#[test]
fn what_is_only_unusual_and_comes_back_was_a_fault_that_passed() {
    let export = grey(&json!({}));
    delivered(&export.host);
    let before = export.host.changes("out");
    asks_nobody(&export, &export.sync(&unusual(10)));
    let second = export.sync(&csv(&workers(300)));
    assert_eq!(second["outcome"], "committed", "{second}");
    assert!(codes(&second).contains(&"CRD-V302".to_owned()), "{second}");
    assert_eq!(rereads(&export), (1, 1));
    assert_eq!(export.host.status("hr")["trust"], "trusted");
    delivered(&export.host);
    assert_eq!(export.host.changes("out"), before, "nobody lost anything");
}

#[test]
fn where_much_is_at_stake_the_second_reading_still_ends_what_is_only_unusual() {
    for (again, said) in [(unusual(10), "CRD-V303"), (csv(&workers(300)), "CRD-V302")] {
        for careful in [json!({ "risk": "high" }), json!({ "recover": "review" })] {
            let export = grey(&careful);
            asks_nobody(&export, &export.sync(&unusual(10)));
            let second = export.sync(&again);
            assert_eq!(second["outcome"], "committed", "{careful} {second}");
            let codes = codes(&second);
            assert!(codes.contains(&said.to_owned()), "{careful} {codes:?}");
            assert!(!codes.contains(&"CRD-C303".to_owned()), "{careful} {codes:?}");
        }
    }
}

/// As it is above for what nothing but the wish to read again held, and is not for what was held.
#[test]
fn where_much_is_at_stake_a_person_ends_what_was_held_though_the_fault_passed() {
    let export = grey(&json!({ "risk": "high" }));
    let run = export.sync(&csv(&workers(200)));
    assert!(held_by(&run).contains(&"CRD-D101".to_owned()), "{run}");
    let second = export.sync(&csv(&workers(300)));
    assert_eq!(held_by(&second), ["CRD-C303"], "{second}");
    assert!(codes(&second).contains(&"CRD-V302".to_owned()), "{second}");
    // Nothing was accepted after it, so it does not count as a fault that passed.
    assert_eq!((last_good(&export.host, "hr"), rereads(&export)), (1, (1, 0)));
}

#[test]
fn a_source_that_is_unusual_in_another_way_each_time_waits_for_a_person() {
    for times in [1, 2] {
        let export = grey(&json!({ "reread": { "after": "1h", "times": times } }));
        asks_nobody(&export, &export.sync(&unusual(10)));
        if times == 2 {
            let second = export.sync(&unusual(12));
            asks_nobody(&export, &second);
            assert!(codes(&second).contains(&"CRD-V302".to_owned()), "{second}");
        }
        let last = export.sync(&unusual(11));
        assert_eq!(held_by(&last), ["CRD-V304"], "{last}");
        let told = last["findings"].as_array().unwrap().iter().find(|it| it["code"] == "CRD-V304");
        let message = told.unwrap()["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{} readings", times + 1)), "{message}");
        let status = export.host.status("hr");
        assert_eq!(status["reread_at"], Value::Null, "it is not read again");
        assert_eq!(status["quarantined_sync"], last["sync"]);
        assert_eq!(export.host.cordon(&["status", "hr", "--exit-code"]).code, 3);
        assert!(is_told(&export.host, &last), "now a person is needed");
        assert_eq!(last_good(&export.host, "hr"), 1);
    }
}
