//! A running connector, in the hands of the supervisor.

use std::{
    fmt, fs,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex, PoisonError},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid},
};
use tokio::{
    net::unix::pipe,
    sync::{Notify, watch},
};

use crate::{
    cgroup::Groups,
    death::{Death, DeathCause, KillReason},
    egress::Relay,
    report::JailReport,
};

/// What the supervisor's side and the keeper of one start share.
pub(crate) struct Shared {
    /// The first process: the connector, or its guard.
    pub(crate) pid: u32,
    pub(crate) handle: OwnedFd,
    pub(crate) groups: Groups,
    ordered: Mutex<Option<KillReason>>,
    pub(crate) kill: Notify,
}

impl Shared {
    pub(crate) fn new(pid: u32, handle: OwnedFd, groups: Groups) -> Self {
        Self { pid, handle, groups, ordered: Mutex::new(None), kill: Notify::new() }
    }

    /// The reason of the first order to kill that found it alive.
    pub(crate) fn ordered(&self) -> Option<KillReason> {
        *self.ordered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn order(&self, reason: KillReason) {
        let mut ordered = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        if ordered.is_some() {
            return;
        }
        // What is dead already did not die of this order.
        if !self.has_ended() {
            *ordered = Some(reason);
            // The rest of the tree follows by the keeper; this one is certain at once.
            let _ = pidfd_send_signal(&self.handle, Signal::KILL);
        }
        drop(ordered);
        self.kill.notify_one();
    }

    pub(crate) fn has_ended(&self) -> bool {
        let mut poll_fds = [PollFd::new(&self.handle, PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut poll_fds, Some(&now)).is_ok_and(|ready| ready > 0)
    }
}

/// A connector that runs. Dropping it kills the connector.
pub struct Jailed {
    pub(crate) shared: Arc<Shared>,
    pub(crate) report: JailReport,
    pub(crate) channel: Option<UnixStream>,
    pub(crate) output: Option<pipe::Receiver>,
    pub(crate) relays: Vec<Relay>,
    pub(crate) death: watch::Receiver<Option<Death>>,
}

impl Jailed {
    /// Process id of the connector.
    pub fn pid(&self) -> u32 {
        self.report.pid
    }

    /// Under which isolation it runs.
    pub fn report(&self) -> &JailReport {
        &self.report
    }

    /// Our end of its channel, non-blocking. `None` when taken before.
    pub fn take_channel(&mut self) -> Option<UnixStream> {
        self.channel.take()
    }

    /// What it writes to its standard output and error. `None` when taken before. While nobody
    /// reads, its writes block once the pipe is full.
    pub fn take_output(&mut self) -> Option<pipe::Receiver> {
        self.output.take()
    }

    /// The places that it may connect to, when its network is its own. Empty when taken before.
    /// While nobody accepts, its connections wait.
    pub fn take_relays(&mut self) -> Vec<Relay> {
        std::mem::take(&mut self.relays)
    }

    /// A handle that ends it.
    pub fn killer(&self) -> Killer {
        Killer { shared: Arc::clone(&self.shared) }
    }

    /// Waits for the end of the whole tree, or until what is left of it could not be ended within
    /// ten seconds. May be dropped and called again.
    pub async fn wait(&mut self) -> Death {
        match self.death.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(death)) => death.clone(),
            // Its keeper was dropped with the runtime, and killed it then.
            _ => Death {
                cause: DeathCause::Killed {
                    reason: self.shared.ordered().unwrap_or(KillReason::Shutdown),
                },
                memory_peak_bytes: None,
                cpu_time: None,
                oom_kills: 0,
                pids_denied: 0,
                survivors: 0,
            },
        }
    }

    /// Most memory in use at once so far.
    pub fn memory_peak_bytes(&self) -> Option<u64> {
        self.shared.groups.memory_peak_bytes().or_else(|| {
            // Once it ended, its number may be another's.
            if self.shared.has_ended() {
                return None;
            }
            let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
            kib.checked_mul(1024)
        })
    }

    /// Whether its first process is stopped by a signal. A guard stops when the connector does.
    pub fn is_stopped(&self) -> bool {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let told = waitid(WaitId::PidFd(self.shared.handle.as_fd()), options);
        matches!(told, Ok(Some(status)) if status.stopped())
    }
}

impl Drop for Jailed {
    fn drop(&mut self) {
        if self.death.borrow().is_none() {
            self.shared.order(KillReason::Requested);
        }
    }
}

impl fmt::Debug for Jailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jailed").field("report", &self.report).finish_non_exhaustive()
    }
}

/// Ends a connector, from any thread.
#[derive(Clone)]
pub struct Killer {
    shared: Arc<Shared>,
}

impl Killer {
    /// Orders the end of the whole tree and returns at once; [`Jailed::wait`] tells when it is
    /// gone. The first reason is the one that counts.
    pub fn kill(&self, reason: KillReason) {
        self.shared.order(reason);
    }
}

impl fmt::Debug for Killer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Killer").field("pid", &self.shared.pid).finish()
    }
}
