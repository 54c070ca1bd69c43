//! Processes as the kernel shows them, for tests that ask who still lives.

use std::path::{Path, PathBuf};

pub use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// Whether a process lives. One that is dead but not yet waited for does not.
pub fn is_alive(pid: u32) -> bool {
    status_line(pid, "State:").is_some_and(|state| !state.starts_with(['Z', 'X']))
}

/// Whether a process was stopped by a signal.
pub fn is_stopped(pid: u32) -> bool {
    status_line(pid, "State:").is_some_and(|state| state.starts_with('T'))
}

/// The most memory that a process had at a time, in bytes.
pub fn memory_peak_bytes(pid: u32) -> Option<u64> {
    let line = status_line(pid, "VmHWM:")?;
    let kib: u64 = line.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// How many descriptors a process has open.
pub fn descriptors(pid: u32) -> u64 {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |open| open.count() as u64)
}

/// Lets a process have so many descriptors, and raise its limit no further than `hard`.
pub fn limit_descriptors(pid: u32, soft: u64, hard: u64) {
    let limit = rustix::process::Rlimit { current: Some(soft), maximum: Some(hard) };
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::prlimit(pid, rustix::process::Resource::Nofile, limit)
        .unwrap_or_else(|error| panic!("no limit for a process: {error}"));
}

/// Asks a process to read its configuration again.
pub fn hang_up(pid: u32) {
    signal(pid, Signal::SIGHUP);
}

/// Processor time that a process has used, in clock ticks.
pub fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // What follows the name, which may hold spaces: state is the first field there.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// What the tasks of a process's control group weigh on a processor, as a part of the usual weight;
/// none where its group weighs nothing.
pub fn cpu_weight(pid: u32) -> Option<f64> {
    let group = cpu_group(pid)?;
    let read = |file: &str, usual: f64| {
        let weight: f64 = std::fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()?;
        Some(weight / usual)
    };
    read("cpu.shares", 1_024.0).or_else(|| read("cpu.weight", 100.0))
}

/// Which share of one core the tasks of a process's control group may use; none where nothing limits
/// them.
pub fn cpu_quota(pid: u32) -> Option<f64> {
    const PERIOD_US: f64 = 100_000.0;
    let group = cpu_group(pid)?;
    let quota = std::fs::read_to_string(group.join("cpu.cfs_quota_us"));
    let quota = quota.or_else(|_| std::fs::read_to_string(group.join("cpu.max"))).ok()?;
    let quota: f64 = quota.split_whitespace().next()?.parse().ok()?;
    (quota > 0.0).then_some(quota / PERIOD_US)
}

/// The folder of a process's control group that has the processor.
fn cpu_group(pid: u32) -> Option<PathBuf> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let is_v1 = controllers.split(',').any(|name| name == "cpu");
        let root = Path::new(if is_v1 { "/sys/fs/cgroup/cpu" } else { "/sys/fs/cgroup" });
        let folder = root.join(path.trim_start_matches('/'));
        folder.join(if is_v1 { "cpu.shares" } else { "cpu.weight" }).exists().then_some(folder)
    })
}

/// Sends a signal to a process; one that is gone gets none.
pub fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Processes whose command line contains a text, by id; for children that left their parent.
pub fn with_command_line(text: &str) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            (line.contains(text) && is_alive(pid)).then_some(pid)
        })
        .collect()
}

fn status_line(pid: u32, name: &str) -> Option<String> {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let status = std::fs::read_to_string(path).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().to_owned())
}
