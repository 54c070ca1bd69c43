//! Nothing reaches a consumer unless policy or a named person accepted exactly that content.

use cordon_testkit::{Host, Scenario};

use crate::world::{believed_from, delivered, held_by, last_good, newest_run, run_of};

/// A host whose connector `src` synced its honest source once.
fn synced() -> Host {
    let host = Host::setup().faulty("src", &Scenario::default()).file_sink("out").start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    delivered(&host);
    host
}

/// Syncs a broken source after an honest one; gives outcome and codes, and makes sure that nothing
/// moved.
#[track_caller]
fn check(at: &str, act: &str) -> String {
    let host = synced();
    let before = host.changes("out");
    host.play("src", &Scenario::with(at, act).on_day(1));
    if at == "describe" {
        // What a connector is, it says once: at its start.
        host.cordon(&["restart", "src", "--reason", "drill"]).done();
    }
    host.sync("src");
    let run = newest_run(&host, "src");
    assert_eq!(last_good(&host, "src"), 1, "the last known good stays");
    assert_eq!(host.changes("out"), before, "the sink got nothing");
    format!("{} {}", run["outcome"].as_str().unwrap(), held_by(&run).join(","))
}

#[test]
fn an_accepted_days_changes_reach_the_sink() {
    let host = synced();
    assert_eq!(believed_from(&host, "src").len(), 100 + 5 + 5 + 200);
    host.play("src", &Scenario::default().on_day(1));
    let run = run_of(&host.sync("src").done());
    assert_eq!(run["outcome"], "committed");
    delivered(&host);
    let changes = host.changes("out").len() as u64;
    let counts = &run["changes"];
    let counted = ["added", "removed", "modified"].iter().map(|op| counts[op].as_u64().unwrap());
    assert_eq!(changes, 310 + counted.sum::<u64>());
    assert_eq!(counts["added"].as_u64().unwrap(), counts["removed"].as_u64().unwrap());
}

#[test]
fn a_source_cut_at_sixty_percent_is_quarantined_and_the_missing_are_listed() {
    let host = synced();
    host.play("src", &Scenario::with("sync-end", "truncate:60"));
    let run = run_of(&host.sync("src").done());
    assert_eq!(run["outcome"], "quarantined");
    assert!(held_by(&run).contains(&"CRD-D101".to_owned()), "{run}");
    let diff =
        host.cordon(&["diff", "src", "--only", "removed", "--kind", "user", "--full"]).done();
    assert_eq!(diff.items().len(), 40);
    assert_eq!(host.status("src")["trust"], "quarantined");
}

#[test]
fn an_empty_source_is_quarantined() {
    assert!(check("sync-end", "empty").starts_with("quarantined "));
}

#[test]
fn ids_that_all_changed_are_quarantined() {
    assert!(check("sync-end", "rekey").starts_with("quarantined "));
}

#[test]
fn a_total_that_the_source_does_not_confirm_is_quarantined() {
    assert!(check("sync-end", "lie-total").starts_with("quarantined CRD-C"));
}

#[test]
fn wrong_counts_reject_a_sync() {
    assert_eq!(check("scope-end:users", "wrong-count"), "rejected CRD-P102");
    assert_eq!(check("sync-end", "wrong-sync-count"), "rejected CRD-P102");
}

#[test]
fn a_scope_that_was_never_closed_rejects_a_sync() {
    assert_eq!(check("scope-end:users", "unclosed-scope"), "rejected CRD-P101");
}

#[test]
fn messages_out_of_order_reject_a_sync() {
    assert_eq!(check("scope-end:users", "closed-twice"), "rejected CRD-P101");
    assert_eq!(check("page:1", "batch-after-end"), "rejected CRD-P101");
    assert_eq!(check("page:1", "unknown-scope"), "rejected CRD-P101");
    assert_eq!(check("sync-end", "scope-twice"), "rejected CRD-P101");
    assert_eq!(check("sync-end", "no-sync-end"), "rejected CRD-P101");
}

#[test]
fn a_key_that_appears_twice_rejects_a_sync() {
    assert!(check("page:1", "duplicate-keys").starts_with("rejected CRD-R"));
}

#[test]
fn grants_of_nothing_are_quarantined() {
    assert!(check("sync-end", "dangling-grants").starts_with("quarantined CRD-F"));
}

#[test]
fn a_lost_attribute_is_quarantined() {
    let end = check("describe", "schema-drop:email");
    assert!(end.starts_with("quarantined ") && end.contains("CRD-S302"), "{end}");
}

#[test]
fn an_attribute_that_changed_its_type_is_quarantined() {
    let end = check("describe", "schema-type:email");
    assert!(end.starts_with("quarantined ") && end.contains("CRD-S301"), "{end}");
}

#[test]
fn a_column_that_was_not_announced_rejects_a_sync() {
    assert_eq!(check("page:1", "undeclared-column"), "rejected CRD-P105");
}

#[test]
fn a_batch_beyond_its_bounds_rejects_a_sync() {
    assert_eq!(check("page:1", "giant-batch"), "rejected CRD-P103");
    assert_eq!(check("page:1", "many-records"), "rejected CRD-P103");
}

#[test]
fn bytes_that_are_no_text_reject_a_sync() {
    assert_eq!(check("page:1", "bad-utf8"), "rejected CRD-P103");
    assert_eq!(check("page:1", "bad-lengths"), "rejected CRD-P103");
    assert!(check("page:1", "control-characters").starts_with("rejected CRD-R"));
}

#[test]
fn missing_from_an_incomplete_scope_is_unknown_and_never_gone() {
    let host = synced();
    let before = believed_from(&host, "src");
    host.play("src", &Scenario::with("sync-end", "incomplete:users"));
    let run = run_of(&host.sync("src").done());
    assert_eq!(run["outcome"], "committed");
    assert_eq!(run["changes"]["removed"], 0, "{run}");
    delivered(&host);
    assert_eq!(believed_from(&host, "src"), before);
}

#[test]
fn a_recovered_source_clears_its_quarantine_by_itself() {
    let host = synced();
    host.play("src", &Scenario::with("sync-end", "truncate:60"));
    host.sync("src").done();
    host.play("src", &Scenario::default());
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    assert_eq!(host.cordon(&["quarantine"]).done().items().len(), 0);
    assert_eq!(host.status("src")["trust"], "trusted");
}

#[test]
fn what_is_released_is_what_was_reviewed() {
    let host = synced();
    host.play("src", &Scenario::with("sync-end", "truncate:60"));
    let run = run_of(&host.sync("src").done());
    let (sync, digest) = (run["sync"].to_string(), run["digest"].as_str().unwrap().to_owned());
    let release = |digest: &str, reason: &str| {
        host.cordon(&["release", "src", &sync, "--digest", digest, "--reason", reason, "--yes"])
    };
    release("b3:00000000", "typo").exits(6);
    assert_eq!(last_good(&host, "src"), 1);
    release(&digest, "the site was closed").done();
    assert_eq!(last_good(&host, "src"), run["sync"].as_u64().unwrap());
    assert_eq!(host.status("src")["trust"], "released");
    delivered(&host);
    let users = believed_from(&host, "src").into_keys().filter(|key| key.starts_with("user:"));
    assert_eq!(users.filter(|key| !key.contains("->")).count(), 60);
    release(&digest, "again").exits(4);
}

#[test]
fn a_rejected_quarantine_changes_nothing_and_is_gone() {
    let host = synced();
    let before = host.changes("out");
    host.play("src", &Scenario::with("sync-end", "truncate:60"));
    let run = run_of(&host.sync("src").done());
    let sync = run["sync"].to_string();
    host.cordon(&["reject", "src", &sync, "--reason", "cut export"]).done();
    assert_eq!(host.cordon(&["quarantine"]).done().items().len(), 0);
    assert_eq!(last_good(&host, "src"), 1);
    assert_eq!(host.changes("out"), before);
}

#[test]
fn a_high_risk_connector_waits_for_a_person_even_at_first() {
    let risky = cordon_testkit::Connector::faulty(&Scenario::default())
        .set("guard", serde_json::json!({ "risk": "high" }));
    let host = Host::setup().connector("src", risky).file_sink("out").start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined");
    assert_eq!(host.changes("out").len(), 0);
}

#[test]
fn a_protected_record_is_never_removed_unattended() {
    let guarded = cordon_testkit::Connector::faulty(&Scenario::default())
        .set("guard", serde_json::json!({ "protected": ["user:u7"] }));
    let host = Host::setup().connector("src", guarded).file_sink("out").start();
    host.sync("src").done();
    host.play("src", &Scenario { without: vec!["u8".to_owned()], ..Scenario::default() });
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    host.play("src", &Scenario { without: vec!["u7".to_owned()], ..Scenario::default() });
    let run = run_of(&host.sync("src").done());
    assert_eq!(run["outcome"], "quarantined");
    let named = run["findings"].to_string();
    assert!(named.contains("user:u7"), "{named}");
}

#[test]
fn a_clean_sync_after_a_quarantine_waits_where_recovery_needs_review() {
    let careful = cordon_testkit::Connector::faulty(&Scenario::default())
        .set("guard", serde_json::json!({ "recover": "review" }));
    let host = Host::setup().connector("src", careful).file_sink("out").start();
    host.sync("src").done();
    host.play("src", &Scenario::with("sync-end", "truncate:60"));
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined");
    host.play("src", &Scenario::default());
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined");
    assert_eq!(last_good(&host, "src"), 1);
}
