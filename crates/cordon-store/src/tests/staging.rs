//! What a connector may send, what a staging leaves behind, and what is stored only once.

use super::*;
use crate::limits::{SCOPES_MAX, TYPES_MAX};

fn staging_of(host: &Host) -> Staging {
    let mut staging = host.store.stage(spec(1, schemas())).unwrap();
    staging.begin_scope(0, "a").unwrap();
    staging
}

fn refused(result: Result<(), StageError>) -> String {
    let error = result.unwrap_err();
    assert!(error.is_protocol(), "{error}");
    error.to_string()
}

#[test]
fn a_batch_of_a_scope_that_was_not_begun_is_refused() {
    let host = Host::new();
    let error = refused(staging_of(&host).append(batch_of(7, &[user("a", "ann")])));
    assert_eq!(error, "a batch of scope 7, which was not begun");
}

#[test]
fn a_type_that_was_not_announced_is_refused() {
    let host = Host::new();
    let alien = record("a", "resource.alien", &[("id", text("x"))]);
    let error = refused(staging_of(&host).append(batch_of(0, &[alien])));
    assert_eq!(error, "a batch of resource.alien, which was not announced");
}

#[test]
fn a_column_that_was_not_announced_is_refused() {
    let host = Host::new();
    let odd = user_with("a", "ann", &[("shoe", text("9"))]);
    let error = refused(staging_of(&host).append(batch_of(0, &[odd])));
    assert_eq!(error, "resource.user has column shoe, which was not announced");
}

#[test]
fn a_column_of_another_type_than_announced_is_refused() {
    let host = Host::new();
    let odd = user_with("a", "ann", &[("age", text("9"))]);
    let error = refused(staging_of(&host).append(batch_of(0, &[odd])));
    assert_eq!(error, "column age of resource.user is Text, not Integer");
}

#[test]
fn a_batch_without_the_columns_of_its_key_is_refused() {
    let host = Host::new();
    for (record_type, given, missing) in [
        ("resource.user", "name", "id"),
        ("entitlement.group", "resource", "id"),
        ("grant.user", "principal", "entitlement"),
        ("grant.user", "entitlement", "principal"),
    ] {
        let odd = record("a", record_type, &[(given, text("x"))]);
        let error = refused(staging_of(&host).append(batch_of(0, &[odd])));
        assert_eq!(error, format!("a batch of {record_type} without column {missing}"));
    }
}

#[test]
fn a_fixed_column_cannot_be_announced_as_something_else() {
    let host = Host::new();
    for (record_type, column) in
        [("resource.user", "id"), ("resource.user", "owner"), ("entitlement.app", "privileged")]
    {
        let attributes = vec![attribute(column, AttributeType::Integer)];
        let announced = vec![RecordSchema { record_type: of(record_type), attributes }];
        let error = host.store.stage(spec(1, announced)).unwrap_err();
        assert!(matches!(error, StageError::WrongType { .. }), "{error}");
    }
}

#[test]
fn fixed_columns_are_there_without_being_announced() {
    let host = Host::new();
    let bare = |name: &str| RecordSchema { record_type: of(name), attributes: vec![] };
    let announced = ["resource.user", "entitlement.group", "grant.user"].map(bare).to_vec();
    let mut staging = host.store.stage(spec(1, announced)).unwrap();
    let named = user_with("a", "ann", &[("name", text("Ann")), ("parent", text("user:ann"))]);
    append(&mut staging, &[named, entitlement("a", "e", "g", true), grant("a", "ann", "e")], 3)
        .unwrap();
}

#[test]
fn what_is_announced_twice_is_refused() {
    let host = Host::new();
    let bare = RecordSchema { record_type: of("resource.user"), attributes: vec![] };
    let error = host.store.stage(spec(1, vec![bare.clone(), bare])).unwrap_err();
    assert_eq!(error.to_string(), "resource.user was announced twice");
    let attributes = vec![attribute("x", AttributeType::Text); 2];
    let twice = RecordSchema { record_type: of("resource.user"), attributes };
    let error = host.store.stage(spec(1, vec![twice])).unwrap_err();
    assert_eq!(error.to_string(), "resource.user announces column x twice");
}

#[test]
fn more_types_or_columns_than_fit_are_refused() {
    let host = Host::new();
    let schema =
        |n| RecordSchema { record_type: of(&format!("resource.t{n}")), attributes: vec![] };
    let error = host.store.stage(spec(1, (0..=TYPES_MAX).map(schema).collect())).unwrap_err();
    assert_eq!(error.to_string(), "257 types announced, more than 256");
    let attributes = (0..513).map(|n| attribute(&format!("c{n}"), AttributeType::Text));
    let wide = RecordSchema { record_type: of("resource.user"), attributes: attributes.collect() };
    let error = host.store.stage(spec(1, vec![wide])).unwrap_err();
    assert_eq!(error.to_string(), "513 columns of a type announced, more than 512");
}

#[test]
fn a_scope_is_begun_once_and_reported_once() {
    let host = Host::new();
    assert_eq!(refused(staging_of(&host).begin_scope(1, "a")), r#"scope "a" was begun twice"#);
    assert_eq!(refused(staging_of(&host).begin_scope(0, "b")), "scope ordinal 0 was used twice");
    let silent = staging_of(&host).finish(vec![], None).map(drop);
    assert_eq!(refused(silent), r#"scope "a" was begun and not reported"#);
    let reports = vec![incomplete("a"), report("a", ScopeOutcome::Complete)];
    let twice = staging_of(&host).finish(reports, None).map(drop);
    assert_eq!(refused(twice), r#"scope "a" was reported twice"#);
}

#[test]
fn scopes_cannot_be_begun_without_end() {
    let host = Host::new();
    let mut staging = host.store.stage(spec(1, schemas())).unwrap();
    for n in 0..SCOPES_MAX as u32 {
        staging.begin_scope(n, &n.to_string()).unwrap();
    }
    assert_eq!(refused(staging.begin_scope(u32::MAX, "one more")), "more than 100000 scopes");
}

#[test]
fn privileged_entitlements_are_bounded() {
    let host = Host::new();
    let mut records = vec![group("a", "ops")];
    records.extend((0..101).map(|n| entitlement("a", &format!("e{n}"), "ops", true)));
    let result = stage(&host.store, 1, &records, complete(&records), None, 50).map(drop);
    assert_eq!(refused(result), "more than 100 privileged entitlements");
    let fewer = &records[..101];
    assert_eq!(host.stage(1, fewer, None).candidate.census.privileged.entitlements, 100);
}

#[test]
fn an_empty_sync_becomes_a_candidate_that_says_so() {
    let host = Host::new();
    let first = host.publish(1, &[user("a", "ann")], None);
    let reports = vec![report("a", ScopeOutcome::Complete)];
    let staged = stage(&host.store, 2, &[], reports, Some(&first), 1).unwrap();
    assert_eq!(staged.candidate.census.types[&of("resource.user")].records, 0);
    let delta = staged.candidate.delta.unwrap();
    assert_eq!(delta.types[&of("resource.user")].removed, 1);
    assert_eq!(delta.types[&of("resource.user")].removed_examples, ["user:ann"]);
}

#[test]
fn scopes_that_did_not_report_are_listed_until_they_are_gone() {
    let host = Host::new();
    let first = host.publish(1, &[user("a", "ann"), user("b", "bob")], None);
    let staged = host.stage(2, &[user("a", "ann")], Some(&first));
    assert_eq!(staged.candidate.delta.as_ref().unwrap().unreported_scopes, ["b"]);
    assert_eq!(staged.candidate.delta.as_ref().unwrap().types[&of("resource.user")].carried, 1);
    let second = host.publish_staged(&staged);
    assert_eq!(second.manifest.scopes[1].completed, Some(SyncNumber(1)));
    let reports = vec![report("a", ScopeOutcome::Complete), report("b", ScopeOutcome::Gone)];
    let staged = stage(&host.store, 3, &[user("a", "ann")], reports, Some(&second), 1).unwrap();
    assert_eq!(staged.candidate.delta.as_ref().unwrap().types[&of("resource.user")].removed, 1);
    let third = host.publish_staged(&staged);
    let staged = host.stage(4, &[user("a", "ann")], Some(&third));
    assert_eq!(staged.candidate.delta.unwrap().unreported_scopes, [""; 0]);
}

#[test]
fn a_staging_that_is_dropped_leaves_nothing() {
    let host = Host::new();
    let before = tree(host.path());
    let mut staging = staging_of(&host);
    let users: Vec<_> = (0..50).map(|n| user("a", &format!("u{n}"))).collect();
    staging.append(batch_of(0, &users)).unwrap();
    drop(staging);
    assert_eq!(tree(host.path()), before);
    assert_eq!(std::fs::read_dir(host.path().join("staging")).unwrap().count(), 0);
}

#[test]
fn a_full_disk_fails_the_sync_names_the_file_and_leaves_nothing() {
    let host = Host::new();
    let first = host.publish(1, &[user("a", "ann")], None);
    let before = tree(host.path());
    let full = host.store.clone().with_limits(Limits { file_bytes_max: 100, ..TIGHT });
    let error = stage(&full, 2, &[user("a", "bob")], vec![], Some(&first), 1);
    assert!(matches!(error, Err(StageError::UnreportedScope { .. })));
    let records = [user("a", "bob")];
    let error = stage(&full, 2, &records, complete(&records), Some(&first), 1).unwrap_err();
    assert!(!error.is_protocol());
    let StageError::Write { path, source } = error else { panic!("{error}") };
    assert_eq!(path.file_name().unwrap(), "resource.user.parquet");
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(tree(host.path()), before);
}

#[test]
fn an_encoder_that_fails_is_reported_by_the_next_batches() {
    let host = Host::new();
    let full = host.store.clone().with_limits(Limits { file_bytes_max: 0, ..TIGHT });
    let mut staging = full.stage(spec(1, schemas())).unwrap();
    staging.begin_scope(0, "a").unwrap();
    std::fs::remove_dir_all(staging.dir.path()).unwrap();
    let failed =
        (0..1000).find_map(|n| staging.append(batch_of(0, &[user("a", &format!("u{n}"))])).err());
    assert!(matches!(failed, Some(StageError::Write { .. })), "{failed:?}");
}

#[test]
fn the_same_content_is_stored_once() {
    let host = Host::new();
    let records: Vec<_> = (0..30).map(|n| user("a", &format!("u{n}"))).collect();
    let first = host.publish(1, &records, None);
    let objects = tree(&host.path().join("objects"));
    let second = host.publish(2, &records, Some(&first));
    assert_eq!(tree(&host.path().join("objects")), objects);
    assert_eq!(second.manifest.files[0].data, first.manifest.files[0].data);
    assert_eq!(second.manifest.files[0].confirmed, SyncNumber(2));
}

#[test]
fn a_type_that_is_carried_whole_keeps_its_files() {
    let host = Host::new();
    let records = [user("a", "ann"), user("a", "bob"), group("b", "ops")];
    let first = host.publish(1, &records, None);
    let second = host.publish(2, &[group("b", "ops")], Some(&first));
    let users = |of: &Snapshot| {
        of.manifest.files.iter().find(|f| f.record_type == self::of("resource.user")).cloned()
    };
    assert_eq!(users(&second), users(&first));
}

#[test]
fn content_digests_tell_complete_from_incomplete() {
    let host = Host::new();
    let records = [user("a", "ann")];
    let one = host.stage(1, &records, None);
    let two = stage(&host.store, 2, &records, vec![incomplete("a")], None, 1).unwrap();
    assert_ne!(one.content_digest, two.content_digest);
}

#[test]
fn a_record_that_changes_its_scope_is_not_removed() {
    let host = Host::new();
    let first = host.publish(1, &[user("a", "ann"), user("b", "bob")], None);
    let staged = host.stage(2, &[user("b", "ann"), user("a", "bob")], Some(&first));
    let delta = staged.candidate.delta.unwrap();
    let users = &delta.types[&of("resource.user")];
    assert_eq!((users.added, users.modified, users.removed), (0, 0, 0));
}

#[test]
fn an_entitlement_that_moved_to_another_type_is_not_carried_beside_itself() {
    let host = Host::new();
    let old = [group("g", "ops"), entitlement("e", "e1", "ops", false)];
    let first = host.publish(1, &old, None);
    let values = [("id", text("e1")), ("resource", text("group:ops"))];
    let moved = [group("g", "ops"), record("f", "entitlement.app", &values)];
    let staged = host.stage(2, &moved, Some(&first));
    assert_eq!(staged.candidate.defects, []);
    let next = host.publish_staged(&staged);
    let records: u64 = next.manifest.files.iter().map(|file| file.records).sum();
    assert_eq!(records, 2);
}
