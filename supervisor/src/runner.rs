//! One task a connector: owns its state, runs what `unit` decides, and answers orders.
//!
//! The task holds at most one job, a start or a sync, and lives through everything that the job may
//! do. Orders are taken between two polls of the job, so a pause is obeyed at once, whatever the
//! connector is busy with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cordon_model::SyncNumber;
use cordon_sandbox::{KillReason, Killer};
use cordon_wire::v1;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::Connector;
use crate::gate::{Decision, Gate};
use crate::host::Host;
use crate::process::{Process, StartError};
use crate::session::{Progress, SessionError};
use crate::unit::{self, Effect, Event, Failure, Phase, Trigger, Unit};
use crate::view::View;

mod job;

use job::{Done, End, Errand, Fault, Job, Outlets};

/// A wait is cut into pieces of this length, so that a clock that was set is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// Credentials that the source refused are tried again this slowly.
const AUTH_RETRY: Duration = Duration::from_secs(300);

/// What an operator, or the host, tells a connector's task.
#[derive(Debug)]
pub(crate) enum Command {
    /// Sync as soon as possible.
    Sync,
    /// What is wanted has changed; the ledger knows it already.
    Wanted(cordon_ledger::Wanted),
    /// Start afresh.
    Restart,
    /// The configuration changed.
    Reconfigure(Arc<Connector>),
    /// The service ends: begin nothing, and let a sync that runs come to its end.
    Drain,
    /// Stop now; or the connector was taken out of the configuration.
    Shutdown,
}

/// A connector's task.
pub(crate) struct Runner {
    host: Arc<Host>,
    connector: Arc<Connector>,
    commands: mpsc::Receiver<Command>,
    view: watch::Sender<View>,
    progress: watch::Sender<Option<(SyncNumber, Progress)>>,
    epoch: Instant,
    unit: Unit,
    process: Option<Process>,
    job: Option<Job>,
    cancel: CancellationToken,
    spawned: watch::Receiver<Option<Killer>>,
    permit: Option<OwnedSemaphorePermit>,
    attempt: Option<SyncNumber>,
    last_start: Option<Timestamp>,
    idle_since: Instant,
    wake: Option<Duration>,
    closing: bool,
}

impl Runner {
    /// A task for a connector of which nothing runs yet. `last_start` is when its last sync began.
    pub(crate) fn new(
        host: Arc<Host>,
        connector: Arc<Connector>,
        commands: mpsc::Receiver<Command>,
        view: watch::Sender<View>,
        progress: watch::Sender<Option<(SyncNumber, Progress)>>,
        last_start: Option<Timestamp>,
    ) -> Self {
        let unit = Unit::new(as_unit(&view.borrow().wanted));
        Self {
            host,
            connector,
            commands,
            view,
            progress,
            epoch: Instant::now(),
            unit,
            process: None,
            job: None,
            cancel: CancellationToken::new(),
            spawned: watch::channel(None).1,
            permit: None,
            attempt: None,
            last_start,
            idle_since: Instant::now(),
            wake: None,
            closing: false,
        }
    }

    /// Runs until told to shut down and everything of it is gone.
    pub(crate) async fn run(mut self) {
        self.show();
        while !(self.closing && self.process.is_none() && self.job.is_none()) {
            if let Some(event) = self.next().await {
                self.take(event);
            }
            self.show();
        }
    }

    /// Waits for what happens next.
    async fn next(&mut self) -> Option<Event> {
        let due = self.until_due();
        let pause_ends = self.until_pause_ends();
        let wake = self.wake.map(|wake| wake.saturating_sub(self.epoch.elapsed()));
        let idle = self.until_idle();
        // A death in the middle of a job is told by the job, which knows what it meant.
        let process = if self.job.is_none() { self.process.clone() } else { None };
        tokio::select! {
            biased;
            command = self.commands.recv() => self.command(command.unwrap_or(Command::Shutdown)),
            done = end_of(&mut self.job) => self.finished(done).await,
            () = death_of(process) => Some(self.buried()),
            () = after(wake) => { self.wake = None; Some(Event::Tick) }
            () = after(pause_ends) => self.end_pause().await,
            () = after(due) => self.due(),
            () = after(idle) => self.idle_too_long(),
        }
    }

    fn command(&mut self, command: Command) -> Option<Event> {
        match command {
            Command::Sync => Some(Event::Due(Trigger::Operator)),
            Command::Wanted(wanted) => {
                let event = Event::Wanted(as_unit(&wanted));
                self.view.send_modify(|view| view.wanted = wanted);
                Some(event)
            }
            Command::Restart => {
                self.view.send_modify(|view| view.restarts += 1);
                Some(Event::Restart)
            }
            Command::Reconfigure(connector) => {
                self.connector = connector;
                Some(Event::Reconfigured)
            }
            Command::Drain => {
                self.closing = true;
                Some(Event::Drain)
            }
            Command::Shutdown => {
                self.closing = true;
                Some(Event::Shutdown)
            }
        }
    }

    /// Notes an event and does what follows.
    fn take(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let (unit, effects) =
                unit::step(self.unit.clone(), event, self.epoch.elapsed(), &self.connector.rules);
            self.unit = unit;
            for effect in effects {
                self.apply(effect);
            }
            // Nothing is left to die: the order to stop has come true already.
            if self.unit.phase == Phase::Stopping && self.process.is_none() && self.job.is_none() {
                next = Some(self.buried());
            }
        }
        if self.job.is_none() {
            self.permit = None;
        }
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Launch => {
                let errand = self.errand(self.unit.due.unwrap_or(Trigger::Schedule));
                let (on_spawn, spawned) = watch::channel(None);
                self.spawned = spawned;
                let outlets = self.outlets();
                self.last_start = Some(Timestamp::now());
                self.job = Some(Box::pin(errand.start(outlets, on_spawn)));
            }
            Effect::Sync(trigger) => {
                // `unit` syncs only a process that is up.
                let Some(process) = self.process.clone() else { return };
                let errand = self.errand(trigger);
                self.last_start = Some(Timestamp::now());
                self.job = Some(Box::pin(errand.sync(process, self.progress.clone())));
            }
            Effect::WakeAt(at) => self.wake = Some(at),
            Effect::Kill => {
                self.cancel.cancel();
                let starting = self.spawned.borrow().clone();
                if let Some(killer) = starting {
                    killer.kill(KillReason::Requested);
                }
                if let Some(process) = &self.process {
                    process.kill(KillReason::Requested);
                }
            }
        }
    }

    fn outlets(&self) -> Outlets {
        let view = self.view.borrow();
        Outlets {
            logs: view.logs.clone(),
            flows: view.flows.clone(),
            secrets: view.secrets.clone(),
        }
    }

    fn errand(&mut self, trigger: Trigger) -> Errand {
        self.cancel = CancellationToken::new();
        Errand {
            host: self.host.clone(),
            connector: self.connector.clone(),
            trigger,
            cancel: self.cancel.clone(),
            permit: self.permit.take(),
            sync: self.attempt.take(),
        }
    }

    async fn finished(&mut self, done: Done) -> Option<Event> {
        self.job = None;
        self.idle_since = Instant::now();
        match done.end {
            End::Ready(process) => {
                self.attempt = done.sync;
                self.permit = done.permit;
                self.process = Some(process);
                if self.cancel.is_cancelled() {
                    self.give_up(done.sync, &Fault::CalledOff).await;
                }
                Some(Event::Ready)
            }
            End::Decided(decision) => {
                self.view.send_modify(|view| view.failing = None);
                Some(match decision {
                    Decision::Committed | Decision::Quarantined => Event::SyncDone,
                    Decision::Rejected => {
                        self.fails("SyncRejected");
                        let failure = Failure::Source { retry_after: None };
                        Event::Failed { failure, alive: true, roll: fastrand::f64() }
                    }
                })
            }
            End::Failed(fault) => {
                self.give_up(done.sync, &fault).await;
                let (failure, alive) = classify(&fault);
                let alive = alive && self.process.as_ref().is_some_and(|it| it.death().is_none());
                Some(Event::Failed { failure, alive, roll: fastrand::f64() })
            }
        }
    }

    /// Writes down that a sync came to nothing.
    async fn give_up(&mut self, sync: Option<SyncNumber>, fault: &Fault) {
        self.attempt = None;
        if !matches!(fault, Fault::CalledOff | Fault::Session(SessionError::Cancelled)) {
            self.fails(one_word(fault));
        }
        let Some(sync) = sync else {
            tracing::error!(connector = %self.connector.name, error = %fault, "a sync could not begin");
            return;
        };
        let gate = Gate::new(&self.host, &self.connector);
        let redactor = self.view.borrow().secrets.redactor();
        let noted = match fault {
            Fault::Session(SessionError::Protocol(violation)) => {
                gate.reject(sync, &violation.cleaned(&redactor), self.process.as_ref()).await
            }
            fault => {
                let error = redactor.text(&fault.to_string());
                gate.fail(sync, &error, self.process.as_ref()).await
            }
        };
        if let Err(error) = noted {
            tracing::error!(connector = %self.connector.name, %sync, %error, "a failed sync was not noted");
        }
    }

    fn fails(&self, why: &str) {
        self.view.send_modify(|view| {
            let since = view.failing.as_ref().map_or_else(Timestamp::now, |(since, _)| *since);
            view.failing = Some((since, why.to_owned()));
        });
    }

    fn buried(&mut self) -> Event {
        if let Some(death) = self.process.take().and_then(|process| process.death()) {
            self.view.send_modify(|view| view.last_death = Some(death.cause.to_string()));
        }
        Event::Gone { roll: fastrand::f64() }
    }

    fn due(&mut self) -> Option<Event> {
        // The wait was cut short, or the clock was set: look again.
        let next = self.connector.schedule.next(self.last_start, Timestamp::now())?;
        (next <= Timestamp::now()).then_some(Event::Due(Trigger::Schedule))
    }

    fn until_due(&self) -> Option<Duration> {
        let quiet = self.unit.due.is_none() && !matches!(self.unit.phase, Phase::Syncing(_));
        if !quiet || self.unit.wanted != unit::Wanted::Run || self.closing {
            return None;
        }
        let next = self.connector.schedule.next(self.last_start, Timestamp::now())?;
        Some(until(next))
    }

    fn until_idle(&self) -> Option<Duration> {
        let idle = self.unit.phase == Phase::Up && self.job.is_none();
        idle.then(|| self.connector.times.idle.saturating_sub(self.idle_since.elapsed()))
    }

    fn idle_too_long(&self) -> Option<Event> {
        // The wait was cut short: look again.
        self.until_idle().is_some_and(|left| left.is_zero()).then_some(Event::IdleTooLong)
    }

    fn until_pause_ends(&self) -> Option<Duration> {
        match &self.view.borrow().wanted {
            cordon_ledger::Wanted::Paused { until: Some(end), .. } => Some(until(*end)),
            _ => None,
        }
    }

    async fn end_pause(&mut self) -> Option<Event> {
        let over = match &self.view.borrow().wanted {
            cordon_ledger::Wanted::Paused { until: Some(end), .. } => *end <= Timestamp::now(),
            _ => false,
        };
        if !over {
            return None;
        }
        let wanted = cordon_ledger::Wanted::Run;
        let told = self
            .host
            .ledger
            .set_wanted(
                &self.connector.name,
                wanted.clone(),
                "cordond",
                "the pause ended",
                Timestamp::now(),
            )
            .await;
        if let Err(error) = told {
            tracing::error!(connector = %self.connector.name, %error, "a pause could not be ended");
            tokio::time::sleep(Duration::from_secs(1)).await;
            return None;
        }
        self.host.bell.ring();
        self.command(Command::Wanted(wanted))
    }

    /// Lets others see how it stands.
    fn show(&self) {
        let next = match self.unit.wanted {
            unit::Wanted::Run => self.connector.schedule.next(self.last_start, Timestamp::now()),
            unit::Wanted::Paused | unit::Wanted::Stopped => None,
        };
        let now = self.epoch.elapsed();
        self.view.send_modify(|view| {
            view.connector = self.connector.clone();
            view.unit = self.unit.clone();
            view.unit_time = now;
            view.next_sync = next;
            view.pid = self.process.as_ref().map(|process| process.pid);
            if let Some(process) = &self.process {
                view.ran = Some(process.facts());
            }
        });
    }
}

fn as_unit(wanted: &cordon_ledger::Wanted) -> unit::Wanted {
    match wanted {
        cordon_ledger::Wanted::Run => unit::Wanted::Run,
        cordon_ledger::Wanted::Stopped => unit::Wanted::Stopped,
        cordon_ledger::Wanted::Paused { .. } => unit::Wanted::Paused,
    }
}

/// What a fault says about the next try, and whether the process may still be of use.
fn classify(fault: &Fault) -> (Failure, bool) {
    match fault {
        Fault::CalledOff => (Failure::Source { retry_after: None }, false),
        Fault::Gate(_) => (Failure::Source { retry_after: None }, true),
        Fault::Start(StartError::Refused { error, .. }) => (by_kind(error), false),
        // Nothing is wrong with the connector: the keeper of its secret is away, or this process
        // has its hands full.
        Fault::Start(StartError::Secret(_) | StartError::Descriptors(_)) => {
            (Failure::Source { retry_after: None }, false)
        }
        Fault::Start(StartError::User(_) | StartError::Version { .. } | StartError::Literal(_)) => {
            (Failure::Config, false)
        }
        Fault::Start(_) => (Failure::Crash, false),
        Fault::Session(error) => match error {
            SessionError::Source(error) => {
                let failure = by_kind(error);
                (failure, failure != Failure::Crash)
            }
            SessionError::Stage(_) | SessionError::StagingLost => {
                (Failure::Source { retry_after: None }, true)
            }
            SessionError::Protocol(_)
            | SessionError::Died(_)
            | SessionError::Stalled(_)
            | SessionError::TimedOut(_)
            | SessionError::Cancelled => (Failure::Crash, false),
        },
    }
}

fn by_kind(error: &v1::Error) -> Failure {
    let asked = (error.retry_after_ms > 0).then(|| {
        // A source may ask for patience, not for ever.
        Duration::from_millis(error.retry_after_ms).min(Duration::from_secs(24 * 3_600))
    });
    match error.kind() {
        v1::ErrorKind::BadConfig => Failure::Config,
        v1::ErrorKind::Auth => Failure::Source { retry_after: Some(AUTH_RETRY) },
        v1::ErrorKind::RateLimited | v1::ErrorKind::Unavailable | v1::ErrorKind::Incomplete => {
            Failure::Source { retry_after: asked }
        }
        v1::ErrorKind::Bug | v1::ErrorKind::Unspecified => Failure::Crash,
    }
}

/// A fault as a reason in CamelCase.
fn one_word(fault: &Fault) -> &'static str {
    match fault {
        Fault::CalledOff => "CalledOff",
        Fault::Gate(_) => "NoVerdict",
        Fault::Start(StartError::Died(_)) => "ConnectorDied",
        Fault::Start(StartError::Secret(_)) => "SecretUnavailable",
        Fault::Start(StartError::Literal(_)) => "SecretInConfiguration",
        Fault::Start(_) => "StartFailed",
        Fault::Session(SessionError::Protocol(_)) => "ContractBroken",
        Fault::Session(SessionError::Source(error)) => match error.kind() {
            v1::ErrorKind::Auth => "CredentialsRefused",
            v1::ErrorKind::RateLimited => "RateLimited",
            v1::ErrorKind::Unavailable => "SourceUnavailable",
            v1::ErrorKind::Incomplete => "SourceIncomplete",
            v1::ErrorKind::BadConfig => "BadConfiguration",
            v1::ErrorKind::Bug | v1::ErrorKind::Unspecified => "ConnectorFailed",
        },
        Fault::Session(SessionError::Died(_)) => "ConnectorDied",
        Fault::Session(SessionError::Stalled(_)) => "ConnectorStalled",
        Fault::Session(SessionError::TimedOut(_)) => "SyncTimedOut",
        Fault::Session(_) => "StagingFailed",
    }
}

fn until(time: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default()
}

async fn after(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait.min(LONGEST_SLEEP)).await,
        None => std::future::pending().await,
    }
}

async fn end_of(job: &mut Option<Job>) -> Done {
    match job {
        Some(job) => job.await,
        None => std::future::pending().await,
    }
}

async fn death_of(process: Option<Process>) {
    match process {
        Some(process) => {
            process.gone().await;
        }
        None => std::future::pending().await,
    }
}
