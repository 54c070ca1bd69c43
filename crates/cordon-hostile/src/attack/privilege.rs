//! Other users, other namespaces, other roots, and what belongs to the host's administrator.

use std::io;

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use super::files::own_dir;
use super::targets::Targets;
use super::{Case, Outcome, case};

pub(super) const CASES: &[Case] = &[
    case("setuid_root", |_| {
        let root = Uid::from_raw(0);
        Outcome::of("setresuid to 0", setresuid(root, root, root).map_err(io::Error::from))
    }),
    case("setgid_root", |_| {
        let root = Gid::from_raw(0);
        Outcome::worst([
            Outcome::of("setresgid to 0", setresgid(root, root, root).map_err(io::Error::from)),
            Outcome::of("setgroups", setgroups(&[root]).map_err(io::Error::from)),
        ])
    }),
    case("unshare_user", |_| unshare("user", libc::CLONE_NEWUSER)),
    case("unshare_others", |_| {
        Outcome::worst([
            unshare("mount", libc::CLONE_NEWNS),
            unshare("net", libc::CLONE_NEWNET),
            unshare("pid", libc::CLONE_NEWPID),
            unshare("ipc", libc::CLONE_NEWIPC),
        ])
    }),
    case("clone3_namespaces", clone3),
    case("mount", mount),
    case("umount", |_| {
        let path = c".";
        considered("umount2", libc::SYS_umount2, [path.as_ptr().expose_provenance(), 0, 0, 0])
    }),
    case("fsopen", |_| {
        let name = c"tmpfs";
        considered("fsopen", libc::SYS_fsopen, [name.as_ptr().expose_provenance(), 0, 0, 0])
    }),
    case("open_tree", open_tree),
    case("chroot", chroot),
    case("pivot_root", |_| {
        let path = c".".as_ptr().expose_provenance();
        considered("pivot_root", libc::SYS_pivot_root, [path, path, 0, 0])
    }),
    case("settimeofday", settimeofday),
    case("sethostname", |_| {
        const TOO_LONG: usize = 65;
        considered("sethostname", libc::SYS_sethostname, [0, TOO_LONG, 0, 0])
    }),
    case("reboot", |_| {
        const NO_MAGIC: usize = 0;
        considered("reboot", libc::SYS_reboot, [NO_MAGIC, NO_MAGIC, 0, 0])
    }),
    case("swapon", |_| {
        let path = c"/nonexistent-cordon-hostile";
        considered("swapon", libc::SYS_swapon, [path.as_ptr().expose_provenance(), 0, 0, 0])
    }),
];

/// A call that is given numbers, null, and strings that end with NUL and live for ever.
#[allow(unsafe_code)]
fn considered(what: &str, number: libc::c_long, arguments: [usize; 4]) -> Outcome {
    let [first, second, third, fourth] = arguments;
    // SAFETY: each caller keeps to the above, and to calls that write nowhere.
    let result = unsafe { libc::syscall(number, first, second, third, fourth) };
    let tried = if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) };
    Outcome::considered(what, tried)
}

fn unshare(what: &str, flag: libc::c_int) -> Outcome {
    considered(&format!("unshare of {what}"), libc::SYS_unshare, [flag as usize, 0, 0, 0])
}

/// A process in a user namespace of its own, where it would have every capability.
#[allow(unsafe_code)]
fn clone3(_: &Targets) -> Outcome {
    let flags = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWNET;
    // Flags, three places for ids, the signal at its end; no stack, so the call forks.
    let mut arguments = [0u64; 8];
    arguments[0] = flags as u64;
    arguments[4] = libc::SIGCHLD as u64;
    // SAFETY: the structure is as large as is said and lives through the call. Without a stack of
    // its own the child goes on here with a copy of everything, and ends at once.
    let child = unsafe {
        let child = libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments));
        if child == 0 {
            libc::_exit(0);
        }
        child
    };
    let tried = if child < 0 { Err(io::Error::last_os_error()) } else { Ok(child) };
    Outcome::considered("clone3", tried)
}

/// Of a file system that no kernel has, so that who may mount mounts nothing.
fn mount(_: &Targets) -> Outcome {
    let (path, kind) = (c".".as_ptr(), c"cordon-none".as_ptr());
    let (path, kind) = (path.expose_provenance(), kind.expose_provenance());
    considered("mount", libc::SYS_mount, [path, path, kind, 0])
}

fn open_tree(_: &Targets) -> Outcome {
    const CLONE: usize = 1;
    let path = c"/".as_ptr().expose_provenance();
    considered("open_tree", libc::SYS_open_tree, [libc::AT_FDCWD as usize, path, CLONE, 0])
}

fn chroot(_: &Targets) -> Outcome {
    Outcome::considered("chroot", std::os::unix::fs::chroot(own_dir()))
}

/// Sets no clock, only a time zone that does not exist.
#[allow(unsafe_code)]
fn settimeofday(_: &Targets) -> Outcome {
    // Minutes west of Greenwich: more than a day has.
    let zone: [libc::c_int; 2] = [10_000, 0];
    // SAFETY: no time is given, and the zone lives through the call.
    let result = unsafe { libc::syscall(libc::SYS_settimeofday, 0usize, zone.as_ptr()) };
    let tried = if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) };
    Outcome::considered("settimeofday", tried)
}
