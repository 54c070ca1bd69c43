//! The supervisor dies by SIGKILL before every single call by which it changes its ledger, its store
//! or a sink's file: not at the steps that somebody thought of, but at all of them.
//!
//! One undisturbed run is watched and its calls are counted; then as many runs follow, each on a copy
//! of the same state, each killed one call later. Which thread is first may differ between two runs,
//! so a number does not always name the same call; a run that has fewer calls than the one that was
//! counted ends undisturbed, and is checked like all others.

use cordon_testkit::capability;
use cordon_testkit::disk::{Deed, Harm};

use crate::sweep::{
    DEEDS, chosen, continued, for_each, hit, is_swept, is_whole, prepared, setup, sync_watched,
};
use crate::world::run_of;

#[test]
fn a_kill_before_any_call_of_a_commit_and_its_delivery_leaves_one_whole_snapshot() {
    let (start, believed) = prepared();
    let mut counted = continued(&start);
    counted.start();
    let Some(watch) = sync_watched(&mut counted, &[]) else { return capability::skipped("ptrace") };
    let numbers = chosen(&watch.end());
    assert!(numbers.len() > 60, "only {} calls were seen", numbers.len());
    for_each(&numbers, |number| {
        let mut host = continued(&start);
        host.start();
        let watch = sync_watched(&mut host, &[(number, Harm::Kill)]).unwrap();
        host.start();
        let (killed, after) = hit(number, watch);
        is_whole(&host, &believed, &after);
        is_swept(&host, &after);
        killed
    });
}

#[test]
fn a_kill_before_any_call_of_a_recovery_leaves_one_whole_snapshot() {
    let (start, believed) = prepared();
    let mut counted = continued(&start);
    counted.start();
    let Some(watch) = sync_watched(&mut counted, &[]) else { return capability::skipped("ptrace") };
    // Dead between the snapshot's new name and the ledger's transaction: the most that there can be
    // to set right.
    let calls = watch.end();
    let renamed = calls.iter().rfind(|call| call.deed == Deed::Rename).unwrap();
    assert!(renamed.path.contains("/snapshots/"), "{renamed:?}");
    let mut dead = continued(&start);
    dead.start();
    sync_watched(&mut dead, &[(renamed.number + 1, Harm::Kill)]);
    let mut counted = continued(&dead);
    let (watch, started) = counted.start_watched(DEEDS, &[]);
    started.unwrap();
    counted.kill();
    let numbers = chosen(&watch.unwrap().end());
    assert!(numbers.len() > 10, "only {} calls were seen", numbers.len());
    for_each(&numbers, |number| {
        let mut host = continued(&dead);
        let (watch, started) = host.start_watched(DEEDS, &[(number, Harm::Kill)]);
        if started.is_ok() {
            host.kill();
        }
        host.start();
        let (killed, after) = hit(number, watch.unwrap());
        is_whole(&host, &believed, &after);
        is_swept(&host, &after);
        killed
    });
}

#[test]
fn a_kill_before_any_call_of_a_first_start_leaves_nothing_that_the_next_refuses() {
    let mut counted = setup(0).stopped();
    let (watch, started) = counted.start_watched(DEEDS, &[]);
    started.unwrap();
    let Some(watch) = watch else { return capability::skipped("ptrace") };
    counted.kill();
    let numbers = chosen(&watch.end());
    assert!(numbers.len() > 10, "only {} calls were seen", numbers.len());
    for_each(&numbers, |number| {
        let mut host = setup(0).stopped();
        let (watch, started) = host.start_watched(DEEDS, &[(number, Harm::Kill)]);
        if started.is_ok() {
            host.kill();
        }
        let (killed, after) = hit(number, watch.unwrap());
        if let Err(ended) = host.try_start() {
            panic!("after {after} it does not start: {}", ended.log);
        }
        assert_eq!(run_of(&host.sync("src").done())["outcome"], "committed", "after {after}");
        killed
    });
}
