//! Processes by number: who they are, and killing them without hitting a successor of the same
//! number.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::fd::OwnedFd,
};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, pidfd_send_signal, waitpid,
};

/// What `/proc/<pid>/stat` tells of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) parent: u32,
    pub(crate) session: u32,
    /// It ended, and waits for its parent to collect it.
    pub(crate) dead: bool,
}

impl Process {
    pub(crate) fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The second field is the program's name in brackets, which may itself hold brackets.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        Some(Self { parent, session, dead: matches!(state, "Z" | "X") })
    }
}

pub(crate) fn is_alive(pid: u32) -> bool {
    Process::read(pid).is_some_and(|process| !process.dead)
}

/// Every process of the host.
pub(crate) fn processes() -> BTreeMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, Process::read(pid)?))).collect()
}

/// A handle on a process that stays its own when the number is used again.
pub(crate) fn handle(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// Sends SIGKILL to each of `members`. They are listed again once there is a handle on each: who is
/// in the second list too is who the handle is on.
pub(crate) fn kill_each(members: impl Fn() -> BTreeSet<u32>) {
    let handles: Vec<(u32, OwnedFd)> =
        members().into_iter().filter_map(|pid| Some((pid, handle(pid)?))).collect();
    if handles.is_empty() {
        return;
    }
    let confirmed = members();
    for (_, handle) in handles.iter().filter(|(pid, _)| confirmed.contains(pid)) {
        // A process that ended meanwhile is what was wanted.
        let _ = pidfd_send_signal(handle, Signal::KILL);
    }
}

/// Kills and collects a child of ours for which no handle could be made.
pub(crate) fn kill_unhandled(child: u32) {
    if let Some(pid) = i32::try_from(child).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
        let _ = waitpid(Some(pid), WaitOptions::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_cannot_forge_its_parent() {
        let stat = "12 (a) Z 1 1 1 (b)) S 7 12 9 0 -1 4194560 0 0";
        let told = Process::parse(stat);
        assert_eq!(told, Some(Process { parent: 7, session: 9, dead: false }));
        assert_eq!(Process::parse("12 (x"), None);
        assert_eq!(Process::parse(""), None);
    }
}
