//! Deliveries: changes on their way to a sink, and their JSON.
//!
//! The JSON is a contract with receivers: fields are added, never renamed or removed, while `v` is 1.
//!
//! ```json
//! {"v":1,"id":"hr/8713","seq":8713,"connector":"hr","snapshot":418,
//!  "committed_at":"2026-03-02T04:00:00Z","op":"modified","kind":"resource","type":"user",
//!  "key":"user:1042","before":{"id":"1042","title":"SRE"},"after":{"id":"1042","title":"Lead"}}
//! ```
//!
//! Where a policy gives removals a time of grace, a record that is to be removed is first `modified`, with
//! `"pending_removal":{"sync":418,"since":"2026-03-02T04:00:00Z"}` beside `after`, which holds it as it last
//! was. It is `removed` when the time is over, or `modified` without that field when its source has it again.
//!
//! `op` is `added`, `modified` or `removed`; `before` is null for what was added, `after` for what was
//! removed. Attributes that the record does not have are absent. Timestamps are RFC 3339.
//!
//! A receiver that was away for longer than snapshots are kept gets the oldest kept one whole: every record
//! as `added`, all under one `seq`, with ids that also count the records (`hr/8713:1`, `hr/8713:2`).

use std::collections::BTreeMap;

use cordon_model::{Change, ConnectorName, Row, SyncNumber, Value};
use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// Version of the JSON of changes.
pub(crate) const VERSION: u32 = 1;

/// An accepted change and its place in its connector's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its number in the connector's stream of accepted changes, rising.
    pub seq: u64,
    /// Its place, where the receiver gets a whole snapshot under one number, because the changes that
    /// led there are kept no more.
    pub place: Option<u64>,
    /// The connector that reported it.
    pub connector: ConnectorName,
    /// The snapshot that brought it.
    pub snapshot: SyncNumber,
    /// When that snapshot was committed.
    pub committed_at: Timestamp,
    /// The change.
    pub change: Change,
}

impl Delivery {
    /// Names this delivery for ever, `<connector>/<seq>` or `<connector>/<seq>:<place>`: receivers
    /// drop what they have seen.
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}", self.connector, self.number())
    }

    /// What tells it from the connector's other deliveries. Without a full stop, because signatures
    /// put one behind it.
    pub(crate) fn number(&self) -> String {
        match self.place {
            None => self.seq.to_string(),
            Some(place) => format!("{}:{place}", self.seq),
        }
    }

    /// The delivery as receivers get it.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self.envelope()).expect("texts, numbers and maps of them are JSON")
    }

    /// The same with its fields in the documented order, beginning with `v`.
    pub(crate) fn envelope(&self) -> Envelope<'_> {
        Envelope {
            v: VERSION,
            id: self.idempotency_key(),
            seq: self.seq,
            connector: self.connector.as_str(),
            snapshot: self.snapshot.0,
            committed_at: self.committed_at,
            op: self.change.op.as_str(),
            kind: self.change.record_type.kind.as_str(),
            type_name: self.change.record_type.name.as_str(),
            key: &self.change.key,
            before: self.change.before.as_ref().map(plain),
            after: self.change.after.as_ref().map(plain),
            pending_removal: self.change.pending_removal.map(|pending| Pending {
                sync: pending.sync.0,
                since: pending.since.unwrap_or(self.committed_at),
            }),
        }
    }
}

/// What a receiver gets, field by field.
#[derive(Serialize)]
pub(crate) struct Envelope<'a> {
    v: u32,
    id: String,
    seq: u64,
    connector: &'a str,
    snapshot: u64,
    committed_at: Timestamp,
    op: &'static str,
    kind: &'static str,
    #[serde(rename = "type")]
    type_name: &'a str,
    key: &'a str,
    before: Option<BTreeMap<&'a str, Plain<'a>>>,
    after: Option<BTreeMap<&'a str, Plain<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_removal: Option<Pending>,
}

/// Since when a removal is accepted and not final.
#[derive(Serialize)]
struct Pending {
    sync: u64,
    since: Timestamp,
}

/// A value without the tag of its type.
struct Plain<'a>(&'a Value);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Text(text) => serializer.serialize_str(text),
            Value::Integer(number) => serializer.serialize_i64(*number),
            Value::Boolean(yes) => serializer.serialize_bool(*yes),
            Value::Timestamp(time) => serializer.collect_str(time),
        }
    }
}

fn plain(row: &Row) -> BTreeMap<&str, Plain<'_>> {
    row.values.iter().map(|(column, value)| (column.as_str(), Plain(value))).collect()
}
