//! Delivers to real files and to a real HTTP receiver, through the crate's public door.

mod envelope;
mod file;
mod receiver;
mod untrusted;
mod webhook;

use std::collections::BTreeMap;

use cordon_model::{
    Change, ChangeOp, ConnectorName, RecordKind, RecordType, Row, SyncNumber, TypeName, Value,
};
use cordon_sinks::Delivery;

/// The change with that number: a user who joined, with a text of `filler` bytes.
fn delivery_of(seq: u64, filler: usize) -> Delivery {
    let record_type =
        RecordType { kind: RecordKind::Resource, name: TypeName::new("user").unwrap() };
    let values = BTreeMap::from([
        ("id".to_owned(), Value::Text(format!("u{seq}"))),
        ("note".to_owned(), Value::Text("x".repeat(filler))),
    ]);
    let row = Row { record_type: record_type.clone(), values };
    Delivery {
        seq,
        place: None,
        connector: ConnectorName::new("hr").unwrap(),
        snapshot: SyncNumber(7),
        committed_at: "2026-03-02T04:00:00Z".parse().unwrap(),
        change: Change {
            op: ChangeOp::Added,
            record_type,
            key: row.key(),
            before: None,
            after: Some(row),
            pending_removal: None,
        },
    }
}

/// The changes with those numbers.
fn deliveries(seqs: std::ops::RangeInclusive<u64>) -> Vec<Delivery> {
    seqs.map(|seq| delivery_of(seq, 0)).collect()
}

/// The changes with those places of a snapshot that is sent whole, under one number.
fn baseline(seq: u64, places: std::ops::RangeInclusive<u64>) -> Vec<Delivery> {
    places.map(|place| Delivery { seq, place: Some(place), ..delivery_of(place, 0) }).collect()
}
