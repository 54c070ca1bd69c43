//! Present, absent, and what nobody can say.

use cordon_sdk::{Presence, RecordKey, RecordType};

use super::*;

fn key(record_type: &str, id: &str, entitlement: &str) -> RecordKey {
    let record_type: RecordType = record_type.to_owned().try_into().unwrap();
    RecordKey { record_type, id: id.to_owned(), entitlement: entitlement.to_owned() }
}

async fn ask(server: &Server, more: Json, keys: &[RecordKey]) -> Vec<Presence> {
    let config = config(server, &more);
    let mut harness = Harness::configured::<Postgres>(&config).await.unwrap();
    harness.lookup(keys).await.unwrap()
}

const HERE: Presence = Presence::Present;
const GONE: Presence = Presence::Absent;
const UNSAID: Presence = Presence::Unknown;

#[tokio::test]
async fn a_lookup_tells_what_is_there_from_what_is_gone() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let names = Names::of(&server, &["app"]);
    let number = |name: &str| names.number(name).to_owned();
    let (alice, carol, staff) = (number("alice"), number("carol"), number("staff"));
    let hr = format!("{}.{}", number("app"), number("hr"));
    server.sql("postgres", "DROP ROLE carol; ALTER ROLE alice RENAME TO alicia");
    server.sql("app", "REVOKE USAGE ON SCHEMA hr FROM staff");
    let keys = [
        (key("resource.user", &alice, ""), HERE),
        (key("resource.user", &carol, ""), GONE),
        // The same number, but it cannot log in.
        (key("resource.user", &staff, ""), GONE),
        (key("resource.group", &staff, ""), HERE),
        (key("grant.user", &alice, &format!("member:{staff}")), HERE),
        (key("grant.user", &carol, &format!("member:{staff}")), GONE),
        (key("grant.user", &alice, &format!("admin:{staff}")), GONE),
        (key("grant.user", "10", "cluster:superuser"), HERE),
        (key("grant.user", &alice, "cluster:superuser"), GONE),
        (key("grant.group", "public", &format!("schema:{hr}:usage")), HERE),
        (key("grant.group", &staff, &format!("schema:{hr}:usage")), GONE),
        (key("grant.group", &staff, &format!("tables:{hr}:select")), HERE),
        (key("resource.schema", &hr, ""), HERE),
        (key("resource.user", "007", ""), GONE),
        (key("resource.user", "", ""), GONE),
        (key("resource.printer", "1", ""), UNSAID),
        // Passwords are not read, so nothing is said of them.
        (key("resource.secret", &format!("password:{alice}"), ""), UNSAID),
    ];
    let (keys, expected): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    let answers = ask(&server, json!({}), &keys).await;
    for ((key, answer), expected) in keys.iter().zip(answers).zip(expected) {
        assert_eq!(answer, expected, "{key:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_seen_is_never_denied() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let names = Names::of(&server, &["app"]);
    let number = |name: &str| names.number(name).to_owned();
    let (app, staff, alice) = (number("app"), number("staff"), number("alice"));
    let usage = format!("schema:{app}.{}:usage", number("hr"));
    let keys = [
        key("grant.group", &staff, &usage),
        key("grant.user", &alice, &format!("member:{staff}")),
        key("resource.user", &alice, ""),
        key("resource.user", "99999999", ""),
    ];
    // A database that is not to be read, or that may not be entered.
    let answers = ask(&server, json!({ "databases": ["postgres"] }), &keys).await;
    assert_eq!(answers, [UNSAID, HERE, HERE, GONE]);
    server.sql("postgres", "REVOKE CONNECT ON DATABASE app FROM PUBLIC");
    assert_eq!(ask(&server, json!({}), &keys).await, [UNSAID, HERE, HERE, GONE]);
    server.sql("postgres", "GRANT CONNECT ON DATABASE app TO PUBLIC");
    assert_eq!(ask(&server, json!({}), &keys).await, [HERE, HERE, HERE, GONE]);
    // A table that may not be read: who is not seen may well be there.
    server.sql("postgres", "REVOKE SELECT ON pg_auth_members FROM PUBLIC");
    assert_eq!(ask(&server, json!({}), &keys).await, [UNSAID; 4]);
    server.sql("postgres", "GRANT SELECT ON pg_auth_members TO PUBLIC; ");
    server.sql("postgres", "DROP DATABASE app");
    assert_eq!(ask(&server, json!({}), &keys).await, [GONE, HERE, HERE, GONE]);
}
