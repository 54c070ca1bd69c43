//! Containment: what a connector is allowed, what it is proven to be held to, and who can see that.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use cordon_testkit::{Connector, Host, Scenario, programs};
use serde_json::{Value, json};

use crate::world::{newest_run, run_of};

/// Whether this user's connectors can be walled in whole; says so when a test is skipped for it.
pub(crate) fn is_root() -> bool {
    let own = std::fs::metadata("/proc/self");
    let root = own.is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !root {
        cordon_testkit::capability::skipped("root");
    }
    root
}

/// A host under the service profile with one CSV feed that its connector is allowed to read.
fn csv_host(allow: Value) -> Host {
    let mut host = Host::setup()
        .set("daemon", "profile", "service")
        .connector("hr", Connector::program("connector-csv").set("allow", allow))
        .stopped();
    let feed = host.folder().join("feed");
    std::fs::create_dir(&feed).unwrap();
    std::fs::write(feed.join("workers.csv"), "id,mail\n1,a@example.org\n2,b@example.org\n")
        .unwrap();
    let text = std::fs::read_to_string(host.config()).unwrap();
    let text = text.replace("FEED", &feed.display().to_string());
    let config = format!(
        "{text}\n[connector.hr.config]\npath = \"{}/workers.csv\"\nkey = \"id\"\ncolumns = {{ email = \"mail\" }}\n",
        feed.display()
    );
    std::fs::write(host.config(), config).unwrap();
    host.start();
    host
}

fn isolation(host: &Host, name: &str) -> Vec<Value> {
    let detail = host.cordon(&["describe", name]).done().items().remove(0);
    detail["isolation"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_connector_of_a_service_reads_what_it_was_allowed() {
    if !is_root() {
        return;
    }
    let host = csv_host(json!({ "read": ["FEED"] }));
    let run = run_of(&host.sync("hr").done());
    assert_eq!((&run["outcome"], &run["records"]), (&json!("committed"), &json!(2)), "{run}");
}

#[test]
fn a_connector_of_a_service_reads_nothing_else() {
    if !is_root() {
        return;
    }
    let host = csv_host(json!({}));
    let run = run_of(&host.sync("hr").exits(1));
    assert_eq!(run["outcome"], "failed", "{run}");
    let error = run["error"].as_str().unwrap();
    assert!(error.contains("no file is at") && error.contains("workers.csv"), "{error}");
}

#[test]
fn the_isolation_in_force_is_on_the_page_in_the_snapshot_and_in_the_evidence() {
    if !is_root() {
        return;
    }
    let host = csv_host(json!({ "read": ["FEED"] }));
    host.sync("hr").done();
    let items = isolation(&host, "hr");
    let state = |name: &str| {
        let item = items.iter().find(|item| item["name"] == name);
        item.unwrap_or_else(|| panic!("no {name}"))["state"].clone()
    };
    for step in ["identity", "view", "pid_namespace", "network_namespace", "relays", "seccomp"] {
        assert_eq!(state(step), "applied", "{step}");
    }
    let memory = items.iter().find(|item| item["name"] == "limit_memory").unwrap();
    assert_eq!(memory["asked"], memory["in_force"], "{memory}");

    let manifest = host.state().join("store/snapshots/hr/1.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let content: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    let provenance = &content["provenance"];
    assert_eq!(provenance["isolation"]["view"], "applied");
    assert_eq!(provenance["isolation"]["limit_memory"], "applied 536870912");

    let events = host.cordon(&["events", "hr"]).done().items();
    let started = events.iter().find(|event| event["kind"] == "connector.started").unwrap();
    let body: Value = serde_json::from_str(started["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["report_digest"], provenance["jail_report_digest"]);
    assert_eq!(body["program_digest"], provenance["program_digest"]);
    assert_eq!(body["isolation"], provenance["isolation"]);
}

#[test]
fn a_start_with_less_isolation_than_policy_demands_is_refused() {
    let connector = Connector::faulty(&Scenario::default())
        .set("isolation", json!({ "user": "same", "require": ["identity"] }));
    let host = Host::setup().connector("bad", connector).start();
    let run = run_of(&host.sync("bad").exits(1));
    assert_eq!(run["outcome"], "failed");
    let error = run["error"].as_str().unwrap();
    assert!(error.contains("step `identity` failed: required, but not-asked"), "{error}");
}

#[test]
fn a_program_that_is_not_the_pinned_one_is_not_started() {
    let pin = format!("b3:{}", "0".repeat(64));
    let connector = Connector::faulty(&Scenario::default()).set("pin", pin);
    let host = Host::setup().connector("bad", connector).start();
    let run = run_of(&host.sync("bad").exits(1));
    let error = run["error"].as_str().unwrap();
    assert!(error.contains("is pinned"), "{error}");
    assert!(newest_run(&host, "bad")["outcome"] == "failed");
}

/// A server on this host that answers one question with a word; gives its place.
fn answering(word: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut asked = [0; 5];
            let _ = stream.read_exact(&mut asked).and_then(|()| stream.write_all(word.as_bytes()));
        }
    });
    place
}

#[test]
fn a_connector_reaches_the_listed_place_and_no_other_and_it_is_told() {
    let (listed, other) = (answering("listed"), answering("other"));
    let scenario = Scenario::with("page:1", &format!("dial:{listed}"))
        .and("page:1", &format!("dial:{other}"))
        .and("page:1", "dial:169.254.169.254:80");
    let connector = Connector::faulty(&scenario);
    let mut host = Host::setup()
        .connector(
            "src",
            connector.set("allow", json!({ "read": ["SCENARIO"], "connect": [listed] })),
        )
        .stopped();
    let text = std::fs::read_to_string(host.config()).unwrap();
    let text = text.replace("SCENARIO", &host.path("src.scenario.json").display().to_string());
    std::fs::write(host.config(), text).unwrap();
    host.start();
    let run = run_of(&host.sync("src").done());
    assert_eq!(run["outcome"], "committed");

    let log = host.cordon_as("table", &["logs", "src"]).done().stdout;
    assert!(log.contains(&format!("dialled {listed}: listed")), "{log}");
    assert!(!log.contains(": other"), "{log}");
    for place in [&other, "169.254.169.254:80"] {
        let line = log.lines().find(|line| line.contains(&format!("dialled {place}")));
        let line = line.unwrap_or_else(|| panic!("no {place} in {log}"));
        let refused = ["denied", "refused", "unreachable"];
        assert!(refused.iter().any(|word| line.contains(word)), "{line}");
    }
    let detail = host.cordon(&["describe", "src"]).done().items().remove(0);
    let flow = &detail["flows"][0];
    assert_eq!((&flow["destination"], &flow["connections"]), (&json!(listed), &json!(1)), "{flow}");
}

/// Where a host lets a connector see its files, run as the service's own user and come to the socket.
#[test]
fn a_connector_that_asks_on_the_control_socket_is_refused_and_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let asks = folder.path().join("asks");
    let connector = Connector::at(&asks).set("isolation", json!({ "user": "same" }));
    let mut host =
        Host::setup().set("daemon", "profile", "dev").connector("src", connector).stopped();
    let (cordon, faulty) = (programs::path("cordon"), programs::path("connector-faulty"));
    // By itself, and by a child that lost its parent.
    let script = format!(
        "#!/bin/sh\nask() {{ {} --socket {} pause src --reason mine >&2; }}\n\
         ask\n(ask & wait) &\nwait\nexec {} \"$@\"\n",
        cordon.display(),
        host.socket().display(),
        faulty.display(),
    );
    std::fs::write(&asks, script).unwrap();
    std::fs::set_permissions(&asks, std::fs::Permissions::from_mode(0o755)).unwrap();
    host.start();
    host.sync("src");
    let told = host.cordon(&["logs", "src", "-n", "50"]).done().stdout;
    let refusals = told.matches("a connector may not use the control socket").count();
    assert_eq!(refusals, 2, "{told}\n{}", host.log());
    assert!(host.log().contains("a connector asked on the control socket"), "{}", host.log());
    let events = host.cordon(&["events", "src"]).done().items();
    assert!(events.iter().all(|event| event["kind"] != "connector.paused"), "{events:?}");
}

#[test]
fn a_listed_file_that_was_replaced_is_seen_by_the_next_sync() {
    if !is_root() {
        return;
    }
    let host = csv_host(json!({ "read": ["FEED/workers.csv"] }));
    assert_eq!(run_of(&host.sync("hr").done())["records"], 2);
    let pid = host.status("hr")["pid"].clone();
    let feed = host.folder().join("feed");
    let rows = "id,mail\n1,a@example.org\n2,b@example.org\n3,c@example.org\n";
    std::fs::write(feed.join("new"), rows).unwrap();
    std::fs::rename(feed.join("new"), feed.join("workers.csv")).unwrap();
    assert_eq!(run_of(&host.sync("hr").done())["records"], 3);
    assert_ne!(host.status("hr")["pid"], pid, "it is another process");
}
