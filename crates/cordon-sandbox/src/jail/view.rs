//! What the connector sees of the file system.
//!
//! With a list of what it may read it gets a root of its own: the host's libraries, a few files that
//! every program needs, the listed paths, a small scratch space, its own processes, and nothing
//! else. Without a list it sees the host's files, read-only, but for what is hidden. In both its
//! private directory is the scratch space: a file system in memory with a size and a number of
//! files, so that filling it costs the host nothing.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rustix::mount::{MountAttrFlags, UnmountFlags, unmount};
use rustix::process::{chdir, getegid, geteuid, pivot_root};

use super::{
    ladder::{Done, Failure},
    mounts::{Denied, Detached, deny_at},
    task::Task,
};
use crate::{
    egress,
    plan::Identity,
    report::ItemState,
    spec::{Network, View},
};

/// What dynamic programs, time zones and TLS need of a host. What is not there is left out.
const BASE: [&str; 14] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/ssl/certs",
    "/etc/pki/tls/certs",
    "/etc/ca-certificates",
    "/etc/alternatives",
    "/etc/services",
];

/// How names are resolved where the network is the host's.
const RESOLVER: [&str; 3] = ["/etc/resolv.conf", "/etc/hosts", "/etc/gai.conf"];

const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Where the new root is put together; mounted over only in this namespace.
const SCAFFOLD: &str = "/tmp";

type Result<T = Done> = std::result::Result<T, Failure>;

/// Read-only paths that the view shows, besides what is listed in the plan.
pub(super) fn base(network: &Network) -> impl Iterator<Item = &'static Path> {
    let resolver: &[&str] = if *network == Network::Host { &RESOLVER } else { &[] };
    BASE.iter().chain(resolver).map(Path::new)
}

pub(super) fn devices() -> impl Iterator<Item = &'static Path> {
    DEVICES.iter().map(Path::new)
}

pub(super) fn make(task: &Task) -> Result {
    if task.plan.view != View::Shared {
        if !task.own_mounts.get() {
            return Ok(Done::new(ItemState::Unavailable).detail("needs mounts of its own"));
        }
        // Once it is begun, a view is whole or the program does not run.
        let tried = Detached::copy(Path::new("/dev/null")).and_then(|it| it.deny(Denied::WRITING));
        if tried.is_err_and(|error| error.raw_os_error() == Some(libc::ENOSYS)) {
            return Ok(Done::new(ItemState::Unavailable)
                .errno(libc::ENOSYS)
                .detail("needs Linux 5.12 or later"));
        }
    }
    match &task.plan.view {
        View::Shared => Ok(Done::new(ItemState::NotAsked)),
        View::ReadOnly => {
            restrict_host(task)?;
            Ok(Done::applied().detail("the host's files, read-only"))
        }
        View::Only(read) => {
            let missing = build_root(task, read)?;
            let shown = format!("{} listed paths", read.len() - missing.len());
            let absent: Vec<String> =
                missing.iter().map(|path| path.display().to_string()).collect();
            Ok(Done::applied().detail(match absent.as_slice() {
                [] => shown,
                absent => format!("{shown}, not there: {}", absent.join(" ")),
            }))
        }
    }
}

fn told(what: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
    let what = what.into();
    move |error| Failure::new(&error, what)
}

fn told_path(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Failure + use<> {
    told(format!("{what} {}", path.display()))
}

fn restrict_host(task: &Task) -> Result<()> {
    deny_at(c"/", Denied::WRITING, true).map_err(told("make the host's files read-only"))?;
    for hidden in &task.plan.hide {
        if hidden.is_dir() {
            tmpfs("16k", "16", 0o711, None)?.attach(hidden).map_err(told_path("hide", hidden))?;
        }
    }
    processes()?.attach(Path::new("/proc")).map_err(told("show its own processes"))?;
    let private_dir = &task.plan.private_dir;
    place(private_dir, true)?;
    scratch(task)?.attach(private_dir).map_err(told_path("mount", private_dir))?;
    names(task, Path::new("/"))
}

/// Builds the root directory and enters it. Gives the listed paths that this host does not have.
fn build_root(task: &Task, read: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let plan = &task.plan;
    let root = Path::new(SCAFFOLD);
    // Copied before anything is mounted over what they come from.
    let mut shown: Vec<(PathBuf, bool, Detached)> = Vec::new();
    let mut links: Vec<(&Path, PathBuf)> = Vec::new();
    let mut missing = Vec::new();
    for path in base(&plan.network) {
        match fs::read_link(path) {
            Ok(target) if target.is_relative() => links.push((path, target)),
            _ => {
                let _ = show(path, Denied::WRITING_AND_DEVICES, &mut shown)?;
            }
        }
    }
    // A script is opened by its interpreter; everything else runs from memory.
    let program = plan.script.then_some(&plan.program);
    for path in read.iter().chain(program) {
        if !show(path, Denied::WRITING_AND_DEVICES, &mut shown)? {
            missing.push(path.clone());
        }
    }
    for path in devices() {
        let _ = show(path, Denied::WRITING, &mut shown)?;
    }
    shown.sort_by_key(|(path, ..)| path.components().count());

    tmpfs("1m", "4k", 0o755, None)?.attach(root).map_err(told("mount the new root"))?;
    for (link, target) in links {
        let at = inside(root, link);
        std::os::unix::fs::symlink(target, &at).map_err(told_path("link", &at))?;
    }
    for (path, is_dir, tree) in shown {
        let at = inside(root, &path);
        place(&at, is_dir)?;
        tree.attach(&at).map_err(told_path("show", &path))?;
    }
    for hidden in &plan.hide {
        let at = inside(root, hidden);
        if at.is_dir() {
            tmpfs("16k", "16", 0o711, None)?.attach(&at).map_err(told_path("hide", hidden))?;
        }
    }
    let proc = root.join("proc");
    place(&proc, true)?;
    processes()?.attach(&proc).map_err(told("show its own processes"))?;
    let private_dir = inside(root, &plan.private_dir);
    place(&private_dir, true)?;
    scratch(task)?.attach(&private_dir).map_err(told_path("mount", &private_dir))?;
    let tmp = root.join("tmp");
    if !private_dir.starts_with(&tmp) {
        place(&tmp, true)?;
        let same = Detached::copy(&private_dir).map_err(told("copy the scratch space"))?;
        same.attach(&tmp).map_err(told("mount /tmp"))?;
    }
    names(task, root)?;
    enter(root)?;
    Ok(missing)
}

/// Notes a copy of `path` to be shown; `false` when the host has no such path.
fn show(path: &Path, denied: Denied, shown: &mut Vec<(PathBuf, bool, Detached)>) -> Result<bool> {
    let is_dir = match fs::metadata(path) {
        Ok(found) => found.is_dir(),
        Err(_) => return Ok(false),
    };
    let copy = Detached::copy(path).and_then(|tree| tree.deny(denied));
    shown.push((path.to_owned(), is_dir, copy.map_err(told_path("copy", path))?));
    Ok(true)
}

fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Makes what something is mounted on. What is there already is part of what is shown.
fn place(at: &Path, is_dir: bool) -> Result<()> {
    if at.exists() {
        return Ok(());
    }
    let dir = if is_dir { Some(at) } else { at.parent() };
    if let Some(dir) = dir {
        fs::create_dir_all(dir).map_err(told_path("make", dir))?;
        widen(dir)?;
    }
    if !is_dir {
        File::create_new(at).map_err(told_path("make", at))?;
    }
    Ok(())
}

/// Directories on the way to what is shown let every user pass: this process's mask keeps them to
/// itself.
fn widen(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for dir in dir.ancestors().take_while(|dir| *dir != Path::new(SCAFFOLD)) {
        let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o755));
    }
    Ok(())
}

fn tmpfs(size: &str, files: &str, mode: u32, owner: Option<Identity>) -> Result<Detached> {
    let mode = format!("{mode:o}");
    let (uid, gid) = match owner {
        Some(Identity { uid, gid }) => (uid.to_string(), gid.to_string()),
        None => (geteuid().as_raw().to_string(), getegid().as_raw().to_string()),
    };
    let options = [
        (c"size", size),
        (c"nr_inodes", files),
        (c"mode", mode.as_str()),
        (c"uid", uid.as_str()),
        (c"gid", gid.as_str()),
    ];
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Detached::fresh(c"tmpfs", &options, attributes).map_err(told("make a file system in memory"))
}

/// The connector's own space: in memory, bounded, and nothing in it can be executed.
fn scratch(task: &Task) -> Result<Detached> {
    let limits = &task.plan.limits;
    let (size, files) = (limits.scratch_bytes.to_string(), limits.scratch_files.to_string());
    let owner = task.plan.identity.filter(|_| geteuid().is_root());
    tmpfs(&size, &files, 0o700, owner)
}

/// The process table of this namespace, without the kernel's settings.
fn processes() -> Result<Detached> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let options = [(c"hidepid", "invisible"), (c"subset", "pid")];
    Detached::fresh(c"proc", &options, attributes).map_err(told("make a process table"))
}

/// Names of the only places in a restricted network, in place of the host's.
fn names(task: &Task, root: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let Network::Only(destinations) = &task.plan.network else { return Ok(()) };
    let draft = inside(root, &task.plan.private_dir).join(".hosts");
    let at = root.join("etc/hosts");
    place(&at, false)?;
    let put = || -> io::Result<()> {
        fs::write(&draft, egress::hosts(destinations))?;
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o644))?;
        Detached::copy(&draft)?.deny(Denied::WRITING_AND_DEVICES)?.attach(&at)?;
        // It stays where it is mounted.
        fs::remove_file(&draft)
    };
    put().map_err(told("mount the names of its network"))
}

/// Makes `root` the root of this process, and lets go of the old one.
fn enter(root: &Path) -> Result<()> {
    let step = |what: &'static str| move |errno: rustix::io::Errno| told(what)(errno.into());
    chdir(root).map_err(step("enter the new root"))?;
    pivot_root(".", ".").map_err(step("pivot_root"))?;
    unmount(".", UnmountFlags::DETACH).map_err(step("let go of the old root"))?;
    chdir("/").map_err(step("enter the new root"))?;
    deny_at(c"/", Denied::WRITING_AND_DEVICES, false).map_err(told("make the new root read-only"))
}
