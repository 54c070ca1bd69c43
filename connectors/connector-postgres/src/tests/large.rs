//! A populated cluster: 5,000 users, 500 groups and 40,000 memberships, record by record.

use std::time::{Duration, Instant};

use cordon_testkit::postgres::POPULATED;

use super::*;

const USERS: u32 = 5_000;
const GROUPS: u32 = 500;
const GROUPS_OF_A_USER: u32 = 8;

fn user(number: u32) -> String {
    format!("u{number:04}")
}

fn group(number: u32) -> String {
    format!("g{number:03}")
}

/// The groups of a user, as the seed gives them.
fn groups_of(user: u32) -> Vec<u32> {
    (0..GROUPS_OF_A_USER).map(|place| (user * 7 + place * 61) % GROUPS).collect()
}

/// Everything that the seed made, as it is to be reported: key and values, with names for numbers.
fn truth() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut truth = BTreeMap::new();
    let mut put = |key: String, values: &[(&str, &str)]| {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        assert!(truth.insert(key.clone(), values.collect()).is_none(), "{key} twice");
    };
    for number in 0..USERS {
        let name = user(number);
        let mut values = vec![
            ("id", name.as_str()),
            ("name", name.as_str()),
            ("login", name.as_str()),
            ("status", if number % 100 == 7 { "disabled" } else { "active" }),
            ("inherits", if number % 10 == 3 { "false" } else { "true" }),
            ("built_in", "false"),
        ];
        if number % 100 == 7 {
            values.push(("connection_limit", "0"));
        }
        if number % 10 == 0 {
            values.push(("password_expires", "2031-01-01T00:00:00Z"));
        }
        put(format!("user:{name}"), &values);
        if number < 5 {
            let (principal, entitlement) = (name.as_str(), "cluster:createrole");
            let grant = [("principal", principal), ("entitlement", entitlement)];
            put(format!("user:{name} -> {entitlement}"), &grant);
        }
        let inherits = if number % 10 == 3 { "false" } else { "true" };
        for (place, of) in groups_of(number).into_iter().enumerate() {
            let entitlement = format!("member:{}", group(of));
            let mut grant = vec![("principal", name.as_str()), ("entitlement", &entitlement)];
            grant.extend([("inherits", inherits), ("sets", "true")]);
            put(format!("user:{name} -> {entitlement}"), &grant);
            if place == 0 && number % 50 == 0 {
                let entitlement = format!("admin:{}", group(of));
                let grant = [("principal", name.as_str()), ("entitlement", &entitlement)];
                put(format!("user:{name} -> {entitlement}"), &grant);
            }
        }
    }
    for number in 0..GROUPS {
        let name = group(number);
        let resource = format!("group:{name}");
        let values =
            [("id", name.as_str()), ("name", &name), ("inherits", "true"), ("built_in", "false")];
        put(resource.clone(), &values);
        for (right, privileged) in [("member", "false"), ("admin", "true")] {
            let id = format!("{right}:{name}");
            let values = [
                ("id", id.as_str()),
                ("resource", &resource),
                ("name", right),
                ("privileged", privileged),
            ];
            put(format!("entitlement:{id}"), &values);
        }
    }
    truth
}

/// What was reported of the seed's roles, in the same words.
fn told(collected: &Collected, names: &Names) -> BTreeMap<String, BTreeMap<String, String>> {
    let referring = ["id", "principal", "entitlement", "resource"];
    let mut told = BTreeMap::new();
    let is_seeded = |text: &str| {
        text.split([':', ' ']).any(|word| {
            let number = word.strip_prefix(['u', 'g']);
            number.is_some_and(|rest| {
                rest.bytes().all(|byte| byte.is_ascii_digit()) && !rest.is_empty()
            })
        })
    };
    for row in &collected.rows {
        let key = names.shown(&row.key());
        if !is_seeded(&key) {
            continue;
        }
        let values = row.values.iter().map(|(name, value)| {
            let text = value.to_string();
            let shown = if referring.contains(&name.as_str()) { names.shown(&text) } else { text };
            (name.to_string(), shown)
        });
        assert!(told.insert(key.clone(), values.collect()).is_none(), "{key} twice");
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_populated_cluster_is_told_record_by_record_and_a_changed_day_as_it_was() {
    let Some(server) = Server::start(POPULATED, &[]) else { return };
    let names = Names::of(&server, &[]);
    let begun = Instant::now();
    let before = sync(&server, json!({})).await;
    let took = begun.elapsed();
    eprintln!("{} records in {took:?}", before.rows.len());
    all_complete(&before);
    let (expected, found) = (truth(), told(&before, &names));
    let first = expected.iter().find(|(key, values)| found.get(*key) != Some(*values));
    if let Some((key, values)) = first {
        panic!("{key}: {:?} and not {values:?}", found.get(key));
    }
    let more: Vec<_> = found.keys().filter(|key| !expected.contains_key(*key)).take(5).collect();
    assert!(more.is_empty(), "nobody made {more:?}");
    assert_eq!(before.scope("memberships").unwrap().received, 40_000 + 100 + 3);
    // An unoptimised build on a busy machine; one question a member would take minutes.
    assert!(took < Duration::from_secs(20), "{took:?}");

    // A day: one joins, one leaves, one moves, one is locked, one is made an administrator.
    server.sql(
        "postgres",
        "CREATE ROLE u5000 LOGIN; GRANT g000 TO u5000; DROP ROLE u0001; \
         REVOKE g014 FROM u0002; GRANT g015 TO u0002; ALTER ROLE u0004 CONNECTION LIMIT 0; \
         ALTER ROLE u0006 CREATEROLE; ALTER ROLE u0008 RENAME TO u0008b; \
         GRANT g000 TO u0000 WITH ADMIN OPTION",
    );
    let after = sync(&server, json!({})).await;
    all_complete(&after);
    let later = Names::of(&server, &[]);
    let mut expected: BTreeSet<String> = [
        "+ user:u5000",
        "+ user:u5000 -> member:g000",
        "- user:u0001",
        "- user:u0001 -> cluster:createrole",
        "- user:u0002 -> member:g014",
        "+ user:u0002 -> member:g015",
        "~ user:u0004",
        "+ user:u0006 -> cluster:createrole",
        "~ user:u0008b",
    ]
    .map(str::to_owned)
    .into();
    expected.extend(groups_of(1).iter().map(|of| format!("- user:u0001 -> member:{}", group(*of))));
    let both = Names(names.0.into_iter().chain(later.0).collect());
    let changed: BTreeSet<String> =
        changes(&before, &after).iter().map(|it| both.shown(it)).collect();
    assert_eq!(changed, expected);
}
