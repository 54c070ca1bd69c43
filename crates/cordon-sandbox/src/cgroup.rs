//! Which control groups this host lets us make, and where.
//!
//! A hierarchy counts as usable only after a group was made in it, a limit written and read back,
//! and the group removed again: mount options and file modes alone say too little. Version 2 comes
//! first; a version 2 mount without controllers still ends whole trees (`cgroup.kill`), and what it
//! lacks is taken from version 1 mounts. Under systemd the groups are made beside the supervisor's
//! own, in what `Delegate=` gave it, else below the mount's root.

mod group;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

pub(crate) use group::{CPU_PERIOD_US, GroupName, Groups, quota_us, remove_all};

/// What a group can do for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Memory,
    Tasks,
    Cpu,
    Kill,
}

impl Role {
    pub(crate) const ALL: [Self; 4] = [Self::Memory, Self::Tasks, Self::Cpu, Self::Kill];

    fn controller(self, version: Version) -> &'static str {
        match (self, version) {
            (Self::Memory, _) => "memory",
            (Self::Tasks, _) => "pids",
            (Self::Cpu, _) => "cpu",
            (Self::Kill, Version::V1) => "freezer",
            (Self::Kill, Version::V2) => "cgroup.kill",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// One mount, and what groups below `base` are used for.
#[derive(Debug, Clone)]
pub(crate) struct Hierarchy {
    pub(crate) version: Version,
    pub(crate) base: PathBuf,
    pub(crate) roles: Vec<Role>,
}

/// The hierarchies in use, and why a role is not given by any.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hierarchies {
    pub(crate) list: Vec<Hierarchy>,
    pub(crate) refusals: BTreeMap<Role, String>,
}

impl Hierarchies {
    /// Tries every mounted hierarchy with a group whose name begins with `prefix`.
    pub(crate) fn probe(prefix: &str) -> Self {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = Mounts::parse(&mountinfo);
        let mut found = Self::default();
        if let Some(mount) = &mounts.v2 {
            found.probe_v2(mount, &own, prefix);
        }
        for role in Role::ALL {
            if found.gives(role) {
                continue;
            }
            match mounts.v1.get(role.controller(Version::V1)) {
                Some(base) => found.probe_v1(base, role, prefix),
                None => {
                    let why = || "no hierarchy with this controller is mounted".to_owned();
                    found.refusals.entry(role).or_insert_with(why);
                }
            }
        }
        found
    }

    pub(crate) fn gives(&self, role: Role) -> bool {
        self.place(role).is_some()
    }

    /// The hierarchy that gives `role`.
    pub(crate) fn place(&self, role: Role) -> Option<&Hierarchy> {
        self.list.iter().find(|hierarchy| hierarchy.roles.contains(&role))
    }

    fn probe_v1(&mut self, base: &Path, role: Role, prefix: &str) {
        let mut hierarchy =
            Hierarchy { version: Version::V1, base: base.to_owned(), roles: vec![role] };
        let refusals = hierarchy.try_roles(prefix);
        if hierarchy.roles.is_empty() {
            self.refusals.extend(refusals);
            return;
        }
        self.refusals.remove(&role);
        // Controllers that are mounted together share their groups.
        match self.list.iter_mut().find(|known| known.base == hierarchy.base) {
            Some(known) => known.roles.push(role),
            None => self.list.push(hierarchy),
        }
    }

    /// Takes the first place below which every role works, else the one with the most.
    fn probe_v2(&mut self, mount: &Path, own: &str, prefix: &str) {
        let mut best: Option<(Hierarchy, BTreeMap<Role, String>)> = None;
        for base in v2_places(mount, own) {
            let mut hierarchy = Hierarchy { version: Version::V2, base, roles: Role::ALL.to_vec() };
            let refusals = hierarchy.try_roles(prefix);
            let better =
                best.as_ref().is_none_or(|(best, _)| hierarchy.roles.len() > best.roles.len());
            if better {
                best = Some((hierarchy, refusals));
            }
            if best.as_ref().is_some_and(|(best, _)| best.roles.len() == Role::ALL.len()) {
                break;
            }
        }
        if let Some((hierarchy, refusals)) = best {
            self.refusals.extend(refusals);
            if hierarchy.roles.contains(&Role::Cpu) {
                put_supervisor_first(&hierarchy.base);
            }
            if !hierarchy.roles.is_empty() {
                self.list.push(hierarchy);
            }
        }
    }
}

impl Hierarchy {
    /// Makes a group, keeps the roles that work in it, and removes it again.
    fn try_roles(&mut self, prefix: &str) -> BTreeMap<Role, String> {
        static PROBES: AtomicU64 = AtomicU64::new(0);
        let number = PROBES.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}.probe.{}-{number}", std::process::id());
        let mut refusals = BTreeMap::new();
        match self.make(&name) {
            Ok(group) => {
                self.roles.retain(|role| {
                    let tried = try_role(&group, *role, self.version);
                    tried.map_err(|why| refusals.insert(*role, why)).is_ok()
                });
                remove_group(&group);
            }
            Err(error) => {
                let why = format!("cannot make a group below {}: {error}", self.base.display());
                refusals.extend(self.roles.drain(..).map(|role| (role, why.clone())));
            }
        }
        refusals
    }

    /// Makes a group right below the base; fails if it exists already.
    fn make(&self, name: &str) -> io::Result<PathBuf> {
        if self.version == Version::V2 {
            pass_controllers_down(&self.base);
        }
        let dir = self.base.join(name);
        fs::create_dir(&dir)?;
        Ok(dir)
    }
}

/// Lets groups below `dir` use the controllers that `dir` has. What is refused shows when it is
/// used.
fn pass_controllers_down(dir: &Path) {
    let list = |file: &str| fs::read_to_string(dir.join(file)).unwrap_or_default();
    let (have, passed) = (list("cgroup.controllers"), list("cgroup.subtree_control"));
    for controller in ["memory", "pids", "cpu"] {
        let has = |text: &str| text.split_whitespace().any(|word| word == controller);
        if has(&have) && !has(&passed) {
            let _ = fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
}

fn try_role(group: &Path, role: Role, version: Version) -> Result<(), String> {
    let (file, value) = match (role, version) {
        (Role::Memory, Version::V1) => ("memory.limit_in_bytes", "67108864"),
        (Role::Memory, Version::V2) => ("memory.max", "67108864"),
        (Role::Tasks, _) => ("pids.max", "64"),
        (Role::Cpu, Version::V1) => ("cpu.cfs_quota_us", "50000"),
        (Role::Cpu, Version::V2) => ("cpu.max", "50000 100000"),
        (Role::Kill, Version::V1) => ("freezer.state", "THAWED"),
        (Role::Kill, Version::V2) => ("cgroup.kill", "1"),
    };
    let path = group.join(file);
    if !path.exists() {
        return Err(format!("{} is not there", path.display()));
    }
    fs::write(&path, value).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    if (role, version) == (Role::Kill, Version::V2) {
        return Ok(()); // write-only
    }
    match fs::read_to_string(&path) {
        Ok(read) if read.trim() == value => Ok(()),
        Ok(read) => Err(format!("{} took {value} but says {}", path.display(), read.trim())),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

/// Where groups of ours may stand in the version 2 hierarchy, best first.
fn v2_places(mount: &Path, own: &str) -> Vec<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let own = mount.join(path.trim_start_matches('/'));
    // Only the true root has no type, and may hold processes beside groups. In a container the
    // mount shows what is none.
    let is_root = !own.join("cgroup.type").exists();
    let mut places = Vec::new();
    if !is_root && own.ends_with(SUPERVISOR_LEAF) {
        places.extend(own.parent().map(Path::to_owned));
    } else if !is_root && enter_leaf(&own).is_ok() {
        places.push(own);
    }
    if !places.iter().any(|place| place == mount) {
        places.push(mount.to_owned());
    }
    places
}

/// The name that systemd's `DelegateSubgroup=` gives the supervisor's own group.
const SUPERVISOR_LEAF: &str = "supervisor";

/// What the supervisor weighs where it has a group of its own; a connector weighs 100. It computes
/// only on what connectors send, and without it none gets on.
const SUPERVISOR_WEIGHT: &str = "1000";

/// Where the supervisor has no group beside its connectors, or is refused, it weighs as one of them.
fn put_supervisor_first(base: &Path) {
    let file = base.join(SUPERVISOR_LEAF).join("cpu.weight");
    match fs::OpenOptions::new().write(true).open(&file) {
        Ok(mut file) => {
            if let Err(error) = io::Write::write_all(&mut file, SUPERVISOR_WEIGHT.as_bytes()) {
                tracing::debug!(%error, "the supervisor is not put first");
            }
        }
        Err(error) => tracing::debug!(file = %file.display(), %error, "no weight of its own"),
    }
}

/// Moves this process one group down, for a group with processes of its own cannot pass controllers
/// down. Only where it is alone in its group, as a service is; a shell's group is left alone.
fn enter_leaf(own: &Path) -> io::Result<()> {
    let me = std::process::id().to_string();
    if fs::read_to_string(own.join("cgroup.procs"))?.trim() != me {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    let leaf = own.join(SUPERVISOR_LEAF);
    fs::create_dir(&leaf)?;
    fs::write(leaf.join("cgroup.procs"), &me).inspect_err(|_| remove_group(&leaf))
}

/// Removes one group without children; one that is gone or still in use is left to the next sweep.
fn remove_group(dir: &Path) {
    match fs::remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::debug!(group = %dir.display(), %error, "group not removed");
        }
        _ => {}
    }
}

/// Where cgroup file systems are mounted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Mounts {
    v2: Option<PathBuf>,
    /// By controller.
    v1: BTreeMap<String, PathBuf>,
}

impl Mounts {
    fn parse(mountinfo: &str) -> Self {
        let mut mounts = Self::default();
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let mut right = right.split(' ');
            let (kind, _, options) = (right.next(), right.next(), right.next().unwrap_or_default());
            // A path with escaped characters is no place where a host mounts these.
            let Some(point) = left.split(' ').nth(4).filter(|point| !point.contains('\\')) else {
                continue;
            };
            match kind {
                Some("cgroup2") => mounts.v2 = mounts.v2.or_else(|| Some(point.into())),
                Some("cgroup") => {
                    for controller in options.split(',') {
                        mounts.v1.entry(controller.to_owned()).or_insert_with(|| point.into());
                    }
                }
                _ => {}
            }
        }
        mounts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_both_versions_are_found_by_controller() {
        let mounts = Mounts::parse(
            "30 25 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n\
             31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct\n\
             32 25 0:28 / /sys/fs/cgroup/a\\040b rw shared:10 - cgroup cgroup rw,pids\n\
             garbage\n",
        );
        assert_eq!(mounts.v2.as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
        assert_eq!(mounts.v1["cpu"], Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert!(!mounts.v1.contains_key("pids"));
    }

    #[test]
    fn a_supervisor_in_its_delegated_leaf_makes_groups_beside_itself() {
        let mount = tempfile::tempdir().unwrap();
        let leaf = mount.path().join("system.slice/cordon.service/supervisor");
        fs::create_dir_all(&leaf).unwrap();
        fs::write(leaf.join("cgroup.type"), "domain\n").unwrap();
        let places = v2_places(mount.path(), "0::/system.slice/cordon.service/supervisor\n");
        assert_eq!(places, [leaf.parent().unwrap(), mount.path()]);
    }
}
