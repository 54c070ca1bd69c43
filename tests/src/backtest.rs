//! Backtest and dry run: what another policy, or the next sync, would come to.

use std::time::Duration;

use cordon_testkit::{Connector, Host, Scenario, wait_for};
use serde_json::{Value, json};

use crate::export::Export;
use crate::world::{
    believed_from, delivered, held_by, last_good, newest_run, run_of, without_detector,
};

fn users(users: u32) -> Scenario {
    Scenario { users, groups: 0, grants_per_user: 0, ..Scenario::default() }
}

/// A host whose source lost 3, then 5, then 20 of 100 users, under this guard.
fn with_history(mut guard: Value) -> Host {
    without_detector(&mut guard);
    let connector = Connector::faulty(&users(100)).set("guard", guard);
    let host = Host::setup().connector("src", connector).file_sink("out").start();
    for lost in [0, 3, 8, 28] {
        let without = (0..lost).map(|user| format!("u{user}")).collect();
        host.play("src", &Scenario { without, ..users(100) });
        host.sync("src").done();
    }
    host
}

/// By sync: what it would come to, how that differs, and why.
fn table(answer: &Value) -> Vec<String> {
    let items = answer["items"].as_array().cloned().unwrap_or_default();
    let told = items.iter().map(|it| {
        let codes: Vec<&str> =
            it["codes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let text = |field: &str| it[field].as_str().unwrap_or_default().to_owned();
        format!("{} {} {} {}", it["sync"], text("verdict"), text("difference"), codes.join(","))
            .trim()
            .to_owned()
    });
    told.collect()
}

#[test]
fn a_backtest_tells_which_past_syncs_another_policy_would_have_held() {
    let host = with_history(
        json!({ "removed": { "user": { "percent": 50 } }, "budget": [{ "within": "24h" }] }),
    );
    assert_eq!(last_good(&host, "src"), 4);
    let before = (host.changes("out"), host.cordon(&["events"]).done().items().len());
    // The defaults: 20 of 92 at once, and 28 of 100 in a day.
    let answer = host.cordon(&["backtest", "src"]).done().json();
    assert_eq!(answer["summary"]["policy"], "the defaults");
    let held = &table(&answer)[3];
    assert!(held.starts_with("4 quarantined newly-held CRD-D101,CRD-D103"), "{held}");
    host.put("limits.toml", "[guard]\nshape = \"off\"\n");
    let limits = host.path("limits.toml").display().to_string();
    let answer = host.cordon(&["backtest", "src", "--policy", &limits]).done().json();
    assert_eq!(
        table(&answer),
        [
            "1 accepted same",
            "2 accepted same",
            "3 accepted same",
            "4 quarantined newly-held CRD-D101,CRD-D103"
        ]
    );
    let summary = &answer["summary"];
    let numbers = ["judged", "held", "held_then", "newly_held", "removals_held", "unknown"]
        .map(|field| summary[field].as_u64().unwrap());
    assert_eq!(numbers, [4, 1, 0, 1, 20, 0]);
    host.cordon(&["backtest", "src", "--policy", &limits, "--exit-code"]).exits(3);

    host.put(
        "strict.toml",
        "[guard]\nshape = \"off\"\nremoved.user = { percent = 4, floor = 0 }\n",
    );
    let strict = host.path("strict.toml").display().to_string();
    let answer = host.cordon(&["backtest", "src", "--policy", &strict]).done().json();
    assert_eq!(table(&answer)[2], "3 quarantined newly-held CRD-D101");
    // The configuration in force, tried as a file, differs in nothing.
    let own = host.config().display().to_string();
    host.cordon(&["backtest", "src", "--policy", &own, "--exit-code"]).done();
    // Nothing was changed by any of this.
    assert_eq!((host.changes("out"), host.cordon(&["events"]).done().items().len()), before);
    assert_eq!(host.status("src")["trust"], "trusted");
}

#[test]
fn a_backtest_tries_rules_and_marks_record_by_record() {
    let host = with_history(
        json!({ "removed": { "user": { "percent": 50 } }, "budget": [{ "within": "24h" }] }),
    );
    host.put(
        "rule.toml",
        "[guard]\nshape = \"off\"\nremoved.user.percent = 50\nbudget = [{ within = \"24h\" }]\nprotected = [\"user:u1\"]\n\
         [connector.src.guard.rule.r]\non = \"removed.user\"\nwhere = { id = \"u5\" }\n",
    );
    let rule = host.path("rule.toml").display().to_string();
    let answer = host.cordon(&["backtest", "src", "--policy", &rule]).done().json();
    assert_eq!(
        table(&answer),
        [
            "1 accepted same",
            "2 quarantined newly-held CRD-D104",
            "3 quarantined newly-held CRD-O101",
            "4 accepted same"
        ]
    );
}

/// The policy in force, tried as a file; it differs in nothing.
#[track_caller]
fn its_own(host: &Host, connector: &str) -> Value {
    let own = host.config().display().to_string();
    let answer = host.cordon(&["backtest", connector, "--policy", &own, "--exit-code"]).done();
    answer.json()
}

#[test]
fn a_backtest_believes_what_the_source_answered_then() {
    let source = || Scenario { looks_up: true, ..users(100) };
    let left = |number| (0..number).map(|user| format!("u{user}")).collect();
    let guard = json!({ "removals_verified": "accept", "shape": "off" });
    let connector = Connector::faulty(&source()).set("guard", guard);
    let host = Host::setup().connector("src", connector).start();
    host.sync("src").done();
    host.play("src", &Scenario { without: left(40), ..source() });
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    // Now the source has what the sync misses.
    let cut = Scenario { without: left(40), ..source() }.and("sync-end", "truncate:50");
    host.play("src", &cut);
    assert!(held_by(&run_of(&host.sync("src").done())).contains(&"CRD-V101".to_owned()));

    let told = table(&its_own(&host, "src"));
    assert_eq!(told[..2], ["1 accepted same", "2 accepted same"]);
    assert!(told[2].starts_with("3 quarantined same CRD-D101"), "{told:?}");
    assert!(told[2].contains("CRD-V101"), "{told:?}");
    // Who does not believe it, or does not ask, holds what was gone.
    for guard in ["removals_verified = \"note\"", "lookup.keys = 0"] {
        host.put("other.toml", format!("[guard]\nshape = \"off\"\n{guard}\n"));
        let other = host.path("other.toml").display().to_string();
        let answer = host.cordon(&["backtest", "src", "--policy", &other]).done().json();
        let told = table(&answer);
        assert!(told[1].starts_with("2 quarantined newly-held CRD-D101"), "{guard}: {told:?}");
    }
}

#[test]
fn a_backtest_tells_what_only_waits_to_be_read_again_apart() {
    let worker = |number: u32| format!("w{number:04},worker{number}@corp.example");
    let csv = |gone: &dyn Fn(u32) -> bool| {
        let rows: Vec<_> = (0..300).filter(|number| !gone(*number)).map(worker).collect();
        format!("id,mail\n{}\n", rows.join("\n"))
    };
    let guard = json!({
        "shape": { "hold": 12, "read_again": 1.2 },
        "reread": { "after": "5s" },
        "lookup": { "keys": 0 },
    });
    let export = Export::read_with(json!({ "columns": { "email": "mail" } }), guard);
    assert_eq!(export.sync(&csv(&|_| false))["outcome"], "committed");
    let odd = export.sync(&csv(&|number| number % 30 == 15));
    assert_eq!(held_by(&odd), ["CRD-V301"]);
    let host = &export.host;
    let answer = its_own(host, "hr");
    assert_eq!(table(&answer), ["1 accepted same", "2 quarantined same CRD-V301"]);
    let numbers = ["held", "held_then", "read_again", "read_again_then"];
    let numbers = numbers.map(|field| answer["summary"][field].as_u64().unwrap());
    assert_eq!(numbers, [0, 0, 1, 1]);
    host.put("never.toml", "[guard]\nshape = \"off\"\n");
    let never = host.path("never.toml").display().to_string();
    let never = host.cordon(&["backtest", "hr", "--policy", &never, "--exit-code"]).exits(3);
    assert_eq!(table(&never.json())[1], "2 accepted no-longer-read-again");

    // The second reading says the same, and does under the same policy whenever that is tried.
    wait_for("it is read again", Duration::from_secs(20), || {
        let run = newest_run(host, "hr");
        (run["sync"] == 3 && run["outcome"] == "committed").then_some(())
    });
    let expected = ["1 accepted same", "2 unknown unknown", "3 accepted same"];
    assert_eq!(table(&its_own(host, "hr")), expected);
}

#[test]
fn a_backtest_says_what_history_is_missing() {
    let connector = Connector::faulty(&users(100)).set("guard", json!({ "shape": "off" }));
    let host = Host::setup()
        .set("store", "keep", json!({ "last": 2 }))
        .connector("src", connector)
        .start();
    for lost in [0, 1, 2] {
        let without = (0..lost).map(|user| format!("u{user}")).collect();
        host.play("src", &Scenario { without, ..users(100) });
        host.sync("src").done();
    }
    // Held, then superseded: of what was held only the one that waits is kept.
    for percent in [60, 50] {
        let faults = Scenario::with("sync-end", &format!("truncate:{percent}")).faults;
        host.play("src", &Scenario { faults, ..users(100) });
        host.sync("src").done();
    }
    let answer = host.cordon(&["backtest", "src"]).done().json();
    let told = table(&answer);
    assert_eq!(told[3], "4 unknown unknown");
    assert!(told[4].starts_with("5 quarantined same CRD-D101"), "{told:?}");
    assert_eq!(answer["summary"]["unknown"], 1, "{answer}");
    let missing = answer["summary"]["missing"].as_str().unwrap();
    assert!(missing.contains("store.keep.last = 2"), "{missing}");
}

#[test]
fn a_backtest_refuses_what_is_no_policy() {
    let host = with_history(json!({}));
    let hints = [
        ("[gaurd]\n", "did you mean `guard`?"),
        ("[guard]\nmax_drop = 5\n", ""),
        ("not toml", "write it as in a configuration: [guard] and [connector.NAME.guard]"),
    ];
    for (text, hint) in hints {
        host.put("bad.toml", text);
        let bad = host.path("bad.toml").display().to_string();
        let refused = host.cordon(&["backtest", "src", "--policy", &bad]).exits(2).problem();
        assert!(!refused["message"].as_str().unwrap().contains("hint:"), "{refused}");
        assert!(refused["hint"].as_str().unwrap().starts_with(hint), "{refused}");
    }
    host.cordon(&["backtest", "src", "--policy", "/nowhere.toml"]).exits(2);
    host.cordon(&["backtest", "nobody"]).exits(4);
}

#[test]
fn a_dry_run_judges_the_source_and_keeps_nothing_of_it() {
    let host = with_history(
        json!({ "removed": { "user": { "percent": 50 } }, "budget": [{ "within": "24h" }] }),
    );
    delivered(&host);
    let before = (believed_from(&host, "src"), host.status("src"));
    let faults = Scenario::with("sync-end", "truncate:20").faults;
    host.play("src", &Scenario { faults, ..users(100) });
    let run = run_of(&host.cordon(&["sync", "src", "--dry-run"]).done());
    assert_eq!((&run["outcome"], &run["trigger"]), (&json!("dry-run"), &json!("dry-run")));
    assert!(held_by(&run).contains(&"CRD-D101".to_owned()), "{run}");
    host.cordon(&["sync", "src", "--dry-run", "--exit-code"]).exits(3);
    // Neither a snapshot nor a quarantine came of it, and nothing was delivered.
    let status = host.status("src");
    for field in ["trust", "last_good_sync", "quarantined_sync", "records", "reason"] {
        assert_eq!(status[field], before.1[field], "{field}");
    }
    assert_eq!(host.cordon(&["quarantine"]).done().items().len(), 0);
    assert_eq!(believed_from(&host, "src"), before.0);
    let candidates = host.state().join("store/candidates/src");
    let left = std::fs::read_dir(candidates).map_or(0, Iterator::count);
    assert_eq!(left, 0, "no candidate is left");
    let events = host.cordon(&["events", "src"]).done().items();
    let tried = events.iter().find(|event| event["kind"] == "run.tried").expect("it is told");
    assert!(tried["body"].as_str().unwrap().contains("\"would_be\":\"quarantined\""), "{tried}");
    // The next sync is one like any other.
    host.play("src", &users(100));
    host.sync("src").done();
    let run = newest_run(&host, "src");
    assert_eq!(run["trigger"], "operator");
    assert_ne!(run["outcome"], "dry-run");
}

#[test]
fn a_dry_run_beside_a_sync_that_waits_is_no_second_reading_of_it() {
    let reread = json!({ "after": "1h", "times": 1 });
    let host = with_history(json!({ "reread": reread }));
    assert_eq!(host.status("src")["trust"], "quarantined");
    host.cordon(&["sync", "src", "--dry-run"]).done();
    let events = host.cordon(&["events", "src"]).done().items();
    assert!(events.iter().any(|event| event["kind"] == "run.tried"), "{events:?}");
    assert!(events.iter().all(|event| event["kind"] != "sync.read-again"), "{events:?}");
}

#[test]
fn a_dry_run_that_fails_is_not_tried_again() {
    let host = with_history(json!({}));
    host.play("src", &Scenario::with("page:1", "crash"));
    host.cordon(&["sync", "src", "--dry-run"]).exits(1);
    let runs = host.cordon(&["runs", "src"]).done().items();
    let dry: Vec<&Value> = runs.iter().filter(|run| run["trigger"] == "dry-run").collect();
    assert_eq!((dry.len(), &dry[0]["outcome"]), (1, &json!("failed")));
    // Nothing is due, so nothing is waited for.
    assert_eq!(host.status("src")["next_sync_at"], Value::Null);
}

#[test]
fn a_service_starts_again_after_a_dry_run_as_if_there_had_been_none() {
    let mut host = with_history(json!({}));
    let before = host.status("src");
    host.cordon(&["sync", "src", "--dry-run"]).done();
    host.terminate();
    host.start();
    let after = host.status("src");
    for field in ["trust", "last_good_sync", "reason", "quarantined_sync"] {
        assert_eq!(after[field], before[field], "{field}");
    }
}
