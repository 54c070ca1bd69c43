//! Runs one size and reads what it took.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::report::{Line, Measured};
use super::size::Size;
use crate::cordon::{self, Cli, Daemon};
use crate::run;

/// Name of the connector in the bench's configuration.
const NAME: &str = "bench";

/// The unit in which the kernel tells processor time, wherever Cordon is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Where programs are and state goes.
pub(super) struct Bench {
    programs: PathBuf,
    folder: PathBuf,
    /// With the detector.
    shape: bool,
    /// How many of a hundred users are not on the second day what they were on the first.
    churn_percent: u64,
    /// More lines of the connector's guard.
    guard: &'static str,
}

impl Bench {
    pub(super) fn new(target: &Path, shape: bool) -> Self {
        let (programs, folder) = (target.join("release"), target.join("bench"));
        Self { programs, folder, shape, churn_percent: 1, guard: "" }
    }

    /// The same with another churn, and with more lines in the guard.
    pub(super) fn with(self, churn_percent: u64, guard: &'static str) -> Self {
        Self { churn_percent, guard, ..self }
    }

    /// Seconds of the second day, and of one more sync that brings the same as it did.
    pub(super) fn second_and_third(&self, size: Size) -> anyhow::Result<[f64; 2]> {
        self.begin()?;
        self.day(size, 1)?;
        let seconds = [self.day(size, 2)?.seconds()?, self.day(size, 2)?.seconds()?];
        self.end()?;
        Ok(seconds)
    }

    /// What the second day takes.
    pub(super) fn second(&self, size: Size) -> anyhow::Result<Taken> {
        self.begin()?;
        self.day(size, 1)?;
        let taken = self.day(size, 2)?.taken()?;
        self.end()?;
        Ok(taken)
    }

    fn begin(&self) -> anyhow::Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)
                .with_context(|| format!("cannot remove {:?}", self.folder))?;
        }
        Ok(fs::create_dir_all(&self.folder)?)
    }

    fn end(&self) -> anyhow::Result<()> {
        Ok(fs::remove_dir_all(&self.folder)?)
    }

    pub(super) fn measure(&self, size: Size) -> anyhow::Result<Measured> {
        self.begin()?;
        let generator_seconds = self.drain(size)?;
        let first = self.day(size, 1)?;
        let second = self.day(size, 2)?;
        self.end()?;
        let records = number(&first.run, "records")?;
        let commit_seconds = first.seconds()?;
        let lines = vec![
            first.line("commit", size, commit_seconds, Some(records))?,
            second.line("second", size, second.seconds()?, Some(records))?,
            second.line("diff", size, second.micros("diff_us")?, Some(2 * records))?,
            second.line("judge", size, second.micros("judge_us")?, None)?,
            first.line("spawn", size, first.micros("spawn_us")?, None)?,
        ];
        Ok(Measured { size, lines, generator_seconds, commit_seconds })
    }

    /// Seconds that the generator needs by itself.
    fn drain(&self, size: Size) -> anyhow::Result<f64> {
        let mut generator = Command::new(self.programs.join("connector-generator"));
        let text = run::output(generator.args(["--drain", &size.0.to_string()]))?;
        let drained: Value = serde_json::from_slice(&text)?;
        drained["seconds"].as_f64().context("the generator printed no seconds")
    }

    /// Syncs one day with a `cordond` of its own, so that its peak is that day's.
    fn day(&self, size: Size, day: u32) -> anyhow::Result<Observed> {
        let config = self.folder.join("cordon.toml");
        let socket = cordon::socket_in(&self.folder);
        let text = format!(
            "\
version = 1
[daemon]
profile = \"dev\"
data_dir = {state:?}
socket = {socket:?}
[connector.{NAME}]
use = {generator:?}
config = {{ grants = {grants}, day = {day}, churn_percent = {churn} }}
limits = {{ memory = \"2GiB\", cpu = \"400%\", sync_timeout = \"1h\" }}
isolation = {{ user = \"same\" }}
# The churn of so many grants touches privileged ones, and it is made up, so that its shape may be
# unusual; what is measured is the way through the gate.
guard.privileged = {{ count = {grants}, percent = 100 }}
guard.shape = {shape}
{guard}
",
            state = self.folder.join("state"),
            generator = self.programs.join("connector-generator"),
            grants = size.0,
            churn = self.churn_percent,
            guard = self.guard,
            shape = if self.shape { "{ hold = 12, read_again = 12 }" } else { "\"off\"" },
        );
        fs::write(&config, text)?;
        let cli = Cli { program: self.programs.join("cordon"), socket };
        let log = self.folder.join("cordond.log");
        let daemon = Daemon::start(&self.programs.join("cordond"), &config, &log, &cli)?;
        let run = cli.item(&["sync", NAME, "--wait"])?;
        ensure!(run["outcome"] == "committed", "day {day} was not committed: {run}");
        let supervisor_peak_bytes = peak_bytes(daemon.pid())?;
        let supervisor_cpu_seconds = cpu_seconds(daemon.pid())?;
        daemon.stop()?;
        Ok(Observed { run, supervisor_peak_bytes, supervisor_cpu_seconds })
    }
}

/// A day's run, the most memory that its supervisor had, and the processor time that it took.
struct Observed {
    run: Value,
    supervisor_peak_bytes: u64,
    supervisor_cpu_seconds: f64,
}

/// What a day took.
pub(super) struct Taken {
    pub(super) seconds: f64,
    /// Of those, for the comparison with the last known good.
    pub(super) diff_seconds: f64,
    pub(super) supervisor_cpu_seconds: f64,
    pub(super) supervisor_peak_bytes: u64,
}

impl Observed {
    /// From the run's start to its end, the commit included.
    fn seconds(&self) -> anyhow::Result<f64> {
        let moment = |field: &str| -> anyhow::Result<jiff::Timestamp> {
            let text = self.run[field].as_str().with_context(|| format!("no {field}"))?;
            Ok(text.parse()?)
        };
        Ok(moment("ended_at")?.duration_since(moment("started_at")?).as_secs_f64())
    }

    fn taken(&self) -> anyhow::Result<Taken> {
        let Self { supervisor_peak_bytes, supervisor_cpu_seconds, .. } = *self;
        let (seconds, diff_seconds) = (self.seconds()?, self.micros("diff_us")?);
        Ok(Taken { seconds, diff_seconds, supervisor_cpu_seconds, supervisor_peak_bytes })
    }

    fn micros(&self, field: &str) -> anyhow::Result<f64> {
        Ok(number(&self.run, field)? as f64 / 1e6)
    }

    fn line(
        &self,
        work: &'static str,
        size: Size,
        seconds: f64,
        records: Option<u64>,
    ) -> anyhow::Result<Line> {
        Ok(Line {
            work,
            size: size.0,
            seconds,
            records_per_second: records.map(|records| records as f64 / seconds),
            supervisor_peak_bytes: self.supervisor_peak_bytes,
            connector_peak_bytes: number(&self.run, "connector_peak_bytes")?,
        })
    }
}

fn number(run: &Value, field: &str) -> anyhow::Result<u64> {
    run[field].as_u64().with_context(|| format!("no number `{field}` in {run}"))
}

/// The most memory that a process has had.
fn peak_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let kibibytes = text
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .with_context(|| format!("no peak in {path}"))?;
    Ok(kibibytes.trim().parse::<u64>()? << 10)
}

/// Processor time that a process has taken.
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // A name may hold anything, and ends with the last bracket. Times are the 14th and 15th field.
    let (_, fields) = text.rsplit_once(')').with_context(|| format!("no name in {path}"))?;
    let mut times = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let mut ticks = || times.next().with_context(|| format!("no times in {path}"));
    let all = ticks()?? + ticks()??;
    Ok(all as f64 / TICKS_PER_SECOND)
}
