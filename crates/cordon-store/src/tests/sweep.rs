//! What a sweep takes and, above all, what it leaves.

use std::collections::BTreeSet;

use super::*;
use crate::{Keep, SweepError};

fn keep(snapshots: &[u64], candidates: &[u64]) -> Keep {
    let of = |syncs: &[u64]| -> BTreeSet<_> {
        syncs.iter().map(|sync| (hr(), SyncNumber(*sync))).collect()
    };
    Keep { snapshots: of(snapshots), candidates: of(candidates) }
}

/// The same store after a restart: nothing is fresh any more.
fn reopened(host: &Host) -> Store {
    Store::open(host.path()).unwrap().with_limits(TIGHT)
}

fn three(host: &Host) -> Vec<Snapshot> {
    let mut last = None;
    let mut all = Vec::new();
    for sync in 1..4 {
        let records = [user("a", &format!("u{sync}")), group("b", "always")];
        let next = host.publish(sync, &records, last.as_ref());
        all.push(next.clone());
        last = Some(next);
    }
    all
}

#[test]
fn what_is_not_kept_goes_and_what_is_shared_stays() {
    let host = Host::new();
    let all = three(&host);
    let store = reopened(&host);
    let swept = store.sweep(&keep(&[2, 3], &[])).unwrap();
    // The group is in all three snapshots, the user of the first is not.
    assert_eq!((swept.manifests, swept.objects), (1, 2));
    assert!(swept.bytes > 0);
    assert!(store.snapshot(&hr(), SyncNumber(1)).is_err());
    store.verify(&all[1]).unwrap();
    store.verify(&all[2]).unwrap();
    assert_eq!(store.sweep(&keep(&[2, 3], &[])).unwrap(), crate::Swept::default());
}

#[test]
fn candidates_that_are_kept_stay_whole() {
    let host = Host::new();
    host.stage(1, &[user("a", "ann")], None);
    host.stage(2, &[user("a", "bob")], None);
    let store = reopened(&host);
    let swept = store.sweep(&keep(&[], &[2])).unwrap();
    assert_eq!((swept.manifests, swept.objects), (1, 2));
    store.verify(&store.candidate(&hr(), SyncNumber(2)).unwrap()).unwrap();
}

#[test]
fn a_discarded_candidate_is_gone_and_its_files_follow() {
    let host = Host::new();
    host.stage(1, &[user("a", "ann")], None);
    host.store.discard_candidate(&hr(), SyncNumber(1)).unwrap();
    host.store.discard_candidate(&hr(), SyncNumber(1)).unwrap();
    assert!(host.store.candidate(&hr(), SyncNumber(1)).is_err());
    assert_eq!(host.store.sweep(&Keep::default()).unwrap().objects, 2);
}

#[test]
fn what_this_process_wrote_stays_until_a_keep_has_named_it() {
    let host = Host::new();
    let staged = host.stage(1, &[user("a", "ann")], None);
    host.store.sweep(&Keep::default()).unwrap();
    let first = host.publish_staged(&staged);
    host.store.sweep(&Keep::default()).unwrap();
    host.store.verify(&first).unwrap();
    host.store.sweep(&keep(&[1], &[])).unwrap();
    assert_eq!(host.store.sweep(&Keep::default()).unwrap().manifests, 1);
}

#[test]
fn a_sweep_leaves_running_stagings_and_takes_those_of_the_dead() {
    let host = Host::new();
    let mut staging = host.store.stage(spec(1, schemas())).unwrap();
    let records = [user("a", "ann")];
    append(&mut staging, &records, 1).unwrap();
    let dead = host.path().join("staging/hr.7.abcdef");
    std::fs::create_dir(&dead).unwrap();
    std::fs::write(dead.join("resource.user.parquet"), "half").unwrap();
    assert_eq!(host.store.sweep(&Keep::default()).unwrap().staging, 1);
    assert!(!dead.exists());
    staging.finish(complete(&records), None).unwrap();
}

#[test]
fn files_with_unknown_names_are_left_and_listed() {
    let host = Host::new();
    three(&host);
    let strange = [
        "staging/notes.txt",
        "staging/my-backup/data",
        "objects/readme",
        "objects/ab/abc.parquet",
        "candidates/hr/1.json.bak",
        "candidates/Not A Connector/1.json",
        "snapshots/hr/001.json",
        "snapshots/hr/x.json",
    ];
    for name in strange {
        let path = host.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "?").unwrap();
    }
    let swept = reopened(&host).sweep(&keep(&[3], &[])).unwrap();
    assert_eq!(swept.unknown.len(), strange.len());
    for name in strange {
        assert!(host.path().join(name).exists(), "{name}");
    }
    assert_eq!(swept.manifests, 2);
}

#[test]
fn a_manifest_that_cannot_be_read_is_left_with_every_file_there_is() {
    for sync in [1, 3] {
        let host = Host::new();
        three(&host);
        let path = host.path().join(format!("snapshots/hr/{sync}.json"));
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 5;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let before = tree(host.path());
        let error = reopened(&host).sweep(&keep(&[3], &[])).unwrap_err();
        let SweepError::Manifest(cause) = error else { panic!("{error}") };
        assert!(cause.to_string().contains(&format!("snapshots/hr/{sync}.json")), "{cause}");
        assert_eq!(tree(host.path()), before);
    }
}

#[test]
fn a_kept_snapshot_that_is_missing_stops_the_sweep() {
    let host = Host::new();
    three(&host);
    let before = tree(host.path());
    let error = reopened(&host).sweep(&keep(&[3, 9], &[])).unwrap_err();
    assert!(matches!(error, SweepError::Manifest(_)), "{error}");
    assert_eq!(tree(host.path()), before);
}
