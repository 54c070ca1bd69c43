//! The gate: from a staged candidate to a verdict, and from a verdict to what consumers see.
//!
//! There is one way to a snapshot: `judge` or a named person makes an `Accepted`, the store takes it
//! by value, and one transaction of the ledger makes it the last known good. Everything that leads
//! elsewhere is written down with its reasons, too.

mod ask;
mod decide;
mod grace;
mod history;
mod look;
mod memory;
mod part;
mod publish;
pub(crate) mod reread;
mod review;

pub(crate) use ask::{Asking, LOOKED_UP, LookedUp};
pub(crate) use part::Parted;
pub(crate) use review::Released;

use std::time::Duration;

use cordon_ledger::{ChangeCounts, CommitError, FailedRun, Measured, RejectedRun, Work};
use cordon_model::{Finding, Severity, SyncNumber};
use cordon_store::{
    ComposeError, PublishError, ReadError, Snapshot, StageError, StageSpec, Staging,
};
use cordon_validate::{Census, Delta, Disagreement, ReleaseError};
use jiff::Timestamp;

use crate::config::Connector;
use crate::host::{Finished, Host};
use crate::process::Process;
use crate::reason::Reason;
use crate::session::{Violation, chain};
use crate::unit::Trigger;

pub(crate) use look::{Looked, look};

/// What came of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is the last known good.
    Committed,
    /// It waits for a person.
    Quarantined,
    /// It is invalid.
    Rejected,
    /// It was a dry run, and is gone.
    Tried,
}

/// What a verdict is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It decides.
    Decide,
    /// It is told, and its candidate discarded.
    Try,
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
    /// A second person is missing.
    #[error(transparent)]
    Alone(#[from] Disagreement),
    /// The verdict has no stored form.
    #[error("a stored verdict cannot be read: {0}")]
    Verdict(#[from] serde_json::Error),
    /// What was selected does not stand alone.
    #[error("{}", chain(.0))]
    Compose(#[from] ComposeError),
    /// A part is not plausible by itself.
    #[error("{0}")]
    Doubtful(String),
    /// Another snapshot became the last known good meanwhile.
    #[error("sync {0} was compared with a snapshot that is no longer the last known good")]
    Outrun(SyncNumber),
    /// A thread ended without a word.
    #[error("a working thread panicked")]
    Lost(#[from] tokio::task::JoinError),
}

impl GateError {
    /// Whether a release came between: nothing is wrong with the sync, and it is due again.
    pub(crate) fn is_outrun(&self) -> bool {
        matches!(
            self,
            Self::Outrun(_)
                | Self::Publish(PublishError::Outrun { .. })
                | Self::Commit(CommitError::Outrun { .. })
        )
    }
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
        for (_, sync) in ledger.recover_connector(name, Work::Sync, now).await?.failed {
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
            shape: self.connector.policy.shape.is_on,
            grace: self.grace(last_good.as_ref()),
        };
        let store = self.host.store.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let last_good =
                last_good.map(|row| store.snapshot(&row.connector, row.sync)).transpose()?;
            Ok::<_, GateError>((store.stage(spec)?, last_good))
        });
        opened.await?
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

/// How many records a candidate changes; on a first sync all of them are additions.
pub(crate) fn changes_of(census: &Census, delta: Option<&Delta>) -> ChangeCounts {
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
