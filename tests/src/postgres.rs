//! A PostgreSQL server behind the gate: what it hides, forgets or takes back with it stays where the
//! last known good is.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use cordon_testkit::postgres::{POPULATED, Postgres};
use cordon_testkit::{Connector, Host, Setup, process};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::world::{believed_from, delivered, held_by, last_good, run_of, without_detector};

/// A hundred users, half of them in a department without any group.
const HUNDRED: &str = "
    CREATE ROLE cordon LOGIN PASSWORD 'reads-only';
    CREATE ROLE staff;
    DO $$ BEGIN FOR i IN 0..99 LOOP
      EXECUTE format('CREATE ROLE u%s LOGIN', to_char(i, 'FM00'));
      IF i >= 50 THEN EXECUTE format('GRANT staff TO u%s', to_char(i, 'FM00')); END IF;
    END LOOP; END $$;";

/// A host with the connector, and the file with its password.
struct World {
    host: Host,
    _password: NamedTempFile,
}

fn password() -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "reads-only\n").unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn connector(server: &Postgres, password: &NamedTempFile) -> Connector {
    let mut guard = json!({});
    without_detector(&mut guard);
    let config = json!({
        "host": "127.0.0.1",
        "port": server.port(),
        "plaintext": true,
        "user": "cordon",
        "password": format!("file:{}", password.path().display()),
    });
    // A try by itself after a failure could be what a sync that a test asks for joins.
    let patient = json!({ "backoff": "1h..1h" });
    Connector::program("connector-postgres")
        .config(config)
        .set("guard", guard)
        .set("restart", patient)
}

fn world(server: &Postgres) -> World {
    let password = password();
    let setup = Host::setup().connector("db", connector(server, &password)).file_sink("out");
    World { host: setup.start(), _password: password }
}

impl World {
    #[track_caller]
    fn sync(&self) -> Value {
        run_of(&self.host.cordon(&["sync", "db", "--wait"]))
    }

    #[track_caller]
    fn commits(&self) {
        let run = self.sync();
        assert_eq!(run["outcome"], "committed", "{run}");
        delivered(&self.host);
    }

    /// Users that a consumer believes in.
    fn users(&self) -> usize {
        let believed = believed_from(&self.host, "db");
        believed.keys().filter(|key| key.starts_with("user:") && !key.contains(" -> ")).count()
    }
}

#[test]
fn a_restored_backup_is_quarantined_as_what_was_there_before() {
    let Some(mut server) = Postgres::start(HUNDRED, &[]) else { return };
    let world = world(&server);
    world.commits();
    server.stop();
    let backup = server.backup();
    server.start_again();
    server.sql("postgres", "DROP ROLE u00; CREATE ROLE newcomer LOGIN; GRANT staff TO newcomer");
    world.commits();
    let believed = believed_from(&world.host, "db");
    // The server answers as before, from yesterday: the leaver is back, the newcomer was never there.
    server.restore(backup.path());
    let run = world.sync();
    assert_eq!(run["outcome"], "quarantined", "{run}");
    let held = held_by(&run);
    for code in ["CRD-D402", "CRD-W101"] {
        assert!(held.iter().any(|held| held == code), "no {code} in {held:?}");
    }
    assert_eq!(last_good(&world.host, "db"), 2);
    delivered(&world.host);
    assert_eq!(believed_from(&world.host, "db"), believed);
}

#[test]
fn roles_that_a_server_hides_are_removed_from_nobody() {
    // Whoever owns the server can replace the view that lists its roles; counts then agree with it.
    let hide = |which: &str| {
        format!(
            "SET allow_system_table_mods = on; \
             DO $$ BEGIN EXECUTE 'CREATE OR REPLACE VIEW pg_catalog.pg_roles AS ' || \
               rtrim(pg_get_viewdef('pg_catalog.pg_roles'), ';') || ' WHERE rolname {which}'; \
             END $$"
        )
    };
    for (which, told) in [
        // Without a group: everything that is told is told as whole.
        ("!~ ''^u[0-4]''", None),
        // With one: memberships of roles that the server does not list are a contradiction.
        ("!~ ''^u[5-9]''", Some("which the server does not list")),
    ] {
        let Some(server) = Postgres::start(HUNDRED, &[]) else { return };
        let world = world(&server);
        world.commits();
        let users = world.users();
        server.sql("postgres", &hide(which));
        let run = world.sync();
        assert_eq!(run["outcome"], "quarantined", "{run}");
        assert!(held_by(&run).contains(&"CRD-D101".to_owned()), "{run}");
        let text = run.to_string();
        assert!(told.is_none_or(|told| text.contains(told)), "{told:?}: {text}");
        delivered(&world.host);
        assert_eq!((last_good(&world.host, "db"), world.users()), (1, users));
    }
}

#[test]
fn leavers_are_looked_up_before_anyone_is_woken() {
    let Some(server) = Postgres::start(HUNDRED, &[]) else { return };
    let world = world(&server);
    world.commits();
    let leavers: Vec<String> = (0..40).map(|number| format!("u{number:02}")).collect();
    server.sql("postgres", &format!("DROP ROLE {}", leavers.join(", ")));
    let run = world.sync();
    assert_eq!(run["outcome"], "quarantined", "{run}");
    let findings = run["findings"].as_array().unwrap();
    let confirmed = findings.iter().find(|it| it["code"] == "CRD-V201").unwrap();
    assert_eq!(
        confirmed["message"],
        "all 40 users that are missing were looked up: the source has none of them"
    );
}

#[test]
fn a_server_that_ends_takes_nobodys_access_along() {
    let Some(mut server) = Postgres::start(HUNDRED, &[]) else { return };
    let world = world(&server);
    world.commits();
    let users = world.users();
    server.crash();
    let run = world.sync();
    assert_eq!(run["outcome"], "failed", "{run}");
    server.start_again();
    server.sql("postgres", "REVOKE SELECT ON pg_auth_members FROM PUBLIC");
    let run = world.sync();
    assert_eq!(run["outcome"], "failed", "{run}");
    let error = run["error"].as_str().unwrap();
    assert!(error.contains("permission denied for table pg_auth_members"), "{error}");
    delivered(&world.host);
    assert_eq!((last_good(&world.host, "db"), world.users()), (1, users));
    server.sql("postgres", "GRANT SELECT ON pg_auth_members TO PUBLIC");
    world.commits();
}

/// A host under the profile of a service, where a connector reaches what is allowed.
fn walled(server: &Postgres, password: &NamedTempFile, allow: Value) -> Setup {
    Host::setup()
        .set("daemon", "profile", "service")
        // What a person may have in the environment is nothing to a connector.
        .env("PGHOST", "192.0.2.1")
        .env("PGUSER", "postgres")
        .env("PGSSLMODE", "disable")
        .connector("db", connector(server, password).set("allow", allow))
        .file_sink("out")
}

#[test]
fn behind_walls_it_reaches_its_server_and_nothing_else() {
    if !is_root() {
        return cordon_testkit::capability::skipped("root");
    }
    let Some(server) = Postgres::start(HUNDRED, &[]) else { return };
    let password = password();
    let place = format!("127.0.0.1:{}", server.port());
    let host = walled(&server, &password, json!({ "connect": [place] })).start();
    let run = run_of(&host.sync("db").done());
    assert_eq!(run["outcome"], "committed", "{run}");
    let host = walled(&server, &password, json!({})).start();
    let run = run_of(&host.sync("db").exits(1));
    assert_eq!(run["outcome"], "failed", "{run}");
}

fn is_root() -> bool {
    let own = std::fs::metadata("/proc/self");
    own.is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

#[test]
fn a_populated_cluster_costs_a_bounded_memory() {
    const MEMORY_MIB: u64 = 64;
    let Some(server) = Postgres::start(POPULATED, &[]) else { return };
    let password = password();
    let limits = json!({ "memory": format!("{MEMORY_MIB}MiB") });
    let connector = connector(&server, &password).set("limits", limits);
    let host = Host::setup().connector("db", connector).file_sink("out").start();
    let begun = Instant::now();
    let run = run_of(&host.sync("db").done());
    let took = begun.elapsed();
    assert_eq!(run["outcome"], "committed", "{run}");
    let pid = host.status("db")["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    let peak = pid.and_then(process::memory_peak_bytes).unwrap();
    let log = host.cordon_as("table", &["logs", "db"]).done().stdout;
    let read = log.lines().find(|line| line.contains("the server was read"));
    eprintln!("{}", read.expect("the connector says how long it waited"));
    eprintln!("{} records in {took:?}, peak {} KiB", run["records"], peak / 1024);
    assert!(peak < MEMORY_MIB * 1024 * 1024, "{peak}");
    assert!(took < Duration::from_secs(60), "{took:?}");
}
