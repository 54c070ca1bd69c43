//! Operators restart, stop and reconfigure one connector without touching the rest.

use std::time::Duration;

use cordon_testkit::{Connector, Host, Scenario, wait_until};

use crate::world::{last_good, run_of};

fn two() -> Host {
    let labels = serde_json::json!({ "team": "iam" });
    let patient = || {
        let patient = Connector::faulty(&Scenario::default()).set("idle_timeout", "1h");
        patient.set("labels", &labels)
    };
    let host = Host::setup().connector("a", patient()).connector("b", patient()).start();
    for connector in ["a", "b"] {
        host.sync(connector).done();
    }
    host
}

#[test]
fn a_restart_of_one_connector_touches_no_other() {
    let host = two();
    let (a, b) = (host.status("a"), host.status("b"));
    assert_ne!(a["pid"], 0);
    host.cordon(&["restart", "a", "--reason", "drill"]).done();
    host.sync("a").done();
    assert_ne!(host.status("a")["pid"], a["pid"]);
    assert_eq!(host.status("b")["pid"], b["pid"]);
}

#[test]
fn an_order_that_one_of_several_refuses_reaches_the_others() {
    let host = two();
    host.cordon(&["pause", "a", "--reason", "drill"]).done();
    let stopped = host.cordon(&["stop", "-l", "team=iam", "--reason", "drill"]).exits(2);
    assert!(stopped.problem()["message"].as_str().unwrap().contains("`a` is paused"));
    let done = stopped.items();
    assert_eq!((done.len(), &done[0]["status"]["name"]), (1, &"b".into()), "{done:?}");
    assert_ne!(done[0]["evidence"], 0);
    wait_until("b is stopped", Duration::from_secs(10), || {
        host.status("b")["runtime"] == "stopped"
    });
    assert_eq!(host.status("a")["trust"], "paused");
    // Both at once, whatever they were.
    host.cordon(&["resume", "a"]).done();
    host.cordon(&["start", "--all"]).done();
    let synced = host.cordon(&["sync", "--all", "--wait"]).done().items();
    let outcomes: Vec<_> = synced.iter().map(|run| (&run["connector"], &run["outcome"])).collect();
    assert_eq!(outcomes, [(&"a".into(), &"committed".into()), (&"b".into(), &"committed".into())]);
}

#[test]
fn a_reload_restarts_only_what_changed() {
    let host = two();
    let (a, b) = (host.status("a")["pid"].clone(), host.status("b")["pid"].clone());
    let text = std::fs::read_to_string(host.config()).unwrap();
    let changed = text.replacen("[connector.a]", "[connector.a]\nevery = \"7h\"", 1);
    assert_ne!(changed, text);
    host.put("cordon.toml", &changed);
    let answer = host.cordon(&["reload"]).done();
    assert!(answer.stdout.contains("\"a\""), "{}", answer.stdout);
    wait_until("a is another process or none", Duration::from_secs(10), || {
        host.status("a")["pid"] != a
    });
    assert_eq!(host.status("b")["pid"], b);
}

#[test]
fn a_plan_tells_what_a_reload_does_and_changes_nothing() {
    let host = two();
    let (a, b) = (host.status("a")["pid"].clone(), host.status("b")["pid"].clone());
    host.cordon(&["plan", "--exit-code"]).done();
    let text = std::fs::read_to_string(host.config()).unwrap();
    let changed = text.replacen("[connector.a]", "[connector.a]\nevery = \"7h\"", 1);
    host.put("cordon.toml", format!("{changed}\n[sink.out]\ntype = \"file\"\npath = \"out\"\n"));
    let plan = host.cordon(&["plan", "--exit-code"]).exits(3).items().remove(0);
    assert_eq!(plan["added"], serde_json::json!(["out"]));
    let differences = serde_json::json!([{ "name": "a", "keys": ["schedule"] }]);
    assert_eq!(plan["differences"], differences);
    assert_eq!(plan["evidence"], 0);
    // Nothing of it holds yet, so the next one says the same.
    assert_eq!((host.status("a")["pid"].clone(), host.status("b")["pid"].clone()), (a, b));
    assert_eq!(host.cordon(&["plan"]).done().items().remove(0), plan);
    let done = host.cordon(&["reload"]).done().items().remove(0);
    assert_eq!((&done["added"], &done["differences"]), (&plan["added"], &differences));
    host.cordon(&["plan", "--exit-code"]).done();
    host.put("cordon.toml", changed.replacen("[connector.a]", "[connector.a]\nlimit = 3", 1));
    let refused = host.cordon(&["plan"]).exits(2).problem();
    assert!(refused["message"].as_str().unwrap().contains("unknown field `limit`"), "{refused}");
}

#[test]
fn a_bad_configuration_changes_nothing_and_is_named_with_its_line() {
    let host = two();
    let text = std::fs::read_to_string(host.config()).unwrap();
    let bad = text.replacen("[connector.a]", "[connector.a]\nlimit = 3", 1);
    host.put("cordon.toml", &bad);
    let refused = host.cordon(&["reload"]).exits(2).problem();
    let message = refused["message"].as_str().unwrap();
    assert!(message.starts_with("unknown field `limit`"), "{refused}");
    assert!(message.contains("cordon.toml:"), "{refused}");
    // Each part where scripts look for it.
    assert_eq!(refused["hint"], "did you mean `limits`?");
    assert_eq!(refused["still"], "the running configuration was not changed");
    assert_eq!(run_of(&host.sync("a").done())["outcome"], "committed");
}

/// Writes the configuration anew with a line more in `[daemon]`.
fn daemon_says(host: &Host, line: &str) {
    let text = std::fs::read_to_string(host.config()).unwrap();
    let changed = text.replacen("[daemon]", &format!("[daemon]\n{line}"), 1);
    assert_ne!(changed, text);
    host.put("cordon.toml", changed);
}

#[test]
fn a_reload_refuses_what_only_a_start_can_change_and_names_it() {
    let host = two();
    // Whoever took a group its access away must not believe that it is gone already.
    daemon_says(&host, "socket_group = \"root\"");
    let refused = host.cordon(&["reload"]).exits(2).problem();
    let told = refused["message"].as_str().unwrap();
    assert!(told.contains("daemon.socket_group was none and is root"), "{told}");
    assert!(refused["hint"].as_str().unwrap().starts_with("restart cordond"), "{refused}");
    assert_eq!(refused["still"], "the running configuration was not changed");
}

#[test]
fn a_reload_tells_what_it_changed_of_the_service_itself() {
    let host = two();
    let settings = || host.cordon(&["reload"]).done().items().remove(0)["settings"].clone();
    assert_eq!(settings(), serde_json::json!([]));
    daemon_says(&host, "max_concurrent_syncs = 7");
    assert_eq!(settings(), serde_json::json!(["daemon.max_concurrent_syncs was 4 and is 7"]));
    assert_eq!(settings(), serde_json::json!([]), "it is in force");
}

#[test]
fn a_stopped_connector_stays_stopped_across_restarts() {
    let mut host = two();
    host.cordon(&["stop", "a", "--reason", "drill"]).done();
    host.kill();
    host.start();
    assert_eq!(host.status("a")["runtime"], "stopped");
    host.sync("a").exits(2);
    host.cordon(&["start", "a"]).done();
    host.sync("a").done();
}

/// A process that takes its time to end leaves the sync waiting for the next one.
#[test]
fn who_waits_for_a_sync_is_told_when_a_stop_comes_before_it() {
    let deaf = Connector::program("cordon-hostile")
        .set("args", ["connector"])
        .config(serde_json::json!({ "behaviour": "ignore-term", "hold_ms": 120_000 }));
    let host = Host::setup().connector("deaf", deaf).start();
    host.cordon(&["sync", "deaf"]).done();
    wait_until("it does not listen", Duration::from_secs(60), || {
        host.status("deaf")["progress"]["phase"] == "holding"
    });
    std::thread::scope(|scope| {
        let restart = scope.spawn(|| host.cordon(&["restart", "deaf", "--reason", "drill"]));
        wait_until("it is asked to end", Duration::from_secs(60), || {
            host.status("deaf")["progress"].is_null()
        });
        let sync = scope.spawn(|| host.sync("deaf"));
        std::thread::sleep(Duration::from_millis(200));
        host.cordon(&["stop", "deaf", "--reason", "drill"]).done();
        // However these three met: nobody waits for what does not come.
        let told = sync.join().unwrap().exits(2).problem();
        assert_eq!(told["code"], "CRD-H003", "{told}");
        drop(restart.join());
    });
}

#[test]
fn an_unknown_connector_is_told_with_the_nearest_name() {
    let host = Host::setup().faulty("people", &Scenario::default()).start();
    let refused = host.cordon(&["sync", "peolpe"]).exits(4);
    assert!(refused.stderr.contains("people"), "{}", refused.stderr);
}

#[test]
fn an_idle_connector_is_stopped_and_starts_again_on_demand() {
    let idle = Connector::faulty(&Scenario::default()).set("idle_timeout", "200ms");
    let host = Host::setup().connector("src", idle).start();
    host.sync("src").done();
    wait_until("it is stopped", Duration::from_secs(10), || host.status("src")["pid"] == 0);
    host.sync("src").done();
    assert_eq!(last_good(&host, "src"), 2);
}

#[test]
fn a_schedule_syncs_without_being_asked() {
    let eager = Connector::faulty(&Scenario::default()).set("every", "300ms");
    let host = Host::setup().connector("src", eager).start();
    wait_until("three syncs ran", Duration::from_secs(20), || last_good(&host, "src") >= 3);
}

#[test]
fn every_order_is_in_the_evidence() {
    let host = two();
    host.cordon(&["pause", "a", "--reason", "drill"]).done();
    host.cordon(&["resume", "a"]).done();
    let events = host.cordon(&["events", "a", "-n", "50"]).done().stdout;
    for word in ["run.started", "snapshot.committed", "drill"] {
        assert!(events.contains(word), "{word} is missing in {events}");
    }
}

/// The numbers of the evidence records that a command lists.
fn numbers(host: &Host, arguments: &[&str]) -> Vec<u64> {
    let events = host.cordon(&[&["events"], arguments].concat()).done().items();
    events.iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

#[test]
fn whoever_reads_on_in_the_evidence_gets_every_record_once() {
    let host = two();
    // More than one page of what is read at a time.
    std::thread::scope(|scope| {
        for connector in ["a", "b"] {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..130 {
                        host.cordon(&["pause", connector, "--reason", "drill"]).done();
                    }
                });
            }
        }
    });
    let all = numbers(&host, &["--after", "0"]);
    assert!(all.len() > 520, "{}", all.len());
    assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>());
    let last = all.len() as u64;
    let stopped_at = (last - 3).to_string();
    assert_eq!(numbers(&host, &["--after", &stopped_at]), [last - 2, last - 1, last]);
    assert_eq!(numbers(&host, &["--after", &last.to_string()]), [0; 0]);
    assert_eq!(numbers(&host, &["-n", "600"]).len(), 600.min(all.len()), "and none less");
}

#[test]
fn what_is_listed_since_a_time_is_not_older() {
    let host = two();
    std::thread::sleep(Duration::from_millis(4_500));
    host.cordon(&["pause", "a", "--reason", "drill"]).done();
    let kinds = |since: &str| {
        let events = host.cordon(&["events", "a", "--since", since]).done().items();
        events.iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(kinds("1h").contains(&"run.started".to_owned()), "{:?}", kinds("1h"));
    assert_eq!(kinds("4s"), ["wanted.set"]);
    let runs = |since: &str| host.cordon(&["runs", "a", "--since", since]).done().items().len();
    assert_eq!((runs("1h"), runs("4s")), (1, 0));
}

#[test]
fn another_user_is_refused_and_told_why() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    if std::fs::metadata("/proc/self").map_or(1, |own| own.uid()) != 0 {
        cordon_testkit::capability::skipped("root");
        return;
    }
    let host = Host::setup().faulty("src", &Scenario::default()).start();
    let cordon = host.path("cordon");
    std::fs::copy(cordon_testkit::programs::path("cordon"), &cordon).unwrap();
    // Even when somebody loosens the socket, the kernel still tells who asks.
    std::fs::set_permissions(host.socket(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&cordon)
        .args(["stop", "src", "--reason", "mischief", "--socket"])
        .arg(host.socket())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{told}");
    assert!(told.contains("may not use the control socket"), "{told}");
    assert_eq!(host.status("src")["runtime"], "idle");
}

#[test]
fn a_hundred_connectors_due_at_once_all_sync_and_orders_are_answered_meanwhile() {
    let mut setup = Host::setup();
    for number in 0..100 {
        let due = Connector::faulty(&Scenario { users: 10, ..Scenario::default() });
        let due = due.set("every", "1h").set("idle_timeout", "100ms");
        setup = setup.connector(&format!("c{number}"), due);
    }
    let host = setup.start();
    host.cordon(&["pause", "c99", "--reason", "drill"]).done();
    host.cordon(&["resume", "c99"]).done();
    wait_until("all have synced", Duration::from_secs(120), || {
        let connectors = host.cordon(&["status"]).done().items();
        connectors.len() == 100 && connectors.iter().all(|one| one["last_good_sync"] != 0)
    });
}
