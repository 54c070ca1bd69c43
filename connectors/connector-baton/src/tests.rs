//! The bridge over a whole Baton connector: the one of the testkit, which is written from the facts of
//! the protocol and whose directory is known without asking it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cordon_sdk::testing::{Collected, Harness, sync_once};
use cordon_sdk::{Error, ScopeOutcome, ScopeReport, Value};
use cordon_testkit::baton::{self, Directory};
use serde_json::{Value as Json, json};

use crate::bridge::Bridge;

mod starts;

const USERS: u32 = 400;
const TEAMS: u32 = 40;

/// A configuration of the test's connector with these settings besides.
fn config(settings: &Json) -> Json {
    let mut all = json!({ "users": USERS, "teams": TEAMS });
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    json!({
        "program": cordon_testkit::programs::path("baton-source"),
        "secrets": { "api-token": "open sesame" },
        "settings": all,
        "profile": { "department": "department", "custom_1": "costCode" },
    })
}

fn faulty(fault: &str) -> Json {
    config(&json!({ "fault": fault }))
}

cordon_sdk::conformance!(Bridge, config = config(&json!({})));

type Records = BTreeMap<String, BTreeMap<String, String>>;

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Boolean(yes) => yes.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Timestamp(time) => time.as_second().to_string(),
    }
}

/// Every record by its key.
fn records(collected: &Collected) -> Records {
    let mut records = Records::new();
    for row in &collected.rows {
        let values = row.values.iter().map(|(name, value)| (name.clone(), text(value)));
        let before = records.insert(row.key(), values.collect());
        assert!(before.is_none(), "{} twice", row.key());
    }
    records
}

struct Truth(Records);

impl Truth {
    fn add(&mut self, key: String, values: &[(&str, &str)]) {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.0.insert(key, values.collect());
    }

    /// What the directory's records are in Cordon, from its definition.
    fn of(directory: &Directory) -> Records {
        let mut truth = Self(Records::new());
        for user in directory.people() {
            truth.user(directory, user);
        }
        for (team, members) in directory.members().into_iter().enumerate() {
            truth.team(team, &members);
        }
        truth.roles(directory);
        for project in 0..baton::PROJECTS {
            let (id, name) = (format!("project/{project}"), format!("Project {project}"));
            let parent = "group:team/0";
            let values = [("id", id.as_str()), ("name", &name), ("parent", parent)];
            truth.add(format!("other:{id}"), &[&values[..], &[("baton_type", "project")]].concat());
        }
        for user in directory.people().take_while(|user| *user < baton::KEYS) {
            let id = format!("key/k{user}");
            truth.add(
                format!("secret:{id}"),
                &[
                    ("id", &id),
                    ("name", &format!("Key {user}")),
                    ("baton_type", "key"),
                    ("owner", &format!("user:user/u{user}")),
                    ("expires", "1900000000"),
                    ("last_used", "1750000000"),
                    ("credential_type", "static-secret"),
                ],
            );
        }
        truth.0
    }

    fn user(&mut self, directory: &Directory, user: u32) {
        let id = format!("user/u{user}");
        self.add(
            format!("user:{id}"),
            &[
                ("id", &id),
                ("name", &directory.name(user)),
                ("baton_type", "user"),
                ("account_type", if user % 50 == 49 { "service" } else { "human" }),
                ("status", if user % 20 == 19 { "disabled" } else { "active" }),
                ("login", &format!("login{user}")),
                ("email", &format!("user{user}@example.org")),
                ("other_emails", &format!("alias{user}@example.org")),
                ("given_name", &format!("Given{user}")),
                ("family_name", &format!("Family{user}")),
                ("employee_number", &format!("E{user}")),
                ("mfa", if user.is_multiple_of(2) { "true" } else { "false" }),
                ("created", "1600000000"),
                ("last_login", &(1_700_000_000 + user).to_string()),
                ("department", &format!("Department {}", user % 8)),
                ("custom_1", &format!("C{}", user % 3)),
            ],
        );
    }

    fn team(&mut self, team: usize, members: &[u32]) {
        let (id, member) = (format!("team/{team}"), format!("team:{team}:member"));
        let name = format!("Team {team}");
        self.add(
            format!("group:{id}"),
            &[
                ("id", &id),
                ("name", &name),
                ("baton_type", "team"),
                ("description", &format!("The team of number {team}")),
            ],
        );
        self.entitlement(&member, &format!("group:{id}"), &format!("{name} member"), "member");
        for user in members {
            self.grant("user", &format!("user/u{user}"), &member, &[]);
        }
        if team == 0 {
            self.grant("group", "team/1", &member, &[("through", "team:1:member")]);
        }
    }

    fn roles(&mut self, directory: &Directory) {
        for role in ["admin", "auditor"] {
            let id = format!("role/{role}");
            let name = role.to_uppercase();
            let values = [("id", id.as_str()), ("name", &name), ("baton_type", "role")];
            self.add(format!("role:{id}"), &values);
            let held = format!("role:{role}:assigned");
            self.entitlement(&held, &format!("role:{id}"), "assigned", "assigned");
        }
        for user in directory.people().take_while(|user| *user < baton::ADMINS) {
            self.grant("user", &format!("user/u{user}"), "role:admin:assigned", &[]);
        }
        let outsider = "user/email=boss@elsewhere.example";
        self.add(format!("external:{outsider}"), &[("id", outsider), ("name", outsider)]);
        self.grant("external", outsider, "role:admin:assigned", &[]);
    }

    fn entitlement(&mut self, id: &str, on: &str, name: &str, slug: &str) {
        self.add(
            format!("entitlement:{id}"),
            &[
                ("id", id),
                ("resource", on),
                ("name", name),
                ("slug", slug),
                ("purpose", "assignment"),
                ("grantable_to", "user"),
            ],
        );
    }

    fn grant(&mut self, of: &str, principal: &str, entitlement: &str, more: &[(&str, &str)]) {
        let values = [("principal", principal), ("entitlement", entitlement)];
        self.add(format!("{of}:{principal} -> {entitlement}"), &[&values[..], more].concat());
    }
}

fn directory(day: u32) -> Directory {
    Directory { users: USERS, teams: TEAMS, day, hidden: None }
}

/// Says which record differs, instead of printing them all.
fn assert_same(found: &Records, expected: &Records) {
    let missing: Vec<_> = expected.keys().filter(|key| !found.contains_key(*key)).take(5).collect();
    let surplus: Vec<_> = found.keys().filter(|key| !expected.contains_key(*key)).take(5).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing {missing:?}, surplus {surplus:?}");
    for (key, values) in expected {
        assert_eq!(&found[key], values, "{key}");
    }
}

#[tokio::test]
async fn every_record_is_what_the_directory_holds() {
    let collected = sync_once::<Bridge>(config(&json!({}))).await.unwrap();
    assert_same(&records(&collected), &Truth::of(&directory(1)));
    let whole = collected.scopes.iter().all(|scope| scope.outcome == ScopeOutcome::Complete);
    assert!(whole, "{:#?}", collected.scopes);
    let names: BTreeSet<_> = collected.scopes.iter().map(|scope| scope.name.as_str()).collect();
    let expected = [
        "entitlements of role",
        "entitlements of team",
        "grants of role",
        "grants of team",
        "resources of key",
        "resources of project",
        "resources of role",
        "resources of team",
        "resources of user",
    ];
    assert_eq!(names, BTreeSet::from(expected));
}

#[tokio::test]
async fn a_day_later_exactly_what_changed_has_changed() {
    let collected = sync_once::<Bridge>(config(&json!({ "day": 2 }))).await.unwrap();
    let found = records(&collected);
    assert_same(&found, &Truth::of(&directory(2)));
    let before = Truth::of(&directory(1));
    let people = |records: &Records| {
        let users = records.keys().filter(|key| key.starts_with("user:") && !key.contains(" -> "));
        users.cloned().collect::<BTreeSet<_>>()
    };
    let (was, is) = (people(&before), people(&found));
    // Of 400 those with 7 at the end of their hundred left, and 30 came.
    assert_eq!((was.difference(&is).count(), is.difference(&was).count()), (4, 30));
    let renamed = was.intersection(&is).filter(|key| before[*key] != found[*key]);
    assert_eq!(renamed.count(), 4);
}

/// A sync of a connector with that fault, and how it ended.
async fn read(fault: &str) -> (Collected, Result<(), Error>) {
    let mut harness = Harness::configured::<Bridge>(&faulty(fault)).await.unwrap();
    harness.sync().await
}

#[tokio::test]
async fn what_was_not_read_to_its_end_leaves_its_scope_incomplete_and_what_hangs_on_it() {
    let (users, teams) = ("resources of user", "resources of team");
    let all = [users, teams, "resources of role", "resources of project", "resources of key"];
    let below = ["entitlements of team", "grants of team", "entitlements of role"];
    for (fault, scope, word, hanging) in [
        // People were read in part, and none of them has anything below.
        ("repeats", users, "came a second time", &[][..]),
        ("not-found", "grants of team", "ListGrants of team/7: not found: no team 7", &[]),
        ("leaves-out", "grants of team", "did not change (SourceCacheReplay)", &[]),
        ("differs", users, "user/u0 was listed twice, and differently", &[]),
        // What a parent that was not read could have below it is not known to be whole.
        ("denied", teams, "the token lacks the scope teams.read", &[&all[..], &below].concat()),
        ("large", users, "answer out of range", &[&all[..], &below].concat()),
    ] {
        let (collected, result) = read(fault).await;
        result.unwrap_or_else(|error| panic!("{fault}: {}", error.chain()));
        for ScopeReport { name, outcome, .. } in &collected.scopes {
            let is_whole = *outcome == ScopeOutcome::Complete;
            let is_expected = *name != scope && !hanging.contains(&name.as_str());
            assert_eq!(is_whole, is_expected, "{fault}: {name}: {outcome:?}");
            if *name == scope {
                assert!(format!("{outcome:?}").contains(word), "{fault}: {outcome:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_connector_that_dies_while_it_is_read_fails_the_sync_and_says_how() {
    let (collected, result) = read("crashes").await;
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Bug { .. }), "{error:?}");
    assert!(error.to_string().contains("ended by itself: exit status 3"), "{error}");
    let grants = collected.scope("grants of team").unwrap();
    assert!(!grants.outcome.proves_absence(), "{grants:?}");
}

#[tokio::test]
async fn a_source_that_wants_patience_gets_it_and_is_then_read_whole() {
    let begun = Instant::now();
    let (collected, result) = read("limited").await;
    result.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "nobody waited");
    assert!(collected.scopes.iter().all(|scope| scope.outcome == ScopeOutcome::Complete));
    assert_same(&records(&collected), &Truth::of(&directory(1)));
}

#[tokio::test]
async fn credentials_that_are_refused_are_told_as_such_before_anything_is_read() {
    let mut other = config(&json!({}));
    other["secrets"]["api-token"] = json!("wrong");
    let mut harness = Harness::configured::<Bridge>(&other).await.unwrap();
    let error = harness.check().await.unwrap_err();
    assert!(matches!(error, Error::Auth { .. }), "{error:?}");
    assert!(error.to_string().contains("the API token is refused"), "{error}");
    let (collected, result) = harness.sync().await;
    assert!(matches!(result, Err(Error::Auth { .. })) && collected.rows.is_empty());
}

#[tokio::test]
async fn a_check_tells_which_connector_it_is_and_what_its_credentials_list() {
    let mut harness = Harness::configured::<Bridge>(&faulty("denied")).await.unwrap();
    let notes = harness.check().await.unwrap();
    assert!(notes[0].starts_with("Source of tests, SDK test, program SHA-256 "), "{notes:?}");
    for note in [
        "user (user): 100 on the first page of more",
        "key (secret): 20",
        "project (other): 0",
        "role (role): 2",
    ] {
        assert!(notes.iter().any(|it| it == note), "{note}: {notes:#?}");
    }
    let denied = notes.iter().find(|note| note.starts_with("team (group): ")).unwrap();
    assert!(denied.contains("cannot be listed") && denied.contains("teams.read"), "{denied}");
}
