//! Whole syncs over the wire, from a real SCIM server: what is true, and what goes wrong.

mod faults;
mod moving;
mod transport;
mod truth;

use std::time::Duration;

use cordon_sdk::conformance::{Case, hold};
use cordon_sdk::testing::{Collected, Harness};
use cordon_sdk::{Error, ScopeOutcome, Value};
use cordon_testkit::between::{Between, Turn};
use cordon_testkit::scim::{ScimServer, Size, TOKEN};
use serde_json::{Value as Json, json};

use crate::scim::Scim;

/// Enough for several pages of each collection, and for groups within groups.
const SIZE: Size = Size { users: 130, groups: 60, members: 6 };

/// A server, and what stands before it.
struct World {
    server: ScimServer,
    between: Between,
}

impl World {
    /// None where the server is not installed.
    fn start() -> Option<Self> {
        Self::of(ScimServer::start(SIZE)?)
    }

    /// One that pages by cursor.
    fn with_cursors() -> Option<Self> {
        let pagination = json!({ "cursor": true, "index": true, "maxPageSize": 25 });
        Self::of(ScimServer::start_with(SIZE, |document| document["pagination"] = pagination)?)
    }

    fn of(server: ScimServer) -> Option<Self> {
        let between = Between::start(server.address());
        Some(Self { server, between })
    }

    /// The least configuration, and whatever else a test sets.
    fn config(&self, more: &Json) -> Json {
        let mut config = json!({
            "base_url": format!("http://{}/v2", self.between.address()),
            "token": TOKEN,
            "page_size": 25,
            "retries": 2,
        });
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        config
    }

    async fn harness(&self, more: Json) -> Harness {
        Harness::configured::<Scim>(&self.config(&more)).await.unwrap()
    }

    async fn sync(&self, more: Json) -> Collected {
        let (collected, result) = self.harness(more).await.sync().await;
        result.unwrap();
        collected
    }

    /// The error of a sync: its kind and its words.
    async fn error(&self, more: Json) -> (&'static str, String) {
        let (_, result) = self.harness(more).await.sync().await;
        let error = result.unwrap_err();
        (kind(&error), error.chain())
    }

    /// Answers so where the path begins so.
    fn say(&self, path: &'static str, status: u16, body: &'static str) {
        self.between.script(move |asked| match asked.path.starts_with(path) {
            true => Turn::Say(status, vec![], body.as_bytes().to_vec()),
            false => Turn::Pass,
        });
    }
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::Auth { .. } => "auth",
        Error::RateLimited { .. } => "rate limited",
        Error::Unavailable { .. } => "unavailable",
        Error::Incomplete { .. } => "incomplete",
        Error::BadConfig { .. } => "bad config",
        Error::Bug { .. } => "bug",
        Error::Cancelled => "cancelled",
    }
}

/// Why a scope is not whole; `complete` when it is.
#[track_caller]
fn outcome(collected: &Collected, scope: &str) -> String {
    let report = collected.scope(scope).unwrap_or_else(|| panic!("no scope {scope}"));
    match &report.outcome {
        ScopeOutcome::Complete => "complete".to_owned(),
        ScopeOutcome::Incomplete { reason } => reason.clone(),
        ScopeOutcome::Gone => "gone".to_owned(),
    }
}

#[track_caller]
fn all_complete(collected: &Collected) {
    for scope in &collected.scopes {
        assert_eq!(scope.outcome, ScopeOutcome::Complete, "{}", scope.name);
    }
}

fn count(collected: &Collected, start: &str) -> usize {
    collected.keys().iter().filter(|key| key.starts_with(start)).count()
}

fn text(collected: &Collected, key: &str, column: &str) -> String {
    let row = collected.row(key).unwrap_or_else(|| panic!("no {key}"));
    row.values.get(column).map_or_else(|| "-".to_owned(), Value::to_string)
}

#[test]
fn the_connector_conforms() {
    let Some(world) = World::start() else { return };
    let config = world.config(&json!({}));
    Case::ALL.iter().for_each(|case| hold::<Scim>(*case, &config));
}
