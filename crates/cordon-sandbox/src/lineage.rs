//! Finds the descendants of a start where there is no control group to ask.
//!
//! A connector can leave its session and its parents: two forks and a `setsid`, and nothing in the
//! process table says whose it was. What it cannot shed is a hard resource limit, which every child
//! inherits and nobody without privilege can raise. So each start gets a number of its own as its
//! limit on POSIX message queue bytes, which connectors have no use for. A connector made to hide
//! can still lower it further; only a control group holds that one.
//!
//! Orphans fall to the supervisor, which is made a child subreaper, and are collected here. First
//! processes of a start and children without a mark belong to others and are never touched.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::process::{
    Pid, Resource, WaitId, WaitIdOptions, WaitOptions, getpid, getrlimit, waitid, waitpid,
};

use crate::tree;

/// Below the kernel's default limit of 819,200 bytes, so that a mark always lowers it.
const MARK_MAX: u32 = 819_199;

/// The first process of each start whose tree may still live, by mark.
static LIVE: Mutex<BTreeMap<u32, u32>> = Mutex::new(BTreeMap::new());

static MARKS_ISSUED: AtomicU32 = AtomicU32::new(0);

/// Makes this process the parent of every descendant whose own parent died.
///
/// # Errors
/// When the kernel refuses, which none since 3.4 does.
pub fn become_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(getpid()))?)
}

fn live() -> MutexGuard<'static, BTreeMap<u32, u32>> {
    // The map is whole after every statement on it, so a panic elsewhere does not spoil it.
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a process was started here as a connector, or descends from one: whoever shares the
/// supervisor's user is not the supervisor's friend for that.
pub fn is_connector(pid: u32) -> bool {
    let live = live();
    if mark_of(pid).is_some_and(|mark| live.contains_key(&mark)) {
        return true;
    }
    let firsts: BTreeSet<u32> = live.values().copied().collect();
    let mut seen = BTreeSet::new();
    let mut at = pid;
    // The table is not one moment's, so a number used again could make the line a ring.
    while seen.insert(at) {
        if firsts.contains(&at) {
            return true;
        }
        let Some(process) = tree::Process::read(at) else { return false };
        at = process.parent;
    }
    false
}

/// The descendants of one start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lineage {
    mark: u32,
    first: u32,
}

/// A number that no other start of this process has. Marks of two supervisors, one below the other,
/// are kept apart by beginning at different numbers.
pub(crate) fn next_mark() -> u32 {
    let issued = MARKS_ISSUED.fetch_add(1, Ordering::Relaxed);
    (first_mark() - 1 + issued) % MARK_MAX + 1
}

fn first_mark() -> u32 {
    (std::process::id() % 8192) * 100 % MARK_MAX + 1
}

fn was_issued(mark: u32) -> bool {
    let issued = MARKS_ISSUED.load(Ordering::Relaxed);
    (mark + MARK_MAX - first_mark()) % MARK_MAX < issued
}

impl Lineage {
    /// Runs `spawn` and registers what it started, so that its exit is never collected as an
    /// orphan's.
    pub(crate) fn begin(mark: u32, spawn: impl FnOnce() -> io::Result<u32>) -> io::Result<Self> {
        let mut live = live();
        let first = spawn()?;
        live.insert(mark, first);
        Ok(Self { mark, first })
    }

    /// Forgets the start; its first process must have been collected.
    pub(crate) fn end(self) {
        live().remove(&self.mark);
    }

    /// Every living process of it.
    pub(crate) fn members(&self) -> BTreeSet<u32> {
        let me = std::process::id();
        let all = tree::processes();
        let mut members = BTreeSet::new();
        for (pid, process) in all.iter().filter(|(_, process)| !process.dead) {
            let line = ancestors(&all, *pid);
            let below_us = line.contains(&me);
            let kin = *pid == self.first
                || process.session == self.first
                || line.contains(&self.first)
                || mark_of(*pid) == Some(self.mark);
            if below_us && kin {
                members.insert(*pid);
            }
        }
        members
    }
}

/// Parents of `pid`, nearest first.
fn ancestors(all: &BTreeMap<u32, tree::Process>, pid: u32) -> Vec<u32> {
    let mut line = Vec::new();
    let mut at = pid;
    // The table is not one moment's, so a number used again could make the line a ring.
    while let Some(parent) = all.get(&at).map(|process| process.parent) {
        if parent == 0 || line.contains(&parent) {
            break;
        }
        line.push(parent);
        at = parent;
    }
    line
}

/// The hard limit that carries the mark; readable for every process, dead ones included.
fn mark_of(pid: u32) -> Option<u32> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max msgqueue size"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Collects orphans of our starts that ended, and kills those whose start is over.
pub(crate) fn collect_orphans() {
    let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if !matches!(waitid(WaitId::All, peek), Ok(Some(_))) {
        return;
    }
    let live = live();
    let firsts: BTreeSet<u32> = live.values().copied().collect();
    let me = std::process::id();
    let own = getrlimit(Resource::Msgqueue).maximum;
    let ours = tree::processes().into_iter().filter(|(_, process)| process.parent == me);
    for (pid, process) in ours.filter(|(pid, _)| !firsts.contains(pid)) {
        let Some(mark) = mark_of(pid).filter(|mark| own != Some(u64::from(*mark))) else {
            continue;
        };
        if process.dead {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let _ = waitpid(pid, WaitOptions::NOHANG);
        } else if was_issued(mark) && !live.contains_key(&mark) {
            tree::kill_each(|| BTreeSet::from([pid]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marks_of_this_process_count_as_issued() {
        let mark = next_mark();
        assert!(was_issued(mark));
        assert!((1..=MARK_MAX).contains(&mark));
        assert!(!was_issued((mark + 400_000) % MARK_MAX + 1));
    }

    #[test]
    fn a_ring_in_the_process_table_ends() {
        let process = |parent| tree::Process { parent, session: 0, dead: false };
        let all = BTreeMap::from([(5, process(6)), (6, process(5))]);
        assert_eq!(ancestors(&all, 5), [6, 5]);
    }
}
