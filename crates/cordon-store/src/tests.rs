//! The store's promises, against stores in temporary folders.

mod changes;
mod compose;
mod crash;
mod damage;
mod defects;
mod files;
mod model;
mod shape;
mod staging;
mod sweep;
mod tombstones;
mod values;
mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cordon_model::{
    AttributeName, AttributeSchema, AttributeType, BATCH_RECORDS_MAX, Batch, Bits, Column,
    ConnectorName, RecordSchema, RecordType, Row, ScopeOutcome, ScopeReport, SyncNumber, Value,
    Values, Watermark,
};
use cordon_validate::{
    Accepted, Candidate, Census, Delta, History, Judged, Policy, TypeCensus, TypeDelta, judge,
};
use jiff::Timestamp;

use crate::limits::Limits;
use crate::{Provenance, Snapshot, StageError, StageSpec, Staged, Staging, Store};

/// Limits that make small syncs spill and fetch in several blocks.
pub(crate) const TIGHT: Limits = Limits {
    run_entries: 5,
    target_entries: 3,
    block_changes: 2,
    privileged_max: 100,
    file_bytes_max: u64::MAX,
};

/// A store in a folder that goes with it.
pub(crate) struct Host {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
}

impl Host {
    pub(crate) fn new() -> Self {
        // In memory where there is such a place: the tests sync thousands of files.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = Store::open(dir.path()).unwrap().with_limits(TIGHT);
        Self { dir, store }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Stages records whose scopes all ended complete.
    pub(crate) fn stage(&self, sync: u64, records: &[Record], last: Option<&Snapshot>) -> Staged {
        let reports = complete(records);
        stage(&self.store, sync, records, reports, last, 3).unwrap()
    }

    /// Stages and publishes.
    pub(crate) fn publish(
        &self,
        sync: u64,
        records: &[Record],
        last: Option<&Snapshot>,
    ) -> Snapshot {
        let staged = self.stage(sync, records, last);
        self.publish_staged(&staged)
    }

    pub(crate) fn publish_staged(&self, staged: &Staged) -> Snapshot {
        let published = self.store.publish(accepted(&staged.candidate)).unwrap();
        self.store.snapshot(&published.connector, published.sync).unwrap()
    }
}

/// A record and its scope.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) scope: String,
    pub(crate) row: Row,
}

pub(crate) fn record(scope: &str, record_type: &str, values: &[(&str, Value)]) -> Record {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let row = Row { record_type: of(record_type), values: values.collect() };
    Record { scope: scope.to_owned(), row }
}

pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub(crate) fn user(scope: &str, id: &str) -> Record {
    record(scope, "resource.user", &[("id", text(id))])
}

pub(crate) fn user_with(scope: &str, id: &str, more: &[(&str, Value)]) -> Record {
    let mut record = user(scope, id);
    record.row.values.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    record
}

pub(crate) fn group(scope: &str, id: &str) -> Record {
    record(scope, "resource.group", &[("id", text(id))])
}

pub(crate) fn entitlement(scope: &str, id: &str, group: &str, privileged: bool) -> Record {
    let resource = text(&format!("group:{group}"));
    let values =
        [("id", text(id)), ("resource", resource), ("privileged", Value::Boolean(privileged))];
    record(scope, "entitlement.group", &values)
}

pub(crate) fn grant(scope: &str, principal: &str, entitlement: &str) -> Record {
    let values = [("principal", text(principal)), ("entitlement", text(entitlement))];
    record(scope, "grant.user", &values)
}

pub(crate) fn of(record_type: &str) -> RecordType {
    RecordType::try_from(record_type.to_owned()).unwrap()
}

pub(crate) fn hr() -> ConnectorName {
    ConnectorName::new("hr").unwrap()
}

pub(crate) fn attribute(name: &str, value_type: AttributeType) -> AttributeSchema {
    AttributeSchema {
        name: AttributeName::new(name).unwrap(),
        value_type,
        required: false,
        sensitive: false,
        natural_key: false,
    }
}

pub(crate) fn schemas() -> Vec<RecordSchema> {
    let users = vec![
        attribute("mail", AttributeType::Text),
        attribute("age", AttributeType::Integer),
        attribute("active", AttributeType::Boolean),
        attribute("hired", AttributeType::Timestamp),
        attribute("owner", AttributeType::Text),
    ];
    let schema = |name: &str, attributes| RecordSchema { record_type: of(name), attributes };
    vec![
        schema("grant.user", vec![]),
        schema("resource.user", users),
        schema("resource.group", vec![]),
        schema("entitlement.group", vec![]),
        schema("entitlement.app", vec![]),
    ]
}

pub(crate) fn spec(sync: u64, schemas: Vec<RecordSchema>) -> StageSpec {
    StageSpec {
        shape: true,
        grace: None,
        connector: hr(),
        sync: SyncNumber(sync),
        schemas,
        provenance: Provenance {
            connector_program: "connector-test".to_owned(),
            connector_version: "1.0.0".to_owned(),
            program_digest: "00".repeat(32),
            jail_report_digest: None,
            isolation: Default::default(),
        },
        started_at: Timestamp::from_second(1_750_000_000 + sync as i64).unwrap(),
    }
}

pub(crate) fn report(name: &str, outcome: ScopeOutcome) -> ScopeReport {
    ScopeReport {
        name: name.to_owned(),
        outcome,
        received: 0,
        declared: 0,
        source_total: None,
        watermark: Watermark::default(),
    }
}

pub(crate) fn incomplete(name: &str) -> ScopeReport {
    report(name, ScopeOutcome::Incomplete { reason: "cut short".to_owned() })
}

/// A complete report of every scope that the records name.
pub(crate) fn complete(records: &[Record]) -> Vec<ScopeReport> {
    let mut names: Vec<_> = records.iter().map(|record| record.scope.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| report(name, ScopeOutcome::Complete)).collect()
}

/// Appends records in their order, in batches of at most `batch` neighbours of one scope and type.
pub(crate) fn append(
    staging: &mut Staging,
    records: &[Record],
    batch: usize,
) -> Result<(), StageError> {
    let mut ordinals: BTreeMap<&str, u32> = BTreeMap::new();
    let like =
        |a: &Record, b: &Record| a.scope == b.scope && a.row.record_type == b.row.record_type;
    for neighbours in records.chunk_by(like) {
        let scope = neighbours[0].scope.as_str();
        let next = ordinals.len() as u32 * 10;
        let ordinal = *ordinals.entry(scope).or_insert(next);
        if ordinal == next {
            staging.begin_scope(ordinal, scope)?;
        }
        for records in neighbours.chunks(batch.min(BATCH_RECORDS_MAX)) {
            staging.append(batch_of(ordinal, records))?;
        }
    }
    Ok(())
}

pub(crate) fn stage(
    store: &Store,
    sync: u64,
    records: &[Record],
    reports: Vec<ScopeReport>,
    last: Option<&Snapshot>,
    batch: usize,
) -> Result<Staged, StageError> {
    let mut staging = store.stage(spec(sync, schemas()))?;
    append(&mut staging, records, batch)?;
    staging.finish(reports, last)
}

pub(crate) fn batch_of(scope: u32, records: &[Record]) -> Batch {
    let rows: Vec<&Row> = records.iter().map(|record| &record.row).collect();
    let mut names: Vec<&String> = rows.iter().flat_map(|row| row.values.keys()).collect();
    names.sort();
    names.dedup();
    let columns = names.into_iter().map(|name| column_of(name, &rows));
    Batch::new(scope, rows[0].record_type.clone(), rows.len(), columns.collect()).unwrap()
}

fn column_of(name: &str, rows: &[&Row]) -> Column {
    let given: Vec<Option<&Value>> = rows.iter().map(|row| row.values.get(name)).collect();
    let mut bits = Bits::default();
    given.iter().for_each(|value| bits.push(value.is_some()));
    // What stands in an absent record's place is anything; it must not matter.
    let values = match given.iter().flatten().next().unwrap() {
        Value::Text(_) => {
            let (mut offsets, mut data) = (vec![0], String::new());
            for value in &given {
                data.push_str(match value {
                    Some(Value::Text(text)) => text,
                    _ => "absent",
                });
                offsets.push(data.len() as i32);
            }
            Values::Text { offsets, data }
        }
        Value::Integer(_) => Values::Integer(
            given.iter().map(|v| if let Some(Value::Integer(n)) = v { *n } else { -7 }).collect(),
        ),
        Value::Boolean(_) => {
            let mut values = Bits::default();
            given.iter().for_each(|v| values.push(!matches!(v, Some(Value::Boolean(false)))));
            Values::Boolean(values)
        }
        Value::Timestamp(_) => Values::Timestamp(
            given
                .iter()
                .map(|v| if let Some(Value::Timestamp(t)) = v { t.as_microsecond() } else { -7 })
                .collect(),
        ),
    };
    let presence = given.iter().any(Option::is_none).then_some(bits);
    Column { name: AttributeName::new(name).unwrap(), presence, values }
}

/// A proof for any candidate: the judge sees it without what it might object to.
pub(crate) fn accepted(candidate: &Candidate) -> Accepted {
    let bare = Candidate {
        census: one_record(),
        delta: candidate.against.map(|_| Delta {
            types: BTreeMap::from([(
                of("resource.user"),
                TypeDelta { before: 1, after: 1, ..TypeDelta::default() },
            )]),
            ..Delta::default()
        }),
        defects: Vec::new(),
        step: None,
        pending: None,
        ..candidate.clone()
    };
    let last_good = candidate.against.map(|_| one_record());
    match judge(last_good.as_ref(), bare, &History::default(), &Policy::default()) {
        Judged::Accepted(accepted) => accepted,
        Judged::Held(held) => panic!("{:?}", held.verdict()),
    }
}

/// The least that a first sync may hold.
fn one_record() -> Census {
    let users = TypeCensus { records: 1, ..TypeCensus::default() };
    Census { types: BTreeMap::from([(of("resource.user"), users)]), ..Census::default() }
}

/// Every file below a folder with its bytes, by path from there.
pub(crate) fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Calls `at` with a point's name whenever a store passes one.
pub(crate) fn hooked(store: &Store, at: impl Fn(&'static str) + Send + Sync + 'static) -> Store {
    store.clone().with_faults(Arc::new(at))
}
