//! What other programs find in the store's folder.

use std::os::unix::fs::PermissionsExt;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::layout::ObjectKind;

/// Reads a file as any engine would: no hints, no store.
fn read(host: &Host, file: &crate::FileEntry) -> Vec<RecordBatch> {
    let path = host.store.shared.layout.object(ObjectKind::Data, &file.data);
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

fn texts(batches: &[RecordBatch], column: &str) -> Vec<String> {
    let values = batches.iter().flat_map(|batch| {
        let array = batch.column_by_name(column).unwrap().as_string::<i32>().clone();
        (0..array.len()).map(move |at| array.value(at).to_owned())
    });
    values.collect()
}

fn confirmed(batches: &[RecordBatch]) -> Vec<Option<i64>> {
    let values = batches.iter().flat_map(|batch| {
        batch.column_by_name("_confirmed").unwrap().as_primitive::<Int64Type>().iter()
    });
    values.collect()
}

#[test]
fn rows_are_plain_parquet_in_the_order_of_arrival() {
    let host = Host::new();
    let records: Vec<_> =
        ["zoe", "ann", "bob"].iter().zip(["b", "a", "a"]).map(|(id, s)| user(s, id)).collect();
    let first = host.publish(1, &records, None);
    let batches = read(&host, &first.manifest.files[0]);
    let schema = batches[0].schema();
    let columns: Vec<_> =
        schema.fields().iter().map(|f| (f.name().as_str(), f.data_type().clone())).collect();
    let time = DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some("UTC".into()));
    let expected = [
        ("active", DataType::Boolean),
        ("age", DataType::Int64),
        ("hired", time),
        ("id", DataType::Utf8),
        ("mail", DataType::Utf8),
        ("name", DataType::Utf8),
        ("owner", DataType::Utf8),
        ("parent", DataType::Utf8),
        ("_scope", DataType::Utf8),
        ("_confirmed", DataType::Int64),
    ];
    assert_eq!(columns, expected);
    assert_eq!(texts(&batches, "id"), ["zoe", "ann", "bob"]);
    assert_eq!(texts(&batches, "_scope"), ["b", "a", "a"]);
    assert_eq!(confirmed(&batches), [None, None, None]);
}

#[test]
fn a_carried_record_keeps_its_scope_and_the_sync_that_confirmed_it() {
    let host = Host::new();
    let first = host.publish(1, &[user("a", "ann"), user("a", "bob"), user("b", "cid")], None);
    let mut last = first;
    for sync in 2..5 {
        // Another user of the scope each time, and never its end.
        let records = [user("a", &format!("new{sync}")), user("b", "cid")];
        let reports = vec![incomplete("a"), report("b", ScopeOutcome::Complete)];
        let staged = stage(&host.store, sync, &records, reports, Some(&last), 3).unwrap();
        last = host.publish_staged(&staged);
    }
    let mut found = Vec::new();
    for file in &last.manifest.files {
        let batches = read(&host, file);
        let confirmed = confirmed(&batches).into_iter();
        let confirmed = confirmed.map(|sync| sync.unwrap_or(file.confirmed.0 as i64));
        for ((id, scope), sync) in
            texts(&batches, "id").into_iter().zip(texts(&batches, "_scope")).zip(confirmed)
        {
            found.push(format!("{id} {scope} {sync}"));
        }
    }
    found.sort();
    assert_eq!(found, ["ann a 1", "bob a 1", "cid b 4", "new2 a 2", "new3 a 3", "new4 a 4"]);
    // What is carried again and again is gathered, not strewn over ever more files.
    assert_eq!(last.manifest.files.len(), 2);
}

#[test]
fn a_carried_record_keeps_columns_that_are_no_longer_announced() {
    let host = Host::new();
    let old = user_with("a", "ann", &[("mail", text("a@x")), ("age", Value::Integer(3))]);
    let first = host.publish(1, &[old, user("b", "bob")], None);
    // `mail` is gone and `age` has become a text.
    let attributes = vec![attribute("age", AttributeType::Text)];
    let announced = vec![RecordSchema { record_type: of("resource.user"), attributes }];
    let mut staging = host.store.stage(spec(2, announced)).unwrap();
    let records = [user_with("b", "bob", &[("age", text("three"))])];
    append(&mut staging, &records, 1).unwrap();
    let staged = staging.finish(complete(&records), Some(&first)).unwrap();
    let second = host.publish_staged(&staged);
    let changes: Vec<_> =
        host.store.changes(Some(&first), &second, 0).unwrap().map(Result::unwrap).collect();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].key, "user:bob");
    assert!(staged.candidate.census.types[&of("resource.user")].columns.contains_key("mail"));
}

#[test]
fn an_index_has_forty_bytes_a_record_in_the_order_of_keys() {
    let host = Host::new();
    let records: Vec<_> = (0..40).map(|n| user("a", &format!("u{n}"))).collect();
    let first = host.publish(1, &records, None);
    let path = host.store.shared.layout.object(ObjectKind::Index, &first.manifest.files[0].index);
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(bytes.len(), 40 * 40);
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let keys: Vec<_> = (0..40).map(|n| (number(n * 40), number(n * 40 + 8))).collect();
    assert!(keys.is_sorted());
}

#[test]
fn the_grants_of_a_principal_lie_together_under_its_own_key() {
    let host = Host::new();
    let mut records = vec![user("a", "ann"), user("a", "bob")];
    for n in 0..10 {
        records.push(grant("a", "ann", &format!("e{n}")));
        records.push(grant("a", "bob", &format!("e{n}")));
    }
    let first = host.publish(1, &records, None);
    let highs = |record_type: &str| -> Vec<[u8; 8]> {
        let file = first.manifest.files.iter().find(|f| f.record_type == of(record_type)).unwrap();
        let path = host.store.shared.layout.object(ObjectKind::Index, &file.index);
        let bytes = std::fs::read(path).unwrap();
        bytes.chunks_exact(40).map(|entry| entry[..8].try_into().unwrap()).collect()
    };
    let mut grants = highs("grant.user");
    grants.dedup();
    assert_eq!(grants, highs("resource.user"));
}

#[test]
fn keys_hash_differently_in_every_store() {
    let digests: Vec<_> = (0..2)
        .map(|_| Host::new().publish(1, &[user("a", "ann")], None).manifest.files[0].clone())
        .collect();
    assert_eq!(digests[0].data, digests[1].data);
    assert_ne!(digests[0].index, digests[1].index);
}

#[test]
fn everything_is_for_the_owner_alone() {
    let host = Host::new();
    host.publish(1, &[user("a", "ann")], None);
    host.stage(2, &[user("a", "bob")], None);
    let staging = host.store.stage(spec(3, schemas())).unwrap();
    let mut folders = vec![host.path().to_owned()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            if path.is_dir() {
                assert_eq!(mode, 0o700, "{path:?}");
                folders.push(path);
            } else {
                assert_eq!(mode, 0o600, "{path:?}");
            }
            seen += 1;
        }
    }
    assert!(seen > 12, "{seen}");
    drop(staging);
}

#[test]
fn rows_are_read_by_several_at_once() {
    let host = Host::new();
    let records: Vec<_> = (0..30_000).map(|number| user("all", &format!("u{number:05}"))).collect();
    let first = host.publish(1, &records, None);
    let entry = &first.manifest.files[0];
    let data = host.store.open_data(entry).unwrap();
    let fetch = |from: u32| {
        let rows: Vec<u32> = (from..30_000).step_by(97).collect();
        let fetched = data.fetch(&rows).unwrap();
        for row in rows {
            let read = data.row(&fetched, row).unwrap();
            assert_eq!(read.values["id"], text(&format!("u{row:05}")));
        }
    };
    std::thread::scope(|scope| {
        for from in 0..8 {
            scope.spawn(move || (0..20).for_each(|round| fetch(from * 11 + round)));
        }
    });
}
