//! What the host does to the supervisor: signals at a bad moment, a control group that cannot be
//! removed, a lock that somebody could inherit, a sink that is away for days.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cordon_testkit::disk::Harm;
use cordon_testkit::process::Signal;
use cordon_testkit::{Connector, Host, Receiver, Response, Scenario, capability, process};
use cordon_testkit::{wait_for, wait_until};
use serde_json::json;

use crate::sweep::{DEEDS, continued, delivered_or_dead, for_each, is_whole, prepared};
use crate::world::{believed, believed_from, delivered, is_delivered, last_good, run_of};

/// A host whose connector stays up after its sync.
fn with_idle_connector() -> Host {
    let connector = Connector::faulty(&Scenario::default()).set("idle_timeout", "1h");
    let host = Host::setup().connector("src", connector).file_sink("out").start();
    host.sync("src").done();
    host
}

fn pid_of_connector(host: &Host) -> u64 {
    host.status("src")["pid"].as_u64().expect("the connector is up")
}

#[test]
fn no_connector_inherits_the_lock_or_any_other_file_of_the_state() {
    let mut host = with_idle_connector();
    let state = host.state().canonicalize().unwrap();
    let open = |pid: u64| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let paths = entries.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
        paths.filter(|path| path.starts_with(&state)).collect()
    };
    let own = open(host.pid().into());
    assert!(own.contains(&state.join("lock")), "the supervisor holds its lock: {own:?}");
    let theirs = open(pid_of_connector(&host));
    assert!(theirs.is_empty(), "the connector holds {theirs:?}");
    host.kill();
    host.start();
    assert_eq!(last_good(&host, "src"), 1);
}

#[test]
fn a_stop_at_any_call_of_a_commit_is_a_clean_end() {
    let (start, believed) = prepared();
    let mut host = continued(&start);
    host.start();
    if host.watch(DEEDS, &[]).is_none() {
        return capability::skipped("ptrace");
    }
    let numbers: Vec<u64> = (5..125).step_by(8).collect();
    for_each(&numbers, |number| {
        let mut host = continued(&start);
        host.start();
        let watch = host.watch(DEEDS, &[(number, Harm::Stop)]).unwrap();
        host.sync("src");
        delivered_or_dead(&mut host);
        let calls = watch.end();
        let is_hit = calls.iter().any(|call| call.hit);
        if is_hit {
            let status = host.ended();
            assert_eq!(status.code(), Some(0), "a stop at call {number}: {}", host.log());
        } else {
            host.terminate();
        }
        host.start();
        is_whole(&host, &believed, &format!("a stop at call {number}"));
        is_hit
    });
}

#[test]
fn a_hang_up_with_a_broken_configuration_changes_nothing_and_one_with_a_whole_one_does() {
    let host = with_idle_connector();
    let (pid, whole) = (host.status("src")["pid"].clone(), std::fs::read(host.config()).unwrap());
    let hang_up = || process::signal(host.pid(), Signal::SIGHUP);
    host.put("cordon.toml", "version = 1\n[connector.src]\nuse = 7\n");
    hang_up();
    wait_until("the refusal is in the log", Duration::from_secs(20), || {
        host.log().contains("the running configuration was not changed")
    });
    assert_eq!(host.status("src")["pid"], pid);
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    host.put("cordon.toml", whole);
    hang_up();
    wait_until("the configuration is loaded", Duration::from_secs(20), || {
        host.log().contains("configuration reloaded")
    });
    assert_eq!(host.status("src")["pid"], pid);
}

#[test]
fn a_control_group_that_cannot_be_removed_holds_up_no_start() {
    let mut host = with_idle_connector();
    let Some(group) = group_of(pid_of_connector(&host)) else {
        return capability::skipped("cgroup memory");
    };
    // Not empty, so the kernel refuses to remove the one above it.
    let busy = group.join("busy");
    std::fs::create_dir(&busy).unwrap();
    host.cordon(&["restart", "src", "--reason", "drill"]).done();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    let next = group_of(pid_of_connector(&host)).unwrap();
    assert_ne!(next, group, "a group that may hold something is not used again");
    host.kill();
    host.start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    assert_eq!(host.terminate().code(), Some(0));
    let _ = std::fs::remove_dir(&busy);
    host.start();
    host.terminate();
    assert!(!group.exists(), "{} is left", group.display());
}

/// The group that limits a process's memory, if it has one of its own.
fn group_of(pid: u64) -> Option<PathBuf> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let line = groups.lines().find_map(|line| line.split_once(":memory:"))?;
    let path = Path::new("/sys/fs/cgroup/memory").join(line.1.trim_start_matches('/'));
    (path.ends_with("memory") || path.is_dir()).then_some(path).filter(|path| {
        path != Path::new("/sys/fs/cgroup/memory") && path.to_string_lossy().contains("cordon")
    })
}

#[test]
fn a_sink_that_is_away_for_days_costs_a_row_each_and_gets_everything_in_order() {
    const DAYS: u32 = 8;
    // Three leavers a day of two hundred are unusual; what is looked at here is the sink.
    let source = Connector::faulty(&Scenario::default()).set("guard", json!({ "shape": "off" }));
    let receiver = Receiver::start();
    receiver.answer(Response::Status(503));
    let mut host = Host::setup()
        .connector("src", source)
        .file_sink("out")
        .webhook_sink("hook", &receiver)
        .set("store", "keep", json!({ "last": 2 }))
        .start();
    for day in 0..DAYS {
        host.play("src", &Scenario::default().on_day(day));
        let run = run_of(&host.sync("src").done());
        assert_eq!(run["outcome"], "committed", "{run}");
    }
    // The start sweeps: what the sink still needs is kept, however old.
    host.terminate();
    host.start();
    let snapshots = std::fs::read_dir(host.state().join("store/snapshots/src")).unwrap().count();
    assert_eq!(snapshots, DAYS as usize, "one manifest a day waits for the sink");
    let hook = |host: &Host| {
        let status = host.cordon(&["status"]).done().json();
        let sinks = status["sinks"].as_array().cloned().unwrap_or_default();
        sinks.into_iter().find(|sink| sink["name"] == "hook").expect("the sink is shown")
    };
    let trouble = wait_for("the trouble is shown", Duration::from_secs(20), || {
        let hook = hook(&host);
        (hook["state"] == "failing").then(|| hook["detail"].to_string())
    });
    assert!(trouble.contains("503"), "{trouble}");
    receiver.answer(Response::Status(204));
    wait_until("the sink has everything", Duration::from_secs(60), || {
        is_delivered(&host.cordon(&["status"]).done())
    });
    delivered(&host);
    assert_eq!(believed(&receiver.changes(), "src"), believed_from(&host, "src"));
    host.terminate();
    host.start();
    let snapshots = std::fs::read_dir(host.state().join("store/snapshots/src")).unwrap().count();
    assert_eq!(snapshots, 2, "nobody needs the others any more");
}

#[test]
fn a_jail_that_fails_at_any_of_its_steps_never_becomes_the_connector() {
    if !is_root() {
        return capability::skipped("root");
    }
    for (name, call) in cordon_testkit::jail::CALLS {
        // A second wall that a service does not insist on by itself.
        let isolation = json!({ "require": ["landlock_files"] });
        let connector = Connector::faulty(&Scenario::default()).set("isolation", isolation);
        let host =
            Host::setup().set("daemon", "profile", "service").connector("src", connector).start();
        let Some(jails) = host.fail_jails(call, 1) else { return capability::skipped("ptrace") };
        let answer = host.sync("src");
        let seen = jails.end();
        assert!(seen.failed > 0, "no jail calls {name}");
        assert_eq!(seen.became, 0, "a jail without {name} became the connector");
        let told = answer.exits(1).problem()["message"].to_string();
        let says = ["was not started", "died before it was ready"];
        assert!(says.iter().any(|words| told.contains(words)), "{name}: {told}");
        assert_eq!(last_good(&host, "src"), 0, "{name}");
    }
}

fn is_root() -> bool {
    let own = std::fs::metadata("/proc/self");
    own.is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}
