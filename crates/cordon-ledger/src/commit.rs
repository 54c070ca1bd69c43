//! A commit: the one transaction by which a candidate becomes the last known good.

use std::collections::BTreeMap;

use cordon_model::{ConnectorName, Finding, SyncNumber, Watermark};
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::SqliteConnection;

use crate::cells;
use crate::chain::{canonical_json, kept_time, text_sha256};
use crate::decisions::Decision;
use crate::evidence::{self, Entry, kind};
use crate::faults::COMMIT;
use crate::memory;
use crate::outbox::{self, OutboxEntry};
use crate::quarantine::{self, QuarantinedRow};
use crate::runs::{self, Judgement, RunEnd};
use crate::{
    ChangeCounts, CommitError, DecisionKind, EvidenceSeq, Ledger, Measured, Remaining, RunOutcome,
    SnapshotRow, rest, snapshots,
};

/// What is to become the last known good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Whose snapshot.
    pub connector: ConnectorName,
    /// The sync that it comes from.
    pub sync: SyncNumber,
    /// BLAKE3 of its manifest.
    pub digest: String,
    /// Digest of the content alone: equal content, equal digest.
    pub content_digest: String,
    /// The last known good that it was compared with.
    pub from: Option<SyncNumber>,
    /// When the sync began.
    pub taken_at: Timestamp,
    /// Changes between the two.
    pub counts: ChangeCounts,
    /// Changes that go out with it: others where removals are pending. As many sequence numbers are
    /// given out.
    pub delivered: u64,
    /// Its pending removals as their own JSON, for the evidence; none: it has no such thing.
    pub pending: Option<Value>,
    /// Records that it holds.
    pub records: u64,
    /// Records that it holds, by label.
    pub label_counts: BTreeMap<String, u64>,
    /// Records that it removes, by label.
    pub removed_by_label: BTreeMap<String, u64>,
    /// How current each of its scopes is, those carried forward included.
    pub watermarks: BTreeMap<String, Watermark>,
    /// What the detector remembers with it, as its own text; none: as before. At most
    /// [`MEMORY_BYTES_MAX`](crate::MEMORY_BYTES_MAX).
    pub memory: Option<String>,
    /// Who accepted it.
    pub acceptance: Acceptance,
}

/// Who accepted a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    /// Policy did; the run is under way.
    Policy {
        /// The verdict as JSON.
        verdict_json: String,
        /// What the checks noticed all the same.
        findings: Vec<Finding>,
        /// What was measured of the run.
        measured: Measured,
    },
    /// A person did; the candidate waits in quarantine with its verdict.
    Release {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// Who asked for it first, where two people had to agree.
        asked_by: Option<String>,
    },
    /// It is a part of a candidate that waits, in a run of its own that is under way.
    Part(Box<Part>),
}

/// A part of a candidate that waits in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The person who released it; none: the policy lets it flow while removals are held.
    pub by: Option<String>,
    /// Who asked for it first, where two people had to agree.
    pub asked_by: Option<String>,
    /// Why.
    pub reason: String,
    /// The sync whose candidate it is a part of.
    pub of: SyncNumber,
    /// BLAKE3 of the manifest of that candidate: what was reviewed.
    pub of_digest: String,
    /// Which of its changes, in words.
    pub selection: String,
    /// The verdict on the part as JSON.
    pub verdict_json: String,
    /// What the checks noticed of the part.
    pub findings: Vec<Finding>,
    /// What was measured.
    pub measured: Measured,
    /// What goes on waiting; none when nothing is left.
    pub remaining: Option<Remaining>,
}

impl Acceptance {
    /// The person who decided; none when the policy did.
    fn person(&self) -> Option<(&str, &str, Option<&str>)> {
        match self {
            Self::Policy { .. } => None,
            Self::Release { by, reason, asked_by } => Some((by, reason, asked_by.as_deref())),
            Self::Part(part) => {
                part.by.as_deref().map(|by| (by, part.reason.as_str(), part.asked_by.as_deref()))
            }
        }
    }
}

/// A commit that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Its evidence.
    pub evidence: EvidenceSeq,
    /// The first sequence number of its changes.
    pub first_seq: u64,
    /// The last; `first_seq - 1` when nothing changed.
    pub last_seq: u64,
    /// The sync whose candidate waited in quarantine and no longer does.
    pub superseded: Option<SyncNumber>,
}

impl Ledger {
    /// Makes a snapshot the last known good, with all that follows from it, or changes nothing.
    pub async fn commit(&self, commit: &Commit, now: Timestamp) -> Result<Committed, CommitError> {
        if let Some((by, reason, _)) = commit.acceptance.person() {
            cells::reasoned(by, reason)?;
        }
        let mut tx = self.begin("snapshots").await?;
        self.faults.reach(COMMIT.begun);
        let done = make(tx.connection(), commit, now).await;
        tx.end_with(done, &self.faults, Some(&COMMIT)).await
    }
}

async fn make(
    connection: &mut SqliteConnection,
    commit: &Commit,
    now: Timestamp,
) -> Result<Committed, CommitError> {
    let connector = &commit.connector;
    let current = snapshots::current(connection, connector).await?;
    if current != commit.from {
        return Err(CommitError::Outrun {
            connector: connector.clone(),
            sync: commit.sync,
            from: commit.from,
            current,
        });
    }
    let waiting = quarantine::open(connection, Some(connector)).await?.pop();
    let judgement = end_run(connection, commit, now).await?;
    let superseded = match &commit.acceptance {
        Acceptance::Policy { .. } => waiting.map(|row| row.sync),
        Acceptance::Release { .. } | Acceptance::Part(_) => None,
    };
    let entry = outbox::next_entry(connection, connector, commit.delivered).await?;
    let learnt = commit.memory.as_deref();
    let vouched = memory::vouched(connection, connector, learnt).await?;
    let mut body = body(commit, &entry, superseded, judgement.as_ref());
    body[memory::VOUCHED] = json!(vouched);
    let actor = commit.acceptance.person().map_or("policy", |(by, _, _)| by);
    let record = Entry { kind: kind::COMMITTED, connector: Some(connector), actor, body };
    let evidence = evidence::append(connection, record, now).await?;
    if let Some(learnt) = learnt {
        memory::put(connection, connector, learnt, evidence).await?;
    }
    if let Some(waiting) = superseded {
        quarantine::supersede(connection, connector, waiting).await?;
    }
    let released = match &commit.acceptance {
        Acceptance::Policy { .. } => None,
        Acceptance::Release { .. } => Some((released(connection, commit).await?, None)),
        Acceptance::Part(part) => {
            Some((part_of(connection, commit, part).await?, part.remaining.as_ref()))
        }
    };
    match released {
        Some((row, Some(remaining))) => {
            rest::remain(connection, &row, commit.sync, commit.counts, remaining, now).await?;
        }
        Some((row, None)) => {
            let (by, reason, _) = commit.acceptance.person().unwrap_or(("policy", "", None));
            let decision = Decision { kind: DecisionKind::Release, by, reason, evidence };
            quarantine::release(connection, &row, &decision, now).await?;
        }
        None => {}
    }
    snapshots::insert(connection, &row(commit, evidence, now)).await?;
    outbox::insert(connection, connector, commit.from, commit.sync, &entry, now).await?;
    let OutboxEntry { first_seq, last_seq, .. } = entry;
    Ok(Committed { evidence, first_seq, last_seq, superseded })
}

/// Ends the run of what policy accepted. What a person releases was judged when it was quarantined.
async fn end_run(
    connection: &mut SqliteConnection,
    commit: &Commit,
    now: Timestamp,
) -> Result<Option<Value>, CommitError> {
    let (verdict_json, findings, measured, outcome) = match &commit.acceptance {
        Acceptance::Policy { verdict_json, findings, measured } => {
            (verdict_json, findings, measured, RunOutcome::Committed)
        }
        Acceptance::Release { .. } => {
            released(connection, commit).await?;
            return Ok(None);
        }
        Acceptance::Part(part) => {
            part_of(connection, commit, part).await?;
            let person = part.by.is_some();
            let outcome = if person { RunOutcome::Released } else { RunOutcome::Committed };
            (&part.verdict_json, &part.findings, &part.measured, outcome)
        }
    };
    let judgement = Judgement::new(Some(verdict_json), findings)?;
    let end = RunEnd {
        outcome,
        changes: Some(commit.counts),
        judgement: Some(&judgement),
        digest: Some(&commit.digest),
        content_digest: Some(&commit.content_digest),
        ..RunEnd::of(measured)
    };
    runs::end_run(connection, &commit.connector, commit.sync, &end, now).await?;
    Ok(Some(judgement.body()))
}

/// The candidate that a part is of, if exactly what was reviewed waits.
async fn part_of(
    connection: &mut SqliteConnection,
    commit: &Commit,
    part: &Part,
) -> Result<QuarantinedRow, CommitError> {
    let row = quarantine::waiting(connection, &commit.connector, part.of).await?;
    if row.digest != part.of_digest {
        return Err(CommitError::Digest {
            connector: commit.connector.clone(),
            sync: part.of,
            quarantined: row.digest,
            given: part.of_digest.clone(),
        });
    }
    Ok(row)
}

/// The candidate that a release names, if exactly its content waits.
async fn released(
    connection: &mut SqliteConnection,
    commit: &Commit,
) -> Result<QuarantinedRow, CommitError> {
    let row = quarantine::waiting(connection, &commit.connector, commit.sync).await?;
    if row.digest != commit.digest || row.content_digest != commit.content_digest {
        return Err(CommitError::Digest {
            connector: commit.connector.clone(),
            sync: commit.sync,
            quarantined: row.digest,
            given: commit.digest.clone(),
        });
    }
    Ok(row)
}

fn body(
    commit: &Commit,
    entry: &OutboxEntry,
    superseded: Option<SyncNumber>,
    judgement: Option<&Value>,
) -> Value {
    let person = commit.acceptance.person();
    let part = match &commit.acceptance {
        Acceptance::Part(part) => Some(json!({
            "of": part.of,
            "digest": part.of_digest,
            "selection": part.selection,
            "remains": part.remaining.is_some(),
        })),
        Acceptance::Policy { .. } | Acceptance::Release { .. } => None,
    };
    json!({
        "sync": commit.sync,
        "from": commit.from,
        "snapshot": snapshot_body(&row(commit, EvidenceSeq::default(), Timestamp::UNIX_EPOCH)),
        "changes": commit.counts,
        "pending": commit.pending,
        "position": entry.position,
        "first_seq": entry.first_seq,
        "last_seq": entry.last_seq,
        "superseded": superseded,
        "released": person.is_some(),
        "reason": person.map(|(_, reason, _)| reason),
        "asked_by": person.and_then(|(_, _, asked_by)| asked_by),
        "part": part,
        "judgement": judgement,
    })
}

/// What the evidence says of a snapshot: all that later decisions build on.
pub(crate) fn snapshot_body(row: &SnapshotRow) -> Value {
    json!({
        "digest": row.digest,
        "content_digest": row.content_digest,
        "taken_at": row.taken_at.as_microsecond(),
        "records": row.records,
        "labels": row.label_counts,
        "removed": row.removed_by_label,
        "watermarks_sha256": text_sha256(&canonical_json(&json!(row.watermarks))),
    })
}

fn row(commit: &Commit, evidence: EvidenceSeq, now: Timestamp) -> SnapshotRow {
    SnapshotRow {
        connector: commit.connector.clone(),
        sync: commit.sync,
        digest: commit.digest.clone(),
        content_digest: commit.content_digest.clone(),
        taken_at: kept_time(commit.taken_at),
        committed_at: kept_time(now),
        records: commit.records,
        label_counts: commit.label_counts.clone(),
        removed_by_label: commit.removed_by_label.clone(),
        watermarks: commit.watermarks.clone(),
        evidence,
    }
}
