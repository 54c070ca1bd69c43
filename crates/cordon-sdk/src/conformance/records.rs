//! Cases about what a sync brings.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cordon_model::{AttributeType, RecordKind, RecordSchema, RecordType, Row, Value, columns};
use cordon_wire::v1;
use jiff::Timestamp;

use super::{Bench, Judged, Objection, Subject};
use crate::testing::Collected;

/// Examples in a message, at most.
const EXAMPLES: usize = 5;
/// Bytes of an id, at most.
const ID_BYTES_MAX: usize = 1_024;
/// Years in which the times of a source lie: 1970 up to 2200.
const PLAUSIBLE: std::ops::Range<i64> = 0..7_258_118_400;

pub(super) async fn every_scope_is_closed_and_counted<S: Subject>(bench: &mut Bench<S>) -> Judged {
    // The protocol itself, counts included, is checked while a sync is collected.
    let collected = bench.try_sync(0).await?.map_err(Objection::Failed)?;
    if collected.scopes.is_empty() {
        return Err(Objection::failed("the sync opens no scope"));
    }
    for scope in &collected.scopes {
        if let (true, Some(total)) = (scope.outcome.proves_absence(), scope.source_total)
            && scope.received != total
        {
            return Err(Objection::failed(format!(
                "scope {:?} is complete with {} records, but the source counts {total}",
                scope.name, scope.received
            )));
        }
    }
    if collected.rows.is_empty() {
        let why = "the sync brings no record: configure a source that has some";
        return Err(Objection::failed(why));
    }
    Ok(())
}

pub(super) async fn two_syncs_report_the_same_records<S: Subject>(bench: &mut Bench<S>) -> Judged {
    let (first, second) = (bench.synced().await?, bench.synced_again().await?);
    for (what, once, again) in [
        ("record", keys(&first), keys(&second)),
        ("scope", scope_names(&first), scope_names(&second)),
    ] {
        let differing: Vec<_> = once.symmetric_difference(&again).take(EXAMPLES).collect();
        if !differing.is_empty() {
            let why = format!("a {what} is in one sync only: {differing:?}");
            return Err(Objection::failed(why));
        }
    }
    Ok(())
}

pub(super) async fn no_record_is_reported_twice<S: Subject>(bench: &mut Bench<S>) -> Judged {
    let collected = bench.synced().await?;
    let mut seen = HashSet::new();
    let twice = collected.rows.iter().map(Row::key).filter(|key| !seen.insert(key.clone()));
    refuse("reported twice", twice)
}

pub(super) async fn no_grant_dangles<S: Subject>(bench: &mut Bench<S>) -> Judged {
    let collected = bench.synced().await?;
    let known = keys(&collected);
    let dangling = collected.rows.iter().flat_map(|row| {
        let missing = references(row).into_iter().filter(|key| !known.contains(key));
        missing.map(|key| format!("{} refers to {key}", row.key())).collect::<Vec<_>>()
    });
    refuse("not in the sync", dangling)
}

/// Keys of the records that a record needs.
fn references(row: &Row) -> Vec<String> {
    let keys = match row.record_type.kind {
        RecordKind::Resource => vec![text(row, columns::PARENT).map(str::to_owned)],
        RecordKind::Entitlement => vec![text(row, columns::RESOURCE).map(str::to_owned)],
        RecordKind::Grant => vec![
            text(row, columns::PRINCIPAL).map(|id| format!("{}:{id}", row.record_type.name)),
            text(row, columns::ENTITLEMENT).map(|id| format!("entitlement:{id}")),
        ],
    };
    keys.into_iter().flatten().collect()
}

pub(super) async fn every_record_is_well_formed<S: Subject>(bench: &mut Bench<S>) -> Judged {
    let described = bench.described().await?;
    are_well_formed(&described, &bench.synced().await?)
}

/// Whether every record of a sync fits what was announced of its kind and type.
pub fn are_well_formed(described: &v1::DescribeResponse, collected: &Collected) -> Judged {
    let schemas = cordon_wire::describe::schemas_from_wire(&described.schemas)
        .map_err(|_| Objection::unjudged("see describe_is_consistent"))?;
    let schemas: BTreeMap<RecordType, RecordSchema> =
        schemas.into_iter().map(|schema| (schema.record_type.clone(), schema)).collect();
    let wrong = collected.rows.iter().filter_map(|row| {
        let why = match schemas.get(&row.record_type) {
            Some(schema) => fault(schema, row)?,
            None => format!("{} was not announced", row.record_type),
        };
        Some(format!("{}: {why}", row.key()))
    });
    refuse("not well formed", wrong)
}

fn fault(schema: &RecordSchema, row: &Row) -> Option<String> {
    for (name, value) in &row.values {
        let known = schema.attributes.iter().find(|known| known.name.as_str() == name.as_str());
        let Some(known) = known else { return Some(format!("column {name} was not announced")) };
        if known.value_type != type_of(value) {
            return Some(format!("{name} is announced as another type"));
        }
        if let Value::Timestamp(time) = value
            && !PLAUSIBLE.contains(&time.as_second())
        {
            return Some(format!("{name} is {time}, before 1970 or after 2200"));
        }
    }
    let lacks = |name: &str| !row.values.keys().any(|key| key.as_str() == name);
    let required = schema.attributes.iter().filter(|known| known.required);
    if let Some(missing) = required.map(|known| known.name.as_str()).find(|name| lacks(name)) {
        return Some(format!("the required {missing} is missing"));
    }
    let ids = [columns::ID, columns::PRINCIPAL, columns::ENTITLEMENT];
    let bad_id = ids.iter().find(|name| text(row, name).is_some_and(|id| !is_id(id)));
    if let Some(name) = bad_id {
        return Some(format!("{name} is empty, too long or has control characters"));
    }
    let references = [columns::RESOURCE, columns::PARENT];
    let unformed = |id: &str| id.split_once(':').is_none_or(|(_, id)| !is_id(id));
    let bad = references.iter().find(|name| text(row, name).is_some_and(unformed));
    bad.map(|name| format!("{name} is not of the form type:id"))
}

fn is_id(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len()) && !id.chars().any(char::is_control)
}

fn type_of(value: &Value) -> AttributeType {
    match value {
        Value::Text(_) => AttributeType::Text,
        Value::Integer(_) => AttributeType::Integer,
        Value::Boolean(_) => AttributeType::Boolean,
        Value::Timestamp(_) => AttributeType::Timestamp,
    }
}

pub(super) async fn no_watermark_goes_back<S: Subject>(bench: &mut Bench<S>) -> Judged {
    let (first, second) = (bench.synced().await?, bench.synced_again().await?);
    let time = |collected: &Collected, name: &str| -> Option<Timestamp> {
        collected.scope(name)?.watermark.time
    };
    let names = scope_names(&first);
    let known: Vec<_> = names.iter().filter(|name| time(&first, name).is_some()).collect();
    if known.is_empty() {
        let why = "no scope says how current its source is";
        return Err(Objection::unjudged(why));
    }
    let back = known.into_iter().filter(|name| time(&second, name) < time(&first, name));
    refuse("less current than before", back.cloned())
}

fn refuse(what: &str, found: impl Iterator<Item = String>) -> Judged {
    let found: Vec<String> = found.take(EXAMPLES).collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(Objection::failed(format!("{what}: {}", found.join("; "))))
}

fn text<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    match row.values.get(column) {
        Some(Value::Text(text)) => Some(text.as_str()),
        _ => None,
    }
}

pub(super) fn keys(collected: &Collected) -> BTreeSet<String> {
    collected.rows.iter().map(Row::key).collect()
}

fn scope_names(collected: &Collected) -> BTreeSet<String> {
    collected.scopes.iter().map(|scope| scope.name.clone()).collect()
}
