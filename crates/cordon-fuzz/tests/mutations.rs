//! Every target over its seeds and a fixed number of their mutations. A failure names the round,
//! which is the same on every machine.

use std::panic::catch_unwind;

use cordon_fuzz::{TARGETS, mutated};

/// Runs one target; gives how many inputs it got.
#[track_caller]
fn check(name: &str) -> u64 {
    let target = TARGETS.iter().find(|target| target.name == name).expect("there is such a target");
    let seeds = (target.seeds)();
    for round in 0..target.rounds {
        let bytes = mutated(&seeds, round);
        if catch_unwind(|| (target.run)(&bytes)).is_err() {
            panic!("{name} fails in round {round} on {bytes:?}");
        }
    }
    target.rounds
}

#[test]
fn no_batch_of_bytes_is_believed_that_does_not_hold_together() {
    assert!(check("batch") > 0);
}

#[test]
fn no_stream_of_bytes_ends_a_session_in_anything_but_a_candidate_or_a_violation() {
    assert!(check("stream") > 0);
}

#[test]
fn no_description_is_believed_that_announces_anything_twice() {
    assert!(check("describe") > 0);
}

#[test]
fn no_trailer_makes_an_error_without_a_kind_or_an_end() {
    assert!(check("status") > 0);
}

#[test]
fn no_answer_to_a_lookup_speaks_of_other_keys_than_were_asked() {
    assert!(check("lookup") > 0);
}

#[test]
fn no_manifest_on_the_disk_is_read_into_anything_but_itself_or_an_error() {
    assert!(check("manifest") > 0);
}

#[test]
fn every_target_is_tested_and_its_seeds_are_read_to_their_end() {
    assert_eq!(TARGETS.len(), 6);
    for target in &TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no seed", target.name);
        let bytes: usize = seeds.iter().map(Vec::len).sum();
        assert!(bytes < 64 * 1024, "the seeds of {} have {bytes} bytes", target.name);
        seeds.iter().for_each(|seed| (target.run)(seed));
    }
}
