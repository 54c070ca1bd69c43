//! Conformance on a real server, and what a lookup may say.

use cordon_sdk::conformance::{Case, hold};
use cordon_sdk::{Presence, RecordKey, RecordKind, RecordType};

use super::*;

#[test]
fn the_connector_conforms() {
    let Some(server) = Slapd::start(&Seed::small(), &Access::default()) else { return };
    let config = config(&server.url(), &json!({}));
    Case::ALL.iter().for_each(|case| hold::<Directory>(*case, &config));
}

fn key(kind: RecordKind, type_name: &str, id: &str, entitlement: &str) -> RecordKey {
    let record_type = RecordType { kind, name: cordon_model_name(type_name) };
    RecordKey { record_type, id: id.to_owned(), entitlement: entitlement.to_owned() }
}

/// A type's name, taken from a record of it.
fn cordon_model_name<T: TryFrom<String>>(name: &str) -> T {
    T::try_from(name.to_owned()).unwrap_or_else(|_| panic!("{name} is no name of a type"))
}

fn user(id: &str) -> RecordKey {
    key(RecordKind::Resource, "user", id, "")
}

fn membership(user: &str, group: &str) -> RecordKey {
    key(RecordKind::Grant, "user", user, &format!("member:{group}"))
}

async fn asked(harness: &mut Harness, keys: &[RecordKey]) -> String {
    let answers = harness.lookup(keys).await.unwrap();
    let word = |answer: &Presence| match answer {
        Presence::Present => "present",
        Presence::Absent => "absent",
        Presence::Unknown => "unknown",
    };
    answers.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn who_is_there_is_told_from_who_is_not() {
    let mut seed = Seed::small();
    seed.without_users.insert(395);
    let Some(server) = Slapd::start(&seed, &Access::default()) else { return };
    let mut harness = harness(&config(&server.url(), &json!({}))).await;
    let member = seed.members_of(4).into_iter().next().unwrap();
    let stranger = (0..400).find(|user| !seed.members_of(4).contains(user)).unwrap();
    let (there, gone) = (Seed::user_id(17), Seed::user_id(395));
    let keys = [
        user(&there),
        user(&gone),
        user("no id"),
        key(RecordKind::Resource, "group", &Seed::group_id(4), ""),
        key(RecordKind::Resource, "group", &Seed::group_id(400), ""),
        key(RecordKind::Entitlement, "group", &format!("member:{}", Seed::group_id(4)), ""),
        membership(&Seed::user_id(member), &Seed::group_id(4)),
        membership(&Seed::user_id(stranger), &Seed::group_id(4)),
        membership(&gone, &Seed::group_id(4)),
    ];
    // Before anything was read, nothing is known of what this account may see.
    let before = "present unknown absent present unknown present present absent unknown";
    assert_eq!(asked(&mut harness, &keys).await, before);
    harness.sync().await.1.unwrap();
    let after = "present absent absent present absent present present absent absent";
    assert_eq!(asked(&mut harness, &keys).await, after);
}

#[tokio::test]
async fn an_account_that_does_not_see_everything_says_unknown_and_never_absent() {
    let seed = Seed::small();
    let rule = format!("dn.subtree={} by * none", Seed::department(3));
    let Some(mut server) = Slapd::start(&seed, &Access::without(&rule)) else { return };
    let mut harness = harness(&config(&server.url(), &json!({}))).await;
    harness.sync().await.1.unwrap();
    let hidden = Seed::user_id(3);
    assert_eq!(
        asked(&mut harness, &[user(&hidden), user(&Seed::user_id(4))]).await,
        "unknown present"
    );
    // Members that are hidden leave a group that shows nobody.
    server.allow(&Access::without("attrs=member by * none"));
    harness.sync().await.1.unwrap();
    let member = seed.members_of(4).into_iter().next().unwrap();
    let asked_for = [membership(&Seed::user_id(member), &Seed::group_id(4))];
    assert_eq!(asked(&mut harness, &asked_for).await, "unknown");
}

#[tokio::test]
async fn a_login_that_no_user_has_is_a_principal_and_can_be_looked_up() {
    let Some(server) = Slapd::start(&Seed::small(), &Access::default()) else { return };
    server.modify(&format!(
        "dn: {}\nchangetype: modify\nadd: memberUid\nmemberUid: stranger\n",
        Seed::group_dn(7)
    ));
    let mut harness = harness(&config(&server.url(), &json!({}))).await;
    let (collected, result) = harness.sync().await;
    result.unwrap();
    is_complete(&collected);
    let member = format!("member:{}", Seed::group_id(7));
    assert!(collected.row(&format!("principal:stranger -> {member}")).is_some());
    let keys = ["stranger", "nobody"].map(|it| key(RecordKind::Resource, "principal", it, ""));
    let grants = ["stranger", "nobody"].map(|it| key(RecordKind::Grant, "principal", it, &member));
    let keys = [keys, grants].concat();
    assert_eq!(asked(&mut harness, &keys).await, "present absent present absent");
}
