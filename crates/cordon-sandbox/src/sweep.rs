//! Removes what an earlier supervisor of the same state directory left behind.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{cgroup, host::Host, private_dir, spec::CgroupParent, tree};

/// How long processes are waited for.
const END_WAIT: Duration = Duration::from_secs(5);

/// What a sweep found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Groups that were removed.
    pub groups: usize,
    /// Processes that were killed.
    pub processes: usize,
    /// Private directories that were removed.
    pub directories: usize,
    /// What could not be removed, by path.
    pub stuck: Vec<PathBuf>,
}

/// Kills and removes the groups of `cgroup` and all in them, and the private directories of
/// `work_root`. For the start of a supervisor, when nothing of its own runs yet: it must hold the
/// lock of the state directory that both belong to. Blocks for up to some seconds.
///
/// # Errors
/// When `work_root` cannot be listed.
pub fn sweep_leftovers(host: &Host, cgroup: &CgroupParent, work_root: &Path) -> io::Result<Swept> {
    let deadline = Instant::now() + END_WAIT;
    let mut swept = Swept::default();
    if let CgroupParent::Tag(tag) = cgroup {
        let (groups, processes, stuck) =
            cgroup::remove_all(&host.hierarchies, &host.group_prefix, tag, deadline);
        swept = Swept { groups, processes, stuck, directories: 0 };
    }
    let at_home = || at_home_below(work_root);
    let mut killed = BTreeSet::new();
    loop {
        let left = at_home();
        if left.is_empty() || Instant::now() >= deadline {
            break;
        }
        killed.extend(left);
        tree::kill_each(at_home);
        thread::sleep(Duration::from_millis(5));
    }
    swept.processes += killed.len();
    let entries = match fs::read_dir(work_root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(swept),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        match private_dir::remove(&entry.path()) {
            Ok(()) => swept.directories += 1,
            Err(_) => swept.stuck.push(entry.path()),
        }
    }
    Ok(swept)
}

/// Processes that were started with a home below `work_root`: connectors where there was no group.
fn at_home_below(work_root: &Path) -> BTreeSet<u32> {
    let mut home = b"HOME=".to_vec();
    home.extend_from_slice(work_root.as_os_str().as_bytes());
    home.push(b'/');
    let lives_there = |pid: u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(&home))
    };
    let alive = tree::processes().into_iter().filter(|(_, process)| !process.dead);
    let others = alive.filter(|(pid, _)| *pid != std::process::id());
    others.filter(|(pid, _)| lives_there(*pid)).map(|(pid, _)| pid).collect()
}
