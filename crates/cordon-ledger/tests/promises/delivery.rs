//! Every change has one number, in order, without gaps; a cursor never goes back.

use cordon_ledger::{AdvanceError, Delivery, OutboxWork, WorkKind};
use cordon_model::SyncNumber;

use crate::host::{Host, at, name};

async fn next(host: &Host, sink: &str) -> Option<OutboxWork> {
    host.ledger.outbox_next(sink, &name("hr")).await.unwrap()
}

async fn advance(host: &Host, sink: &str, seq: u64) -> u64 {
    host.ledger.advance(sink, &name("hr"), seq, at(100)).await.unwrap()
}

/// Forgets all but the last known good and what these sinks need.
async fn retain_for(host: &Host, sinks: &[&str]) {
    let deliveries: Vec<_> = sinks
        .iter()
        .map(|sink| Delivery { sink: (*sink).to_owned(), connector: name("hr") })
        .collect();
    host.ledger.retain(1, &deliveries, at(90)).await.unwrap();
}

#[tokio::test]
async fn changes_are_numbered_by_connector_from_one_without_gaps() {
    let host = Host::new().await;
    let mut numbers = Vec::new();
    for (minute, changes) in [(1, 5), (2, 0), (3, 1), (4, 20)] {
        let committed = host.commit("hr", changes, minute).await;
        numbers.push((committed.first_seq, committed.last_seq));
        host.commit("ldap", 3, minute).await;
    }
    assert_eq!(numbers, [(1, 5), (6, 5), (6, 6), (7, 26)]);
}

#[tokio::test]
async fn a_sink_gets_every_entry_in_order_and_then_nothing() {
    let host = Host::new().await;
    for (minute, changes) in [(1, 5), (2, 0), (3, 1), (4, 20)] {
        host.commit("hr", changes, minute).await;
    }
    let mut seen = Vec::new();
    while let Some(work) = next(&host, "siem").await {
        assert_eq!((work.kind, work.skip), (WorkKind::Changes, 0));
        seen.push((work.from.map(|sync| sync.0), work.to.0, work.first_seq, work.last_seq));
        advance(&host, "siem", work.last_seq).await;
    }
    assert_eq!(seen, [(None, 1, 1, 5), (Some(2), 3, 6, 6), (Some(3), 4, 7, 26)]);
}

#[tokio::test]
async fn an_entry_without_changes_is_never_work() {
    let host = Host::new().await;
    for (minute, changes) in [(1, 0), (2, 3), (3, 0), (4, 0)] {
        host.commit("hr", changes, minute).await;
    }
    let work = next(&host, "siem").await.unwrap();
    assert_eq!((work.from, work.to), (Some(SyncNumber(1)), SyncNumber(2)));
    assert_eq!((work.first_seq, work.last_seq), (1, 3));
    advance(&host, "siem", 3).await;
    assert_eq!(next(&host, "siem").await, None);
}

#[tokio::test]
async fn a_sink_resumes_in_the_middle_of_an_entry() {
    let host = Host::new().await;
    host.commit("hr", 5, 1).await;
    host.commit("hr", 10, 2).await;
    advance(&host, "siem", 8).await;
    let reopened = host.reopen().await.unwrap();
    let work = reopened.outbox_next("siem", &name("hr")).await.unwrap().unwrap();
    assert_eq!((work.first_seq, work.last_seq, work.skip, work.cursor), (6, 15, 3, 8));
}

#[tokio::test]
async fn a_cursor_never_goes_back_and_never_past_the_last_change() {
    let host = Host::new().await;
    host.commit("hr", 5, 1).await;
    assert_eq!(advance(&host, "siem", 4).await, 4);
    assert_eq!(advance(&host, "siem", 2).await, 4);
    assert_eq!(next(&host, "siem").await.unwrap().cursor, 4);
    let error = host.ledger.advance("siem", &name("hr"), 6, at(2)).await.unwrap_err();
    assert!(matches!(error, AdvanceError::Unwritten { seq: 6, last_seq: 5, .. }), "{error}");
    let error = host.ledger.advance("siem", &name("hr"), u64::MAX, at(2)).await.unwrap_err();
    assert!(matches!(error, AdvanceError::Unwritten { .. }), "{error}");
    assert_eq!(next(&host, "siem").await.unwrap().cursor, 4);
    let error = host.ledger.advance("siem", &name("unknown"), 1, at(2)).await.unwrap_err();
    assert!(matches!(error, AdvanceError::Unwritten { last_seq: 0, .. }), "{error}");
}

#[tokio::test]
async fn sinks_have_cursors_of_their_own() {
    let host = Host::new().await;
    host.commit("hr", 5, 1).await;
    advance(&host, "siem", 5).await;
    assert_eq!(next(&host, "siem").await, None);
    assert_eq!(next(&host, "scim").await.unwrap().cursor, 0);
}

#[tokio::test]
async fn a_completed_delivery_is_in_the_evidence_and_a_partial_one_is_not() {
    let host = Host::new().await;
    host.commit("hr", 5, 1).await;
    host.commit("hr", 2, 2).await;
    let before = host.ledger.evidence_head().await.unwrap();
    advance(&host, "siem", 3).await;
    assert_eq!(host.ledger.evidence_head().await.unwrap(), before);
    advance(&host, "siem", 7).await;
    let records = host.ledger.evidence(None, before, 10).await.unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0].kind.as_str(), records[0].body.as_str()),
        ("delivery.completed", r#"{"first_seq":1,"last_seq":7,"sink":"siem"}"#)
    );
}

#[tokio::test]
async fn the_lag_counts_changes_and_names_the_oldest() {
    let host = Host::new().await;
    host.commit("hr", 5, 1).await;
    host.commit("ldap", 7, 2).await;
    host.commit("hr", 3, 3).await;
    advance(&host, "siem", 6).await;
    let lag = host.ledger.sink_lag("siem", &[name("hr"), name("ldap")]).await.unwrap();
    assert_eq!((lag.behind, lag.oldest), (9, Some(at(2))));
    let lag = host.ledger.sink_lag("siem", &[name("hr")]).await.unwrap();
    assert_eq!((lag.behind, lag.oldest), (2, Some(at(3))));
    advance(&host, "siem", 8).await;
    let lag = host.ledger.sink_lag("siem", &[name("hr"), name("new")]).await.unwrap();
    assert_eq!((lag.behind, lag.oldest), (0, None));
}

#[tokio::test]
async fn a_new_sink_gets_everything_that_is_kept() {
    let host = Host::new().await;
    for minute in 1..=3 {
        host.commit("hr", 5, minute).await;
    }
    let work = next(&host, "new").await.unwrap();
    assert_eq!((work.kind, work.from, work.to), (WorkKind::Changes, None, SyncNumber(1)));
    assert_eq!((work.first_seq, work.last_seq), (1, 5));
}

#[tokio::test]
async fn a_sink_whose_changes_were_forgotten_gets_a_baseline_and_goes_on_from_it() {
    let host = Host::new().await;
    for minute in 1..=4 {
        host.commit("hr", 5, minute).await;
    }
    advance(&host, "siem", 12).await;
    retain_for(&host, &["siem"]).await;

    // Entry 3 (11..=15) lies between snapshots 2 and 3, so 2, 3 and 4 are kept.
    let work = next(&host, "new").await.unwrap();
    assert_eq!((work.kind, work.from, work.to), (WorkKind::Baseline, None, SyncNumber(2)));
    assert_eq!((work.first_seq, work.last_seq, work.skip, work.cursor), (1, 10, 0, 0));

    host.ledger.advance_baseline("new", &name("hr"), SyncNumber(2), 4_000).await.unwrap();
    host.ledger.advance_baseline("new", &name("hr"), SyncNumber(2), 3_000).await.unwrap();
    assert_eq!(next(&host, "new").await.unwrap().skip, 4_000);
    assert_eq!(next(&host, "new").await.unwrap().cursor, 0);

    advance(&host, "new", 10).await;
    let work = next(&host, "new").await.unwrap();
    assert_eq!(
        (work.kind, work.from, work.to),
        (WorkKind::Changes, Some(SyncNumber(2)), SyncNumber(3))
    );
    assert_eq!((work.first_seq, work.last_seq, work.skip), (11, 15, 0));
}

#[tokio::test]
async fn a_sink_that_lost_its_snapshots_half_way_gets_a_baseline() {
    let host = Host::new().await;
    for minute in 1..=3 {
        host.commit("hr", 5, minute).await;
    }
    advance(&host, "removed", 7).await;
    retain_for(&host, &[]).await;
    let work = next(&host, "removed").await.unwrap();
    assert_eq!((work.kind, work.to), (WorkKind::Baseline, SyncNumber(3)));
    assert_eq!((work.first_seq, work.last_seq, work.cursor), (8, 15, 7));
}

#[tokio::test]
async fn progress_on_a_baseline_that_was_replaced_does_not_count() {
    let host = Host::new().await;
    host.commit("hr", 5, 1).await;
    host.commit("hr", 5, 2).await;
    retain_for(&host, &[]).await;
    host.ledger.advance_baseline("new", &name("hr"), SyncNumber(2), 50).await.unwrap();
    host.commit("hr", 5, 3).await;
    retain_for(&host, &[]).await;
    let work = next(&host, "new").await.unwrap();
    assert_eq!((work.kind, work.to, work.skip), (WorkKind::Baseline, SyncNumber(3), 0));
}
