//! Namespaces of its own: mounts, messages, host name and network.
//!
//! Root makes them as it is. Anybody else first becomes root over a user namespace in which only the
//! own user exists, and is root over nothing that was there before. The one of processes is apart,
//! in `guard`, because it begins with the next child.

use std::{fs, io};

use rustix::process::{getegid, geteuid};

use super::{
    ladder::{Done, Failure},
    task::Task,
};
use crate::{
    report::ItemState,
    spec::{Network, View},
};

type Result<T = Done> = std::result::Result<T, Failure>;

/// Whether the spec asks for namespaces at all.
pub(super) fn wanted(task: &Task) -> bool {
    task.plan.view != View::Shared
}

pub(super) fn user(task: &Task) -> Result {
    if !wanted(task) {
        return Ok(Done::new(ItemState::NotAsked));
    }
    if geteuid().is_root() {
        return Ok(Done::new(ItemState::NotAsked).detail("root needs none"));
    }
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    unshare(libc::CLONE_NEWUSER)?;
    let put = |file: &str, text: String| {
        fs::write(file, text).map_err(|error| Failure::new(&error, file.to_owned()))
    };
    // An unprivileged process may map its own user and group, once it gave up changing groups.
    put("/proc/self/setgroups", "deny".to_owned())?;
    put("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    put("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    Ok(Done::applied().detail(format!("uid {uid} and gid {gid} alone")))
}

pub(super) fn mount(task: &Task) -> Result {
    if !wanted(task) {
        return Ok(Done::new(ItemState::NotAsked));
    }
    unshare(libc::CLONE_NEWNS)?;
    // What is mounted here must not appear on the host.
    let private =
        rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)
        .map_err(|errno| Failure::new(&errno.into(), "make mounts private"))?;
    task.own_mounts.set(true);
    Ok(Done::applied())
}

pub(super) fn ipc(task: &Task) -> Result {
    if !wanted(task) {
        return Ok(Done::new(ItemState::NotAsked));
    }
    unshare(libc::CLONE_NEWIPC)?;
    Ok(Done::applied())
}

pub(super) fn uts(task: &Task) -> Result {
    if !wanted(task) {
        return Ok(Done::new(ItemState::NotAsked));
    }
    unshare(libc::CLONE_NEWUTS)?;
    nix::unistd::sethostname("connector")
        .map_err(|errno| Failure { errno: errno as i32, detail: "sethostname".to_owned() })?;
    Ok(Done::applied())
}

pub(super) fn network(task: &Task) -> Result {
    if task.plan.network == Network::Host {
        return Ok(Done::new(ItemState::NotAsked));
    }
    unshare(libc::CLONE_NEWNET)?;
    Ok(Done::applied())
}

#[allow(unsafe_code)]
pub(super) fn unshare(flags: i32) -> Result<()> {
    // SAFETY: takes no pointers. This process has one thread, so that no other is left behind in
    // the old namespaces.
    let result = unsafe { libc::unshare(flags) };
    if result == 0 { Ok(()) } else { Err(Failure::new(&io::Error::last_os_error(), "unshare")) }
}
