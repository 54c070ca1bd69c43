//! `diff`: what a sync changes, exactly, record by record.

use std::collections::BTreeMap;

use cordon_model::{
    AttributeName, Change, ChangeOp, ConnectorName, RecordType, Row, SyncNumber, Value,
};
use cordon_store::{ChangeCounts, ReadError, Snapshot, Store};
use cordon_validate::{Delta, Selection};
use cordon_wire::v1;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::problem::Refusal;
use super::{Service, Streamed, render};
use crate::host::Handle;
use crate::session::chain;

mod contrast;
mod remap;

use contrast::Grouped;

/// Which changes are wanted.
struct Wanted {
    selection: Selection,
    limit: u64,
    /// As sinks are told of them.
    delivered: bool,
}

impl Wanted {
    fn takes(&self, change: &Change) -> bool {
        self.selection.takes(change.op, change.record_type.label())
            && self.selection.fits(&change.key)
    }
}

/// What is to be known of a sync that waits for a decision, beside what it changes.
#[derive(Default)]
struct Waiting {
    rest: Option<v1::RestOfSync>,
    asked: Option<v1::ReleaseAsked>,
    people: u32,
    /// Who gets it once it is released.
    sinks: Option<Vec<v1::SinkStatus>>,
}

impl Waiting {
    fn new(handle: &Handle, sync: SyncNumber) -> Self {
        let facts = handle.facts();
        let Some(row) = facts.quarantined.filter(|row| row.sync == sync) else {
            return Self::default();
        };
        Self {
            rest: render::rest(&row),
            asked: render::asked(facts.asked.as_ref(), Timestamp::now()),
            people: u32::from(handle.view.borrow().connector.policy.release_people()),
            sinks: None,
        }
    }
}

/// Two snapshots, or a snapshot and what waits.
struct Pair {
    before: Option<Snapshot>,
    after: Snapshot,
}

impl Service {
    pub(super) async fn answer_diff(
        &self,
        request: v1::DiffRequest,
    ) -> Result<Streamed<v1::DiffPart>, Status> {
        let (name, handle) = self.find(&request.connector)?;
        let selection = Selection::new(&request.ops, &request.types, &request.keys)
            .map_err(|error| Refusal::invalid("CRD-H002", error.to_string()))?;
        let sync = newest_of_interest(&name, &handle, request.sync)?;
        let pair = self.pair(&name, sync, request.against).await?;
        let run = self.host.ledger.run(&name, sync).await.map_err(Refusal::from)?;
        let wanted = Wanted { selection, limit: request.limit, delivered: request.delivered };
        let mut waiting = Waiting::new(&handle, sync);
        if waiting.people > 0 {
            waiting.sinks = Some(self.sinks_of(&name).await?);
        }
        let store = self.host.store.clone();
        let (parts, stream) = mpsc::channel(64);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = send(&store, &pair, (run, waiting), &wanted, &parts) {
                let refusal = Refusal::failed(format!("cannot read a snapshot: {}", chain(&error)));
                let _ = parts.blocking_send(Err(refusal.into()));
            }
        });
        Ok(Box::pin(ReceiverStream::new(stream)))
    }

    /// The sinks that get a connector's changes, and how far each is with them.
    async fn sinks_of(&self, name: &ConnectorName) -> Result<Vec<v1::SinkStatus>, Refusal> {
        let mut sinks = Vec::new();
        for view in self.host.sinks().iter().filter(|view| view.sink.takes(name)) {
            sinks.push(self.sink_status(view, std::slice::from_ref(name)).await?);
        }
        Ok(sinks)
    }

    async fn pair(
        &self,
        name: &ConnectorName,
        sync: SyncNumber,
        against: u64,
    ) -> Result<Pair, Refusal> {
        let store = self.host.store.clone();
        let connector = name.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let after =
                store.candidate(&connector, sync).or_else(|_| store.snapshot(&connector, sync))?;
            let against = match against {
                0 => after.manifest.against,
                number => Some(SyncNumber(number)),
            };
            let before = against.map(|sync| store.snapshot(&connector, sync)).transpose()?;
            Ok::<_, ReadError>(Pair { before, after })
        });
        opened.await.map_err(|error| Refusal::failed(error.to_string()))?.map_err(|error| {
            Refusal::not_found(format!(
                "sync {sync} of `{name}` cannot be compared: {}",
                chain(&error)
            ))
            .hint(format!("`cordon runs {name}` lists its syncs; failed ones leave no records"))
        })
    }
}

/// What was asked for; else what waits for a decision; else the newest snapshot.
fn newest_of_interest(
    name: &ConnectorName,
    handle: &Handle,
    asked: u64,
) -> Result<SyncNumber, Refusal> {
    if asked > 0 {
        return Ok(SyncNumber(asked));
    }
    let facts = handle.facts();
    let waiting = facts.quarantined.map(|row| row.sync);
    waiting.or(facts.last_good.map(|row| row.sync)).ok_or_else(|| {
        Refusal::not_found(format!("`{name}` has no snapshot yet"))
            .hint(format!("sync it with `cordon sync {name} --wait`"))
    })
}

fn send(
    store: &Store,
    pair: &Pair,
    known: (Option<cordon_ledger::RunRow>, Waiting),
    wanted: &Wanted,
    parts: &mpsc::Sender<Result<v1::DiffPart, Status>>,
) -> Result<(), ReadError> {
    let mut header = header(store, pair, known)?;
    let total = header.total.unwrap_or_default();
    let before = pair.before.as_ref();
    let judged = pair.after.manifest.against == before.map(|before| before.manifest.sync);
    let told = pair.after.manifest.delivered.filter(|_| judged);
    let told = told.map(|ChangeCounts { added, modified, removed }| v1::ChangeCounts {
        added,
        removed,
        modified,
    });
    if header.told.is_some() {
        header.told = told.or(header.total);
    }
    if wanted.delivered {
        header.total = told.or(header.total);
    }
    let Grouped { groups, left_out } = contrast::groups(store, pair, &total, &sensitive(pair))?;
    header.groups = groups;
    header.not_grouped = left_out;
    let part = v1::DiffPart { part: Some(v1::diff_part::Part::Header(header)) };
    if parts.blocking_send(Ok(part)).is_err() {
        return Ok(());
    }
    let sensitive = sensitive(pair);
    let (mut sent, mut selected) = (0, v1::ChangeCounts::default());
    let changes = match wanted.delivered {
        true => store.deliveries(before, &pair.after, 0)?,
        false => store.changes(before, &pair.after, 0)?,
    };
    for change in changes {
        let change = change?;
        if !wanted.takes(&change) {
            continue;
        }
        let count = match change.op {
            ChangeOp::Added => &mut selected.added,
            ChangeOp::Removed => &mut selected.removed,
            ChangeOp::Modified => &mut selected.modified,
        };
        *count += 1;
        if wanted.limit > 0 && sent == wanted.limit {
            // All are counted where that says more than the total.
            if wanted.selection.is_all() {
                break;
            }
            continue;
        }
        sent += 1;
        let change = record_change(&change, &sensitive);
        let part = v1::DiffPart { part: Some(v1::diff_part::Part::Change(change)) };
        if parts.blocking_send(Ok(part)).is_err() {
            return Ok(());
        }
    }
    if !wanted.selection.is_all() {
        let part = v1::DiffPart { part: Some(v1::diff_part::Part::Selected(selected)) };
        let _ = parts.blocking_send(Ok(part));
    }
    Ok(())
}

fn header(
    store: &Store,
    pair: &Pair,
    (run, waiting): (Option<cordon_ledger::RunRow>, Waiting),
) -> Result<v1::DiffHeader, ReadError> {
    let manifest = &pair.after.manifest;
    let before = pair.before.as_ref();
    let judged = manifest.against == before.map(|snapshot| snapshot.manifest.sync);
    let delta = if judged { manifest.delta.as_ref() } else { None };
    let counts = store.change_counts(before, &pair.after)?;
    let mut types: BTreeMap<RecordType, v1::TypeChange> = BTreeMap::new();
    for (record_type, census) in &manifest.census.types {
        types.entry(record_type.clone()).or_default().after = census.records;
    }
    for (record_type, census) in before.iter().flat_map(|before| &before.manifest.census.types) {
        types.entry(record_type.clone()).or_default().before = census.records;
    }
    let mut total = v1::ChangeCounts::default();
    for (record_type, row) in &mut types {
        row.label = record_type.to_string();
        row.carried = carried(delta, record_type);
        let count = counts.get(record_type).copied().unwrap_or_default();
        let count = v1::ChangeCounts {
            added: count.added,
            removed: count.removed,
            modified: count.modified,
        };
        total.added += count.added;
        total.removed += count.removed;
        total.modified += count.modified;
        row.counts = Some(count);
    }
    Ok(v1::DiffHeader {
        connector: manifest.connector.to_string(),
        sync: manifest.sync.0,
        against: before.map_or(0, |snapshot| snapshot.manifest.sync.0),
        digest: pair.after.digest.to_string(),
        outcome: run.as_ref().map(|run| run.outcome.as_str().to_owned()).unwrap_or_default(),
        findings: run
            .map(|run| run.findings.iter().map(render::finding).collect())
            .unwrap_or_default(),
        types: types.into_values().collect(),
        total: Some(total),
        groups: Vec::new(),
        not_grouped: String::new(),
        rest: waiting.rest,
        asked: waiting.asked,
        people: waiting.people,
        told: waiting.sinks.as_ref().map(|_| v1::ChangeCounts::default()),
        sinks: waiting.sinks.unwrap_or_default(),
    })
}

fn carried(delta: Option<&Delta>, record_type: &RecordType) -> u64 {
    delta.and_then(|delta| delta.types.get(record_type)).map_or(0, |step| step.carried)
}

/// Attributes that a connector announced as sensitive, by kind and type.
fn sensitive(pair: &Pair) -> BTreeMap<RecordType, Vec<AttributeName>> {
    let schemas = pair.before.iter().chain([&pair.after]).flat_map(|side| &side.manifest.schemas);
    let mut sensitive: BTreeMap<RecordType, Vec<AttributeName>> = BTreeMap::new();
    for schema in schemas {
        let names = schema.attributes.iter().filter(|attribute| attribute.sensitive);
        sensitive
            .entry(schema.record_type.clone())
            .or_default()
            .extend(names.map(|attribute| attribute.name.clone()));
    }
    sensitive
}

fn record_change(
    change: &Change,
    sensitive: &BTreeMap<RecordType, Vec<AttributeName>>,
) -> v1::RecordChange {
    let masked = sensitive.get(&change.record_type).map(Vec::as_slice).unwrap_or_default();
    let json = |row: &Option<Row>| {
        row.as_ref().map(|row| values(row, masked).to_string()).unwrap_or_default()
    };
    v1::RecordChange {
        op: change.op.as_str().into(),
        record_type: change.record_type.to_string(),
        key: change.key.clone(),
        before: json(&change.before),
        after: json(&change.after),
        pending_since: change.pending_removal.map_or(0, |pending| pending.sync.0),
    }
}

fn values(row: &Row, masked: &[AttributeName]) -> serde_json::Value {
    let fields = row.values.iter().map(|(name, value)| {
        let value = match value {
            _ if masked.iter().any(|known| known.as_str() == name) => "***".into(),
            Value::Text(text) => text.clone().into(),
            Value::Integer(number) => (*number).into(),
            Value::Boolean(yes) => (*yes).into(),
            Value::Timestamp(time) => time.to_string().into(),
        };
        (name.clone(), value)
    });
    serde_json::Value::Object(fields.collect())
}
