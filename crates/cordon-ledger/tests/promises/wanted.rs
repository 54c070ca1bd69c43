//! Stop is stop, and survives restarts.

use cordon_ledger::{Wanted, WriteError};

use crate::host::{Host, at, name};

fn paused() -> Wanted {
    Wanted::Paused {
        by: "alice".to_owned(),
        reason: "certificate swap".to_owned(),
        since: at(1),
        until: Some(at(60)),
    }
}

#[tokio::test]
async fn a_pause_survives_a_restart() {
    let host = Host::new().await;
    let hr = name("hr");
    host.ledger.set_wanted(&hr, paused(), "alice", "certificate swap", at(1)).await.unwrap();
    host.ledger.set_wanted(&name("ldap"), Wanted::Stopped, "bob", "moved", at(2)).await.unwrap();

    let wanted = host.reopen().await.unwrap().wanted().await.unwrap();
    assert_eq!(wanted.len(), 2);
    assert_eq!(wanted[&hr], paused());
    assert_eq!(wanted[&name("ldap")], Wanted::Stopped);
}

#[tokio::test]
async fn a_resume_ends_a_pause_and_both_are_in_the_evidence() {
    let host = Host::new().await;
    let hr = name("hr");
    host.ledger.set_wanted(&hr, paused(), "alice", "certificate swap", at(1)).await.unwrap();
    host.ledger.set_wanted(&hr, Wanted::Run, "bob", "swapped", at(2)).await.unwrap();
    let ledger = host.reopen().await.unwrap();
    assert_eq!(ledger.wanted().await.unwrap()[&hr], Wanted::Run);
    let said: Vec<_> = ledger
        .evidence(Some(&hr), Default::default(), 10)
        .await
        .unwrap()
        .into_iter()
        .map(|row| format!("{} {} {}", row.actor, row.kind, row.body))
        .collect();
    assert_eq!(
        said,
        [
            "alice wanted.set {\"reason\":\"certificate swap\",\"wanted\":{\"by\":\"alice\",\
             \"reason\":\"certificate swap\",\"since\":1767225660000000,\"state\":\"paused\",\
             \"until\":1767229200000000}}",
            "bob wanted.set {\"reason\":\"swapped\",\"wanted\":{\"state\":\"run\"}}",
        ]
    );
}

#[tokio::test]
async fn the_end_of_a_pause_brings_back_what_was_wanted_before_it() {
    let host = Host::new().await;
    for (before, connector) in [(Wanted::Stopped, "a"), (Wanted::Run, "b")] {
        let it = name(connector);
        host.ledger.set_wanted(&it, before.clone(), "alice", "moved", at(1)).await.unwrap();
        host.ledger.set_wanted(&it, paused(), "alice", "certificate swap", at(2)).await.unwrap();
        host.ledger.set_wanted(&it, paused(), "bob", "takes longer", at(3)).await.unwrap();
        let ledger = host.reopen().await.unwrap();
        let (wanted, seq) = ledger.end_pause(&it, "bob", "swapped", at(4)).await.unwrap();
        assert_eq!(wanted, before);
        assert_eq!(ledger.wanted().await.unwrap()[&it], before);
        let again = ledger.end_pause(&it, "bob", "swapped", at(5)).await.unwrap();
        assert_eq!(again, (before, seq), "without a pause nothing is written");
        host.reopen().await.unwrap();
    }
}

#[tokio::test]
async fn a_pause_without_a_reason_is_refused() {
    let host = Host::new().await;
    let refused = host.ledger.set_wanted(&name("hr"), paused(), "alice", "", at(1)).await;
    assert!(matches!(refused, Err(WriteError::NoReason { .. })));
    assert!(host.ledger.wanted().await.unwrap().is_empty());
}

#[tokio::test]
async fn times_come_back_as_they_were_kept_to_the_microsecond() {
    let host = Host::new().await;
    let since = "2026-01-01T00:00:00.123456789Z".parse().unwrap();
    let wanted =
        Wanted::Paused { by: "alice".to_owned(), reason: "why".to_owned(), since, until: None };
    host.ledger.set_wanted(&name("hr"), wanted, "alice", "why", since).await.unwrap();
    let wanted = host.reopen().await.unwrap().wanted().await.unwrap();
    let Wanted::Paused { since, until: None, .. } = &wanted[&name("hr")] else {
        panic!("{wanted:?}")
    };
    assert_eq!(since.to_string(), "2026-01-01T00:00:00.123456Z");
}
