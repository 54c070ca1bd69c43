//! Answers of a daemon on an interesting day, for the tests of rendering.

use cordon_wire::v1;

use crate::output::scene::Scene;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

pub(super) const DIGEST: &str = "91fe04c2aabbccdd00112233445566778899aabbccddeeff0011223344556677";

/// Now, less some microseconds.
pub(super) fn ago(micros: i64) -> i64 {
    Scene::fixed().now - micros
}

pub(super) fn counts(added: u64, removed: u64, modified: u64) -> Option<v1::ChangeCounts> {
    Some(v1::ChangeCounts { added, removed, modified })
}

pub(super) fn host() -> v1::Host {
    v1::Host {
        version: "0.1.0".into(),
        hostname: "idm-01".into(),
        started_at: ago(12 * DAY + 4 * HOUR),
        config_loaded_at: ago(3 * DAY + HOUR),
        config_path: "/etc/cordon/cordon.toml".into(),
        state_dir: "/var/lib/cordon".into(),
        now: ago(0),
    }
}

pub(super) fn quarantined() -> v1::ConnectorStatus {
    v1::ConnectorStatus {
        name: "ldap-corp".into(),
        trust: "quarantined".into(),
        trust_reasons: vec!["PartialRead".into(), "RemovedOverLimit".into()],
        trust_since: ago(2 * HOUR),
        runtime: "idle".into(),
        last_good_at: ago(2 * HOUR + 11 * MINUTE),
        last_good_sync: 417,
        next_sync_at: ago(-49 * MINUTE),
        records: 18_204,
        last_change: counts(12, 7_019, 40),
        pid: 41_877,
        r#use: "ldap".into(),
        labels: [("owner".to_owned(), "iam".to_owned())].into(),
        quarantined_sync: 418,
        quarantined_digest: DIGEST.into(),
        ..Default::default()
    }
}

pub(super) fn hindsight() -> v1::Hindsight {
    let run = run(412, "committed");
    v1::Hindsight {
        connector: "ldap-corp".into(),
        state: "told".into(),
        message: "the defaults would have held 1 of 12 stored syncs: 412 (CRD-D101); what was in \
                  force then held 0"
            .into(),
        defaults_in_force: true,
        defaults: None,
        tried: None,
        held: vec![v1::BacktestSync {
            connector: "ldap-corp".into(),
            sync: 412,
            against: 411,
            taken_at: run.started_at,
            outcome: run.outcome,
            verdict: "quarantined".into(),
            codes: vec!["CRD-D101".into()],
            codes_then: Vec::new(),
            changes: run.changes,
            difference: "newly-held".into(),
            message: "users fell from 92 to 72".into(),
        }],
        unread: 0,
    }
}

pub(super) fn status() -> v1::StatusResponse {
    v1::StatusResponse {
        host: Some(host()),
        connectors: vec![quarantined(), stale(), unproven(), syncing(), paused()],
        sinks: vec![sink("entra", "live", "", 0), sink("siem", "behind", "HTTP 503", 212)],
    }
}

fn sink(name: &str, state: &str, detail: &str, behind: u64) -> v1::SinkStatus {
    v1::SinkStatus {
        name: name.into(),
        r#type: "webhook".into(),
        state: state.into(),
        detail: detail.into(),
        behind,
        oldest_at: if behind > 0 { ago(40 * SECOND) } else { 0 },
        delivered: 48_219,
    }
}

fn stale() -> v1::ConnectorStatus {
    v1::ConnectorStatus {
        name: "github-acme".into(),
        trust: "stale".into(),
        trust_since: ago(HOUR),
        runtime: "backing-off".into(),
        runtime_detail: "rate limited, 3 attempts".into(),
        last_good_at: ago(7 * HOUR + 40 * MINUTE),
        last_good_sync: 90,
        next_sync_at: ago(-4 * MINUTE),
        records: 2_310,
        restarts: 3,
        r#use: "github".into(),
        ..Default::default()
    }
}

fn unproven() -> v1::ConnectorStatus {
    v1::ConnectorStatus {
        name: "new-crm".into(),
        trust: "unproven".into(),
        runtime: "idle".into(),
        r#use: "crm".into(),
        ..Default::default()
    }
}

fn syncing() -> v1::ConnectorStatus {
    v1::ConnectorStatus {
        name: "hr-csv".into(),
        trust: "trusted".into(),
        trust_since: ago(DAY),
        runtime: "syncing".into(),
        last_good_at: ago(14 * MINUTE),
        last_good_sync: 1_204,
        records: 8_412,
        last_change: counts(3, 1, 9),
        pid: 77,
        r#use: "csv".into(),
        progress: Some(v1::SyncProgress {
            sync: 1_205,
            phase: "reading".into(),
            records: 5_200,
            done: 62,
            total: 100,
        }),
        ..Default::default()
    }
}

fn paused() -> v1::ConnectorStatus {
    v1::ConnectorStatus {
        name: "pg-core".into(),
        trust: "paused".into(),
        trust_since: ago(HOUR),
        runtime: "paused".into(),
        last_good_at: ago(HOUR + 2 * MINUTE),
        last_good_sync: 12,
        next_sync_at: ago(-HOUR),
        records: 316,
        pause: Some(v1::Pause {
            by: "operator-3".into(),
            reason: "cert swap".into(),
            since: ago(HOUR),
            until: ago(-3 * HOUR),
        }),
        r#use: "postgres".into(),
        ..Default::default()
    }
}

pub(super) fn findings() -> Vec<v1::Finding> {
    vec![
        v1::Finding {
            code: "CRD-P203".into(),
            severity: "quarantine".into(),
            subject: "members".into(),
            message: "read stopped at page 12 of 19".into(),
            ..Default::default()
        },
        v1::Finding {
            code: "CRD-D101".into(),
            severity: "quarantine".into(),
            subject: "user".into(),
            message: "removed 7,019 of 18,204 (38.6 %)".into(),
            measured: Some(7_019),
            limit: Some(50),
            examples: vec!["u1042".into(), "u1043".into()],
        },
        v1::Finding {
            code: "CRD-F401".into(),
            severity: "info".into(),
            subject: String::new(),
            message: "finished in 3m 12s".into(),
            ..Default::default()
        },
    ]
}

pub(super) fn run(sync: u64, outcome: &str) -> v1::Run {
    v1::Run {
        connector: "ldap-corp".into(),
        sync,
        outcome: outcome.into(),
        started_at: ago(2 * HOUR + 4 * MINUTE),
        ended_at: ago(2 * HOUR + 48 * SECOND),
        trigger: "schedule".into(),
        records: 11_197,
        changes: counts(12, 7_019, 40),
        digest: DIGEST.into(),
        supervisor_ms: 192_000,
        judge_us: 812,
        diff_us: 90_300,
        connector_peak_bytes: 118 * 1_024 * 1_024,
        spawn_us: 4_100,
        commit_us: 11_000,
        ..Default::default()
    }
}

pub(super) fn event() -> v1::Event {
    v1::Event {
        seq: 48_211,
        time: ago(2 * HOUR),
        connector: "ldap-corp".into(),
        kind: "sync-quarantined".into(),
        actor: "cordond".into(),
        message: "sync 418: 2 checks".into(),
        hash: "77a0".into(),
        body: r#"{"sync":418}"#.into(),
    }
}

pub(super) fn waiting() -> v1::QuarantinedSync {
    v1::QuarantinedSync {
        connector: "ldap-corp".into(),
        sync: 418,
        digest: DIGEST.into(),
        against: 417,
        since: ago(2 * HOUR),
        findings: findings(),
        changes: counts(12, 7_019, 40),
        repeats: 1,
        rest: None,
        asked: None,
    }
}

/// What is left once joiners and changes passed.
pub(super) fn rest() -> v1::RestOfSync {
    v1::RestOfSync {
        left_by: "policy".into(),
        released: counts(12, 0, 40),
        left: counts(0, 7_019, 0),
    }
}

pub(super) fn asked() -> v1::ReleaseAsked {
    v1::ReleaseAsked {
        by: "operator-1 (uid 1000)".into(),
        reason: "INC-4411".into(),
        selection: "added, modified".into(),
        at: ago(HOUR),
        expires_at: ago(-7 * HOUR),
        evidence: 48_220,
    }
}

pub(super) fn diff_header() -> v1::DiffHeader {
    v1::DiffHeader {
        connector: "ldap-corp".into(),
        sync: 418,
        against: 417,
        digest: DIGEST.into(),
        outcome: "quarantined".into(),
        findings: findings(),
        types: vec![
            v1::TypeChange {
                label: "user".into(),
                before: 18_204,
                after: 11_197,
                counts: counts(12, 7_019, 40),
                carried: 0,
            },
            v1::TypeChange {
                label: "grant".into(),
                before: 100,
                after: 100,
                counts: counts(0, 0, 0),
                carried: 25,
            },
        ],
        total: counts(12, 7_019, 40),
        groups: vec![
            v1::ChangeGroup {
                op: "removed".into(),
                record_type: "resource.user".into(),
                attribute: "ou".into(),
                value: "EMEA".into(),
                changed: 7_007,
                of_changed: 7_019,
                of_group: Some(7_007),
                at_least: false,
            },
            v1::ChangeGroup {
                op: "modified".into(),
                record_type: "resource.user".into(),
                attribute: "title".into(),
                value: String::new(),
                changed: 19,
                of_changed: 40,
                of_group: None,
                at_least: true,
            },
        ],
        not_grouped: String::new(),
        rest: None,
        asked: None,
        people: 1,
        sinks: vec![v1::SinkStatus {
            name: "entra".into(),
            r#type: "webhook".into(),
            state: "live".into(),
            ..Default::default()
        }],
        told: counts(12, 7_019, 40),
    }
}

pub(super) fn changes() -> Vec<v1::RecordChange> {
    let change = |op: &str, key: &str, before: &str, after: &str| v1::RecordChange {
        op: op.into(),
        record_type: "resource.user".into(),
        key: key.into(),
        before: before.into(),
        after: after.into(),
        pending_since: 0,
    };
    vec![
        change("removed", "u1042", r#"{"mail":"a@corp.example","ou":"EMEA","title":null}"#, ""),
        change(
            "modified",
            "u1044",
            r#"{"ou":"NA","title":"SRE"}"#,
            r#"{"ou":"NA","title":"Staff SRE"}"#,
        ),
        change("added", "u\u{1b}[2J9", "", r#"{"ou":"NA\n"}"#),
    ]
}

/// The item as a line of JSON.
pub(super) fn json<'a, T>(item: &'a T) -> String
where
    crate::output::json::View<'a, T>: serde::Serialize,
{
    serde_json::to_string(&crate::output::json::View(item)).unwrap()
}
