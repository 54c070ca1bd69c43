//! What the SDK promises its authors, seen from the supervisor's end of a real socket.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cordon_sdk::conformance::{Case, hold};
use cordon_sdk::testing::{Harness, sync_once};
use cordon_sdk::{
    AccountType, Attribute, Connector, Description, Entitlement, Error, Grant, Group, Presence,
    RecordKey, Resource, Schema, ScopeOutcome, Status, Sync, Timestamp, User, Value,
};
use serde_json::json;

/// A source that does what its configuration says.
struct Scripted(Config);

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What to do in the sync.
    act: Act,
    #[serde(default)]
    #[allow(dead_code)]
    nested: Nested,
}

#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nested {
    #[serde(default)]
    #[allow(dead_code)]
    port: Option<u16>,
}

#[derive(Clone, Copy, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Act {
    Honest,
    FailInScope,
    ForgetScope,
    PanicInScope,
    Undeclared,
    WrongType,
    OpenAfterEnd,
    TwiceNamed,
    IgnoreCancel,
    Endless,
    Many,
    FailWithLongReason,
    GoOnAfterRefusal,
    LongText,
    LargeRecords,
    SayYes,
    CutShort,
    Uncounted,
}

impl Connector for Scripted {
    type Config = Config;

    fn describe() -> Description {
        Description::new("scripted", "1.0.0")
            .reports(User::schema().attribute(Attribute::integer("uid")))
            .reports(Group::schema())
            .reports(Entitlement::schema("group"))
            .reports(Grant::schema("user"))
            .looks_up()
    }

    async fn open(config: Config) -> Result<Self, Error> {
        Ok(Self(config))
    }

    async fn check(&self) -> Result<Vec<String>, Error> {
        Ok(vec!["everything".to_owned()])
    }

    async fn sync(&self, sync: &mut Sync) -> Result<(), Error> {
        match self.0.act {
            Act::Honest | Act::SayYes => honest(sync).await,
            Act::CutShort => {
                let mut users = sync.scope("users").await?;
                users.push(User::new("u1")).await?;
                users.incomplete("page 2 did not come").await
            }
            Act::Uncounted => {
                let mut users = sync.scope("users").await?;
                users.push(User::new("u1")).await?;
                users.source_total(2);
                users.complete().await
            }
            Act::FailInScope => {
                let mut users = sync.scope("users").await?;
                users.push(User::new("u1")).await?;
                Err(Error::unavailable("page 2 did not come"))
            }
            Act::ForgetScope => {
                let mut users = sync.scope("users").await?;
                users.push(User::new("u1")).await?;
                drop(users);
                sync.scope("groups").await?.complete().await
            }
            Act::PanicInScope => {
                let mut users = sync.scope("users").await?;
                users.push(User::new("u1")).await?;
                panic!("index out of bounds")
            }
            Act::Undeclared => {
                let mut users = sync.scope("users").await?;
                users.push(User::new("u1").attribute("shoe_size", 43)).await
            }
            Act::WrongType => {
                let mut users = sync.scope("users").await?;
                users.push(User::new("u1").attribute("uid", "zero")).await
            }
            Act::OpenAfterEnd => {
                let scope = sync.scope("users").await?;
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(3600)).await;
                    drop(scope);
                });
                Ok(())
            }
            Act::TwiceNamed => {
                sync.scope("users").await?.complete().await?;
                sync.scope("users").await?.complete().await
            }
            Act::IgnoreCancel => {
                drop(sync.scope("users").await?);
                std::future::pending().await
            }
            Act::Endless => {
                let mut users = sync.scope("users").await?;
                for id in 0u64.. {
                    users.push(User::new(id.to_string())).await?;
                }
                users.complete().await
            }
            Act::FailWithLongReason => {
                let _users = sync.scope("users").await?;
                Err(Error::unavailable("é".repeat(1_000)))
            }
            Act::GoOnAfterRefusal => {
                let mut users = sync.scope("users").await?;
                users.push(User::new("u0").created(Timestamp::UNIX_EPOCH)).await?;
                let refused = User::new("u1").name("One").login("one").attribute("shoe_size", 43);
                assert!(users.push(refused).await.is_err());
                users.push(User::new("u2").name("Two")).await?;
                users.complete().await
            }
            Act::LongText => {
                let mut users = sync.scope("users").await?;
                users.push(User::new("u1").name("x".repeat(64 * 1024 + 1))).await
            }
            Act::LargeRecords => {
                let mut users = sync.scope("users").await?;
                let text = "x".repeat(64 * 1024);
                for id in 0..40 {
                    let user = User::new(id.to_string()).name(&text).login(&text).email(&text);
                    users.push(user).await?;
                }
                users.complete().await
            }
            Act::Many => {
                let mut grants = sync.scope("grants").await?;
                for id in 0..10_000 {
                    grants.push_grant("user", &format!("u{id}"), "member").await?;
                }
                grants.source_total(10_000);
                grants.complete().await
            }
        }
    }

    async fn lookup(&self, keys: &[RecordKey]) -> Result<Vec<Presence>, Error> {
        let mut presences = cordon_sdk::look_up_by_reading(self, keys).await?;
        if keys.iter().any(|key| key.id == "forgotten") {
            presences.pop();
        }
        if matches!(self.0.act, Act::SayYes) {
            presences.fill(Presence::Present);
        }
        Ok(presences)
    }
}

async fn honest(sync: &mut Sync) -> Result<(), Error> {
    // Two scopes at once: they may overlap.
    let mut users = sync.scope("users").await?;
    let mut groups = sync.scope("groups").await?;
    let moment = Timestamp::UNIX_EPOCH;
    let alice = User::new("u1")
        .name("Alice")
        .account_type(AccountType::Human)
        .status(Status::Active)
        .login("alice")
        .parent("group", "g1")
        .created(moment)
        .attribute("uid", 1000);
    users.push(alice).await?;
    groups.push(Group::new("g1").name("staff")).await?;
    users.push(User::new("u2").attribute("uid", None::<i64>)).await?;
    let member = Entitlement::new("g1:member", "group", "g1").name("member").privileged(true);
    groups.push(member).await?;
    groups.push(Grant::new("user", "u1", "g1:member").expires(moment)).await?;
    groups.push_grant("user", "u2", "g1:member").await?;
    sync.progress(1, Some(1), "all").await?;
    groups.complete().await?;
    users.source_total(2);
    users.complete().await
}

cordon_sdk::conformance!(Scripted, config = json!({ "act": "honest" }));

/// Runs one act; gives the scope's end and the sync's.
fn act(name: &str) -> String {
    block_on(async {
        let mut harness = Harness::configured::<Scripted>(&json!({ "act": name })).await.unwrap();
        let (collected, result) = harness.sync().await;
        let scopes = collected.scopes.iter().map(|scope| match &scope.outcome {
            ScopeOutcome::Incomplete { reason } => {
                format!("{} incomplete after {}: {reason}", scope.name, scope.received)
            }
            ScopeOutcome::Complete => format!("{} complete", scope.name),
            ScopeOutcome::Gone => format!("{} gone", scope.name),
        });
        let end = match result {
            Ok(()) => "ok".to_owned(),
            Err(Error::Bug { message, .. }) => format!("bug: {message}"),
            Err(Error::Unavailable { message, .. }) => format!("unavailable: {message}"),
            Err(error) => panic!("{error:?}"),
        };
        scopes.chain([end]).collect::<Vec<_>>().join("\n")
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn a_scope_left_by_an_error_is_closed_with_that_error_before_the_sync_fails() {
    assert_eq!(
        act("fail-in-scope"),
        "users incomplete after 1: page 2 did not come\nunavailable: page 2 did not come"
    );
}

#[test]
fn a_forgotten_scope_is_closed_as_incomplete_and_keeps_its_records() {
    assert_eq!(
        act("forget-scope"),
        "users incomplete after 1: the connector left the scope before its end\n\
         groups complete\n\
         ok"
    );
}

#[test]
fn a_panic_is_a_bug_and_its_scope_is_incomplete() {
    let message = "the connector panicked: index out of bounds";
    assert_eq!(
        act("panic-in-scope"),
        format!("users incomplete after 1: {message}\nbug: {message}")
    );
}

#[test]
fn an_undeclared_attribute_is_a_bug_that_names_it() {
    assert!(
        act("undeclared").ends_with(
            "bug: attribute \"shoe_size\" is not declared in the schema of resource.user"
        )
    );
}

#[test]
fn a_value_of_another_type_than_declared_is_a_bug() {
    assert!(act("wrong-type").contains("bug: attribute uid of resource.user is Integer"));
}

#[test]
fn a_reason_longer_than_the_wire_takes_is_cut_between_two_characters() {
    let told = act("fail-with-long-reason");
    let reason = "é".repeat(256);
    assert!(told.starts_with(&format!("users incomplete after 0: {reason}\n")), "{told}");
}

#[test]
fn a_refused_record_leaves_nothing_behind_but_an_incomplete_scope() {
    let (collected, result) = block_on(async {
        let config = json!({ "act": "go-on-after-refusal" });
        Harness::configured::<Scripted>(&config).await.unwrap().sync().await
    });
    assert_eq!(collected.keys(), ["user:u0", "user:u2"]);
    let values: Vec<_> = collected.row("user:u2").unwrap().values.keys().collect();
    assert_eq!(values, ["id", "name"]);
    assert_eq!(collected.row("user:u0").unwrap().values.len(), 2);
    // The connector ignored the refusal and said that the scope is complete. It is not.
    assert!(matches!(result, Err(Error::Bug { .. })), "{result:?}");
    let outcome = &collected.scope("users").unwrap().outcome;
    assert!(matches!(outcome, ScopeOutcome::Incomplete { .. }), "{outcome:?}");
}

#[test]
fn a_text_longer_than_the_wire_takes_is_refused_by_name() {
    assert!(
        act("long-text")
            .ends_with("bug: attribute name of resource.user has 65537 bytes, more than 65536")
    );
}

#[test]
fn a_scope_that_outlives_its_sync_fails_the_sync() {
    assert!(
        act("open-after-end").ends_with("bug: 1 scopes are still being written after the sync")
    );
}

#[test]
fn a_scope_name_used_twice_is_a_bug() {
    assert_eq!(
        act("twice-named"),
        "users complete\nbug: scope \"users\" is opened twice in one sync"
    );
}

#[test]
fn records_arrive_as_they_were_written() {
    let collected = block_on(sync_once::<Scripted>(json!({ "act": "honest" }))).unwrap();
    let alice = collected.row("user:u1").unwrap();
    let expected = [
        ("account_type", Value::Text("human".into())),
        ("created", Value::Timestamp(Timestamp::UNIX_EPOCH)),
        ("id", Value::Text("u1".into())),
        ("login", Value::Text("alice".into())),
        ("name", Value::Text("Alice".into())),
        ("parent", Value::Text("group:g1".into())),
        ("status", Value::Text("active".into())),
        ("uid", Value::Integer(1000)),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(alice.values, expected.into_iter().collect());
    // What is absent takes its place in the columns and has no value.
    assert_eq!(collected.row("user:u2").unwrap().values.len(), 1);
    let member = collected.row("entitlement:g1:member").unwrap();
    assert_eq!(member.values["resource"], Value::Text("group:g1".into()));
    assert_eq!(member.values["privileged"], Value::Boolean(true));
    let grant = collected.row("user:u1 -> g1:member").unwrap();
    assert_eq!(grant.values["expires"], Value::Timestamp(Timestamp::UNIX_EPOCH));
    assert_eq!(collected.scope("users").unwrap().source_total, Some(2));
}

#[test]
fn more_records_than_a_batch_takes_all_arrive_once() {
    let collected = block_on(sync_once::<Scripted>(json!({ "act": "many" }))).unwrap();
    let keys: std::collections::HashSet<_> = collected.keys().into_iter().collect();
    assert_eq!(keys.len(), 10_000);
    assert_eq!(collected.rows.len(), 10_000);
}

#[test]
fn large_records_travel_in_messages_that_the_wire_takes() {
    let collected = block_on(sync_once::<Scripted>(json!({ "act": "large-records" }))).unwrap();
    assert_eq!(collected.rows.len(), 40);
}

#[test]
fn a_record_too_large_for_any_message_is_a_bug() {
    struct Wide;
    impl Connector for Wide {
        type Config = Nested;
        fn describe() -> Description {
            let attributes = (0..40).map(|place| Attribute::text(&format!("a{place}")));
            Description::new("wide", "1")
                .reports(attributes.fold(User::schema(), Schema::attribute))
        }
        async fn open(_: Nested) -> Result<Self, Error> {
            Ok(Self)
        }
        async fn check(&self) -> Result<Vec<String>, Error> {
            Ok(vec![])
        }
        async fn sync(&self, sync: &mut Sync) -> Result<(), Error> {
            let text = "x".repeat(64 * 1024);
            let user = (0..40).fold(User::new("u1"), |user, place| {
                user.attribute(format!("a{place}"), text.as_str())
            });
            sync.scope("users").await?.push(user).await
        }
    }
    let error = block_on(sync_once::<Wide>(json!({}))).unwrap_err();
    let Error::Bug { message, .. } = &error else { panic!("{error:?}") };
    assert!(message.starts_with("a record of resource.user has 2621"), "{message}");
}

#[test]
fn a_wrong_value_is_refused_by_its_path_and_not_repeated() {
    let config = json!({ "act": "honest", "nested": { "port": "hunter2" } });
    let error = block_on(sync_once::<Scripted>(config)).unwrap_err();
    let Error::BadConfig { field, message, .. } = &error else { panic!("{error:?}") };
    assert_eq!(field, "nested.port");
    assert_eq!(message, "invalid type: string, expected u16");
}

#[test]
fn a_missing_or_unknown_field_is_named_with_its_path() {
    for (config, field) in
        [(json!({}), "act"), (json!({ "act": "honest", "nested": { "prot": 1 } }), "nested.prot")]
    {
        let error = block_on(sync_once::<Scripted>(config)).unwrap_err();
        assert!(
            matches!(&error, Error::BadConfig { field: found, .. } if found == field),
            "{error:?}"
        );
    }
}

#[test]
fn a_lookup_answers_key_by_key() {
    let record_type = "resource.user".to_owned().try_into().unwrap();
    let key = |id: &str| RecordKey {
        record_type: cordon_sdk::RecordType::clone(&record_type),
        id: id.to_owned(),
        entitlement: String::new(),
    };
    block_on(async {
        let config = json!({ "act": "honest" });
        let mut harness = Harness::configured::<Scripted>(&config).await.unwrap();
        let presences = harness.lookup(&[key("u9"), key("u1")]).await.unwrap();
        assert_eq!(presences, [Presence::Absent, Presence::Present]);
        // An answer too few could be read as the answer to another key.
        let error = harness.lookup(&[key("forgotten"), key("u1")]).await.unwrap_err();
        assert_eq!(error.to_string(), "2 keys were asked for, 1 answers came");
    });
}

#[test]
fn a_reading_that_is_not_whole_denies_nobody() {
    let key = |id: &str| RecordKey {
        record_type: "resource.user".to_owned().try_into().unwrap(),
        id: id.to_owned(),
        entitlement: String::new(),
    };
    block_on(async {
        let asked = |act: &'static str| async move {
            let config = json!({ "act": act });
            let mut harness = Harness::configured::<Scripted>(&config).await.unwrap();
            harness.lookup(&[key("u1"), key("u9"), key("u1")]).await
        };
        let (here, gone, unsaid) = (Presence::Present, Presence::Absent, Presence::Unknown);
        assert_eq!(asked("honest").await.unwrap(), [here, gone, here]);
        for act in ["cut-short", "uncounted", "forget-scope"] {
            assert_eq!(asked(act).await.unwrap(), [here, unsaid, here], "{act}");
        }
        let error = asked("fail-in-scope").await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    });
}

#[test]
fn conformance_refuses_a_lookup_that_says_yes_to_everything() {
    assert!(conformance_refuses(Case::Lookup, "say-yes"));
}

/// Whether the suite finds fault with an act.
fn conformance_refuses(case: Case, act: &str) -> bool {
    let config = json!({ "act": act });
    std::panic::catch_unwind(|| hold::<Scripted>(case, &config)).is_err()
}

#[test]
fn a_sync_that_waits_for_its_reader_ends_when_it_is_left() {
    hold::<Scripted>(Case::Cancel, &json!({ "act": "endless" }));
}

#[test]
fn conformance_refuses_a_sync_that_ignores_its_cancellation() {
    let begun = Instant::now();
    assert!(conformance_refuses(Case::Cancel, "ignore-cancel"));
    assert!(begun.elapsed() < Duration::from_secs(10), "it was not dropped");
}

#[test]
fn conformance_refuses_grants_without_principals() {
    assert!(conformance_refuses(Case::References, "many"));
}

/// Takes any configuration, reports another user each time and that one twice, and counts five.
struct Sloppy(AtomicU32);

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Anything {}

impl Connector for Sloppy {
    type Config = Anything;

    fn describe() -> Description {
        Description::new("Sloppy Connector", "1").reports(User::schema())
    }

    async fn open(_: Anything) -> Result<Self, Error> {
        Ok(Self(AtomicU32::new(0)))
    }

    async fn check(&self) -> Result<Vec<String>, Error> {
        Ok(vec![])
    }

    async fn sync(&self, sync: &mut Sync) -> Result<(), Error> {
        let id = self.0.fetch_add(1, Ordering::SeqCst).to_string();
        let mut users = sync.scope("users").await?;
        users.push(User::new(&id)).await?;
        users.push(User::new(&id)).await?;
        users.source_total(5);
        users.complete().await
    }
}

#[test]
fn conformance_refuses_a_sloppy_connector_in_each_case() {
    let cases = [Case::Describe, Case::UnknownKey, Case::Stable, Case::Unique, Case::Scopes];
    for case in cases {
        let held = std::panic::catch_unwind(|| hold::<Sloppy>(case, &json!({})));
        assert!(held.is_err(), "{} passed", case.name());
    }
}

#[test]
fn a_case_is_skipped_by_its_name_and_with_a_reason_only() {
    let is_skipped = cordon_sdk::conformance::is_skipped;
    let skipped: &[(&str, &str)] = &[("no_grant_dangles", "another connector reports the groups")];
    assert!(is_skipped("no_grant_dangles", skipped));
    assert!(!is_skipped("describe_is_consistent", skipped));
    for wrong in [("no_such_case", "why"), ("no_grant_dangles", " ")] {
        assert!(std::panic::catch_unwind(|| is_skipped("no_grant_dangles", &[wrong])).is_err());
    }
}

#[test]
fn a_type_that_is_not_described_is_a_bug() {
    struct Printers;
    impl Connector for Printers {
        type Config = Nested;
        fn describe() -> Description {
            Description::new("printers", "1.0.0").reports(User::schema())
        }
        async fn open(_: Nested) -> Result<Self, Error> {
            Ok(Self)
        }
        async fn check(&self) -> Result<Vec<String>, Error> {
            Ok(vec![])
        }
        async fn sync(&self, sync: &mut Sync) -> Result<(), Error> {
            sync.scope("printers").await?.push(Resource::new("printer", "p1")).await
        }
    }
    let error = block_on(sync_once::<Printers>(json!({}))).unwrap_err();
    assert_eq!(error.to_string(), "resource.printer is not declared in the description");
}
