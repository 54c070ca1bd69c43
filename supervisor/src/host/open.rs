//! Opening the state directory: the lock, the ledger, the store, and what a crash left.
//!
//! The service never starts on half of its state, and deletes nothing that it cannot read: whatever
//! is damaged is named, and a person decides.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use anyhow::Context;
use cordon_ledger::{Ledger, RunOutcome, RunRow, SUPERVISOR_ENDED};
use cordon_model::ConnectorName;
use cordon_sandbox::Launcher;
use cordon_store::{Snapshot, Store};
use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};
use tokio::sync::{Semaphore, broadcast};

use super::{Host, Loaded};
use crate::bell::Bell;
use crate::config::Config;
use crate::faults::Hook;
use crate::limits;
use crate::reason::{Class, Reason};
use crate::session::Crowd;
use crate::starts::Starts;
use crate::view::Facts;

/// Held as long as this process uses the state directory.
pub(super) struct StateLock(std::sync::Mutex<Option<Flock<File>>>);

impl StateLock {
    fn take(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join("lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).read(true).mode(0o600);
        let file =
            options.open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                use std::io::Write;
                lock.set_len(0)?;
                writeln!(lock, "{}", std::process::id())?;
                Ok(Self(std::sync::Mutex::new(Some(lock))))
            }
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                let holder = std::fs::read_to_string(&path).unwrap_or_default();
                anyhow::bail!(
                    "{} is in use by another cordond (pid {}); nothing was touched\n  hint: stop it \
                     first, or give this one a data_dir of its own",
                    dir.display(),
                    holder.trim()
                )
            }
            Err((_, errno)) => {
                Err(errno).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    pub(super) fn release(&self) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    }
}

/// Opens everything and starts what is configured.
pub(crate) async fn open(config: Config, faults: Hook, dev: bool) -> anyhow::Result<Arc<Host>> {
    let dir = config.daemon.data_dir.clone();
    // A connector with a user id of its own must be able to reach its private folder, and no more.
    for (folder, mode) in
        [(dir.clone(), 0o711), (dir.join("work"), 0o711), (dir.join("logs"), 0o700)]
    {
        make_dir(&folder, mode)?;
    }
    let lock = StateLock::take(&dir)?;
    let now = Timestamp::now();
    let ledger = Ledger::open(&dir.join("cordon.db"), now).await.map_err(refused)?;
    let ledger = ledger.with_faults(faults.clone());
    let store_dir = dir.join("store");
    let hook = faults.clone();
    let store = tokio::task::spawn_blocking(move || {
        hook("host.opening");
        Store::open(&store_dir).map(|store| store.with_faults(hook))
    })
    .await?
    .map_err(refused)?;
    let tag = tag(&dir);
    let work_root = dir.join("work");
    let isolation = Arc::new(cordon_sandbox::Host::probe("cordon"));
    cordon_sandbox::become_subreaper().context("cannot become the reaper of orphans")?;
    let parent = cordon_sandbox::CgroupParent::Tag(tag.clone());
    let swept = cordon_sandbox::sweep_leftovers(&isolation, &parent, &work_root)
        .context("cannot sweep what an earlier supervisor left")?;
    if swept != cordon_sandbox::Swept::default() {
        tracing::warn!(?swept, "swept what an earlier supervisor left");
    }
    let launcher = Launcher::start(Host::jail_program()?, isolation.clone())
        .context("cannot start the launcher's thread")?;
    let host = Arc::new(Host {
        store,
        ledger,
        launcher,
        isolation,
        starts: Starts::new(limits::STARTS_AT_A_TIME, limits::START_SPREAD),
        syncs: Arc::new(Semaphore::new(config.daemon.max_concurrent_syncs)),
        crowd: Crowd::default(),
        work_root,
        tag,
        faults,
        dev,
        turns: super::turns::Turns::default(),
        bell: Bell::new(),
        finished: broadcast::channel(limits::EVENTS_IN_FLIGHT).0,
        started_at: now,
        config: RwLock::new(Loaded { config: Arc::new(config), at: now }),
        connectors: RwLock::new(BTreeMap::new()),
        sinks: RwLock::new(BTreeMap::new()),
        lock,
    });
    host.recover(now).await?;
    Ok(host)
}

impl Host {
    /// Sets right what a crash left between two steps. A clean stop leaves nothing to do here.
    async fn recover(self: &Arc<Self>, now: Timestamp) -> anyhow::Result<()> {
        self.refuse_lost_records().await?;
        let recovered = self.ledger.recover(now).await?;
        for (connector, sync) in &recovered.failed {
            tracing::warn!(%connector, %sync, "the supervisor ended during this sync; it is failed");
        }
        self.verify_last_good().await?;
        self.withdraw_unknown().await?;
        self.settle_waiting().await?;
        self.sweep().await?;
        let version = env!("CARGO_PKG_VERSION");
        let body = serde_json::json!({ "version": version, "interrupted": recovered.failed.len() });
        self.ledger.append_event("service.started", None, "cordond", body, now).await?;
        Ok(())
    }

    /// A run is in the ledger before anything of it is in the store. A snapshot without one says that
    /// the ledger lost its newest records: its log was cut or thrown away, which SQLite takes for the
    /// log's end. To go on would number other changes like those that sinks got already.
    async fn refuse_lost_records(&self) -> anyhow::Result<()> {
        let store = self.store.clone();
        let newest = tokio::task::spawn_blocking(move || {
            let connectors = store.connectors()?.into_iter();
            let newest = connectors.map(|name| Ok((store.newest(&name)?, name)));
            newest.collect::<Result<Vec<_>, cordon_store::ReadError>>()
        });
        for (newest, connector) in newest.await?? {
            let Some(sync) = newest else { continue };
            anyhow::ensure!(
                self.ledger.run(&connector, sync).await?.is_some(),
                "the ledger {} lost its newest records: snapshot {sync} of `{connector}` is stored, \
                 and the ledger knows nothing of that sync\n  still: nothing was changed or deleted, \
                 and no connector was started\n  hint: restore cordon.db and cordon.db-wal together \
                 from a backup of {}",
                self.ledger.path().display(),
                self.data_dir().display()
            );
        }
        Ok(())
    }

    /// Every last known good must be there, with the files that its manifest names.
    async fn verify_last_good(&self) -> anyhow::Result<()> {
        for row in self.ledger.all_last_good().await? {
            let store = self.store.clone();
            let (connector, sync) = (row.connector.clone(), row.sync);
            let checked = tokio::task::spawn_blocking(move || {
                let snapshot = store.snapshot(&connector, sync)?;
                store.check_files(&snapshot)?;
                Ok::<Snapshot, cordon_store::ReadError>(snapshot)
            });
            let snapshot = checked.await?.map_err(|error| {
                anyhow::anyhow!(
                    "the last known good of `{}`, snapshot {}, is damaged: {}\n  still: nothing was \
                     deleted, and no connector was started\n  hint: restore the file from a backup of {}",
                    row.connector,
                    row.sync,
                    crate::session::chain(&error),
                    self.data_dir().display()
                )
            })?;
            anyhow::ensure!(
                *snapshot.digest == *row.digest,
                "snapshot {} of `{}` has digest {}, the ledger knows it as {}\n  still: nothing was \
                 deleted, and no connector was started",
                row.sync,
                row.connector,
                snapshot.digest,
                row.digest
            );
        }
        Ok(())
    }
}

impl Host {
    /// A crash between the store's rename and the ledger's transaction leaves a snapshot that
    /// nobody was told of; it becomes a candidate again.
    async fn withdraw_unknown(&self) -> anyhow::Result<()> {
        let mut known = BTreeMap::new();
        for row in self.ledger.all_last_good().await? {
            known.insert(row.connector, row.sync);
        }
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || {
            for connector in store.connectors()? {
                while let Some(newest) = store.newest(&connector)?
                    && known.get(&connector).is_none_or(|sync| *sync < newest)
                {
                    tracing::warn!(%connector, sync = %newest, "withdrew a snapshot of an unfinished commit");
                    store.withdraw(&connector, newest)?;
                }
            }
            Ok::<_, anyhow::Error>(())
        });
        done.await?
    }
}

impl Host {
    /// A crash around the publication of a part leaves two manifests of what waits; the ledger knows
    /// which counts. One that is damaged waits on for a person, who cannot release it.
    async fn settle_waiting(&self) -> anyhow::Result<()> {
        for row in self.ledger.quarantined(None).await? {
            let store = self.store.clone();
            let (name, sync) = (row.connector.clone(), row.sync);
            let settled = tokio::task::spawn_blocking(move || {
                store.settle(&row.connector, row.sync, &row.digest)
            });
            if let Err(error) = settled.await? {
                let error = crate::session::chain(&error);
                tracing::error!(connector = %name, %sync, error, "what waits is not as it was");
            }
        }
        Ok(())
    }
}

/// What the ledger knows of a connector.
pub(super) async fn facts(ledger: &Ledger, name: &ConnectorName) -> anyhow::Result<Facts> {
    let last_good = ledger.last_good(name).await?;
    let last_good_run = match &last_good {
        Some(row) => ledger.run(name, row.sync).await?,
        None => None,
    };
    let quarantined = ledger.quarantined(Some(name)).await?.into_iter().next();
    let asked = ledger.release_requests(Some(name)).await?.into_iter().next();
    let standing = super::policies::standing(ledger, name).await?;
    Ok(Facts { last_good, last_good_run, quarantined, asked, standing })
}

/// When the sync began from which the schedule counts, given the newest runs, newest first.
///
/// A sync that the end of the service interrupted stays due, so it is not counted from. One that a
/// crash interrupted twice is: if it is the sync that takes the service down, it must not do so at
/// every start.
pub(super) fn last_start(runs: &[RunRow]) -> Option<Timestamp> {
    let newest = runs.first()?;
    let twice = || runs.get(1).is_some_and(crashed);
    let due = called_off(newest) || (crashed(newest) && !twice());
    (!due).then_some(newest.started_at)
}

/// An order came between, as the one to stop the service.
fn called_off(run: &RunRow) -> bool {
    let reason = Reason::of_text(run.error.as_deref().unwrap_or_default());
    let ordered = reason.is_some_and(|reason| reason.class() == Class::Order);
    run.outcome == RunOutcome::Failed && ordered
}

/// The service ended in the middle of it.
fn crashed(run: &RunRow) -> bool {
    run.outcome == RunOutcome::Failed && run.error.as_deref() == Some(SUPERVISOR_ENDED)
}

/// Since when syncs fail and why, as far as the newest run tells.
pub(super) fn failing(newest: Option<&RunRow>) -> Option<(Timestamp, String)> {
    let run = newest?;
    let reason = Reason::of_text(run.error.as_deref().unwrap_or_default());
    let failed = matches!(run.outcome, RunOutcome::Failed | RunOutcome::Rejected);
    let why = reason.unwrap_or(match run.outcome {
        RunOutcome::Rejected => Reason::Rejected,
        // The service ended while it ran.
        _ => Reason::Shutdown,
    });
    let since = run.ended_at.unwrap_or(run.started_at);
    (failed && !called_off(run)).then(|| (since, why.as_str().to_owned()))
}

fn refused(error: impl std::error::Error) -> anyhow::Error {
    anyhow::anyhow!("{}\n  still: nothing was changed or deleted", crate::session::chain(&error))
}

/// Makes a folder that is not there yet; one that is there is as somebody wanted it.
fn make_dir(path: &Path, mode: u32) -> anyhow::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    // A service has a mask of its own, which took away what others need to pass through.
    made.and_then(|()| std::fs::set_permissions(path, Permissions::from_mode(mode)))
        .with_context(|| format!("cannot make the folder {}", path.display()))
}

/// A short name for a state directory, the same at every start.
fn tag(dir: &Path) -> String {
    let path: PathBuf = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex()[..12].to_owned()
}

#[cfg(test)]
mod tests;
