//! What the scripted daemon says: a host with one quarantined and one trusted connector.

use cordon_wire::v1;
use cordon_wire::v1::{diff_part, sync_event};

use super::daemon::Script;

pub(crate) const DIGEST: &str = "91fe04c2aabbccdd00112233445566778899aabbccddeeff0011223344556677";
const NOON: i64 = 1_772_452_800_000_000;

pub(crate) fn script() -> Script {
    Script {
        status: v1::StatusResponse {
            host: Some(v1::Host {
                version: "0.1.0".into(),
                hostname: "idm-01".into(),
                started_at: NOON - 3_600_000_000,
                now: NOON,
                ..Default::default()
            }),
            connectors: vec![quarantined(), trusted()],
            sinks: vec![v1::SinkStatus {
                name: "file".into(),
                state: "live".into(),
                ..Default::default()
            }],
        },
        detail: v1::ConnectorDetail { status: Some(quarantined()), ..Default::default() },
        sync: vec![progress("reading"), ended("committed")],
        order: v1::OrderResponse {
            evidence: 48_219,
            message: "it is done".into(),
            status: Some(trusted()),
        },
        runs: vec![run("committed")],
        logs: vec![v1::LogLine {
            time: NOON,
            connector: "hr-csv".into(),
            pid: 7,
            line: "hello \u{1b}[2Jworld".into(),
        }],
        diff: diff(3),
        quarantine: vec![waiting()],
        events: vec![v1::Event {
            seq: 1,
            time: NOON,
            kind: "sync-committed".into(),
            ..Default::default()
        }],
        doctor: vec![v1::DoctorItem {
            name: "kernel".into(),
            state: "ok".into(),
            ..Default::default()
        }],
        reload: v1::ReloadResponse {
            changed: vec!["hr-csv".into()],
            evidence: 9,
            ..Default::default()
        },
        ..Default::default()
    }
}

pub(crate) fn trusted() -> v1::ConnectorStatus {
    v1::ConnectorStatus {
        name: "hr-csv".into(),
        trust: "trusted".into(),
        runtime: "idle".into(),
        last_good_at: NOON - 60_000_000,
        last_good_sync: 12,
        records: 8_412,
        ..Default::default()
    }
}

fn quarantined() -> v1::ConnectorStatus {
    v1::ConnectorStatus {
        name: "ldap-corp".into(),
        trust: "quarantined".into(),
        runtime: "idle".into(),
        trust_reasons: vec!["RemovedOverLimit".into()],
        quarantined_sync: 418,
        quarantined_digest: DIGEST.into(),
        ..Default::default()
    }
}

fn finding() -> v1::Finding {
    v1::Finding {
        code: "CRD-D101".into(),
        severity: "quarantine".into(),
        subject: "user".into(),
        message: "removed 7,019 of 18,204".into(),
        ..Default::default()
    }
}

pub(crate) fn waiting() -> v1::QuarantinedSync {
    v1::QuarantinedSync {
        connector: "ldap-corp".into(),
        sync: 418,
        digest: DIGEST.into(),
        against: 417,
        since: NOON,
        findings: vec![finding()],
        changes: Some(v1::ChangeCounts { added: 12, removed: 7_019, modified: 40 }),
        repeats: 0,
        ..Default::default()
    }
}

pub(crate) fn run(outcome: &str) -> v1::Run {
    v1::Run {
        connector: "hr-csv".into(),
        sync: 13,
        outcome: outcome.into(),
        started_at: NOON,
        ended_at: NOON + 2_000_000,
        records: 8_412,
        error: if outcome == "failed" { "killed: out of memory".into() } else { String::new() },
        ..Default::default()
    }
}

pub(crate) fn ended(outcome: &str) -> v1::SyncEvent {
    v1::SyncEvent { event: Some(sync_event::Event::Run(run(outcome))) }
}

pub(crate) fn progress(phase: &str) -> v1::SyncEvent {
    let progress =
        v1::SyncProgress { sync: 13, phase: phase.into(), records: 5, ..Default::default() };
    v1::SyncEvent { event: Some(sync_event::Event::Progress(progress)) }
}

/// A quarantined diff of so many removals.
pub(crate) fn diff(changes: u64) -> Vec<v1::DiffPart> {
    let header = v1::DiffHeader {
        connector: "ldap-corp".into(),
        sync: 418,
        against: 417,
        digest: DIGEST.into(),
        outcome: "quarantined".into(),
        findings: vec![finding()],
        types: Vec::new(),
        total: Some(v1::ChangeCounts { removed: changes, ..Default::default() }),
        ..Default::default()
    };
    let change = |number| v1::RecordChange {
        op: "removed".into(),
        record_type: "resource.user".into(),
        key: format!("u{number}"),
        before: r#"{"ou":"EMEA"}"#.into(),
        after: String::new(),
        pending_since: 0,
    };
    let header = v1::DiffPart { part: Some(diff_part::Part::Header(header)) };
    let changes = (0..changes)
        .map(|number| v1::DiffPart { part: Some(diff_part::Part::Change(change(number))) });
    std::iter::once(header).chain(changes).collect()
}
