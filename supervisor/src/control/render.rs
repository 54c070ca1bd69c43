//! Rows of the ledger as messages of the control API.

use cordon_ledger::{EvidenceRow, QuarantinedRow, RequestRow, RunOutcome, RunRow};
use cordon_validate::Selection;
use cordon_wire::v1;
use jiff::Timestamp;

use super::status::counts;
use crate::reason::Reason;

/// A moment for the wire; 0 = never.
pub(super) fn micros(time: Option<Timestamp>) -> i64 {
    time.map_or(0, Timestamp::as_microsecond)
}

/// A finding for the wire.
pub(super) fn finding(finding: &cordon_model::Finding) -> v1::Finding {
    v1::Finding {
        code: finding.code.clone(),
        severity: finding.severity.as_str().into(),
        subject: finding.subject.clone(),
        message: finding.message.clone(),
        measured: finding.measured,
        limit: finding.limit,
        examples: finding.examples.clone(),
    }
}

/// A run for the wire.
pub(super) fn run(row: &RunRow) -> v1::Run {
    let timing = |phase: &str| row.measured.timings_us.get(phase).copied().unwrap_or_default();
    let took = row.ended_at.map_or(0, |end| end.duration_since(row.started_at).as_millis());
    v1::Run {
        connector: row.connector.to_string(),
        sync: row.sync.0,
        outcome: outcome(row).into(),
        started_at: row.started_at.as_microsecond(),
        ended_at: micros(row.ended_at),
        trigger: row.trigger.clone(),
        records: row.measured.records,
        changes: row.changes.map(counts),
        findings: row.findings.iter().map(finding).collect(),
        digest: row.digest.clone().unwrap_or_default(),
        error: row.error.clone().unwrap_or_default(),
        supervisor_ms: u64::try_from(took).unwrap_or_default(),
        judge_us: timing("judge"),
        diff_us: timing("diff"),
        connector_peak_bytes: row.measured.peak_bytes.unwrap_or_default(),
        spawn_us: timing("spawn"),
        decided_by: String::new(),
        decision_reason: String::new(),
        commit_us: timing("store_commit") + timing("publish"),
        reason: reason(row).map(Reason::as_str).unwrap_or_default().into(),
        gave_way_us: timing("gave_way"),
    }
}

/// What a run came to. A dry run that was judged came to nothing, as it was meant to.
pub(super) fn outcome(row: &RunRow) -> &'static str {
    match row.outcome {
        RunOutcome::Failed if tried(row) => cordon_ledger::DRY_RUN,
        outcome => outcome.as_str(),
    }
}

fn tried(row: &RunRow) -> bool {
    row.trigger == cordon_ledger::DRY_RUN && row.digest.is_some()
}

/// Why a run failed, in one word.
fn reason(row: &RunRow) -> Option<Reason> {
    if tried(row) {
        return None;
    }
    let told = Reason::of_text(row.error.as_deref().unwrap_or_default());
    match row.outcome {
        RunOutcome::Failed => Some(told.unwrap_or(Reason::Shutdown)),
        RunOutcome::Rejected => Some(told.unwrap_or(Reason::Rejected)),
        _ => None,
    }
}

/// What is left of a quarantined sync, where the rest of it passed.
pub(super) fn rest(row: &QuarantinedRow) -> Option<v1::RestOfSync> {
    let rest = row.rest?;
    Some(v1::RestOfSync {
        left_by: rest.left_by.as_str().into(),
        released: Some(counts(rest.released)),
        left: Some(counts(row.counts)),
    })
}

/// What a first person asked for, as long as it means something.
pub(super) fn asked(row: Option<&RequestRow>, now: Timestamp) -> Option<v1::ReleaseAsked> {
    let row = row.filter(|row| now < row.expires_at)?;
    let selection: Option<Selection> = serde_json::from_str(&row.selection_json).ok();
    Some(v1::ReleaseAsked {
        by: row.by.clone(),
        reason: row.reason.clone(),
        selection: selection.map(|selection| selection.to_string()).unwrap_or_default(),
        at: row.at.as_microsecond(),
        expires_at: row.expires_at.as_microsecond(),
        evidence: row.evidence.0,
    })
}

/// A quarantined sync for the wire.
pub(super) fn quarantined(
    row: &QuarantinedRow,
    request: Option<&RequestRow>,
    now: Timestamp,
) -> v1::QuarantinedSync {
    v1::QuarantinedSync {
        connector: row.connector.to_string(),
        sync: row.sync.0,
        digest: row.digest.clone(),
        against: row.against.map_or(0, |sync| sync.0),
        since: row.since.as_microsecond(),
        findings: row.findings.iter().map(finding).collect(),
        changes: Some(counts(row.counts)),
        repeats: u32::try_from(row.repeats).unwrap_or(u32::MAX),
        rest: rest(row),
        asked: asked(request, now),
    }
}

/// An evidence record for people.
pub(super) fn event(row: &EvidenceRow) -> v1::Event {
    v1::Event {
        seq: row.seq.0,
        time: row.time.as_microsecond(),
        connector: row.connector.as_ref().map(ToString::to_string).unwrap_or_default(),
        kind: row.kind.clone(),
        actor: row.actor.clone(),
        message: message(&row.body),
        body: row.body.clone(),
        hash: row.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What a record's body says, in one line: its plain fields, digests and empty ones left out.
fn message(body: &str) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(body) else {
        return body.chars().take(200).collect();
    };
    let mut words = Vec::new();
    for (name, value) in fields {
        match value {
            serde_json::Value::String(text) if !text.is_empty() && !is_digest(&text) => {
                words.push(format!("{name} {}", text.chars().take(120).collect::<String>()));
            }
            serde_json::Value::Number(number) => words.push(format!("{name} {number}")),
            serde_json::Value::Bool(yes) => words.push(format!("{name} {yes}")),
            _ => {}
        }
    }
    words.join(", ")
}
