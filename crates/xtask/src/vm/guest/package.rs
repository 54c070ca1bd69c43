//! The package: installed, asked, removed and purged.

use anyhow::ensure;
use serde_json::Value;

use super::shell::{UNIT, answers, cordon, main_pid, process_field, property, sh, until};
use super::world::PAYLOAD;

pub(super) fn the_package_installs_and_the_service_starts() -> anyhow::Result<()> {
    sh(&format!("dpkg -i {PAYLOAD}/cordon.deb"))?;
    answers()?;
    ensure!(sh(&format!("systemctl is-enabled {UNIT}"))? == "enabled");
    until("the status line tells the state", || {
        Ok(property("StatusText")? == "0 connectors; 0 sinks")
    })?;
    ensure!(property("NRestarts")? == "0", "it did not start at once");
    let files = sh("dpkg -L cordon")?;
    for part in [
        "/usr/share/man/man1/cordon.1",
        "/usr/share/man/man1/cordon-release.1",
        "/usr/share/man/man1/cordond.1",
        "/usr/share/bash-completion/completions/cordon",
        "/usr/share/zsh/vendor-completions/_cordon",
        "/usr/share/fish/vendor_completions.d/cordon.fish",
        "/usr/lib/cordon/cordon-jail",
        "/usr/lib/cordon/cordon-hostile",
        "/usr/lib/cordon/connectors/connector-baton",
        "/usr/lib/cordon/connectors/connector-csv",
        "/usr/lib/cordon/connectors/connector-postgres",
    ] {
        let there = |file: &str| file == part || file.strip_suffix(".gz") == Some(part);
        ensure!(files.lines().any(there), "the package lacks {part}");
    }
    let modes = sh("stat -c '%a %U:%G %n' /etc/cordon/cordon.toml /etc/cordon/credentials \
                    /var/lib/cordon /run/cordon")?;
    let expected = "640 root:cordon /etc/cordon/cordon.toml\n700 root:root /etc/cordon/credentials\n\
                    711 root:cordon /var/lib/cordon\n750 root:cordon /run/cordon";
    ensure!(modes == expected, "modes are\n{modes}\nand not\n{expected}");
    let unknown = sh(&format!("systemd-analyze verify {UNIT} 2>&1 || true"))?;
    let odd: Vec<&str> = unknown
        .lines()
        .filter(|line| line.contains("cordond.service") && !line.contains("Restart"))
        .filter(|line| !line.contains("DelegateSubgroup") && !line.contains("'man "))
        .collect();
    ensure!(odd.is_empty(), "systemd objects to the unit: {odd:?}");
    doctor_is_content()
}

/// Everything that isolates is there, from version 2 alone.
fn doctor_is_content() -> anyhow::Result<()> {
    let document = cordon("doctor")?;
    let items = document["items"].as_array().cloned().unwrap_or_default();
    for name in ["cgroup_memory", "cgroup_pids", "cgroup_cpu", "tree_kill", "uid_switch"] {
        let item = items.iter().find(|item| item["name"] == name).cloned().unwrap_or(Value::Null);
        ensure!(item["state"] == "ok", "doctor says {item} of {name}");
        let by_group = name != "uid_switch";
        let detail = item["detail"].as_str().unwrap_or_default();
        ensure!(!by_group || detail.contains("version 2"), "{name}: {detail}");
    }
    let score = sh(&format!("cat /proc/{}/oom_score_adj", main_pid()?))?;
    ensure!(score == "-500", "the supervisor's score is {score}");
    // Of root's powers, the ones that stand in the unit.
    let bounding = process_field(main_pid()?, "CapBnd")?;
    ensure!(bounding == "00000000002011eb", "the bounding set is {bounding}");
    Ok(())
}

pub(super) fn members_of_the_group_may_ask_and_strangers_may_not() -> anyhow::Result<()> {
    sh("useradd --system --groups cordon cordon-vm-operator; useradd --system cordon-vm-stranger")?;
    sh("runuser -u cordon-vm-operator -- cordon status")?;
    let refused = sh("runuser -u cordon-vm-stranger -- cordon status 2>&1 || echo refused: $?")?;
    ensure!(refused.contains("refused: "), "a stranger was answered: {refused}");
    sh("userdel cordon-vm-operator; userdel cordon-vm-stranger")?;
    Ok(())
}

pub(super) fn a_removal_keeps_the_evidence() -> anyhow::Result<()> {
    let pid = main_pid()?;
    sh("dpkg -r cordon")?;
    ensure!(process_field(pid, "State").is_err(), "the service still runs");
    sh("test -f /var/lib/cordon/cordon.db; test -f /etc/cordon/cordon.toml")?;
    sh(&format!("! systemctl is-active --quiet {UNIT}; ! command -v cordond"))?;
    Ok(())
}

pub(super) fn a_purge_leaves_nothing() -> anyhow::Result<()> {
    sh("dpkg --purge cordon")?;
    // What the suite itself brought aside, only the account stays, as documented.
    let left = sh(
        "find / -xdev -iname '*cordon*' -not -path '/proc/*' -not -path '/var/payload/*' \
                   -not -path '/srv/cordon-vm*' -not -path '*cordon-vm*' -not -path '/var/results/*' \
                   -not -path '/var/lib/dpkg/*'; ls -d /run/cordon* 2>/dev/null || true",
    )?;
    ensure!(left.is_empty(), "left behind:\n{left}");
    let processes = sh("pgrep -l '^(cordond|cordon-jail|connector)' || true")?;
    ensure!(processes.is_empty(), "still running:\n{processes}");
    let groups = sh("find /sys/fs/cgroup -name '*cordond*'")?;
    ensure!(groups.is_empty(), "groups left: {groups}");
    let unit = sh(&format!("systemctl show {UNIT} -P LoadState"))?;
    ensure!(unit == "not-found", "the unit is {unit}");
    let known = sh("dpkg -l cordon 2>/dev/null | grep -c '^[a-z]i' || true")?;
    ensure!(known == "0", "dpkg still knows it");
    Ok(())
}
