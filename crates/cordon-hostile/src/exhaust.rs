//! Takes all that a host has of one thing: processes, memory, processor, descriptors, disk, log.
//!
//! Each behaviour stops at an amount and at a time of its own, whichever comes first, and says on
//! stdout how far it came and what stopped it. Limits that work are seen in that line.

mod disk;
mod load;
mod memory;
mod output;
mod processes;

use std::io::Write;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Subcommand;
use serde_json::json;

use crate::fuse;

pub(crate) use load::{ignore_requests, stop_self};
pub(crate) use output::close_output;

/// How far a behaviour may go.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct Bounds {
    /// How many: processes, files, descriptors, lines, as the behaviour has it
    #[arg(long)]
    count: Option<u64>,
    /// How many bytes
    #[arg(long)]
    bytes: Option<u64>,
    /// How long
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Where files are made
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// One way to exhaust a host, or to escape an end.
#[derive(Subcommand, Debug, Clone)]
pub(crate) enum Behaviour {
    /// Processes that start processes, each in a session of its own (200, at most 2000)
    ForkBomb(Bounds),
    /// Leave the session by two forks, ignore SIGTERM, stay
    DoubleForkDaemon(Bounds),
    /// Start processes for as long as it lives, each of which starts the next and ends
    ForkWhileKilled(Bounds),
    /// Children that end and are not waited for (100, at most 2000)
    Zombies(Bounds),
    /// Take memory (1 GiB, at most 4 GiB)
    MemoryHog {
        /// From where
        #[arg(long, value_enum, default_value = "anon")]
        from: memory::Source,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Take a MiB a second
    Leak(Bounds),
    /// Reserve addresses without using them, which must work (64 GiB)
    Reserve(Bounds),
    /// Keep twice as many threads busy as there are processors
    CpuSpin(Bounds),
    /// Open descriptors (1,000,000 at most)
    FdExhaust(Bounds),
    /// Write files (1 GiB, at most 4 GiB)
    DiskFill(Bounds),
    /// Make empty files (100,000, at most 1,000,000)
    InodeFill(Bounds),
    /// Write lines as fast as it goes
    LogFlood(Bounds),
    /// Write one line without an end (256 MiB, at most 4 GiB)
    EndlessLine(Bounds),
    /// Write what takes over a terminal, forges other lines and is no text
    Ansi(Bounds),
    /// Close the log and go on
    CloseOutput(Bounds),
    /// Stop by a signal
    StopSelf(Bounds),
    /// Ignore every request to end
    IgnoreTerm(Bounds),
    /// Send descriptors over the channel (1,000, at most 10,000)
    PassDescriptors(Bounds),
    /// Send records without end; as a connector only
    MessageFlood(Bounds),
}

/// How far a behaviour came.
struct Reached {
    what: &'static str,
    amount: u64,
    stopped_by: String,
}

impl Bounds {
    fn count(&self, default: u64, max: u64) -> u64 {
        self.count.unwrap_or(default).min(max)
    }

    fn bytes(&self, default: u64, max: u64) -> u64 {
        self.bytes.unwrap_or(default).min(max)
    }

    /// The end of its time.
    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.seconds.min(fuse::SECONDS_MAX).into())
    }

    fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(std::env::temp_dir)
    }
}

/// Does it in this process, which must have one thread where it forks.
pub(crate) fn run(behaviour: &Behaviour) -> anyhow::Result<()> {
    let (name, bounds) = behaviour.parts();
    // A little longer than the behaviour's own time, so that it can tell how far it came.
    fuse::light(bounds.seconds.min(fuse::SECONDS_MAX - 5) + 5);
    let reached = match behaviour {
        Behaviour::ForkBomb(bounds) => processes::fork_bomb(bounds)?,
        Behaviour::DoubleForkDaemon(bounds) => processes::daemon(bounds)?,
        Behaviour::ForkWhileKilled(bounds) => processes::fork_while_killed(bounds)?,
        Behaviour::Zombies(bounds) => processes::zombies(bounds)?,
        Behaviour::MemoryHog { from, bounds } => memory::hog(*from, bounds)?,
        Behaviour::Leak(bounds) => memory::leak(bounds),
        Behaviour::Reserve(bounds) => memory::reserve(bounds)?,
        Behaviour::CpuSpin(bounds) => load::spin(bounds),
        Behaviour::FdExhaust(bounds) => load::exhaust_descriptors(bounds)?,
        Behaviour::DiskFill(bounds) => disk::fill(bounds)?,
        Behaviour::InodeFill(bounds) => disk::fill_inodes(bounds)?,
        Behaviour::LogFlood(bounds) => output::flood(bounds),
        Behaviour::EndlessLine(bounds) => output::endless_line(bounds),
        Behaviour::Ansi(_) => output::ansi(),
        Behaviour::CloseOutput(_) => {
            close_output()?;
            fuse::stay()
        }
        Behaviour::StopSelf(bounds) => {
            load::watch_from_outside(bounds.seconds)?;
            stop_self();
            return Ok(());
        }
        Behaviour::IgnoreTerm(_) => {
            ignore_requests();
            fuse::stay()
        }
        Behaviour::PassDescriptors(bounds) => load::pass_descriptors(load::CHANNEL, bounds),
        Behaviour::MessageFlood(_) => anyhow::bail!("only a connector has someone to send to"),
    };
    report(name, &reached);
    Ok(())
}

/// Sends descriptors over that socket, and tells how far it came.
pub(crate) fn pass_descriptors(behaviour: &Behaviour, socket: RawFd) {
    let (name, bounds) = behaviour.parts();
    report(name, &load::pass_descriptors(socket, bounds));
}

/// Tells how far it came. A log that nobody reads any more is no error of ours.
fn report(name: &str, reached: &Reached) {
    let line = json!({
        "behaviour": name,
        reached.what: reached.amount,
        "stopped_by": reached.stopped_by,
    });
    let _ = writeln!(std::io::stdout(), "{line}");
}

impl Behaviour {
    fn parts(&self) -> (&'static str, &Bounds) {
        match self {
            Self::ForkBomb(bounds) => ("fork-bomb", bounds),
            Self::DoubleForkDaemon(bounds) => ("double-fork-daemon", bounds),
            Self::ForkWhileKilled(bounds) => ("fork-while-killed", bounds),
            Self::Zombies(bounds) => ("zombies", bounds),
            Self::MemoryHog { bounds, .. } => ("memory-hog", bounds),
            Self::Leak(bounds) => ("leak", bounds),
            Self::Reserve(bounds) => ("reserve", bounds),
            Self::CpuSpin(bounds) => ("cpu-spin", bounds),
            Self::FdExhaust(bounds) => ("fd-exhaust", bounds),
            Self::DiskFill(bounds) => ("disk-fill", bounds),
            Self::InodeFill(bounds) => ("inode-fill", bounds),
            Self::LogFlood(bounds) => ("log-flood", bounds),
            Self::EndlessLine(bounds) => ("endless-line", bounds),
            Self::Ansi(bounds) => ("ansi", bounds),
            Self::CloseOutput(bounds) => ("close-output", bounds),
            Self::StopSelf(bounds) => ("stop-self", bounds),
            Self::IgnoreTerm(bounds) => ("ignore-term", bounds),
            Self::PassDescriptors(bounds) => ("pass-descriptors", bounds),
            Self::MessageFlood(bounds) => ("message-flood", bounds),
        }
    }

    /// When its time is over.
    pub(crate) fn deadline(&self) -> Instant {
        self.parts().1.deadline()
    }
}
