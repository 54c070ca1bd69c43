//! Each command asks the daemon what its words mean, and shows the answer in every form.

use std::process::Stdio;

use super::answers::{self, DIGEST, script};
use super::daemon::{Daemon, Script};
use super::run::{Ran, command, cordon};

/// Runs a command line against the usual host; gives what the daemon was asked.
fn asked(line: &str) -> String {
    let daemon = Daemon::start(script());
    let ran = cordon(&daemon, line);
    assert_eq!(ran.code, Some(0), "{line}: {}{}", ran.stdout, ran.stderr);
    let asked = daemon.asked();
    asked.join("\n")
}

#[test]
fn each_command_asks_for_what_its_words_mean() {
    for (line, expected) in [
        ("status hr-csv", r#"StatusRequest { connectors: ["hr-csv"] }"#),
        ("describe hr-csv", r#"DescribeConnectorRequest { connector: "hr-csv" }"#),
        (
            "sync hr-csv --wait",
            r#"StartSyncRequest { connector: "hr-csv", wait: true, dry_run: false }"#,
        ),
        ("start hr-csv", r#"start OrderRequest { connector: "hr-csv", reason: "", wait: false }"#),
        (
            "stop hr-csv --reason x",
            r#"stop OrderRequest { connector: "hr-csv", reason: "x", wait: false }"#,
        ),
        (
            "restart hr-csv",
            r#"restart OrderRequest { connector: "hr-csv", reason: "", wait: false }"#,
        ),
        (
            "restart hr-csv --wait",
            r#"restart OrderRequest { connector: "hr-csv", reason: "", wait: true }"#,
        ),
        (
            "resume hr-csv",
            r#"resume OrderRequest { connector: "hr-csv", reason: "", wait: false }"#,
        ),
        (
            "pause hr-csv --reason x --for 2h",
            r#"pause PauseRequest { connector: "hr-csv", reason: "x", seconds: 7200 }"#,
        ),
        (
            "pause hr-csv --reason x",
            r#"pause PauseRequest { connector: "hr-csv", reason: "x", seconds: 0 }"#,
        ),
        ("runs hr-csv -n 5", r#"RunsRequest { connector: "hr-csv", limit: 5, since: 0 }"#),
        (
            "logs hr-csv -n 7",
            r#"LogsRequest { connector: "hr-csv", follow: false, lines: 7, since: 0, sync: 0 }"#,
        ),
        (
            "logs hr-csv --sync 12",
            r#"LogsRequest { connector: "hr-csv", follow: false, lines: 100, since: 0, sync: 12 }"#,
        ),
        (
            "sync hr-csv --dry-run",
            r#"StartSyncRequest { connector: "hr-csv", wait: true, dry_run: true }"#,
        ),
        ("backtest hr-csv", r#"BacktestRequest { connector: "hr-csv", policy: "" }"#),
        (
            "policy acknowledge hr-csv --reason x",
            r#"acknowledge OrderRequest { connector: "hr-csv", reason: "x", wait: false }"#,
        ),
        ("rule list", r#"RulesRequest { connector: "" }"#),
        ("rule list hr-csv", r#"RulesRequest { connector: "hr-csv" }"#),
        (
            "rule test hr-csv --rule no-admin --sync 418",
            r#"RuleTestRequest { connector: "hr-csv", rule: "no-admin", sync: 418 }"#,
        ),
        ("secret check hr-csv", r#"SecretCheckRequest { name: "hr-csv" }"#),
        (
            "diff hr-csv 13 --remap --type user",
            r#"RemapRequest { connector: "hr-csv", sync: 13, against: 0, types: ["user"] }"#,
        ),
        (
            "diff hr-csv 13 --against 12 --only removed,changed --kind user --select user:u7* --limit 3",
            r#"DiffRequest { connector: "hr-csv", sync: 13, against: 12, ops: ["removed", "modified"], types: ["user"], limit: 3, delivered: false, keys: ["user:u7*"] }"#,
        ),
        (
            "diff hr-csv",
            r#"DiffRequest { connector: "hr-csv", sync: 0, against: 0, ops: [], types: [], limit: 20, delivered: false, keys: [] }"#,
        ),
        (
            "diff hr-csv --full",
            r#"DiffRequest { connector: "hr-csv", sync: 0, against: 0, ops: [], types: [], limit: 0, delivered: false, keys: [] }"#,
        ),
        (
            "diff hr-csv -o json",
            r#"DiffRequest { connector: "hr-csv", sync: 0, against: 0, ops: [], types: [], limit: 0, delivered: false, keys: [] }"#,
        ),
        (
            "diff hr-csv --full --delivered",
            r#"DiffRequest { connector: "hr-csv", sync: 0, against: 0, ops: [], types: [], limit: 0, delivered: true, keys: [] }"#,
        ),
        ("quarantine", r#"QuarantineRequest { connector: "" }"#),
        (
            "release ldap-corp 418 --digest b3:91fe04c2 --reason x --yes",
            r#"release ReleaseRequest { connector: "ldap-corp", sync: 418, digest: "91fe04c2", reason: "x", ops: [], types: [], keys: [] }"#,
        ),
        (
            "reject ldap-corp 418 --reason x --retry",
            r#"reject RejectRequest { connector: "ldap-corp", sync: 418, reason: "x", retry: true }"#,
        ),
        (
            "events hr-csv -n 3",
            r#"EventsRequest { connector: "hr-csv", follow: false, limit: 3, since: 0, after: None }"#,
        ),
        (
            "events --after 48211",
            r#"EventsRequest { connector: "", follow: false, limit: 50, since: 0, after: Some(48211) }"#,
        ),
        ("doctor", "DoctorRequest { prove: false }"),
        ("doctor --prove", "DoctorRequest { prove: true }"),
        ("reload", "ReloadRequest { dry_run: false }"),
        ("plan", "ReloadRequest { dry_run: true }"),
        ("wait hr-csv --for trust=trusted", r#"StatusRequest { connectors: ["hr-csv"] }"#),
    ] {
        assert_eq!(asked(line), expected, "{line}");
    }
}

#[test]
fn every_command_answers_in_every_form() {
    let daemon = Daemon::start(script());
    for (line, kind) in [
        ("status", "ConnectorStatusList"),
        ("describe hr-csv", "ConnectorDetailList"),
        ("sync hr-csv", "SyncProgressList"),
        ("sync hr-csv --wait", "RunList"),
        ("stop hr-csv", "OrderList"),
        ("pause hr-csv --reason x", "OrderList"),
        ("runs hr-csv", "RunList"),
        ("logs hr-csv", "LogLineList"),
        ("diff ldap-corp", "RecordChangeList"),
        ("quarantine", "QuarantinedSyncList"),
        ("release ldap-corp 418 --digest 91fe04c2 --reason x --yes", "OrderList"),
        ("reject ldap-corp 418 --reason x", "OrderList"),
        ("events", "EventList"),
        ("doctor", "DoctorItemList"),
        ("reload", "ReloadList"),
        ("plan", "ReloadList"),
        ("wait hr-csv --for runtime=idle", "ConditionList"),
        ("version", "VersionList"),
    ] {
        let json = cordon(&daemon, &format!("{line} -o json"));
        let document = json.json();
        assert_eq!(document["apiVersion"], "cordon/v1", "{line}");
        assert_eq!(document["kind"], kind, "{line}");
        assert!(!document["items"].as_array().unwrap().is_empty(), "{line}");
        assert_eq!(json.stderr, "", "{line}");

        let yaml = cordon(&daemon, &format!("{line} -o yaml")).stdout;
        let from_yaml: serde_json::Value = serde_norway::from_str(&yaml).unwrap();
        assert_eq!(from_yaml, document, "{line}");

        let lines = cordon(&daemon, &format!("{line} -o ndjson")).stdout;
        let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        assert_eq!(Some(&last), document["items"].as_array().unwrap().last(), "{line}");

        for people in ["table", "wide", "name"] {
            let ran = cordon(&daemon, &format!("{line} -o {people}"));
            assert_eq!(ran.code, Some(0), "{line} -o {people}: {}", ran.stderr);
            assert!(!ran.stdout.trim().is_empty(), "{line} -o {people}");
            assert!(!ran.stdout.contains('\u{1b}'), "{line} -o {people}: {:?}", ran.stdout);
        }
    }
}

#[test]
fn status_as_json_has_the_host_and_the_sinks_beside_its_items() {
    let daemon = Daemon::start(script());
    let document = cordon(&daemon, "status -o json").json();
    assert_eq!(document["host"]["hostname"], "idm-01");
    assert_eq!(document["host"]["started_at"], "2026-03-02T11:00:00Z");
    assert_eq!(document["host"]["config_loaded_at"], serde_json::Value::Null);
    assert_eq!(document["sinks"][0]["name"], "file");
    assert_eq!(document["items"][0]["quarantined_sync"], 418);
    assert_eq!(document["items"][0]["quarantined_digest"], DIGEST);
}

#[test]
fn a_diff_as_json_has_its_header_and_records_as_objects() {
    let daemon = Daemon::start(script());
    let document = cordon(&daemon, "diff ldap-corp -o json").json();
    assert_eq!(document["header"]["digest"], DIGEST);
    assert_eq!(document["items"][0]["before"]["ou"], "EMEA");
    assert_eq!(document["items"][0]["after"], serde_json::Value::Null);
    assert_eq!(document["items"].as_array().unwrap().len(), 3);
    let first = cordon(&daemon, "diff ldap-corp -o ndjson").stdout;
    assert!(first.starts_with(r#"{"header":{"connector":"ldap-corp""#), "{first}");
}

#[test]
fn names_stand_alone_on_their_lines() {
    let daemon = Daemon::start(script());
    assert_eq!(cordon(&daemon, "status -o name").stdout, "ldap-corp\nhr-csv\n");
    assert_eq!(cordon(&daemon, "quarantine -o name").stdout, "ldap-corp/418\n");
    assert_eq!(cordon(&daemon, "diff ldap-corp -o name").stdout, "u0\nu1\nu2\n");
}

#[test]
fn cordon_alone_says_the_state_and_the_one_thing_to_do() {
    let daemon = Daemon::start(script());
    let ran = cordon(&daemon, "");
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stdout.starts_with("2 connectors on idm-01: 1 quarantined  1 trusted\n"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("next: cordon diff ldap-corp"));
    assert!(ran.stderr.contains("cordon --help"));
    let document = cordon(&daemon, "-o json").json();
    assert_eq!(document["host"]["hostname"], "idm-01");
}

#[test]
fn a_waited_sync_ends_as_the_sync_did() {
    let end = |outcome: &str, flags: &str| {
        let script = Script {
            sync: vec![answers::progress("reading"), answers::ended(outcome)],
            ..script()
        };
        cordon(&Daemon::start(script), &format!("sync hr-csv --wait {flags}"))
    };
    assert_eq!(end("committed", "").code, Some(0));
    assert_eq!(end("quarantined", "").code, Some(0));
    assert_eq!(end("quarantined", "--exit-code").code, Some(3));
    assert_eq!(end("rejected", "").code, Some(1));
    let failed = end("failed", "");
    assert_eq!(failed.code, Some(1));
    assert!(failed.stderr.contains("error: sync 13 of `hr-csv` was failed: killed: out of memory"));
    assert!(failed.stderr.contains("  still: ") && failed.stderr.contains("  hint: "));
    let failed = end("failed", "-o json");
    assert_eq!(failed.json()["items"][0]["outcome"], "failed");
    assert_eq!(failed.problem()["exit_code"], 1);
}

#[test]
fn a_waited_sync_tells_its_phases_on_stderr_only() {
    let phases = ["starting", "reading"].map(answers::progress);
    let sync = phases.into_iter().chain([answers::ended("committed")]).collect();
    let daemon = Daemon::start(Script { sync, ..script() });
    let ran = cordon(&daemon, "sync hr-csv --wait");
    assert!(ran.stderr.contains("hr-csv sync 13: starting: 5 records"), "{}", ran.stderr);
    assert!(!ran.stdout.contains("starting"));
    assert_eq!(cordon(&daemon, "sync hr-csv --wait --quiet").stderr, "");
}

#[test]
fn a_wait_that_runs_out_names_what_stands_in_the_way() {
    let daemon = Daemon::start(script());
    let ran = cordon(&daemon, "wait ldap-corp --for trust=trusted --timeout 1s");
    assert_eq!(ran.code, Some(8));
    assert!(
        ran.stderr.contains("sync 418 is quarantined and waits for a decision"),
        "{}",
        ran.stderr
    );
    let ran = cordon(&daemon, "wait ldap-corp --for sync=418 --timeout 1s -o json");
    assert_eq!(ran.problem()["code"], "timed-out");
}

#[test]
fn a_wait_outlives_a_daemon_that_goes_away() {
    let daemon = Daemon::start(script());
    let args = ["wait", "ldap-corp", "--for", "trust=trusted", "--timeout", "3s"];
    let child = command(daemon.socket(), &args).stderr(Stdio::piped()).spawn().unwrap();
    while daemon.asked().is_empty() {
        std::thread::yield_now();
    }
    drop(daemon);
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!(ran.code, Some(8), "{}", ran.stderr);
    assert!(ran.stderr.contains("cordond ended the connection"), "{}", ran.stderr);
}

#[test]
fn a_failed_check_of_doctor_exits_one() {
    let item = v1_item("fail");
    let daemon = Daemon::start(Script { doctor: vec![item], ..script() });
    assert_eq!(cordon(&daemon, "doctor").code, Some(1));
    let daemon = Daemon::start(Script { doctor: vec![v1_item("warn")], ..script() });
    assert_eq!(cordon(&daemon, "doctor").code, Some(0));
}

#[test]
fn an_attack_that_is_allowed_exits_one_and_is_beside_the_items() {
    let attack = |case: &str, result: &str| cordon_wire::v1::ProveResult {
        case: case.into(),
        result: result.into(),
        ..Default::default()
    };
    let denied = attack("ptrace", "denied");
    let start = |prove| Daemon::start(Script { prove, ..script() });
    let daemon = start(vec![denied.clone(), attack("abi_x32", "skipped: no such way")]);
    let ran = cordon(&daemon, "doctor --prove -o json");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let document = ran.json();
    assert_eq!(document["items"][0]["name"], "kernel");
    assert_eq!(document["prove"][0]["case"], "ptrace");
    assert_eq!(document["prove"][0]["result"], "denied");
    assert_eq!(document["prove"][1]["result"], "skipped: no such way");
    assert!(cordon(&daemon, "doctor -o json").json().get("prove").is_none());

    let daemon = start(vec![denied, attack("kill", "ALLOWED")]);
    let ran = cordon(&daemon, "doctor --prove");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.lines().any(|line| line == "ALLOWED  kill"), "{}", ran.stdout);
    let lines = cordon(&daemon, "doctor --prove -o ndjson").stdout;
    assert!(lines.lines().last().unwrap().contains("\"kill\""), "{lines}");
}

fn v1_item(state: &str) -> cordon_wire::v1::DoctorItem {
    cordon_wire::v1::DoctorItem { name: "kernel".into(), state: state.into(), ..Default::default() }
}
