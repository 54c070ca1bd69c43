//! What this host can give, tried once at start and shown by `cordon doctor`.

use std::{fs, io, os::fd::AsFd};

use rustix::{
    process::{PidfdFlags, WaitId, WaitIdOptions, geteuid, getpid, pidfd_open, waitid},
    thread::{CapabilitySet, capabilities},
};
use serde::Serialize;

use crate::cgroup::{Hierarchies, Role, Version};

const GROUPS_FIX: &str = "run as root, or under systemd with `Delegate=cpu memory pids` and `DelegateSubgroup=supervisor`";

const SHARED_USER_EFFECT: &str =
    "connectors share the supervisor's user, so one can read the memory and files of the others";

/// One thing that a host gives or lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostItem {
    /// Short name, stable.
    pub name: String,
    /// Whether it works here.
    pub available: bool,
    /// How it is given, or why not.
    pub detail: String,
    /// What a connector then lacks.
    pub effect_if_missing: String,
    /// What an operator can do about it.
    pub fix: String,
}

/// What this host gives.
#[derive(Debug, Clone, Serialize)]
pub struct Host {
    items: Vec<HostItem>,
    #[serde(skip)]
    pub(crate) group_prefix: String,
    #[serde(skip)]
    pub(crate) hierarchies: Hierarchies,
}

impl Host {
    /// Tries everything. The names of groups begin with `group_prefix`; those that this makes are
    /// removed again.
    pub fn probe(group_prefix: &str) -> Self {
        let hierarchies = Hierarchies::probe(group_prefix);
        let mut items: Vec<HostItem> =
            Role::ALL.into_iter().map(|role| group_item(&hierarchies, role)).collect();
        items.extend([identity_item(), process_handle_item(), namespaces_item()]);
        Self { items, group_prefix: group_prefix.to_owned(), hierarchies }
    }

    /// Everything that was tried.
    pub fn items(&self) -> &[HostItem] {
        &self.items
    }

    /// Whether the item `name` is available; `false` for one that is not known.
    pub fn has(&self, name: &str) -> bool {
        self.items.iter().any(|item| item.name == name && item.available)
    }
}

fn group_item(hierarchies: &Hierarchies, role: Role) -> HostItem {
    let (name, effect) = match role {
        Role::Memory => (
            "cgroup_memory",
            "a connector can take all of the host's memory, and its peak is only known by process",
        ),
        Role::Tasks => ("cgroup_pids", "a connector can start processes without end"),
        Role::Cpu => ("cgroup_cpu", "a connector can keep every core busy"),
        Role::Kill => (
            "tree_kill",
            "the whole tree is ended by walking the process table, which a hostile connector can outrun",
        ),
    };
    let place = hierarchies.place(role);
    let detail = match place {
        Some(hierarchy) => {
            let version = match hierarchy.version {
                Version::V1 => 1,
                Version::V2 => 2,
            };
            format!("cgroup version {version}, below {}", hierarchy.base.display())
        }
        None => hierarchies.refusals.get(&role).cloned().unwrap_or_default(),
    };
    HostItem {
        name: name.to_owned(),
        available: place.is_some(),
        detail,
        effect_if_missing: effect.to_owned(),
        fix: GROUPS_FIX.to_owned(),
    }
}

fn identity_item() -> HostItem {
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::CHOWN;
    let (available, detail) = match capabilities(None) {
        _ if !geteuid().is_root() => {
            (false, format!("the supervisor runs as uid {}", geteuid().as_raw()))
        }
        Ok(sets) if sets.effective.contains(needed) => (true, "the supervisor is root".to_owned()),
        Ok(sets) => (false, format!("root lacks capabilities: {:?}", needed - sets.effective)),
        Err(error) => (false, format!("cannot read capabilities: {error}")),
    };
    HostItem {
        name: "uid_switch".to_owned(),
        available,
        detail,
        effect_if_missing: SHARED_USER_EFFECT.to_owned(),
        fix: "run the supervisor as root, or accept one user for all connectors".to_owned(),
    }
}

/// Whether a user without privilege could make namespaces; root can.
fn namespaces_item() -> HostItem {
    let read = |file: &str| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let most = read("/proc/sys/user/max_user_namespaces");
    let closed = read("/proc/sys/kernel/unprivileged_userns_clone") == Some(0);
    let (available, detail) = match most {
        _ if geteuid().is_root() => (true, "the supervisor is root".to_owned()),
        Some(0) | None => (false, "this kernel makes no user namespaces".to_owned()),
        Some(_) if closed => (false, "kernel.unprivileged_userns_clone is 0".to_owned()),
        Some(most) => (true, format!("up to {most} user namespaces")),
    };
    HostItem {
        name: "namespaces".to_owned(),
        available,
        detail,
        effect_if_missing: "a connector sees the host's processes, files and network".to_owned(),
        fix: "run the supervisor as root, or allow unprivileged user namespaces".to_owned(),
    }
}

fn process_handle_item() -> HostItem {
    let tried = || -> io::Result<()> {
        let handle = pidfd_open(getpid(), PidfdFlags::empty())?;
        // This process is no child of its own: ECHILD tells that the kernel knows the call.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::PidFd(handle.as_fd()), options) {
            Ok(_) | Err(rustix::io::Errno::CHILD) => Ok(()),
            Err(error) => Err(error.into()),
        }
    };
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (available, detail) = match tried() {
        Ok(()) => (true, format!("Linux {}", release.trim())),
        Err(error) => (false, format!("Linux {}: {error}", release.trim())),
    };
    HostItem {
        name: "process_handles".to_owned(),
        available,
        detail,
        effect_if_missing: "connectors cannot be started".to_owned(),
        fix: "run Linux 5.10 or newer".to_owned(),
    }
}
