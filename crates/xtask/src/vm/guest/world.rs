//! What the cases put on the guest: connectors, their sources, drop-ins of the unit.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::shell::{UNIT, answers, cordon, property, put, sh};

/// Where the payload was unpacked.
pub(super) const PAYLOAD: &str = "/var/payload";

/// The file of accepted changes.
pub(super) const CHANGES: &str = "/var/log/cordon/changes.ndjson";

/// Where the scripted connector is: below /usr, where a connector may execute, because one of its
/// faults is to start itself again and again.
const FAULTY: &str = "/usr/local/lib/cordon-vm/connector-faulty";

/// Where sources and scenarios lie, and what connectors are let read.
pub(super) const SOURCES: &str = "/srv/cordon-vm";

/// Brings the scripted connector to its place.
pub(super) fn bring_faulty() -> anyhow::Result<()> {
    sh(&format!("install -D -m 755 {PAYLOAD}/connector-faulty {FAULTY}"))?;
    Ok(())
}

/// Writes what the scripted connector does from now on: an honest source, and one fault in it.
pub(super) fn play(name: &str, users: u32, fault: Option<(&str, &str)>) -> anyhow::Result<()> {
    let faults: Vec<Value> =
        fault.map(|(at, act)| json!({ "at": at, "do": act })).into_iter().collect();
    let scenario = json!({ "users": users, "faults": faults });
    put(&scenario_of(name), &scenario.to_string())
}

/// Configures a scripted connector, with more lines for its table.
pub(super) fn scripted(name: &str, lines: &str) -> anyhow::Result<()> {
    let scenario = scenario_of(name);
    // Without root there is one user for all, which has to be said.
    let user = if property("User")? == "root" { "" } else { "isolation = { user = \"same\" }" };
    let text = format!(
        "use = \"{FAULTY}\"\nargs = [\"--scenario\", \"{scenario}\"]\n\
         idle_timeout = \"2h\"\nallow = {{ read = [\"{SOURCES}\"] }}\n{user}\n{lines}\n\
         [config]\nfile = \"{scenario}\"\n"
    );
    configure(name, &text)
}

/// Configures a connector.
pub(super) fn configure(name: &str, text: &str) -> anyhow::Result<()> {
    put(&format!("/etc/cordon/connectors.d/{name}.toml"), text)?;
    sh("chgrp -R cordon /etc/cordon/connectors.d")?;
    cordon("reload")?;
    Ok(())
}

/// Takes connectors out of the configuration.
pub(super) fn forget(names: &[&str]) -> anyhow::Result<()> {
    for name in names {
        sh(&format!("rm -f /etc/cordon/connectors.d/{name}.toml"))?;
    }
    cordon("reload")?;
    Ok(())
}

/// Lays a drop-in upon the unit and restarts it.
pub(super) fn drop_in(name: &str, text: &str) -> anyhow::Result<()> {
    put(&format!("/etc/systemd/system/{UNIT}.d/{name}.conf"), text)?;
    sh(&format!("systemctl daemon-reload; systemctl restart {UNIT}"))?;
    answers()
}

/// Takes a drop-in away and restarts the unit, whatever became of it.
pub(super) fn without_drop_in(name: &str) -> anyhow::Result<()> {
    sh(&format!(
        "rm -f /etc/systemd/system/{UNIT}.d/{name}.conf; systemctl daemon-reload
         systemctl reset-failed {UNIT} || true; systemctl restart {UNIT}"
    ))?;
    answers()
}

/// The control group of a process, in the file system.
pub(super) fn group_of(pid: u32) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))
        .with_context(|| format!("process {pid} is gone"))?;
    let path =
        text.lines().find_map(|line| line.strip_prefix("0::")).context("no version 2 group")?;
    Ok(format!("/sys/fs/cgroup{path}"))
}

/// A value in a group's file: its only one, or that behind `key`.
pub(super) fn in_group(group: &str, file: &str, key: Option<&str>) -> anyhow::Result<String> {
    let path = format!("{group}/{file}");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let value = match key {
        None => Some(text.trim()),
        Some(key) => text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')),
    };
    Ok(value.with_context(|| format!("no {key:?} in {path}"))?.to_owned())
}

/// What a consumer of the file believes of a connector: records by key, after all changes in order.
/// A change that came twice came with the same content, and no number is missing.
pub(super) fn believed(text: &str, connector: &str) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut seen: BTreeMap<u64, Value> = BTreeMap::new();
    let mut records = BTreeMap::new();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let change: Value =
            serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
        if change["connector"] != connector {
            continue;
        }
        let seq = change["seq"].as_u64().context("a change without a number")?;
        if let Some(first) = seen.get(&seq) {
            ensure!(*first == change, "change {seq} came twice, with different content");
            continue;
        }
        let expected = seen.last_key_value().map_or(1, |(last, _)| last + 1);
        ensure!(seq == expected, "change {seq} follows where {expected} was due");
        let key = change["key"].as_str().context("a change without a key")?.to_owned();
        match change["op"].as_str() {
            Some("removed") => ensure!(records.remove(&key).is_some(), "{key} was never there"),
            _ => {
                records.insert(key, change["after"].clone());
            }
        }
        seen.insert(seq, change);
    }
    Ok(records)
}

fn scenario_of(name: &str) -> String {
    format!("{SOURCES}/{name}.json")
}

#[cfg(test)]
mod tests {
    use super::believed;

    #[test]
    fn a_missing_number_a_changed_repeat_and_a_removal_of_nothing_are_noticed() {
        let line = |seq: u64, op: &str, key: &str, title: &str| {
            format!(
                r#"{{"connector":"hr","seq":{seq},"op":"{op}","key":"{key}","after":{{"title":"{title}"}}}}{}"#,
                "\n"
            )
        };
        let whole = line(1, "added", "user:a", "x") + &line(2, "modified", "user:a", "y");
        assert_eq!(believed(&whole, "hr").unwrap()["user:a"]["title"], "y");
        let torn = format!("{whole}{{\"connector\":\"hr\",\"se");
        assert_eq!(believed(&torn, "hr").unwrap().len(), 1, "a torn last line is no change yet");
        let repeat = format!("{whole}{}", line(1, "added", "user:a", "x"));
        assert_eq!(believed(&repeat, "hr").unwrap()["user:a"]["title"], "y");
        for wrong in [line(1, "added", "user:a", "z"), line(4, "added", "user:b", "x")] {
            assert!(believed(&format!("{whole}{wrong}"), "hr").is_err(), "{wrong}");
        }
        assert!(believed(&line(1, "removed", "user:a", ""), "hr").is_err());
    }
}
