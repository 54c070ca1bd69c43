//! A ledger is opened whole or refused, and what is refused is left as it was.

use std::fs;
use std::path::Path;

use cordon_ledger::{Ledger, OpenError, SCHEMA_VERSION, Wanted};
use sqlx::Connection;

use crate::host::{Host, at, name};

/// Opens a file that must be refused and left as it is.
async fn refused(path: &Path) -> OpenError {
    let before = fs::read(path).unwrap();
    let error = Ledger::open(path, at(0)).await.unwrap_err();
    assert_eq!(fs::read(path).unwrap(), before, "the refused file was changed");
    let file = path.file_name().unwrap().to_str().unwrap();
    assert!(error.to_string().contains(file), "{error} does not name {file}");
    error
}

/// A ledger that was closed, with everything in its one file.
async fn closed() -> Host {
    let host = Host::new().await;
    for minute in 1..=3 {
        host.commit("hr", 5, minute).await;
    }
    let mut connection = host.intruder().await;
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    host
}

#[tokio::test]
async fn a_new_ledger_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::new().await;
    host.commit("hr", 1, 1).await;
    for suffix in ["", "-wal", "-shm"] {
        let path = host.dir.path().join(format!("cordon.db{suffix}"));
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn garbage_is_refused_and_left_as_it_is() {
    let host = Host::new().await;
    let path = host.dir.path().join("garbage.db");
    let header = b"SQLite format 3\0".to_vec();
    for (garbage, said) in [
        (Vec::new(), "is not a SQLite database"),
        (b"x".to_vec(), "is not a SQLite database"),
        (b"this is not a database, but long enough. ".repeat(100), "is not a SQLite database"),
        (header.clone(), "garbage.db"),
        ([header.clone(), vec![0xff; 8192]].concat(), "garbage.db"),
        ([header, vec![0; 8192]].concat(), "garbage.db"),
    ] {
        fs::write(&path, &garbage).unwrap();
        let error = refused(&path).await;
        assert!(
            matches!(error, OpenError::Damaged { .. } | OpenError::Foreign { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains(said), "{error} does not say {said:?}");
    }
}

#[tokio::test]
async fn a_ledger_of_a_newer_cordon_is_refused_and_left_as_it_is() {
    let host = closed().await;
    host.tamper_version(SCHEMA_VERSION + 1).await;
    let error = refused(&host.path()).await;
    assert!(
        matches!(error, OpenError::Newer { found, known: SCHEMA_VERSION, .. } if found == SCHEMA_VERSION + 1),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_ledger_with_a_version_that_never_was_is_refused() {
    let host = closed().await;
    for version in [0, -1] {
        host.tamper_version(version).await;
        assert!(matches!(refused(&host.path()).await, OpenError::Damaged { .. }));
    }
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_as_it_is() {
    let host = Host::new().await;
    let path = host.dir.path().join("contacts.db");
    let mut connection = host.intruder_of(&path).await;
    sqlx::raw_sql("CREATE TABLE contacts (name)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert!(matches!(refused(&path).await, OpenError::Foreign { .. }));
}

#[tokio::test]
async fn a_damaged_page_is_refused_and_left_as_it_is() {
    let host = closed().await;
    let whole = fs::read(host.path()).unwrap();
    let pages = whole.len() / 4096;
    let mut refusals = 0;
    for page in 1..pages {
        let path = host.dir.path().join("damaged.db");
        let mut bytes = whole.clone();
        bytes[page * 4096..page * 4096 + 64].fill(0xa5);
        fs::write(&path, &bytes).unwrap();
        refused(&path).await;
        refusals += 1;
    }
    assert!(refusals > 10, "only {refusals} pages were damaged");
}

#[tokio::test]
async fn a_ledger_cut_short_is_refused_and_left_as_it_is() {
    let host = closed().await;
    let whole = fs::read(host.path()).unwrap();
    let path = host.dir.path().join("short.db");
    for length in [whole.len() - 4096, whole.len() / 2, 4096, 4095, 100] {
        fs::write(&path, &whole[..length]).unwrap();
        refused(&path).await;
    }
}

#[tokio::test]
async fn a_missing_ledger_whose_log_is_there_is_not_begun_anew() {
    let host = Host::new().await;
    let path = host.dir.path().join("gone.db");
    let log = host.dir.path().join("gone.db-wal");
    fs::write(&log, b"frames").unwrap();
    let error = Ledger::open(&path, at(0)).await.unwrap_err();
    assert!(error.to_string().contains("gone.db-wal"), "{error}");
    assert_eq!(fs::read(&log).unwrap(), b"frames");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_folder_that_is_missing_is_an_error_that_names_the_path() {
    let error = Ledger::open(Path::new("/nowhere/at/all/cordon.db"), at(0)).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot open the ledger /nowhere/at/all/cordon.db");
}

#[tokio::test]
async fn a_row_that_contradicts_its_evidence_is_refused() {
    let edits = [
        ("the last known good", "UPDATE last_good SET sync = 1 WHERE connector = 'hr'"),
        ("the last known good", "DELETE FROM last_good"),
        ("snapshot 2", "UPDATE snapshots SET digest = 'forged' WHERE sync = 2"),
        ("snapshot 2", "UPDATE snapshots SET content_digest = 'forged' WHERE sync = 2"),
        ("snapshot 2", "UPDATE snapshots SET labels = '{\"user\":5000}' WHERE sync = 2"),
        ("snapshot 2", "UPDATE snapshots SET removed = '{\"user\":1}' WHERE sync = 2"),
        ("snapshot 2", "UPDATE snapshots SET watermarks = '{\"s\":{}}' WHERE sync = 2"),
        ("snapshot 2", "UPDATE snapshots SET taken_at = 0 WHERE sync = 2"),
        ("snapshot 2", "UPDATE snapshots SET evidence = 3 WHERE sync = 2"),
        ("the last known good", "UPDATE snapshots SET kept = 0"),
        ("the outbox entry", "UPDATE outbox SET first_seq = 1 WHERE to_sync = 2"),
        ("the outbox entry", "UPDATE outbox SET last_seq = 99 WHERE to_sync = 2"),
        ("the outbox entry", "UPDATE outbox SET from_sync = NULL WHERE to_sync = 2"),
        ("the outbox entry", "DELETE FROM outbox WHERE to_sync = 2"),
        ("the wanted state", "UPDATE wanted SET until = 1767226000000000"),
        ("the wanted state", "UPDATE wanted SET reason = 'none'"),
        (
            "the wanted state",
            "UPDATE wanted SET state = 'run', by = NULL, reason = NULL, since = NULL",
        ),
        ("the wanted state", "DELETE FROM wanted"),
        ("in quarantine", "UPDATE quarantine SET digest = 'forged'"),
        ("in quarantine", "UPDATE quarantine SET content_digest = 'forged'"),
        ("in quarantine", "UPDATE quarantine SET against = NULL"),
        ("in quarantine", "UPDATE runs SET verdict = '{}' WHERE outcome = 'quarantined'"),
        ("in quarantine", "UPDATE runs SET findings = '[]' WHERE outcome = 'quarantined'"),
        (
            "in quarantine",
            "UPDATE runs SET changes = '{\"added\":0,\"modified\":0,\"removed\":0}' WHERE outcome = 'quarantined'",
        ),
        ("the quarantine", "UPDATE quarantine SET state = 'superseded'"),
        ("the quarantine", "DELETE FROM quarantine"),
        ("the counters", "UPDATE connectors SET last_seq = 0"),
        ("the counters", "UPDATE connectors SET last_sync = 1"),
        ("the counters", "UPDATE connectors SET last_position = 9"),
        ("the counters", "UPDATE cursors SET seq = 1000"),
        ("the cursor", "UPDATE cursors SET seq = 10 WHERE sink = 'siem'"),
        ("the cursor", "UPDATE cursors SET seq = 4 WHERE sink = 'siem'"),
        ("the cursor", "UPDATE cursors SET sink = 'other' WHERE sink = 'siem'"),
    ];
    for (row, sql) in edits {
        let host = Host::new().await;
        for minute in 1..=3 {
            host.commit("hr", 5, minute).await;
        }
        host.hold("hr", "suspicious", 4).await;
        host.hold("hr", "suspicious", 5).await;
        let hr = name("hr");
        let paused = Wanted::Paused {
            by: "alice".to_owned(),
            reason: "swap".to_owned(),
            since: at(6),
            until: None,
        };
        host.ledger.set_wanted(&hr, paused, "alice", "swap", at(6)).await.unwrap();
        host.ledger.advance("siem", &hr, 7, at(7)).await.unwrap();
        host.reopen().await.unwrap();

        host.tamper(sql).await;
        let error = host.reopen().await.err().unwrap_or_else(|| panic!("{sql:?} was not noticed"));
        let OpenError::Evidence { source, .. } = &error else { panic!("{sql:?}: {error:?}") };
        assert!(source.to_string().contains(row), "{sql:?}: {source}");
    }
}

#[tokio::test]
async fn a_row_whose_run_is_gone_is_refused() {
    let host = Host::new().await;
    host.commit("hr", 5, 1).await;
    host.tamper("DELETE FROM runs").await;
    let error = host.reopen().await.unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}
