//! What a consumer would believe, computed from what a sink received.

use std::collections::BTreeMap;

use cordon_testkit::{Answer, Host};
use serde_json::Value;

/// Switches the detector of unusual steps off in a guard that says nothing of it: for tests of fixed
/// limits, whose few records leave in whatever order is the shortest to write down.
pub(crate) fn without_detector(guard: &mut Value) {
    if guard.get("shape").is_none() {
        guard["shape"] = "off".into();
    }
}

/// Records by key, after all changes were applied in order. A change that came more than once must
/// have come with the same content, and the numbers of a connector must have no gap.
#[track_caller]
pub(crate) fn believed(changes: &[Value], connector: &str) -> BTreeMap<String, Value> {
    let mut seen: BTreeMap<u64, &Value> = BTreeMap::new();
    let mut records = BTreeMap::new();
    for change in changes.iter().filter(|change| change["connector"] == connector) {
        let seq = change["seq"].as_u64().expect("a change has a number");
        if let Some(first) = seen.get(&seq) {
            assert_eq!(*first, change, "change {seq} came twice with different content");
            continue;
        }
        let expected = seen.last_key_value().map_or(1, |(last, _)| last + 1);
        assert_eq!(seq, expected, "changes come in order and without a gap");
        seen.insert(seq, change);
        let key = change["key"].as_str().expect("a change has a key").to_owned();
        match change["op"].as_str() {
            Some("removed") => assert!(records.remove(&key).is_some(), "{key} was never there"),
            Some("added" | "modified") => {
                records.insert(key, change["after"].clone());
            }
            other => panic!("{other:?} is no operation"),
        }
    }
    records
}

/// What a consumer of the file sink `out` believes of a connector.
#[track_caller]
pub(crate) fn believed_from(host: &Host, connector: &str) -> BTreeMap<String, Value> {
    believed(&host.changes("out"), connector)
}

/// The run that a `sync --wait` ended with.
#[track_caller]
pub(crate) fn run_of(answer: &Answer) -> Value {
    answer.items().remove(0)
}

/// The newest run of a connector.
#[track_caller]
pub(crate) fn newest_run(host: &Host, connector: &str) -> Value {
    host.cordon(&["runs", connector, "-n", "1"]).done().items().remove(0)
}

/// The newest run that came to an end.
#[track_caller]
pub(crate) fn ended_run(host: &Host, connector: &str) -> Value {
    let runs = host.cordon(&["runs", connector, "-n", "3"]).done().items();
    runs.into_iter().find(|run| run["outcome"] != "running").expect("a run has ended")
}

/// The codes of a run's findings that hold it back.
pub(crate) fn held_by(run: &Value) -> Vec<String> {
    let findings = run["findings"].as_array().cloned().unwrap_or_default();
    findings
        .iter()
        .filter(|finding| finding["severity"] == "quarantine" || finding["severity"] == "reject")
        .filter_map(|finding| finding["code"].as_str().map(str::to_owned))
        .collect()
}

/// The snapshot that is the last known good.
#[track_caller]
pub(crate) fn last_good(host: &Host, connector: &str) -> u64 {
    host.status(connector)["last_good_sync"].as_u64().expect("a number")
}

/// Waits until the sink `out` has everything that was accepted.
#[track_caller]
pub(crate) fn delivered(host: &Host) {
    let deadline = std::time::Duration::from_secs(20);
    cordon_testkit::wait_until("everything is delivered", deadline, || {
        is_delivered(&host.cordon(&["status"]).done())
    });
}

/// Whether a status says that the sinks have everything that was accepted.
#[track_caller]
pub(crate) fn is_delivered(status: &Answer) -> bool {
    let status = status.json();
    let sinks = status["sinks"].as_array().cloned().unwrap_or_default();
    sinks.iter().all(|sink| sink["behind"] == 0)
}
