//! Stop, kill and upgrade while syncs run: nothing is lost, and nothing lives on.

use anyhow::{Context, ensure};
use serde_json::Value;

use super::shell::{
    UNIT, accepted, answers, cordon, main_pid, pid, process_field, sh, status, until,
};
use super::world::{CHANGES, PAYLOAD, believed, forget, play, scripted};

/// Starts a sync without waiting for its end, and waits until it runs.
fn begin(connector: &str) -> anyhow::Result<()> {
    sh(&format!("cordon sync {connector} >/dev/null 2>&1 || true"))?;
    until("the sync runs", || Ok(status(connector)?["runtime"] == "syncing"))
}

fn newest_run(connector: &str) -> anyhow::Result<Value> {
    let mut document = cordon(&format!("runs {connector} -n 1"))?;
    Ok(document["items"][0].take())
}

pub(super) fn a_stop_lets_a_running_sync_come_to_its_end() -> anyhow::Result<()> {
    // Some seconds of one record at a time.
    play("slow", 20, Some(("page:1", "slow:150")))?;
    scripted("slow", "")?;
    begin("slow")?;
    let supervisor = main_pid()?;
    sh(&format!("systemctl restart {UNIT}"))?;
    answers()?;
    ensure!(main_pid()? != supervisor);
    let run = newest_run("slow")?;
    ensure!(run["outcome"] == "committed", "the sync was cut off: {run}");
    forget(&["slow"])
}

pub(super) fn a_sync_that_a_stop_called_off_runs_after_the_start() -> anyhow::Result<()> {
    play("late", 20, None)?;
    scripted("late", "every = \"24h\"")?;
    until("its first sync is accepted", || Ok(status("late")?["trust"] == "trusted"))?;
    play("late", 20, Some(("page:1", "hang")))?;
    begin("late")?;
    let connector = pid("late")?;
    sh(&format!("systemctl stop {UNIT}"))?;
    ensure!(process_field(connector, "State").is_err(), "its connector lives on");
    play("late", 21, None)?;
    sh(&format!("systemctl start {UNIT}"))?;
    answers()?;
    // A day before its time, since the one before was called off.
    until("it ran again", || Ok(newest_run("late")?["outcome"] == "committed"))?;
    forget(&["late"])
}

pub(super) fn what_a_kill_leaves_is_gone_before_the_next_start() -> anyhow::Result<()> {
    play("brood", 20, Some(("page:1", "fork-children:5")))?;
    scripted("brood", "")?;
    sh("cordon sync brood --wait || true")?;
    let group = super::world::group_of(pid("brood")?)?;
    let members = sh(&format!("cat {group}/cgroup.procs"))?;
    ensure!(members.lines().count() > 3, "there is no brood: {members}");
    let supervisor = main_pid()?;
    sh(&format!("kill -9 {supervisor}"))?;
    until("it is started again", || Ok(main_pid()? != supervisor && main_pid()? != 0))?;
    answers()?;
    for pid in members.lines().filter_map(|line| line.parse().ok()) {
        ensure!(process_field(pid, "State").is_err(), "process {pid} outlived its supervisor");
    }
    forget(&["brood"])
}

pub(super) fn an_upgrade_loses_no_row() -> anyhow::Result<()> {
    let sink = format!("[sink.changes]\ntype = \"file\"\npath = \"{CHANGES}\"\n");
    sh(&format!("printf '{}' >> /etc/cordon/cordon.toml", sink.replace('\n', "\\n")))?;
    play("rows", 30, None)?;
    scripted("rows", "every = \"24h\"")?;
    until("everything is delivered", || delivered(30))?;
    // More users than before, slowly: the upgrade comes in the middle of their sync.
    play("rows", 33, Some(("page:1", "slow:400")))?;
    begin("rows")?;
    let (supervisor, before) = (main_pid()?, std::fs::read_to_string(CHANGES)?);
    sh(&format!("dpkg --force-confold -i {PAYLOAD}/cordon-next.deb"))?;
    play("rows", 33, None)?;
    answers()?;
    ensure!(main_pid()? != supervisor, "the old one still runs");
    let version = sh("dpkg-query -W -f '${Version}' cordon")?;
    ensure!(version.ends_with("+next"), "the version is {version}");
    until("everything is delivered", || delivered(33))?;
    let after = std::fs::read_to_string(CHANGES)?;
    ensure!(after.starts_with(&before), "what was delivered before has changed");
    // One that was accepted before is not delivered again.
    let numbers = |text: &str| text.lines().count();
    ensure!(numbers(&after) > numbers(&before));
    accepted("left")?;
    let doctor = cordon("doctor")?;
    let evidence = doctor["items"].as_array().into_iter().flatten();
    let evidence = evidence.clone().find(|item| item["name"] == "evidence");
    ensure!(evidence.context("no evidence")?["state"] == "ok");
    Ok(())
}

/// Whether a consumer knows so many users, and no sink has more to say.
fn delivered(users: usize) -> anyhow::Result<bool> {
    let document = cordon("status")?;
    let behind = document["sinks"].as_array().into_iter().flatten().any(|it| it["behind"] != 0);
    let records = believed(&std::fs::read_to_string(CHANGES)?, "rows")?;
    let known = records.keys().filter(|key| key.starts_with("user:") && !key.contains("->"));
    Ok(!behind && known.count() == users)
}
