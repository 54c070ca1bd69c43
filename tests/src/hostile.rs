//! A hostile connector meets its own limits: its neighbour's process, data and schedule go on, and
//! nothing of it is left.

use std::time::{Duration, Instant};

use cordon_testkit::process::Signal;
use cordon_testkit::{Connector, Host, Scenario, process, wait_until};
use serde_json::{Value, json};

use crate::world::{newest_run, run_of};

mod attacks;

/// What a loaded machine may take for a thing that takes seconds.
const GENEROUS: Duration = Duration::from_secs(60);
/// Longer than any test: what is to end has to be ended.
const FOR_LONG: &str = "--seconds 300";

/// Whether this test may make control groups and become other users.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Says why when this host cannot show a promise.
fn lacks(host: &Host, item: &str) -> bool {
    let items = host.cordon(&["doctor"]).items();
    let has = items.iter().any(|it| it["name"] == item && it["state"] == "ok");
    if !has {
        eprintln!("skipped: {item}");
    }
    !has
}

/// `bad`, which does that in the middle of each sync and then goes on for a while; and `good`, an
/// honest neighbour that synced once.
struct Pair {
    host: Host,
    label: String,
    neighbour: Value,
}

impl Pair {
    #[track_caller]
    fn start(behaviour: &str, hold_ms: u64, limits: Value) -> Self {
        // A word that no other test's processes have.
        let label = format!("{}-{}", behaviour.split(' ').next().unwrap(), std::process::id());
        let bad = Connector::program("cordon-hostile")
            .set("args", ["connector", "--label", &label])
            .set("limits", limits)
            .set("idle_timeout", "1h")
            .config(json!({ "behaviour": behaviour, "users": 100, "hold_ms": hold_ms }));
        let good = Connector::faulty(&Scenario::default()).set("idle_timeout", "1h");
        let host = Host::setup().connector("bad", bad).connector("good", good).start();
        assert_eq!(run_of(&host.sync("good").done())["outcome"], "committed");
        let neighbour = host.status("good");
        Self { host, label, neighbour }
    }

    /// Begins a sync of `bad` and waits until its behaviour is seen.
    #[track_caller]
    fn unleash(&self, what: &str, seen: impl FnMut() -> bool) {
        self.host.cordon(&["sync", "bad"]).done();
        wait_until(what, GENEROUS, seen);
    }

    /// The neighbour's sync commits, and its process is still the same.
    #[track_caller]
    fn neighbour_goes_on(&self) {
        assert_eq!(run_of(&self.host.sync("good").done())["outcome"], "committed");
        let now = self.host.status("good");
        for fact in ["pid", "restarts"] {
            assert_eq!(now[fact], self.neighbour[fact], "{fact} of the neighbour");
        }
    }

    /// Living processes of `bad`, its launcher and guard not counted among them by name alone.
    fn processes(&self) -> usize {
        process::with_command_line(&self.label).len()
    }

    /// Stops `bad`; all of it has to be gone, and the time that took is printed.
    #[track_caller]
    fn stop(&self) {
        let (before, begun) = (self.processes(), Instant::now());
        self.host.cordon(&["stop", "bad", "--reason", "drill"]).done();
        wait_until("all of it is gone", GENEROUS, || self.processes() == 0);
        eprintln!("{before} processes were gone after {} ms", begun.elapsed().as_millis());
    }

    /// What `bad` printed.
    fn log(&self) -> String {
        let lines = self.host.cordon(&["logs", "bad", "-n", "1000"]).done().items();
        let text = |line: &Value| line["line"].as_str().unwrap_or_default().to_owned();
        lines.iter().map(text).collect::<Vec<_>>().join("\n")
    }

    /// What `bad` said of how far it came.
    fn reached(&self, behaviour: &str) -> Option<Value> {
        let log = self.log();
        let mut values = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        values.rfind(|value| value["behaviour"] == behaviour)
    }

    #[track_caller]
    fn unleash_until_told(&self, behaviour: &str) -> Value {
        self.unleash("it tells how far it came", || self.reached(behaviour).is_some());
        self.reached(behaviour).unwrap()
    }

    fn supervisor_descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.host.pid())).unwrap().count()
    }
}

#[test]
fn a_bomb_of_200_processes_is_ended_whole_and_its_neighbour_goes_on() {
    let pair = Pair::start(
        &format!("fork-bomb --count 200 {FOR_LONG}"),
        120_000,
        json!({ "tasks": 256, "cpu": "50%" }),
    );
    pair.unleash("the bomb is complete", || pair.processes() >= 200);
    pair.neighbour_goes_on();
    pair.stop();
    pair.neighbour_goes_on();
}

#[test]
fn a_bomb_stops_at_the_limit_of_tasks_and_is_ended_for_it() {
    let pair =
        Pair::start(&format!("fork-bomb --count 500 {FOR_LONG}"), 120_000, json!({ "tasks": 16 }));
    if lacks(&pair.host, "cgroup_pids") {
        return;
    }
    let mut most = 0;
    let mut run = Value::Null;
    pair.unleash("its sync has failed", || {
        most = most.max(pair.processes());
        run = newest_run(&pair.host, "bad");
        run["outcome"] == "failed"
    });
    let told = run["error"].as_str().unwrap();
    assert!(told.starts_with("limit: asked "), "{told}");
    assert!(told.contains("a task beyond its limit of 16"), "{told}");
    assert!(most <= 20, "{most} processes, launcher and guard included");
    wait_until("all of it is gone", GENEROUS, || pair.processes() == 0);
    pair.neighbour_goes_on();
}

#[test]
fn memory_of_every_kind_meets_the_limit_and_no_neighbour() {
    for source in ["anon", "memfd", "shm"] {
        let pair = Pair::start(
            &format!("memory-hog --from {source} {FOR_LONG}"),
            60_000,
            json!({ "memory": "96MiB" }),
        );
        if lacks(&pair.host, "cgroup_memory") {
            return;
        }
        pair.host.sync("bad");
        let run = newest_run(&pair.host, "bad");
        assert_eq!(run["outcome"], "failed", "{source}: {run}");
        let error = run["error"].as_str().unwrap();
        assert!(error.contains("out of memory (limit 96 MiB)"), "{source}: {error}");
        pair.neighbour_goes_on();
    }
}

#[test]
fn its_disk_and_its_files_run_out_inside_and_not_on_the_host() {
    let limits = json!({ "scratch": "16MiB", "scratch_files": 500 });
    for (behaviour, what, most) in [
        ("disk-fill", "bytes", 16 << 20),
        ("inode-fill", "files", 500),
        ("memory-hog --from tmpfs", "bytes", 16 << 20),
    ] {
        let pair = Pair::start(behaviour, 0, limits.clone());
        if lacks(&pair.host, "namespaces") {
            return;
        }
        let reached = pair.unleash_until_told(behaviour.split(' ').next().unwrap());
        assert!(reached[what].as_u64().unwrap() <= most, "{behaviour}: {reached}");
        let stopped = reached["stopped_by"].as_str().unwrap();
        assert!(stopped.contains("No space left on device"), "{behaviour}: {reached}");
        pair.neighbour_goes_on();
    }
}

#[test]
fn addresses_that_are_reserved_and_not_used_are_no_use_of_memory() {
    let pair = Pair::start("reserve", 0, json!({ "memory": "96MiB" }));
    let reached = pair.unleash_until_told("reserve");
    assert_eq!(reached["bytes"], 64u64 << 30, "{reached}");
}

#[test]
fn a_connector_that_keeps_every_processor_busy_holds_up_no_neighbour() {
    let pair = Pair::start(&format!("cpu-spin {FOR_LONG}"), 120_000, json!({ "cpu": "50%" }));
    pair.unleash("it spins", || host_is_syncing(&pair.host, "bad"));
    pair.neighbour_goes_on();
    pair.stop();
}

#[test]
fn a_connector_that_computes_and_gets_nowhere_runs_on_what_others_leave() {
    let pair = Pair::start(&format!("cpu-spin {FOR_LONG}"), 120_000, json!({ "cpu": "50%" }));
    if lacks(&pair.host, "cgroup_cpu") {
        return;
    }
    let pid = |name: &str| u32::try_from(pair.host.status(name)["pid"].as_u64().unwrap()).unwrap();
    pair.unleash("it gives way", || {
        host_is_syncing(&pair.host, "bad")
            && process::cpu_weight(pid("bad")).is_some_and(|weight| weight < 0.02)
    });
    assert_eq!(process::cpu_weight(pid("good")), Some(1.0), "the neighbour weighs what it did");
    pair.stop();
}

#[test]
fn after_a_try_that_failed_a_sync_runs_on_what_others_leave() {
    // Brings its records one by one, all through the sync: it is not for its silence.
    let slow = Scenario { users: 40, ..Scenario::default() }.and("page:1", "slow:100");
    let crashing = Connector::faulty(&Scenario::with("page:1", "crash"));
    let host = Host::setup().connector("source", crashing.set("idle_timeout", "1h")).start();
    if lacks(&host, "cgroup_cpu") {
        return;
    }
    assert_eq!(run_of(&host.sync("source"))["outcome"], "failed");
    host.play("source", &slow);
    for weight in [2.0 / 1_024.0, 1.0] {
        host.cordon(&["sync", "source"]).done();
        wait_until("records come", GENEROUS, || {
            host.status("source")["progress"]["records"].as_u64() > Some(10)
        });
        let pid = host.status("source")["pid"].as_u64().unwrap();
        let weighs = process::cpu_weight(u32::try_from(pid).unwrap()).unwrap();
        // The least is 1 of 100, or 2 of 1,024.
        assert!((weighs - weight).abs() < 0.02, "it weighs {weighs}, not {weight}");
        wait_until("it commits", GENEROUS, || {
            newest_run(&host, "source")["outcome"] == "committed"
        });
    }
}

#[test]
fn after_a_try_that_failed_a_sync_has_little_at_first() {
    let pair = Pair::start(&format!("cpu-spin {FOR_LONG}"), 120_000, json!({ "cpu": "50%" }));
    if lacks(&pair.host, "cgroup_cpu") {
        return;
    }
    let pid = || pair.host.status("bad")["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    let quota = || pid().and_then(process::cpu_quota);
    pair.unleash("it spins", || host_is_syncing(&pair.host, "bad"));
    assert_eq!(quota(), Some(0.5), "its own limit, as nothing is known against it");
    process::signal(pid().unwrap(), Signal::SIGKILL);
    wait_until("it is tried again with little", GENEROUS, || quota() == Some(0.05));
    wait_until("it has its own limit again", GENEROUS, || quota() == Some(0.5));
    let weight = pid().and_then(process::cpu_weight).unwrap();
    assert!(weight < 0.02, "it weighs {weight}");
    pair.stop();
}

#[test]
fn what_a_sync_had_little_of_it_has_again_at_its_end() {
    let limits = json!({ "cpu": "50%" });
    let crashing = Connector::faulty(&Scenario::with("page:1", "crash")).set("limits", limits);
    let host = Host::setup().connector("source", crashing.set("idle_timeout", "1h")).start();
    if lacks(&host, "cgroup_cpu") {
        return;
    }
    assert_eq!(run_of(&host.sync("source"))["outcome"], "failed");
    host.play("source", &Scenario::default());
    assert_eq!(run_of(&host.sync("source").done())["outcome"], "committed");
    let pid = host.status("source")["pid"].as_u64().unwrap();
    assert_eq!(process::cpu_quota(u32::try_from(pid).unwrap()), Some(0.5));
}

fn host_is_syncing(host: &Host, connector: &str) -> bool {
    host.status(connector)["progress"]["phase"] == "holding"
}

#[test]
fn descriptors_run_out_inside_and_not_in_the_supervisor() {
    let pair = Pair::start("fd-exhaust", 0, json!({ "files": 64 }));
    let before = pair.supervisor_descriptors();
    let reached = pair.unleash_until_told("fd-exhaust");
    assert!(reached["descriptors"].as_u64().unwrap() < 64, "{reached}");
    assert!(reached["stopped_by"].as_str().unwrap().contains("Too many open files"), "{reached}");
    pair.neighbour_goes_on();
    let after = pair.supervisor_descriptors();
    // Its own start took some: a channel, a log, handles.
    assert!(after < before + 20, "{before} descriptors before, {after} after");
}

#[test]
fn descriptors_that_are_sent_over_the_channel_are_not_kept() {
    let pair = Pair::start("pass-descriptors --count 5000", 2_000, json!({}));
    let before = pair.supervisor_descriptors();
    // Bytes that are no HTTP/2 go with them: the sync fails, and that is all.
    assert_eq!(run_of(&pair.host.sync("bad"))["outcome"], "failed");
    assert!(pair.reached("pass-descriptors").unwrap()["passed"].as_u64().unwrap() >= 250);
    pair.neighbour_goes_on();
    wait_until("no descriptor is kept", GENEROUS, || pair.supervisor_descriptors() < before + 20);
}

#[test]
fn a_log_flood_takes_no_memory_and_no_turn() {
    let pair = Pair::start(&format!("log-flood {FOR_LONG}"), 120_000, json!({}));
    let before = process::memory_peak_bytes(pair.host.pid()).unwrap();
    pair.unleash("lines are dropped", || pair.log().contains("dropped"));
    pair.neighbour_goes_on();
    let grown = process::memory_peak_bytes(pair.host.pid()).unwrap() - before;
    assert!(grown < 64 << 20, "the supervisor grew by {grown} bytes");
    let log = std::fs::metadata(pair.host.state().join("logs/bad.log")).unwrap().len();
    assert!(log < 16 << 20, "{log} bytes of log");
    pair.stop();
}

#[test]
fn a_line_without_an_end_is_cut_and_tricks_are_escaped() {
    let endless = Pair::start("endless-line --bytes 50000000", 0, json!({}));
    let before = process::memory_peak_bytes(endless.host.pid()).unwrap();
    endless.unleash_until_told("endless-line");
    let grown = process::memory_peak_bytes(endless.host.pid()).unwrap() - before;
    assert!(grown < 48 << 20, "the supervisor grew by {grown} bytes");
    endless.neighbour_goes_on();
    drop(endless);

    let tricky = Pair::start("ansi", 0, json!({}));
    tricky.unleash_until_told("ansi");
    let kept = std::fs::read(tricky.host.state().join("logs/bad.log")).unwrap();
    let text = String::from_utf8(kept).expect("a log is text, whatever was printed");
    assert!(!text.contains(['\u{1b}', '\r', '\0', '\u{202e}', '\u{85}']), "{text:?}");
    let forged = text.lines().find(|line| line.contains("was released by root")).unwrap();
    assert!(!forged.starts_with("INFO"), "every line says whose it is: {forged:?}");
}

#[test]
fn a_connector_without_a_log_goes_on_syncing() {
    let pair = Pair::start("close-output", 0, json!({}));
    assert_eq!(run_of(&pair.host.sync("bad").done())["outcome"], "committed");
    pair.neighbour_goes_on();
}

#[test]
fn a_connector_that_stops_itself_is_ended_and_its_neighbour_is_not() {
    let pair = Pair::start("stop-self", 0, json!({ "stall_timeout": "2s" }));
    pair.host.sync("bad");
    let run = newest_run(&pair.host, "bad");
    assert_eq!(run["outcome"], "failed", "{run}");
    wait_until("all of it is gone", GENEROUS, || pair.processes() == 0);
    pair.neighbour_goes_on();
}

#[test]
fn a_stream_without_an_end_is_cut_at_its_budget_and_nothing_of_it_is_kept() {
    let pair = Pair::start(&format!("message-flood {FOR_LONG}"), 0, json!({ "records": 20_000 }));
    pair.host.sync("bad");
    let run = newest_run(&pair.host, "bad");
    assert_eq!(run["outcome"], "rejected", "{run}");
    assert_eq!(pair.host.status("bad")["last_good_sync"], 0);
    pair.neighbour_goes_on();
}

/// What will not end by being asked, or hides from whoever looks for its parent.
#[test]
fn nothing_of_a_connector_that_will_not_end_is_left() {
    for (behaviour, processes) in
        [("ignore-term", 1), ("double-fork-daemon", 2), ("fork-while-killed", 3)]
    {
        let pair = Pair::start(&format!("{behaviour} {FOR_LONG}"), 120_000, json!({ "tasks": 64 }));
        pair.unleash(behaviour, || {
            pair.processes() >= processes && host_is_syncing(&pair.host, "bad")
        });
        pair.neighbour_goes_on();
        pair.stop();
        pair.neighbour_goes_on();
    }
}

#[test]
fn a_race_between_forks_and_the_kill_is_won_by_the_kill_every_time() {
    let pair = Pair::start(
        &format!("fork-while-killed {FOR_LONG}"),
        120_000,
        json!({ "tasks": 64, "cpu": "50%" }),
    );
    for _ in 0..10 {
        pair.unleash("it forks", || pair.processes() >= 3);
        pair.stop();
        pair.host.cordon(&["start", "bad", "--reason", "drill"]).done();
    }
    pair.neighbour_goes_on();
}

#[test]
fn dead_children_do_not_stay_on_the_supervisors_hands() {
    let pair = Pair::start("zombies --count 50 --seconds 1", 3_000, json!({ "tasks": 256 }));
    pair.unleash_until_told("zombies");
    pair.stop();
    let supervisor = pair.host.pid();
    wait_until("every orphan is collected", GENEROUS, || dead_children_of(supervisor) == 0);
    pair.neighbour_goes_on();
}

/// Processes that ended and that this one has not waited for.
fn dead_children_of(parent: u32) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap();
    let stats = entries.flatten().filter_map(|entry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        Some((fields.next()?.to_owned(), fields.next()?.parse::<u32>().ok()?))
    });
    stats.filter(|(state, of)| state == "Z" && *of == parent).count()
}
