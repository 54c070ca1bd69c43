//! Faults in what is said: each turns the honest messages into others.

use cordon_testkit::scenario::{Act, Fault, Point, Scenario};
use cordon_wire::v1::column::Values;
use cordon_wire::v1::{self, sync_message::Message as Payload};

use crate::plan;

/// Bytes of a batch that is too large: more than a message may have.
const GIANT_BYTES: usize = 6 * 1024 * 1024;
/// Records of a batch that has too many.
const MANY_RECORDS: u32 = 5_000;
/// A scope that never begins.
const NO_SCOPE: u32 = 99;

/// What the connector says it is, faults included.
pub(crate) fn description(scenario: &Scenario) -> v1::DescribeResponse {
    let mut description = plan::description(scenario);
    for fault in &scenario.faults {
        let users = &mut description.schemas[0];
        match &fault.act {
            Act::SchemaDrop(name) => users.attributes.retain(|attribute| attribute.name != *name),
            Act::SchemaType(name) => {
                for attribute in users.attributes.iter_mut().filter(|known| known.name == *name) {
                    attribute.r#type = v1::AttributeType::Integer.into();
                }
            }
            Act::SchemaRequire(name) => {
                for attribute in users.attributes.iter_mut().filter(|known| known.name == *name) {
                    attribute.required = true;
                }
            }
            Act::SecretField(name) => {
                let secret = serde_json::json!({ "type": "string", "writeOnly": true });
                // `secrets.key` is a field inside another.
                let schema = name.rsplit('.').fold(secret, |schema, name| {
                    serde_json::json!({ "type": "object", "properties": { name: schema } })
                });
                description.configuration_schema = schema.to_string();
            }
            Act::FutureProtocol => {
                description.protocol_min = cordon_wire::PROTOCOL + 1;
                description.protocol_max = cordon_wire::PROTOCOL + 2;
            }
            _ => {}
        }
    }
    description
}

/// What is said of single records, faults included.
pub(crate) fn lookup(scenario: &Scenario, keys: &[v1::RecordKey]) -> v1::LookupResponse {
    let honest = |key: &v1::RecordKey| match plan::holds(scenario, key) {
        true => v1::Presence::Present,
        false => v1::Presence::Absent,
    };
    let mut presences: Vec<i32> = keys.iter().map(|key| honest(key).into()).collect();
    for fault in scenario.faults.iter().filter(|fault| fault.at == Point::Lookup) {
        match &fault.act {
            Act::Say(word) => {
                let said = match word.as_str() {
                    "present" => v1::Presence::Present,
                    "absent" => v1::Presence::Absent,
                    _ => v1::Presence::Unspecified,
                };
                presences.fill(said.into());
            }
            Act::ShortAnswer => {
                presences.pop();
            }
            _ => {}
        }
    }
    v1::LookupResponse { presences }
}

/// Every message of a sync, faults in what is said included.
pub(crate) fn sync(scenario: &Scenario) -> Vec<Payload> {
    let percent = scenario.faults.iter().find_map(|fault| match fault.act {
        Act::Truncate(percent) => Some(percent),
        _ => None,
    });
    let mut messages = plan::sync(scenario, percent.unwrap_or(100));
    for fault in &scenario.faults {
        match &fault.act {
            // What is reported, well-formed but untrue.
            Act::Empty => keep(&mut messages, "", 0),
            Act::Incomplete(scope) => {
                keep(&mut messages, scope, 50);
                end_as(&mut messages, scope, v1::ScopeOutcome::Incomplete);
            }
            Act::Gone(scope) => {
                keep(&mut messages, scope, 0);
                end_as(&mut messages, scope, v1::ScopeOutcome::Gone);
            }
            Act::DuplicateKeys => duplicate_keys(&mut messages),
            Act::LieTotal => each_end(&mut messages, |end| {
                end.source_total = Some(end.records * 2);
            }),
            Act::Rekey
            | Act::DanglingGrants
            | Act::ControlCharacters
            | Act::SchemaDrop(_)
            | Act::SchemaType(_)
            | Act::NullAttribute(_) => change_values(&mut messages, &fault.act),
            // What breaks the contract.
            _ => break_contract(&mut messages, fault, scenario.seed),
        }
    }
    messages
}

fn break_contract(messages: &mut Vec<Payload>, fault: &Fault, seed: u64) {
    match &fault.act {
        Act::WrongCount => {
            let scope = scope_at(messages, &fault.at);
            each_end(messages, |end| end.records += u64::from(end.scope == scope));
        }
        Act::WrongSyncCount => {
            if let Some(Payload::SyncEnd(end)) = messages.last_mut() {
                end.records += 1;
            }
        }
        Act::UnclosedScope => {
            let scope = scope_at(messages, &fault.at);
            messages
                .retain(|message| !matches!(message, Payload::ScopeEnd(end) if end.scope == scope));
        }
        Act::NoSyncEnd => {
            messages.pop();
        }
        Act::ClosedTwice => {
            let scope = scope_at(messages, &fault.at);
            insert_after_end(messages, scope, |end, _| Payload::ScopeEnd(end.clone()));
        }
        Act::BatchAfterEnd => {
            let scope = scope_at(messages, &fault.at);
            insert_after_end(messages, scope, |_, batch| Payload::Batch(batch.clone()));
        }
        Act::ScopeTwice => {
            let mut first = None;
            for message in messages.iter_mut() {
                if let Payload::ScopeBegin(begin) = message {
                    begin.name.clone_from(first.get_or_insert_with(|| begin.name.clone()));
                }
            }
        }
        Act::AfterSyncEnd => messages.extend(messages.first().cloned()),
        _ => break_batch(messages, fault, seed),
    }
}

/// Faults in one batch: the one of the fault's page, or the first.
fn break_batch(messages: &mut [Payload], fault: &Fault, seed: u64) {
    let page = if let Point::Page(page) = fault.at { page.max(1) as usize } else { 1 };
    let mut batches = messages.iter_mut().filter_map(|message| match message {
        Payload::Batch(batch) => Some(batch),
        _ => None,
    });
    let Some(batch) = batches.nth(page - 1) else { return };
    let records = batch.records as usize;
    match &fault.act {
        Act::UnknownScope => batch.scope = NO_SCOPE,
        Act::UndeclaredColumn => {
            let values = Values::Integers(v1::IntegerColumn { values: vec![43; records] });
            batch.columns.push(v1::Column {
                name: "shoe_size".to_owned(),
                presence: Vec::new(),
                values: Some(values),
            });
        }
        Act::ManyRecords => {
            let ids: Vec<String> = (0..MANY_RECORDS).map(|id| format!("many{id}")).collect();
            batch.records = MANY_RECORDS;
            batch.columns = vec![texts("id", &ids)];
        }
        act => {
            let Some(Values::Text(text)) = batch.columns[0].values.as_mut() else { return };
            match act {
                Act::GiantBatch => {
                    text.data.resize(text.data.len() + GIANT_BYTES, b'x');
                    text.lengths[0] += GIANT_BYTES as u32;
                }
                Act::BadUtf8 => {
                    let place = fastrand::Rng::with_seed(seed).usize(..text.data.len());
                    text.data[place] = 0xff;
                }
                Act::BadLengths => text.lengths[0] = u32::MAX,
                // Acts of the process change no message.
                _ => {}
            }
        }
    }
}

/// Faults in values: other ids, other references, other columns.
fn change_values(messages: &mut [Payload], act: &Act) {
    for message in messages {
        let Payload::Batch(batch) = message else { continue };
        let is_user = batch.kind() == v1::RecordKind::Resource && batch.r#type == "user";
        let is_grant = batch.kind() == v1::RecordKind::Grant;
        match act {
            Act::Rekey if is_user => edit(batch, "id", |id| format!("re-{id}")),
            Act::Rekey if is_grant => edit(batch, "principal", |id| format!("re-{id}")),
            Act::DanglingGrants if is_grant => edit(batch, "entitlement", |id| format!("no-{id}")),
            Act::ControlCharacters if is_user => edit(batch, "id", |id| format!("{id}\u{1b}[2J")),
            Act::SchemaDrop(name) if is_user => batch.columns.retain(|column| column.name != *name),
            Act::SchemaType(name) if is_user => {
                let values = (0..i64::from(batch.records)).collect();
                for column in batch.columns.iter_mut().filter(|column| column.name == *name) {
                    let numbers = v1::IntegerColumn { values: Vec::clone(&values) };
                    column.values = Some(Values::Integers(numbers));
                }
            }
            Act::NullAttribute(name) if is_user => {
                let records = batch.records as usize;
                for column in batch.columns.iter_mut().filter(|column| column.name == *name) {
                    *column = texts(name, &vec![String::new(); records]);
                    column.presence = vec![0; records.div_ceil(8)];
                }
            }
            _ => {}
        }
    }
}

/// Keeps so many percent of the records of that scope, or of all; counts stay right. A scope of the
/// honest source that says its total goes on saying it.
fn keep(messages: &mut Vec<Payload>, scope: &str, percent: u32) {
    let number = number_of(messages, scope);
    let mut left: Vec<u64> = Vec::new();
    for message in messages.iter_mut() {
        match message {
            Payload::ScopeBegin(_) => left.push(0),
            Payload::Batch(batch) if number.is_none_or(|number| number == batch.scope) => {
                let kept = u64::from(batch.records) * u64::from(percent.min(100)) / 100;
                cut(batch, kept as usize);
                left[batch.scope as usize] += kept;
            }
            Payload::Batch(batch) => left[batch.scope as usize] += u64::from(batch.records),
            Payload::ScopeEnd(end) => end.records = left[end.scope as usize],
            Payload::SyncEnd(end) => end.records = left.iter().sum(),
            Payload::Progress(_) | Payload::Checkpoint(_) => {}
        }
    }
    messages.retain(|message| !matches!(message, Payload::Batch(batch) if batch.records == 0));
}

/// Cuts a batch to its first records. Every column of the honest source is whole.
fn cut(batch: &mut v1::Batch, records: usize) {
    batch.records = records as u32;
    for column in &mut batch.columns {
        match column.values.as_mut() {
            Some(Values::Text(text)) => {
                text.lengths.truncate(records);
                let bytes: u32 = text.lengths.iter().sum();
                text.data.truncate(bytes as usize);
            }
            Some(Values::Booleans(booleans)) => booleans.bits.truncate(records.div_ceil(8)),
            Some(Values::Integers(numbers) | Values::Timestamps(numbers)) => {
                numbers.values.truncate(records);
            }
            None => {}
        }
    }
}

/// Sends the first user a second time.
fn duplicate_keys(messages: &mut Vec<Payload>) {
    let Some(place) = messages.iter().position(|message| matches!(message, Payload::Batch(_)))
    else {
        return;
    };
    let mut again = messages[place].clone();
    if let Payload::Batch(batch) = &mut again {
        cut(batch, 1);
    }
    messages.insert(place + 1, again);
    if let Some(Payload::ScopeEnd(end)) =
        messages.iter_mut().find(|message| matches!(message, Payload::ScopeEnd(_)))
    {
        end.records += 1;
    }
    if let Some(Payload::SyncEnd(end)) = messages.last_mut() {
        end.records += 1;
    }
}

fn end_as(messages: &mut [Payload], scope: &str, outcome: v1::ScopeOutcome) {
    let number = number_of(messages, scope);
    each_end(messages, |end| {
        if Some(end.scope) == number {
            end.outcome = outcome.into();
            if outcome == v1::ScopeOutcome::Incomplete {
                "page 2 did not come".clone_into(&mut end.reason);
            }
        }
    });
}

fn each_end(messages: &mut [Payload], change: impl Fn(&mut v1::ScopeEnd)) {
    for message in messages {
        if let Payload::ScopeEnd(end) = message {
            change(end);
        }
    }
}

fn insert_after_end(
    messages: &mut Vec<Payload>,
    scope: u32,
    make: impl Fn(&v1::ScopeEnd, &v1::Batch) -> Payload,
) {
    let batch = messages.iter().find_map(|message| match message {
        Payload::Batch(batch) if batch.scope == scope => Some(batch.clone()),
        _ => None,
    });
    let end = messages.iter().enumerate().find_map(|(place, message)| match message {
        Payload::ScopeEnd(end) if end.scope == scope => Some((place, end.clone())),
        _ => None,
    });
    if let (Some(batch), Some((place, end))) = (batch, end) {
        messages.insert(place + 1, make(&end, &batch));
    }
}

/// The number of a scope; none when there is no such scope, as for an empty name.
fn number_of(messages: &[Payload], scope: &str) -> Option<u32> {
    messages.iter().find_map(|message| match message {
        Payload::ScopeBegin(begin) if begin.name == scope => Some(begin.scope),
        _ => None,
    })
}

/// The scope that a point names, or the first.
fn scope_at(messages: &[Payload], at: &Point) -> u32 {
    match at {
        Point::ScopeBegin(name) | Point::ScopeEnd(name) => number_of(messages, name).unwrap_or(0),
        _ => 0,
    }
}

fn edit(batch: &mut v1::Batch, column: &str, change: impl Fn(&str) -> String) {
    let Some(column) = batch.columns.iter_mut().find(|known| known.name == column) else { return };
    let Some(Values::Text(text)) = &column.values else { return };
    let mut rest = text.data.as_slice();
    let mut changed = Vec::with_capacity(text.lengths.len());
    for length in &text.lengths {
        let (value, after) = rest.split_at(*length as usize);
        changed.push(change(&String::from_utf8_lossy(value)));
        rest = after;
    }
    *column = texts(&column.name, &changed);
}

/// A column of texts that every record has.
pub(crate) fn texts(name: &str, values: &[String]) -> v1::Column {
    let text = v1::TextColumn {
        lengths: values.iter().map(|text| text.len() as u32).collect(),
        data: values.concat().into_bytes(),
    };
    v1::Column { name: name.to_owned(), presence: Vec::new(), values: Some(Values::Text(text)) }
}

/// The records of a batch, one by one.
pub(crate) fn singles(batch: &v1::Batch) -> Vec<v1::Batch> {
    let mut texts_of: Vec<Vec<String>> = Vec::new();
    for column in &batch.columns {
        let mut values = Vec::new();
        if let Some(Values::Text(text)) = &column.values {
            let mut rest = text.data.as_slice();
            for length in &text.lengths {
                let (value, after) = rest.split_at((*length as usize).min(rest.len()));
                values.push(String::from_utf8_lossy(value).into_owned());
                rest = after;
            }
        }
        texts_of.push(values);
    }
    let record = |index: usize| v1::Batch {
        records: 1,
        columns: batch
            .columns
            .iter()
            .zip(&texts_of)
            .filter_map(|(column, values)| match &column.values {
                Some(Values::Booleans(booleans)) => {
                    let bit = booleans.bits[index / 8] >> (index % 8) & 1;
                    let values = Values::Booleans(v1::BooleanColumn { bits: vec![bit] });
                    Some(v1::Column { values: Some(values), ..column.clone() })
                }
                _ => Some(texts(&column.name, std::slice::from_ref(values.get(index)?))),
            })
            .collect(),
        ..batch.clone()
    };
    (0..batch.records as usize).map(record).collect()
}
