//! Faults of the host itself: a disk that hangs, a clock that jumps.

use anyhow::{Context, ensure};

use super::shell::{accepted, main_pid, pid, process_field, sh, sync, until};
use super::supervision::both_run;
use super::world::{configure, forget};

/// Where the spare disk is mounted.
const SPARE: &str = "/mnt/spare";

pub(super) fn a_connector_in_uninterruptible_sleep_blocks_nobody() -> anyhow::Result<()> {
    sh(&format!(
        "mkdir -p {SPARE}; mount /dev/nvme3n1 {SPARE}; dd if=/dev/zero of={SPARE}/file bs=1M count=4 \
         conv=fsync 2>/dev/null; chmod -R a+rX {SPARE}; echo +io > /sys/fs/cgroup/cgroup.subtree_control"
    ))?;
    // Two bytes a second, the least there is: a direct read waits for its block where no signal reaches.
    throttle("rbps=2")?;
    let text = format!(
        "use = \"/bin/dd\"\nargs = [\"if={SPARE}/file\", \"of=/dev/null\", \"bs=4k\", \
         \"iflag=direct\"]\nallow = {{ read = [\"{SPARE}\"] }}\nrestart = {{ give_up_after = 1 }}\n"
    );
    let tried = configure("stuck", &text).and_then(|()| stuck_and_others_go_on());
    throttle("rbps=max")?;
    tried?;
    until("it is gone after all", || Ok(reader()?.is_none()))?;
    forget(&["stuck"])?;
    sh(&format!("umount {SPARE}"))?;
    Ok(())
}

/// Limits what services may do with the spare disk.
fn throttle(limit: &str) -> anyhow::Result<()> {
    let device = sh("cat /sys/block/nvme3n1/dev")?;
    let file = "/sys/fs/cgroup/system.slice/io.max";
    std::fs::write(file, format!("{device} {limit}")).with_context(|| format!("{file}: {limit}"))
}

/// The process that reads the spare disk.
fn reader() -> anyhow::Result<Option<u32>> {
    let found = sh(&format!("pgrep -f 'if={SPARE}/file' || true"))?;
    // The shell that looks has the words in its own command line.
    let mut pids = found.lines().filter_map(|line| line.parse().ok());
    Ok(pids
        .find(|pid| process_field(*pid, "Name").is_ok_and(|name| name != "sh" && name != "pgrep")))
}

fn stuck_and_others_go_on() -> anyhow::Result<()> {
    let supervisor = main_pid()?;
    sh("cordon sync stuck >/dev/null 2>&1 || true")?;
    let sleeps = |pid: u32| Ok(process_field(pid, "State")?.starts_with('D'));
    let mut stuck = None;
    until("it sleeps where no signal reaches", || {
        stuck = reader()?;
        stuck.map_or(Ok(false), sleeps)
    })?;
    let run = sync("stuck")?;
    ensure!(run["outcome"] == "failed", "{run}");
    ensure!(stuck.map_or(Ok(false), sleeps)?, "it died after all");
    accepted("left")?;
    accepted("right")?;
    ensure!(main_pid()? == supervisor);
    Ok(())
}

pub(super) fn a_clock_that_jumps_a_day_kills_nothing() -> anyhow::Result<()> {
    both_run()?;
    let before = (main_pid()?, pid("left")?, pid("right")?);
    for jump in ["+1 day", "-2 days", "+1 day"] {
        sh(&format!("date -s '{jump}'"))?;
        accepted("left")?;
        let now = (main_pid()?, pid("left")?, pid("right")?);
        ensure!(now == before, "after {jump} the processes are {now:?}, not {before:?}");
    }
    Ok(())
}
