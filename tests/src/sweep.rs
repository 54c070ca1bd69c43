//! What the sweeps over all calls on the disk share: where they begin, which calls they try, and what
//! must hold after each.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cordon_testkit::disk::{Call, Deed, Harm, Watch};
use cordon_testkit::{Host, Scenario, Setup, wait_until};
use serde_json::Value;

use crate::world::{believed_from, delivered, is_delivered, last_good, run_of};

/// Everything that changes a file.
pub(crate) const DEEDS: &[Deed] =
    &[Deed::Sync, Deed::Rename, Deed::Remove, Deed::Truncate, Deed::Write, Deed::Make];
/// Hosts that are driven at a time; they wait more than they work.
pub(crate) const HOSTS: u64 = 3;

pub(crate) fn setup(day: u32) -> Setup {
    Host::setup().faulty("src", &Scenario::default().on_day(day)).file_sink("out")
}

/// What a consumer believes at the first snapshot and at the second.
pub(crate) struct Believed(pub(crate) [BTreeMap<String, Value>; 2]);

/// A stopped host with one snapshot, and what is to be believed before and after the next.
pub(crate) fn prepared() -> (Host, Believed) {
    let mut host = setup(0).start();
    host.sync("src").done();
    delivered(&host);
    let first = believed_from(&host, "src");
    host.terminate();
    let mut next = setup(1).stopped();
    next.take_state_of(&host);
    next.start();
    next.sync("src").done();
    delivered(&next);
    (host, Believed([first, believed_from(&next, "src")]))
}

/// Checks every number, on a few threads; each check tells whether its run came to the
/// call that was meant.
#[track_caller]
pub(crate) fn for_each(numbers: &[u64], check: impl Fn(u64) -> bool + Sync) {
    let (next, hit) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..HOSTS {
            scope.spawn(|| {
                while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                    hit.fetch_add(usize::from(check(*number)), Ordering::Relaxed);
                }
            });
        }
    });
    let (hit, of) = (hit.into_inner(), numbers.len());
    assert!(hit * 2 > of, "only {hit} of {of} runs came to the call that was meant");
}

/// A host that came back: its consumer knows the snapshot that is served and no other, and the next
/// sync leads to the second.
#[track_caller]
pub(crate) fn is_whole(host: &Host, believed: &Believed, after: &str) {
    is_sound(host, after);
    let at = last_good(host, "src");
    delivered(host);
    let place = usize::from(at > 1);
    assert_eq!(believed_from(host, "src"), believed.0[place], "after {after}, at snapshot {at}");
    assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed", "after {after}");
    is_at_second(host, believed, after);
}

/// Evidence and snapshots are what they were when they were written.
#[track_caller]
pub(crate) fn is_sound(host: &Host, after: &str) {
    for item in host.cordon(&["doctor"]).items() {
        if item["name"] == "evidence" || item["name"] == "snapshots" {
            assert_eq!(item["state"], "ok", "after {after}: {item}");
        }
    }
    host.cordon(&["diff", "src", "--full"]).done();
}

/// Everything of the second snapshot is delivered, and no older run is without an end.
#[track_caller]
pub(crate) fn is_at_second(host: &Host, believed: &Believed, after: &str) {
    delivered(host);
    assert_eq!(believed_from(host, "src"), believed.0[1], "after {after} and another sync");
    let runs = host.cordon(&["runs", "src"]).done().items();
    let older = runs.get(1..).unwrap_or_default();
    assert!(older.iter().all(|run| run["outcome"] != "running"), "after {after}: {older:?}");
}

/// Nothing of a sync that ended is left beside what was published.
#[track_caller]
pub(crate) fn is_swept(host: &Host, after: &str) {
    is_empty(&host.state().join("store/staging"), after);
    is_empty(&host.state().join("store/candidates/src"), after);
}

#[track_caller]
fn is_empty(folder: &Path, after: &str) {
    let left: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "after {after} there is left: {left:?}");
}

/// A host that goes on from the state of another.
pub(crate) fn continued(start: &Host) -> Host {
    let host = setup(1).stopped();
    host.take_state_of(start);
    host
}

/// Which of the calls that were counted are tried. The ledger writes its log page by page, and before
/// the last page of a transaction nothing of it counts: of each such row of writes the first, the
/// second, the last and every eighth are enough, unless `CORDON_SWEEP` is `full`.
pub(crate) fn chosen(calls: &[Call]) -> Vec<u64> {
    let is_log = |call: &Call| call.deed == Deed::Write && call.path.ends_with("-wal");
    let calls: Vec<&Call> = calls.iter().filter(|call| call.number > 0).collect();
    if std::env::var("CORDON_SWEEP").is_ok_and(|sweep| sweep == "full") {
        return calls.iter().map(|call| call.number).collect();
    }
    let rows = calls.chunk_by(|a, b| is_log(a) && is_log(b));
    let chosen = rows.flat_map(|row| {
        let last = row.len() - 1;
        let places =
            (0..row.len()).filter(move |place| *place < 2 || place % 8 == 0 || *place == last);
        places.map(|place| row[place].number)
    });
    chosen.collect()
}

/// Whether the service was killed, and before which call, for a message.
pub(crate) fn hit(number: u64, watch: Watch) -> (bool, String) {
    let call = watch.end().into_iter().find(|call| call.hit);
    (call.is_some(), format!("call {number}, {call:?}"))
}

/// Waits until everything is delivered, or the service is dead.
pub(crate) fn delivered_or_dead(host: &mut Host) {
    wait_until("a delivery or a death", Duration::from_secs(30), || {
        let status = host.cordon(&["status"]);
        status.code == 0 && is_delivered(&status) || !host.runs()
    });
}

/// Watches one sync, its delivery and the end of the service.
pub(crate) fn sync_watched(host: &mut Host, harms: &[(u64, Harm)]) -> Option<Watch> {
    let watch = host.watch(DEEDS, harms)?;
    host.sync("src");
    delivered_or_dead(host);
    if host.runs() {
        host.terminate();
    } else {
        host.ended();
    }
    Some(watch)
}
