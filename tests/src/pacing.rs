//! A source that suddenly brings far more than before is read more slowly while others sync, and as
//! fast as it can be while none does; nothing of it is lost either way.

use cordon_testkit::{Connector, Host, Scenario};
use serde_json::json;

use crate::world::run_of;

/// Records beyond which a first sync is unusual, and how many of those are read a second beside
/// others: `UNUSUAL_RECORDS_FROM` and `UNUSUAL_RECORDS_PER_SECOND` of the supervisor.
const USUAL: u64 = 100_000;
const PER_SECOND: u64 = 10_000;

fn flood(host: &Host) -> (u64, u64) {
    let run = run_of(&host.sync("flood").done());
    assert_eq!(run["outcome"], "committed", "{run}");
    (run["records"].as_u64().unwrap(), run["gave_way_us"].as_u64().unwrap())
}

fn with_flood(slow_ms: u64) -> Host {
    let source = Connector::program("connector-generator").config(json!({ "grants": 100_000 }));
    let few = Scenario { users: 50, groups: 1, grants_per_user: 1, ..Scenario::default() };
    let slow = few.and("page:1", &format!("slow:{slow_ms}"));
    Host::setup().connector("flood", source).faulty("slow", &slow).start()
}

#[test]
fn a_flood_gives_way_to_a_sync_beside_it() {
    let host = with_flood(2_000);
    // Still reads when the flood is over: fifty records, two seconds between any two.
    host.cordon(&["sync", "slow"]).done();
    cordon_testkit::wait_until("it syncs", std::time::Duration::from_secs(60), || {
        host.status("slow")["progress"]["records"].as_u64() > Some(0)
    });
    let (records, gave_way) = flood(&host);
    assert_eq!(host.status("slow")["runtime"], "syncing");
    let least = (records - USUAL) * 1_000_000 / PER_SECOND;
    assert!(gave_way >= least, "{gave_way} µs for {records} records, and {least} are the least");
}

#[test]
fn a_flood_on_a_host_of_its_own_waits_for_nobody() {
    assert_eq!(flood(&with_flood(0)).1, 0);
}
