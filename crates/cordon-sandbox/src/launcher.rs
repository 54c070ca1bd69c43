//! Starts connectors through `cordon-jail`.
//!
//! One thread of its own spawns every launcher and lives as long as anything it started: a
//! parent-death signal follows the thread that spawned, not the process, so a worker thread of a
//! runtime that ended would take its connectors with it.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    host::Host,
    jailed::Jailed,
    keeper,
    lineage::{self, Lineage},
    program::Programs,
    report::{JailItem, Step},
    spec::{LaunchSpec, SpecError},
    tree,
};

/// How often orphans are collected.
const ORPHAN_ROUND: Duration = Duration::from_secs(1);

/// Why a connector was not started. Whatever was made for it is removed again.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// It cannot be started on any host.
    #[error("connector `{name}` cannot be started as it is configured")]
    Spec {
        /// The connector.
        name: String,
        /// What is wrong.
        source: SpecError,
    },
    /// Its directory could not be made.
    #[error("connector `{name}` was not started: no private directory in {work_root}")]
    PrivateDir {
        /// The connector.
        name: String,
        /// Where it should have been.
        work_root: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no such program, or it cannot be read.
    #[error("connector `{name}` was not started: cannot read {program}")]
    Program {
        /// The connector.
        name: String,
        /// Path of the program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is another program than the one that was pinned.
    #[error(
        "connector `{name}` was not started: {program} has digest {found}, and {pinned} is pinned"
    )]
    Pin {
        /// The connector.
        name: String,
        /// Path of the program.
        program: PathBuf,
        /// BLAKE3 in hex of what is there.
        found: String,
        /// BLAKE3 in hex of what should be.
        pinned: String,
    },
    /// The supervisor ran out of descriptors or memory.
    #[error("connector `{name}` was not started: no sockets and pipes for it")]
    Pipes {
        /// The connector.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// The launcher itself could not be executed.
    #[error("connector `{name}` was not started: cannot run {program}")]
    JailProgram {
        /// The connector.
        name: String,
        /// Path of `cordon-jail`.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A required step failed; the program was not executed.
    #[error("connector `{name}` was not started: step `{step}` failed: {detail}")]
    Step {
        /// The connector.
        name: String,
        /// Which step.
        step: Step,
        /// What it was about.
        detail: String,
        /// The kernel's answer.
        source: io::Error,
        /// The steps until then.
        items: Vec<JailItem>,
    },
    /// The launcher ended, or was killed, before it reported.
    #[error("connector `{name}` was not started: the launcher ended before it reported: {ended}")]
    Silent {
        /// The connector.
        name: String,
        /// How it ended.
        ended: String,
    },
    /// The launcher did not come to the end of its steps in time.
    #[error("connector `{name}` was not started: the launcher took longer than {seconds} s")]
    Slow {
        /// The connector.
        name: String,
        /// The time it had.
        seconds: u64,
    },
    /// The launcher could not be told what to do, or its answer was not understood.
    #[error("connector `{name}` was not started: no plain word from the launcher")]
    Garbled {
        /// The connector.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The launching thread or the runtime has ended.
    #[error("connector `{name}` was not started: the supervisor is shutting down")]
    Closed {
        /// The connector.
        name: String,
    },
}

/// A request to the launching thread.
pub(crate) struct Order {
    /// What becomes descriptors 0, 1 and 2 of the launcher.
    pub(crate) descriptors: [OwnedFd; 3],
    pub(crate) mark: u32,
    pub(crate) reply: oneshot::Sender<io::Result<Started>>,
}

/// A launcher that runs.
pub(crate) struct Started {
    pub(crate) pid: u32,
    pub(crate) handle: OwnedFd,
    pub(crate) lineage: Lineage,
}

/// The thread's door. The thread ends when the last of these is dropped.
#[derive(Clone)]
pub(crate) struct Thread {
    orders: mpsc::Sender<Order>,
}

impl Thread {
    pub(crate) fn send(&self, order: Order) -> bool {
        self.orders.send(order).is_ok()
    }
}

/// Starts connectors. Its thread lives until it and every connector that it started are gone.
pub struct Launcher {
    jail_program: PathBuf,
    host: Arc<Host>,
    programs: Arc<Programs>,
    thread: Thread,
}

impl Launcher {
    /// Starts the launching thread, and makes this process the parent of orphans.
    ///
    /// # Errors
    /// When there is no `jail_program`, or the kernel refuses the thread.
    pub fn start(jail_program: PathBuf, host: Arc<Host>) -> io::Result<Self> {
        let found = std::fs::metadata(&jail_program).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", jail_program.display()))
        })?;
        if !found.is_file() || !jail_program.is_absolute() {
            let text = format!("{} is not an absolute path of a program", jail_program.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        lineage::become_subreaper()?;
        let (orders, received) = mpsc::channel();
        let program = jail_program.clone();
        thread::Builder::new()
            .name("launcher".to_owned())
            .spawn(move || serve(&program, &received))?;
        let programs = Arc::default();
        Ok(Self { jail_program, host, programs, thread: Thread { orders } })
    }

    pub(crate) fn jail_program(&self) -> &Path {
        &self.jail_program
    }

    /// Starts one connector. Must be called within a tokio runtime, whose end leaves the connector
    /// to its parent-death signal.
    ///
    /// # Errors
    /// When the spec is unfit or a required step fails; then nothing of it is left.
    pub async fn spawn(&self, spec: LaunchSpec) -> Result<Jailed, SpawnError> {
        let name = spec.name.clone();
        spec.check().map_err(|source| SpawnError::Spec { name: name.clone(), source })?;
        let (reply, started) = oneshot::channel();
        // A task of its own, so that a caller who gives up half-way leaves nothing behind.
        tokio::spawn(keeper::keep(
            self.jail_program.clone(),
            Arc::clone(&self.host),
            Arc::clone(&self.programs),
            self.thread.clone(),
            spec,
            reply,
        ));
        started.await.unwrap_or(Err(SpawnError::Closed { name }))
    }
}

fn serve(jail_program: &Path, orders: &mpsc::Receiver<Order>) {
    loop {
        match orders.recv_timeout(ORPHAN_ROUND) {
            Ok(Order { descriptors, mark, reply }) => {
                // A caller that is gone drops what was started, and its keeper ends it.
                let _ = reply.send(start(jail_program, descriptors, mark));
            }
            Err(RecvTimeoutError::Timeout) => lineage::collect_orphans(),
            Err(RecvTimeoutError::Disconnected) => {
                lineage::collect_orphans();
                return;
            }
        }
    }
}

fn start(jail_program: &Path, descriptors: [OwnedFd; 3], mark: u32) -> io::Result<Started> {
    let [channel, control, log] = descriptors;
    // Nothing here needs a closure between fork and exec, so the library spawns without forking.
    let mut command = Command::new(jail_program);
    command.env_clear().stdin(channel).stdout(control).stderr(Stdio::from(log));
    let mut started = 0;
    let lineage = Lineage::begin(mark, || {
        started = command.spawn()?.id();
        Ok(started)
    })?;
    // It is not collected yet, so the number is still its own.
    match tree::handle(started) {
        Some(handle) => Ok(Started { pid: started, handle, lineage }),
        None => {
            let error = io::Error::last_os_error();
            tree::kill_unhandled(started);
            lineage.end();
            Err(error)
        }
    }
}
