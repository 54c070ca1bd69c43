//! A supervisor that runs out of descriptors refuses what would take the last ones, waits, and goes
//! on.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use cordon_testkit::{Connector, Host, Scenario, process, wait_until};
use serde_json::json;

use crate::world::{ended_run, newest_run, run_of};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_service_that_runs_out_of_descriptors_lives_and_goes_on() {
    let late =
        Connector::faulty(&Scenario::default()).set("restart", json!({ "backoff": "1s..2s" }));
    let mut host =
        Host::setup().faulty("early", &Scenario::default()).connector("late", late).start();
    assert_eq!(run_of(&host.sync("early").done())["outcome"], "committed");
    let pid = host.pid();
    let hard = 4096;
    process::limit_descriptors(pid, process::descriptors(pid) + 12, hard);

    host.sync("late");
    let run = ended_run(&host, "late");
    let error = run["error"].as_str().unwrap();
    assert!(error.contains("descriptors left, and a start needs"), "{error}");
    assert_eq!(host.status("late")["trust_reasons"][0], "host");

    // More connections than it can take; they wait in the kernel.
    let greedy: Vec<UnixStream> =
        (0..40).map(|_| UnixStream::connect(host.socket()).unwrap()).collect();
    wait_until("it cannot accept", LONG, || host.log().contains("cannot accept"));
    let (ticks, window) = (process::cpu_ticks(pid), Duration::from_secs(2));
    std::thread::sleep(window);
    let spent = process::cpu_ticks(pid) - ticks;
    assert!(spent < 100, "{spent} hundredths of a second within {window:?}: it does not spin");
    assert_eq!(host.log().matches("cannot accept").count(), 1, "it is told once a minute");
    assert!(host.runs());

    drop(greedy);
    process::limit_descriptors(pid, hard, hard);
    wait_until("it answers", LONG, || host.cordon(&["status"]).code == 0);
    wait_until("the start is tried again", LONG, || {
        newest_run(&host, "late")["outcome"] == "committed"
    });
    assert_eq!(run_of(&host.sync("early").done())["outcome"], "committed");
}
