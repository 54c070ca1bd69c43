//! What the server holds is what is reported, record by record.

use std::collections::BTreeMap;

use cordon_sdk::{Presence, RecordKey, RecordKind, Row};
use cordon_testkit::scim::{ENTERPRISE, user};
use serde_json::Value as Json;

use super::*;

/// Records as key and attributes.
type Records = BTreeMap<String, BTreeMap<String, String>>;

fn record(attributes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    attributes.iter().filter(|(_, value)| !value.is_empty()).map(owned).collect()
}

fn of<'j>(json: &'j Json, name: &str) -> &'j str {
    json[name].as_str().unwrap_or_default()
}

/// The records that a server's content has to become.
fn truth(server: &ScimServer) -> Records {
    let mut records = Records::new();
    for user in &server.users {
        let id = of(user, "id");
        let boss = of(&user[ENTERPRISE]["manager"], "value");
        let owner = if boss.is_empty() { String::new() } else { format!("user:{boss}") };
        let is_active = user["active"] == true;
        let attributes = [
            ("id", id),
            ("account_type", "human"),
            ("status", if is_active { "active" } else { "disabled" }),
            ("name", of(user, "displayName")),
            ("login", of(user, "userName")),
            ("external_id", of(user, "externalId")),
            ("email", of(&user["emails"][1], "value")),
            ("given_name", of(&user["name"], "givenName")),
            ("family_name", of(&user["name"], "familyName")),
            ("title", of(user, "title")),
            ("worker_type", of(user, "userType")),
            ("employee_number", of(&user[ENTERPRISE], "employeeNumber")),
            ("department", of(&user[ENTERPRISE], "department")),
            ("cost_center", of(&user[ENTERPRISE], "costCenter")),
            ("owner", &owner),
        ];
        records.insert(format!("user:{id}"), record(&attributes));
        if !user["roles"].is_null() {
            let role = [("id", "auditor"), ("name", "Auditor")];
            records.insert("role:auditor".to_owned(), record(&role));
            let entitlement =
                [("id", "assigned:auditor"), ("resource", "role:auditor"), ("name", "assigned")];
            records.insert("entitlement:assigned:auditor".to_owned(), record(&entitlement));
            grant(&mut records, "user", id, "assigned:auditor");
        }
        if !user["entitlements"].is_null() {
            let app = [("id", "service"), ("name", "SCIM service")];
            records.insert("app:service".to_owned(), record(&app));
            let entitlement =
                [("id", "entitlement:vpn"), ("resource", "app:service"), ("name", "vpn")];
            records.insert("entitlement:entitlement:vpn".to_owned(), record(&entitlement));
            grant(&mut records, "user", id, "entitlement:vpn");
        }
    }
    for group in &server.groups {
        let id = of(group, "id");
        let attributes = [
            ("id", id),
            ("name", of(group, "displayName")),
            ("external_id", of(group, "externalId")),
        ];
        records.insert(format!("group:{id}"), record(&attributes));
        let (member, resource) = (format!("member:{id}"), format!("group:{id}"));
        let entitlement = [("id", member.as_str()), ("resource", &resource), ("name", "member")];
        records.insert(format!("entitlement:{member}"), record(&entitlement));
        for held in group["members"].as_array().unwrap() {
            let is_group = server.groups.iter().any(|group| group["id"] == held["value"]);
            let kind = if is_group { "group" } else { "user" };
            grant(&mut records, kind, of(held, "value"), &member);
        }
    }
    records
}

fn grant(records: &mut Records, kind: &str, principal: &str, entitlement: &str) {
    let attributes = [("principal", principal), ("entitlement", entitlement)];
    records.insert(format!("{kind}:{principal} -> {entitlement}"), record(&attributes));
}

/// What was reported, without what the server itself adds and with what must stand everywhere checked.
fn reported(collected: &Collected) -> Records {
    let mut records = Records::new();
    for row in &collected.rows {
        let mut values: BTreeMap<String, String> =
            row.values.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        if row.record_type.kind == RecordKind::Entitlement {
            assert_eq!(values.remove("privileged").as_deref(), Some("false"));
        }
        if row.key().starts_with("user:") && row.record_type.kind == RecordKind::Resource {
            assert!(values.remove("created").is_some_and(|time| time.starts_with("20")));
        }
        assert!(records.insert(row.key(), values).is_none(), "{} came twice", row.key());
    }
    records
}

#[track_caller]
fn same(reported: &Records, truth: &Records) {
    for (key, record) in truth {
        assert_eq!(reported.get(key), Some(record), "{key}");
    }
    let more: Vec<_> = reported.keys().filter(|key| !truth.contains_key(*key)).take(5).collect();
    assert!(more.is_empty(), "not in the server: {more:?}");
}

#[tokio::test]
async fn what_the_server_holds_is_reported_record_by_record_by_index_and_by_cursor() {
    for (world, place) in [(World::start(), "startIndex="), (World::with_cursors(), "cursor=")] {
        let Some(mut world) = world else { return };
        let collected = world.sync(json!({})).await;
        all_complete(&collected);
        let records = reported(&collected);
        same(&records, &truth(&world.server));
        assert!(records.keys().any(|key| key.starts_with("group:") && key.contains(" -> ")));
        for (scope, total) in [("users", 130), ("groups", 60)] {
            let report = collected.scope(scope).unwrap();
            assert_eq!((report.received, report.source_total), (total, Some(total)));
            assert!(report.watermark.time.is_some());
        }
        let asked = world.between.asked();
        assert!(asked.iter().filter(|it| it.path.starts_with("/v2/Users")).count() >= 6);
        let lists = asked.iter().filter(|it| it.path.contains("count="));
        assert!(lists.into_iter().all(|it| it.path.contains(place)), "{place}");
        a_changed_day(&mut world, &records).await;
    }
}

/// One user comes, one goes, one is disabled, one changes a group: nothing else is another record.
async fn a_changed_day(world: &mut World, before: &Records) {
    let server = &mut world.server;
    let comer = server.add_user(user(900, None));
    let goer = of(&server.users[7], "id").to_owned();
    let locked = of(&server.users[8], "id").to_owned();
    let (mover, left) = (server.users[9]["id"].clone(), server.groups[0]["id"].clone());
    server.delete("Users", &goer);
    let patch = |operation: Json| {
        let schema = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
        json!({ "schemas": [schema], "Operations": [operation] })
    };
    let lock = json!({ "op": "replace", "path": "active", "value": false });
    server.ask("PATCH", &format!("/v2/Users/{locked}"), Some(&patch(lock)));
    let join =
        json!({ "op": "add", "path": "members", "value": [{ "value": mover, "type": "User" }] });
    server.ask("PATCH", &format!("/v2/Groups/{}", left.as_str().unwrap()), Some(&patch(join)));

    let collected = world.sync(json!({})).await;
    all_complete(&collected);
    let after = reported(&collected);
    let changed: Vec<&String> = after
        .iter()
        .filter(|(key, record)| before.get(*key) != Some(record))
        .map(|(key, _)| key)
        .collect();
    let member = format!("user:{} -> member:{}", mover.as_str().unwrap(), left.as_str().unwrap());
    // User 900 holds the role of every fiftieth.
    let assigned = format!("user:{comer} -> assigned:auditor");
    let mut expected = [format!("user:{comer}"), format!("user:{locked}"), member, assigned];
    expected.sort();
    assert_eq!(changed, expected.iter().collect::<Vec<_>>());
    // The server leaves a member standing in groups when its user goes.
    let gone: Vec<&String> = before.keys().filter(|key| !after.contains_key(*key)).collect();
    assert_eq!(gone, [&format!("user:{goer}")]);
}

#[tokio::test]
async fn check_says_what_may_be_read_and_what_is_not_mapped() {
    let Some(world) = World::start() else { return };
    let notes = world.harness(json!({})).await.check().await.unwrap();
    assert!(notes[0].ends_with("/v2: pages by index"), "{notes:?}");
    assert!(notes.contains(&"users: 130 may be read".to_owned()), "{notes:?}");
    assert!(notes.contains(&"groups: 60 may be read".to_owned()), "{notes:?}");

    world.say("/v2/Groups", 403, r#"{"detail": "no scope groups.read"}"#);
    let notes = world.harness(json!({})).await.check().await.unwrap();
    let expected = "groups may not be read: 403 Forbidden no scope groups.read; groups and \
                    memberships would be incomplete";
    assert!(notes.contains(&expected.to_owned()), "{notes:?}");
}

#[tokio::test]
async fn attributes_are_mapped_by_path_and_a_path_that_leads_nowhere_is_refused() {
    let Some(world) = World::start() else { return };
    let path = format!("{ENTERPRISE}:costCenter");
    let more = json!({
        "attributes": { "custom_1": path, "email": "emails[type eq \"home\"].value" },
        "service_accounts": ["user1?"],
        "privileged": ["Audit*", "Group 1"],
    });
    let collected = world.sync(more).await;
    let key = |number: usize| format!("user:{}", of(&world.server.users[number], "id"));
    assert_eq!(text(&collected, &key(3), "custom_1"), "cost 3");
    assert_eq!(text(&collected, &key(3), "email"), "user3@home.example");
    let types = [3, 13, 130 - 1].map(|number| text(&collected, &key(number), "account_type"));
    assert_eq!(types, ["human", "service", "human"]);
    assert_eq!(text(&collected, "entitlement:assigned:auditor", "privileged"), "true");
    let privileged = collected.rows.iter().filter(|row| {
        row.values.get("privileged").is_some_and(|value| value.to_string() == "true")
    });
    assert_eq!(privileged.count(), 2);

    for (path, expected) in [
        ("titel", "has no attribute `titel`; did you mean `title`?"),
        ("name.first", "`name` has no part `first`"),
        ("name", "`name` has parts; name one of them"),
        ("urn:example:2.0:User:badge", "the service's users have no extension"),
    ] {
        let more = json!({ "attributes": { "custom_1": path } });
        let (kind, message) = world.error(more.clone()).await;
        assert!(kind == "bad config" && message.contains(expected), "{kind} {message}");
        let error = world.harness(more).await.check().await.unwrap_err();
        let Error::BadConfig { field, .. } = error else { panic!("{error}") };
        assert_eq!(field, "attributes.custom_1");
    }
}

#[tokio::test]
async fn filters_select_and_lookups_stay_within_them() {
    let Some(world) = World::start() else { return };
    let more = json!({
        "users_filter": "userName sw \"user1\"",
        "include": ["users"],
    });
    let mut harness = world.harness(more).await;
    let (collected, result) = harness.sync().await;
    result.unwrap();
    // user1, user10 to user19, user100 to user129.
    assert_eq!(count(&collected, "user:"), 41);
    let keys = [1, 2].map(|number| key(&collected, of(&world.server.users[number], "id")));
    assert_eq!(harness.lookup(&keys).await.unwrap(), [Presence::Present, Presence::Absent]);
}

/// The key of a user, whether there is one or not.
fn key(collected: &Collected, id: &str) -> RecordKey {
    let is_user = |row: &&Row| row.record_type.kind == RecordKind::Resource;
    let row = collected.rows.iter().filter(is_user).find(|row| row.key().starts_with("user:"));
    let record_type = row.unwrap().record_type.clone();
    RecordKey { record_type, id: id.to_owned(), entitlement: String::new() }
}

#[tokio::test]
async fn a_lookup_believes_the_service_alone() {
    let Some(world) = World::start() else { return };
    let mut harness = world.harness(json!({})).await;
    let collected = harness.sync().await.0;
    let id = of(&world.server.users[5], "id").to_owned();
    // Of ids that are odd in an address none leads astray.
    let ids = [id.as_str(), "..", "a/b?c#d", "%2e%2e", "Ünï"];
    let keys: Vec<RecordKey> = ids.iter().map(|id| key(&collected, id)).collect();
    let said = harness.lookup(&keys).await.unwrap();
    assert_eq!(said[0], Presence::Present);
    assert!(said[1..].iter().all(|said| *said != Presence::Present), "{said:?}");
    world.server.delete("Users", &id);
    assert_eq!(harness.lookup(&keys[..1]).await.unwrap(), [Presence::Absent]);

    // What stands before the service knows nothing of users.
    world.say("/v2/Users/", 404, "<html>no such page</html>");
    assert_eq!(harness.lookup(&keys[..1]).await.unwrap(), [Presence::Unknown]);
    world.say("/v2/Users/", 403, "{}");
    assert_eq!(harness.lookup(&keys[..1]).await.unwrap(), [Presence::Unknown]);
    world.say("/v2/Users/", 200, r#"{"id": "another"}"#);
    assert_eq!(harness.lookup(&keys[..1]).await.unwrap(), [Presence::Unknown]);
}
