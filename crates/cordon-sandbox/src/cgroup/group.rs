//! The groups of one start: one directory in each hierarchy that is used.
//!
//! The supervisor makes them, sets their limits and reads them back; the launcher joins them before
//! it becomes the connector. Being the supervisor's, they outlive the connector and tell what it
//! died of.

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{Hierarchies, Role, Version, remove_group};
use crate::{
    report::{ItemState, JailItem, Step},
    spec::Limits,
    tree,
};

/// Period over which processor time is measured out.
pub(crate) const CPU_PERIOD_US: u64 = 100_000;

/// What so many percent of a core are in a period.
pub(crate) fn quota_us(percent: u64) -> u64 {
    percent * CPU_PERIOD_US / 100
}

/// How long a freeze may take before the kill goes on without it.
const FREEZE_WAIT: Duration = Duration::from_millis(100);

/// What a start's groups are called, in every hierarchy. One level and no more: groups weigh against
/// their sisters alone, so that a connector below a group of all connectors could not stand behind the
/// supervisor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupName<'a> {
    /// Of all groups of this host's supervisors.
    pub(crate) prefix: &'a str,
    /// Of one state directory; holds no dot.
    pub(crate) tag: &'a str,
    pub(crate) leaf: &'a str,
}

impl GroupName<'_> {
    /// What all groups of one state directory begin with.
    fn beginning(prefix: &str, tag: &str) -> String {
        format!("{prefix}.{tag}.")
    }
}

impl fmt::Display for GroupName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::beginning(self.prefix, self.tag), self.leaf)
    }
}

#[derive(Debug)]
struct Group {
    version: Version,
    dir: PathBuf,
    roles: Vec<Role>,
}

/// The groups of one start. Empty where the host gives none.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    list: Vec<Group>,
}

impl Groups {
    /// Makes a group in each usable hierarchy. `Err` only when `leaf` is taken; a hierarchy that
    /// refuses is left out, which the items of [`Self::limit`] and the join then tell.
    pub(crate) fn make(hierarchies: &Hierarchies, name: GroupName<'_>) -> io::Result<Self> {
        let mut groups = Self::default();
        for hierarchy in &hierarchies.list {
            match hierarchy.make(&name.to_string()) {
                Ok(dir) => groups.list.push(Group {
                    version: hierarchy.version,
                    dir,
                    roles: hierarchy.roles.clone(),
                }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    groups.remove();
                    return Err(error);
                }
                Err(error) => {
                    let base = hierarchy.base.display();
                    tracing::warn!(%base, leaf = name.leaf, %error, "group not made");
                }
            }
        }
        Ok(groups)
    }

    fn with(&self, role: Role) -> Option<&Group> {
        self.list.iter().find(|group| group.roles.contains(&role))
    }

    /// Paths of all its groups.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.list.iter().map(|group| group.dir.clone()).collect()
    }

    /// What the launcher has to join.
    pub(crate) fn joins(&self) -> Vec<(Step, PathBuf)> {
        let step = |role| match role {
            Role::Memory => Step::GroupMemory,
            Role::Tasks => Step::GroupTasks,
            Role::Cpu => Step::GroupCpu,
            Role::Kill => Step::GroupKill,
        };
        let join = |role| Some((step(role), self.with(role)?.dir.join("cgroup.procs")));
        Role::ALL.into_iter().filter_map(join).collect()
    }

    /// Sets the limits and reads them back.
    pub(crate) fn limit(&self, limits: &Limits) -> Vec<JailItem> {
        vec![
            self.limit_one(Step::LimitMemory, Role::Memory, limits.memory_bytes),
            self.limit_one(Step::LimitTasks, Role::Tasks, limits.tasks.map(u64::from)),
            self.limit_one(Step::LimitCpu, Role::Cpu, limits.cpu_percent.map(u64::from)),
        ]
    }

    fn limit_one(&self, step: Step, role: Role, asked: Option<u64>) -> JailItem {
        let item = |state| JailItem::new(step, false, state);
        let Some(asked) = asked else { return item(ItemState::NotAsked) };
        let Some(group) = self.with(role) else {
            return item(ItemState::Unavailable)
                .values(Some(asked), None)
                .detail("no control group with this controller");
        };
        match group.set(role, asked) {
            Ok((in_force, detail)) => {
                item(ItemState::Applied).values(Some(asked), Some(in_force)).detail(detail)
            }
            Err(error) => item(ItemState::Refused)
                .values(Some(asked), None)
                .errno(error.raw_os_error())
                .detail(error.to_string()),
        }
    }

    /// Every process in any of the groups that is not dead yet.
    pub(crate) fn members(&self) -> BTreeSet<u32> {
        let pids = self.list.iter().flat_map(Group::pids);
        pids.filter(|pid| tree::is_alive(*pid)).collect()
    }

    /// Sends SIGKILL once to all that is in the groups.
    pub(crate) fn kill(&self) {
        match self.with(Role::Kill) {
            Some(group) if group.version == Version::V2 => {
                if fs::write(group.dir.join("cgroup.kill"), "1").is_err() {
                    tree::kill_each(|| self.members());
                }
            }
            Some(group) => group.kill_frozen(|| self.members()),
            None => tree::kill_each(|| self.members()),
        }
    }

    /// Processes that the kernel killed for the group's memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        let Some(group) = self.with(Role::Memory) else { return 0 };
        let file = match group.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        group.counter(file, "oom_kill").unwrap_or(0)
    }

    /// Tasks that were denied for the group's limit.
    pub(crate) fn tasks_denied(&self) -> u64 {
        let group = self.with(Role::Tasks);
        group.and_then(|group| group.counter("pids.events", "max")).unwrap_or(0)
    }

    /// Most memory in use at once.
    pub(crate) fn memory_peak_bytes(&self) -> Option<u64> {
        let group = self.with(Role::Memory)?;
        let file = match group.version {
            Version::V1 => "memory.max_usage_in_bytes",
            Version::V2 => "memory.peak",
        };
        group.number(file).ok()
    }

    /// Processor time of the tree. Version 2 counts it even without the controller.
    pub(crate) fn cpu_time(&self) -> Option<Duration> {
        let group = self.list.iter().find(|group| group.version == Version::V2)?;
        group.counter("cpu.stat", "usage_usec").map(Duration::from_micros)
    }

    /// Removes the groups. `false` when one is still there.
    pub(crate) fn remove(&self) -> bool {
        let mut gone = true;
        for group in &self.list {
            gone &= remove_with_children(&group.dir);
        }
        gone
    }
}

impl Group {
    fn pids(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.dir.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn number(&self, file: &str) -> io::Result<u64> {
        let text = fs::read_to_string(self.dir.join(file))?;
        text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
    }

    fn counter(&self, file: &str, key: &str) -> Option<u64> {
        let text = fs::read_to_string(self.dir.join(file)).ok()?;
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        pairs.filter(|(name, _)| *name == key).find_map(|(_, value)| value.trim().parse().ok())
    }

    fn write(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.dir.join(file), value)
    }

    /// Sets one limit; gives what the kernel made of it, and a remark.
    fn set(&self, role: Role, asked: u64) -> io::Result<(u64, String)> {
        let number = asked.to_string();
        match (role, self.version) {
            (Role::Memory, Version::V1) => {
                self.write("memory.limit_in_bytes", &number)?;
                // Memory and swap together may use no more, so that nothing of it reaches a disk.
                let swap = self.write("memory.memsw.limit_in_bytes", &number);
                let swap = swap.or_else(|_| self.write("memory.swappiness", "0"));
                Ok((self.number("memory.limit_in_bytes")?, swap_remark(swap)))
            }
            (Role::Memory, Version::V2) => {
                self.write("memory.max", &number)?;
                let together = self.write("memory.oom.group", "1");
                let swap = match self.write("memory.swap.max", "0") {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    result => result,
                };
                Ok((self.number("memory.max")?, swap_remark(together.and(swap))))
            }
            (Role::Tasks, _) => {
                self.write("pids.max", &number)?;
                Ok((self.number("pids.max")?, String::new()))
            }
            (Role::Cpu, Version::V1) => {
                self.write("cpu.cfs_period_us", &CPU_PERIOD_US.to_string())?;
                self.write("cpu.cfs_quota_us", &quota_us(asked).to_string())?;
                let quota = self.number("cpu.cfs_quota_us")?;
                Ok((quota * 100 / CPU_PERIOD_US, String::new()))
            }
            (Role::Cpu, Version::V2) => {
                self.write("cpu.max", &format!("{} {CPU_PERIOD_US}", quota_us(asked)))?;
                let text = fs::read_to_string(self.dir.join("cpu.max"))?;
                let quota: Option<u64> =
                    text.split_whitespace().next().and_then(|word| word.parse().ok());
                let quota = quota.ok_or(io::ErrorKind::InvalidData)?;
                Ok((quota * 100 / CPU_PERIOD_US, String::new()))
            }
            (Role::Kill, _) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Version 1: a frozen group cannot fork while it is listed, but dies only when thawed.
    fn kill_frozen(&self, members: impl Fn() -> BTreeSet<u32>) {
        let _ = self.write("freezer.state", "FROZEN");
        let deadline = Instant::now() + FREEZE_WAIT;
        let frozen = || {
            let state = fs::read_to_string(self.dir.join("freezer.state"));
            state.is_ok_and(|state| state.trim() == "FROZEN")
        };
        while !frozen() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        tree::kill_each(members);
        let _ = self.write("freezer.state", "THAWED");
    }
}

fn swap_remark(swap: io::Result<()>) -> String {
    swap.err().map(|error| format!("swap and group kill not set: {error}")).unwrap_or_default()
}

/// Removes a group and those that the connector made in it.
fn remove_with_children(dir: &Path) -> bool {
    // Groups nest as deep as the connector liked; the list grows while it is walked, parents first.
    let mut dirs = vec![dir.to_owned()];
    let mut next = 0;
    while let Some(dir) = dirs.get(next) {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let children: Vec<PathBuf> = entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        dirs.extend(children);
        next += 1;
    }
    dirs.iter().rev().for_each(|dir| remove_group(dir));
    !dir.exists()
}

/// Ends and removes every group of one state directory in each hierarchy. Gives how many groups and
/// processes there were, and the groups that could not be removed.
pub(crate) fn remove_all(
    hierarchies: &Hierarchies,
    prefix: &str,
    tag: &str,
    deadline: Instant,
) -> (usize, usize, Vec<PathBuf>) {
    let (mut removed, mut killed, mut stuck) = (0, BTreeSet::new(), Vec::new());
    let beginning = GroupName::beginning(prefix, tag);
    for hierarchy in &hierarchies.list {
        for entry in fs::read_dir(&hierarchy.base).into_iter().flatten().flatten() {
            let is_ours = entry.file_name().as_bytes().starts_with(beginning.as_bytes());
            if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let group = Group {
                version: hierarchy.version,
                dir: entry.path(),
                roles: hierarchy.roles.clone(),
            };
            let groups = Groups { list: vec![group] };
            killed.extend(groups.members());
            while !groups.members().is_empty() && Instant::now() < deadline {
                groups.kill();
                thread::sleep(Duration::from_millis(5));
            }
            if groups.remove() {
                removed += 1;
            } else {
                stuck.push(entry.path());
            }
        }
    }
    (removed, killed.len(), stuck)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::cgroup::Hierarchy;

    /// A stand-in for a version 2 group: limits are plain files that take and give numbers.
    fn stand_in(files: &[(&str, &str)]) -> (tempfile::TempDir, Groups) {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in files {
            fs::write(dir.path().join(file), text).unwrap();
        }
        let group =
            Group { version: Version::V2, dir: dir.path().to_owned(), roles: Role::ALL.to_vec() };
        (dir, Groups { list: vec![group] })
    }

    #[test]
    fn a_version_2_group_gets_limits_no_swap_and_dies_as_one() {
        let (dir, groups) = stand_in(&[]);
        let limits = Limits {
            memory_bytes: Some(64 << 20),
            tasks: Some(30),
            cpu_percent: Some(150),
            ..Limits::default()
        };
        for (item, value) in groups.limit(&limits).iter().zip([64 << 20, 30, 150]) {
            assert_eq!((item.state, item.in_force), (ItemState::Applied, Some(value)), "{item:?}");
        }
        let read = |file: &str| fs::read_to_string(dir.path().join(file)).unwrap();
        assert_eq!(read("memory.max"), "67108864");
        assert_eq!((read("memory.oom.group"), read("memory.swap.max")), ("1".into(), "0".into()));
        assert_eq!((read("pids.max"), read("cpu.max")), ("30".into(), "150000 100000".into()));
    }

    #[test]
    fn a_version_2_group_tells_what_happened_in_it() {
        let (_dir, groups) = stand_in(&[
            ("memory.events", "low 0\nhigh 0\nmax 7\noom 2\noom_kill 3\noom_group_kill 1\n"),
            ("pids.events", "max 26\n"),
            ("memory.peak", "1048576\n"),
            ("cpu.stat", "usage_usec 2500\nuser_usec 2000\n"),
        ]);
        assert_eq!((groups.oom_kills(), groups.tasks_denied()), (3, 26));
        assert_eq!(groups.memory_peak_bytes(), Some(1 << 20));
        assert_eq!(groups.cpu_time(), Some(Duration::from_micros(2500)));
        let (_dir, empty) = stand_in(&[]);
        assert_eq!((empty.oom_kills(), empty.memory_peak_bytes()), (0, None));
    }

    fn bomb(group: &Path) -> Child {
        let script = "echo $$ > \"$0\"; for i in $(seq 5000); do (setsid sleep 0.05 &); done";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).arg(group.join("cgroup.procs"));
        command.stderr(Stdio::null()).spawn().unwrap()
    }

    /// Kills a tree that forks without rest, by one version 1 controller or by none for it.
    fn end_of_a_forking_tree(role: Role) {
        let prefix = format!("cordon-test-v1-{}", std::process::id());
        let mut hierarchies = Hierarchies::probe(&prefix);
        let base = Path::new("/sys/fs/cgroup").join(role.controller(Version::V1));
        let one = Hierarchy { version: Version::V1, base, roles: vec![role] };
        let name = GroupName { prefix: &prefix, tag: "t", leaf: "x-1" };
        match one.make(&format!("{prefix}.tried")) {
            Ok(dir) => remove_group(&dir),
            Err(_) => {
                eprintln!("skipped: cgroup version 1 {}", role.controller(Version::V1));
                return;
            }
        }
        hierarchies.list = vec![one];
        let groups = Groups::make(&hierarchies, name).unwrap();
        let mut first = bomb(&groups.list[0].dir);
        let deadline = Instant::now() + Duration::from_secs(20);
        while groups.members().len() < 3 {
            assert!(Instant::now() < deadline, "it never forked");
            thread::sleep(Duration::from_millis(5));
        }
        while !groups.members().is_empty() {
            assert!(Instant::now() < deadline, "left: {:?}", groups.members());
            groups.kill();
        }
        first.wait().unwrap();
        while !groups.remove() {
            assert!(Instant::now() < deadline, "group not removed");
        }
        assert!(!hierarchies.list[0].base.join(name.to_string()).exists());
    }

    #[test]
    fn a_forking_tree_ends_by_the_version_1_freezer() {
        end_of_a_forking_tree(Role::Kill);
    }

    #[test]
    fn a_forking_tree_ends_where_a_group_can_only_list_it() {
        end_of_a_forking_tree(Role::Tasks);
    }
}
