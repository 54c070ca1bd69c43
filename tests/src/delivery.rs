//! Every accepted change reaches every sink at least once, in order per connector; pause halts sync
//! and propagation within a second.

use std::time::Duration;

use cordon_testkit::{Host, Receiver, Response, Scenario, wait_until};

use crate::world::{believed, believed_from, delivered, last_good, run_of};

#[test]
fn a_webhook_gets_what_the_file_gets_signed_and_in_order() {
    let receiver = Receiver::start();
    let host = Host::setup()
        .faulty("src", &Scenario::default())
        .file_sink("out")
        .webhook_sink("hook", &receiver)
        .start();
    host.sync("src").done();
    delivered(&host);
    assert_eq!(believed(&receiver.changes(), "src"), believed_from(&host, "src"));
    for request in receiver.requests() {
        for header in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            assert!(request.header(header).is_some(), "{header} is missing");
        }
    }
}

#[test]
fn a_dead_endpoint_blocks_no_other_sink_and_misses_nothing() {
    let receiver = Receiver::start();
    receiver.answer(Response::Hang);
    let host = Host::setup()
        .faulty("src", &Scenario::default())
        .file_sink("out")
        .webhook_sink("hook", &receiver)
        .start();
    host.sync("src").done();
    wait_until("the file has everything", Duration::from_secs(20), || {
        host.changes("out").len() == 310
    });
    let status = host.cordon(&["status"]).done().json();
    let hook = status["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == "hook");
    assert_eq!(hook.unwrap()["behind"], 310);
    receiver.answer(Response::Status(204));
    delivered(&host);
    assert_eq!(believed(&receiver.changes(), "src"), believed_from(&host, "src"));
}

/// What a diff says of a release: the sinks that get it, and how many removals they are told of.
fn effect(host: &Host) -> (Vec<String>, serde_json::Value) {
    let header = host.cordon(&["diff", "src"]).done().json()["header"].take();
    let sinks = header["sinks"].as_array().unwrap();
    let names = sinks.iter().map(|sink| sink["name"].as_str().unwrap().to_owned());
    (names.collect(), header["told"].clone())
}

#[test]
fn a_diff_of_what_waits_says_which_sinks_get_what_of_it() {
    let elsewhere =
        serde_json::json!({ "type": "file", "path": "elsewhere.ndjson", "from": ["other"] });
    let host = Host::setup()
        .faulty("src", &Scenario::default())
        .faulty("other", &Scenario::default())
        .file_sink("out")
        .set("sink", "elsewhere", elsewhere)
        .start();
    host.sync("src").done();
    delivered(&host);
    assert_eq!(effect(&host), (vec![], serde_json::Value::Null), "nothing waits");
    host.play("src", &Scenario::with("sync-end", "empty"));
    let run = run_of(&host.sync("src").done());
    assert_eq!(run["outcome"], "quarantined");
    let told = serde_json::json!({ "added": 0, "removed": 310, "modified": 0 });
    assert_eq!(effect(&host), (vec!["out".to_owned()], told));
    let shown = host.cordon_as("table", &["diff", "src"]).done().stdout;
    assert!(shown.contains("If you release it") && shown.contains("live"), "{shown}");
}

#[test]
fn a_delivery_goes_on_where_it_stopped() {
    let receiver = Receiver::start();
    receiver.answer(Response::Status(503));
    let mut host = Host::setup()
        .faulty("src", &Scenario::default())
        .file_sink("out")
        .webhook_sink("hook", &receiver)
        .start();
    host.sync("src").done();
    host.kill();
    receiver.answer(Response::Status(204));
    host.start();
    delivered(&host);
    assert_eq!(believed(&receiver.changes(), "src").len(), 310);
}

#[test]
fn a_pause_halts_delivery_within_a_second_and_survives_a_restart() {
    let receiver = Receiver::start();
    receiver.answer(Response::Status(503));
    let mut host = Host::setup()
        .faulty("src", &Scenario::default())
        .file_sink("out")
        .webhook_sink("hook", &receiver)
        .start();
    host.sync("src").done();
    wait_until("a delivery was tried", Duration::from_secs(10), || !receiver.requests().is_empty());
    host.cordon(&["pause", "src", "--reason", "drill"]).done();
    std::thread::sleep(Duration::from_secs(1));
    receiver.answer(Response::Status(204));
    let before = receiver.requests().len();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(receiver.requests().len(), before, "nothing is sent a second after the pause");
    host.kill();
    host.start();
    assert_eq!(host.status("src")["runtime"], "paused");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(receiver.requests().len(), before, "nothing is sent while paused");
    host.cordon(&["resume", "src"]).done();
    delivered(&host);
    assert_eq!(believed(&receiver.changes(), "src").len(), 310);
}

#[test]
fn a_pause_ends_a_running_sync_within_a_second() {
    let host = Host::setup().faulty("src", &Scenario::default()).file_sink("out").start();
    host.sync("src").done();
    host.play("src", &Scenario::with("page:2", "hang").on_day(1));
    std::thread::scope(|scope| {
        let sync = scope.spawn(|| host.sync("src"));
        wait_until("it syncs", Duration::from_secs(10), || {
            host.status("src")["runtime"] == "syncing"
        });
        host.cordon(&["pause", "src", "--reason", "drill"]).done();
        // The promise is one second; a loaded machine gets three.
        wait_until("it is paused", Duration::from_secs(3), || {
            host.status("src")["runtime"] == "paused"
        });
        let _ = sync.join();
    });
    assert_eq!(last_good(&host, "src"), 1);
    host.play("src", &Scenario::default().on_day(1));
    host.cordon(&["resume", "src"]).done();
    wait_until("the interrupted sync runs again", Duration::from_secs(20), || {
        last_good(&host, "src") > 1
    });
}

#[test]
fn a_sync_while_paused_is_refused_and_says_who_paused_it() {
    let host = Host::setup().faulty("src", &Scenario::default()).start();
    host.cordon(&["pause", "src", "--reason", "certificate swap"]).done();
    let refused = host.sync("src").exits(2);
    assert!(refused.stderr.contains("certificate swap"), "{}", refused.stderr);
    assert_eq!(host.cordon(&["runs", "src"]).done().items().len(), 0);
    host.cordon(&["resume", "src"]).done();
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed");
}

#[test]
fn a_pause_in_the_middle_of_a_delivery_holds_the_rest() {
    let receiver = Receiver::start();
    receiver.answer(Response::Hang);
    let host = Host::setup()
        .faulty("src", &Scenario::default())
        .file_sink("out")
        .webhook_sink("hook", &receiver)
        .start();
    host.sync("src").done();
    wait_until("a delivery is under way", Duration::from_secs(10), || {
        !receiver.requests().is_empty()
    });
    host.cordon(&["pause", "src", "--reason", "drill"]).done();
    std::thread::sleep(Duration::from_secs(2));
    let before = receiver.requests().len();
    receiver.answer(Response::Status(204));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(receiver.requests().len(), before, "nothing is sent while paused");
    host.cordon(&["resume", "src"]).done();
    delivered(&host);
    assert_eq!(believed(&receiver.changes(), "src").len(), 310);
}

#[test]
fn a_stop_does_not_end_a_pause() {
    let receiver = Receiver::start();
    receiver.answer(Response::Status(503));
    let host =
        Host::setup().faulty("src", &Scenario::default()).webhook_sink("hook", &receiver).start();
    host.sync("src").done();
    host.cordon(&["pause", "src", "--reason", "drill"]).done();
    let refused = host.cordon(&["stop", "src", "--reason", "mistake"]).exits(2);
    assert!(refused.stderr.contains("is paused"), "{}", refused.stderr);
    wait_until("its process is gone and it is paused", Duration::from_secs(20), || {
        host.status("src")["runtime"] == "paused"
    });
    let before = receiver.requests().len();
    receiver.answer(Response::Status(204));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(receiver.requests().len(), before, "nothing is sent while paused");
}
