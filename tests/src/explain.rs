//! A finding is explained, and a change is said to lie somewhere.

use cordon_testkit::{Connector, Host, Scenario};
use serde_json::{Value, json};

use crate::world::run_of;

#[test]
fn every_finding_of_a_held_sync_is_explained_without_the_service() {
    let mut host = Host::setup().faulty("src", &Scenario::default()).start();
    host.sync("src").done();
    host.play("src", &Scenario::with("sync-end", "truncate:60"));
    let run = run_of(&host.sync("src").done());
    host.kill();
    for finding in run["findings"].as_array().unwrap() {
        let code = finding["code"].as_str().unwrap();
        let page = host.cordon(&["explain", code]).done().items().remove(0);
        assert_eq!(page["code"], code);
        for part in ["meaning", "effect", "action", "why", "causes", "steps", "example"] {
            assert!(page[part].as_str().is_some_and(|text| text.len() > 3), "{code} {part}");
        }
        let text = host.cordon_as("table", &["explain", code]).done().stdout;
        assert!(text.contains("What usually causes it"), "{text}");
    }
}

#[test]
fn a_code_that_no_finding_has_is_not_found_and_near_ones_are_named() {
    let host = Host::setup().faulty("src", &Scenario::default()).stopped();
    let answer = host.cordon_as("table", &["explain", "CRD-D110"]);
    assert_eq!(answer.code, 4);
    assert!(answer.stderr.contains("CRD-D101"), "{}", answer.stderr);
}

/// An export of people in three units, without those whom `is_left_out` names.
fn export(is_left_out: impl Fn(u32) -> bool) -> String {
    let row = |id: u32| {
        let unit = ["EMEA", "NA", "APAC"][(id % 3) as usize];
        format!("{id},Worker {id},worker{id}@example.com,{unit}\n")
    };
    let rows: String = (0..300).filter(|id| !is_left_out(*id)).map(row).collect();
    format!("id,name,mail,unit\n{rows}")
}

/// Syncs the whole export, then one without some people; gives the host with what waits.
fn lost(is_left_out: impl Fn(u32) -> bool) -> Host {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("workers.csv");
    std::fs::write(&path, export(|_| false)).unwrap();
    let columns = json!({ "name": "name", "email": "mail", "department": "unit" });
    let config = json!({ "path": path, "key": "id", "columns": columns });
    let connector = Connector::program("connector-csv").config(config);
    let host = Host::setup().connector("hr", connector).start();
    assert_eq!(run_of(&host.sync("hr").done())["outcome"], "committed");
    std::fs::write(&path, export(is_left_out)).unwrap();
    assert_eq!(run_of(&host.sync("hr").done())["outcome"], "quarantined");
    host
}

fn groups(host: &Host) -> Vec<Value> {
    let diff = host.cordon(&["diff", "hr"]).done().json();
    diff["header"]["groups"].as_array().cloned().unwrap_or_default()
}

#[test]
fn the_unit_that_was_lost_is_named_in_a_diff() {
    // All hundred of EMEA, and two of the others.
    let host = lost(|id| id % 3 == 0 || id == 1 || id == 2);
    let groups = groups(&host);
    let best = groups.iter().find(|it| it["record_type"] == "resource.user").unwrap();
    assert_eq!((&best["attribute"], &best["value"]), (&json!("department"), &json!("EMEA")));
    let counts = ["changed", "of_changed", "of_group"].map(|it| best[it].as_u64().unwrap());
    assert_eq!(counts, [100, 102, 100]);
    let text = host.cordon_as("table", &["diff", "hr"]).done().stdout;
    let line = text.lines().find(|line| line.contains("department = EMEA")).unwrap();
    assert!(line.contains("100.0 %") && line.contains("<- explains 98.0 % of removals"), "{line}");
    let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what}: {text}"));
    let order = ["Why it is quarantined", "Where the change is", "Changes", "to remove", "reject"];
    assert!(order.map(place).is_sorted(), "{text}");
}

#[test]
fn a_scattered_loss_is_not_said_to_lie_anywhere() {
    let host = lost(|id| id % 5 == 0);
    assert_eq!(groups(&host), Vec::<Value>::new());
}
