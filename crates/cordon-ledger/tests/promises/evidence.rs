//! The evidence is only appended, and no change of it goes unseen.

use cordon_ledger::{
    ChainFault, EvidenceRow, EvidenceSeq, Extent, VerifyError, WriteError, canonical_json, encode,
    evidence_hash, first_prev_hash,
};
use cordon_model::ConnectorName;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Row};

use crate::host::{Host, at, name};

#[tokio::test]
async fn every_write_brings_its_record_and_the_chain_holds() {
    let host = Host::new().await;
    host.commit("hr", 5, 1).await;
    host.hold("hr", "suspicious", 2).await;
    host.hold("hr", "suspicious", 3).await;
    host.hold("hr", "worse", 4).await;
    host.ledger.advance("siem", &name("hr"), 5, at(5)).await.unwrap();
    host.ledger
        .append_event("config.reloaded", None, "alice", json!({"b": 1, "a": 2}), at(6))
        .await
        .unwrap();
    let sync = host.begin("hr", 7).await;
    host.ledger.reject_run(&name("hr"), sync, &Default::default(), at(8)).await.unwrap();
    host.begin("hr", 9).await;
    host.ledger.recover(at(10)).await.unwrap();
    host.commit("hr", 0, 11).await;
    host.ledger.retain(1, &[], at(12)).await.unwrap();

    let report = host.ledger.verify_chain().await.unwrap();
    assert_eq!((report.head, report.extent), (EvidenceSeq(18), Extent::Whole));
    let records = host.ledger.evidence(None, EvidenceSeq(0), 100).await.unwrap();
    let kinds: Vec<_> = records.iter().map(|record| record.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "ledger.created",
            "run.started",
            "snapshot.committed",
            "run.started",
            "run.quarantined",
            "run.started",
            "run.quarantined",
            "run.started",
            "run.quarantined",
            "delivery.completed",
            "config.reloaded",
            "run.started",
            "run.rejected",
            "run.started",
            "run.failed",
            "run.started",
            "snapshot.committed",
            "snapshots.forgotten",
        ]
    );
    assert_eq!(records[10].body, r#"{"a":2,"b":1}"#);
    assert_eq!(records[0].prev_hash, first_prev_hash());
    for pair in records.windows(2) {
        assert_eq!(pair[1].prev_hash, pair[0].hash);
        assert_eq!(pair[1].hash, evidence_hash(&pair[1]));
    }
    let of_hr = host.ledger.evidence(Some(&name("hr")), EvidenceSeq(3), 2).await.unwrap();
    assert_eq!(of_hr.iter().map(|record| record.seq.0).collect::<Vec<_>>(), [4, 5]);
    let latest = host.ledger.latest_evidence(Some(&name("hr")), 2).await.unwrap();
    assert_eq!(latest.iter().map(|record| record.seq.0).collect::<Vec<_>>(), [18, 17]);
    let latest = host.ledger.latest_evidence(None, 8).await.unwrap();
    assert_eq!(latest.last(), Some(&records[10]));
    assert_eq!(host.reopen().await.unwrap().opened(), report);
}

#[tokio::test]
async fn evidence_is_neither_changed_nor_deleted_nor_put_in_between() {
    let host = Host::new().await;
    host.commit("hr", 5, 1).await;
    let mut connection = host.intruder_of(&host.path()).await;
    for sql in [
        "UPDATE evidence SET actor = 'eve'",
        "DELETE FROM evidence WHERE seq = 2",
        "INSERT OR REPLACE INTO evidence SELECT 2, time, kind, connector, 'eve', body, prev_hash, hash FROM evidence WHERE seq = 2",
        "INSERT INTO evidence SELECT 9, time, kind, connector, 'eve', body, prev_hash, hash FROM evidence WHERE seq = 2",
    ] {
        let refused = sqlx::raw_sql(sql).execute(&mut connection).await;
        assert!(refused.is_err(), "{sql:?} was taken");
    }
    connection.close().await.unwrap();
    host.ledger.verify_chain().await.unwrap();
}

#[tokio::test]
async fn a_changed_byte_in_any_field_of_any_record_is_found_and_named() {
    let host = Host::new().await;
    host.commit("hr", 5, 1).await;
    host.ledger
        .append_event("drill.note", Some(&name("hr")), "alice", json!({"n": 1}), at(2))
        .await
        .unwrap();
    let head = host.ledger.evidence_head().await.unwrap().0;
    let mut connection = host.intruder().await;
    let mut changes = 0;
    for seq in 1..=head {
        for column in ["time", "kind", "connector", "actor", "body", "prev_hash", "hash"] {
            let read = format!(
                "SELECT CAST({column} AS BLOB), typeof({column}) FROM evidence WHERE seq = {seq}"
            );
            let row = sqlx::query(AssertSqlSafe(read)).fetch_one(&mut connection).await.unwrap();
            let (bytes, kind): (Option<Vec<u8>>, String) = (row.get(0), row.get(1));
            let bytes = bytes.unwrap_or_default();
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                set(&mut connection, seq, column, &kind, &changed).await;
                let fault = fault(&host).await;
                assert_eq!(seq_of(&fault), seq, "byte {at} of {column}: {fault}");
                changes += 1;
            }
            set(&mut connection, seq, column, &kind, &bytes).await;
        }
    }
    assert!(changes > 500, "only {changes} changes were tried");
    host.ledger.verify_chain().await.unwrap();
}

#[tokio::test]
async fn a_connector_put_in_or_taken_out_of_a_record_is_found() {
    let host = Host::new().await;
    host.commit("hr", 5, 1).await;
    host.tamper("UPDATE evidence SET connector = 'hr' WHERE seq = 1").await;
    assert_eq!(fault(&host).await, ChainFault::Changed { seq: EvidenceSeq(1) });
    host.tamper("UPDATE evidence SET connector = NULL WHERE seq = 1").await;
    host.tamper("UPDATE evidence SET connector = NULL WHERE seq = 2").await;
    assert_eq!(fault(&host).await, ChainFault::Changed { seq: EvidenceSeq(2) });
}

#[tokio::test]
async fn a_record_taken_out_or_replaced_is_found_and_named() {
    let faults = [
        ("DELETE FROM evidence WHERE seq = 1", ChainFault::Missing { seq: EvidenceSeq(1) }),
        ("DELETE FROM evidence WHERE seq = 3", ChainFault::Missing { seq: EvidenceSeq(3) }),
        ("DELETE FROM evidence WHERE seq >= 5", ChainFault::Missing { seq: EvidenceSeq(5) }),
        ("UPDATE evidence SET seq = 99 WHERE seq = 2", ChainFault::Missing { seq: EvidenceSeq(2) }),
        ("UPDATE chain_head SET hash = zeroblob(32)", ChainFault::Changed { seq: EvidenceSeq(6) }),
        ("UPDATE chain_head SET seq = 7", ChainFault::Missing { seq: EvidenceSeq(7) }),
        (
            "UPDATE evidence SET body = '{}', hash = zeroblob(32) WHERE seq = 4",
            ChainFault::Changed { seq: EvidenceSeq(4) },
        ),
        (
            "DELETE FROM evidence WHERE seq = 4;
             UPDATE evidence SET seq = seq - 1 WHERE seq > 4;
             UPDATE chain_head SET seq = 5",
            ChainFault::Unlinked { seq: EvidenceSeq(4) },
        ),
    ];
    for (sql, expected) in faults {
        let host = Host::new().await;
        for minute in 1..=5 {
            host.ledger
                .append_event("drill.note", None, "alice", json!({"n": minute}), at(minute))
                .await
                .unwrap();
        }
        host.tamper(sql).await;
        assert_eq!(fault(&host).await, expected, "{sql}");
        // The first check that fails says it; a missing row may be found before the walk begins.
        assert!(host.reopen().await.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn a_record_that_was_changed_and_hashed_anew_does_not_link() {
    let host = Host::new().await;
    for minute in 1..=3 {
        host.ledger
            .append_event("drill.note", None, "alice", json!({"n": minute}), at(minute))
            .await
            .unwrap();
    }
    let mut forged = host.ledger.evidence(None, EvidenceSeq(1), 1).await.unwrap().remove(0);
    forged.actor = "eve".to_owned();
    let hash: String = evidence_hash(&forged).iter().map(|byte| format!("{byte:02x}")).collect();
    host.tamper(&format!("UPDATE evidence SET actor = 'eve', hash = x'{hash}' WHERE seq = 2"))
        .await;
    assert_eq!(fault(&host).await, ChainFault::Unlinked { seq: EvidenceSeq(3) });
}

#[tokio::test]
async fn only_the_ledger_writes_its_own_kinds_of_records() {
    let host = Host::new().await;
    for kind in ["snapshot.committed", "wanted.set", "", "Config", "a b", &"x".repeat(65)] {
        let refused = host.ledger.append_event(kind, None, "eve", json!({}), at(1)).await;
        assert!(matches!(refused, Err(WriteError::EventKind { .. })), "{kind:?} was taken");
    }
    let body = json!("x".repeat(17 * 1024 * 1024));
    let refused = host.ledger.append_event("drill.note", None, "eve", body, at(1)).await;
    assert!(matches!(refused, Err(WriteError::TooLong { .. })));
    assert_eq!(host.ledger.evidence_head().await.unwrap(), EvidenceSeq(1));
}

#[test]
fn canonical_json_does_not_depend_on_the_order_of_keys() {
    let value = json!({"b": [1, {"z": null, "a": "\"\n"}], "a": {"ü": true, "u": -1.5}});
    assert_eq!(
        canonical_json(&value),
        r#"{"a":{"u":-1.5,"ü":true},"b":[1,{"a":"\"\n","z":null}]}"#
    );
}

async fn fault(host: &Host) -> ChainFault {
    match host.ledger.verify_chain().await {
        Err(VerifyError::Fault(fault)) => fault,
        other => panic!("{other:?} is no fault of the chain"),
    }
}

fn seq_of(fault: &ChainFault) -> u64 {
    match fault {
        ChainFault::Changed { seq }
        | ChainFault::Unlinked { seq }
        | ChainFault::Missing { seq }
        | ChainFault::Malformed { seq, .. }
        | ChainFault::Contradicted { seq, .. } => seq.0,
        ChainFault::Unvouched { .. } => 0,
    }
}

/// Writes bytes into a column as the type that they were read as.
async fn set(
    connection: &mut sqlx::SqliteConnection,
    seq: u64,
    column: &str,
    kind: &str,
    bytes: &[u8],
) {
    let cast = match kind {
        "integer" => "CAST(CAST(?1 AS TEXT) AS INTEGER)",
        "text" => "CAST(?1 AS TEXT)",
        "null" => "NULL",
        _ => "?1",
    };
    let sql = format!("UPDATE evidence SET {column} = {cast} WHERE seq = {seq}");
    sqlx::query(AssertSqlSafe(sql)).bind(bytes).execute(connection).await.unwrap();
}

/// Reads the bytes of a record by the table in the crate's documentation; none where they do not
/// follow it to the last byte.
fn decode(bytes: &[u8]) -> Option<EvidenceRow> {
    let rest = bytes.strip_prefix(b"cordon.evidence.v1\0")?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let (kind, rest) = text(rest)?;
    let (connector, rest) = match rest.split_first()? {
        (0, rest) => (None, rest),
        (1, rest) => text(rest).map(|(name, rest)| (Some(name), rest))?,
        _ => return None,
    };
    let (actor, rest) = text(rest)?;
    let (body, rest) = text(rest)?;
    Some(EvidenceRow {
        seq: EvidenceSeq(u64::from_be_bytes(*seq)),
        time: Timestamp::from_microsecond(i64::from_be_bytes(*time)).ok()?,
        kind,
        connector: connector.map(|name| ConnectorName::new(&name).unwrap()),
        actor,
        body,
        prev_hash: rest.try_into().ok()?,
        hash: [0; 32],
    })
}

fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (text, rest) = rest.split_at_checked(u64::from_be_bytes(*length) as usize)?;
    Some((String::from_utf8(text.to_vec()).ok()?, rest))
}

prop_compose! {
    /// Records over few letters, among them the bytes that the encoding itself uses, so that two of
    /// them often differ only in where a text ends.
    fn any_record()(
        seq in 0_u64..3,
        time in -2_i64..2,
        texts in proptest::array::uniform3("[\u{0}\u{1}a]{0,10}"),
        connector in proptest::option::of("[a1]{1,3}"),
        prev in 0_u8..2,
    ) -> EvidenceRow {
        let [kind, actor, body] = texts;
        EvidenceRow {
            seq: EvidenceSeq(seq),
            time: Timestamp::from_microsecond(time).unwrap(),
            kind,
            connector: connector.map(|name| ConnectorName::new(&name).unwrap()),
            actor,
            body,
            prev_hash: [prev; 32],
            hash: [0; 32],
        }
    }
}

proptest! {
    #[test]
    fn the_bytes_of_a_record_say_which_record_it_is(record in any_record()) {
        prop_assert_eq!(decode(&encode(&record)), Some(record));
    }

    #[test]
    fn two_different_records_never_have_the_same_bytes(one in any_record(), other in any_record()) {
        prop_assert_eq!(encode(&one) == encode(&other), one == other);
    }

    #[test]
    fn a_letter_moved_from_one_text_to_the_next_changes_the_bytes(
        record in any_record(),
        letters in "[\u{0}\u{1}a]{1,3}",
    ) {
        let (mut left, mut right) = (record.clone(), record);
        left.kind.push_str(&letters);
        right.actor.insert_str(0, &letters);
        prop_assert_ne!(encode(&left), encode(&right));
        let (mut left, mut right) = (left, right);
        left.body.clone_from(&right.actor);
        right.body.clone_from(&left.kind);
        prop_assert_eq!(encode(&left) == encode(&right), left == right);
    }
}
