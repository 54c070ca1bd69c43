//! Whole syncs over the wire, of real servers: good ones, and everything that is known to go wrong.

mod domain;
mod faults;
mod lookups;
mod scripted;
mod transport;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cordon_sdk::testing::{Collected, Harness};
use cordon_sdk::{Error, Row, ScopeOutcome, Value};
use cordon_testkit::ldap::{Access, BASE, READER, Seed, Slapd, Truth};
use serde_json::{Value as Json, json};

use crate::ldap::Directory;

/// The configuration that reads a server without TLS, and whatever else a test sets.
fn config(url: &str, more: &Json) -> Json {
    let mut config = json!({
        "url": url,
        "bind_dn": READER,
        "bind_password": "secret",
        "base": BASE,
        "plaintext": true,
        "placeholders": [format!("cn=nobody,{BASE}")],
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

async fn harness(config: &Json) -> Harness {
    Harness::configured::<Directory>(config).await.unwrap()
}

/// One sync, which has to come to its end.
async fn synced(config: &Json) -> Collected {
    let (collected, result) = harness(config).await.sync().await;
    result.unwrap_or_else(|error| panic!("{}", error.chain()));
    collected
}

/// One sync, and how long it took, for whoever reads the output.
async fn timed(harness: &mut Harness) -> (Collected, Duration) {
    let begun = Instant::now();
    let (collected, result) = harness.sync().await;
    result.unwrap_or_else(|error| panic!("{}", error.chain()));
    (collected, begun.elapsed())
}

/// The error of a sync that does not come to its end; and that no scope of it is complete.
async fn failed(config: &Json) -> Error {
    let (collected, result) = harness(config).await.sync().await;
    let error = result.expect_err("the sync came to its end");
    let complete: Vec<_> =
        collected.scopes.iter().filter(|it| it.outcome == ScopeOutcome::Complete).collect();
    assert!(complete.iter().all(|scope| scope.name == "users"), "{complete:?}");
    error
}

/// Why a scope is not whole.
#[track_caller]
fn reason(collected: &Collected, scope: &str) -> String {
    match &collected.scope(scope).unwrap_or_else(|| panic!("no {scope}")).outcome {
        ScopeOutcome::Incomplete { reason } => reason.clone(),
        other => panic!("{scope} is {other:?}"),
    }
}

#[track_caller]
fn is_complete(collected: &Collected) {
    for scope in &collected.scopes {
        assert_eq!(scope.outcome, ScopeOutcome::Complete, "{}", scope.name);
    }
    let scopes: BTreeSet<&str> = collected.scopes.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(scopes, BTreeSet::from(["groups", "memberships", "users"]));
}

fn values(row: &Row) -> BTreeMap<String, String> {
    row.values.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
}

fn records(collected: &Collected) -> Truth {
    let records: Truth = collected.rows.iter().map(|row| (row.key(), values(row))).collect();
    assert_eq!(records.len(), collected.rows.len(), "a record is reported twice");
    records
}

/// Compares all records, and shows the first that differ.
#[track_caller]
fn equal(reported: &Truth, truth: &Truth) {
    let keys: BTreeSet<&String> = reported.keys().chain(truth.keys()).collect();
    let differing = keys.into_iter().filter(|key| reported.get(*key) != truth.get(*key));
    let differing: Vec<_> =
        differing.map(|key| (key, reported.get(key), truth.get(key))).take(5).collect();
    assert!(differing.is_empty(), "reported, and true: {differing:#?}");
}

fn text(collected: &Collected, key: &str, column: &str) -> String {
    let row = collected.row(key).unwrap_or_else(|| panic!("no {key}"));
    row.values.get(column).map_or_else(|| "-".to_owned(), Value::to_string)
}

#[tokio::test]
async fn a_directory_is_reported_record_by_record() {
    let seed = Seed::large();
    let Some(server) = Slapd::start(&seed, &Access::default()) else { return };
    let config = config(&server.url(), &json!({}));
    let (collected, took) = timed(&mut harness(&config).await).await;
    is_complete(&collected);
    let truth = seed.truth();
    let grants = truth.keys().filter(|key| key.contains(" -> ")).count();
    assert!(grants >= 40_000, "{grants} memberships");
    equal(&records(&collected), &truth);
    let watermark = &collected.scope("users").unwrap().watermark;
    assert!(watermark.time.is_some() && watermark.token.is_some(), "{watermark:?}");
    eprintln!("slapd: {} records in {took:?}", collected.rows.len());
}

#[tokio::test]
async fn a_changed_day_yields_exactly_what_changed() {
    let mut seed = Seed::small();
    let Some(mut server) = Slapd::start(&seed, &Access::default()) else { return };
    let config = config(&server.url(), &json!({}));
    let before = records(&synced(&config).await);
    equal(&before, &seed.truth());
    // A leaver, who was nobody's manager; a group that loses its members; a move to another
    // department, which is no leaver; and a new title.
    seed.without_users.insert(395);
    seed.without_members.insert(5);
    seed.moved.insert(17, 3);
    seed.promoted.insert(21);
    server.reload(&seed);
    let after = records(&synced(&config).await);
    equal(&after, &seed.truth());
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed: Vec<&String> =
        keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).collect();
    let users: BTreeSet<&str> = changed
        .iter()
        .filter(|key| key.starts_with("user:") && !key.contains(" -> "))
        .map(|key| key.as_str())
        .collect();
    let expected = [395, 17, 21].map(|user| format!("user:{}", Seed::user_id(user)));
    assert_eq!(users, expected.iter().map(String::as_str).collect::<BTreeSet<_>>());
    let left = format!("user:{}", Seed::user_id(395));
    let emptied = format!("member:{}", Seed::group_id(5));
    for key in changed.iter().filter(|key| key.contains(" -> ")) {
        assert!(key.starts_with(&left) || key.ends_with(&emptied), "{key}");
        assert!(!after.contains_key(*key), "{key} is still there");
    }
}

#[tokio::test]
async fn a_rename_and_a_move_keep_the_id() {
    let seed = Seed::small();
    let Some(server) = Slapd::start(&seed, &Access::default()) else { return };
    let config = config(&server.url(), &json!({}));
    server.modify(&format!(
        "dn: {}\nchangetype: modrdn\nnewrdn: uid=renamed\ndeleteoldrdn: 0\nnewsuperior: {}\n",
        seed.user_dn(18),
        Seed::department(5),
    ));
    let collected = synced(&config).await;
    let key = format!("user:{}", Seed::user_id(18));
    assert_eq!(text(&collected, &key, "dn"), format!("uid=renamed,{}", Seed::department(5)));
}

#[tokio::test]
async fn a_check_says_what_the_account_may_see() {
    let seed = Seed::small();
    let Some(mut server) = Slapd::start(&seed, &Access::default()) else { return };
    let config = config(&server.url(), &json!({}));
    let notes = harness(&config).await.check().await.unwrap();
    assert_eq!(notes[0], format!("OpenLDAP takes this account for dn:{READER}"));
    let all = notes.join("\n");
    assert!(all.contains("users: 400 below"), "{all}");
    assert!(all.contains("groups: 40 below") && !all.contains("must have members"), "{all}");
    assert!(all.contains("the connection is not encrypted"), "{all}");

    server.allow(&Access::without("attrs=mail,member by * none"));
    let all = harness(&config).await.check().await.unwrap().join("\n");
    assert!(all.contains("users: none shows") && all.contains("mail"), "{all}");
    assert!(all.contains("must have members and show none: grant read access to member"), "{all}");

    server.allow(&Access::without(&format!("dn.subtree={} by * none", Seed::people())));
    let error = harness(&config).await.check().await.unwrap_err();
    assert!(matches!(error, Error::Auth { .. }), "{error:?}");
    assert!(error.to_string().contains("no user is found below dc=corp"), "{error}");
}
