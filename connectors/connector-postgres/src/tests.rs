//! Whole syncs of a real server.

mod failing;
mod large;
mod lookup;
mod small;
mod tls;

use std::collections::{BTreeMap, BTreeSet};

use cordon_sdk::testing::{Collected, Harness, sync_once};
use cordon_sdk::{Error, Row, ScopeOutcome, Value};
use cordon_testkit::postgres::Postgres as Server;
use serde_json::{Value as Json, json};

use crate::postgres::Postgres;

/// A role that may read what everybody may, and a cluster with one of each thing.
const SMALL: &str = include_str!("tests/small.sql");

/// The least configuration of a test, and whatever else it sets.
fn config(server: &Server, more: &Json) -> Json {
    let mut config = json!({
        "host": "127.0.0.1",
        "port": server.port(),
        "plaintext": true,
        "user": "cordon",
        "password": "reads-only",
        "statement_timeout": "20s",
    });
    for (key, value) in more.as_object().unwrap() {
        if value.is_null() {
            config.as_object_mut().unwrap().remove(key);
        } else {
            config[key] = value.clone();
        }
    }
    config
}

async fn sync(server: &Server, more: Json) -> Collected {
    sync_once::<Postgres>(config(server, &more)).await.unwrap_or_else(|e| panic!("{}", e.chain()))
}

/// Why a scope is not whole; `complete` when it is.
fn outcome(collected: &Collected, scope: &str) -> String {
    match &collected.scope(scope).unwrap_or_else(|| panic!("no scope {scope}")).outcome {
        ScopeOutcome::Complete => "complete".to_owned(),
        ScopeOutcome::Incomplete { reason } => reason.clone(),
        ScopeOutcome::Gone => "gone".to_owned(),
    }
}

#[track_caller]
fn all_complete(collected: &Collected) {
    for scope in &collected.scopes {
        assert_eq!(scope.outcome, ScopeOutcome::Complete, "{}", scope.name);
        assert_eq!(scope.source_total, Some(scope.received), "{}", scope.name);
        assert!(scope.watermark.time.is_some(), "{}", scope.name);
        assert!(scope.watermark.token.as_ref().unwrap().starts_with("lsn:"), "{}", scope.name);
    }
}

/// Every record by its key, with its values.
fn by_key(collected: &Collected) -> BTreeMap<String, BTreeMap<String, Value>> {
    let rows = collected.rows.iter();
    rows.map(|row| (row.key(), row.values.clone().into_iter().collect())).collect()
}

/// What was added, removed and changed from one sync to the next.
fn changes(before: &Collected, after: &Collected) -> BTreeSet<String> {
    let (before, after) = (by_key(before), by_key(after));
    let mut changes = BTreeSet::new();
    for (key, values) in &before {
        match after.get(key) {
            None => changes.insert(format!("- {key}")),
            Some(now) if now != values => changes.insert(format!("~ {key}")),
            Some(_) => false,
        };
    }
    let added = after.keys().filter(|key| !before.contains_key(*key));
    changes.extend(added.map(|key| format!("+ {key}")));
    changes
}

/// The names of numbers, so that a test reads as people speak.
struct Names(BTreeMap<String, String>);

impl Names {
    fn of(server: &Server, databases: &[&str]) -> Self {
        let mut names = BTreeMap::new();
        let mut learn = |database: &str, sql: &str| {
            for line in server.sql(database, sql) {
                let (oid, name) = line.split_once('|').unwrap();
                names.insert(oid.to_owned(), name.to_owned());
            }
        };
        learn(
            "postgres",
            "SELECT oid, rolname FROM pg_roles UNION SELECT oid, datname FROM pg_database",
        );
        for database in databases {
            learn(
                database,
                "SELECT oid, nspname FROM pg_namespace UNION \
                 SELECT oid, relname FROM pg_class WHERE oid >= 16384",
            );
        }
        Self(names)
    }

    fn number(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(_, known)| *known == name);
        found.unwrap_or_else(|| panic!("no {name}")).0
    }

    /// A text with names in the place of numbers.
    fn shown(&self, text: &str) -> String {
        let mut shown = String::new();
        let mut digits = String::new();
        for character in text.chars().chain(['\0']) {
            if character.is_ascii_digit() {
                digits.push(character);
                continue;
            }
            shown.push_str(self.0.get(&digits).unwrap_or(&digits));
            digits.clear();
            if character != '\0' {
                shown.push(character);
            }
        }
        shown
    }
}

fn value(row: &Row, column: &str) -> String {
    row.values.get(column).map_or_else(|| "-".to_owned(), Value::to_string)
}

/// The error of a sync, and of what kind it is.
async fn failure(config: Json) -> (&'static str, String) {
    let result = match Harness::configured::<Postgres>(&config).await {
        Ok(mut harness) => harness.sync().await.1,
        Err(error) => Err(error),
    };
    let error = result.unwrap_err();
    let kind = match &error {
        Error::Auth { .. } => "auth",
        Error::BadConfig { .. } => "bad config",
        Error::Incomplete { .. } => "incomplete",
        Error::Unavailable { .. } => "unavailable",
        Error::RateLimited { .. } => "rate limited",
        Error::Bug { .. } => "bug",
        Error::Cancelled => "cancelled",
    };
    (kind, error.chain())
}
