//! Words for the guest's shell, its service manager and `cordon`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

/// The unit.
pub(super) const UNIT: &str = "cordond.service";

/// Longest wait for anything. Generous: the guest is emulated, on a machine with other work, and a
/// wait ends when its condition holds.
const PATIENCE: Duration = Duration::from_secs(240);

/// Runs a line of shell; gives its stdout, or fails with all that it printed.
pub(super) fn sh(line: &str) -> anyhow::Result<String> {
    let output = Command::new("/bin/sh").args(["-ec", line]).output().context("no shell")?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("`{line}` ended with {}:\n{text}\n{}", output.status, error.trim());
    }
    Ok(text)
}

/// Waits for a condition. An error counts as "not yet", and is shown if the time runs out.
pub(super) fn until(
    what: &str,
    mut check: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let last = match check() {
            Ok(true) => return Ok(()),
            Ok(false) => String::new(),
            Err(error) => format!(": {error:#}"),
        };
        if begun.elapsed() > PATIENCE {
            bail!("after {PATIENCE:?} still not: {what}{last}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A property of the unit, as `systemctl show` tells it.
pub(super) fn property(name: &str) -> anyhow::Result<String> {
    sh(&format!("systemctl show {UNIT} -P {name}"))
}

/// The service's main process.
pub(super) fn main_pid() -> anyhow::Result<u32> {
    property("MainPID")?.parse().context("no main process")
}

/// Waits until the service is up and answers.
pub(super) fn answers() -> anyhow::Result<()> {
    until("the service answers", || {
        Ok(property("ActiveState")? == "active" && cordon("status").is_ok())
    })
}

/// What a `cordon` command answers, as JSON.
pub(super) fn cordon(arguments: &str) -> anyhow::Result<Value> {
    let text = sh(&format!("cordon {arguments} -o json"))?;
    serde_json::from_str(&text).with_context(|| format!("`cordon {arguments}` printed no JSON"))
}

/// The same, for commands whose exit code says what became of a sync.
pub(super) fn cordon_any(arguments: &str) -> anyhow::Result<Value> {
    let text = sh(&format!("cordon {arguments} -o json || true"))?;
    serde_json::from_str(&text).with_context(|| format!("`cordon {arguments}` printed no JSON"))
}

/// The status of one connector.
pub(super) fn status(connector: &str) -> anyhow::Result<Value> {
    let mut document = cordon(&format!("status {connector}"))?;
    Ok(document["items"][0].take())
}

/// The process of a connector.
pub(super) fn pid(connector: &str) -> anyhow::Result<u32> {
    let pid = status(connector)?["pid"].as_u64().unwrap_or_default();
    u32::try_from(pid).ok().filter(|pid| *pid > 0).with_context(|| {
        let about = cordon(&format!("describe {connector}")).unwrap_or_default();
        format!("{connector} has no process; last death: {}", about["items"][0]["last_death"])
    })
}

/// Syncs a connector and waits for the end; gives its run.
pub(super) fn sync(connector: &str) -> anyhow::Result<Value> {
    let mut document = cordon_any(&format!("sync {connector} --wait"))?;
    Ok(document["items"][0].take())
}

/// Syncs a connector, which has to be accepted.
pub(super) fn accepted(connector: &str) -> anyhow::Result<()> {
    let run = sync(connector)?;
    if run["outcome"] != "committed" {
        bail!("the sync of {connector} was not accepted: {run}");
    }
    Ok(())
}

/// A field of `/proc/<pid>/status`.
pub(super) fn process_field(pid: u32, field: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} is gone"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(line.with_context(|| format!("no field {field}"))?.trim().to_owned())
}

/// Writes a file that everyone may read.
pub(super) fn put(path: &str, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = Path::new(path).parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {path}"))
}
