//! What holds a connector down: its limits, its place in the queue, its claim on memory.

use std::fs;
use std::io;

use rustix::mm::{MapFlags, ProtFlags, mlock, mmap_anonymous};
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};

use super::files::{own_dir, own_name};
use super::targets::Targets;
use super::{Case, Outcome, case};
use crate::process::{self, End};

pub(super) const CASES: &[Case] = &[
    case("raise_rlimits", raise),
    case("nice", |_| {
        Outcome::of("nice -20", setpriority_process(None, -20).map_err(io::Error::from))
    }),
    case("sched_fifo", sched_fifo),
    case("ioprio_realtime", ioprio),
    case("mlock", lock),
    case("oom_score", oom_score),
    case("core_dump", core_dump),
];

/// More than any connector needs to lock, and less than any may use.
const LOCKED_BYTES_MAX: u64 = 48 << 20;

fn raise(_: &Targets) -> Outcome {
    const LIMITS: [(&str, Resource); 7] = [
        ("files", Resource::Nofile),
        ("core", Resource::Core),
        ("file size", Resource::Fsize),
        ("cpu", Resource::Cpu),
        ("address space", Resource::As),
        ("processes", Resource::Nproc),
        ("message queues", Resource::Msgqueue),
    ];
    let tried = LIMITS.iter().filter_map(|(name, resource)| {
        let hard = getrlimit(*resource).maximum?;
        let more = Some(hard.checked_add(1)?);
        let raised = setrlimit(*resource, Rlimit { current: more, maximum: more });
        Some(Outcome::of(&format!("more {name} than {hard}"), raised.map_err(io::Error::from)))
    });
    let tried: Vec<Outcome> = tried.collect();
    if tried.is_empty() {
        return Outcome::skipped("nothing is limited");
    }
    Outcome::worst(tried)
}

#[allow(unsafe_code)]
fn sched_fifo(_: &Targets) -> Outcome {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameters live through the call; it is about this process.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) };
    Outcome::of("SCHED_FIFO", told(result.into()))
}

#[allow(unsafe_code)]
fn ioprio(_: &Targets) -> Outcome {
    const PROCESS: usize = 1;
    const REALTIME: usize = 1 << 13;
    // SAFETY: numbers alone; it is about this process.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, PROCESS, 0usize, REALTIME) };
    Outcome::of("real-time io", told(result))
}

fn told(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Locks more than the limit, or as much as must be enough for anyone where there is none.
#[allow(unsafe_code)]
fn lock(_: &Targets) -> Outcome {
    let limit = getrlimit(Resource::Memlock).maximum.unwrap_or(u64::MAX);
    let bytes = limit.saturating_add(1 << 20).min(LOCKED_BYTES_MAX) as usize;
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping where the kernel likes; nothing else points into it, and it ends with
    // this process.
    let tried = unsafe {
        mmap_anonymous(std::ptr::null_mut(), bytes, protection, MapFlags::PRIVATE)
            .and_then(|start| mlock(start, bytes))
    };
    Outcome::of(&format!("mlock of {} MiB", bytes >> 20), tried.map_err(io::Error::from))
}

/// Tries to be the last to be chosen when memory runs out.
fn oom_score(_: &Targets) -> Outcome {
    const FILE: &str = "/proc/self/oom_score_adj";
    let now = fs::read_to_string(FILE).ok().and_then(|text| text.trim().parse::<i32>().ok());
    let wanted = now.map_or(-1000, |now| (now - 1).max(-1000));
    Outcome::of(&format!("oom_score_adj {wanted}"), fs::write(FILE, wanted.to_string()))
}

/// Whether a crash writes the memory, with all secrets in it, to somewhere.
#[allow(unsafe_code)]
fn core_dump(_: &Targets) -> Outcome {
    use std::time::{Duration, Instant};
    let dir = own_dir().join(own_name());
    if let Err(error) = fs::create_dir(&dir) {
        return Outcome::skipped(format!("no directory for it: {error}"));
    }
    let child = process::in_child(|| {
        let hard = getrlimit(Resource::Core).maximum;
        let _ = setrlimit(Resource::Core, Rlimit { current: hard, maximum: hard });
        let _ = std::env::set_current_dir(&dir);
        // SAFETY: takes no arguments and does not return.
        unsafe { libc::abort() }
    });
    let deadline = Instant::now() + Duration::from_secs(8);
    let end = child.and_then(|child| process::end_of(child, deadline));
    // With the core in it, if there is one.
    let _ = fs::remove_dir_all(&dir);
    match end {
        Ok(End::Signal { dumped_core: true, .. }) => Outcome::Allowed("a core was dumped".into()),
        Ok(End::Signal { .. }) => Outcome::Denied("a crash left no core".to_owned()),
        Ok(end) => Outcome::skipped(format!("the child did not crash: {end:?}")),
        Err(error) => Outcome::skipped(format!("no child for it: {error}")),
    }
}
