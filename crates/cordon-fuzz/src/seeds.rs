//! Inputs to begin with: honest messages, and some that lie in one place. Written here as code, so
//! that no file of bytes has to be believed.

use cordon_wire::v1::{self, sync_message::Message as Payload};
use prost::Message;

/// What the seeds' connector announces.
pub fn schemas() -> Vec<v1::RecordSchema> {
    let text = |name: &str, required| v1::AttributeSchema {
        name: name.to_owned(),
        r#type: v1::AttributeType::Text.into(),
        required,
        ..Default::default()
    };
    let of = |kind: v1::RecordKind, name: &str, attributes| v1::RecordSchema {
        kind: kind.into(),
        r#type: name.to_owned(),
        attributes,
    };
    let typed = |name: &str, value: v1::AttributeType| v1::AttributeSchema {
        name: name.to_owned(),
        r#type: value.into(),
        ..Default::default()
    };
    let user = vec![
        text("id", true),
        text("name", false),
        typed("uid", v1::AttributeType::Integer),
        typed("locked", v1::AttributeType::Boolean),
        typed("expires", v1::AttributeType::Timestamp),
    ];
    let held = typed("privileged", v1::AttributeType::Boolean);
    vec![
        of(v1::RecordKind::Resource, "user", user),
        of(v1::RecordKind::Resource, "group", vec![text("id", true), text("parent", false)]),
        of(
            v1::RecordKind::Entitlement,
            "group",
            vec![text("id", true), text("resource", true), text("name", false), held],
        ),
        of(v1::RecordKind::Grant, "user", vec![text("principal", true), text("entitlement", true)]),
    ]
}

fn column(name: &str, presence: &[u8], values: v1::column::Values) -> v1::Column {
    v1::Column { name: name.to_owned(), presence: presence.to_vec(), values: Some(values) }
}

fn text(name: &str, texts: &[&str]) -> v1::Column {
    let lengths = texts.iter().map(|text| text.len() as u32).collect();
    let data = texts.concat().into_bytes();
    column(name, &[], v1::column::Values::Text(v1::TextColumn { lengths, data }))
}

fn batch(
    scope: u32,
    kind: v1::RecordKind,
    name: &str,
    records: u32,
    columns: Vec<v1::Column>,
) -> v1::Batch {
    v1::Batch { scope, kind: kind.into(), r#type: name.to_owned(), records, columns }
}

fn users() -> v1::Batch {
    let uids = v1::IntegerColumn { values: vec![1, i64::MAX, 0] };
    let times = v1::IntegerColumn { values: vec![0, 0, 1_790_000_000_000_000] };
    let locked = v1::BooleanColumn { bits: vec![0b101] };
    let columns = vec![
        text("id", &["u0", "u1", "u2"]),
        text("name", &["Ann", "", "Zoë"]),
        column("uid", &[0b011], v1::column::Values::Integers(uids)),
        column("locked", &[], v1::column::Values::Booleans(locked)),
        column("expires", &[0b100], v1::column::Values::Timestamps(times)),
    ];
    batch(0, v1::RecordKind::Resource, "user", 3, columns)
}

fn groups() -> v1::Batch {
    let columns = vec![text("id", &["g0", "g1"]), text("parent", &["group:g1", ""])];
    batch(1, v1::RecordKind::Resource, "group", 2, columns)
}

fn entitlements() -> v1::Batch {
    let held = v1::BooleanColumn { bits: vec![0b1] };
    let columns = vec![
        text("id", &["g0:member"]),
        text("resource", &["group:g0"]),
        column("privileged", &[], v1::column::Values::Booleans(held)),
    ];
    batch(1, v1::RecordKind::Entitlement, "group", 1, columns)
}

fn grants() -> v1::Batch {
    let columns =
        vec![text("principal", &["u0", "u1"]), text("entitlement", &["g0:member", "g0:member"])];
    batch(1, v1::RecordKind::Grant, "user", 2, columns)
}

/// Batches.
pub fn batches() -> Vec<Vec<u8>> {
    let mut lying = users();
    lying.records = 4_096;
    let batches = [users(), groups(), entitlements(), grants(), v1::Batch::default(), lying];
    batches.iter().map(Message::encode_to_vec).collect()
}

fn begin(scope: u32, name: &str) -> Payload {
    Payload::ScopeBegin(v1::ScopeBegin { scope, name: name.to_owned() })
}

fn end(scope: u32, outcome: v1::ScopeOutcome, records: u64) -> Payload {
    Payload::ScopeEnd(v1::ScopeEnd {
        scope,
        outcome: outcome.into(),
        reason: "seed".to_owned(),
        records,
        source_total: Some(records),
        watermark: Some(v1::Watermark { time: 1, token: "w".to_owned() }),
    })
}

/// Streams of messages, each behind its length.
pub fn streams() -> Vec<Vec<u8>> {
    let progress = v1::Progress { done: 1, total: 2, phase: "seed".to_owned(), throttled_ms: 0 };
    let whole = vec![
        begin(0, "users"),
        Payload::Batch(users()),
        Payload::Progress(progress),
        end(0, v1::ScopeOutcome::Complete, 3),
        begin(1, "groups"),
        Payload::Batch(groups()),
        Payload::Batch(entitlements()),
        Payload::Checkpoint(v1::Checkpoint { cursor: vec![1] }),
        Payload::Batch(grants()),
        end(1, v1::ScopeOutcome::Incomplete, 5),
        Payload::SyncEnd(v1::SyncEnd { scopes: 2, records: 8 }),
    ];
    let small = vec![
        begin(0, "users"),
        Payload::Batch(users()),
        end(0, v1::ScopeOutcome::Gone, 3),
        Payload::SyncEnd(v1::SyncEnd { scopes: 1, records: 3 }),
    ];
    let empty = vec![Payload::SyncEnd(v1::SyncEnd::default())];
    let unclosed = whole[..5].to_vec();
    [whole, small, empty, unclosed].map(framed).to_vec()
}

fn framed(messages: Vec<Payload>) -> Vec<u8> {
    let framed = messages.into_iter().flat_map(|message| {
        v1::SyncMessage { message: Some(message) }.encode_length_delimited_to_vec()
    });
    framed.collect()
}

/// What connectors say of themselves.
pub fn descriptions() -> Vec<Vec<u8>> {
    let honest = v1::DescribeResponse {
        name: "seed".to_owned(),
        version: "1".to_owned(),
        protocol_min: 1,
        protocol_max: 1,
        capabilities: vec![v1::Capability::Lookup.into()],
        schemas: schemas(),
        configuration_schema: "{}".to_owned(),
    };
    let twice = v1::DescribeResponse {
        schemas: [schemas(), schemas()].concat(),
        ..v1::DescribeResponse::default()
    };
    vec![honest.encode_to_vec(), twice.encode_to_vec()]
}

/// A status code, then the trailer of a typed error.
pub fn errors() -> Vec<Vec<u8>> {
    let error = v1::Error {
        kind: v1::ErrorKind::RateLimited.into(),
        message: "é".repeat(1_500),
        field: "columns.id".to_owned(),
        retry_after_ms: u64::MAX,
    };
    [13, 8].map(|code| [&[code][..], &error.encode_to_vec()].concat()).to_vec()
}

/// How many keys were asked, then the answer.
pub fn lookups() -> Vec<Vec<u8>> {
    let presences = vec![v1::Presence::Present.into(), v1::Presence::Absent.into(), 77];
    let answer = v1::LookupResponse { presences }.encode_to_vec();
    [3, 2].map(|keys| [&[keys][..], &answer].concat()).to_vec()
}

/// The manifest of a staged candidate, as it is on the disk.
pub fn manifests() -> Vec<Vec<u8>> {
    crate::target::staged_manifest(&streams()[0]).into_iter().collect()
}
