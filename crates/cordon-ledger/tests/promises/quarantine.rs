//! One candidate of a connector waits; joins, supersedes, release and reject.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use cordon_ledger::{
    Commit, CommitError, DecisionKind, Entered, FAULT_POINTS, RunOutcome, WriteError,
};
use cordon_model::SyncNumber;
use futures::FutureExt;

use crate::host::{Host, at, finding, name};

async fn outcomes(host: &Host, connector: &str) -> Vec<(u64, RunOutcome)> {
    let runs = host.ledger.runs(&name(connector), 20).await.unwrap();
    runs.into_iter().map(|row| (row.sync.0, row.outcome)).collect()
}

#[tokio::test]
async fn a_candidate_that_repeats_the_one_that_waits_joins_it() {
    let host = Host::new().await;
    let (first, entered) = host.hold("hr", "suspicious", 1).await;
    assert_eq!(entered, Entered::New);
    let (second, entered) = host.hold("hr", "suspicious", 2).await;
    assert_eq!(entered, Entered::Joined(first));
    let (third, entered) = host.hold("hr", "suspicious", 3).await;
    assert_eq!(entered, Entered::Joined(first));

    let waiting = host.ledger.quarantined(None).await.unwrap();
    assert_eq!(waiting.len(), 1);
    let row = &waiting[0];
    assert_eq!((row.sync, row.repeats, row.last_sync, row.since), (first, 2, third, at(1)));
    assert_eq!((row.digest.as_str(), &row.findings), ("digest-1", &vec![finding()]));
    let joined = host.ledger.run(&name("hr"), second).await.unwrap().unwrap().joined;
    assert_eq!(joined, Some(first));
}

#[tokio::test]
async fn a_candidate_with_other_content_supersedes_the_one_that_waits() {
    let host = Host::new().await;
    let (first, _) = host.hold("hr", "suspicious", 1).await;
    host.hold("hr", "suspicious", 2).await;
    let (third, entered) = host.hold("hr", "worse", 3).await;
    assert_eq!(entered, Entered::Superseded(first));
    let waiting = host.ledger.quarantined(Some(&name("hr"))).await.unwrap();
    assert_eq!((waiting.len(), waiting[0].sync), (1, third));
    assert_eq!(
        outcomes(&host, "hr").await,
        [(3, RunOutcome::Quarantined), (2, RunOutcome::Superseded), (1, RunOutcome::Superseded)]
    );
}

#[tokio::test]
async fn a_candidate_compared_with_another_snapshot_does_not_join() {
    let host = Host::new().await;
    host.commit("hr", 1, 1).await;
    let (first, _) = host.hold("hr", "suspicious", 2).await;
    let sync = host.begin("hr", 3).await;
    let mut run = host.held("hr", sync, "suspicious").await;
    run.against = None;
    let (_, entered) = host.ledger.quarantine_run(&run, at(3)).await.unwrap();
    assert_eq!(entered, Entered::Superseded(first));
}

#[tokio::test]
async fn the_quarantine_of_one_connector_leaves_another_alone() {
    let host = Host::new().await;
    host.hold("hr", "suspicious", 1).await;
    let (_, entered) = host.hold("ldap", "suspicious", 2).await;
    assert_eq!(entered, Entered::New);
    host.commit("ldap", 1, 3).await;
    let waiting = host.ledger.quarantined(None).await.unwrap();
    assert_eq!((waiting.len(), waiting[0].connector.as_str()), (1, "hr"));
}

#[tokio::test]
async fn a_release_commits_exactly_the_digest_that_waits() {
    let host = Host::new().await;
    let (sync, _) = host.hold("hr", "suspicious", 1).await;
    host.hold("hr", "suspicious", 2).await;
    let release = host.release("hr", sync, "suspicious").await;

    for wrong in [
        Commit { digest: "digest-2".to_owned(), ..release.clone() },
        Commit { content_digest: "other".to_owned(), ..release.clone() },
    ] {
        let error = host.try_commit(&wrong, 3).await.unwrap_err();
        assert!(matches!(error, CommitError::Digest { .. }), "{error}");
        assert_eq!(host.ledger.last_good(&name("hr")).await.unwrap(), None);
    }

    host.try_commit(&release, 4).await.unwrap();
    assert_eq!(host.ledger.last_good(&name("hr")).await.unwrap().unwrap().sync, sync);
    assert_eq!(host.ledger.quarantined(None).await.unwrap(), []);
    assert_eq!(
        outcomes(&host, "hr").await,
        [(2, RunOutcome::Superseded), (1, RunOutcome::Released)]
    );
    let run = host.ledger.run(&name("hr"), sync).await.unwrap().unwrap();
    assert_eq!((run.findings, run.measured.records), (vec![finding()], 100));
    let decision = host.ledger.decision(&name("hr"), sync).await.unwrap().unwrap();
    assert_eq!((decision.kind, decision.by.as_str()), (DecisionKind::Release, "alice"));
    assert_eq!((decision.digest.as_str(), decision.at), ("digest-1", at(4)));
    let evidence = host.ledger.evidence(Some(&name("hr")), Default::default(), 100).await.unwrap();
    let last = evidence.last().unwrap();
    assert_eq!((last.kind.as_str(), last.actor.as_str()), ("snapshot.committed", "alice"));
    assert!(last.body.contains("the source was emptied on purpose"), "{}", last.body);
    host.ledger.verify_chain().await.unwrap();
}

#[tokio::test]
async fn what_does_not_wait_is_neither_released_nor_rejected() {
    let host = Host::new().await;
    let (first, _) = host.hold("hr", "suspicious", 1).await;
    let (second, _) = host.hold("hr", "worse", 2).await;
    let release = host.release("hr", first, "suspicious").await;
    let error = host.try_commit(&release, 3).await.unwrap_err();
    assert_eq!(error.to_string(), "sync 1 of hr does not wait in quarantine, sync 2 does");
    let rejected =
        host.ledger.reject_quarantined(&name("hr"), first, "bob", "outdated", at(3)).await;
    assert!(matches!(rejected, Err(WriteError::NotWaiting { .. })));
    assert_eq!(host.ledger.quarantined(None).await.unwrap()[0].sync, second);
}

#[tokio::test]
async fn a_release_of_a_candidate_whose_last_known_good_moved_is_outrun() {
    let host = Host::new().await;
    host.commit("hr", 1, 1).await;
    let (sync, _) = host.hold("hr", "suspicious", 2).await;
    let release = Commit { from: None, ..host.release("hr", sync, "suspicious").await };
    let error = host.try_commit(&release, 3).await.unwrap_err();
    assert!(matches!(error, CommitError::Outrun { .. }));
    assert_eq!(host.ledger.quarantined(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_reject_ends_the_wait_and_leaves_the_last_known_good() {
    let host = Host::new().await;
    host.commit("hr", 1, 1).await;
    let (sync, _) = host.hold("hr", "suspicious", 2).await;
    host.hold("hr", "suspicious", 3).await;
    let hr = name("hr");
    let refused = host.ledger.reject_quarantined(&hr, sync, "bob", "  ", at(4)).await;
    assert!(matches!(refused, Err(WriteError::NoReason { .. })));
    host.ledger.reject_quarantined(&hr, sync, "bob", "truncated export", at(4)).await.unwrap();

    let decision = host.ledger.decision(&hr, sync).await.unwrap().unwrap();
    assert_eq!(
        (decision.kind, decision.by.as_str(), decision.reason.as_str()),
        (DecisionKind::Reject, "bob", "truncated export")
    );
    assert_eq!(host.ledger.quarantined(None).await.unwrap(), []);
    assert_eq!(host.ledger.last_good(&hr).await.unwrap().unwrap().sync, SyncNumber(1));
    assert_eq!(
        outcomes(&host, "hr").await,
        [(3, RunOutcome::Rejected), (2, RunOutcome::Rejected), (1, RunOutcome::Committed)]
    );
    // The same content again is a new wait: the decision was on that candidate, not on the source.
    assert_eq!(host.hold("hr", "suspicious", 5).await.1, Entered::New);
}

#[tokio::test]
async fn a_panic_anywhere_in_a_quarantine_leaves_the_ledger_before_or_after_it() {
    for point in FAULT_POINTS.iter().filter(|point| point.starts_with("ledger.quarantine.")) {
        let host = Host::new().await;
        let (first, _) = host.hold("hr", "suspicious", 1).await;
        let sync = host.begin("hr", 2).await;
        let run = host.held("hr", sync, "worse").await;
        let faulty = host.ledger.clone().with_faults(Arc::new(move |reached| {
            assert_ne!(reached, *point, "drill");
        }));
        let outcome = AssertUnwindSafe(faulty.quarantine_run(&run, at(3))).catch_unwind().await;
        assert!(outcome.is_err(), "{point} was not reached");

        let ledger = host.reopen().await.unwrap();
        let waits = ledger.quarantined(None).await.unwrap().remove(0).sync;
        let done = *point == "ledger.quarantine.done";
        assert_eq!(waits, if done { sync } else { first }, "{point}");
        assert_eq!(ledger.recover(at(4)).await.unwrap().failed.is_empty(), done, "{point}");
    }
}
