//! The two things that a connector's task may be busy with: a start, and a sync.
//!
//! A job is called off by its token, never dropped, so that what it began to write down is written
//! down whole.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cordon_model::SyncNumber;
use cordon_sandbox::{KillReason, Killer};
use cordon_wire::v1;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use crate::config::Connector;
use crate::egress::Flows;
use crate::gate::{Asking, Decision, Gate, GateError, Purpose};
use crate::host::Host;
use crate::liveness::Late;
use crate::logs::Logs;
use crate::process::{Process, Start, StartError};
use crate::reason::{Class, Reason};
use crate::secrets::Held;
use crate::session::{Progress, Session, SessionError};
use crate::unit::{Credit, Failure, Trigger};

/// What a task is busy with.
pub(super) type Job = Pin<Box<dyn Future<Output = Done> + Send>>;

/// A job that came to its end.
pub(super) struct Done {
    /// The sync that it was for; none when it ended before one was begun.
    pub(super) sync: Option<SyncNumber>,
    /// Held as long as the sync lasts.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    /// How it ended.
    pub(super) end: End,
}

/// How a job ended.
pub(super) enum End {
    /// The process is ready.
    Ready(Process),
    /// There is a verdict.
    Decided(Decision),
    /// It failed.
    Failed(Fault),
}

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The process did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// There is no candidate.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// There is a candidate, and no verdict could be written down.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// An order came between.
    #[error("called off")]
    CalledOff,
}

impl Fault {
    /// Why, in the closed list, and how long the source asked to be left alone.
    pub(super) fn failure(&self) -> Failure {
        let reason = match self {
            Self::Start(error) => error.into(),
            Self::Session(error) => error.into(),
            Self::Gate(error) if error.is_outrun() => Reason::Requested,
            Self::Gate(_) => Reason::Host,
            Self::CalledOff => Reason::Requested,
        };
        let retry_after = match self {
            Self::Start(StartError::Refused { error, .. })
            | Self::Session(SessionError::Source(error)) => patience(error),
            _ => None,
        };
        Failure { reason, retry_after }
    }

    /// Whether the process may still be of use.
    pub(super) fn leaves_it_alive(&self) -> bool {
        match self {
            Self::Gate(_) => true,
            Self::Session(SessionError::Stage(_) | SessionError::StagingLost) => true,
            Self::Session(SessionError::Source(_)) => self.failure().reason.class() != Class::Crash,
            Self::Session(_) | Self::Start(_) | Self::CalledOff => false,
        }
    }
}

/// How long a source asks to be left alone. It may ask for patience, not for ever.
fn patience(error: &v1::Error) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(24 * 3_600);
    let asked = Duration::from_millis(error.retry_after_ms).min(LONGEST);
    (!asked.is_zero()).then_some(asked)
}

/// What both jobs need.
pub(super) struct Errand {
    pub(super) host: Arc<Host>,
    pub(super) connector: Arc<Connector>,
    /// What the sync is for; none when only a process is wanted.
    pub(super) trigger: Option<Trigger>,
    pub(super) credit: Credit,
    pub(super) cancel: CancellationToken,
    pub(super) permit: Option<OwnedSemaphorePermit>,
    pub(super) sync: Option<SyncNumber>,
    /// Told the number of the sync: whoever finds this job broken knows what it left open.
    pub(super) begun: Arc<Mutex<Option<SyncNumber>>>,
}

/// Where what leaves a process goes, and what is remembered of the secrets that it gets.
pub(super) struct Outlets {
    pub(super) logs: Arc<Logs>,
    pub(super) flows: Arc<Flows>,
    pub(super) secrets: Arc<Held>,
}

impl Errand {
    /// Waits for its turn on this host, then numbers the sync.
    async fn begin(&mut self, trigger: Trigger) -> Result<SyncNumber, Fault> {
        if self.permit.is_none() {
            let turn = self.host.syncs.clone().acquire_owned();
            self.permit = tokio::select! {
                permit = turn => permit.ok(),
                () = self.cancel.cancelled() => return Err(Fault::CalledOff),
            };
        }
        let sync = match self.sync {
            Some(sync) => sync,
            None => Gate::new(&self.host, &self.connector).begin(trigger).await?,
        };
        self.sync = Some(sync);
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = Some(sync);
        Ok(sync)
    }

    fn done(self, end: Result<End, Fault>) -> Done {
        let end = end.unwrap_or_else(End::Failed);
        Done { sync: self.sync, permit: self.permit, end }
    }

    /// Starts the process.
    pub(super) async fn start(
        mut self,
        outlets: Outlets,
        on_spawn: watch::Sender<Option<Killer>>,
    ) -> Done {
        let begun = match self.trigger {
            Some(trigger) => self.begin(trigger).await.map(drop),
            None => Ok(()),
        };
        let started = match begun {
            Ok(()) => self.launch(outlets, on_spawn).await.map(End::Ready),
            Err(fault) => Err(fault),
        };
        self.done(started)
    }

    async fn launch(
        &self,
        outlets: Outlets,
        on_spawn: watch::Sender<Option<Killer>>,
    ) -> Result<Process, Fault> {
        let start = Start {
            connector: &self.connector,
            launcher: &self.host.launcher,
            work_root: &self.host.work_root,
            tag: &self.host.tag,
            logs: outlets.logs,
            secrets: outlets.secrets,
            flows: outlets.flows,
            dev: self.host.dev,
            on_spawn,
        };
        let may_wait = !matches!(self.trigger, None | Some(Trigger::Operator | Trigger::DryRun));
        let in_turn = async {
            let _turn = self.host.starts.turn(may_wait).await;
            start.run().await
        };
        let process = tokio::select! {
            started = in_turn => started?,
            () = self.cancel.cancelled() => return Err(Fault::CalledOff),
        };
        self.vouch(&process).await?;
        Ok(process)
    }

    /// Writes down under which isolation the process runs; its snapshots name this report.
    async fn vouch(&self, process: &Process) -> Result<(), GateError> {
        let report = &process.report;
        let body = serde_json::json!({
            "report_digest": report.digest(),
            "program_digest": report.program_digest,
            "seccomp_digest": report.seccomp_digest,
            "uid": report.uid,
            "isolation": report.in_words(),
        });
        let (name, now) = (&self.connector.name, jiff::Timestamp::now());
        let kind = "connector.started";
        self.host.ledger.append_event(kind, Some(name), "cordond", body, now).await?;
        Ok(())
    }

    /// Syncs, and brings what came to a verdict.
    pub(super) async fn sync(
        mut self,
        process: Process,
        progress: watch::Sender<Option<(SyncNumber, Progress)>>,
    ) -> Done {
        let trigger = self.trigger.unwrap_or(Trigger::Operator);
        let decided = match self.begin(trigger).await {
            Ok(sync) => self.read_and_judge(sync, &process, &progress).await.map(End::Decided),
            Err(fault) => Err(fault),
        };
        progress.send_replace(None);
        self.done(decided)
    }

    async fn read_and_judge(
        &self,
        sync: SyncNumber,
        process: &Process,
        progress: &watch::Sender<Option<(SyncNumber, Progress)>>,
    ) -> Result<Decision, Fault> {
        let gate = Gate::new(&self.host, &self.connector);
        let starting = Progress { phase: "starting".into(), ..Progress::default() };
        progress.send_replace(Some((sync, starting)));
        let (staging, last_good) = gate.stage(sync, process).await?;
        let session = Session {
            sync,
            times: self.connector.times,
            credit: self.credit,
            records_max: self.connector.records_max,
            cancel: self.cancel.clone(),
            progress: progress.clone(),
            redactor: process.redactor.clone(),
            seat: self.host.crowd.enter(self.connector.name.clone()),
            faults: self.host.faults.clone(),
        };
        let read = session.run(process, staging, last_good.clone()).await;
        if let Some(reason) = read.as_ref().err().and_then(why_kill) {
            process.kill(reason);
        }
        let outcome = read?;
        if self.cancel.is_cancelled() {
            return Err(Fault::CalledOff);
        }
        // From here on an order ends nothing but questions to the source: a verdict that is being
        // written down is written whole.
        let asking = Asking { process, cancel: &self.cancel, progress };
        let purpose = match self.trigger {
            Some(Trigger::DryRun) => Purpose::Try,
            _ => Purpose::Decide,
        };
        Ok(gate.decide(sync, outcome, last_good, &asking, purpose).await?)
    }
}

/// Which ends of a session leave a process that nobody should talk to again.
fn why_kill(error: &SessionError) -> Option<KillReason> {
    match error {
        SessionError::Protocol(_) => Some(KillReason::Protocol),
        SessionError::Late { late, .. } => Some(match late {
            Late::Stalled(_) => KillReason::Stalled,
            Late::TooSlow { .. } => KillReason::TooSlow,
            Late::Deadline(_) => KillReason::Timeout,
        }),
        SessionError::Bomb(_) => Some(KillReason::Limit),
        SessionError::Unresponsive(_) => Some(KillReason::Stalled),
        SessionError::Cancelled => Some(KillReason::Requested),
        SessionError::Source(_)
        | SessionError::Died(_)
        | SessionError::Stage(_)
        | SessionError::StagingLost => None,
    }
}
