//! What goes wrong with a server: never is it a removal.

use std::time::{Duration, Instant};

use cordon_testkit::{peer, process};
use nix::sys::signal::Signal;

use super::*;

#[tokio::test]
async fn a_right_that_is_missing_is_named_and_takes_nothing_away() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let none = json!({});
    server.sql("postgres", "REVOKE SELECT ON pg_default_acl FROM PUBLIC");
    server.sql("app", "REVOKE SELECT ON pg_namespace FROM PUBLIC");
    let collected = sync(&server, none.clone()).await;
    for (scope, told) in [
        ("users", "complete"),
        ("memberships", "complete"),
        ("databases", "complete"),
        ("schemas", "cannot read schemas: permission denied for table pg_namespace"),
        ("tables", "cannot read privileges on tables: permission denied for table pg_namespace"),
        ("default_privileges", "permission denied for table pg_default_acl"),
    ] {
        let reason = outcome(&collected, scope);
        assert!(reason.contains(told), "{scope}: {reason}");
    }
    // The other database was read, and what it has is reported.
    assert!(collected.scope("schemas").unwrap().received > 0);

    // Without its roles nothing of a cluster is known, and a person must act.
    server.sql("postgres", "REVOKE SELECT ON pg_auth_members FROM PUBLIC");
    let (kind, text) = failure(config(&server, &none)).await;
    assert_eq!(kind, "incomplete");
    assert!(text.contains("permission denied for table pg_auth_members"), "{text}");
}

#[tokio::test]
async fn logins_that_fail_are_told_apart() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let empty = peer::free_port();
    for (more, kind, told) in [
        (json!({ "password": "wrong" }), "auth", "password authentication failed"),
        (json!({ "password": null }), "unavailable", "password missing"),
        (json!({ "user": "nobody" }), "auth", "password authentication failed"),
        (json!({ "user": "staff" }), "auth", "password authentication failed"),
        (json!({ "database": "nowhere" }), "bad config", "database \"nowhere\" does not exist"),
        (json!({ "port": empty }), "unavailable", "Connection refused"),
        (json!({ "system_identifier": "12345" }), "auth", "not 12345 of `system_identifier`"),
        (
            json!({ "plaintext": null, "tls": { "fingerprint": "00".repeat(32) } }),
            "unavailable",
            "server does not support TLS",
        ),
    ] {
        let (found, text) = failure(config(&server, &more)).await;
        assert_eq!(found, kind, "{more}: {text}");
        assert!(text.contains(told), "{more}: {text}");
        assert!(!text.contains("wrong\"") && !text.contains("reads-only"), "{text}");
    }
    server.sql("postgres", "ALTER ROLE cordon CONNECTION LIMIT 0");
    let (kind, text) = failure(config(&server, &json!({}))).await;
    assert_eq!(kind, "rate limited", "{text}");
    server.sql("postgres", "ALTER ROLE cordon CONNECTION LIMIT -1");
    let identifier =
        &server.sql("postgres", "SELECT system_identifier FROM pg_control_system()")[0];
    all_complete(&sync(&server, json!({ "system_identifier": identifier })).await);
}

#[tokio::test]
async fn more_than_the_bounds_is_not_read_and_says_so() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let collected = sync(&server, json!({ "bounds": { "memberships": 3, "tables": 2 } })).await;
    assert_eq!(
        outcome(&collected, "memberships"),
        "memberships: nothing was read, the server counts 11 memberships, more than 3 of \
         `bounds.memberships`"
    );
    assert!(outcome(&collected, "tables").contains("counts 3 tables"), "{collected:?}");
    assert_eq!(outcome(&collected, "users"), "complete");
    let (kind, text) = failure(config(&server, &json!({ "bounds": { "roles": 3 } }))).await;
    assert_eq!(kind, "incomplete");
    assert!(text.contains("more than 3 of `bounds.roles`"), "{text}");
}

#[tokio::test]
async fn a_listed_database_that_is_not_there_takes_nothing_away() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let collected = sync(&server, json!({ "databases": ["app", "gone"] })).await;
    assert_eq!(outcome(&collected, "tables"), "there is no database `gone`");
    assert_eq!(outcome(&collected, "databases"), "complete");
    // Without a list, a database that was dropped is gone with all that was in it.
    server.sql("postgres", "DROP DATABASE app");
    all_complete(&sync(&server, json!({})).await);
}

/// A session of the server's superuser that holds a lock, until it is dropped.
fn locking(server: &Server, statement: &str) -> std::process::Child {
    let mut psql = std::process::Command::new(peer::program("psql").unwrap());
    psql.env_clear().args(["-X", "-q", "-U", "postgres", "-d", "postgres", "-h"]);
    psql.arg(server.folder()).args(["-p", &server.port().to_string()]);
    psql.args(["-c", &format!("BEGIN; {statement}; SELECT pg_sleep(60)")]);
    psql.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let child = psql.spawn().unwrap();
    cordon_testkit::wait_until("the lock is held", Duration::from_secs(10), || {
        let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted \
                    AND relation = 'pg_default_acl'::regclass";
        server.sql("postgres", held) == ["1"]
    });
    child
}

const LOCK: &str = "LOCK TABLE pg_default_acl IN ACCESS EXCLUSIVE MODE";

#[tokio::test]
async fn a_server_that_makes_us_wait_meets_a_timeout() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let mut lock = locking(&server, LOCK);
    let begun = Instant::now();
    let (kind, text) = failure(config(&server, &json!({ "statement_timeout": "1s" }))).await;
    assert_eq!(kind, "unavailable", "{text}");
    assert!(text.contains("cannot read default privileges"), "{text}");
    assert!(text.contains("what was reported before still holds"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    lock.kill().unwrap();
    lock.wait().unwrap();
}

/// The process that serves us, once it waits for a lock.
async fn waiting_backend(server: &Server) -> u32 {
    let ours = "SELECT pid FROM pg_stat_activity \
                WHERE application_name = 'cordon' AND wait_event_type = 'Lock'";
    let begun = Instant::now();
    loop {
        if let Some(pid) = server.sql("postgres", ours).first() {
            return pid.parse().unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody waits for the lock");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A process that stands still until this is dropped.
struct Frozen(u32);

impl Frozen {
    fn new(pid: u32) -> Self {
        process::signal(pid, Signal::SIGSTOP);
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        process::signal(self.0, Signal::SIGCONT);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_frozen_meets_our_own_deadline() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let more = json!({ "statement_timeout": "4s", "connect_timeout": "2s" });
    let mut harness = Harness::configured::<Postgres>(&config(&server, &more)).await.unwrap();
    let mut lock = locking(&server, LOCK);
    let freezing = async { Frozen::new(waiting_backend(&server).await) };
    let (frozen, (collected, result)) = tokio::join!(freezing, harness.sync());
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("no answer within 9 s"), "{}", error.chain());
    assert!(collected.scopes.iter().all(|scope| scope.outcome != ScopeOutcome::Complete));
    drop(frozen);
    // Frozen from the beginning it lets nobody in.
    let frozen = Frozen::new(server.peer().pid());
    let (_, result) = harness.sync().await;
    let error = result.unwrap_err().chain();
    assert!(error.contains("did not let us in within 2 s"), "{error}");
    drop(frozen);
    lock.kill().unwrap();
    lock.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_in_the_middle_leaves_no_scope_complete() {
    let Some(mut server) = Server::start(SMALL, &[]) else { return };
    let config = config(&server, &json!({}));
    let mut harness = Harness::configured::<Postgres>(&config).await.unwrap();
    let mut lock = locking(&server, LOCK);
    let dying = async {
        waiting_backend(&server).await;
        server.crash();
    };
    let ((), (collected, result)) = tokio::join!(dying, harness.sync());
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    // What was read before the end was, and none of it takes anything away.
    assert!(collected.scope("users").unwrap().received > 0);
    assert!(collected.scopes.iter().all(|scope| scope.outcome != ScopeOutcome::Complete));
    let _ = lock.kill();
    lock.wait().unwrap();
    server.start_again();
    let (again, result) = harness.sync().await;
    result.unwrap();
    all_complete(&again);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_sync_ends_at_once_and_its_question_with_it() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let config = config(&server, &json!({ "statement_timeout": "60s" }));
    let mut lock = locking(&server, LOCK);
    {
        let mut harness = Harness::configured::<Postgres>(&config).await.unwrap();
        tokio::select! {
            _ = harness.sync() => panic!("it did not wait for the lock"),
            _ = waiting_backend(&server) => {}
        }
    }
    let cancelled = Instant::now();
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cordon'";
    while server.sql("postgres", ours) != ["0"] {
        assert!(cancelled.elapsed() < Duration::from_secs(2), "the server still works for us");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    lock.kill().unwrap();
    lock.wait().unwrap();
}

#[tokio::test]
async fn a_right_of_a_role_that_the_server_does_not_list_is_named() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let names = Names::of(&server, &[]);
    server.sql(
        "postgres",
        "SET allow_system_table_mods = on; \
         DO $$ BEGIN EXECUTE 'CREATE OR REPLACE VIEW pg_catalog.pg_roles AS ' || \
           rtrim(pg_get_viewdef('pg_catalog.pg_roles'), ';') || ' WHERE rolname <> ''alice'''; \
         END $$",
    );
    let collected = sync(&server, json!({ "databases": ["postgres"] })).await;
    let (staff, alice) = (names.number("staff"), names.number("alice"));
    let told = format!(
        "member:{staff} is held by the role with the number {alice}, which the server does not list"
    );
    assert_eq!(outcome(&collected, "memberships"), told);
    // What it lists is told as it lists it; the loss is for the gate to see.
    assert_eq!(outcome(&collected, "users"), "complete");
    assert!(collected.row(&format!("user:{alice}")).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_holds_that_is_younger_than_the_sync_waits_for_the_next() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let config = config(&server, &json!({}));
    let mut harness = Harness::configured::<Postgres>(&config).await.unwrap();
    let mut lock = locking(&server, LOCK);
    let meanwhile = async {
        waiting_backend(&server).await;
        server.sql("app", "CREATE ROLE late LOGIN; GRANT USAGE ON SCHEMA hr TO late");
        server.sql(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()",
        );
        lock.wait().unwrap();
    };
    let ((), (collected, result)) = tokio::join!(meanwhile, harness.sync());
    result.unwrap();
    all_complete(&collected);
    let names = Names::of(&server, &["app"]);
    let late = format!("user:{}", names.number("late"));
    assert!(collected.keys().iter().all(|key| !key.starts_with(&late)));
    let (next, result) = harness.sync().await;
    result.unwrap();
    all_complete(&next);
    let usage = format!("{late} -> schema:{}.{}:usage", names.number("app"), names.number("hr"));
    assert_eq!(changes(&collected, &next), [format!("+ {late}"), format!("+ {usage}")].into());
}

#[tokio::test]
async fn a_standby_is_as_current_as_what_it_replayed() {
    let Some(mut server) = Server::start(SMALL, &[]) else { return };
    let primary = sync(&server, json!({})).await;
    server.stop();
    // Without a primary to follow, it stays where it is.
    std::fs::write(server.folder().join("standby.signal"), "").unwrap();
    server.start_again();
    let begun = jiff::Timestamp::now();
    let standby = sync(&server, json!({})).await;
    all_complete(&standby);
    assert!(changes(&primary, &standby).is_empty());
    let time = |collected: &Collected| collected.scope("users").unwrap().watermark.time.unwrap();
    assert!(time(&standby) < begun, "{} is later than what it replayed", time(&standby));
    let again = sync(&server, json!({})).await;
    assert_eq!(time(&again), time(&standby), "it stands still");
    let mut harness = Harness::configured::<Postgres>(&config(&server, &json!({}))).await.unwrap();
    let notes = harness.check().await.unwrap().join("\n");
    assert!(notes.contains("a standby, cluster ") && notes.contains("current as of"), "{notes}");
}

#[tokio::test]
async fn settings_and_schemas_of_others_change_nothing() {
    let Some(server) = Server::start(SMALL, &[]) else { return };
    let before = sync(&server, json!({})).await;
    // Whoever may create in a schema could shadow a catalog, an operator or a function.
    for database in ["postgres", "app"] {
        server.sql(
            database,
            "CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC; \
             CREATE VIEW evil.pg_auth_members AS SELECT * FROM pg_catalog.pg_auth_members LIMIT 0; \
             CREATE FUNCTION evil.ne(oid, oid) RETURNS bool LANGUAGE sql AS 'SELECT false'; \
             CREATE OPERATOR evil.<> (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.ne)",
        );
    }
    server.sql(
        "postgres",
        "ALTER ROLE cordon SET search_path = evil, pg_catalog; \
         ALTER ROLE cordon SET default_transaction_isolation = 'read committed'; \
         ALTER ROLE cordon SET statement_timeout = '1ms'",
    );
    let names = Names::of(&server, &["app", "postgres"]);
    let after = sync(&server, json!({})).await;
    all_complete(&after);
    let changed = changes(&before, &after);
    let others = changed.iter().filter(|change| !names.shown(change).contains(".evil"));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&String>::new());
}
