//! `cargo xtask bench --fleet`: many configured connectors, some of them running.
//!
//! What one costs while it does nothing, what its process costs while it waits, and how soon one
//! that was killed is there again, with all others untouched. Real processes behind real walls; the
//! figures are the kernel's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::cordon::{self, Cli, Daemon};

/// Connectors that are configured.
const CONFIGURED: usize = 1_000;
/// Connectors whose processes run at once.
const RUNNING: usize = 200;
/// How long the fleet may take to be there.
const PATIENCE: Duration = Duration::from_secs(600);

/// What was measured.
pub(super) struct Fleet {
    idle_bytes: u64,
    connector_bytes: Vec<u64>,
    jail_bytes: Vec<u64>,
    restart: Duration,
    untouched: usize,
    status: Duration,
}

pub(super) fn measure(target: &Path) -> anyhow::Result<Fleet> {
    let (programs, folder) = (target.join("release"), target.join("bench-fleet"));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let alone = {
        let (daemon, _) = start(&programs, &folder, 0)?;
        let bytes = resident(daemon.pid())?;
        daemon.stop()?;
        bytes
    };
    let (daemon, cli) = start(&programs, &folder, CONFIGURED)?;
    let idle = resident(daemon.pid())?.saturating_sub(alone) / CONFIGURED as u64;
    for number in 0..RUNNING {
        cli.document(&["sync", &name(number)])?;
    }
    let begun = Instant::now();
    let before = loop {
        let pids = running(&cli)?;
        if pids.len() == RUNNING && all_synced(&cli)? {
            break pids;
        }
        ensure!(begun.elapsed() < PATIENCE, "only {} connectors run", pids.len());
        std::thread::sleep(Duration::from_millis(500));
    };
    let asked = Instant::now();
    cli.document(&["status"])?;
    let status = asked.elapsed();
    let connector_bytes = before.values().map(|pid| resident(*pid)).collect::<Result<_, _>>()?;
    let jail_bytes = before.values().map(|pid| jail(*pid)).collect::<Result<_, _>>()?;

    let (victim, pid) = before.first_key_value().context("nothing runs")?;
    let killed = Instant::now();
    let number = Pid::from_raw(i32::try_from(*pid)?).context("no process")?;
    kill_process(number, Signal::KILL)?;
    // A sync before its death is noticed would be the one that dies with it.
    while running(&cli)?.get(victim) == Some(pid) {
        ensure!(killed.elapsed() < PATIENCE, "nobody noticed that {victim} died");
    }
    let run = cli.item(&["sync", victim, "--wait"])?;
    let restart = killed.elapsed();
    ensure!(run["outcome"] == "committed", "it did not sync again: {run}");
    let after = running(&cli)?;
    let untouched = before.iter().filter(|(name, pid)| after.get(*name) == Some(pid)).count();
    daemon.stop()?;
    fs::remove_dir_all(&folder)?;
    Ok(Fleet { idle_bytes: idle, connector_bytes, jail_bytes, restart, untouched, status })
}

fn name(number: usize) -> String {
    format!("c{number:04}")
}

fn start(programs: &Path, folder: &Path, connectors: usize) -> anyhow::Result<(Daemon, Cli)> {
    let config = folder.join("cordon.toml");
    let socket = cordon::socket_in(folder);
    let mut text = format!(
        "version = 1\n[daemon]\nprofile = \"dev\"\ndata_dir = {:?}\nsocket = {socket:?}\n",
        folder.join("state"),
    );
    for number in 0..connectors {
        let program = programs.join("connector-generator");
        write!(
            text,
            "[connector.{}]\nuse = {program:?}\nidle_timeout = \"1h\"\nconfig = {{ grants = 800 }}\n",
            name(number),
        )?;
    }
    fs::write(&config, text)?;
    let cli = Cli { program: programs.join("cordon"), socket };
    let log = folder.join("cordond.log");
    let daemon = Daemon::start(&programs.join("cordond"), &config, &log, &cli)?;
    Ok((daemon, cli))
}

/// The processes of the fleet, by connector.
fn running(cli: &Cli) -> anyhow::Result<BTreeMap<String, u32>> {
    let mut found = BTreeMap::new();
    for item in cli.items(&["status"])? {
        let pid = item["pid"].as_u64().unwrap_or_default();
        if let (Some(name), Ok(pid @ 1..)) = (item["name"].as_str(), u32::try_from(pid)) {
            found.insert(name.to_owned(), pid);
        }
    }
    Ok(found)
}

fn all_synced(cli: &Cli) -> anyhow::Result<bool> {
    let items = cli.items(&["status"])?;
    Ok(items.iter().filter(|item| item["trust"] == "trusted").count() >= RUNNING)
}

/// Memory of a process that is in use now.
fn resident(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmRSS")?;
    Ok(number.trim().parse::<u64>()? << 10)
}

/// Memory of the guard of a connector.
fn jail(pid: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let parent = text.lines().find_map(|line| line.strip_prefix("PPid:")).context("no parent")?;
    resident(parent.trim().parse()?)
}

fn middle(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

impl Fleet {
    pub(super) fn table(&self) -> String {
        format!(
            "{CONFIGURED} configured: {} KiB each in cordond\n\
             {RUNNING} running: connector {} KiB resident (most {} KiB), its guard {} KiB\n\
             one killed: there again and committed after {:.0?}, {} of {} others untouched\n\
             status of all: {:.0?}\n",
            self.idle_bytes >> 10,
            middle(&self.connector_bytes) >> 10,
            self.connector_bytes.iter().max().unwrap_or(&0) >> 10,
            middle(&self.jail_bytes) >> 10,
            self.restart,
            self.untouched,
            RUNNING - 1,
            self.status,
        )
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "configured": CONFIGURED,
            "running": RUNNING,
            "idle_bytes": self.idle_bytes,
            "connector_bytes": middle(&self.connector_bytes),
            "guard_bytes": middle(&self.jail_bytes),
            "restart_seconds": self.restart.as_secs_f64(),
            "untouched": self.untouched,
            "status_seconds": self.status.as_secs_f64(),
        })
    }
}
