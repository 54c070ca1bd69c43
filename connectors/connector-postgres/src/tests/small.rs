//! One of each thing, told record by record.

use super::*;

#[tokio::test]
async fn roles_are_users_and_groups_and_keep_their_number() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let collected = sync(&server, json!({ "service_accounts": ["svc-*"] })).await;
    all_complete(&collected);
    let names = Names::of(&server, &[]);
    let show = |name: &str, columns: &[&str]| {
        let kind = ["user", "group"].into_iter().find_map(|kind| {
            collected.row(&format!("{kind}:{}", names.number(name))).map(|row| (kind, row))
        });
        let (kind, row) = kind.unwrap_or_else(|| panic!("no {name}"));
        let values: Vec<String> = columns.iter().map(|column| value(row, column)).collect();
        format!("{kind} {}", values.join(" "))
    };
    let columns = ["login", "status", "account_type", "inherits", "password_expires", "comment"];
    for (name, expected) in [
        ("alice", "user alice active - true 2030-01-02T03:04:05Z Alice of accounting"),
        ("bob", "user bob active - false - -"),
        ("carol", "user carol disabled - true - -"),
        ("svc-backup", "user svc-backup active service true - -"),
        // A limit of connections does not hold a superuser.
        ("root2", "user root2 active - true - -"),
        ("postgres", "user postgres active system true - -"),
    ] {
        // `postgres` is a database, too; the role's number is 10 in every cluster.
        let found = if name == "postgres" {
            let row = collected.row("user:10").unwrap();
            let values: Vec<String> = columns.iter().map(|column| value(row, column)).collect();
            format!("user {}", values.join(" "))
        } else {
            show(name, &columns)
        };
        assert_eq!(found, expected);
    }
    for (name, expected) in [
        ("staff", "group staff false"),
        ("pg_monitor", "group pg_monitor true"),
        ("pg_signal_backend", "group pg_signal_backend true"),
    ] {
        assert_eq!(show(name, &["name", "built_in"]), expected);
    }
    assert_eq!(value(collected.row("group:public").unwrap(), "name"), "PUBLIC");
}

#[tokio::test]
async fn memberships_and_attributes_are_grants_and_power_is_marked() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let collected = sync(&server, json!({})).await;
    let names = Names::of(&server, &[]);
    let of_scope = |scope: &str| -> BTreeSet<String> {
        let at = collected.scopes.iter().position(|it| it.name == scope).unwrap();
        let rows = collected.rows.iter().zip(&collected.scope_of_row);
        let keys = rows.filter(|(_, of)| **of == at).map(|(row, _)| names.shown(&row.key()));
        keys.filter(|key| key.contains(" -> ")).collect()
    };
    let memberships = of_scope("memberships");
    let expected = [
        "user:alice -> member:staff",
        "user:bob -> member:staff",
        "user:carol -> member:staff",
        "user:carol -> admin:staff",
        "group:staff -> member:finance",
        "group:owners -> member:admins",
        "user:carol -> member:owners",
        "user:bob -> member:alice",
        "group:finance -> member:pg_read_server_files",
        // Every server has these three.
        "group:pg_monitor -> member:pg_read_all_settings",
        "group:pg_monitor -> member:pg_read_all_stats",
        "group:pg_monitor -> member:pg_stat_scan_tables",
    ];
    assert_eq!(memberships, expected.map(str::to_owned).into());
    let expected = ["superuser", "createrole", "createdb", "replication", "bypassrls"]
        .map(|name| format!("user:postgres -> cluster:{name}"));
    let mut expected: BTreeSet<String> = expected.into();
    expected.extend(
        [
            "user:root2 -> cluster:superuser",
            "user:bob -> cluster:createrole",
            "user:bob -> cluster:createdb",
            "user:svc-backup -> cluster:replication",
            "group:admins -> cluster:createrole",
        ]
        .map(str::to_owned),
    );
    assert_eq!(of_scope("attributes"), expected);
    let privileged =
        |id: &str| value(collected.row(&format!("entitlement:{id}")).unwrap(), "privileged");
    let number = |name: &str| names.number(name).to_owned();
    for (id, expected) in [
        ("cluster:superuser".to_owned(), "true"),
        (format!("member:{}", number("admins")), "true"),
        // Whoever is an owner is an admin by it, and whoever is in staff reads files of the server.
        (format!("member:{}", number("owners")), "true"),
        (format!("member:{}", number("staff")), "true"),
        (format!("admin:{}", number("staff")), "true"),
        (format!("member:{}", number("alice")), "true"),
        (format!("member:{}", number("pg_write_server_files")), "true"),
        (format!("member:{}", number("pg_monitor")), "false"),
    ] {
        assert_eq!(privileged(&id), expected, "{}", names.shown(&id));
    }
    // Nobody is a member of bob, so there is nothing to hold on him.
    assert!(collected.row(&format!("entitlement:member:{}", number("bob"))).is_none());
    let bob = collected.row(&format!("user:{} -> member:{}", number("bob"), number("staff")));
    assert_eq!(value(bob.unwrap(), "inherits"), "false");
}

#[tokio::test]
async fn a_membership_that_several_granted_is_one_and_tells_its_options() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let version = server.sql("postgres", "SHOW server_version_num");
    if version[0].as_str() < "160000" {
        return cordon_testkit::capability::skipped("postgres 16");
    }
    server.sql(
        "postgres",
        "GRANT finance TO alice WITH ADMIN OPTION; \
         GRANT finance TO carol WITH INHERIT FALSE, SET FALSE; \
         GRANT finance TO carol WITH INHERIT TRUE, SET FALSE GRANTED BY alice; \
         GRANT owners TO alice WITH INHERIT FALSE, SET FALSE",
    );
    let collected = sync(&server, json!({ "include": [] })).await;
    all_complete(&collected);
    let names = Names::of(&server, &[]);
    let number = |name: &str| names.number(name).to_owned();
    let show = |member: &str, role: &str| {
        let key = format!("user:{} -> member:{}", number(member), number(role));
        let row = collected.row(&key).unwrap();
        let values = ["inherits", "sets", "granted_by"].map(|column| value(row, column));
        names.shown(&values.join(" "))
    };
    assert_eq!(show("carol", "finance"), "true false alice");
    assert_eq!(show("alice", "finance"), "true true -");
    assert_eq!(show("alice", "owners"), "false false -");
    // A membership that gives nothing reaches no power.
    let alice = format!("entitlement:member:{}", number("alice"));
    assert_eq!(value(collected.row(&alice).unwrap(), "privileged"), "true", "finance reads files");
}

/// The grants and resources of a scope with names, of what people made.
fn told(collected: &Collected, names: &Names, scope: &str, of: &str) -> BTreeSet<String> {
    let at = collected.scopes.iter().position(|it| it.name == scope).unwrap();
    let rows = collected.rows.iter().zip(&collected.scope_of_row).filter(|(_, of)| **of == at);
    let shown = rows.filter(|(row, _)| row.record_type.kind == cordon_sdk::RecordKind::Grant);
    shown
        .map(|(row, _)| {
            let mut text = names.shown(&row.key());
            if value(row, "grantable") == "true" {
                text.push_str(" grantable");
            }
            if let Some(Value::Text(coverage)) = row.values.get("coverage") {
                text.push_str(&format!(" {coverage}"));
            }
            text
        })
        .filter(|text| text.contains(of))
        .collect()
}

fn texts<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
    texts.map(str::to_owned).into()
}

#[tokio::test]
async fn privileges_of_every_database_are_told_by_schema() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let collected = sync(&server, json!({})).await;
    all_complete(&collected);
    let names = Names::of(&server, &["app"]);
    assert_eq!(
        told(&collected, &names, "databases", ":app:"),
        texts([
            "group:owners -> database:app:owner",
            "group:public -> database:app:connect",
            "user:bob -> database:app:create grantable",
        ])
    );
    assert_eq!(
        told(&collected, &names, "schemas", ":app.hr:"),
        texts([
            "group:owners -> schema:app.hr:owner",
            "group:staff -> schema:app.hr:usage",
            "group:public -> schema:app.hr:usage",
        ])
    );
    assert_eq!(
        told(&collected, &names, "tables", ""),
        texts([
            "group:owners -> tables:app.hr:owner all",
            "group:staff -> tables:app.hr:select all",
            "group:public -> tables:app.hr:select some",
            "group:finance -> tables:app.hr:update some",
            "user:alice -> tables:app.hr:insert grantable some",
            // What the server came with is not repeated, what was given since is.
            "user:bob -> tables:app.pg_catalog:select some",
        ])
    );
    assert_eq!(
        told(&collected, &names, "default_privileges", ""),
        texts([
            "group:staff -> default:app.hr:owners:tables:select",
            "user:bob -> default:app:owners:functions:execute",
        ])
    );
}

#[tokio::test]
async fn privileges_are_told_table_by_table_where_that_is_wanted() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let more = json!({ "tables": "table", "databases": ["app"], "include": ["privileges"] });
    let collected = sync(&server, more).await;
    all_complete(&collected);
    assert!(collected.scope("default_privileges").is_none());
    let names = Names::of(&server, &["app"]);
    assert_eq!(
        told(&collected, &names, "tables", ""),
        texts([
            "group:owners -> table:app.people:owner all",
            "group:owners -> table:app.rooms:owner all",
            "group:owners -> table:app.names:owner all",
            "group:staff -> table:app.people:select all",
            "group:staff -> table:app.rooms:select all",
            "group:staff -> table:app.names:select all",
            "group:public -> table:app.rooms:select all",
            "group:finance -> table:app.people:update some",
            "user:alice -> table:app.rooms:insert grantable all",
            "user:bob -> table:app.1260:select some",
        ])
    );
    let number = |name: &str| names.number(name).to_owned();
    let view = collected.row(&format!("table:{}.{}", number("app"), number("names"))).unwrap();
    assert_eq!((value(view, "name"), value(view, "kind")), ("names".into(), "view".into()));
    assert_eq!(names.shown(&value(view, "parent")), "schema:app.hr");
    let authid = collected.row(&format!("table:{}.1260", number("app"))).unwrap();
    assert_eq!(value(authid, "name"), "pg_authid");
}

#[tokio::test]
async fn passwords_are_secrets_with_their_kind_and_end_and_never_their_value() {
    let settings = ["track_commit_timestamp=on"];
    let Some(server) = Server::start(SMALL, &settings) else { return };
    let include = json!({ "include": ["passwords"] });
    let denied = sync(&server, include.clone()).await;
    let reason = outcome(&denied, "passwords");
    assert!(reason.contains("permission denied for table pg_authid"), "{reason}");
    assert_eq!(outcome(&denied, "memberships"), "complete");

    server.sql(
        "postgres",
        "GRANT SELECT (oid, rolpassword, rolvaliduntil, xmin) ON pg_authid TO cordon; \
         SET password_encryption = 'md5'; ALTER ROLE bob PASSWORD 'secret-of-bob'",
    );
    let collected = sync(&server, include).await;
    all_complete(&collected);
    let names = Names::of(&server, &[]);
    let secret = |name: &str| {
        let row = collected.row(&format!("secret:password:{}", names.number(name))).unwrap();
        let owner = names.shown(&value(row, "owner"));
        format!("{owner} {} {}", value(row, "method"), value(row, "expires"))
    };
    assert_eq!(secret("bob"), "user:bob md5 -");
    assert_eq!(secret("alice"), "user:alice scram-sha-256 2030-01-02T03:04:05Z");
    let alice = collected.row(&format!("secret:password:{}", names.number("alice"))).unwrap();
    // Bob was changed just now; of what was before the server kept times, it knows none.
    let bob = collected.row(&format!("secret:password:{}", names.number("bob"))).unwrap();
    let Some(Value::Timestamp(since)) = bob.values.get("unchanged_since") else {
        panic!("{bob:?}")
    };
    assert!(jiff::Timestamp::now().duration_since(*since).as_secs() < 120, "{since}");
    assert_eq!(value(alice, "unchanged_since"), "-");
    assert!(collected.row(&format!("secret:password:{}", names.number("carol"))).is_none());
    let all = format!("{:?}", collected.rows);
    for text in ["SCRAM-SHA-256$", "md5a", "secret-of"] {
        assert!(!all.contains(text), "{text}");
    }
}

#[tokio::test]
async fn a_rename_is_no_leaver_and_a_role_made_anew_is_somebody_else() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let before = sync(&server, json!({ "include": [] })).await;
    let names = Names::of(&server, &[]);
    server.sql("postgres", "ALTER ROLE alice RENAME TO alicia");
    let renamed = sync(&server, json!({ "include": [] })).await;
    let changed = changes(&before, &renamed);
    assert_eq!(changed, [format!("~ user:{}", names.number("alice"))].into());
    server.sql("postgres", "DROP ROLE carol; CREATE ROLE carol LOGIN");
    let again = sync(&server, json!({ "include": [] })).await;
    let now = Names::of(&server, &[]);
    let (old, new) = (names.number("carol"), now.number("carol"));
    assert_ne!(old, new);
    let (staff, owners) = (names.number("staff"), names.number("owners"));
    let expected = [
        format!("- user:{old}"),
        format!("- user:{old} -> member:{staff}"),
        format!("- user:{old} -> admin:{staff}"),
        format!("- user:{old} -> member:{owners}"),
        format!("+ user:{new}"),
    ];
    assert_eq!(changes(&renamed, &again), expected.into());
}

#[tokio::test]
async fn the_check_says_what_the_role_may_see_and_what_it_may_not() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    server.sql("postgres", "REVOKE CONNECT ON DATABASE app FROM PUBLIC");
    let include = json!({ "include": ["privileges", "default_privileges", "passwords"] });
    let mut harness = Harness::configured::<Postgres>(&config(&server, &include)).await.unwrap();
    let notes = harness.check().await.unwrap().join("\n");
    for text in [
        "the primary, cluster ",
        "everything is sent unencrypted",
        "memberships: 12 records",
        "cannot read passwords: permission denied for table pg_authid (SQLSTATE 42501)",
        "GRANT CONNECT ON DATABASE \"app\" TO \"cordon\"",
        "reads inside of databases postgres",
    ] {
        assert!(notes.contains(text), "no {text:?} in {notes}");
    }
    let (collected, result) = harness.sync().await;
    result.unwrap();
    assert_eq!(outcome(&collected, "databases"), "complete");
    for scope in ["schemas", "tables", "default_privileges"] {
        let reason = outcome(&collected, scope);
        assert!(reason.contains("may not connect to database `app`"), "{scope}: {reason}");
    }
}

#[tokio::test]
async fn the_connector_conforms() {
    use cordon_sdk::conformance::{Case, hold};
    let Some(server) = Server::start(SMALL, &[]) else { return };
    server.sql("postgres", "GRANT SELECT ON pg_authid TO cordon");
    for tables in ["schema", "table"] {
        let include = ["privileges", "default_privileges", "passwords"];
        let config = config(&server, &json!({ "tables": tables, "include": include }));
        // Each case has a runtime of its own.
        let cases = tokio::task::spawn_blocking(move || {
            Case::ALL.iter().for_each(|case| hold::<Postgres>(*case, &config));
        });
        cases.await.unwrap();
    }
}
