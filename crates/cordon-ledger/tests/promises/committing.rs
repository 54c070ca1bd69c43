//! A commit is whole or was never there, and only against the last known good.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use cordon_ledger::{
    Acceptance, ChangeCounts, Commit, CommitError, FAULT_POINTS, FailedRun, Ledger, RunOutcome,
    Work, WriteError,
};
use cordon_model::SyncNumber;
use futures::FutureExt;
use serde_json::json;

use crate::host::{Host, at, by_policy, name};

/// The variable by which a test starts itself again as the process that is to die.
const DIE_AT: &str = "CORDON_LEDGER_TEST_DIE_AT";
const DIE_IN: &str = "CORDON_LEDGER_TEST_DIE_IN";

/// Everything that a commit writes, in words, so that two states can be compared.
async fn state(ledger: &Ledger) -> String {
    let hr = name("hr");
    let good = ledger.last_good(&hr).await.unwrap().map(|row| row.sync.0);
    let kept: Vec<_> =
        ledger.snapshots(&hr).await.unwrap().into_iter().map(|row| row.sync.0).collect();
    let runs: Vec<_> = ledger
        .runs(&hr, 10)
        .await
        .unwrap()
        .into_iter()
        .map(|row| format!("{} {}", row.sync, row.outcome))
        .collect();
    let work = ledger.outbox_next("siem", &hr).await.unwrap().map(|work| work.last_seq);
    let behind = ledger.sink_lag("siem", std::slice::from_ref(&hr)).await.unwrap().behind;
    let waiting: Vec<_> =
        ledger.quarantined(None).await.unwrap().into_iter().map(|row| row.sync.0).collect();
    let head = ledger.verify_chain().await.unwrap().head;
    format!(
        "good {good:?} kept {kept:?} runs {runs:?} next {work:?} behind {behind} \
         waiting {waiting:?} evidence {head}"
    )
}

/// A host with a snapshot, a candidate in quarantine, and a run under way.
async fn busy_host() -> (Host, SyncNumber) {
    let host = Host::new().await;
    host.commit("hr", 5, 1).await;
    host.hold("hr", "suspicious", 2).await;
    let sync = host.begin("hr", 3).await;
    (host, sync)
}

#[tokio::test]
async fn a_commit_makes_the_sync_the_last_known_good_with_all_that_follows() {
    let (host, sync) = busy_host().await;
    let committed = host.try_commit(&host.step("hr", sync, 7).await, 4).await.unwrap();

    assert_eq!((committed.first_seq, committed.last_seq), (6, 12));
    assert_eq!(committed.superseded, Some(SyncNumber(2)));
    let row = host.ledger.last_good(&name("hr")).await.unwrap().unwrap();
    assert_eq!((row.sync, row.committed_at, row.records), (sync, at(4), 100));
    assert_eq!(row.evidence, committed.evidence);
    assert_eq!(
        state(&host.ledger).await,
        "good Some(3) kept [3, 1] runs [\"3 committed\", \"2 superseded\", \"1 committed\"] \
         next Some(5) behind 12 waiting [] evidence 7"
    );
}

#[tokio::test]
async fn a_panic_anywhere_in_a_commit_leaves_the_ledger_before_or_after_it() {
    for point in FAULT_POINTS.iter().filter(|point| point.starts_with("ledger.commit.")) {
        let (host, sync) = busy_host().await;
        let commit = host.step("hr", sync, 7).await;
        let before = state(&host.ledger).await;

        let faulty = host.ledger.clone().with_faults(Arc::new(move |reached| {
            assert_ne!(reached, *point, "drill");
        }));
        let outcome = AssertUnwindSafe(faulty.commit(&commit, at(4))).catch_unwind().await;
        assert!(outcome.is_err(), "{point} was not reached");

        let after = state(&host.reopen().await.unwrap()).await;
        if *point == "ledger.commit.done" {
            assert!(after.starts_with("good Some(3) kept [3, 1]"), "{point}: {after}");
        } else {
            assert_eq!(after, before, "{point}");
            // The lock is free again, for this process too.
            host.try_commit(&commit, 5).await.unwrap();
        }
    }
}

/// Plays the supervisor in a process of its own and dies where the parent says. Without a parent it
/// has nothing to do.
#[tokio::test]
async fn the_process_that_dies() {
    let (Ok(point), Ok(path)) = (std::env::var(DIE_AT), std::env::var(DIE_IN)) else { return };
    let ledger = Ledger::open(Path::new(&path), at(0)).await.unwrap();
    let hr = name("hr");
    let run = ledger.runs(&hr, 1).await.unwrap().remove(0);
    let ledger = ledger.with_faults(Arc::new(move |reached| {
        if reached == point {
            std::process::abort();
        }
    }));
    let commit = Commit {
        connector: hr,
        sync: run.sync,
        digest: "digest".to_owned(),
        content_digest: "content".to_owned(),
        from: Some(SyncNumber(1)),
        taken_at: at(3),
        counts: ChangeCounts { added: 7, ..ChangeCounts::default() },
        delivered: 7,
        pending: None,
        records: 107,
        label_counts: Default::default(),
        removed_by_label: Default::default(),
        watermarks: Default::default(),
        memory: None,
        acceptance: by_policy(),
    };
    ledger.commit(&commit, at(4)).await.unwrap();
}

#[tokio::test]
async fn a_process_killed_anywhere_in_a_commit_leaves_the_ledger_before_or_after_it() {
    for point in FAULT_POINTS.iter().filter(|point| point.starts_with("ledger.commit.")) {
        let (host, _) = busy_host().await;
        let before = state(&host.ledger).await;
        let path = host.path();
        let Host { dir, ledger } = host;
        drop(ledger);

        let died = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "committing::the_process_that_dies"])
            .env(DIE_AT, point)
            .env(DIE_IN, &path)
            .output()
            .unwrap();
        assert_eq!(died.status.code(), None, "{point}: the process was not killed: {died:?}");

        let ledger = Ledger::open(&path, at(0)).await.unwrap();
        let after = state(&ledger).await;
        if *point == "ledger.commit.done" {
            assert!(after.starts_with("good Some(3) kept [3, 1]"), "{point}: {after}");
        } else {
            assert_eq!(after, before, "{point}");
        }
        drop(dir);
    }
}

#[tokio::test]
async fn a_commit_that_is_dropped_half_way_is_whole_or_never_was_and_holds_no_lock() {
    let (host, sync) = busy_host().await;
    let commit = host.step("hr", sync, 7).await;
    let other = host.reopen().await.unwrap();
    for polls in 1.. {
        let before = state(&other).await;
        let mut future = Box::pin(host.ledger.commit(&commit, at(4)));
        let mut finished = false;
        for _ in 0..polls {
            finished = futures::poll!(&mut future).is_ready();
            if finished {
                break;
            }
            tokio::time::sleep(Duration::from_micros(20)).await;
        }
        drop(future);
        // It waits for the lock that the dropped commit held.
        let probe = other.append_event("drill.probe", None, "test", json!({}), at(5));
        tokio::time::timeout(Duration::from_secs(30), probe).await.unwrap().unwrap();
        let after = state(&other).await;
        if finished || after.starts_with("good Some(3) kept [3, 1]") {
            assert!(after.starts_with("good Some(3) kept [3, 1]"), "{after}");
            break;
        }
        let without_probe = |text: &str| text.split(" evidence ").next().unwrap().to_owned();
        assert_eq!(without_probe(&after), without_probe(&before), "after {polls} polls");
    }
}

#[tokio::test]
async fn a_commit_against_an_older_snapshot_is_outrun_and_changes_nothing() {
    let host = Host::new().await;
    let slow = host.begin("hr", 1).await;
    let slow_step = host.step("hr", slow, 5).await;
    host.commit("hr", 3, 2).await;
    let before = state(&host.ledger).await;

    let error = host.try_commit(&slow_step, 3).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "sync 1 of hr was compared with nothing, but the last known good is snapshot 2"
    );
    assert!(matches!(error, CommitError::Outrun { from: None, current: Some(_), .. }));
    assert_eq!(state(&host.ledger).await, before);
}

#[tokio::test]
async fn a_sync_that_ended_is_not_committed() {
    let host = Host::new().await;
    let sync = host.begin("hr", 1).await;
    let failed = FailedRun { error: "killed".to_owned(), ..FailedRun::default() };
    host.ledger.fail_run(&name("hr"), sync, &failed, at(2)).await.unwrap();

    let error = host.try_commit(&host.step("hr", sync, 1).await, 3).await.unwrap_err();
    assert!(matches!(
        error,
        CommitError::Write(WriteError::Outcome { found: RunOutcome::Failed, .. })
    ));
    let unknown = host.step("hr", SyncNumber(9), 1).await;
    let error = host.try_commit(&unknown, 3).await.unwrap_err();
    assert!(matches!(error, CommitError::Write(WriteError::UnknownSync { .. })));
    assert_eq!(host.ledger.last_good(&name("hr")).await.unwrap(), None);
}

#[tokio::test]
async fn a_number_that_the_ledger_cannot_keep_is_refused_whole() {
    let host = Host::new().await;
    let sync = host.begin("hr", 1).await;
    let before = state(&host.ledger).await;
    let step = host.step("hr", sync, 1).await;
    for counts in [
        ChangeCounts { added: u64::MAX, modified: u64::MAX, removed: 1 },
        ChangeCounts { added: i64::MAX as u64 + 1, modified: 0, removed: 0 },
    ] {
        let commit = Commit { counts, delivered: counts.total(), ..step.clone() };
        let error = host.try_commit(&commit, 2).await.unwrap_err();
        assert!(matches!(error, CommitError::Write(WriteError::TooGreat { .. })), "{error}");
    }
    let commit = Commit { records: u64::MAX, ..step };
    assert!(host.try_commit(&commit, 2).await.is_err());
    assert_eq!(state(&host.ledger).await, before);
}

#[tokio::test]
async fn a_release_without_a_reason_is_refused() {
    let host = Host::new().await;
    let (sync, _) = host.hold("hr", "suspicious", 1).await;
    let release = Commit {
        acceptance: Acceptance::Release {
            by: "alice".to_owned(),
            reason: " ".to_owned(),
            asked_by: None,
        },
        ..host.release("hr", sync, "suspicious").await
    };
    let error = host.try_commit(&release, 2).await.unwrap_err();
    assert_eq!(error.to_string(), "a reason is needed, and \"alice\" gave none");
}

#[tokio::test]
async fn sync_numbers_are_never_given_twice_and_count_by_connector() {
    let host = Host::new().await;
    assert_eq!(host.begin("hr", 1).await, SyncNumber(1));
    assert_eq!(host.begin("ldap", 1).await, SyncNumber(1));
    assert_eq!(host.begin("hr", 2).await, SyncNumber(2));
    let ledger = host.reopen().await.unwrap();
    ledger.recover(at(3)).await.unwrap();
    assert_eq!(ledger.begin_run(&name("hr"), "schedule", at(4)).await.unwrap(), SyncNumber(3));
}

#[tokio::test]
async fn a_run_left_running_is_failed_at_recovery_and_only_that() {
    let host = Host::new().await;
    host.commit("hr", 1, 1).await;
    let sync = host.begin("hr", 2).await;
    let ledger = host.reopen().await.unwrap();

    let recovered = ledger.recover(at(5)).await.unwrap();
    assert_eq!(recovered.failed, [(name("hr"), sync)]);
    let run = ledger.run(&name("hr"), sync).await.unwrap().unwrap();
    assert_eq!(run.outcome, RunOutcome::Failed);
    assert_eq!(run.error.as_deref(), Some("the supervisor ended while it ran"));
    assert_eq!(run.ended_at, Some(at(5)));
    assert_eq!(ledger.last_good(&name("hr")).await.unwrap().unwrap().sync, SyncNumber(1));
    assert_eq!(ledger.recover(at(6)).await.unwrap().failed, []);
}

#[tokio::test]
async fn a_run_whose_end_could_not_be_written_is_ended_later_and_no_other_connectors_run() {
    let host = Host::new().await;
    let (left, other) = (host.begin("hr", 1).await, host.begin("ldap", 1).await);
    let recovered = host.ledger.recover_connector(&name("hr"), Work::Sync, at(2)).await.unwrap();
    assert_eq!(recovered.failed, [(name("hr"), left)]);
    let run = host.ledger.run(&name("hr"), left).await.unwrap().unwrap();
    let told = "its end could not be written down when it came";
    assert_eq!((run.outcome, run.error.as_deref()), (RunOutcome::Failed, Some(told)));
    let run = host.ledger.run(&name("ldap"), other).await.unwrap().unwrap();
    assert_eq!(run.outcome, RunOutcome::Running);
}

#[tokio::test]
async fn failures_in_a_row_end_with_the_first_sync_that_did_not_fail() {
    let host = Host::new().await;
    let hr = name("hr");
    let failed = FailedRun { error: "no route".to_owned(), ..FailedRun::default() };
    for minute in 1..=3 {
        let sync = host.begin("hr", minute).await;
        host.ledger.fail_run(&hr, sync, &failed, at(minute)).await.unwrap();
    }
    host.begin("hr", 4).await;
    assert_eq!(host.ledger.failures_in_a_row(&hr).await.unwrap(), 3);
    host.commit("hr", 1, 5).await;
    assert_eq!(host.ledger.failures_in_a_row(&hr).await.unwrap(), 0);
}

#[tokio::test]
async fn a_failure_is_recorded_however_long_its_text() {
    let host = Host::new().await;
    let sync = host.begin("hr", 1).await;
    let failed = FailedRun { error: "é".repeat(20_000_000), ..FailedRun::default() };
    host.ledger.fail_run(&name("hr"), sync, &failed, at(2)).await.unwrap();
    let error = host.ledger.run(&name("hr"), sync).await.unwrap().unwrap().error.unwrap();
    assert_eq!(error, "é".repeat(8 * 1024));
}
