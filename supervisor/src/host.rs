//! The host: where the parts meet. Opens what is shared, starts a task for each connector and each
//! sink, and steers towards the configuration.
//!
//! First start, restart after a crash and reload take one path: [`Host::apply`] compares what runs
//! with what is configured, and touches only what differs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};

use cordon_ledger::{Ledger, Wanted};
use cordon_model::{ConnectorName, SyncNumber};
use cordon_sandbox::{CgroupParent, HostItem, Launcher, SpawnError};
use cordon_store::Store;
use jiff::Timestamp;
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bell::Bell;
use crate::clock::Past;
use crate::config::{Config, Connector};
use crate::faults::Hook;
use crate::limits;
use crate::logs::Logs;
use crate::outbox::{Outbox, SinkView};
use crate::process;
use crate::runner::{Command, Inputs, Runner};
use crate::session::{Crowd, Progress};
use crate::starts::Starts;
use crate::unit::Unit;
use crate::view::{Facts, View};

mod named;
mod open;
mod plan;
mod policies;
mod reload;
mod retention;
mod rotate;
mod rules;
mod settings;
mod turns;

pub(crate) use open::open;
pub(crate) use rules::{misfits, speaks_of_types};

/// Everything that tasks share.
pub(crate) struct Host {
    /// Candidates and snapshots.
    pub(crate) store: Store,
    /// Runs, decisions, evidence.
    pub(crate) ledger: Ledger,
    /// Starts processes.
    pub(crate) launcher: Launcher,
    /// What this host gives.
    pub(crate) isolation: Arc<cordon_sandbox::Host>,
    /// One permit a running sync.
    pub(crate) syncs: Arc<Semaphore>,
    /// The syncs that are read.
    pub(crate) crowd: Crowd,
    /// Turns at starting a process.
    pub(crate) starts: Starts,
    /// Where connectors' private folders are made.
    pub(crate) work_root: PathBuf,
    /// Names this state directory among all on the host.
    pub(crate) tag: String,
    /// Drills.
    pub(crate) faults: Hook,
    /// In development: secrets may stand in the configuration.
    pub(crate) dev: bool,
    /// Turns at deciding about a connector.
    pub(crate) turns: turns::Turns,
    /// Rung when the ledger says something new.
    pub(crate) bell: Bell,
    /// Syncs that ended.
    pub(crate) finished: broadcast::Sender<(ConnectorName, Finished)>,
    /// When the service started.
    pub(crate) started_at: Timestamp,
    config: RwLock<Loaded>,
    connectors: RwLock<BTreeMap<ConnectorName, Handle>>,
    sinks: RwLock<BTreeMap<String, SinkHandle>>,
    lock: open::StateLock,
}

/// How a sync ended, for those who wait for it.
#[derive(Debug, Clone)]
pub(crate) enum Finished {
    /// The ledger says how.
    Noted(SyncNumber),
    /// The ledger could not be written, for this reason.
    Unnoted(String),
    /// It did not begin, and will not before another order: the connector is stopped or paused.
    NotBegun,
}

/// The configuration in force.
#[derive(Clone)]
pub(crate) struct Loaded {
    /// What it says.
    pub(crate) config: Arc<Config>,
    /// Since when it is in force.
    pub(crate) at: Timestamp,
}

/// A connector's task, from outside.
#[derive(Clone)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
    /// How it stands.
    pub(crate) view: watch::Receiver<View>,
    /// How far its sync is.
    pub(crate) progress: watch::Receiver<Option<(SyncNumber, Progress)>>,
    facts: Arc<watch::Sender<Facts>>,
    task: Arc<tokio::sync::Mutex<Option<JoinHandle<()>>>>,
}

/// A sink's task, from outside.
struct SinkHandle {
    view: watch::Receiver<SinkView>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Handle {
    /// What the ledger knows of it.
    pub(crate) fn facts(&self) -> Facts {
        self.facts.borrow().clone()
    }

    /// Hears of every change of the facts.
    pub(crate) fn watch_facts(&self) -> watch::Receiver<Facts> {
        self.facts.subscribe()
    }

    /// Tells its task. A task that is gone needs no telling.
    pub(crate) async fn tell(&self, command: Command) {
        let _ = self.commands.send(command).await;
    }

    async fn ended(&self) {
        if let Some(task) = self.task.lock().await.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "a connector's task panicked");
        }
    }
}

impl Host {
    /// Builds the walls of a connector once, and tells which of them stand on this host.
    pub(crate) async fn try_walls(&self) -> Result<Vec<HostItem>, SpawnError> {
        let cgroup = CgroupParent::Tag(self.tag.clone());
        let user = process::own_user(&self.tag, "trial");
        self.launcher.try_walls(&self.work_root, cgroup, user).await
    }

    /// The configuration in force.
    pub(crate) fn loaded(&self) -> Loaded {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connector's task.
    pub(crate) fn connector(&self, name: &ConnectorName) -> Option<Handle> {
        self.connectors.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All connectors' tasks.
    pub(crate) fn connectors(&self) -> BTreeMap<ConnectorName, Handle> {
        self.connectors.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How every sink stands.
    pub(crate) fn sinks(&self) -> Vec<SinkView> {
        let sinks = self.sinks.read().unwrap_or_else(PoisonError::into_inner);
        sinks.values().map(|sink| sink.view.borrow().clone()).collect()
    }

    /// Reads again what the ledger knows of a connector, and wakes whoever waits for it.
    pub(crate) async fn refresh(&self, name: &ConnectorName) {
        match self.facts(name).await {
            Ok(facts) => {
                if let Some(handle) = self.connector(name) {
                    handle.facts.send_replace(facts);
                }
            }
            Err(error) => tracing::error!(connector = %name, %error, "cannot read the ledger"),
        }
        self.bell.ring();
    }

    /// What is known of a connector beside its task.
    async fn facts(&self, name: &ConnectorName) -> anyhow::Result<Facts> {
        let mut facts = open::facts(&self.ledger, name).await?;
        facts.standing.extend(self.misnamed(name).await);
        Ok(facts)
    }

    /// Starts a connector's task.
    async fn start_connector(
        self: &Arc<Self>,
        connector: Arc<Connector>,
        wanted: Wanted,
    ) -> anyhow::Result<()> {
        let name = connector.name.clone();
        let facts = self.facts(&name).await?;
        let runs = self.ledger.syncs(&name, 2).await?;
        let last_start = open::last_start(&runs).map(Past::written);
        let logs = self.loaded().config.daemon.data_dir.join("logs").join(format!("{name}.log"));
        let (commands, orders) = mpsc::channel(limits::COMMANDS);
        let (view, seen) = watch::channel(View {
            connector: connector.clone(),
            wanted,
            unit: Unit::new(crate::unit::Wanted::Run),
            unit_time: Default::default(),
            next_sync: None,
            pid: None,
            restarts: 0,
            ran: None,
            failing: open::failing(runs.first()),
            last_death: None,
            start_failed: None,
            logs: Arc::new(Logs::new(logs)),
            secrets: Arc::default(),
            flows: Arc::default(),
        });
        let (progress, shown) = watch::channel(None);
        let facts = Arc::new(watch::channel(facts).0);
        let inputs = Inputs { commands: orders, facts: facts.subscribe() };
        let runner = Runner::new(self.clone(), connector, inputs, view, progress, last_start);
        let handle = Handle {
            commands,
            view: seen,
            progress: shown,
            facts,
            task: Arc::new(tokio::sync::Mutex::new(Some(tokio::spawn(runner.run())))),
        };
        let mut connectors = self.connectors.write().unwrap_or_else(PoisonError::into_inner);
        connectors.insert(name, handle);
        Ok(())
    }

    async fn stop_connector(&self, name: &ConnectorName) {
        let handle = {
            let mut connectors = self.connectors.write().unwrap_or_else(PoisonError::into_inner);
            connectors.remove(name)
        };
        if let Some(handle) = handle {
            handle.tell(Command::Shutdown).await;
            handle.ended().await;
        }
    }

    fn start_sink(self: &Arc<Self>, sink: crate::config::Sink) {
        let name = sink.name.clone();
        let stop = CancellationToken::new();
        let (outbox, view) = Outbox::new(self.clone(), sink, stop.clone());
        let task = tokio::spawn(outbox.run());
        let mut sinks = self.sinks.write().unwrap_or_else(PoisonError::into_inner);
        sinks.insert(name, SinkHandle { view, stop, task });
    }

    async fn stop_sink(&self, name: &str) {
        let handle = {
            let mut sinks = self.sinks.write().unwrap_or_else(PoisonError::into_inner);
            sinks.remove(name)
        };
        if let Some(handle) = handle {
            handle.stop.cancel();
            if let Err(error) = handle.task.await {
                tracing::error!(sink = %name, %error, "a sink's task panicked");
            }
        }
    }

    /// Ends everything in order: no new sync; running ones to their end, or called off when their
    /// time is up or `hurry` is done; processes dead; deliveries at a boundary.
    pub(crate) async fn shut_down(&self, hurry: impl Future<Output = ()>) {
        let connectors = self.connectors();
        for handle in connectors.values() {
            handle.tell(Command::Drain).await;
        }
        let mut all = pin!(futures::future::join_all(connectors.values().map(Handle::ended)));
        let drained = tokio::select! {
            _ = &mut all => true,
            () = tokio::time::sleep(limits::SHUTDOWN_TIMEOUT) => false,
            () = hurry => false,
        };
        if !drained {
            tracing::warn!("calling off the syncs that still run; they stay due");
            for handle in connectors.values() {
                handle.tell(Command::Shutdown).await;
            }
            if tokio::time::timeout(limits::CALL_OFF_TIMEOUT, all).await.is_err() {
                tracing::warn!("some connectors did not end in time; what is left ends with us");
            }
        }
        let names: Vec<String> = {
            let sinks = self.sinks.read().unwrap_or_else(PoisonError::into_inner);
            sinks.keys().cloned().collect()
        };
        for name in names {
            self.stop_sink(&name).await;
        }
        let body = serde_json::json!({});
        let told =
            self.ledger.append_event("service.stopped", None, "cordond", body, Timestamp::now());
        if let Err(error) = told.await {
            tracing::error!(%error, "the end of the service was not written down");
        }
        self.lock.release();
    }

    /// The folder of all state.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.loaded().config.daemon.data_dir.clone()
    }

    /// The program that restricts itself and becomes a connector: beside `cordond`, or where
    /// packages put it.
    pub(crate) fn jail_program() -> anyhow::Result<PathBuf> {
        let beside = std::env::current_exe()?.parent().map(|dir| dir.join("cordon-jail"));
        let packaged = Path::new("/usr/lib/cordon/cordon-jail").to_owned();
        beside.into_iter().chain([packaged]).find(|path| path.is_file()).ok_or_else(|| {
            anyhow::anyhow!("cordon-jail is neither beside cordond nor in /usr/lib/cordon")
        })
    }
}
