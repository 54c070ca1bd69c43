//! What every connector is held to, whatever its source: [`conformance!`](crate::conformance!) makes
//! one test of each case.
//!
//! The cases run the connector over a real socket and read it as a supervisor does. They ask what
//! can be asked without knowing the source, so the configuration should lead to one that stands
//! still, such as a file in the test's folder.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cordon_model::{AttributeType, ConnectorName, RecordKind, RecordSchema, Row, Value, columns};
use cordon_wire::PROTOCOL;
use serde_json::Value as Json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::service::{self, Ended};
use crate::testing::{Collected, Harness};
use crate::{Connector, Error, Presence, RecordKey, Sync};

/// How soon a connector has to notice that nobody wants its sync any more.
const CANCEL_DEADLINE: Duration = Duration::from_secs(2);
/// A key that no configuration knows.
const UNKNOWN_KEY: &str = "a_key_that_does_not_exist";
/// Records of each kind and type that are looked up.
const LOOKUP_KEYS: usize = 50;
/// Examples in a message, at most.
const EXAMPLES: usize = 5;

/// Makes a test of every case of the conformance suite.
///
/// ```text
/// cordon_sdk::conformance!(Linux, config = json!({ "root": "tests/root" }));
/// cordon_sdk::conformance!(
///     Linux,
///     config = json!({ "root": "tests/root" }),
///     skip = [no_grant_dangles => "the groups come from another connector"],
/// );
/// ```
#[macro_export]
macro_rules! conformance {
    (
        $connector:ty, config = $config:expr
        $(, skip = [$($case:ident => $why:literal),* $(,)?])? $(,)?
    ) => {
        mod conformance {
            #[allow(unused_imports)]
            use super::*;

            const SKIPPED: &[(&str, &str)] = &[$($((stringify!($case), $why)),*)?];

            $crate::conformance_cases! {
                $connector, $config,
                describe_is_consistent,
                an_unknown_key_is_refused_by_name,
                two_syncs_report_the_same_records,
                no_record_is_reported_twice,
                no_grant_dangles,
                every_scope_is_closed_and_counted,
                a_cancelled_sync_ends_at_once,
                a_lookup_agrees_with_the_sync,
            }
        }
    };
}

/// One test a case; part of [`conformance!`](crate::conformance!).
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($connector:ty, $config:expr, $($case:ident),* $(,)?) => {$(
        #[test]
        fn $case() {
            if !$crate::conformance::is_skipped(stringify!($case), SKIPPED) {
                $crate::conformance::$case::<$connector>(&$config);
            }
        }
    )*};
}

/// The names of all cases.
pub const CASES: [&str; 8] = [
    "describe_is_consistent",
    "an_unknown_key_is_refused_by_name",
    "two_syncs_report_the_same_records",
    "no_record_is_reported_twice",
    "no_grant_dangles",
    "every_scope_is_closed_and_counted",
    "a_cancelled_sync_ends_at_once",
    "a_lookup_agrees_with_the_sync",
];

/// Whether a case is left out, with a reason.
///
/// # Panics
/// When a case is left out that does not exist, or without a reason.
pub fn is_skipped(case: &str, skipped: &[(&str, &str)]) -> bool {
    for (name, why) in skipped {
        assert!(CASES.contains(name), "there is no case {name} to skip; the cases are {CASES:?}");
        assert!(!why.trim().is_empty(), "case {name} is skipped without a reason");
    }
    skipped.iter().any(|(name, _)| *name == case)
}

/// The description has good names, key columns and a JSON Schema of the configuration, and is the
/// same each time.
///
/// # Panics
/// When the connector does not conform; so do all cases.
pub fn describe_is_consistent<C: Connector>(_config: &Json) {
    block_on(async {
        let mut harness = must(Harness::start::<C>().await, "serve the connector");
        let first = must(harness.describe().await, "describe itself");
        let second = must(harness.describe().await, "describe itself again");
        assert_eq!(first, second, "the description changes");
        if let Err(error) = ConnectorName::new(&first.name) {
            panic!("the connector's name is not usable: {error}");
        }
        assert!(!first.version.trim().is_empty(), "the version is empty");
        assert!((first.protocol_min..=first.protocol_max).contains(&PROTOCOL));
        let schemas = cordon_wire::describe::schemas_from_wire(&first.schemas)
            .unwrap_or_else(|error| panic!("the schemas cannot be read: {error}"));
        schemas.iter().for_each(has_key_columns);
        let schema: Json = serde_json::from_str(&first.configuration_schema)
            .unwrap_or_else(|error| panic!("the configuration's schema is not JSON: {error}"));
        let describes_object = schema.get("type").is_some_and(|name| name == "object")
            || ["properties", "oneOf", "anyOf", "$ref"].iter().any(|key| schema.get(key).is_some());
        assert!(describes_object, "the configuration's schema describes no object: {schema}");
    });
}

fn has_key_columns(schema: &RecordSchema) {
    let keys: &[&str] = match schema.record_type.kind {
        RecordKind::Resource => &[columns::ID],
        RecordKind::Entitlement => &[columns::ID, columns::RESOURCE],
        RecordKind::Grant => &[columns::PRINCIPAL, columns::ENTITLEMENT],
    };
    for key in keys {
        let is_key = schema.attributes.iter().any(|attribute| {
            attribute.name.as_str() == *key
                && attribute.value_type == AttributeType::Text
                && attribute.required
        });
        assert!(is_key, "{} lacks its required text column {key}", schema.record_type);
    }
}

/// A key that the configuration does not know is refused, and named.
pub fn an_unknown_key_is_refused_by_name<C: Connector>(config: &Json) {
    let mut config = config.clone();
    let Json::Object(keys) = &mut config else { panic!("the configuration is no object") };
    keys.insert(UNKNOWN_KEY.to_owned(), Json::Bool(true));
    block_on(async {
        let mut harness = must(Harness::start::<C>().await, "serve the connector");
        match harness.configure(&config).await {
            Err(Error::BadConfig { field, .. }) => assert_eq!(
                field, UNKNOWN_KEY,
                "the refusal names another field; does Config deny unknown fields?"
            ),
            Err(error) => panic!("not refused as bad configuration: {}", error.chain()),
            Ok(()) => panic!("{UNKNOWN_KEY:?} was taken; add #[serde(deny_unknown_fields)]"),
        }
    });
}

/// A source that did not change is reported with the same scopes and the same records.
pub fn two_syncs_report_the_same_records<C: Connector>(config: &Json) {
    block_on(async {
        let mut harness = configured::<C>(config).await;
        let (first, second) = (synced(&mut harness).await, synced(&mut harness).await);
        for (what, once, again) in [
            ("record", keys(&first), keys(&second)),
            ("scope", scope_names(&first), scope_names(&second)),
        ] {
            let differing = once.symmetric_difference(&again);
            let differing: Vec<_> = differing.take(EXAMPLES).collect();
            assert!(differing.is_empty(), "a {what} is in one sync only: {differing:?}");
        }
    });
}

/// No two records of a sync have the same key.
pub fn no_record_is_reported_twice<C: Connector>(config: &Json) {
    block_on(async {
        let collected = synced(&mut configured::<C>(config).await).await;
        let mut seen = HashSet::new();
        let twice = collected.rows.iter().map(Row::key).filter(|key| !seen.insert(key.clone()));
        let twice: Vec<_> = twice.take(EXAMPLES).collect();
        assert!(twice.is_empty(), "reported twice: {twice:?}");
    });
}

/// Both ends of a grant, an entitlement's resource and a resource's parent are in the sync.
pub fn no_grant_dangles<C: Connector>(config: &Json) {
    block_on(async {
        let collected = synced(&mut configured::<C>(config).await).await;
        let known = keys(&collected);
        let mut dangling = Vec::new();
        for row in &collected.rows {
            let missing = references(row).into_iter().filter(|key| !known.contains(key));
            dangling.extend(missing.map(|key| format!("{} refers to {key}", row.key())));
        }
        dangling.truncate(EXAMPLES);
        assert!(dangling.is_empty(), "not in the sync: {dangling:#?}");
    });
}

/// Keys of the records that a record needs.
fn references(row: &Row) -> Vec<String> {
    let text = |column: &str| match row.values.get(column) {
        Some(Value::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let owned = |key: Option<&str>| key.map(str::to_owned);
    let keys = match row.record_type.kind {
        RecordKind::Resource => vec![owned(text(columns::PARENT))],
        RecordKind::Entitlement => vec![owned(text(columns::RESOURCE))],
        RecordKind::Grant => vec![
            text(columns::PRINCIPAL).map(|id| format!("{}:{id}", row.record_type.name)),
            text(columns::ENTITLEMENT).map(|id| format!("entitlement:{id}")),
        ],
    };
    keys.into_iter().flatten().collect()
}

/// Every scope is closed, and what it declares is what came; so is the source's own count of a scope
/// that is complete.
pub fn every_scope_is_closed_and_counted<C: Connector>(config: &Json) {
    block_on(async {
        // The protocol itself, counts included, is checked while a sync is collected.
        let collected = synced(&mut configured::<C>(config).await).await;
        assert!(!collected.scopes.is_empty(), "the sync opens no scope");
        for scope in &collected.scopes {
            if let (true, Some(total)) = (scope.outcome.proves_absence(), scope.source_total) {
                assert_eq!(
                    scope.received, total,
                    "scope {:?} is complete, but the source counts otherwise",
                    scope.name
                );
            }
        }
    });
}

/// A sync that nobody reads any more ends by itself within two seconds.
pub fn a_cancelled_sync_ends_at_once<C: Connector>(config: &Json) {
    block_on(async {
        let schemas = must(C::describe().schemas(), "describe itself").into();
        let config = must(crate::config::parse(&config.to_string()), "take its configuration");
        let connector = Arc::new(must(C::open(config).await, "open"));
        // One message of room: the connector soon waits for a reader that never comes back.
        let (outbox, mut stream) = mpsc::channel(1);
        let sync = Sync::new(1, schemas, outbox, CancellationToken::new());
        let sync = tokio::spawn(service::run(connector, sync));
        stream.recv().await;
        let cancelled = Instant::now();
        drop(stream);
        let ended = sync.await;
        assert!(
            matches!(ended, Ok(Ended::Returned)) && cancelled.elapsed() < CANCEL_DEADLINE,
            "the sync went on for {CANCEL_DEADLINE:?}; await `Sync::cancelled` beside slow work"
        );
    });
}

/// A connector that looks up records knows those that it reports, of every kind, and none that was
/// made up; answers come in the order of the keys. One that does not look up says so.
pub fn a_lookup_agrees_with_the_sync<C: Connector>(config: &Json) {
    block_on(async {
        let mut harness = configured::<C>(config).await;
        let collected = synced(&mut harness).await;
        let mut kinds: BTreeMap<String, Vec<RecordKey>> = BTreeMap::new();
        for row in &collected.rows {
            let keys = kinds.entry(row.record_type.to_string()).or_default();
            if keys.len() < LOOKUP_KEYS {
                keys.push(key_of(row));
            }
        }
        let known: Vec<RecordKey> = kinds.into_values().flatten().collect();
        if !C::describe().can_look_up() {
            let answer = harness.lookup(&known).await;
            assert!(answer.is_err(), "it answers lookups; add .looks_up() to its description");
            return;
        }
        // Each beside one that was made up: an answer in another place is seen.
        let keys: Vec<RecordKey> =
            known.iter().flat_map(|key| [key.clone(), unlike(key)]).collect();
        let answers = must(harness.lookup(&keys).await, "look up records");
        let wrong = keys.iter().zip(&answers).enumerate().filter(|(place, (_, answer))| {
            let expected = if place % 2 == 0 { Presence::Present } else { Presence::Absent };
            **answer != expected
        });
        let wrong: Vec<_> = wrong.map(|(_, answered)| answered).take(EXAMPLES).collect();
        assert!(wrong.is_empty(), "answered wrongly: {wrong:#?}");
    });
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

fn block_on(case: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap_or_else(|error| panic!("no runtime: {error}")).block_on(case);
}

async fn configured<C: Connector>(config: &Json) -> Harness {
    must(Harness::configured::<C>(config).await, "take its configuration")
}

async fn synced(harness: &mut Harness) -> Collected {
    let (collected, result) = harness.sync().await;
    must(result, "sync");
    collected
}

fn must<T>(result: Result<T, Error>, what: &str) -> T {
    result.unwrap_or_else(|error| panic!("the connector cannot {what}: {}", error.chain()))
}

fn keys(collected: &Collected) -> BTreeSet<String> {
    collected.rows.iter().map(Row::key).collect()
}

fn scope_names(collected: &Collected) -> BTreeSet<String> {
    collected.scopes.iter().map(|scope| scope.name.clone()).collect()
}
