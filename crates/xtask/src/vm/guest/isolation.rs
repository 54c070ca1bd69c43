//! Users, limits and tree kill: as root, and without root under the drop-in.

use anyhow::{Context, ensure};
use serde_json::Value;

use super::shell::{
    UNIT, accepted, answers, cordon, main_pid, pid, process_field, property, sh, status, sync,
    until,
};
use super::world::{bring_faulty, drop_in, forget, group_of, in_group, play, scripted};

/// Limits of the connector that the cases look at.
const LIMITS: &str = "limits = { memory = \"96MiB\", cpu = \"50%\", tasks = 40 }";

pub(super) fn as_root_every_connector_has_a_user_of_its_own() -> anyhow::Result<()> {
    bring_faulty()?;
    for name in ["left", "right"] {
        play(name, 20, None)?;
        scripted(name, LIMITS)?;
        accepted(name)?;
    }
    let (left, right) = (pid("left")?, pid("right")?);
    let uid = |pid| process_field(pid, "Uid");
    ensure!(uid(left)? != uid(right)?, "both run as {}", uid(left)?);
    for pid in [left, right] {
        ensure!(!uid(pid)?.starts_with("0\t"), "a connector runs as root");
        ensure!(process_field(pid, "CapEff")? == "0000000000000000");
        ensure!(process_field(pid, "NoNewPrivs")? == "1");
        ensure!(process_field(pid, "Groups")?.is_empty(), "it has groups");
        ensure!(sh(&format!("cat /proc/{pid}/oom_score_adj"))? == "500");
    }
    Ok(())
}

pub(super) fn limits_stand_in_version_2_groups_beside_the_supervisor() -> anyhow::Result<()> {
    let service = format!("/sys/fs/cgroup/system.slice/{UNIT}");
    let own = group_of(main_pid()?)?;
    ensure!(own == format!("{service}/supervisor"), "the supervisor is in {own}");
    let group = group_of(pid("left")?)?;
    ensure!(group.starts_with(&format!("{service}/cordon.")), "the connector is in {group}");
    // Of one level with the connector's, or neither would say who goes first.
    let weight = in_group(&own, "cpu.weight", None)?;
    ensure!(weight == "1000", "the supervisor weighs {weight}");
    for (file, value) in [
        ("memory.max", "100663296"),
        ("memory.swap.max", "0"),
        ("memory.oom.group", "1"),
        ("pids.max", "40"),
        ("cpu.max", "50000 100000"),
    ] {
        // A kernel without swap has no file for it, and nothing to limit.
        match in_group(&group, file, None) {
            Ok(read) => ensure!(read == value, "{file} is {read}, not {value}"),
            Err(error) => ensure!(file == "memory.swap.max", "{error:#}"),
        }
    }
    Ok(())
}

/// Linux 6.1 has the second version of Landlock: no rules for ports, which come with the fourth, and
/// none for signals and abstract sockets, which come with the sixth.
const NOT_IN_THIS_KERNEL: [&str; 2] = ["landlock_ports", "landlock_scope"];

pub(super) fn every_wall_stands_and_what_the_kernel_lacks_is_told() -> anyhow::Result<()> {
    let document = cordon("describe left")?;
    let steps = document["items"][0]["isolation"].as_array().cloned().unwrap_or_default();
    let missing: Vec<_> = steps
        .iter()
        .filter(|step| matches!(step["state"].as_str(), Some("refused" | "unavailable")))
        .collect();
    let is_known = |step: &&Value| NOT_IN_THIS_KERNEL.iter().any(|name| step["name"] == *name);
    let (known, odd): (Vec<_>, Vec<_>) = missing.into_iter().partition(is_known);
    ensure!(odd.is_empty(), "not in force: {odd:?}");
    let scope = known.iter().find(|step| step["name"] == "landlock_scope");
    let detail = scope.and_then(|step| step["detail"].as_str()).unwrap_or_default();
    ensure!(detail.contains("version 6"), "what the kernel lacks is not told: {steps:?}");
    for name in ["view", "pid_namespace", "network_namespace", "landlock_files", "seccomp"] {
        let stands = steps.iter().any(|step| step["name"] == name && step["state"] == "applied");
        ensure!(stands, "{name} is not in force: {steps:?}");
    }
    Ok(())
}

pub(super) fn a_memory_hog_dies_of_memory_and_the_service_stays() -> anyhow::Result<()> {
    accepted("right")?;
    let (supervisor, neighbour) = (main_pid()?, pid("right")?);
    play("hog", 20, Some(("page:1", "memory-hog")))?;
    scripted("hog", "limits = { memory = \"64MiB\" }\nrestart = { give_up_after = 1 }")?;
    let run = sync("hog")?;
    ensure!(run["outcome"] == "failed", "the run is {run}");
    let error = run["error"].as_str().unwrap_or_default();
    ensure!(error.contains("out of memory"), "the reason is {error:?}");
    // Of its own limit, and not of the guest's memory, which ends it just as well.
    let used = error.split_once("it used ").and_then(|(_, rest)| rest.split_once(' '));
    let used: u64 = used.context("its peak is not told")?.0.parse()?;
    ensure!(used <= 64, "it used {used} MiB");
    ensure!(main_pid()? == supervisor, "the supervisor was restarted");
    ensure!(property("Result")? == "success" && property("ActiveState")? == "active");
    ensure!(pid("right")? == neighbour, "the neighbour was restarted");
    accepted("right")?;
    forget(&["hog"])
}

pub(super) fn a_fork_flood_is_denied_and_its_tree_ends() -> anyhow::Result<()> {
    play("bomb", 20, Some(("page:1", "fork-children:100")))?;
    scripted("bomb", "limits = { tasks = 20 }")?;
    sync("bomb")?;
    let group = group_of(pid("bomb")?)?;
    let denied: u64 = in_group(&group, "pids.events", Some("max"))?.parse()?;
    ensure!(denied > 0, "no fork was denied");
    let peak: u64 = in_group(&group, "pids.current", None)?.parse()?;
    ensure!(peak <= 20, "{peak} tasks under a limit of 20");
    ends_as_a_tree("bomb", &group)?;
    forget(&["bomb"])
}

/// Stops a connector: whatever was in its group is gone, and so is the group.
fn ends_as_a_tree(name: &str, group: &str) -> anyhow::Result<()> {
    let members = sh(&format!("cat {group}/cgroup.procs"))?;
    let members: Vec<u32> = members.lines().filter_map(|line| line.parse().ok()).collect();
    ensure!(members.len() > 2, "there is no tree to end: {members:?}");
    sh(&format!("cordon stop {name} --reason drill"))?;
    until("the tree is gone", || {
        let alive = members.iter().filter(|pid| process_field(**pid, "State").is_ok()).count();
        Ok(alive == 0 && !std::path::Path::new(group).exists())
    })?;
    sh(&format!("cordon start {name}"))?;
    Ok(())
}

pub(super) fn a_connector_that_spins_is_throttled() -> anyhow::Result<()> {
    play("spin", 20, Some(("page:1", "cpu-hog")))?;
    scripted("spin", "limits = { cpu = \"60%\" }")?;
    sync("spin")?;
    let group = group_of(pid("spin")?)?;
    until("it is throttled", || {
        let periods: u64 = in_group(&group, "cpu.stat", Some("nr_throttled"))?.parse()?;
        Ok(periods > 3)
    })?;
    // The control socket answers, and the neighbour syncs, while it spins.
    accepted("right")?;
    forget(&["spin"])
}

/// The drop-in that the package brings, as an administrator would use it.
pub(super) fn without_root_the_limits_bite_the_same() -> anyhow::Result<()> {
    let text = std::fs::read_to_string("/usr/share/doc/cordon/cordond-unprivileged.conf")
        .context("the drop-in is not in the package")?;
    drop_in("unprivileged", &text)?;
    answers()?;
    let user = sh(&format!("ps -o user= -p {}", main_pid()?))?;
    ensure!(user == "cordon", "the service runs as {user}");
    ensure!(process_field(main_pid()?, "CapEff")? == "0000000000000000");
    for name in ["left", "right"] {
        scripted(name, LIMITS)?;
        accepted(name)?;
    }
    let uid = process_field(pid("left")?, "Uid")?;
    ensure!(uid == process_field(pid("right")?, "Uid")?, "without root, users differ: how?");
    limits_stand_in_version_2_groups_beside_the_supervisor()?;
    every_wall_stands_and_what_the_kernel_lacks_is_told()
}

pub(super) fn without_root_a_memory_hog_dies_alone() -> anyhow::Result<()> {
    a_memory_hog_dies_of_memory_and_the_service_stays()?;
    a_connector_that_spins_is_throttled()
}

pub(super) fn without_root_a_tree_ends_whole() -> anyhow::Result<()> {
    a_fork_flood_is_denied_and_its_tree_ends()?;
    ensure!(status("left")?["trust"] == "trusted");
    Ok(())
}
