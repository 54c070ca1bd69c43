//! What the detector remembers is written with the commit that it learnt from, and vouched for.

use cordon_ledger::{
    ChainFault, Commit, CommitError, MEMORY_BYTES_MAX, OpenError, SCHEMA_VERSION, WriteError,
};

use crate::host::{Host, at, name};

/// Commits a sync that left this memory.
async fn taught(host: &Host, memory: Option<&str>, minutes: i64) {
    let sync = host.begin("hr", minutes).await;
    let step = host.step("hr", sync, 1).await;
    let commit = Commit { memory: memory.map(str::to_owned), ..step };
    host.try_commit(&commit, minutes).await.unwrap();
}

#[tokio::test]
async fn what_a_commit_taught_is_there_after_a_restart_and_stays_until_the_next_teaches() {
    let host = Host::new().await;
    let hr = name("hr");
    assert_eq!(host.ledger.memory(&hr).await.unwrap(), None);
    taught(&host, None, 1).await;
    taught(&host, Some(r#"{"syncs":1}"#), 2).await;
    taught(&host, None, 3).await;
    let ledger = host.reopen().await.unwrap();
    assert_eq!(ledger.memory(&hr).await.unwrap().as_deref(), Some(r#"{"syncs":1}"#));
    taught(&host, Some(r#"{"syncs":2}"#), 4).await;
    let ledger = host.reopen().await.unwrap();
    assert_eq!(ledger.memory(&hr).await.unwrap().as_deref(), Some(r#"{"syncs":2}"#));
    assert_eq!(ledger.memory(&name("other")).await.unwrap(), None);
    ledger.verify_chain().await.unwrap();
}

#[tokio::test]
async fn what_is_only_held_or_rejected_teaches_nothing_and_a_release_does() {
    let host = Host::new().await;
    taught(&host, Some("one"), 1).await;
    let (sync, _) = host.hold("hr", "suspicious", 2).await;
    assert_eq!(host.ledger.memory(&name("hr")).await.unwrap().as_deref(), Some("one"));
    let release = host.release("hr", sync, "suspicious").await;
    let commit = Commit { memory: Some("two".to_owned()), ..release };
    host.try_commit(&commit, 3).await.unwrap();
    let ledger = host.reopen().await.unwrap();
    assert_eq!(ledger.memory(&name("hr")).await.unwrap().as_deref(), Some("two"));
}

#[tokio::test]
async fn a_memory_that_somebody_changed_removed_or_made_up_is_noticed() {
    for sql in [
        "UPDATE memory SET memory = 'all is usual'",
        "DELETE FROM memory",
        "INSERT INTO memory SELECT 'calm', memory, evidence FROM memory",
    ] {
        let host = Host::new().await;
        taught(&host, Some("one"), 1).await;
        let sync = host.begin("calm", 2).await;
        host.try_commit(&host.step("calm", sync, 1).await, 2).await.unwrap();
        host.tamper(sql).await;
        let error = host.reopen().await.err().unwrap_or_else(|| panic!("{sql:?} was not noticed"));
        let OpenError::Evidence { source, .. } = &error else { panic!("{sql:?}: {error:?}") };
        let row = match source {
            ChainFault::Unvouched { row } | ChainFault::Contradicted { row, .. } => row,
            other => panic!("{sql:?}: {other:?}"),
        };
        assert!(row.starts_with("the memory of"), "{sql:?}: {row}");
        assert!(host.ledger.verify_chain().await.is_err(), "{sql:?}");
    }
}

#[tokio::test]
async fn an_older_memory_put_back_is_noticed() {
    let host = Host::new().await;
    taught(&host, Some("one"), 1).await;
    taught(&host, Some("two"), 2).await;
    host.tamper("UPDATE memory SET memory = 'one'").await;
    assert!(matches!(host.reopen().await, Err(OpenError::Evidence { .. })));
}

#[tokio::test]
async fn a_memory_without_bounds_is_refused_and_nothing_is_committed() {
    let host = Host::new().await;
    taught(&host, Some("one"), 1).await;
    let before = host.ledger.last_good(&name("hr")).await.unwrap();
    let sync = host.begin("hr", 2).await;
    let long = "x".repeat(MEMORY_BYTES_MAX + 1);
    let commit = Commit { memory: Some(long), ..host.step("hr", sync, 1).await };
    let error = host.try_commit(&commit, 2).await.unwrap_err();
    assert!(matches!(error, CommitError::Write(WriteError::MemoryTooLong { .. })), "{error:?}");
    assert_eq!(host.ledger.last_good(&name("hr")).await.unwrap(), before);
    assert_eq!(host.ledger.memory(&name("hr")).await.unwrap().as_deref(), Some("one"));
    let commit = Commit { memory: Some("x".repeat(MEMORY_BYTES_MAX)), ..commit };
    host.try_commit(&commit, 2).await.unwrap();
}

#[tokio::test]
async fn a_ledger_from_before_there_was_a_memory_opens_whole_and_starts_with_none() {
    let host = Host::new().await;
    host.commit("hr", 5, 1).await;
    host.hold("hr", "suspicious", 2).await;
    // What the version before wrote: the same without that table.
    let mut old = host.intruder_of(&host.path()).await;
    sqlx::raw_sql("DROP TABLE memory; PRAGMA user_version = 2").execute(&mut old).await.unwrap();
    sqlx::Connection::close(old).await.unwrap();

    let ledger = host.reopen().await.unwrap();
    assert_eq!(ledger.memory(&name("hr")).await.unwrap(), None);
    assert_eq!(ledger.quarantined(None).await.unwrap().len(), 1);
    drop(ledger);
    let mut renewed = host.intruder_of(&host.path()).await;
    let version: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut renewed).await.unwrap();
    assert_eq!(version, SCHEMA_VERSION);
    drop(renewed);
    let host = Host { ledger: host.reopen().await.unwrap(), ..host };
    taught(&host, Some("one"), 3).await;
    let ledger = host.reopen().await.unwrap();
    assert_eq!(ledger.memory(&name("hr")).await.unwrap().as_deref(), Some("one"));
    ledger
        .append_event("config.reloaded", None, "alice", serde_json::json!({}), at(9))
        .await
        .unwrap();
}
