//! The gate: from a staged candidate to a verdict, and from a verdict to what consumers see.
//!
//! There is one way to a snapshot: `judge` or a named person makes an `Accepted`, the store takes it
//! by value, and one transaction of the ledger makes it the last known good. Everything that leads
//! elsewhere is written down with its reasons, too.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cordon_ledger::{
    Acceptance, ChangeCounts, Commit, CommitError, Committed, FailedRun, Measured, QuarantinedRow,
    QuarantinedRun, RejectedRun,
};
use cordon_model::{Finding, Severity, SyncNumber, Watermark};
use cordon_store::{PublishError, ReadError, Snapshot, StageError, StageSpec, Staging};
use cordon_validate::{
    Accepted, Candidate, Census, Delta, History, Judged, Release, ReleaseError, Verdict,
};
use jiff::Timestamp;

use crate::config::Connector;
use crate::host::{Finished, Host};
use crate::process::Process;
use crate::reason::Reason;
use crate::session::{Outcome, Violation, chain};
use crate::unit::Trigger;

/// What came of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is the last known good.
    Committed,
    /// It waits for a person.
    Quarantined,
    /// It is invalid.
    Rejected,
}

/// Why there is no verdict. The last known good stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GateError {
    /// The ledger cannot be read.
    #[error("cannot read the ledger: {}", chain(.0))]
    Read(#[from] cordon_ledger::ReadError),
    /// The ledger cannot be written.
    #[error("cannot write the ledger: {}", chain(.0))]
    Write(#[from] cordon_ledger::WriteError),
    /// The commit was refused.
    #[error("cannot commit: {}", chain(.0))]
    Commit(#[from] CommitError),
    /// A snapshot cannot be read.
    #[error("cannot read a snapshot: {}", chain(.0))]
    Snapshot(#[from] ReadError),
    /// Staging could not begin.
    #[error("cannot stage: {}", chain(.0))]
    Stage(#[from] StageError),
    /// The snapshot could not be written.
    #[error("cannot publish: {}", chain(.0))]
    Publish(#[from] PublishError),
    /// The release was refused.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The verdict has no stored form.
    #[error("a stored verdict cannot be read: {0}")]
    Verdict(#[from] serde_json::Error),
    /// A thread ended without a word.
    #[error("a working thread panicked")]
    Lost(#[from] tokio::task::JoinError),
}

/// The gate of one connector.
pub(crate) struct Gate<'a> {
    host: &'a Host,
    connector: &'a Connector,
}

impl<'a> Gate<'a> {
    /// The gate through which this connector's syncs pass.
    pub(crate) fn new(host: &'a Host, connector: &'a Connector) -> Self {
        Self { host, connector }
    }

    /// Numbers a sync and writes down that it began.
    pub(crate) async fn begin(&self, trigger: Trigger) -> Result<SyncNumber, GateError> {
        let (name, now) = (&self.connector.name, Timestamp::now());
        let ledger = &self.host.ledger;
        for (_, sync) in ledger.recover_connector(name, now).await?.failed {
            tracing::warn!(connector = %name, %sync, "noted the end of an earlier sync");
        }
        Ok(ledger.begin_run(name, trigger.as_str(), now).await?)
    }

    /// Opens the staging of a sync, and the snapshot that it will be compared with.
    pub(crate) async fn stage(
        &self,
        sync: SyncNumber,
        process: &Process,
    ) -> Result<(Staging, Option<Snapshot>), GateError> {
        self.take_back().await?;
        let last_good = self.host.ledger.last_good(&self.connector.name).await?;
        let spec = StageSpec {
            connector: self.connector.name.clone(),
            sync,
            schemas: process.announced.schemas.clone(),
            provenance: cordon_store::Provenance {
                connector_program: process.announced.name.clone(),
                connector_version: process.announced.version.clone(),
                program_digest: process.report.program_digest.clone(),
                jail_report_digest: Some(process.report.digest()),
                isolation: process.report.in_words(),
            },
            started_at: Timestamp::now(),
        };
        let store = self.host.store.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let last_good =
                last_good.map(|row| store.snapshot(&row.connector, row.sync)).transpose()?;
            Ok::<_, GateError>((store.stage(spec)?, last_good))
        });
        opened.await?
    }

    /// Judges a candidate and does what the verdict says.
    pub(crate) async fn decide(
        &self,
        sync: SyncNumber,
        outcome: Outcome,
        last_good: Option<Snapshot>,
        process: &Process,
    ) -> Result<Decision, GateError> {
        (self.host.faults)("gate.staged");
        let mut measured = self.measured(Some(process), outcome.records);
        let timings = outcome.staged.timings;
        note(&mut measured, "index", timings.index);
        note(&mut measured, "diff", timings.diff);
        note(&mut measured, "references", timings.references);
        note(&mut measured, "store_commit", timings.commit);
        let candidate = outcome.staged.candidate;
        let content_digest = outcome.staged.content_digest;
        let history = self.history(&content_digest, &candidate, last_good.as_ref()).await?;
        let (digest, against) = (candidate.digest.clone(), candidate.against);
        let counts = changes_of(&candidate.census, candidate.delta.as_ref());
        let began = Instant::now();
        let census = last_good.as_ref().map(|snapshot| &snapshot.manifest.census);
        let judged = cordon_validate::judge(census, candidate, &history, &self.connector.policy);
        note(&mut measured, "judge", began.elapsed());
        (self.host.faults)("gate.judged");
        let verdict_json = serde_json::to_string(judged.verdict())?;
        let mut findings = judged.verdict().findings.clone();
        findings.extend(
            outcome.extended.map(|told| {
                cordon_validate::codes::TIME_EXTENDED.finding(Severity::Info, "", told)
            }),
        );
        let decision = match judged {
            Judged::Accepted(accepted) => {
                let acceptance = Acceptance::Policy { verdict_json, findings, measured };
                let staged = self.staged(sync).await?;
                self.publish(accepted, &staged, acceptance).await?;
                Decision::Committed
            }
            Judged::Held(held) if held.verdict().outcome == cordon_model::Outcome::Rejected => {
                let error = worst(held.verdict());
                let run = RejectedRun {
                    error,
                    reason: Some(Reason::Rejected.as_str().to_owned()),
                    digest: Some(digest),
                    verdict_json: Some(verdict_json),
                    findings,
                    measured,
                };
                let name = &self.connector.name;
                self.host.ledger.reject_run(name, sync, &run, Timestamp::now()).await?;
                self.discard(sync).await;
                Decision::Rejected
            }
            Judged::Held(_) => {
                let run = QuarantinedRun {
                    connector: self.connector.name.clone(),
                    sync,
                    digest,
                    content_digest,
                    against,
                    verdict_json,
                    findings,
                    counts,
                    measured,
                };
                self.quarantine(run).await?;
                Decision::Quarantined
            }
        };
        self.tell(sync).await;
        Ok(decision)
    }

    async fn quarantine(&self, run: QuarantinedRun) -> Result<(), GateError> {
        let sync = run.sync;
        let (_, entered) = self.host.ledger.quarantine_run(&run, Timestamp::now()).await?;
        let why = run.findings.first().map(|finding| finding.message.as_str()).unwrap_or_default();
        tracing::warn!(connector = %run.connector, %sync, why, "sync quarantined");
        match entered {
            cordon_ledger::Entered::New => {}
            cordon_ledger::Entered::Joined(_) => self.discard(sync).await,
            cordon_ledger::Entered::Superseded(older) => self.discard(older).await,
        }
        Ok(())
    }

    /// Publishes what was accepted: first the files, then one transaction that makes it current.
    async fn publish(
        &self,
        accepted: Accepted,
        staged: &Snapshot,
        acceptance: Acceptance,
    ) -> Result<(), GateError> {
        let commit = match self.make_current(accepted, staged, acceptance).await {
            Ok(done) => done,
            Err(error) => {
                if let Err(error) = self.take_back().await {
                    // The next sync, or the next start, looks again.
                    tracing::error!(sync = %staged.manifest.sync, %error, "cannot take back");
                }
                return Err(error);
            }
        };
        let (commit, committed) = commit;
        (self.host.faults)("gate.committed");
        tracing::info!(
            connector = %commit.connector,
            sync = %commit.sync,
            records = commit.records,
            changes = commit.counts.total(),
            "snapshot committed"
        );
        if let Some(older) = committed.superseded
            && older != commit.sync
        {
            self.discard(older).await;
        }
        Ok(())
    }

    async fn make_current(
        &self,
        accepted: Accepted,
        staged: &Snapshot,
        mut acceptance: Acceptance,
    ) -> Result<(Commit, Committed), GateError> {
        let began = Instant::now();
        let store = self.host.store.clone();
        tokio::task::spawn_blocking(move || store.publish(accepted)).await??;
        (self.host.faults)("gate.published");
        if let Acceptance::Policy { measured, .. } = &mut acceptance {
            note(measured, "publish", began.elapsed());
        }
        let commit = commit(staged, acceptance);
        let committed = self.host.ledger.commit(&commit, Timestamp::now()).await?;
        Ok((commit, committed))
    }

    /// Takes back a snapshot that the ledger does not know: some commit failed half-way. Left where
    /// it is, every later one would be outrun by it.
    async fn take_back(&self) -> Result<(), GateError> {
        let Some(sync) = self.unknown().await? else { return Ok(()) };
        // A transaction that the disk refused may still lie whole in the ledger's log, and would
        // come true with the next start. What is written after it takes its place.
        let name = &self.connector.name;
        let body = serde_json::json!({ "sync": sync });
        let now = Timestamp::now();
        self.host
            .ledger
            .append_event("snapshot.withdrawn", Some(name), "cordond", body, now)
            .await?;
        if self.unknown().await? == Some(sync) {
            let (store, name) = (self.host.store.clone(), name.clone());
            tokio::task::spawn_blocking(move || store.withdraw(&name, sync)).await??;
        }
        Ok(())
    }

    /// A snapshot in the store that is newer than what the ledger calls the last known good.
    async fn unknown(&self) -> Result<Option<SyncNumber>, GateError> {
        let current = self.host.ledger.last_good(&self.connector.name).await?.map(|row| row.sync);
        let (store, name) = (self.host.store.clone(), self.connector.name.clone());
        let newest = tokio::task::spawn_blocking(move || store.newest(&name)).await??;
        Ok(newest.filter(|newest| current.is_none_or(|current| current < *newest)))
    }

    /// Lets a quarantined candidate pass on a person's word.
    pub(crate) async fn release(
        &self,
        waiting: QuarantinedRow,
        release: Release,
    ) -> Result<(), GateError> {
        let verdict: Verdict = serde_json::from_str(&waiting.verdict_json)?;
        self.take_back().await?;
        let current = self.host.ledger.last_good(&self.connector.name).await?.map(|row| row.sync);
        let (by, reason) = (release.by.clone(), release.reason.clone());
        let accepted = cordon_validate::release(verdict, release, current)?;
        let staged = self.staged(waiting.sync).await?;
        self.publish(accepted, &staged, Acceptance::Release { by, reason }).await?;
        self.tell(waiting.sync).await;
        Ok(())
    }

    /// Ends a quarantine without accepting anything.
    pub(crate) async fn refuse(
        &self,
        waiting: &QuarantinedRow,
        by: &str,
        reason: &str,
    ) -> Result<u64, GateError> {
        let name = &self.connector.name;
        let now = Timestamp::now();
        let told = self.host.ledger.reject_quarantined(name, waiting.sync, by, reason, now).await?;
        self.discard(waiting.sync).await;
        self.tell(waiting.sync).await;
        Ok(told.0)
    }

    /// Writes down that a sync came to no candidate.
    pub(crate) async fn fail(
        &self,
        sync: SyncNumber,
        reason: Reason,
        error: &str,
        process: Option<&Process>,
    ) -> Result<(), GateError> {
        let name = &self.connector.name;
        tracing::warn!(connector = %name, %sync, reason = reason.as_str(), error, "sync failed");
        let failed = FailedRun {
            error: reason.tell(error),
            reason: Some(reason.as_str().to_owned()),
            death: process.and_then(Process::death).map(|death| death.cause.to_string()),
            measured: self.measured(process, 0),
        };
        self.host.ledger.fail_run(name, sync, &failed, Timestamp::now()).await?;
        // A commit may have failed after the candidate was staged: it must not fill a disk that is
        // perhaps full already.
        self.discard(sync).await;
        self.tell(sync).await;
        Ok(())
    }

    /// Writes down that a connector broke the contract.
    pub(crate) async fn reject(
        &self,
        sync: SyncNumber,
        violation: &Violation,
        process: Option<&Process>,
    ) -> Result<(), GateError> {
        let (name, reason) = (&self.connector.name, Reason::from(violation));
        tracing::warn!(
            connector = %name, %sync, reason = reason.as_str(), why = %violation, "sync rejected"
        );
        let finding = Finding {
            code: violation.code.to_owned(),
            severity: Severity::Reject,
            subject: String::new(),
            message: violation.message.clone(),
            measured: None,
            limit: None,
            examples: Vec::new(),
        };
        let run = RejectedRun {
            error: reason.tell(&format!("the connector broke the contract: {violation}")),
            reason: Some(reason.as_str().to_owned()),
            digest: None,
            verdict_json: None,
            findings: vec![finding],
            measured: self.measured(process, 0),
        };
        self.host.ledger.reject_run(name, sync, &run, Timestamp::now()).await?;
        self.tell(sync).await;
        Ok(())
    }

    async fn history(
        &self,
        content_digest: &str,
        candidate: &Candidate,
        last_good: Option<&Snapshot>,
    ) -> Result<History, GateError> {
        let name = &self.connector.name;
        let known = self.host.ledger.history(name, content_digest, Timestamp::now()).await?;
        let waiting = self.host.ledger.quarantined(Some(name)).await?;
        Ok(History {
            accepted: known.accepted,
            removed_24h: known.removed_24h,
            records_24h_ago: known.records_24h_ago,
            replays: known.replays,
            watermarks: known.watermarks,
            protected_removed: self.protected_removed(candidate, last_good).await?,
            quarantined: waiting.first().map(|row| row.sync),
        })
    }

    /// Keys of protected records that the candidate would remove; costs nothing where none is
    /// protected.
    async fn protected_removed(
        &self,
        candidate: &Candidate,
        last_good: Option<&Snapshot>,
    ) -> Result<Vec<String>, GateError> {
        let Some(last_good) = last_good.cloned() else { return Ok(Vec::new()) };
        if self.connector.policy.protected.is_empty()
            || changes_of(&candidate.census, candidate.delta.as_ref()).removed == 0
        {
            return Ok(Vec::new());
        }
        let store = self.host.store.clone();
        let policy = self.connector.policy.clone();
        let (name, sync) = (self.connector.name.clone(), candidate.sync);
        let found = tokio::task::spawn_blocking(move || {
            let staged = store.candidate(&name, sync)?;
            let mut found = Vec::new();
            for change in store.changes(Some(&last_good), &staged, 0)? {
                let change = change?;
                if change.op == cordon_model::ChangeOp::Removed && policy.protects(&change.key) {
                    found.push(change.key);
                }
            }
            Ok::<_, ReadError>(found)
        });
        Ok(found.await??)
    }

    async fn staged(&self, sync: SyncNumber) -> Result<Snapshot, GateError> {
        let (store, name) = (self.host.store.clone(), self.connector.name.clone());
        Ok(tokio::task::spawn_blocking(move || store.candidate(&name, sync)).await??)
    }

    async fn discard(&self, sync: SyncNumber) {
        let store = self.host.store.clone();
        let name = self.connector.name.clone();
        let done = tokio::task::spawn_blocking(move || store.discard_candidate(&name, sync)).await;
        match done {
            Ok(Ok(())) => {}
            // The sweep finds it again.
            Ok(Err(error)) => tracing::warn!(%sync, error = chain(&error), "cannot discard"),
            Err(error) => tracing::warn!(%sync, %error, "cannot discard"),
        }
    }

    /// Lets everybody who waits know that a sync has ended.
    async fn tell(&self, sync: SyncNumber) {
        self.host.refresh(&self.connector.name).await;
        let _ = self.host.finished.send((self.connector.name.clone(), Finished::Noted(sync)));
    }

    fn measured(&self, process: Option<&Process>, records: u64) -> Measured {
        let mut measured = Measured { records, ..Measured::default() };
        if let Some(process) = process {
            measured.peak_bytes = process.memory_peak_bytes();
            measured.jail_report = serde_json::to_string(&*process.report).ok();
            note(&mut measured, "spawn", process.ready_after);
        }
        measured
    }
}

fn note(measured: &mut Measured, phase: &str, took: Duration) {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    measured.timings_us.insert(phase.to_owned(), micros);
}

fn worst(verdict: &Verdict) -> String {
    verdict.worst().map(|finding| finding.message.clone()).unwrap_or_default()
}

/// How many records a candidate changes; on a first sync all of them are additions.
fn changes_of(census: &Census, delta: Option<&Delta>) -> ChangeCounts {
    let mut counts = ChangeCounts::default();
    match delta {
        None => counts.added = census.types.values().map(|census| census.records).sum(),
        Some(delta) => {
            for step in delta.types.values() {
                counts.added += step.added;
                counts.modified += step.modified;
                counts.removed += step.removed;
            }
        }
    }
    counts
}

fn commit(staged: &Snapshot, acceptance: Acceptance) -> Commit {
    let manifest = &staged.manifest;
    let (census, delta) = (&manifest.census, manifest.delta.as_ref());
    let mut label_counts: BTreeMap<String, u64> = BTreeMap::new();
    for (record_type, census) in &census.types {
        *label_counts.entry(record_type.label().to_owned()).or_default() += census.records;
    }
    let mut removed_by_label: BTreeMap<String, u64> = BTreeMap::new();
    for (record_type, step) in delta.iter().flat_map(|delta| &delta.types) {
        if step.removed > 0 {
            *removed_by_label.entry(record_type.label().to_owned()).or_default() += step.removed;
        }
    }
    let watermarks: BTreeMap<String, Watermark> = census
        .scopes
        .iter()
        .map(|(name, scope)| (name.clone(), scope.report.watermark.clone()))
        .collect();
    Commit {
        connector: manifest.connector.clone(),
        sync: manifest.sync,
        digest: staged.digest.to_string(),
        content_digest: staged.content_digest(),
        from: manifest.against,
        taken_at: manifest.taken_at,
        counts: changes_of(census, delta),
        records: census.types.values().map(|census| census.records).sum(),
        label_counts,
        removed_by_label,
        watermarks,
        acceptance,
    }
}
