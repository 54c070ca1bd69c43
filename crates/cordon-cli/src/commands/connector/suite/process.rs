//! The program as a child of this command, with the socket that it is spoken to over.
//!
//! It gets the environment of a host's connector and a folder of its own. Nothing limits its memory
//! here but a watch that ends it before the machine suffers.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cordon_sdk::Error;
use cordon_sdk::conformance::Subject;
use nix::libc::{SIGKILL, SIGTERM};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::heard::{self, Heard};
use crate::commands::connector::settings::Settings;

/// A program that takes more memory is ended.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// How often its memory is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// From the break of a connection to the death that caused it.
const DEATH_WAIT: Duration = Duration::from_millis(200);

/// What every process of the program tells.
#[derive(Default)]
struct Shared {
    heard: Arc<Mutex<Heard>>,
    /// How one ended that nobody ended.
    end: Arc<Mutex<Option<String>>>,
}

/// The program under trial.
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    folder: TempDir,
    shared: Shared,
}

/// One process of it; ended when dropped.
pub(super) struct Running {
    pid: Pid,
    exit: watch::Receiver<Option<ExitStatus>>,
    is_ours: Arc<Mutex<bool>>,
}

impl Program {
    pub(super) fn new(settings: &Settings) -> std::io::Result<Self> {
        Ok(Self {
            path: settings.program.clone(),
            arguments: settings.arguments(),
            folder: tempfile::Builder::new().prefix("cordon-test-").tempdir()?,
            shared: Shared::default(),
        })
    }

    /// What all of its processes wrote so far.
    pub(super) fn heard(&self) -> Heard {
        self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How a process of it ended that nobody had ended, if one did; told once.
    pub(super) fn end_of_its_own(&self) -> Option<String> {
        self.shared.end.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Subject for Program {
    type Life = Running;

    async fn start(&self) -> Result<(UnixStream, Running), Error> {
        let program = self.path.display();
        let failed = |error| Error::unavailable(format!("cannot start {program}")).caused_by(error);
        let (near, far) = UnixStream::pair().map_err(failed)?;
        let mut child = Command::new(&self.path)
            .args(&self.arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("CORDON_FD", "0")
            .env("TMPDIR", self.folder.path())
            .env("HOME", self.folder.path())
            .env("LANG", "C.UTF-8")
            .stdin(OwnedFd::from(far))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let pid = Pid::from_raw(child.id().unwrap_or_default().cast_signed());
        let (told, exit) = watch::channel(None);
        let is_ours = Arc::new(Mutex::new(false));
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            tokio::spawn(heard::output(stdout, Arc::clone(&self.shared.heard)));
            tokio::spawn(heard::log(stderr, Arc::clone(&self.shared.heard), exit.clone()));
        }
        let end = Arc::clone(&self.shared.end);
        tokio::spawn(attend(child, told, Arc::clone(&is_ours), end));
        Ok((near, Running { pid, exit, is_ours }))
    }
}

/// Stays with a process until it has ended.
async fn attend(
    mut child: Child,
    told: watch::Sender<Option<ExitStatus>>,
    is_ours: Arc<Mutex<bool>>,
    end: Arc<Mutex<Option<String>>>,
) {
    let mut looks = tokio::time::interval(LOOK);
    let mut is_too_large = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            _ = looks.tick() => {
                if memory_bytes(child.id().unwrap_or_default()) > MEMORY_BYTES_MAX {
                    is_too_large = true;
                    let _ = child.start_kill();
                }
            }
        }
    };
    let Ok(status) = status else { return };
    let ours = *is_ours.lock().unwrap_or_else(PoisonError::into_inner);
    let words = match is_too_large {
        true => "it took more than 1 GiB of memory and was ended".to_owned(),
        false => format!("its process ended by itself: {status}"),
    };
    // What was ended while it was dying still tells what it died of.
    let is_orderly = status.success() || matches!(status.signal(), Some(SIGKILL | SIGTERM));
    if !ours || is_too_large || !is_orderly {
        *end.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
    }
    told.send_replace(Some(status));
}

impl Running {
    pub(super) fn signal(&self, signal: Signal) {
        self.expect_end();
        let _ = kill(self.pid, signal);
    }

    /// Its end is no surprise from now on.
    pub(super) fn expect_end(&self) {
        *self.is_ours.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Waits for its end; `false` when it went on for so long.
    pub(super) async fn ends(&mut self, within: Duration) -> bool {
        matches!(tokio::time::timeout(within, self.exit.wait_for(Option::is_some)).await, Ok(Ok(_)))
    }

    /// Memory that it holds.
    pub(super) fn memory_bytes(&self) -> u64 {
        memory_bytes(self.pid.as_raw().cast_unsigned())
    }

    /// Whether one of its threads runs, or would if it could.
    pub(super) fn is_busy(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid));
        threads.into_iter().flatten().flatten().any(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // What follows the name, which may hold spaces, is the state.
            stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('R'))
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // What ended a moment ago ended by itself.
        self.expect_end();
        let _ = killpg(self.pid, Signal::SIGKILL);
    }
}

/// Waits a moment for a death that may be behind a connection that broke.
pub(super) async fn settle() {
    tokio::time::sleep(DEATH_WAIT).await;
}

fn memory_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default().saturating_mul(1_024)
}

/// Children whose parent ended become ours from now on.
pub(super) fn adopt_orphans() {
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Ends every child of ours, and gives the command lines of those that lived.
pub(super) fn end_orphans() -> Vec<String> {
    let own = std::process::id();
    let mut lived = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let mut fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let (state, parent) = (fields.next(), fields.next().and_then(|it| it.parse::<u32>().ok()));
        if parent != Some(own) {
            continue;
        }
        if state != Some("Z") {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned();
            lived.push(line);
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
    }
    lived
}
