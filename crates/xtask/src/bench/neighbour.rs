//! `cargo xtask bench --neighbour`: what a hostile connector costs the one beside it.
//!
//! For each behaviour a `cordond` of its own runs two connectors: `connector-generator`, which is
//! synced over and over, and `cordon-hostile`, which is stopped in the first half of a round and does
//! its worst in the second. The halves of a round are compared with each other, so that what else
//! goes on on this machine falls on both, and of all rounds the one in the middle counts. Meanwhile a
//! client asks for the status over one connection.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::cordon::{self, Cli, Daemon};
use crate::run;

/// What the hostile connector does in the middle of each sync. The first does nothing: what it costs
/// is how far a figure of this machine can be trusted.
const BEHAVIOURS: [&str; 7] = [
    NOTHING,
    "fork-bomb --count 200 --seconds 300",
    "memory-hog --seconds 300",
    "cpu-spin --seconds 300",
    "log-flood --seconds 300",
    "disk-fill --seconds 300",
    "message-flood --seconds 300",
];

/// A connector that waits in the middle of its sync.
const NOTHING: &str = "nothing";

/// Grants of the honest connector's source.
const GRANTS: u64 = 20_000;

/// What the hostile connector may use.
const LIMITS: &str = r#"{ memory = "96MiB", cpu = "25%", tasks = 64, records = 1_000_000 }"#;

/// What one behaviour cost.
#[derive(Serialize)]
struct Cost {
    behaviour: &'static str,
    /// The neighbour's records a second, alone and beside it.
    alone: f64,
    beside: f64,
    /// What was lost of it.
    loss_percent: f64,
    /// The same in the quarter of all rounds that lost least, and in the one that lost most.
    loss_quarters_percent: [f64; 2],
    status_alone: Answers,
    status_beside: Answers,
    /// Syncs that the hostile connector began in that time.
    hostile_syncs: u64,
}

/// What `control-probe` tells.
#[derive(Serialize, Deserialize)]
struct Answers {
    answers: u64,
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
}

/// How long, and how often, each behaviour is measured.
#[derive(Clone, Copy)]
pub(super) struct Effort {
    /// Of each half of a round.
    pub(super) seconds: u64,
    /// The round with the median loss is told.
    pub(super) rounds: usize,
}

pub(super) fn measure(target: &Path, effort: Effort, only: &str, json: bool) -> anyhow::Result<()> {
    ensure!(effort.rounds > 0, "no round is nothing to measure");
    let bench = Bench { programs: target.join("release"), folder: target.join("bench-neighbour") };
    let mut costs = Vec::new();
    for behaviour in BEHAVIOURS.into_iter().filter(|words| words.contains(only)) {
        run::warn(behaviour);
        let cost = bench.behaviour(behaviour, effort);
        costs.push(cost.with_context(|| format!("the bench of {behaviour} failed"))?);
    }
    run::say(&if json {
        serde_json::json!({ "neighbour": costs, "limits": LIMITS, "grants": GRANTS }).to_string()
    } else {
        table(&costs)
    });
    Ok(())
}

struct Bench {
    programs: PathBuf,
    folder: PathBuf,
}

impl Bench {
    fn behaviour(&self, behaviour: &'static str, effort: Effort) -> anyhow::Result<Cost> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        fs::create_dir_all(&self.folder)?;
        let socket = cordon::socket_in(&self.folder);
        let config = self.folder.join("cordon.toml");
        fs::write(&config, self.config(behaviour, &socket))?;
        let cli = Cli { program: self.programs.join("cordon"), socket };
        let log = self.folder.join("cordond.log");
        let daemon = Daemon::start(&self.programs.join("cordond"), &config, &log, &cli)?;
        // The first sync starts the process and has nothing to compare with.
        sync_good(&cli)?;
        let mut rounds = Vec::new();
        for _ in 0..effort.rounds {
            rounds.push(self.round(&cli, behaviour, effort.seconds)?);
        }
        daemon.stop()?;
        fs::remove_dir_all(&self.folder)?;
        rounds.sort_by(|one, other| one.loss_percent.total_cmp(&other.loss_percent));
        let quarters = [1, 3].map(|quarter| rounds[(rounds.len() - 1) * quarter / 4].loss_percent);
        let median = rounds.swap_remove(rounds.len() / 2);
        Ok(Cost { loss_quarters_percent: quarters, ..median })
    }

    fn round(&self, cli: &Cli, behaviour: &'static str, seconds: u64) -> anyhow::Result<Cost> {
        let (alone, status_alone) = self.half(cli, seconds)?;
        let before = newest_sync(cli)?;
        let is_over = AtomicBool::new(false);
        let (beside, hostile_syncs) = std::thread::scope(|scope| {
            // Not before: a sync that the stop called off goes on at once.
            let started = cli.item(&["start", "bad"]);
            let hostile = scope.spawn(|| self.misbehave(cli, &is_over));
            let beside =
                started.and_then(|_| begun(cli, before)).and_then(|()| self.half(cli, seconds));
            is_over.store(true, Ordering::Relaxed);
            // Wakes the hostile side, which waits for the end of a sync that may not come.
            let stopped = cli.item(&["stop", "bad"]);
            let syncs = hostile.join().unwrap_or(0);
            (stopped.and(beside), syncs)
        });
        let (beside, status_beside) = beside?;
        let loss_percent = 100.0 * (1.0 - beside / alone);
        let behaviour = behaviour.split(' ').next().unwrap_or(behaviour);
        Ok(Cost {
            behaviour,
            alone,
            beside,
            loss_percent,
            loss_quarters_percent: [loss_percent; 2],
            status_alone,
            status_beside,
            hostile_syncs,
        })
    }

    fn config(&self, behaviour: &str, socket: &Path) -> String {
        let behaviour = match behaviour {
            NOTHING => String::new(),
            words => format!("behaviour = {words:?}, "),
        };
        let profile = if rustix::process::geteuid().is_root() { "service" } else { "dev" };
        format!(
            "\
version = 1
[daemon]
data_dir = {state:?}
socket = {socket:?}
profile = {profile:?}
[connector.good]
use = {generator:?}
config = {{ grants = {GRANTS} }}
idle_timeout = \"1h\"
[connector.bad]
use = {hostile:?}
args = [\"connector\"]
config = {{ {behaviour}hold_ms = 300_000 }}
limits = {LIMITS}
restart = {{ backoff = \"10ms..50ms\", give_up_after = 100_000 }}
",
            state = self.folder.join("state"),
            generator = self.programs.join("connector-generator"),
            hostile = self.programs.join("cordon-hostile"),
        )
    }

    /// Syncs the honest connector over and over; gives its records a second, and how fast the
    /// daemon answered meanwhile.
    fn half(&self, cli: &Cli, seconds: u64) -> anyhow::Result<(f64, Answers)> {
        let probe = Command::new(self.programs.join("control-probe"))
            .arg("--socket")
            .arg(&cli.socket)
            .args(["--seconds", &seconds.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start control-probe")?;
        let begun = Instant::now();
        let mut records = 0;
        while begun.elapsed() < Duration::from_secs(seconds) {
            records += sync_good(cli)?;
        }
        let rate = records as f64 / begun.elapsed().as_secs_f64();
        let output = probe.wait_with_output()?;
        ensure!(output.status.success(), "control-probe ended with {}", output.status);
        Ok((rate, serde_json::from_slice(&output.stdout)?))
    }

    /// Begins a new sync of the hostile connector whenever one has ended, as it may.
    fn misbehave(&self, cli: &Cli, is_over: &AtomicBool) -> u64 {
        let mut syncs = 0;
        while !is_over.load(Ordering::Relaxed) {
            let mut command = Command::new(&cli.program);
            command.arg("--socket").arg(&cli.socket).args(["sync", "bad", "--wait"]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            if command.status().is_ok() {
                syncs += 1;
            }
        }
        syncs
    }
}

/// The number of the hostile connector's newest sync; 0 when there was none.
fn newest_sync(cli: &Cli) -> anyhow::Result<u64> {
    let runs = cli.items(&["runs", "bad", "-n", "1"])?;
    Ok(runs.first().and_then(|run| run["sync"].as_u64()).unwrap_or(0))
}

/// Waits until the hostile connector has a newer sync, under way or ended already.
fn begun(cli: &Cli, before: u64) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let waited = Instant::now();
    while newest_sync(cli)? <= before {
        ensure!(waited.elapsed() < PATIENCE, "the hostile connector does not sync");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Gives how many records the sync had.
fn sync_good(cli: &Cli) -> anyhow::Result<u64> {
    let run = cli.item(&["sync", "good", "--wait"])?;
    ensure!(run["outcome"] == "committed", "the neighbour's sync was not committed: {run}");
    run["records"].as_u64().context("a run has no records")
}

fn table(costs: &[Cost]) -> String {
    let mut text = format!(
        "{:<14}{:>12}{:>12}{:>8}{:>16}{:>14}{:>14}{:>8}\n",
        "BEHAVIOUR",
        "ALONE REC/S",
        "BESIDE",
        "LOSS",
        "QUARTERS",
        "STATUS P99",
        "P99 BESIDE",
        "SYNCS"
    );
    for cost in costs {
        text.push_str(&format!(
            "{:<14}{:>12.0}{:>12.0}{:>7.1}%{:>16}{:>11.1} ms{:>11.1} ms{:>8}\n",
            cost.behaviour,
            cost.alone,
            cost.beside,
            cost.loss_percent,
            format!(
                "{:.1} to {:.1} %",
                cost.loss_quarters_percent[0], cost.loss_quarters_percent[1]
            ),
            cost.status_alone.p99_us as f64 / 1e3,
            cost.status_beside.p99_us as f64 / 1e3,
            cost.hostile_syncs,
        ));
    }
    text.push_str(&format!("\nthe hostile connector's limits: {LIMITS}"));
    text
}
