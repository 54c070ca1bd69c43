//! Damaged files of every class are refused by name, and nothing is deleted.

use super::*;
use crate::layout::{ObjectKind, Shelf};
use crate::{Damage, OpenError, PublishError, ReadError};

fn chain(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|source| format!(": {}", chain(source)));
    format!("{error}{}", cause.unwrap_or_default())
}

/// Flips one bit of a file.
fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = at % bytes.len();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

fn two(host: &Host) -> (Snapshot, Snapshot) {
    let users: Vec<_> = (0..20).map(|n| user("a", &format!("u{n}"))).collect();
    let first = host.publish(1, &users, None);
    let second = host.publish(2, &users[1..], Some(&first));
    (first, second)
}

#[test]
fn any_flipped_bit_of_a_manifest_is_refused_by_name() {
    let host = Host::new();
    two(&host);
    let path = host.store.shared.layout.manifest(Shelf::Snapshots, &hr(), SyncNumber(2));
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        flip(&path, at);
        let error = host.store.snapshot(&hr(), SyncNumber(2)).unwrap_err();
        assert!(
            chain(&error).contains("snapshots/hr/2.json is damaged"),
            "{at}: {}",
            chain(&error)
        );
        std::fs::write(&path, &whole).unwrap();
    }
    assert!(host.store.snapshot(&hr(), SyncNumber(2)).is_ok());
}

#[test]
fn a_manifest_cut_anywhere_is_refused() {
    let host = Host::new();
    two(&host);
    let path = host.store.shared.layout.manifest(Shelf::Snapshots, &hr(), SyncNumber(2));
    let whole = std::fs::read(&path).unwrap();
    for bytes in (0..whole.len()).step_by(7) {
        std::fs::write(&path, &whole[..bytes]).unwrap();
        assert!(host.store.snapshot(&hr(), SyncNumber(2)).is_err(), "{bytes} bytes");
    }
}

#[test]
fn a_manifest_of_another_sync_under_this_name_is_refused() {
    let host = Host::new();
    two(&host);
    let place = |sync| host.store.shared.layout.manifest(Shelf::Snapshots, &hr(), SyncNumber(sync));
    std::fs::copy(place(1), place(2)).unwrap();
    let error = host.store.snapshot(&hr(), SyncNumber(2)).unwrap_err();
    assert!(chain(&error).ends_with("it speaks of hr 1 instead of hr 2"), "{}", chain(&error));
}

#[test]
fn a_manifest_of_a_later_format_is_refused() {
    let host = Host::new();
    two(&host);
    let path = host.store.shared.layout.manifest(Shelf::Snapshots, &hr(), SyncNumber(1));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"cordon_manifest\":1", "\"cordon_manifest\":2", 1))
        .unwrap();
    let error = host.store.snapshot(&hr(), SyncNumber(1)).unwrap_err();
    assert!(chain(&error).ends_with("it has format 2; this build reads format 1"));
}

#[test]
fn any_flipped_bit_of_a_file_is_refused_by_name_wherever_it_is_read() {
    for kind in [ObjectKind::Data, ObjectKind::Index] {
        let host = Host::new();
        let (first, second) = two(&host);
        let file = &first.manifest.files[0];
        let object = if kind == ObjectKind::Data { &file.data } else { &file.index };
        let path = host.store.shared.layout.object(kind, object);
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(3) {
            flip(&path, at);
            let named = |error: ReadError| {
                let text = chain(&error);
                assert!(
                    text.contains(&format!("{}.{}", object.digest, kind.extension())),
                    "{text}"
                );
                assert!(text.contains("is damaged"), "{text}");
            };
            named(host.store.verify(&first).unwrap_err());
            // The removal of `u0` needs both the old index and the old row.
            let changes = host.store.changes(Some(&first), &second, 0);
            named(changes.and_then(|changes| changes.collect::<Result<Vec<_>, _>>()).unwrap_err());
            let staged = stage(
                &host.store,
                3,
                &[],
                vec![report("a", ScopeOutcome::Complete)],
                Some(&first),
                1,
            );
            let Err(StageError::Read(error)) = staged else { panic!("staged on a damaged file") };
            named(error);
            std::fs::write(&path, &whole).unwrap();
        }
        host.store.verify(&first).unwrap();
        assert!(second.manifest.files[0].data.digest != file.data.digest);
    }
}

#[test]
fn records_are_not_carried_forward_from_a_damaged_file() {
    let host = Host::new();
    let (first, _) = two(&host);
    let path = host.store.shared.layout.object(ObjectKind::Data, &first.manifest.files[0].data);
    flip(&path, 30);
    let records = [user("a", "u3")];
    let staged = stage(&host.store, 3, &records, vec![incomplete("a")], Some(&first), 1);
    assert!(matches!(staged, Err(StageError::Read(ReadError::Damaged { .. }))));
}

#[test]
fn a_file_that_is_missing_or_cut_is_refused_by_name() {
    let host = Host::new();
    let (first, _) = two(&host);
    let path = host.store.shared.layout.object(ObjectKind::Index, &first.manifest.files[0].index);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 40]).unwrap();
    let error = host.store.verify(&first).unwrap_err();
    assert!(chain(&error).ends_with("it has 760 bytes instead of 800"), "{}", chain(&error));
    assert!(host.store.check_files(&first).is_err());
    assert!(host.store.change_counts(None, &first).is_err());
    std::fs::remove_file(&path).unwrap();
    let error = host.store.verify(&first).unwrap_err();
    assert!(matches!(&error, ReadError::Missing { path: named } if *named == path));
    assert!(host.store.check_files(&first).is_err());
}

#[test]
fn an_index_that_points_outside_its_file_is_refused_before_its_digest_is_known() {
    for (at, what) in [(32, "row"), (36, "scope")] {
        let host = Host::new();
        let (first, _) = two(&host);
        let file = &first.manifest.files[0];
        let path = host.store.shared.layout.object(ObjectKind::Index, &file.index);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at..at + 4].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        let error = host.store.change_counts(None, &first).unwrap_err();
        let ReadError::Damaged { damage: Damage::Range { what: found, .. }, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(found, what);
    }
}

#[test]
fn an_index_out_of_order_is_refused() {
    let host = Host::new();
    let (first, _) = two(&host);
    let path = host.store.shared.layout.object(ObjectKind::Index, &first.manifest.files[0].index);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.rotate_left(40);
    std::fs::write(&path, bytes).unwrap();
    let error = host.store.change_counts(None, &first).unwrap_err();
    assert!(matches!(error, ReadError::Damaged { damage: Damage::Order { .. }, .. }));
}

#[test]
fn a_damaged_file_is_made_whole_by_a_sync_with_the_same_content() {
    let host = Host::new();
    let (first, _) = two(&host);
    let path = host.store.shared.layout.object(ObjectKind::Data, &first.manifest.files[0].data);
    flip(&path, 9);
    let users: Vec<_> = (0..20).map(|n| user("a", &format!("u{n}"))).collect();
    stage(&host.store, 3, &users, complete(&users), None, 3).unwrap();
    host.store.verify(&first).unwrap();
}

#[test]
fn a_candidate_whose_files_are_gone_is_not_published() {
    let host = Host::new();
    let staged = host.stage(1, &[user("a", "ann")], None);
    let candidate = host.store.candidate(&hr(), SyncNumber(1)).unwrap();
    let path = host.store.shared.layout.object(ObjectKind::Data, &candidate.manifest.files[0].data);
    std::fs::remove_file(&path).unwrap();
    let error = host.store.publish(accepted(&staged.candidate)).unwrap_err();
    assert!(
        matches!(error, PublishError::Missing(ReadError::Missing { path: named }) if named == path)
    );
    assert_eq!(host.store.newest(&hr()).unwrap(), None);
}

#[test]
fn a_secret_of_another_length_is_refused_and_kept() {
    let host = Host::new();
    let key = host.path().join("key");
    for bytes in [0, 31, 33, 4096] {
        std::fs::write(&key, vec![7; bytes]).unwrap();
        let error = Store::open(host.path()).unwrap_err();
        assert!(matches!(&error, OpenError::Damaged { path, .. } if *path == key), "{error}");
        assert_eq!(std::fs::read(&key).unwrap().len(), bytes);
    }
}

#[test]
fn a_flipped_bit_of_the_secret_is_refused_with_the_first_manifest() {
    let host = Host::new();
    two(&host);
    flip(&host.path().join("key"), 5);
    let store = Store::open(host.path()).unwrap();
    let error = store.snapshot(&hr(), SyncNumber(1)).unwrap_err();
    assert!(matches!(error, ReadError::Damaged { damage: Damage::OtherKey { .. }, .. }));
}

#[test]
fn a_lost_secret_is_not_replaced_while_there_are_snapshots() {
    let host = Host::new();
    two(&host);
    std::fs::remove_file(host.path().join("key")).unwrap();
    assert!(matches!(Store::open(host.path()), Err(OpenError::KeyLost { .. })));
    assert!(!host.path().join("key").exists());
}

#[test]
fn the_secret_stays_when_the_store_is_opened_again() {
    let host = Host::new();
    let key = std::fs::read(host.path().join("key")).unwrap();
    assert_eq!(key.len(), 32);
    let (first, _) = two(&host);
    let store = Store::open(host.path()).unwrap();
    assert_eq!(std::fs::read(host.path().join("key")).unwrap(), key);
    assert_eq!(store.snapshot(&hr(), SyncNumber(1)).unwrap().digest, first.digest);
}
