//! Cases about how a connector answers what it is asked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cordon_model::{
    AttributeType, ConnectorName, RecordKind, RecordSchema, RecordType, Row, TypeName, Value,
    columns,
};
use cordon_wire::{PROTOCOL, v1};
use serde_json::Value as Json;

use super::records::keys;
use super::{Bench, Judged, Objection, Subject};
use crate::testing::Line;
use crate::{Error, Presence, RecordKey};

/// How soon a connector has to notice that nobody wants its sync any more: two seconds, after which
/// this SDK drops a sync that did not. One that was dropped has taken nearly all of them.
const CANCEL_DEADLINE: Duration = Duration::from_millis(1_900);
/// A key that no configuration knows.
const UNKNOWN_KEY: &str = "a_key_that_does_not_exist";
/// Records of each kind and type that are looked up.
const LOOKUP_KEYS: usize = 50;
/// Examples in a message, at most.
const EXAMPLES: usize = 5;
/// Bytes that a sync may send ahead of a slow reader.
const SLOW_BYTES: u32 = 4_096;
/// How long a slow reader does not read.
const SLOW_PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn describe_is_consistent<S: Subject>(bench: &mut Bench<S>) -> Judged {
    let failed = |why: String| Err(Objection::Failed(why));
    let first = bench.try_described().await.map_err(Objection::Failed)?;
    let again = async { bench.start(Line::default()).await?.harness.describe().await };
    let again = again.await.map_err(|error| Objection::failed(error.chain()))?;
    if first != again {
        return failed("the description changes".to_owned());
    }
    if let Err(error) = ConnectorName::new(&first.name) {
        return failed(format!("the connector's name is not usable: {error}"));
    }
    if first.version.trim().is_empty() {
        return failed("the version is empty".to_owned());
    }
    let (min, max) = (first.protocol_min, first.protocol_max);
    if !(min..=max).contains(&PROTOCOL) {
        return failed(format!("it speaks protocol {min} to {max}, here {PROTOCOL} is spoken"));
    }
    let schemas = cordon_wire::describe::schemas_from_wire(&first.schemas)
        .map_err(|error| Objection::failed(format!("the schemas cannot be read: {error}")))?;
    if let Some(why) = schemas.iter().find_map(lacks_key_column) {
        return failed(why);
    }
    let schema: Json = serde_json::from_str(&first.configuration_schema).map_err(|error| {
        Objection::failed(format!("the configuration's schema is not JSON: {error}"))
    })?;
    let describes_object = schema.get("type").is_some_and(|name| name == "object")
        || ["properties", "oneOf", "anyOf", "$ref"].iter().any(|key| schema.get(key).is_some());
    if !describes_object {
        return failed(format!("the configuration's schema describes no object: {schema}"));
    }
    Ok(())
}

fn lacks_key_column(schema: &RecordSchema) -> Option<String> {
    let keys: &[&str] = match schema.record_type.kind {
        RecordKind::Resource => &[columns::ID],
        RecordKind::Entitlement => &[columns::ID, columns::RESOURCE],
        RecordKind::Grant => &[columns::PRINCIPAL, columns::ENTITLEMENT],
    };
    let is_there = |key: &str| {
        schema.attributes.iter().any(|attribute| {
            attribute.name.as_str() == key
                && attribute.value_type == AttributeType::Text
                && attribute.required
        })
    };
    let missing = keys.iter().find(|key| !is_there(key))?;
    Some(format!("{} lacks its required text column {missing}", schema.record_type))
}

pub(super) async fn the_configuration_is_taken<S: Subject>(bench: &mut Bench<S>) -> Judged {
    let mut live = bench.try_ready(Line::default()).await?;
    let checked = live.harness.check().await;
    checked.map(drop).map_err(|error| Objection::failed(format!("Check: {}", error.chain())))
}

pub(super) async fn another_protocol_is_refused<S: Subject>(bench: &mut Bench<S>) -> Judged {
    let unknown = bench.described().await?.protocol_max.saturating_add(1);
    let config = bench.config().clone();
    let mut live = bench.unconfigured().await?;
    match live.harness.configure_as(unknown, &config).await {
        Ok(()) => Err(Objection::failed(format!(
            "it takes a configuration in protocol {unknown}, which it does not announce"
        ))),
        Err(_) => Ok(()),
    }
}

pub(super) async fn an_unknown_key_is_refused_by_name<S: Subject>(bench: &mut Bench<S>) -> Judged {
    let mut config = bench.config().clone();
    let Json::Object(keys) = &mut config else {
        return Err(Objection::unjudged("the configuration is no table"));
    };
    keys.insert(UNKNOWN_KEY.to_owned(), Json::Bool(true));
    let hint = "refuse unknown keys: #[serde(deny_unknown_fields)]";
    let mut live = bench.unconfigured().await?;
    match live.harness.configure(&config).await {
        Ok(()) => Err(Objection::failed(format!("{UNKNOWN_KEY:?} is taken; {hint}"))),
        refused => is_named(refused, UNKNOWN_KEY),
    }
}

pub(super) async fn a_wrong_type_is_refused_by_name<S: Subject>(bench: &mut Bench<S>) -> Judged {
    let described = bench.described().await?;
    let schema: Json = serde_json::from_str(&described.configuration_schema).unwrap_or_default();
    let mut config = bench.config().clone();
    let Json::Object(keys) = &mut config else {
        return Err(Objection::unjudged("the configuration is no table"));
    };
    let Some((key, value)) = keys.iter_mut().find(|(key, _)| is_plain(&schema, key)) else {
        let why = "no key of the configuration is of one plain type by the schema";
        return Err(Objection::unjudged(why));
    };
    *value = Json::Array(vec![Json::Object(serde_json::Map::new())]);
    let key = key.clone();
    let mut live = bench.unconfigured().await?;
    match live.harness.configure(&config).await {
        Ok(()) => Err(Objection::failed(format!("an array is taken for {key:?}"))),
        refused => is_named(refused, &key),
    }
}

/// Whether the schema says that a key holds a text, a number or a truth value.
fn is_plain(schema: &Json, key: &str) -> bool {
    let kind = &schema["properties"][key]["type"];
    let plain = |kind: &Json| {
        kind.as_str()
            .is_some_and(|kind| matches!(kind, "string" | "integer" | "number" | "boolean"))
    };
    match kind {
        Json::Array(kinds) => kinds.iter().all(|kind| plain(kind) || kind == "null"),
        kind => plain(kind),
    }
}

/// Whether a refusal is one of bad configuration and names the field.
fn is_named(refused: Result<(), Error>, key: &str) -> Judged {
    match refused {
        Err(Error::BadConfig { field, .. }) if field == key || starts_at(&field, key) => Ok(()),
        Err(Error::BadConfig { field, .. }) => {
            Err(Objection::failed(format!("the refusal names {field:?} and not {key:?}")))
        }
        Err(error) => Err(Objection::failed(format!(
            "not refused as bad configuration (INVALID_ARGUMENT with an Error): {}",
            error.chain()
        ))),
        Ok(()) => Ok(()),
    }
}

fn starts_at(field: &str, key: &str) -> bool {
    field.strip_prefix(key).is_some_and(|rest| rest.starts_with(['.', '[']))
}

pub(super) async fn a_cancelled_sync_ends_at_once<S: Subject>(bench: &mut Bench<S>) -> Judged {
    bench.unless_syncs_fail()?;
    let failed = |error: Error| Objection::failed(error.chain());
    let mut live = bench.held().await?;
    let begun = Instant::now();
    let held = live.harness.hold_sync().await.map_err(failed)?;
    // A source may take its time before it says the first word, cancelled or not.
    let first_word = begun.elapsed();
    drop(held);
    let cancelled = Instant::now();
    live.harness.hold_sync().await.map_err(|error| {
        Objection::failed(format!("no sync begins after a cancelled one: {}", error.chain()))
    })?;
    let took = cancelled.elapsed();
    if took > CANCEL_DEADLINE + first_word {
        return Err(Objection::failed(format!(
            "the next sync began only after {took:.1?}; a sync has to await its cancellation beside \
             slow work"
        )));
    }
    Ok(())
}

pub(super) async fn a_slow_reader_loses_nothing<S: Subject>(bench: &mut Bench<S>) -> Judged {
    let wanted = keys(&bench.synced().await?);
    let failed = |error: Error| Objection::failed(error.chain());
    let mut live = bench.ready_with(Line { window: Some(SLOW_BYTES), ..Line::default() }).await?;
    let stream = live.harness.begin_sync().await.map_err(failed)?;
    tokio::time::sleep(SLOW_PAUSE).await;
    let (collected, result) = live.harness.sync_on(stream).await;
    result.map_err(failed)?;
    let got = keys(&collected);
    let lost: Vec<_> = wanted.symmetric_difference(&got).take(EXAMPLES).collect();
    if lost.is_empty() {
        Ok(())
    } else {
        Err(Objection::failed(format!("other records: {lost:?}")))
    }
}

pub(super) async fn a_lookup_agrees_with_the_sync<S: Subject>(bench: &mut Bench<S>) -> Judged {
    let described = bench.described().await?;
    let collected = bench.synced().await?;
    let mut kinds: BTreeMap<String, Vec<RecordKey>> = BTreeMap::new();
    for row in &collected.rows {
        let keys = kinds.entry(row.record_type.to_string()).or_default();
        if keys.len() < LOOKUP_KEYS {
            keys.push(key_of(row));
        }
    }
    let known: Vec<RecordKey> = kinds.into_values().flatten().collect();
    let mut live = bench.ready().await?;
    if !can_look_up(&described) {
        return match live.harness.lookup(&known).await {
            Ok(_) => Err(Objection::failed("it answers lookups, and does not say that it does")),
            Err(_) => Err(Objection::unjudged("it does not look up records, and says so")),
        };
    }
    // It is asked after a sync and by the same process, whose view of the source may be what tells
    // "gone" from "not to be seen".
    let (_, result) = live.harness.sync().await;
    result.map_err(|error| Objection::failed(error.chain()))?;
    // Each beside one that was made up: an answer in another place is seen.
    let keys: Vec<RecordKey> = known.iter().flat_map(|key| [key.clone(), unlike(key)]).collect();
    let answers = live.harness.lookup(&keys).await;
    let answers = answers.map_err(|error| Objection::failed(error.chain()))?;
    let wrong = keys.iter().zip(&answers).enumerate().filter(|(place, (_, answer))| {
        let expected = if place % 2 == 0 { Presence::Present } else { Presence::Absent };
        **answer != expected
    });
    let wrong: Vec<_> = wrong.map(|(_, answered)| answered).take(EXAMPLES).collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Objection::failed(format!("answered wrongly: {wrong:?}")))
    }
}

fn can_look_up(described: &v1::DescribeResponse) -> bool {
    described.capabilities().any(|it| it == v1::Capability::Lookup)
}

fn key_of(row: &Row) -> RecordKey {
    let text = |column: &str| match row.values.get(column) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let (id, entitlement) = match row.record_type.kind {
        RecordKind::Resource | RecordKind::Entitlement => (text(columns::ID), String::new()),
        RecordKind::Grant => (text(columns::PRINCIPAL), text(columns::ENTITLEMENT)),
    };
    RecordKey { record_type: row.record_type.clone(), id, entitlement }
}

/// A key that looks like this one, and that no source has.
fn unlike(key: &RecordKey) -> RecordKey {
    RecordKey { id: format!("{}-a17f0c93d5e2", key.id), ..key.clone() }
}

pub(super) async fn a_hostile_question_is_survived<S: Subject>(bench: &mut Bench<S>) -> Judged {
    if !can_look_up(&bench.described().await?) {
        return Err(Objection::unjudged("it does not look up records"));
    }
    let mut live = bench.ready().await?;
    for key in hostile_keys() {
        let shown: String = key.id.chars().take(20).flat_map(char::escape_default).collect();
        // A refusal is as good as a word that nothing is known.
        if let Ok(answers) = live.harness.lookup(std::slice::from_ref(&key)).await
            && answers.contains(&Presence::Present)
        {
            return Err(Objection::failed(format!("it claims to know \"{shown}\"")));
        }
        if let Err(error) = live.harness.check().await {
            let why = error.chain();
            return Err(Objection::failed(format!("after a lookup of \"{shown}\": {why}")));
        }
    }
    Ok(())
}

fn hostile_keys() -> Vec<RecordKey> {
    let texts = [
        String::new(),
        "\0".to_owned(),
        "\u{1b}[2J\r\n\u{202e}".to_owned(),
        "*)(|(uid=*".to_owned(),
        "' OR ''='".to_owned(),
        "../../../etc/passwd".to_owned(),
        "%s%n{{7*7}}${x}".to_owned(),
        "x".repeat(64 * 1024),
    ];
    let Ok(name) = TypeName::new("user") else { return Vec::new() };
    let user = |id: String| RecordKey {
        record_type: RecordType { kind: RecordKind::Resource, name: name.clone() },
        id,
        entitlement: String::new(),
    };
    texts.into_iter().map(user).collect()
}
