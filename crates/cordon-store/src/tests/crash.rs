//! The store after a crash at every step: the old snapshot or the new one, whole.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use super::*;
use crate::{FAULT_POINTS, Keep, PublishError};

/// What the folder looked like at every fault point of a sync that was staged and published.
fn copies(host: &Host, last: &Snapshot, records: &[Record]) -> Vec<(&'static str, Files)> {
    let seen: Arc<Mutex<Vec<(&'static str, Files)>>> = Arc::default();
    let (into, root) = (seen.clone(), host.path().to_owned());
    let store = hooked(&host.store, move |point| into.lock().unwrap().push((point, tree(&root))));
    let staged = stage(&store, 2, records, complete(records), Some(last), 3).unwrap();
    store.publish(accepted(&staged.candidate)).unwrap();
    drop(store);
    Arc::try_unwrap(seen).ok().unwrap().into_inner().unwrap()
}

/// The points that every sync passes.
fn of_a_sync() -> impl Iterator<Item = &'static str> {
    FAULT_POINTS.iter().copied().filter(|point| !point.starts_with("store.rebase"))
}

type Files = BTreeMap<String, Vec<u8>>;

fn restore(files: &Files) -> tempfile::TempDir {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    dir
}

#[test]
fn after_a_crash_at_any_point_the_old_or_the_new_snapshot_is_there_whole() {
    let host = Host::new();
    let old: Vec<_> = (0..12).map(|n| user("a", &format!("u{n}"))).collect();
    let new: Vec<_> = old[2..].iter().cloned().chain([group("b", "ops")]).collect();
    let first = host.publish(1, &old, None);
    let copies = copies(&host, &first, &new);
    let points: Vec<_> = copies.iter().map(|(point, _)| *point).collect();
    for point in of_a_sync() {
        assert!(points.contains(&point), "{point} was not passed");
    }
    for (point, files) in copies {
        let dir = restore(&files);
        let store = Store::open(dir.path()).unwrap().with_limits(TIGHT);
        let newest = store.newest(&hr()).unwrap().unwrap();
        let renamed = point == "store.publish.renamed" || point == "store.publish.synced";
        assert_eq!(newest, SyncNumber(if renamed { 2 } else { 1 }), "{point}");
        let snapshot = store.snapshot(&hr(), newest).unwrap();
        store.verify(&snapshot).unwrap();
        let candidates = BTreeSet::from([(hr(), SyncNumber(2))]);
        let keep = Keep { snapshots: BTreeSet::from([(hr(), newest)]), candidates };
        let swept = store.sweep(&keep).unwrap();
        assert_eq!(swept.unknown, [""; 0].map(std::path::PathBuf::from), "{point}");
        store.verify(&snapshot).unwrap();
        assert_eq!(std::fs::read_dir(dir.path().join("staging")).unwrap().count(), 0, "{point}");
        // The sync is simply done again, whatever the crash left.
        let last = store.snapshot(&hr(), newest).unwrap();
        let staged = stage(&store, 3, &new, complete(&new), Some(&last), 3).unwrap();
        store.publish(accepted(&staged.candidate)).unwrap();
        store.verify(&store.snapshot(&hr(), SyncNumber(3)).unwrap()).unwrap();
    }
}

#[test]
fn a_candidate_that_was_written_can_be_published_after_the_crash() {
    let host = Host::new();
    let first = host.publish(1, &[user("a", "ann")], None);
    let new = [user("a", "bob")];
    let staged = host.stage(2, &new, Some(&first));
    let dir = restore(&tree(host.path()));
    let store = Store::open(dir.path()).unwrap();
    let candidate = store.candidate(&hr(), SyncNumber(2)).unwrap();
    assert_eq!(*candidate.digest, staged.candidate.digest);
    store.publish(accepted(&staged.candidate)).unwrap();
    assert_eq!(store.newest(&hr()).unwrap(), Some(SyncNumber(2)));
}

#[test]
fn a_panic_at_any_point_leaves_a_store_that_goes_on() {
    for point in of_a_sync() {
        let host = Host::new();
        let first = host.publish(1, &[user("a", "ann")], None);
        let new = [user("a", "bob")];
        let store = hooked(&host.store, move |passed| {
            if passed == point {
                panic!("drill");
            }
        });
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let staged = stage(&store, 2, &new, complete(&new), Some(&first), 3).unwrap();
            store.publish(accepted(&staged.candidate)).unwrap();
        }));
        assert!(outcome.is_err(), "{point}");
        assert_eq!(std::fs::read_dir(host.path().join("staging")).unwrap().count(), 0, "{point}");
        let last = host.store.newest(&hr()).unwrap().unwrap();
        let last = host.store.snapshot(&hr(), last).unwrap();
        host.store.verify(&last).unwrap();
        host.publish(3, &new, Some(&last));
        let keep = Keep { snapshots: BTreeSet::from([(hr(), SyncNumber(3))]), ..Keep::default() };
        host.store.sweep(&keep).unwrap();
        host.store.verify(&host.store.snapshot(&hr(), SyncNumber(3)).unwrap()).unwrap();
    }
}

#[test]
fn publishing_twice_changes_nothing() {
    let host = Host::new();
    let staged = host.stage(1, &[user("a", "ann")], None);
    let one = host.store.publish(accepted(&staged.candidate)).unwrap();
    let files = tree(host.path());
    let two = host.store.publish(accepted(&staged.candidate)).unwrap();
    assert_eq!(one, two);
    assert_eq!(tree(host.path()), files);
}

#[test]
fn an_old_acceptance_repeated_does_not_bring_the_old_snapshot_back() {
    let host = Host::new();
    let staged = host.stage(1, &[user("a", "ann")], None);
    let first = host.publish_staged(&staged);
    host.publish(2, &[user("a", "bob")], Some(&first));
    host.store.publish(accepted(&staged.candidate)).unwrap();
    assert_eq!(host.store.newest(&hr()).unwrap(), Some(SyncNumber(2)));
}

#[test]
fn a_candidate_judged_against_an_older_snapshot_is_outrun() {
    let host = Host::new();
    let first = host.publish(1, &[user("a", "ann")], None);
    let slow = host.stage(2, &[user("a", "bob")], Some(&first));
    let never_judged_against_any = host.stage(4, &[user("a", "eve")], None);
    host.publish(3, &[user("a", "cid")], Some(&first));
    for candidate in [slow.candidate, never_judged_against_any.candidate] {
        let error = host.store.publish(accepted(&candidate)).unwrap_err();
        let PublishError::Outrun { judged, current, .. } = &error else { panic!("{error}") };
        assert_eq!((*judged, *current), (candidate.against, Some(SyncNumber(3))));
    }
    assert_eq!(host.store.newest(&hr()).unwrap(), Some(SyncNumber(3)));
}

#[test]
fn other_content_under_an_accepted_number_is_not_published() {
    let host = Host::new();
    let staged = host.stage(1, &[user("a", "ann")], None);
    host.stage(1, &[user("a", "mallory")], None);
    let error = host.store.publish(accepted(&staged.candidate)).unwrap_err();
    assert!(matches!(error, PublishError::OtherContent { .. }), "{error}");
    assert_eq!(host.store.newest(&hr()).unwrap(), None);
}

#[test]
fn after_a_crash_at_any_point_of_a_partial_release_old_and_new_are_whole() {
    let host = Host::new();
    let first = host.publish(1, &[user("a", "ann"), user("a", "bob")], None);
    host.stage(2, &[user("a", "ann"), user("a", "cid")], Some(&first));
    let seen: Arc<Mutex<Vec<(&'static str, Files)>>> = Arc::default();
    let (into, root) = (seen.clone(), host.path().to_owned());
    let store = hooked(&host.store, move |point| into.lock().unwrap().push((point, tree(&root))));
    let whole = store.candidate(&hr(), SyncNumber(2)).unwrap();
    let added = cordon_validate::Selection::without_removals();
    let part =
        store.compose(SyncNumber(3), Some(&first), &whole, &added, None).unwrap().staged.candidate;
    let staged = store.candidate(&hr(), SyncNumber(3)).unwrap();
    let left = store.rebase(&whole, &staged).unwrap().candidate.digest;
    store.publish(accepted(&part)).unwrap();
    store.settle(&hr(), SyncNumber(2), &left).unwrap();
    drop(store);
    let copies = Arc::try_unwrap(seen).ok().unwrap().into_inner().unwrap();
    for point in FAULT_POINTS {
        assert!(copies.iter().any(|(passed, _)| passed == point), "{point} was not passed");
    }
    for (point, files) in copies {
        let dir = restore(&files);
        let store = Store::open(dir.path()).unwrap();
        let newest = store.newest(&hr()).unwrap().unwrap();
        store.verify(&store.snapshot(&hr(), newest).unwrap()).unwrap();
        // What the ledger means is there: the old candidate before the commit, after it the new one.
        let means = if newest == SyncNumber(1) { &*whole.digest } else { left.as_str() };
        let waiting = store.settle(&hr(), SyncNumber(2), means).unwrap();
        store.verify(&waiting).unwrap();
        let candidates = BTreeSet::from([(hr(), SyncNumber(2))]);
        let keep = Keep { snapshots: BTreeSet::from([(hr(), newest)]), candidates };
        assert_eq!(
            store.sweep(&keep).unwrap().unknown,
            [""; 0].map(std::path::PathBuf::from),
            "{point}"
        );
        store.verify(&waiting).unwrap();
    }
}
