//! Another process: its secrets, its memory, its descriptors, its life.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::targets::Targets;
use super::{Case, Outcome, case};

pub(super) const CASES: &[Case] = &[
    case("proc_environ", |targets| read(targets, "environ")),
    case("proc_cmdline", |targets| read(targets, "cmdline")),
    case("proc_mem", memory_file),
    case("proc_fd", descriptors),
    case("process_list", process_list),
    case("ptrace", trace),
    case("process_vm_readv", read_memory),
    case("process_vm_writev", write_memory),
    case("pidfd_getfd", take_descriptor),
    case("kcmp", compare),
    case("kill", signal),
    case("prlimit_other", limits),
    case("setns", join_namespace),
];

fn read(targets: &Targets, leaf: &str) -> Outcome {
    let pid = match targets.victim() {
        Ok(pid) => pid,
        Err(outcome) => return outcome,
    };
    let path = format!("/proc/{pid}/{leaf}");
    let tried = File::open(&path).and_then(|mut file| file.read(&mut [0; 1]));
    Outcome::of(&path, tried)
}

fn memory_file(targets: &Targets) -> Outcome {
    let pid = match targets.victim() {
        Ok(pid) => pid,
        Err(outcome) => return outcome,
    };
    let path = format!("/proc/{pid}/mem");
    let tried = File::open(&path).and_then(|file| match targets.victim_address {
        0 => Ok(0),
        address => file.read_at(&mut [0; 1], address),
    });
    Outcome::of(&path, tried)
}

fn descriptors(targets: &Targets) -> Outcome {
    let pid = match targets.victim() {
        Ok(pid) => pid,
        Err(outcome) => return outcome,
    };
    let path = format!("/proc/{pid}/fd");
    let tried = fs::read_dir(&path).and_then(|mut entries| entries.next().transpose());
    Outcome::of(&path, tried)
}

/// Processes that are neither above nor below this one.
fn process_list(_: &Targets) -> Outcome {
    let entries = match fs::read_dir("/proc") {
        Ok(entries) => entries,
        Err(error) => return Outcome::Denied(format!("/proc: {error}")),
    };
    let number = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let own = lineage(nix::unistd::getpid().as_raw());
    let strangers: Vec<i32> = entries
        .filter_map(number)
        .filter(|pid| !own.contains(pid) && !lineage(*pid).iter().any(|above| own[0] == *above))
        .collect();
    match strangers.as_slice() {
        [] => Outcome::Denied("/proc shows no process but our own".to_owned()),
        [first, ..] => {
            Outcome::Allowed(format!("/proc shows {}, such as {first}", strangers.len()))
        }
    }
}

/// A process and those above it, nearest first.
fn lineage(pid: i32) -> Vec<i32> {
    let parent = |pid: i32| -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before it may hold anything, brackets and spaces too.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let mut line = vec![pid];
    while let Some(above) = line.last().and_then(|last| parent(*last))
        && above > 0
        && !line.contains(&above)
    {
        line.push(above);
    }
    line
}

#[allow(unsafe_code)]
fn trace(targets: &Targets) -> Outcome {
    let pid = match targets.victim() {
        Ok(pid) => pid,
        Err(outcome) => return outcome,
    };
    // SAFETY: a request to seize reads no memory of ours: its address and data are plain numbers. It
    // does not stop the victim, and ends with this process.
    let result = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0usize, 0usize) };
    Outcome::of("PTRACE_SEIZE", told(result))
}

/// A place of ours and the victim's secret, as calls between memories want them.
fn places(targets: &Targets, buffer: &mut [u8]) -> (libc::iovec, libc::iovec) {
    let ours = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let theirs = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(targets.victim_address as usize),
        iov_len: buffer.len(),
    };
    (ours, theirs)
}

#[allow(unsafe_code)]
fn read_memory(targets: &Targets) -> Outcome {
    let pid = match targets.victim() {
        Ok(pid) => pid,
        Err(outcome) => return outcome,
    };
    let mut buffer = [0; 8];
    let (ours, theirs) = places(targets, &mut buffer);
    // SAFETY: one local place, which is the buffer and lives through the call; the other address is
    // in another process, where the kernel checks it.
    let count = unsafe { libc::process_vm_readv(pid, &ours, 1, &theirs, 1, 0) };
    match told(count as i64) {
        // There was the right, and only no such address.
        Err(error) if error.raw_os_error() == Some(libc::EFAULT) => {
            Outcome::Allowed(format!("process_vm_readv was considered: {error}"))
        }
        tried => Outcome::of("process_vm_readv", tried),
    }
}

/// Writes the byte that stands there, so that an attack that is allowed changes nothing.
#[allow(unsafe_code)]
fn write_memory(targets: &Targets) -> Outcome {
    let pid = match targets.victim() {
        Ok(_) if targets.victim_address == 0 => {
            return Outcome::skipped("no --victim-address was given");
        }
        Ok(pid) => pid,
        Err(outcome) => return outcome,
    };
    let mut byte = [crate::victim::SECRET.as_bytes()[0]];
    let (ours, theirs) = places(targets, &mut byte);
    // SAFETY: one local place, which is the byte and lives through the call; the other address is in
    // another process, where the kernel checks it.
    let count = unsafe { libc::process_vm_writev(pid, &ours, 1, &theirs, 1, 0) };
    Outcome::of("process_vm_writev", told(count as i64))
}

#[allow(unsafe_code)]
fn take_descriptor(targets: &Targets) -> Outcome {
    let pid = match targets.victim() {
        Ok(pid) => pid,
        Err(outcome) => return outcome,
    };
    // SAFETY: numbers alone.
    let handle = told(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) });
    let handle = match handle {
        // SAFETY: the kernel just gave this number to us alone.
        Ok(number) => unsafe { OwnedFd::from_raw_fd(number as i32) },
        Err(error) => return Outcome::Denied(format!("pidfd_open: {error}")),
    };
    // SAFETY: numbers alone; what it gives, if anything, ends with this process.
    let taken = unsafe { libc::syscall(libc::SYS_pidfd_getfd, handle.as_raw_fd(), 0, 0) };
    Outcome::of("pidfd_getfd", told(taken))
}

#[allow(unsafe_code)]
fn compare(targets: &Targets) -> Outcome {
    const KCMP_VM: i32 = 1;
    let pid = match targets.victim() {
        Ok(pid) => pid,
        Err(outcome) => return outcome,
    };
    // SAFETY: numbers alone.
    let result =
        unsafe { libc::syscall(libc::SYS_kcmp, libc::getpid(), pid, KCMP_VM, 0usize, 0usize) };
    Outcome::of("kcmp", told(result))
}

/// A signal that nobody notices who does not wait for it.
fn signal(targets: &Targets) -> Outcome {
    match targets.victim() {
        Ok(pid) => {
            let sent = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGURG);
            Outcome::of("kill", sent.map_err(io::Error::from))
        }
        Err(outcome) => outcome,
    }
}

/// Looks only; who may look may also set.
#[allow(unsafe_code)]
fn limits(targets: &Targets) -> Outcome {
    let pid = match targets.victim() {
        Ok(pid) => pid,
        Err(outcome) => return outcome,
    };
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: no new limit is given, and the old one is written to a local that lives through it.
    let result = unsafe { libc::prlimit(pid, libc::RLIMIT_CORE, std::ptr::null(), &mut now) };
    Outcome::of("prlimit of another process", told(result.into()))
}

#[allow(unsafe_code)]
fn join_namespace(targets: &Targets) -> Outcome {
    let pid = match targets.victim() {
        Ok(pid) => pid,
        Err(outcome) => return outcome,
    };
    let path = format!("/proc/{pid}/ns/net");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) => return Outcome::Denied(format!("{path}: {error}")),
    };
    // SAFETY: numbers alone; the descriptor is open until the end of this function.
    let result = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
    Outcome::of("setns", told(result.into()))
}

/// What a call of the C library says of itself.
fn told(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
