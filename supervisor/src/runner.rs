//! One task a connector: owns its state, runs what `unit` decides, and answers orders.
//!
//! The task holds at most one job, a start or a sync, and lives through everything that the job may
//! do. Orders are taken between two polls of the job, so a pause is obeyed at once, whatever the
//! connector is busy with. A panic in it, ours or of what it calls, ends what this connector was at
//! and nothing of another: see [`rescue`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cordon_model::SyncNumber;
use cordon_sandbox::{KillReason, Killer};
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Past;
use crate::config::Connector;
use crate::gate::{Decision, Gate};
use crate::host::{Finished, Host};
use crate::process::{Process, StartError};
use crate::reason::{Class, Reason, death_in_words};
use crate::session::{Progress, SessionError};
use crate::unit::{self, Effect, Event, Failure, Hold, Phase, Trigger, Unit};
use crate::view::{Facts, View};

mod job;
mod rescue;
mod waits;

use job::{Done, End, Errand, Fault, Job, Outlets};
use waits::after;

/// What an operator, or the host, tells a connector's task.
#[derive(Debug)]
pub(crate) enum Command {
    /// Sync as soon as possible.
    Sync,
    /// The same, and discard what comes.
    DryRun,
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

/// What a task hears of the world.
pub(crate) struct Inputs {
    /// Orders.
    pub(crate) commands: mpsc::Receiver<Command>,
    /// What the ledger knows of its connector.
    pub(crate) facts: watch::Receiver<Facts>,
}

/// A connector's task.
pub(crate) struct Runner {
    host: Arc<Host>,
    connector: Arc<Connector>,
    commands: mpsc::Receiver<Command>,
    facts: watch::Receiver<Facts>,
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
    begun: Arc<Mutex<Option<SyncNumber>>>,
    last_start: Option<Past>,
    idle_since: Instant,
    wake: Option<Duration>,
    closing: bool,
}

impl Runner {
    /// A task for a connector of which nothing runs yet. `last_start` is when its last sync began.
    pub(crate) fn new(
        host: Arc<Host>,
        connector: Arc<Connector>,
        inputs: Inputs,
        view: watch::Sender<View>,
        progress: watch::Sender<Option<(SyncNumber, Progress)>>,
        last_start: Option<Past>,
    ) -> Self {
        let unit = Unit::new(as_unit(&view.borrow().wanted));
        Self {
            host,
            connector,
            commands: inputs.commands,
            facts: inputs.facts,
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
            begun: Arc::default(),
            last_start,
            idle_since: Instant::now(),
            wake: None,
            closing: false,
        }
    }

    /// Runs until told to shut down and everything of it is gone.
    async fn live(&mut self) {
        self.show();
        while !(self.closing && self.process.is_none() && self.job.is_none()) {
            if let Some(event) = self.next().await {
                self.take(event).await;
            }
            self.show();
        }
    }

    /// Waits for what happens next.
    async fn next(&mut self) -> Option<Event> {
        let due = self.until_due();
        let pause_ends = self.until_pause_ends();
        let wake = self.wake.map(|wake| wake.saturating_sub(self.epoch.elapsed()));
        let reread = self.until_reread();
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
            () = after(reread) => self.reread_due(),
            // What waits may have been decided: look again when it is to be read again.
            () = change_of(&mut self.facts) => None,
            () = after(idle) => self.idle_too_long(),
        }
    }

    fn command(&mut self, command: Command) -> Option<Event> {
        match command {
            Command::Sync => Some(Event::Due(Trigger::Operator)),
            Command::DryRun => Some(Event::Due(Trigger::DryRun)),
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
    async fn take(&mut self, event: Event) {
        let held = self.unit.hold;
        let outdated = self.process.as_ref().is_some_and(Process::is_outdated);
        if matches!(event, Event::Due(_)) && outdated {
            self.advance(Event::Outdated);
        }
        self.advance(event);
        if self.unit.due.is_some() && self.unit.wanted != unit::Wanted::Run && self.job.is_none() {
            // Whoever asked for it before the order came would wait until the next one.
            let _ = self.host.finished.send((self.connector.name.clone(), Finished::NotBegun));
        }
        if self.unit.hold != held {
            self.tell_hold().await;
        }
    }

    fn advance(&mut self, event: Event) {
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

    /// Says loudly that a connector waits for a person; waits that end soon by themselves are shown
    /// and not told.
    async fn tell_hold(&mut self) {
        let word = match self.unit.hold {
            Some(Hold::CrashLoop { .. }) => "crash-loop",
            Some(Hold::OutOfMemory { .. }) => "out-of-memory",
            Some(Hold::Misconfigured) => "misconfigured",
            Some(Hold::BackingOff { .. })
                if self.unit.failed.map(Reason::class) == Some(Class::Credentials) =>
            {
                "credentials-refused"
            }
            Some(Hold::BackingOff { .. }) | None => return,
        };
        self.show();
        let reason = self.unit.failed.map(Reason::as_str).unwrap_or_default();
        let detail = self.view.borrow().runtime_detail();
        let name = &self.connector.name;
        tracing::error!(connector = %name, hold = word, reason, detail, "a connector needs a person");
        let body = serde_json::json!({ "hold": word, "reason": reason, "detail": detail });
        self.note("connector.held", body).await;
    }

    /// Adds to the evidence what no table has a row for.
    async fn note(&mut self, kind: &str, body: serde_json::Value) {
        let name = &self.connector.name;
        let now = Timestamp::now();
        let told = self.host.ledger.append_event(kind, Some(name), "cordond", body, now).await;
        match told {
            Ok(_) => self.host.bell.ring(),
            Err(error) => tracing::error!(connector = %name, kind, %error, "was not written down"),
        }
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Launch(_) => {
                let errand = self.errand(self.unit.due);
                let (on_spawn, spawned) = watch::channel(None);
                self.spawned = spawned;
                let outlets = self.outlets();
                if self.unit.due.is_some_and(|trigger| trigger != Trigger::DryRun) {
                    self.last_start = Some(Past::now());
                }
                self.job = Some(Box::pin(errand.start(outlets, on_spawn)));
            }
            Effect::Sync(trigger) => {
                // `unit` syncs only a process that is up.
                let Some(process) = self.process.clone() else { return };
                let errand = self.errand(Some(trigger));
                if trigger != Trigger::DryRun {
                    self.last_start = Some(Past::now());
                }
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

    fn errand(&mut self, trigger: Option<Trigger>) -> Errand {
        self.cancel = CancellationToken::new();
        Errand {
            host: self.host.clone(),
            connector: self.connector.clone(),
            trigger,
            credit: self.unit.credit,
            cancel: self.cancel.clone(),
            permit: self.permit.take(),
            sync: self.attempt.take(),
            begun: self.begun.clone(),
        }
    }

    async fn finished(&mut self, done: Done) -> Option<Event> {
        self.job = None;
        self.idle_since = Instant::now();
        let start = self.unit.start;
        match done.end {
            End::Ready(process) => {
                self.attempt = done.sync;
                self.permit = done.permit;
                self.process = Some(process);
                if self.cancel.is_cancelled() {
                    self.give_up(done.sync, &Fault::CalledOff).await;
                }
                Some(Event::Ready { start })
            }
            End::Decided(decision) => {
                self.close_run();
                // A dry run brings nothing that could be used.
                if decision != Decision::Tried {
                    self.view.send_modify(|view| view.failing = None);
                }
                Some(match decision {
                    Decision::Committed | Decision::Quarantined | Decision::Tried => {
                        Event::SyncDone { start }
                    }
                    Decision::Rejected => {
                        self.fails(Reason::Rejected);
                        let failure = Failure { reason: Reason::Rejected, retry_after: None };
                        Event::Failed { start, failure, alive: true, roll: fastrand::f64() }
                    }
                })
            }
            End::Failed(fault) => {
                self.remember_death(&fault);
                self.give_up(done.sync, &fault).await;
                self.close_run();
                let alive = fault.leaves_it_alive()
                    && self.process.as_ref().is_some_and(|it| it.death().is_none());
                let failure = fault.failure();
                Some(Event::Failed { start, failure, alive, roll: fastrand::f64() })
            }
        }
    }

    /// Nothing is left open that a panic would have to close.
    fn close_run(&self) {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Keeps how a process died that nobody buries, because it never became one.
    fn remember_death(&self, fault: &Fault) {
        let words = match fault {
            Fault::Start(StartError::Died(death)) | Fault::Session(SessionError::Died(death)) => {
                death_in_words(death)
            }
            fault => fault.to_string(),
        };
        let words = self.view.borrow().secrets.redactor().text(&words);
        self.view.send_modify(|view| view.last_death = Some(words));
    }

    /// Writes down that a start or a sync came to nothing.
    async fn give_up(&mut self, sync: Option<SyncNumber>, fault: &Fault) {
        self.attempt = None;
        let redactor = self.view.borrow().secrets.redactor();
        let (reason, happened) = (fault.failure().reason, redactor.text(&fault.to_string()));
        if let Fault::Start(_) = fault {
            let told = (self.unit.start, reason.tell(&happened));
            self.view.send_modify(|view| view.start_failed = Some(told));
        }
        if reason.class() != Class::Order {
            self.fails(reason);
        }
        let Some(sync) = sync else {
            if let Fault::Gate(_) = fault {
                self.unnoted(happened.clone());
            }
            return self.no_sync(reason, &happened).await;
        };
        let gate = Gate::new(&self.host, &self.connector);
        let noted = match fault {
            Fault::Session(SessionError::Protocol(violation)) => {
                gate.reject(sync, &violation.cleaned(&redactor), self.process.as_ref()).await
            }
            _ => gate.fail(sync, reason, &happened, self.process.as_ref()).await,
        };
        if let Err(error) = noted {
            tracing::error!(connector = %self.connector.name, %sync, %error, "a failed sync was not noted");
            self.unnoted(fault.to_string());
        }
    }

    /// Tells those who wait that the ledger will not tell them.
    fn unnoted(&self, why: String) {
        let ended = (self.connector.name.clone(), Finished::Unnoted(why));
        let _ = self.host.finished.send(ended);
    }

    /// A start that no sync waited for, or a sync that never got a number.
    async fn no_sync(&mut self, reason: Reason, error: &str) {
        if reason.class() == Class::Order {
            return;
        }
        let (name, reason) = (&self.connector.name, reason.as_str());
        tracing::error!(connector = %name, reason, error, "a start, or the begin of a sync, failed");
        let body = serde_json::json!({ "reason": reason, "error": error });
        self.note("connector.start-failed", body).await;
    }

    fn fails(&self, why: Reason) {
        self.view.send_modify(|view| {
            let since = view.failing.as_ref().map_or_else(Timestamp::now, |(since, _)| *since);
            view.failing = Some((since, why.as_str().to_owned()));
        });
    }

    fn buried(&mut self) -> Event {
        let mut reason = Reason::Requested;
        if let Some(death) = self.process.take().and_then(|process| process.death()) {
            reason = (&death.cause).into();
            if reason.class() != Class::Order {
                let words = death_in_words(&death);
                tracing::info!(
                    connector = %self.connector.name, reason = reason.as_str(), words, "a process ended"
                );
                self.view.send_modify(|view| view.last_death = Some(words));
            }
        }
        Event::Gone { start: self.unit.start, reason, roll: fastrand::f64() }
    }

    /// Lets others see how it stands.
    fn show(&self) {
        let next = match self.unit.wanted {
            unit::Wanted::Run => self.next_sync(),
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

async fn end_of(job: &mut Option<Job>) -> Done {
    match job {
        Some(job) => job.await,
        None => std::future::pending().await,
    }
}

async fn change_of(facts: &mut watch::Receiver<Facts>) {
    if facts.changed().await.is_err() {
        std::future::pending().await
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
