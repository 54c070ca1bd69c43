//! Whatever a connector does, no other connector's process, data or schedule is affected, nor the
//! supervisor's.

use std::time::{Duration, Instant};

use cordon_testkit::{Connector, Host, Scenario, process, wait_until};
use serde_json::json;

use crate::world::{believed_from, delivered, last_good, newest_run, run_of};

/// Tight limits, so that a test does not take the time that a host would give.
fn limited(scenario: &Scenario) -> Connector {
    Connector::faulty(scenario)
        .set(
            "limits",
            json!({ "sync_timeout": "6s", "stall_timeout": "2s", "records": 5_000, "memory": "96MiB", "tasks": 24 }),
        )
        // What a test looks at is the run that it asked for, and no retry of it.
        .set("restart", json!({ "backoff": "1h..1h" }))
}

/// A host with an honest neighbour that synced, and `bad`, which synced honestly once.
fn host(bad: Connector) -> Host {
    let host = Host::setup()
        .connector("bad", bad)
        .faulty("good", &Scenario::default())
        .file_sink("out")
        .start();
    for connector in ["bad", "good"] {
        assert_eq!(run_of(&host.sync(connector).done())["outcome"], "committed");
    }
    delivered(&host);
    host
}

/// Plays a fault in `bad`; gives what its run came to. The neighbour must not notice, and nothing of
/// the broken sync may be anywhere.
#[track_caller]
fn check(at: &str, act: &str) -> String {
    let host = host(limited(&Scenario::default()));
    let neighbour = host.status("good");
    let before = host.changes("out");
    host.play("bad", &Scenario::with(at, act).on_day(1));
    host.cordon(&["restart", "bad", "--reason", "drill"]).done();
    host.sync("bad");
    let run = newest_run(&host, "bad");
    assert_eq!(last_good(&host, "bad"), 1, "the last known good stays");
    assert_eq!(host.changes("out"), before, "the sink got nothing");
    let now = host.status("good");
    for fact in ["trust", "last_good_sync", "pid", "restarts"] {
        assert_eq!(now[fact], neighbour[fact], "{fact} of the neighbour");
    }
    assert_eq!(run_of(&host.sync("good").done())["outcome"], "committed");
    let error = run["error"].as_str().unwrap_or_default();
    format!("{}: {error}", run["outcome"].as_str().unwrap())
}

#[test]
fn a_crash_at_any_stage_leaves_nothing_in_any_snapshot() {
    for at in ["start", "describe", "configure", "scope-begin", "page:1", "page:3", "sync-end"] {
        let end = check(at, "crash");
        assert!(end.starts_with("failed: signal: the connector died"), "at {at}: {end}");
        assert!(end.contains("SIGSEGV"), "at {at}: {end}");
    }
}

#[test]
fn an_exit_in_the_middle_of_a_stream_is_a_failed_sync() {
    let end = check("page:2", "exit-zero-mid-stream");
    assert!(end.starts_with("failed: exit: the connector died: exited with code 0"), "{end}");
}

#[test]
fn a_connector_that_hangs_is_killed_as_stalled() {
    for act in ["hang", "hang-ignore-term"] {
        let end = check("page:2", act);
        assert!(end.starts_with("failed: stalled: no record and no progress for 2s"), "{end}");
    }
}

/// By its stall or by its stop, whichever is noticed first; `liveness` tells them apart.
#[test]
fn a_connector_that_stops_itself_is_killed() {
    let end = check("page:2", "stop-self");
    let reasons = ["failed: stopped: ", "failed: stalled: "];
    assert!(reasons.iter().any(|reason| end.starts_with(reason)), "{end}");
}

#[test]
fn progress_that_stands_still_is_a_stall() {
    let end = check("page:2", "progress-stuck");
    assert!(end.starts_with("failed: stalled: no record and no progress for 2s"), "{end}");
}

#[test]
fn a_slow_loris_meets_the_deadline_of_its_sync() {
    let end = check("page:1", "slow:500");
    assert!(end.starts_with("failed: deadline: not finished after 6s"), "{end}");
}

#[test]
fn an_endless_stream_meets_its_budget() {
    let end = check("page:2", "endless");
    let told = "rejected: limit: the connector broke the contract: more than 5000";
    assert!(end.starts_with(told), "{end}");
}

#[test]
fn garbage_on_the_channel_is_a_failed_sync() {
    for act in ["garbage-bytes", "half-message"] {
        let end = check("page:2", act);
        assert!(end.starts_with("rejected:") || end.starts_with("failed:"), "{act}: {end}");
    }
}

#[test]
fn a_protocol_of_the_future_is_refused_by_number() {
    let end = check("describe", "future-protocol");
    assert!(end.contains("it speaks protocol"), "{end}");
}

#[test]
fn a_memory_hog_dies_of_its_own_limit() {
    if !std::path::Path::new("/sys/fs/cgroup/memory").exists() || !is_root() {
        cordon_testkit::capability::skipped("memory cgroup");
        return;
    }
    let end = check("page:2", "memory-hog");
    assert!(end.contains("out of memory (limit 96 MiB)"), "{end}");
}

/// Whether this test may make cgroups.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

#[test]
fn children_that_leave_their_session_end_with_the_connector() {
    let host = host(limited(&Scenario::default()));
    host.play("bad", &Scenario::with("page:1", "fork-children:5"));
    // No other test has such children.
    let before = process::with_command_line("--linger").len();
    let children = || process::with_command_line("--linger").len() - before;
    assert_eq!(run_of(&host.sync("bad").done())["outcome"], "committed");
    assert_eq!(children(), 5);
    host.cordon(&["stop", "bad", "--reason", "drill"]).done();
    wait_until("the whole tree is gone", Duration::from_secs(10), || children() == 0);
}

#[test]
fn a_log_flood_costs_neither_the_sync_nor_the_disk() {
    let host = host(Connector::faulty(&Scenario::default()));
    host.play("bad", &Scenario::with("page:1", "log-flood").and("page:2", "log-line:50000000"));
    assert_eq!(run_of(&host.sync("bad").done())["outcome"], "committed");
    let log = host.state().join("logs/bad.log");
    let bytes = std::fs::metadata(&log).unwrap().len();
    assert!(bytes < 16 * 1024 * 1024, "{bytes} bytes");
    let begun = Instant::now();
    host.cordon(&["status"]).done();
    assert!(begun.elapsed() < Duration::from_secs(5), "the socket answers");
}

#[test]
fn a_quarantine_blocks_no_other_connector() {
    let host = host(limited(&Scenario::default()));
    host.play("bad", &Scenario::with("sync-end", "truncate:50"));
    assert_eq!(run_of(&host.sync("bad").done())["outcome"], "quarantined");
    host.play("good", &Scenario::default().on_day(1));
    assert_eq!(run_of(&host.sync("good").done())["outcome"], "committed");
    delivered(&host);
    assert_eq!(host.status("good")["trust"], "trusted");
    assert_eq!(believed_from(&host, "good").len(), 310);
}

#[test]
fn a_crash_loop_opens_the_breaker_and_says_why() {
    let bad = Connector::faulty(&Scenario::with("page:1", "exit:3"))
        .set("restart", json!({ "backoff": "10ms..20ms", "give_up_after": 3 }));
    let host = Host::setup().connector("bad", bad).start();
    host.sync("bad");
    wait_until("the breaker opens", Duration::from_secs(20), || {
        host.status("bad")["runtime"] == "crash-loop"
    });
    let detail = host.status("bad")["runtime_detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("exited with code 3"), "{detail}");
    let runs = host.cordon(&["runs", "bad"]).done().items().len();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(host.cordon(&["runs", "bad"]).done().items().len(), runs, "no start while open");
}

#[test]
fn the_memory_of_a_connector_is_closed_to_its_own_user() {
    if !is_root() {
        cordon_testkit::capability::skipped("root");
        return;
    }
    let generator = Connector::program("connector-generator")
        .config(json!({ "grants": 80 }))
        .set("idle_timeout", "1h");
    let host = Host::setup().connector("src", generator).start();
    host.sync("src").done();
    let pid = host.status("src")["pid"].as_u64().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let uid = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
    assert!(!uid.contains("\t0"), "it has a user of its own: {uid}");
    // The kernel gives the files of a process that is closed to its user to root.
    let owner = std::fs::metadata(format!("/proc/{pid}/mem")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&owner), 0);
}
