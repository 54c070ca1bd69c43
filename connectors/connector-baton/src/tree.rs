//! Ends a child with everything that it started.
//!
//! A child's group ends with one signal. What left the group becomes a child of this process when its
//! own parent ends, since this process asks for orphans; so the children that are new are killed until
//! there are none. The jail would end them, too, but only with this connector.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// How long what is left over may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks the kernel to give this process the orphans of its children.
pub(crate) fn adopt_orphans() {
    // Any process will do; the call takes it for yes.
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        tracing::warn!(%error, "what a child leaves behind ends with this process only");
    }
}

/// Children of this process that have nothing to do with the one to be started.
pub(crate) struct Others(HashSet<i32>);

impl Others {
    pub(crate) fn now() -> Self {
        Self(children().collect())
    }

    /// Kills the group of a child that was not waited for yet.
    pub(crate) fn kill_group(leader: i32) {
        let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
    }

    /// Kills what is left when the child itself has ended and was waited for.
    pub(crate) async fn sweep(&self) {
        let until = Instant::now() + ENDS_WITHIN;
        loop {
            let left: Vec<i32> = children().filter(|pid| !self.0.contains(pid)).collect();
            if left.is_empty() {
                return;
            }
            for pid in left.into_iter().map(Pid::from_raw) {
                let _ = kill(pid, Signal::SIGKILL);
                let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
            }
            if Instant::now() > until {
                tracing::warn!("what the Baton connector started does not end");
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Processes whose parent is this one.
fn children() -> impl Iterator<Item = i32> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter(move |pid| parent(*pid) == Some(own))
}

fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // A name may hold anything; its end is the last bracket.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok()
}
