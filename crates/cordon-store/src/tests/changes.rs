//! Changes as consumers get them: their order, their rows, and where reading stops.

use cordon_model::{Change, ChangeOp, Value};

use super::*;

fn all(host: &Host, from: Option<&Snapshot>, to: &Snapshot) -> Vec<Change> {
    host.store.changes(from, to, 0).unwrap().collect::<Result<_, _>>().unwrap()
}

fn short(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|change| format!("{} {}", change.op, change.key)).collect()
}

#[test]
fn the_first_snapshot_adds_everything_resources_before_entitlements_before_grants() {
    let host = Host::new();
    let records = [
        grant("a", "ann", "e1"),
        entitlement("a", "e1", "ops", false),
        user("a", "ann"),
        group("a", "ops"),
    ];
    let first = host.publish(1, &records, None);
    let expected =
        ["added group:ops", "added user:ann", "added entitlement:e1", "added user:ann -> e1"];
    assert_eq!(short(&all(&host, None, &first)), expected);
}

#[test]
fn a_few_records_are_of_the_type_that_is_asked_for_and_no_more_than_there_are() {
    let host = Host::new();
    let records = [user("a", "ann"), user("b", "bob"), user("a", "eve"), group("a", "ops")];
    let snapshot = host.publish(1, &records, None);
    let some = |count| {
        let rows = host.store.some_records(&snapshot, &of("resource.user"), count);
        let mut keys: Vec<_> = rows.unwrap().iter().map(Row::key).collect();
        keys.sort();
        keys
    };
    assert_eq!(some(9), ["user:ann", "user:bob", "user:eve"]);
    assert_eq!(some(2).len(), 2);
    assert_eq!(some(0), Vec::<String>::new());
    let none = host.store.some_records(&snapshot, &of("resource.app"), 3).unwrap();
    assert!(none.is_empty());
}

#[test]
fn removals_come_first_and_grants_before_what_they_refer_to() {
    let host = Host::new();
    let old = [
        user("a", "ann"),
        user("a", "bob"),
        group("a", "ops"),
        entitlement("a", "e1", "ops", false),
        grant("a", "ann", "e1"),
    ];
    let first = host.publish(1, &old, None);
    let second = host.publish(2, &[user("a", "bob"), user("a", "eve")], Some(&first));
    let expected = [
        "removed user:ann -> e1",
        "removed entitlement:e1",
        "removed user:ann",
        "removed group:ops",
        "added user:eve",
    ];
    assert_eq!(short(&all(&host, Some(&first), &second)), expected);
}

#[test]
fn a_modified_record_comes_with_both_its_rows() {
    let host = Host::new();
    let old = user_with("a", "ann", &[("mail", text("a@x")), ("age", Value::Integer(30))]);
    let new = user_with("a", "ann", &[("mail", text("")), ("active", Value::Boolean(false))]);
    let first = host.publish(1, std::slice::from_ref(&old), None);
    let second = host.publish(2, std::slice::from_ref(&new), Some(&first));
    let changes = all(&host, Some(&first), &second);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].op, ChangeOp::Modified);
    assert_eq!(changes[0].before.as_ref(), Some(&old.row));
    assert_eq!(changes[0].after.as_ref(), Some(&new.row));
}

#[test]
fn every_type_of_value_comes_back_as_it_went_in() {
    let host = Host::new();
    let hired = Timestamp::from_microsecond(1_234_567_890_123_456).unwrap();
    let record = user_with(
        "a",
        "zoë",
        &[
            ("mail", text("z@x")),
            ("age", Value::Integer(i64::MIN)),
            ("active", Value::Boolean(true)),
            ("hired", Value::Timestamp(hired)),
        ],
    );
    let first = host.publish(1, &[record.clone(), user("a", "bare")], None);
    let changes = all(&host, None, &first);
    assert_eq!(changes[0].after.as_ref(), Some(&record.row));
    assert_eq!(changes[1].after.as_ref(), Some(&user("a", "bare").row));
}

#[test]
fn an_absent_text_differs_from_an_empty_one() {
    let host = Host::new();
    let first = host.publish(1, &[user("a", "ann")], None);
    let with = user_with("a", "ann", &[("mail", text(""))]);
    let staged = host.stage(2, &[with], Some(&first));
    assert_eq!(staged.candidate.delta.unwrap().types[&of("resource.user")].modified, 1);
}

#[test]
fn a_column_that_nobody_has_modifies_nothing() {
    let host = Host::new();
    let bare = vec![RecordSchema { record_type: of("resource.user"), attributes: vec![] }];
    let mut staging = host.store.stage(spec(1, bare)).unwrap();
    let records = [user("a", "ann"), user("a", "bob")];
    append(&mut staging, &records, 2).unwrap();
    let first = host.publish_staged(&staging.finish(complete(&records), None).unwrap());
    let second = host.publish(2, &records, Some(&first));
    assert_ne!(first.manifest.files[0].columns, second.manifest.files[0].columns);
    assert_eq!(all(&host, Some(&first), &second), []);
}

#[test]
fn a_change_that_is_skipped_is_never_read() {
    let host = Host::new();
    let records: Vec<_> = (0..9).map(|n| user("a", &format!("u{n}"))).collect();
    let first = host.publish(1, &records, None);
    let data = &first.manifest.files[0].data;
    let path = host.store.shared.layout.object(crate::layout::ObjectKind::Data, data);
    std::fs::remove_file(path).unwrap();
    assert!(host.store.changes(None, &first, 9).unwrap().next().is_none());
    assert!(host.store.changes(None, &first, 8).unwrap().next().unwrap().is_err());
}

#[test]
fn after_an_error_there_are_no_more_changes() {
    let host = Host::new();
    let first = host.publish(1, &[user("a", "ann"), group("a", "ops")], None);
    let data = &first.manifest.files[0].data;
    let path = host.store.shared.layout.object(crate::layout::ObjectKind::Data, data);
    std::fs::remove_file(path).unwrap();
    let mut changes = host.store.changes(None, &first, 0).unwrap();
    assert!(changes.next().unwrap().is_err());
    assert!(changes.next().is_none());
}
