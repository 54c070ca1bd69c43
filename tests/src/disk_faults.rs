//! The disk refuses one call, or every call from one on: at each of the calls of a commit and its
//! delivery. The sync fails and says why, or what failed is tried again; the service lives, the last
//! known good stays served, and the next sync with a sound disk commits.

use std::collections::BTreeMap;
use std::time::Duration;

use cordon_testkit::disk::{Call, Deed, Harm, Mark};
use cordon_testkit::{Answer, Host, capability, wait_until};

use crate::sweep::{
    Believed, DEEDS, chosen, continued, delivered_or_dead, for_each, is_at_second, is_sound,
    is_swept, is_whole, prepared,
};
use crate::world::{is_delivered, run_of};

/// An input or output error, and a full disk.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// The numbers of the calls of one undisturbed sync that are tried; none where nothing can be watched.
fn counted(start: &Host) -> Option<Vec<u64>> {
    let mut host = continued(start);
    host.start();
    let watch = host.watch(DEEDS, &[])?;
    host.sync("src");
    delivered_or_dead(&mut host);
    Some(chosen(&watch.end()))
}

/// A descriptor whose sync failed may not be synced again as if nothing had happened: the kernel
/// has forgotten what it could not write. What is written again may be.
#[track_caller]
fn no_sync_is_repeated(calls: &[Call]) {
    let mut failed: BTreeMap<u64, &str> = BTreeMap::new();
    for call in calls {
        let Some(descriptor) = call.descriptor else { continue };
        match call.deed {
            Deed::Close | Deed::Write => {
                failed.remove(&descriptor);
            }
            Deed::Sync => {
                let path = failed.remove(&descriptor);
                assert_eq!(path, None, "a sync that failed was repeated: {calls:?}");
                if call.hit {
                    failed.insert(descriptor, &call.path);
                }
            }
            Deed::Rename | Deed::Remove | Deed::Truncate | Deed::Make => {}
        }
    }
}

/// A sync that could not even be written down says what the disk said.
#[track_caller]
fn says_why(answer: &Answer, after: &str) {
    if answer.code != 0 {
        let told = answer.problem()["message"].as_str().unwrap_or_default().to_owned();
        let says = ["Input/output error", "disk I/O error", "No space left", "disk is full"];
        assert!(says.iter().any(|words| told.contains(words)), "after {after}: {told}");
    }
}

/// With a sound disk the next sync commits, and all of it is delivered.
#[track_caller]
fn recovers(host: &Host, believed: &Believed, after: &str) {
    wait_until("a sync commits again", Duration::from_secs(60), || {
        let answer = host.sync("src");
        answer.code == 0 && run_of(&answer)["outcome"] == "committed"
    });
    is_at_second(host, believed, after);
    is_sound(host, after);
}

#[test]
fn a_call_that_the_disk_refuses_fails_that_sync_and_no_other() {
    let (start, believed) = prepared();
    let Some(numbers) = counted(&start) else { return capability::skipped("ptrace") };
    for_each(&numbers, |number| {
        let mut host = continued(&start);
        host.start();
        let watch = host.watch(DEEDS, &[(number, Harm::Fail(EIO))]).unwrap();
        let answer = host.sync("src");
        delivered_or_dead(&mut host);
        let calls = watch.end();
        let hit = calls.iter().find(|call| call.hit);
        let after = format!("call {number}, {hit:?}");
        assert!(host.runs(), "the service died after {after}");
        says_why(&answer, &after);
        no_sync_is_repeated(&calls);
        if hit.is_some_and(must_fail) {
            let runs = host.cordon(&["runs", "src"]).done().items();
            let run = runs.iter().find(|run| run["sync"] == 2).unwrap();
            assert_eq!(run["outcome"], "failed", "after {after}: {run}");
        }
        recovers(&host, &believed, &after);
        let candidate = host.state().join("store/candidates/src/2.json");
        assert!(!candidate.exists(), "after {after} the candidate of a failed sync is left");
        host.terminate();
        host.start();
        recovers(&host, &believed, &after);
        is_swept(&host, &after);
        hit.is_some()
    });
}

/// Whether a commit may not go on without this call: its files must be whole, and on the disk.
fn must_fail(call: &Call) -> bool {
    call.path.contains("/store/") && matches!(call.deed, Deed::Sync | Deed::Write | Deed::Rename)
}

#[test]
fn a_full_disk_fails_syncs_until_there_is_room_and_the_last_known_good_stays_served() {
    let (start, believed) = prepared();
    let Some(numbers) = counted(&start) else { return capability::skipped("ptrace") };
    let numbers: Vec<u64> = numbers.into_iter().step_by(3).collect();
    for_each(&numbers, |number| {
        let mut host = continued(&start);
        host.start();
        let fills = [Deed::Write, Deed::Make, Deed::Truncate, Deed::Sync];
        let watch = host.watch(&fills, &[(number, Harm::FailOn(ENOSPC))]).unwrap();
        let after = format!("a full disk from call {number} on");
        says_why(&host.sync("src"), &after);
        assert!(host.runs(), "the service died after {after}");
        host.cordon(&["status"]).done();
        is_sound(&host, &after);
        let calls = watch.end();
        no_sync_is_repeated(&calls);
        host.cordon(&["restart", "src", "--reason", "there is room again"]).done();
        recovers(&host, &believed, &after);
        calls.iter().any(|call| call.hit)
    });
}

/// Waits until what failed was tried again, accepted and delivered, or the service is dead.
fn retried_or_dead(host: &mut Host) {
    wait_until("another try or a death", Duration::from_secs(30), || {
        let status = host.cordon(&["status"]);
        let is_accepted = status.code == 0
            && status.items()[0]["last_good_sync"].as_u64() > Some(1)
            && is_delivered(&status);
        is_accepted || !host.runs()
    });
}

#[test]
fn a_transaction_that_the_disk_refused_does_not_come_true_at_a_crash() {
    let (start, believed) = prepared();
    // The sync of the ledger's log by which the snapshot becomes the last known good.
    let from = [
        Mark { deed: Deed::Rename, path: "/snapshots/".to_owned() },
        Mark { deed: Deed::Sync, path: "cordon.db-wal".to_owned() },
    ];
    let refused = (1, Harm::Fail(EIO));
    let mut host = continued(&start);
    host.start();
    let Some(watch) = host.watch_from(&from, DEEDS, &[refused]) else {
        return capability::skipped("ptrace");
    };
    assert_ne!(host.sync("src").code, 0);
    retried_or_dead(&mut host);
    let calls = watch.end();
    assert!(calls.iter().any(|call| call.hit), "{calls:?}");
    let last = calls.iter().map(|call| call.number).max().unwrap();
    let numbers: Vec<u64> = (2..=last.min(14)).collect();
    for_each(&numbers, |number| {
        let mut host = continued(&start);
        host.start();
        let watch = host.watch_from(&from, DEEDS, &[refused, (number, Harm::Kill)]).unwrap();
        host.sync("src");
        retried_or_dead(&mut host);
        let is_dead = !host.runs();
        if is_dead {
            host.ended();
        } else {
            host.kill();
        }
        let after = format!("an error and death {number} calls on: {:?}", watch.end().last());
        if let Err(ended) = host.try_start() {
            panic!("after {after} it does not start: {}", ended.log);
        }
        is_whole(&host, &believed, &after);
        is_dead
    });
}
