//! Operators' rules: what they hold back, and what is told of them.

use cordon_testkit::{Connector, Host, Scenario};
use serde_json::{Value, json};

use crate::world::{held_by, last_good, newest_run, run_of, without_detector};

/// A connector under a guard, synced once.
fn guarded(mut guard: Value) -> Host {
    without_detector(&mut guard);
    let connector = Connector::faulty(&Scenario::default()).set("guard", guard);
    let host = Host::setup().connector("src", connector).file_sink("out").start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    host
}

fn rules(rules: &Value) -> Value {
    json!({ "rule": rules })
}

/// Syncs again without these users; gives outcome and codes.
#[track_caller]
fn sync_without(host: &Host, users: &[&str]) -> String {
    let without = users.iter().map(|user| (*user).to_owned()).collect();
    host.play("src", &Scenario { without, ..Scenario::default() });
    let run = run_of(&host.sync("src").done());
    format!("{} {}", run["outcome"].as_str().unwrap(), held_by(&run).join(","))
}

#[test]
fn a_rule_holds_back_the_sync_that_breaks_it_and_says_why() {
    let rule = json!({
        "on": "removed.user",
        "where": { "id": "u7*" },
        "allow": { "count": 1 },
        "message": "people of the seventies may only leave one by one",
    });
    let host = guarded(rules(&json!({ "seventies": rule })));
    assert_eq!(sync_without(&host, &["u71", "u8", "u9"]), "committed ");
    assert_eq!(sync_without(&host, &["u71", "u72", "u73"]), "quarantined CRD-O101");
    let finding = newest_run(&host, "src")["findings"][0].clone();
    assert_eq!(finding["subject"], "seventies");
    assert_eq!((&finding["measured"], &finding["limit"]), (&json!(2), &json!(1)));
    assert!(finding["message"].as_str().unwrap().contains("one by one"), "{finding}");
    assert_eq!(finding["examples"], json!(["user:u72", "user:u73"]));
    assert_eq!(host.status("src")["trust"], "quarantined");
}

#[test]
fn a_rule_on_what_there_is_holds_back_even_a_first_sync() {
    let rule = json!({ "on": "current.user", "where": { "id": "u3" } });
    let connector =
        Connector::faulty(&Scenario::default()).set("guard", rules(&json!({ "no-u3": rule })));
    let host = Host::setup().connector("src", connector).file_sink("out").start();
    let run = run_of(&host.sync("src").done());
    assert_eq!((&run["outcome"], held_by(&run)), (&json!("quarantined"), vec!["CRD-O101".into()]));
    assert_eq!(host.changes("out").len(), 0);
}

#[test]
fn a_rule_may_demand_records_and_may_only_warn() {
    let demand =
        json!({ "on": "current.user", "where": { "id": ["u1", "u2"] }, "allow": { "least": 2 } });
    let warning = json!({ "on": "removed.*", "action": "warn" });
    let host = guarded(rules(&json!({ "two-admins": demand, "tell": warning })));
    assert_eq!(sync_without(&host, &["u5"]), "committed ");
    let told = newest_run(&host, "src")["findings"].to_string();
    assert!(told.contains("CRD-O101") && told.contains("warning"), "{told}");
    assert_eq!(sync_without(&host, &["u1"]), "quarantined CRD-O102");
}

#[test]
fn a_rule_on_changes_compares_what_a_record_was_with_what_it_is() {
    let rule = json!({
        "on": "changed.user",
        "where": { "name": { "changed": true } },
        "allow": { "count": 0 },
    });
    let host = guarded(rules(&json!({ "names-stay": rule })));
    // A day later some users have another name.
    host.play("src", &Scenario::default().on_day(1));
    let run = run_of(&host.sync("src").done());
    assert_eq!((&run["outcome"], held_by(&run)), (&json!("quarantined"), vec!["CRD-O101".into()]));
    assert_eq!(last_good(&host, "src"), 1);
}

#[test]
fn a_rule_that_cannot_be_met_is_refused_by_a_reload() {
    let host = guarded(json!({}));
    let before = std::fs::read_to_string(host.config()).unwrap();
    let wrong =
        "\n[connector.src.guard.rule.typo]\non = \"added.user\"\nwhere = { departmnt = \"x\" }\n";
    host.put("cordon.toml", format!("{before}{wrong}"));
    let refused = host.cordon(&["reload"]).exits(2).problem();
    let message = refused["message"].as_str().or(refused["detail"].as_str()).unwrap_or_default();
    let told = format!("{refused}");
    assert!(told.contains("guard.rule.typo") && told.contains("departmnt"), "{message} {told}");
    assert!(told.contains("was not changed"), "{told}");
    assert_eq!(host.cordon(&["rule", "list"]).done().items().len(), 0);
    // Whoever asks beforehand is told the same.
    let config = host.config().display().to_string();
    let checked = host.cordon(&["config", "check", &config]).exits(2);
    assert!(checked.stderr.contains("departmnt"), "{}", checked.stderr);

    let right = wrong.replace("departmnt", "email");
    host.put("cordon.toml", format!("{before}{right}"));
    host.cordon(&["reload"]).done();
    let listed = host.cordon(&["rule", "list", "src"]).done().items();
    assert_eq!((&listed[0]["name"], &listed[0]["state"]), (&json!("typo"), &json!("applies")));
}

#[test]
fn a_rule_whose_attribute_a_connector_gave_up_holds_its_syncs() {
    let rule = json!({ "on": "current.user", "where": { "email": { "present": false } } });
    let host = guarded(rules(&json!({ "mail": rule })));
    host.play("src", &Scenario::with("describe", "schema-drop:email"));
    host.cordon(&["restart", "src", "--wait", "--reason", "drill"]).done();
    let run = run_of(&host.sync("src").done());
    assert_eq!(run["outcome"], "quarantined");
    assert!(held_by(&run).contains(&"CRD-O103".to_owned()), "{run}");
    let listed = host.cordon(&["rule", "list"]).done().items();
    assert_eq!(listed[0]["state"], "unmet");
}

#[test]
fn a_rule_of_the_host_holds_wherever_it_fits() {
    let rule = json!({ "on": "removed.user", "where": { "id": "u7" } });
    let csv =
        Connector::program("connector-csv").config(json!({ "path": "nothing.csv", "key": "id" }));
    let host = Host::setup()
        .faulty("src", &Scenario::default())
        .connector("other", csv)
        .set("guard", "rule", json!({ "u7-stays": rule }))
        .start();
    host.sync("src").done();
    assert_eq!(sync_without(&host, &["u7"]), "quarantined CRD-O101");
    assert_eq!(host.cordon(&["rule", "list"]).done().items().len(), 2);
}

#[test]
fn a_rule_is_tried_on_the_syncs_that_are_kept() {
    let host = guarded(json!({}));
    assert_eq!(sync_without(&host, &["u71", "u72"]), "committed ");
    assert_eq!(sync_without(&host, &["u71", "u72", "u9"]), "committed ");
    let before = std::fs::read_to_string(host.config()).unwrap();
    let rule =
        "\n[connector.src.guard.rule.seventies]\non = \"removed.user\"\nwhere = { id = \"u7*\" }\n";
    host.put("cordon.toml", format!("{before}{rule}"));
    host.cordon(&["reload"]).done();
    let results = |arguments: &[&str]| {
        let items = host.cordon(&[&["rule", "test", "src"], arguments].concat()).done().items();
        let told = items
            .iter()
            .map(|it| format!("{} {} {}", it["sync"], it["result"].as_str().unwrap(), it["found"]));
        told.collect::<Vec<_>>()
    };
    assert_eq!(results(&[]), ["1 ok 0", "2 quarantine 2", "3 ok 0"]);
    assert_eq!(results(&["--sync", "2", "--rule", "seventies"]), ["2 quarantine 2"]);
    host.cordon(&["rule", "test", "src", "--exit-code"]).exits(3);
    host.cordon(&["rule", "test", "src", "--sync", "9"]).exits(4);
    host.cordon(&["rule", "test", "src", "--rule", "none"]).exits(4);
    // A test changes nothing.
    assert_eq!(last_good(&host, "src"), 3);
    assert_eq!(host.status("src")["trust"], "trusted");
}
