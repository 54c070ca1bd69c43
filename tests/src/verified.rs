//! Before a loss of records wakes anyone, the source itself is asked for them.

use std::time::{Duration, Instant};

use cordon_testkit::{Connector, Host, Scenario, Setup, wait_for, wait_until};
use serde_json::{Value, json};

use crate::world::{believed_from, delivered, held_by, last_good, newest_run, run_of};

/// A source that can be asked for single records.
fn source() -> Scenario {
    Scenario { looks_up: true, ..Scenario::default() }
}

/// The same source, which 40 of 100 users have left.
fn left() -> Scenario {
    Scenario { without: (0..40).map(|user| format!("u{user}")).collect(), ..source() }
}

fn setup(guard: Value) -> Setup {
    let lookup = json!({ "deadline": "2s", "per_second": 10_000 });
    let mut guard = guard;
    guard["lookup"] = lookup;
    let connector = Connector::faulty(&source()).set("guard", guard);
    Host::setup().connector("src", connector).file_sink("out")
}

/// A host under that guard whose source was read once, while it was honest.
fn synced(guard: Value) -> Host {
    let host = setup(guard).start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    delivered(&host);
    host
}

/// The findings of a run that bear a code.
fn findings(run: &Value, code: &str) -> Vec<Value> {
    let all = run["findings"].as_array().cloned().unwrap_or_default();
    all.into_iter().filter(|finding| finding["code"] == code).collect()
}

/// What the evidence says of the newest lookup.
#[track_caller]
fn witnessed(host: &Host) -> Value {
    let events = host.cordon(&["events", "src", "-n", "50"]).done().items();
    let found = events.iter().rev().find(|event| event["kind"] == "sync.looked-up");
    let record: Value =
        serde_json::from_str(found.expect("no lookup was witnessed")["body"].as_str().unwrap())
            .unwrap();
    // The whole record, or the part of it that the caller wrote.
    record.get("body").cloned().unwrap_or(record)
}

fn of_type(witnessed: &Value, of: &str) -> Value {
    let types = witnessed["types"].as_array().cloned().unwrap_or_default();
    types.into_iter().find(|it| it["type"] == of).unwrap_or_else(|| panic!("{of}: {witnessed}"))
}

#[test]
fn records_that_the_source_still_has_prove_a_truncated_read() {
    let host = synced(json!({ "removals_verified": "accept" }));
    let mut cut = source().and("sync-end", "truncate:60");
    cut.looks_up = true;
    host.play("src", &cut);
    let run = run_of(&host.sync("src").done());
    assert_eq!(run["outcome"], "quarantined");
    assert!(held_by(&run).contains(&"CRD-V101".to_owned()), "{run}");
    let proof = findings(&run, "CRD-V101");
    let users = proof.iter().find(|finding| finding["subject"] == "user").unwrap();
    assert_eq!(users["measured"], 40, "all forty were asked for, all are there");
    assert!(users["message"].as_str().unwrap().contains("not read to its end"), "{users}");
    assert!(users["examples"][0].as_str().unwrap().starts_with("user:u"), "{users}");
    let record = witnessed(&host);
    assert_eq!(record["conclusion"], "still-there");
    let users = of_type(&record, "resource.user");
    let counts = ["missing", "asked", "present", "absent", "unknown"].map(|it| users[it].clone());
    assert_eq!(counts, [40, 40, 40, 0, 0].map(Value::from));
    assert_eq!(record["seed"], run["digest"], "anybody can make the choice again");
    // The same loss is asked about again, and passes no more the second time.
    host.sync("src").done();
    assert_eq!(newest_run(&host, "src")["outcome"], "quarantined");
    assert_eq!(last_good(&host, "src"), 1);
}

#[test]
fn a_confirmed_loss_waits_for_a_person_who_is_told_so() {
    let host = synced(json!({}));
    host.play("src", &left());
    let run = run_of(&host.sync("src").done());
    assert_eq!(run["outcome"], "quarantined");
    let confirmed = findings(&run, "CRD-V201");
    let users = confirmed.iter().find(|finding| finding["subject"] == "user").unwrap();
    assert_eq!(
        users["message"],
        "all 40 users that are missing were looked up: the source has none of them"
    );
    assert_eq!(users["severity"], "info");
    let diff = host.cordon_as("table", &["diff", "src"]).done();
    assert!(diff.stdout.contains("CRD-V201"), "{}", diff.stdout);
    assert_eq!(witnessed(&host)["conclusion"], "gone");
}

#[test]
fn a_confirmed_loss_passes_where_the_policy_accepts_it_and_the_risk_is_not_high() {
    let host = synced(json!({ "removals_verified": "accept" }));
    host.play("src", &left());
    let run = run_of(&host.sync("src").done());
    assert_eq!(run["outcome"], "committed", "{run}");
    let answered = findings(&run, "CRD-D101");
    assert!(!answered.is_empty() && answered.iter().all(|it| it["severity"] == "warning"));
    delivered(&host);
    assert!(!believed_from(&host, "src").contains_key("user:u0"));

    let host = setup(json!({ "removals_verified": "accept", "risk": "high" })).start();
    let first = run_of(&host.sync("src").done());
    let digest = first["digest"].as_str().unwrap().to_owned();
    let release = ["release", "src", "1", "--digest", &digest, "--reason", "first", "--yes"];
    host.cordon(&release).done();
    host.play("src", &left());
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "quarantined");
}

#[test]
fn a_confirmed_loss_of_a_protected_record_still_waits() {
    let host = synced(json!({ "removals_verified": "accept", "protected": ["user:u7"] }));
    host.play("src", &left());
    let run = run_of(&host.sync("src").done());
    assert_eq!(run["outcome"], "quarantined");
    assert_eq!(held_by(&run), ["CRD-D104"]);
}

/// Syncs after a loss of which the source says something useless; gives why it confirms nothing.
#[track_caller]
fn unconfirmed(act: &str) -> String {
    let host = synced(json!({ "removals_verified": "accept" }));
    host.play("src", &left().and("lookup", act));
    host.sync("src").done();
    let run = newest_run(&host, "src");
    assert_eq!(run["outcome"], "quarantined", "{act}");
    assert_eq!(last_good(&host, "src"), 1, "{act}");
    let said = findings(&run, "CRD-V202");
    assert!(findings(&run, "CRD-V201").is_empty() && !said.is_empty(), "{act}: {run}");
    assert_eq!(witnessed(&host)["conclusion"], "unclear", "{act}");
    // The next honest sync is as ever: nothing is stuck.
    host.play("src", &source());
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed", "{act}");
    said.iter().filter_map(|it| it["message"].as_str()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_source_that_does_not_answer_confirms_nothing() {
    assert!(unconfirmed("hang").contains("no answer within 2s"));
    assert!(unconfirmed("say:unknown").contains("have no answer"));
    assert!(unconfirmed("error:unavailable").contains("the source is not available"));
    assert!(unconfirmed("error:rate-limited").contains("no answer within 2s"));
    assert!(unconfirmed("exit:3").contains("the connector died"));
}

#[test]
fn a_connector_that_lies_confirms_nothing() {
    let denies = unconfirmed("say:absent");
    assert!(denies.contains("does not know 5 of 5 that it has just reported"), "{denies}");
    let affirms = unconfirmed("say:present");
    assert!(affirms.contains("claims to hold a record that was made up"), "{affirms}");
    let short = unconfirmed("short-answer");
    assert!(short.contains("broke the contract"), "{short}");
}

#[test]
fn a_connector_that_cannot_look_up_says_so() {
    let host = Host::setup().faulty("src", &Scenario::default()).start();
    host.sync("src").done();
    host.play("src", &Scenario { looks_up: false, ..left() });
    let run = run_of(&host.sync("src").done());
    assert_eq!(run["outcome"], "quarantined");
    let said = findings(&run, "CRD-V202");
    assert_eq!(said.len(), 1);
    assert!(said[0]["message"].as_str().unwrap().contains("cannot look up single records"));
}

#[test]
fn where_the_source_is_always_asked_a_single_lost_record_is_noticed() {
    // Without the detector: what is shown is what the source's word alone does.
    let always = json!({ "lookup": { "when": "always", "per_second": 10_000 }, "shape": "off" });
    let connector = Connector::faulty(&source()).set("guard", always);
    let host = Host::setup().connector("src", connector).start();
    host.sync("src").done();
    // One user and two grants of 100 and 200: far below every limit.
    host.play("src", &source().and("sync-end", "truncate:99"));
    let run = run_of(&host.sync("src").done());
    assert_eq!(run["outcome"], "quarantined");
    assert_eq!(findings(&run, "CRD-V101").len(), 2, "{run}");
    // A user who really left, from where no listing ends: nothing is said against it.
    host.play("src", &Scenario { without: vec!["u50".into()], ..source() });
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
}

#[test]
fn of_many_missing_records_a_random_sample_is_asked_for() {
    let many = Scenario { users: 3_000, page: 1_000, ..source() };
    let guard = json!({ "lookup": { "keys": 1_000, "per_second": 10_000 } });
    let connector = Connector::faulty(&many).set("guard", guard);
    let host = Host::setup().connector("src", connector).start();
    host.sync("src").done();
    let without = (0..1_500).map(|user| format!("u{user}")).collect();
    host.play("src", &Scenario { without, ..many.clone() });
    let run = run_of(&host.sync("src").done());
    assert_eq!(run["outcome"], "quarantined");
    let record = witnessed(&host);
    assert_eq!(record["conclusion"], "gone");
    // Least n with C(N-k, n) / C(N, n) <= 5 %: N = 1,500 and k = 16; N = 3,000 and k = 31.
    let asked = |of: &str| of_type(&record, of)["asked"].as_u64().unwrap();
    assert_eq!((asked("resource.user"), asked("grant.user")), (255, 275));
    assert!(findings(&run, "CRD-V201").iter().any(|finding| {
        finding["message"].as_str().unwrap().contains("at least 99 % are gone (95 % confidence)")
    }));
}

#[test]
fn questions_go_out_no_faster_than_the_policy_says() {
    let guard = json!({ "lookup": { "per_second": 40 } });
    let host =
        Host::setup().connector("src", Connector::faulty(&source()).set("guard", guard)).start();
    host.sync("src").done();
    host.play("src", &left());
    host.sync("src").done();
    let record = witnessed(&host);
    assert_eq!(record["conclusion"], "gone");
    // 40 users, 80 grants and 12 controls are four lots of forty at most, a second apart.
    assert!(record["took_ms"].as_u64().unwrap() >= 3_000, "{record}");
}

#[test]
fn a_pause_ends_the_questions_at_once() {
    let connector =
        Connector::faulty(&source()).set("guard", json!({ "lookup": { "deadline": "5m" } }));
    let host = Host::setup().connector("src", connector).file_sink("out").start();
    host.sync("src").done();
    host.play("src", &left().and("lookup", "hang"));
    host.cordon(&["sync", "src"]).done();
    wait_until("the source is asked", Duration::from_secs(20), || {
        host.status("src")["progress"]["phase"] == "verifying"
    });
    let begun = Instant::now();
    host.cordon(&["pause", "src", "--reason", "drill"]).done();
    let run = wait_for("the sync ends", Duration::from_secs(20), || {
        let run = newest_run(&host, "src");
        (run["outcome"] != "running").then_some(run)
    });
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    assert_eq!(run["outcome"], "quarantined");
    let said = findings(&run, "CRD-V202");
    assert!(said.iter().any(|it| it["message"].as_str().unwrap().contains("called off")), "{run}");
}

#[test]
fn a_file_that_lost_rows_is_read_again_and_confirms_what_it_says() {
    let rows = |count: u32| {
        let rows: Vec<String> = (0..count).map(|id| format!("{id},Worker {id}")).collect();
        format!("id,name\n{}\n", rows.join("\n"))
    };
    let folder = tempfile::tempdir().unwrap();
    let export = folder.path().join("workers.csv");
    std::fs::write(&export, rows(50)).unwrap();
    let config = json!({ "path": export, "key": "id" });
    let guard = json!({ "removals_verified": "accept", "lookup": { "per_second": 1 } });
    let connector = Connector::program("connector-csv").config(config).set("guard", guard);
    let host = Host::setup().connector("hr", connector).start();
    assert_eq!(run_of(&host.sync("hr").done())["outcome"], "committed");
    std::fs::write(&export, rows(30)).unwrap();
    let run = run_of(&host.sync("hr").done());
    assert_eq!(run["outcome"], "committed", "{run}");
    assert!(!findings(&run, "CRD-V201").is_empty());
    // Whoever would follow `per_second` key by key would read the file once for each.
    let events = host.cordon(&["events", "hr", "-n", "50"]).done().items();
    let told = events.iter().find(|event| event["kind"] == "sync.looked-up").unwrap();
    assert!(told["body"].as_str().unwrap().contains("\"calls\":1,"), "{told}");
}
