//! The service towards its service manager: what it says of itself, and how it stops.

use std::time::Duration;

use cordon_testkit::{Connector, Host, Scenario, process, wait_until};

use crate::world::{last_good, newest_run, run_of};

const PATIENCE: Duration = Duration::from_secs(60);

/// A sync of some seconds, one record at a time.
fn slow() -> Scenario {
    Scenario { users: 20, groups: 2, ..Scenario::with("page:1", "slow:60") }
}

/// Waits until a sync of the connector runs.
#[track_caller]
fn runs(host: &Host, connector: &str) {
    wait_until("the sync runs", PATIENCE, || host.status(connector)["runtime"] == "syncing");
}

#[test]
fn a_service_says_that_it_is_ready_how_it_stands_and_that_it_goes_on() {
    let mut host = Host::setup().faulty("src", &Scenario::default()).file_sink("out").stopped();
    let mut manager = host.manager();
    host.start();
    manager.wait_for("WATCHDOG=1", 3);
    assert_eq!(manager.count("READY=1"), 1);
    manager.wait_for("STATUS=1 connector (1 unproven); 1 sink", 1);
    host.sync("src").done();
    manager.wait_for("STATUS=1 connector (1 trusted); 1 sink", 1);
    host.terminate();
    manager.wait_for("STOPPING=1", 1);
}

/// The rest of the service goes on for seconds beside the blocked loop: a ping that came from
/// anywhere else would be heard.
#[test]
fn a_blocked_main_loop_sends_no_more_pings() {
    let mut host = Host::setup().faulty("src", &slow()).stopped();
    let mut manager = host.manager();
    host.arm("block:main.heartbeat:3");
    host.start();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
    assert_eq!(manager.count("WATCHDOG=1"), 2);
}

#[test]
fn a_start_that_takes_long_asks_for_patience() {
    let mut host = Host::setup().stopped();
    let mut manager = host.manager();
    host.arm("block:host.opening");
    host.begin();
    manager.wait_for("EXTEND_TIMEOUT_USEC=", 2);
    assert_eq!(manager.count("READY=1"), 0);
}

#[test]
fn a_stop_lets_a_running_sync_come_to_its_end() {
    let mut host = Host::setup().faulty("src", &slow()).start();
    host.cordon(&["sync", "src"]).done();
    runs(&host, "src");
    assert_eq!(host.terminate().code(), Some(0));
    host.start();
    assert_eq!(last_good(&host, "src"), 1);
}

#[test]
fn a_second_order_to_stop_calls_off_what_runs_and_it_stays_due() {
    let scenario = Scenario::with("page:1", "hang");
    let connector = Connector::faulty(&scenario).set("every", "24h");
    let mut host = Host::setup().connector("src", connector).start();
    runs(&host, "src");
    let pid = host.status("src")["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    host.ask_to_end();
    wait_until("it stops", PATIENCE, || host.log().contains("stopping"));
    assert_eq!(host.terminate().code(), Some(0));
    assert!(!process::is_alive(pid.expect("it had a process")));
    host.play("src", &Scenario::default());
    host.start();
    // A day before its time: what was called off is not counted.
    wait_until("it ran again", PATIENCE, || newest_run(&host, "src")["outcome"] == "committed");
}
