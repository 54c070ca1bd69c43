//! The host fixture itself, over the real `cordond`. Everything else about the service is tested in
//! tests/.

use std::time::Duration;

use cordon_testkit::{Connector, Host, Receiver, Scenario, process, wait_until};

#[test]
fn a_host_syncs_survives_a_kill_and_leaves_no_process() {
    let receiver = Receiver::start();
    let mut host = Host::setup()
        .connector("hr", Connector::faulty(&Scenario::default()).set("every", "1h"))
        .file_sink("changes")
        .webhook_sink("hook", &receiver)
        .start();
    host.sync("hr").done();
    let deadline = Duration::from_secs(20);
    wait_until("310 changes are in the file", deadline, || host.changes("changes").len() == 310);
    wait_until("310 changes were posted", deadline, || receiver.changes().len() == 310);
    // Killed before it noted the delivery, it would deliver again.
    wait_until("both deliveries are noted", deadline, || {
        let sinks = host.cordon(&["status"]).done().json()["sinks"].take();
        sinks.as_array().is_some_and(|sinks| sinks.iter().all(|sink| sink["behind"] == 0))
    });

    // What a sink got and the ledger did not note before the kill would come again.
    wait_until("both deliveries are noted", deadline, || {
        let status = host.cordon(&["status"]).done().json();
        status["sinks"].as_array().is_some_and(|all| all.iter().all(|sink| sink["behind"] == 0))
    });
    let pid = host.pid();
    host.kill();
    assert!(!process::is_alive(pid));
    host.start();
    host.play("hr", &Scenario::default().on_day(1));
    host.sync("hr").done();
    // One user left with two grants, one joined with two, one has another name.
    wait_until("the day's changes are in the file", deadline, || {
        host.changes("changes").len() == 310 + 3 + 3 + 1
    });
    assert_eq!(host.status("hr")["name"], "hr");

    let pid = host.pid();
    drop(host);
    assert!(!process::is_alive(pid));
}

#[test]
fn a_second_service_on_the_same_state_is_seen_to_end() {
    let mut host = Host::setup().faulty("hr", &Scenario::default()).start();
    let ended = host.second();
    assert!(!ended.status.success(), "{ended:?}");
    assert!(host.terminate().success(), "{}", host.log());
}
