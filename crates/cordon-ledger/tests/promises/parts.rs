//! A part of what waits becomes a snapshot, and the rest goes on waiting; a first person's word waits
//! for a second.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use cordon_ledger::{
    Acceptance, ChainFault, ChangeCounts, Commit, CommitError, DecisionKind, Entered, FAULT_POINTS,
    Ledger, LeftBy, OpenError, Part, QuarantinedRow, Remaining, RequestRow, RunOutcome, Work,
    WriteError,
};
use cordon_model::SyncNumber;
use futures::FutureExt;
use sqlx::Connection;

use crate::host::{Host, at, finding, measured, name};

const TWO: ChangeCounts = ChangeCounts { added: 2, modified: 0, removed: 0 };
const LEFT: ChangeCounts = ChangeCounts { added: 0, modified: 0, removed: 38 };

fn remaining(left_by: LeftBy) -> Remaining {
    Remaining {
        digest: "digest-left".to_owned(),
        verdict_json: r#"{"outcome":"quarantined","left":true}"#.to_owned(),
        findings: vec![finding()],
        counts: LEFT,
        left_by,
    }
}

/// What waits after a first snapshot, and a part of it in a run of its own.
async fn part(host: &Host, by: Option<&str>, remaining: Option<Remaining>) -> Commit {
    let waiting = waiting(&host.ledger).await;
    let sync = host.ledger.begin_run(&name("hr"), "release", at(5)).await.unwrap();
    let part = Part {
        by: by.map(str::to_owned),
        asked_by: None,
        reason: "INC-4411".to_owned(),
        of: waiting.sync,
        of_digest: waiting.digest,
        selection: "added, modified".to_owned(),
        verdict_json: r#"{"outcome":"accepted"}"#.to_owned(),
        findings: Vec::new(),
        measured: measured(),
        remaining,
    };
    Commit {
        counts: TWO,
        acceptance: Acceptance::Part(Box::new(part)),
        ..host.step("hr", sync, 2).await
    }
}

async fn waiting(ledger: &Ledger) -> QuarantinedRow {
    ledger.quarantined(Some(&name("hr"))).await.unwrap().remove(0)
}

/// Snapshot 1, and sync 2 in quarantine.
async fn held() -> Host {
    let host = Host::new().await;
    host.commit("hr", 1, 1).await;
    host.hold("hr", "suspicious", 2).await;
    host
}

async fn outcome(ledger: &Ledger, sync: u64) -> RunOutcome {
    ledger.run(&name("hr"), SyncNumber(sync)).await.unwrap().unwrap().outcome
}

#[tokio::test]
async fn a_part_is_the_last_known_good_and_what_is_left_waits_under_its_number() {
    let host = held().await;
    let commit = part(&host, Some("ann"), Some(remaining(LeftBy::Person))).await;
    let done = host.try_commit(&commit, 6).await.unwrap();
    assert_eq!((done.first_seq, done.last_seq, done.superseded), (2, 3, None));
    let last_good = host.ledger.last_good(&name("hr")).await.unwrap().unwrap();
    assert_eq!(last_good.sync, SyncNumber(3));
    let row = waiting(&host.ledger).await;
    assert_eq!((row.sync, row.against), (SyncNumber(2), Some(SyncNumber(3))));
    assert_eq!((row.digest.as_str(), row.counts), ("digest-left", LEFT));
    assert_eq!(row.content_digest, "suspicious");
    assert_eq!(row.since, at(2), "it waits for as long as before");
    let rest = row.rest.unwrap();
    assert_eq!((rest.left_by, rest.released), (LeftBy::Person, TWO));
    assert_eq!(outcome(&host.ledger, 2).await, RunOutcome::Quarantined);
    assert_eq!(outcome(&host.ledger, 3).await, RunOutcome::Released);
    assert_eq!(host.ledger.decision(&name("hr"), SyncNumber(2)).await.unwrap(), None);
    let ledger = host.reopen().await.unwrap();
    assert_eq!(waiting(&ledger).await, row);
}

#[tokio::test]
async fn what_policy_lets_flow_is_committed_by_policy() {
    let host = held().await;
    let commit = part(&host, None, Some(remaining(LeftBy::Policy))).await;
    let done = host.try_commit(&commit, 6).await.unwrap();
    assert_eq!(outcome(&host.ledger, 3).await, RunOutcome::Committed);
    let records = host.ledger.evidence(None, cordon_ledger::EvidenceSeq(0), 100).await.unwrap();
    let record = records.iter().find(|record| record.seq == done.evidence).unwrap();
    assert_eq!(record.actor, "policy");
    let told =
        r#""part":{"digest":"digest-2","of":2,"remains":true,"selection":"added, modified"}"#;
    assert!(record.body.contains(told), "{}", record.body);
    host.reopen().await.unwrap();
}

#[tokio::test]
async fn the_same_content_joins_what_is_left_and_other_content_supersedes_it() {
    let host = held().await;
    let commit = part(&host, Some("ann"), Some(remaining(LeftBy::Person))).await;
    host.try_commit(&commit, 6).await.unwrap();
    assert_eq!(host.hold("hr", "suspicious", 7).await.1, Entered::Joined(SyncNumber(2)));
    let row = waiting(&host.ledger).await;
    assert_eq!((row.repeats, row.last_sync), (1, SyncNumber(4)));
    let host = Host { ledger: host.reopen().await.unwrap(), ..host };
    let sync = host.begin("hr", 8).await;
    let mut run = host.held("hr", sync, "other").await;
    run.left_by = Some(LeftBy::Person);
    let (_, entered) = host.ledger.quarantine_run(&run, at(8)).await.unwrap();
    assert_eq!(entered, Entered::Superseded(SyncNumber(2)));
    let row = waiting(&host.ledger).await;
    assert_eq!(row.rest.unwrap().released, ChangeCounts::default());
    host.reopen().await.unwrap();
}

#[tokio::test]
async fn the_last_part_ends_the_wait_as_a_release() {
    let host = held().await;
    let commit = part(&host, Some("ann"), Some(remaining(LeftBy::Person))).await;
    host.try_commit(&commit, 6).await.unwrap();
    let mut commit = part(&host, Some("bob"), None).await;
    commit.counts = LEFT;
    host.try_commit(&commit, 7).await.unwrap();
    assert_eq!(host.ledger.quarantined(None).await.unwrap(), []);
    assert_eq!(outcome(&host.ledger, 2).await, RunOutcome::Released);
    let decision = host.ledger.decision(&name("hr"), SyncNumber(2)).await.unwrap().unwrap();
    assert_eq!((decision.kind, decision.by.as_str()), (DecisionKind::Release, "bob"));
    host.reopen().await.unwrap();
}

#[tokio::test]
async fn a_part_of_what_waits_no_more_is_refused_and_changes_nothing() {
    let host = held().await;
    let commit = part(&host, Some("ann"), Some(remaining(LeftBy::Person))).await;
    let mut other = commit.clone();
    let Acceptance::Part(part) = &mut other.acceptance else { panic!() };
    part.of_digest = "digest-9".to_owned();
    let error = host.try_commit(&other, 6).await.unwrap_err();
    assert!(matches!(error, CommitError::Digest { .. }), "{error}");
    host.hold("hr", "worse", 6).await;
    let error = host.try_commit(&commit, 7).await.unwrap_err();
    assert!(matches!(error, CommitError::Write(WriteError::NotWaiting { .. })), "{error}");
    assert_eq!(host.ledger.last_good(&name("hr")).await.unwrap().unwrap().sync, SyncNumber(1));
    assert_eq!(outcome(&host.ledger, 3).await, RunOutcome::Running);
}

#[tokio::test]
async fn a_release_needs_a_reason_whatever_of_it_is_released() {
    let host = held().await;
    let mut commit = part(&host, Some("ann"), None).await;
    let Acceptance::Part(part) = &mut commit.acceptance else { panic!() };
    part.reason = " ".to_owned();
    let error = host.try_commit(&commit, 6).await.unwrap_err();
    assert!(matches!(error, CommitError::Write(WriteError::NoReason { .. })), "{error}");
}

#[tokio::test]
async fn a_panic_anywhere_in_the_commit_of_a_part_leaves_the_ledger_before_or_after_it() {
    for point in FAULT_POINTS.iter().filter(|point| point.starts_with("ledger.commit.")) {
        let host = held().await;
        let commit = part(&host, Some("ann"), Some(remaining(LeftBy::Person))).await;
        let faulty = host.ledger.clone().with_faults(Arc::new(move |reached| {
            assert_ne!(reached, *point, "drill");
        }));
        let outcome = AssertUnwindSafe(faulty.commit(&commit, at(6))).catch_unwind().await;
        assert!(outcome.is_err(), "{point} was not reached");
        let ledger = host.reopen().await.unwrap();
        let done = *point == "ledger.commit.done";
        let row = waiting(&ledger).await;
        assert_eq!((row.rest.is_some(), row.digest == "digest-left"), (done, done), "{point}");
        let current = ledger.last_good(&name("hr")).await.unwrap().unwrap().sync;
        assert_eq!(current, SyncNumber(if done { 3 } else { 1 }), "{point}");
    }
}

#[tokio::test]
async fn a_sync_that_begins_does_not_end_the_publication_of_a_part() {
    let host = held().await;
    let commit = part(&host, Some("ann"), None).await;
    let sync = host.begin("hr", 6).await;
    let hr = name("hr");
    let ended = host.ledger.recover_connector(&hr, Work::Sync, at(7)).await.unwrap().failed;
    assert_eq!(ended, [(hr.clone(), sync)]);
    assert_eq!(outcome(&host.ledger, 3).await, RunOutcome::Running);
    let ended = host.ledger.recover_connector(&hr, Work::Release, at(7)).await.unwrap().failed;
    assert_eq!(ended, [(hr.clone(), commit.sync)]);
    let syncs = host.ledger.syncs(&hr, 10).await.unwrap();
    assert_eq!(syncs.iter().map(|run| run.sync.0).collect::<Vec<_>>(), [4, 2, 1]);
}

fn request(digest: &str) -> RequestRow {
    RequestRow {
        connector: name("hr"),
        sync: SyncNumber(2),
        digest: digest.to_owned(),
        selection_json: "{}".to_owned(),
        by: "ann (uid 1000)".to_owned(),
        uid: 1_000,
        reason: "INC-4411".to_owned(),
        at: at(3),
        expires_at: at(483),
        evidence: Default::default(),
    }
}

async fn requests(host: &Host) -> Vec<RequestRow> {
    host.ledger.release_requests(None).await.unwrap()
}

#[tokio::test]
async fn a_request_is_bound_to_what_waits_and_the_newest_counts() {
    let host = held().await;
    let refused = host.ledger.request_release(&request("digest-9"), at(3)).await;
    assert!(matches!(refused, Err(WriteError::NotWaiting { .. })));
    let evidence = host.ledger.request_release(&request("digest-2"), at(3)).await.unwrap();
    assert_eq!(requests(&host).await, [RequestRow { evidence, ..request("digest-2") }]);
    let other = RequestRow { uid: 1_001, by: "bob (uid 1001)".to_owned(), ..request("digest-2") };
    host.ledger.request_release(&other, at(4)).await.unwrap();
    let found = requests(&host).await;
    assert_eq!((found.len(), found[0].uid, found[0].at), (1, 1_001, at(4)));
    host.reopen().await.unwrap();
}

#[tokio::test]
async fn a_request_that_nobody_confirmed_in_time_lapses_with_a_record() {
    let host = held().await;
    let evidence = host.ledger.request_release(&request("digest-2"), at(3)).await.unwrap();
    assert_eq!(host.ledger.lapse_requests(at(482)).await.unwrap(), []);
    assert_eq!(requests(&host).await.len(), 1, "it has another minute");
    assert_eq!(host.ledger.lapse_requests(at(483)).await.unwrap(), [name("hr")]);
    assert_eq!(requests(&host).await, []);
    let records =
        host.ledger.latest_of_kinds(&name("hr"), ["release.lapsed", "-"], 9).await.unwrap();
    assert_eq!(records.len(), 1);
    let body: serde_json::Value = serde_json::from_str(&records[0].body).unwrap();
    assert_eq!((&body["requested"], &body["by"]), (&evidence.0.into(), &"ann (uid 1000)".into()));
    assert_eq!(host.ledger.lapse_requests(at(484)).await.unwrap(), [], "once");
    host.reopen().await.unwrap();
}

#[tokio::test]
async fn a_request_lapses_with_what_it_asks_for() {
    for end in ["superseded", "rejected", "parted", "accepted"] {
        let host = held().await;
        host.ledger.request_release(&request("digest-2"), at(3)).await.unwrap();
        let hr = name("hr");
        match end {
            "superseded" => drop(host.hold("hr", "worse", 4).await),
            "rejected" => {
                host.ledger
                    .reject_quarantined(&hr, SyncNumber(2), "bob", "cut", at(4))
                    .await
                    .unwrap();
            }
            "parted" => {
                let commit = part(&host, Some("bob"), Some(remaining(LeftBy::Person))).await;
                host.try_commit(&commit, 6).await.unwrap();
            }
            _ => drop(host.commit("hr", 1, 4).await),
        }
        assert_eq!(requests(&host).await, [], "{end}");
        host.reopen().await.unwrap();
    }
    let host = held().await;
    host.ledger.request_release(&request("digest-2"), at(3)).await.unwrap();
    host.hold("hr", "suspicious", 4).await;
    assert_eq!(requests(&host).await.len(), 1, "one that joins changes nothing");
}

#[tokio::test]
async fn a_request_or_a_rest_that_nobody_wrote_is_refused() {
    let forged: [&str; 5] = [
        "UPDATE requests SET uid = 1001",
        "UPDATE requests SET by = 'carol (uid 1000)'",
        "UPDATE requests SET selection = '{\"ops\":[\"removed\"]}'",
        "UPDATE requests SET expires_at = expires_at + 1",
        "INSERT INTO rests VALUES ('hr', 2, 'policy', '{\"added\":0,\"modified\":0,\"removed\":0}')",
    ];
    for sql in forged {
        let host = held().await;
        host.ledger.request_release(&request("digest-2"), at(3)).await.unwrap();
        host.tamper(sql).await;
        let error = host.reopen().await.unwrap_err();
        let found = matches!(
            &error,
            OpenError::Evidence {
                source: ChainFault::Contradicted { .. } | ChainFault::Unvouched { .. },
                ..
            }
        );
        assert!(found, "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn a_ledger_of_the_first_layout_is_brought_to_the_newest_with_all_that_it_holds() {
    let host = held().await;
    let before = waiting(&host.ledger).await;
    for against in [9, 1] {
        let mut connection = host.intruder_of(&host.path()).await;
        let sql = format!(
            "DROP TABLE IF EXISTS requests; DROP TABLE IF EXISTS rests;
             DROP TABLE IF EXISTS memory; PRAGMA user_version = 1;
             UPDATE quarantine SET against = {against}; PRAGMA wal_checkpoint(TRUNCATE)"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        if against == 9 {
            let refused = host.reopen().await.unwrap_err();
            assert!(matches!(refused, OpenError::Evidence { .. }), "{refused:?}");
        }
    }
    let ledger = host.reopen().await.unwrap();
    assert_eq!(waiting(&ledger).await, before);
    ledger.request_release(&request("digest-2"), at(3)).await.unwrap();
    let ledger = host.reopen().await.unwrap();
    assert_eq!(ledger.release_requests(None).await.unwrap().len(), 1);
}
