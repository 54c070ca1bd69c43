//! Ends a tree, and reads what the kernel kept of its first process.

use std::{
    os::fd::AsFd,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::{jailed::Shared, lineage::Lineage, private_dir, tree};

/// What became of a tree.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ended {
    /// As `waitpid` gives it for the first process; `None` when that one does not die.
    pub(super) wait_status: Option<i32>,
    /// `None` while the first process is not collected.
    pub(super) used: Option<Used>,
    pub(super) survivors: usize,
}

/// Kills whatever is left of the tree until nothing is, or the time is over. The first process is
/// collected only when all else is gone: until then its number stays its own, and the number is
/// what its session and children are found by.
pub(super) fn end_tree(shared: &Shared, lineage: Lineage, within: Duration) -> Ended {
    let deadline = Instant::now() + within;
    let mut pause = Duration::from_millis(1);
    loop {
        shared.groups.kill();
        let survivors = survivors(shared, lineage);
        if survivors == 0 {
            return collect(shared.pid);
        }
        if Instant::now() >= deadline {
            return Ended { wait_status: peek(shared), used: None, survivors };
        }
        tree::kill_each(|| lineage.members());
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn survivors(shared: &Shared, lineage: Lineage) -> usize {
    let mut left = shared.groups.members();
    left.extend(lineage.members());
    left.len()
}

pub(super) fn remove_groups(shared: &Shared, within: Duration) {
    // A group is busy for a moment after the last process in it ended.
    let deadline = Instant::now() + within;
    while !shared.groups.remove() {
        if Instant::now() >= deadline {
            tracing::warn!(pid = shared.pid, "control groups stay until the next sweep");
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

pub(super) fn remove_dir(dir: &Path) {
    if let Err(error) = private_dir::remove(dir) {
        tracing::warn!(dir = %dir.display(), %error, "private directory stays until the next sweep");
    }
}

/// What the kernel counted for a process until its parent asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    pub(super) memory_peak_bytes: Option<u64>,
    pub(super) cpu_time: Duration,
}

/// How the first process ended, leaving it uncollected.
fn peek(shared: &Shared) -> Option<i32> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let status = waitid(WaitId::PidFd(shared.handle.as_fd()), options).ok()??;
    let code = status.exit_status().map(|code| (code & 0xff) << 8);
    code.or_else(|| status.terminating_signal())
}

/// Collects the first process, which ended.
#[allow(unsafe_code)]
fn collect(pid: u32) -> Ended {
    let Some(pid) = i32::try_from(pid).ok().filter(|pid| *pid > 0) else { return Ended::default() };
    let mut wait_status = 0;
    // SAFETY: `rusage` is plain numbers, for which all zeros is a valid value.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live, writable values of the types that the call fills. `pid` is
    // one positive number, so no other child's exit is taken.
    let collected = unsafe { libc::wait4(pid, &mut wait_status, libc::WNOHANG, &mut used) };
    if collected != pid {
        return Ended::default();
    }
    let time = |value: libc::timeval| {
        let seconds = u64::try_from(value.tv_sec).unwrap_or(0);
        let micros = u64::try_from(value.tv_usec).unwrap_or(0);
        Duration::from_secs(seconds) + Duration::from_micros(micros)
    };
    let used = Used {
        memory_peak_bytes: u64::try_from(used.ru_maxrss).ok().map(|kib| kib.saturating_mul(1024)),
        cpu_time: time(used.ru_utime).saturating_add(time(used.ru_stime)),
    };
    Ended { wait_status: Some(wait_status), used: Some(used), survivors: 0 }
}
