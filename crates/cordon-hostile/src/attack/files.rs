//! Files of the supervisor, of other connectors, of the host and of the kernel.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::targets::{Targets, given};
use super::{Case, Outcome, case};

pub(super) const CASES: &[Case] = &[
    case("state_dir_read", |targets| match given(&targets.state_dir, "state-dir") {
        // What a view may show in its place is an empty directory.
        Ok(dir) => Outcome::worst(STATE_FILES.iter().map(|file| read(&dir.join(file)))),
        Err(outcome) => outcome,
    }),
    case("state_file_link", link_state),
    case("config_read", |targets| match given(&targets.config, "config") {
        Ok(file) => read(file),
        Err(outcome) => outcome,
    }),
    case("neighbour_dir_read", |targets| match given(&targets.neighbour_dir, "neighbour-dir") {
        Ok(dir) => read_dir(dir),
        Err(outcome) => outcome,
    }),
    case("neighbour_dir_write", |targets| match given(&targets.neighbour_dir, "neighbour-dir") {
        Ok(dir) => create(dir),
        Err(outcome) => outcome,
    }),
    case("outside_dir_write", |targets| match given(&targets.outside_dir, "outside-dir") {
        Ok(dir) => create(dir),
        Err(outcome) => outcome,
    }),
    case("host_secrets_read", |_| {
        const FILES: [&str; 4] = ["/etc/shadow", "/etc/gshadow", "/proc/kcore", "/proc/1/environ"];
        Outcome::worst(FILES.iter().map(|file| read(Path::new(file))))
    }),
    case("host_dirs_read", |_| {
        const DIRS: [&str; 5] = ["/root", "/home", "/var/lib", "/var/log", "/etc/ssh"];
        Outcome::worst(DIRS.iter().map(|dir| read_dir(Path::new(dir))))
    }),
    case("host_dirs_write", |_| {
        const DIRS: [&str; 7] =
            ["/etc", "/usr", "/usr/local/bin", "/var/tmp", "/var/lib", "/run", "/dev"];
        Outcome::worst(DIRS.iter().map(|dir| create(Path::new(dir))))
    }),
    case("cgroup_write", cgroup),
    case("sys_write", |_| {
        const FILES: [&str; 3] =
            ["/sys/kernel/uevent_helper", "/sys/power/state", "/sys/kernel/mm/ksm/run"];
        Outcome::worst(FILES.iter().map(|file| open_to_write(Path::new(file))))
    }),
    case("proc_sys_write", |_| {
        const FILES: [&str; 2] = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe"];
        Outcome::worst(FILES.iter().map(|file| open_to_write(Path::new(file))))
    }),
    case("sysrq_trigger", |_| open_to_write(Path::new("/proc/sysrq-trigger"))),
    case("dev_mem", |_| {
        const FILES: [&str; 3] = ["/dev/mem", "/dev/port", "/dev/kmsg"];
        Outcome::worst(FILES.iter().map(|file| open_to_write(Path::new(file))))
    }),
    case("mknod", make_device),
];

/// Always there while a supervisor runs.
const STATE_FILES: [&str; 2] = ["lock", "cordon.db"];

/// Where this program may write: its own directory.
pub(super) fn own_dir() -> PathBuf {
    std::env::temp_dir()
}

/// A name that nobody else uses.
pub(super) fn own_name() -> String {
    format!("cordon-hostile-{}", std::process::id())
}

fn read(path: &Path) -> Outcome {
    let tried = File::open(path).and_then(|mut file| file.read(&mut [0; 1]));
    Outcome::of(&path.display().to_string(), tried)
}

fn read_dir(path: &Path) -> Outcome {
    let tried = fs::read_dir(path).and_then(|mut entries| entries.next().transpose());
    Outcome::of(&format!("list {}", path.display()), tried)
}

/// Opens only: nothing is written.
fn open_to_write(path: &Path) -> Outcome {
    Outcome::of(&path.display().to_string(), OpenOptions::new().write(true).open(path))
}

fn create(dir: &Path) -> Outcome {
    let path = dir.join(own_name());
    let tried = OpenOptions::new().write(true).create_new(true).open(&path);
    if tried.is_ok() {
        let _ = fs::remove_file(&path);
    }
    Outcome::of(&format!("create {}", path.display()), tried)
}

/// A second name in our own directory for a file of the supervisor, so that it writes or removes
/// there what is not ours.
fn link_state(targets: &Targets) -> Outcome {
    let dir = match given(&targets.state_dir, "state-dir") {
        Ok(dir) => dir,
        Err(outcome) => return outcome,
    };
    let name = own_dir().join(own_name());
    let tried = fs::hard_link(dir.join(STATE_FILES[0]), &name);
    if tried.is_ok() {
        let _ = fs::remove_file(&name);
    }
    Outcome::of("link to the state's lock", tried)
}

/// The limits that hold us, wherever control groups are mounted.
fn cgroup(_: &Targets) -> Outcome {
    const LIMITS: [&str; 5] =
        ["cgroup.procs", "memory.max", "pids.max", "memory.limit_in_bytes", "cpu.max"];
    let root = Path::new("/sys/fs/cgroup");
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut dirs = vec![root.to_owned()];
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let path = path.trim_start_matches('/');
        let controllers = controllers.trim_start_matches("name=");
        let mounts = if controllers.is_empty() { ["", "unified"] } else { [controllers, ""] };
        dirs.extend(
            mounts.iter().flat_map(|mount| [root.join(mount), root.join(mount).join(path)]),
        );
    }
    dirs.sort();
    dirs.dedup();
    let files = dirs.iter().flat_map(|dir| LIMITS.map(|limit| dir.join(limit)));
    let tried: Vec<Outcome> =
        files.filter(|file| file.exists()).map(|file| open_to_write(&file)).collect();
    if tried.is_empty() {
        return Outcome::Denied(format!("no control group is in sight below {}", root.display()));
    }
    Outcome::worst(tried)
}

/// The null device: a device is a device, and this one does no harm.
fn make_device(_: &Targets) -> Outcome {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    let path = own_dir().join(own_name());
    let tried = mknod(&path, SFlag::S_IFCHR, Mode::S_IRUSR, makedev(1, 3));
    if tried.is_ok() {
        let _ = fs::remove_file(&path);
    }
    Outcome::of("mknod", tried.map_err(io::Error::from))
}
