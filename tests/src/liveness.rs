//! A connector lives by its work. One that hangs, stops, drips or dies is ended with a reason in one
//! word, tried again as that reason says, and held when trying does not help.

use std::time::Duration;

use cordon_testkit::process::Signal;
use cordon_testkit::{Connector, Host, Scenario, process, wait_for, wait_until};
use serde_json::{Value, json};

use crate::world::{believed_from, delivered, last_good, newest_run, run_of};

/// As long as a loaded machine may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host with `bad`, which follows a scenario under these limits and waits between tries for
/// hardly any time.
fn host(scenario: &Scenario, limits: Value) -> Host {
    let bad = Connector::faulty(scenario)
        .set("limits", limits)
        .set("idle_timeout", "1h")
        .set("restart", json!({ "backoff": "1h..1h", "give_up_after": 50 }));
    Host::setup().connector("bad", bad).start()
}

/// Plays a fault under these limits; gives the reason and the words of the run that it ended.
#[track_caller]
fn check(at: &str, act: &str, limits: Value) -> (String, String) {
    let host = host(&Scenario::with(at, act), limits);
    host.sync("bad");
    let run = newest_run(&host, "bad");
    let text = |name: &str| run[name].as_str().unwrap().to_owned();
    let (reason, error) = (text("reason"), text("error"));
    assert!(error.starts_with(&format!("{reason}: ")), "{reason} in {error}");
    let status = host.status("bad");
    assert_eq!(status["reason"], reason.as_str(), "the status says the same");
    assert_eq!(status["trust_reasons"][0], reason.as_str());
    assert_eq!(last_good(&host, "bad"), 0, "nothing of it was accepted");
    let page = host.cordon_as("table", &["describe", "bad"]).done().stdout;
    assert!(page.contains(&format!("{reason}: ")), "{page}");
    let events = host.cordon(&["events", "bad", "-n", "20"]).done().stdout;
    assert!(events.contains(&format!("reason {reason}")), "{events}");
    (reason, error)
}

#[test]
fn a_connector_that_is_never_ready_is_ended_as_start_timeout() {
    for (at, call) in [("start", "Describe"), ("describe", "Describe"), ("configure", "Configure")]
    {
        let (reason, error) = check(at, "hang", json!({ "call_timeout": "1s" }));
        assert_eq!(reason, "start_timeout", "{at}: {error}");
        assert!(error.contains(&format!("no answer to {call} within 1s")), "{at}: {error}");
    }
    let (reason, error) = check("configure", "hang", json!({ "start_timeout": "1s" }));
    assert_eq!(reason, "start_timeout", "{error}");
    assert!(error.contains("no answer to its start within 1s"), "{error}");
}

#[test]
fn the_reason_of_a_failure_outlives_the_service() {
    let mut host = host(&Scenario::with("page:2", "exit:3"), json!({}));
    host.sync("bad");
    assert_eq!(host.status("bad")["reason"], "exit");
    host.kill();
    host.start();
    let status = host.status("bad");
    assert_eq!((&status["reason"], &status["trust"]), (&json!("exit"), &json!("failing")));
}

#[test]
fn a_connector_that_hangs_in_a_sync_is_ended_as_stalled() {
    let (reason, error) = check("page:2", "hang", json!({ "stall_timeout": "1s" }));
    assert_eq!(reason, "stalled", "{error}");
}

#[test]
fn a_connector_that_answers_and_does_no_work_is_ended_as_stalled() {
    for act in ["progress-stuck", "checkpoints", "empty-batches"] {
        let (reason, error) = check("page:2", act, json!({ "stall_timeout": "1s" }));
        assert_eq!(reason, "stalled", "{act}: {error}");
    }
}

#[test]
fn progress_without_end_meets_the_deadline() {
    let limits = json!({ "sync_timeout": "2s", "stall_timeout": "1s" });
    let (reason, error) = check("page:2", "progress-only", limits);
    assert_eq!(reason, "deadline", "{error}");
}

#[test]
fn a_connector_that_stops_itself_is_ended_as_stopped() {
    // No other bound is met before the test gives up.
    let patient = json!({ "stall_timeout": "1h", "start_timeout": "1h", "call_timeout": "1h" });
    for at in ["page:2", "configure"] {
        let (reason, error) = check(at, "stop-self", patient.clone());
        assert_eq!(reason, "stopped", "{at}: {error}");
    }
}

#[test]
fn a_slow_loris_is_ended_as_too_slow_where_a_rate_is_set() {
    let limits = json!({ "stall_timeout": "1h", "min_rate": "100/2s" });
    let (reason, error) = check("page:1", "slow:200", limits);
    assert_eq!(reason, "too_slow", "{error}");
    assert!(error.contains("where 100 are the least"), "{error}");
}

#[test]
fn what_ends_a_sync_has_one_word_for_each_cause() {
    for (at, act, word) in [
        ("page:2", "crash", "signal"),
        ("page:2", "exit:3", "exit"),
        ("page:2", "exit-zero-mid-stream", "exit"),
        ("page:2", "exit:78", "config"),
        ("configure", "error:bad-config", "config"),
        ("configure", "error:auth", "auth"),
        ("page:2", "error:auth", "auth"),
        ("page:2", "error:unavailable", "unavailable"),
        ("page:2", "error:rate-limited", "rate_limited"),
        ("page:2", "error:bug", "bug"),
        ("sync-end", "no-sync-end", "protocol"),
        ("scope-end", "wrong-count", "protocol"),
        ("page:2", "giant-batch", "protocol"),
    ] {
        let (reason, error) = check(at, act, json!({}));
        assert_eq!(reason, word, "{act} at {at}: {error}");
    }
    let (reason, error) = check("page:2", "endless", json!({ "records": 5_000 }));
    assert_eq!(reason, "limit", "{error}");
}

#[test]
fn a_connector_that_its_own_limit_held_back_gets_its_time_once_more() {
    if !is_root() || !std::path::Path::new("/sys/fs/cgroup/cpu").exists() {
        eprintln!("skipped: cpu cgroup");
        return;
    }
    let hog = Scenario::with("page:1", "cpu-hog").and("page:2", "hang");
    let host = host(&hog, json!({ "stall_timeout": "2s", "cpu": "20%" }));
    host.sync("bad");
    let run = newest_run(&host, "bad");
    let error = run["error"].as_str().unwrap();
    assert!(
        error.starts_with("stalled: no record and no progress for 2s (given 2s more"),
        "{error}"
    );
}

#[test]
fn a_sync_that_was_held_back_and_came_to_its_end_says_so() {
    if !is_root() || !std::path::Path::new("/sys/fs/cgroup/cpu").exists() {
        eprintln!("skipped: cpu cgroup");
        return;
    }
    // One record, that comes later than the bound and sooner than twice.
    let one = Scenario { users: 1, groups: 0, ..Scenario::with("page:1", "cpu-hog") };
    let host =
        host(&one.and("page:1", "slow:6500"), json!({ "stall_timeout": "5s", "cpu": "20%" }));
    let run = run_of(&host.sync("bad").done());
    assert_eq!(run["outcome"], "committed", "{run}");
    let codes: Vec<&str> =
        run["findings"].as_array().unwrap().iter().filter_map(|it| it["code"].as_str()).collect();
    assert!(codes.contains(&"CRD-L101"), "{run}");
}

#[test]
fn a_supervisor_that_was_stopped_kills_nobody_for_its_own_silence() {
    // Between two records it is silent for long enough that the supervisor stops in such a silence.
    let few = Scenario { users: 8, groups: 1, grants_per_user: 1, ..Scenario::default() };
    let host = host(&few.and("page:1", "slow:700"), json!({ "stall_timeout": "2s" }));
    host.cordon(&["sync", "bad"]).done();
    wait_until("it syncs", PATIENCE, || {
        host.status("bad")["progress"]["records"].as_u64() > Some(0)
    });
    process::signal(host.pid(), Signal::SIGSTOP);
    // The time itself is the subject: longer than the bound.
    std::thread::sleep(Duration::from_secs(5));
    process::signal(host.pid(), Signal::SIGCONT);
    wait_until("its sync is accepted", PATIENCE, || {
        let run = newest_run(&host, "bad");
        assert_ne!(run["outcome"], "failed", "{run}");
        run["outcome"] == "committed"
    });
}

#[test]
fn a_connector_that_dies_of_memory_is_tried_twice_and_held_with_what_to_ask_for() {
    if !is_root() || !std::path::Path::new("/sys/fs/cgroup/memory").exists() {
        eprintln!("skipped: memory cgroup");
        return;
    }
    let bad = Connector::faulty(&Scenario::with("page:2", "memory-hog"))
        .set("limits", json!({ "memory": "96MiB" }))
        .set("restart", json!({ "backoff": "10ms..20ms" }));
    let host = Host::setup().connector("bad", bad).start();
    host.sync("bad");
    wait_until("it is held", PATIENCE, || host.status("bad")["runtime"] == "held");
    let runs = host.cordon(&["runs", "bad"]).done().items();
    assert_eq!(runs.len(), 3, "a try and two more");
    let status = host.status("bad");
    assert_eq!(status["reason"], "oom");
    let detail = status["runtime_detail"].as_str().unwrap();
    assert!(detail.contains("at its peak; give it more: limits.memory = \"192MiB\""), "{detail}");
    let events = host.cordon(&["events", "bad", "-n", "20"]).done().stdout;
    assert!(events.contains("connector.held"), "{events}");
}

#[test]
fn a_wrong_configuration_is_not_tried_again_until_it_changes() {
    let bad = Connector::faulty(&Scenario::with("configure", "error:bad-config"))
        .set("restart", json!({ "backoff": "10ms..20ms" }));
    let host = Host::setup().connector("bad", bad).start();
    host.sync("bad");
    wait_until("it is held", PATIENCE, || host.status("bad")["runtime"] == "held");
    assert_eq!(host.status("bad")["reason"], "config");
    assert_eq!(host.cordon(&["runs", "bad"]).done().items().len(), 1);
    host.play("bad", &Scenario::default());
    let text = std::fs::read_to_string(host.config()).unwrap();
    host.put("cordon.toml", text.replacen("[connector.bad]", "[connector.bad]\nevery = \"7h\"", 1));
    host.cordon(&["reload"]).done();
    wait_until("it syncs by itself", PATIENCE, || last_good(&host, "bad") == 2);
}

#[test]
fn refused_credentials_are_tried_slowly_and_said_loudly() {
    let bad = Connector::faulty(&Scenario::with("page:1", "error:auth"))
        .set("restart", json!({ "backoff": "10ms..20ms", "give_up_after": 2 }));
    let host = Host::setup().connector("bad", bad).start();
    host.sync("bad");
    wait_until("it waits", PATIENCE, || host.status("bad")["runtime"] == "backing-off");
    let status = host.status("bad");
    assert_eq!(status["reason"], "auth");
    let detail = status["runtime_detail"].as_str().unwrap().to_owned();
    let seconds = detail.split("next try in ").nth(1).and_then(|rest| rest.split(' ').next());
    let seconds: u64 = seconds.and_then(|number| number.parse().ok()).expect(&detail);
    assert!(seconds > 200, "{detail}");
    assert!(host.log().contains("a connector needs a person"), "{}", host.log());
    let events = host.cordon(&["events", "bad", "-n", "20"]).done().stdout;
    assert!(events.contains("credentials-refused"), "{events}");
}

#[test]
fn a_secret_that_is_away_holds_its_connector_and_no_other() {
    let secret = Connector::program("connector-generator")
        .config(json!({ "grants": 80, "seed": 1, "token": "file:/nonexistent/secret" }));
    let host = Host::setup().connector("bad", secret).faulty("good", &Scenario::default()).start();
    host.sync("bad");
    assert_eq!(newest_run(&host, "bad")["reason"], "secret");
    assert_eq!(run_of(&host.sync("good").done())["outcome"], "committed");
}

#[test]
fn a_breaker_that_is_open_is_in_the_evidence_and_a_restart_closes_it() {
    let bad = Connector::faulty(&Scenario::with("page:1", "exit:3"))
        .set("restart", json!({ "backoff": "10ms..20ms", "give_up_after": 3 }));
    let host = Host::setup().connector("bad", bad).start();
    host.sync("bad");
    wait_until("the breaker opens", PATIENCE, || host.status("bad")["runtime"] == "crash-loop");
    assert_eq!(host.status("bad")["reason"], "exit");
    let events = host.cordon(&["events", "bad", "-n", "20"]).done().stdout;
    assert!(events.contains("connector.held"), "{events}");
    host.play("bad", &Scenario::default());
    host.cordon(&["restart", "bad", "--reason", "mended"]).done();
    wait_until("it syncs", PATIENCE, || last_good(&host, "bad") > 0);
    assert_eq!(host.status("bad")["runtime"], "idle");
    assert_eq!(host.status("bad")["reason"], "");
}

#[test]
fn a_quarantined_sync_restarts_nothing() {
    let host = host(&Scenario::default(), json!({}));
    host.sync("bad").done();
    let pid = host.status("bad")["pid"].clone();
    host.play("bad", &Scenario::with("sync-end", "truncate:50"));
    for _ in 0..3 {
        assert_eq!(run_of(&host.sync("bad").done())["outcome"], "quarantined");
        let status = host.status("bad");
        assert_eq!((&status["pid"], &status["runtime"]), (&pid, &json!("idle")));
        assert_eq!(status["reason"], "");
    }
}

#[test]
fn a_panic_in_one_connectors_task_ends_its_sync_and_nothing_else() {
    for point in ["session.batch", "session.stream-ended", "gate.judged"] {
        let setup = Host::setup()
            .connector("bad", Connector::faulty(&Scenario::default()).set("idle_timeout", "1h"))
            .faulty("good", &Scenario::default());
        let mut host = setup.stopped();
        host.arm(&format!("{point}:1:panic"));
        host.start();
        host.sync("bad");
        let run = newest_run(&host, "bad");
        assert_eq!(
            (&run["outcome"], &run["reason"]),
            (&json!("failed"), &json!("panicked")),
            "{run}"
        );
        assert!(host.runs(), "the service goes on");
        assert_eq!(run_of(&host.sync("good").done())["outcome"], "committed");
        host.cordon(&["restart", "bad", "--wait"]).done();
        wait_until("bad syncs again", PATIENCE, || last_good(&host, "bad") > 0);
        let events = host.cordon(&["events", "bad", "-n", "20"]).done().stdout;
        assert!(events.contains("connector.task-panicked"), "{events}");
    }
}

#[test]
fn what_a_cancelled_sync_still_sends_is_in_no_later_one() {
    let slow = Scenario::with("page:1", "slow:20");
    let bad = Connector::faulty(&slow).set("idle_timeout", "1h");
    let host = Host::setup().connector("bad", bad).file_sink("out").start();
    for _ in 0..3 {
        host.cordon(&["sync", "bad"]).done();
        wait_until("it sends", PATIENCE, || {
            host.status("bad")["progress"]["records"].as_u64() > Some(5)
        });
        host.cordon(&["pause", "bad", "--reason", "drill"]).done();
        // The next sync comes at once, while the old connector may still write.
        host.play("bad", &Scenario::default());
        host.cordon(&["resume", "bad"]).done();
        host.sync("bad").done();
        host.play("bad", &slow);
    }
    delivered(&host);
    assert_eq!(believed_from(&host, "bad").len(), 310, "each record came once");
    assert_eq!(host.changes("out").len(), 310, "and none of a cancelled sync");
}

#[test]
fn a_protocol_that_changed_with_a_restart_is_refused_and_the_last_known_good_stays() {
    let host = host(&Scenario::default(), json!({}));
    host.sync("bad").done();
    host.play("bad", &Scenario::with("start", "future-protocol"));
    assert_eq!(run_of(&host.sync("bad").done())["outcome"], "committed", "agreed once a start");
    let refused = host.cordon(&["restart", "bad", "--wait"]).exits(1);
    assert!(refused.stderr.contains("it speaks protocol 2 to 3"), "{}", refused.stderr);
    assert_eq!(last_good(&host, "bad"), 2);
}

#[test]
fn the_supervisors_memory_does_not_grow_with_what_a_connector_sends() {
    let host = host(&Scenario::default(), json!({ "stall_timeout": "1m" }));
    let peak = |batches: u32| {
        host.play("bad", &Scenario::with("page:1", &format!("bulky:{batches}")));
        host.sync("bad");
        // All of it was read: the sync is refused at the end of its scope, for its counts.
        let run = newest_run(&host, "bad");
        let error = run["error"].as_str().unwrap();
        assert!(error.contains(&format!("{} arrived", batches * 1_000 + 100)), "{error}");
        process::memory_peak_bytes(host.pid()).expect("a peak") >> 20
    };
    let (few, many) = (peak(20), peak(300));
    assert!(many < few + 200, "{few} MiB for 70 MiB of records, {many} MiB for a gigabyte");
}

#[test]
fn a_connector_that_was_stopped_before_its_pause_stays_stopped_after_it() {
    let mut host = host(&Scenario::default(), json!({}));
    host.cordon(&["stop", "bad", "--reason", "drill"]).done();
    host.cordon(&["pause", "bad", "--reason", "drill"]).done();
    host.cordon(&["pause", "bad", "--reason", "longer", "--for", "2h"]).done();
    host.kill();
    host.start();
    let answer = host.cordon(&["resume", "bad"]).done();
    assert!(answer.stdout.contains("it is stopped, as it was before"), "{}", answer.stdout);
    assert_eq!(host.status("bad")["runtime"], "stopped");
    host.sync("bad").exits(2);
    host.cordon(&["pause", "bad", "--reason", "short", "--for", "1s"]).done();
    wait_until("the pause ends by itself", PATIENCE, || host.status("bad")["runtime"] == "stopped");
    host.cordon(&["start", "bad"]).done();
    host.cordon(&["pause", "bad", "--reason", "drill"]).done();
    host.cordon(&["resume", "bad"]).done();
    host.sync("bad").done();
}

#[test]
fn a_restart_that_is_waited_for_ends_with_a_new_process_or_says_why_not() {
    let host = host(&Scenario::default(), json!({ "call_timeout": "1s" }));
    host.sync("bad").done();
    let before = host.status("bad")["pid"].clone();
    let answer = host.cordon(&["restart", "bad", "--wait"]).done().items().remove(0);
    let after = &answer["status"]["pid"];
    assert!(after.as_u64() > Some(0) && *after != before, "{answer}");
    assert_eq!(*after, host.status("bad")["pid"]);
    for (at, act, word) in
        [("configure", "hang", "start_timeout: "), ("describe", "exit:3", "exit: ")]
    {
        host.play("bad", &Scenario::with(at, act));
        let refused = host.cordon(&["restart", "bad", "--wait"]).exits(1);
        assert!(refused.stderr.contains("did not become ready"), "{}", refused.stderr);
        assert!(refused.stderr.contains(word), "{}", refused.stderr);
        assert_eq!(last_good(&host, "bad"), 1);
    }
    host.cordon(&["pause", "bad", "--reason", "drill"]).done();
    let refused = host.cordon(&["restart", "bad", "--wait"]).exits(2);
    assert!(refused.stderr.contains("is paused by"), "{}", refused.stderr);
}

#[test]
fn many_deaths_at_once_are_all_noticed() {
    let mut setup = Host::setup();
    let names: Vec<String> = (0..12).map(|number| format!("c{number}")).collect();
    for name in &names {
        let small = Scenario { users: 5, ..Scenario::default() };
        let patient = Connector::faulty(&small).set("idle_timeout", "1h");
        let patient = patient.set("restart", json!({ "backoff": "1h..1h" }));
        setup = setup.connector(name, patient.set("every", "7h"));
    }
    let host = setup.start();
    let all = || host.cordon(&["status"]).done().items();
    wait_until("all have synced", PATIENCE * 2, || {
        all().iter().all(|one| one["last_good_sync"] == 1 && one["runtime"] == "idle")
    });
    let pids: Vec<u32> = all().iter().map(|one| one["pid"].as_u64().unwrap() as u32).collect();
    for pid in &pids {
        process::signal(*pid, Signal::SIGKILL);
    }
    wait_until("every death is noticed", PATIENCE, || {
        all().iter().all(|one| one["pid"] == 0 && one["reason"] == "signal")
    });
    let pid = wait_for("one of them starts anew", PATIENCE, || {
        host.cordon(&["restart", "c0", "--wait"])
            .items()
            .first()
            .map(|it| it["status"]["pid"].clone())
    });
    assert!(!pids.iter().any(|old| pid == *old), "a new process");
}

/// Whether this test may make cgroups.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}
