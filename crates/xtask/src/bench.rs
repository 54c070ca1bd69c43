//! `cargo xtask bench`: what a sync costs, from the connector to the committed snapshot.
//!
//! Real processes, gRPC, files and fsync: a release build of `cordond` runs `connector-generator`,
//! which makes up users, groups and eight grants a user. Day 1 is committed as a first snapshot; day
//! 2, with 1 % churn, is compared with it and judged. The times of `diff`, `judge` and `spawn` are
//! those that `cordond` keeps of its runs. The generator is not what is measured, so its own share of
//! the time is measured apart and shown.

mod connectors;
mod detector;
mod fleet;
mod grace;
mod measure;
mod neighbour;
mod report;
mod size;

use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;

use crate::run;
use crate::workspace::Workspace;
use measure::Bench;
use report::Report;
use size::Size;

/// The packages that a bench runs.
const PACKAGES: [&str; 5] =
    ["cordond", "cordon-cli", "cordon-hostile", "cordon-sandbox", "cordon-testkit"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Grants in the source, as 100k, 1m or 250000
    #[arg(long, value_delimiter = ',', default_value = "100k,1m,10m")]
    sizes: Vec<Size>,
    /// Measure instead what a hostile connector costs its neighbour
    #[arg(long)]
    neighbour: bool,
    /// Measure instead a thousand configured connectors, two hundred of them running
    #[arg(long)]
    fleet: bool,
    /// Measure instead the connectors that read a server, each on a real one
    #[arg(long)]
    connectors: bool,
    /// Seconds of each half of a neighbour's measurement
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds of a neighbour's measurement, or of the detector's; the one in the middle is told
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Measure those behaviours alone whose words hold this
    #[arg(long, default_value = "")]
    only: String,
    /// Leave out the detector, to see what it costs
    #[arg(long)]
    no_shape: bool,
    /// Measure instead how much longer a second sync takes with the detector, in syncs that take turns
    #[arg(long)]
    detector: bool,
    /// Measure instead what removals cost that are pending, a hundredth and a tenth of each size
    #[arg(long)]
    grace: bool,
    /// Form of the result
    #[arg(short, long, default_value = "table")]
    output: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let mut build = workspace.cargo(&["build", "--release", "--locked"]);
    build.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    run::run(&mut build)?;
    let target: PathBuf = workspace.metadata(false)?.target_directory;
    if args.neighbour {
        let effort = neighbour::Effort { seconds: args.seconds, rounds: args.rounds };
        let only = &args.only;
        let json = matches!(args.output, Format::Json);
        return neighbour::measure(&target, effort, only, json);
    }
    if args.connectors {
        let json = matches!(args.output, Format::Json);
        return connectors::measure(workspace, &target, json);
    }
    if args.fleet {
        let fleet = fleet::measure(&target)?;
        match args.output {
            Format::Table => run::say(&fleet.table()),
            Format::Json => run::say(&fleet.json().to_string()),
        }
        return Ok(());
    }
    if args.detector {
        let json = matches!(args.output, Format::Json);
        return detector::measure(&target, &args.sizes, args.rounds, json);
    }
    if args.grace {
        return grace::measure(&target, &args.sizes, matches!(args.output, Format::Json));
    }
    let bench = Bench::new(&target, !args.no_shape);
    let mut report = Report::default();
    for size in &args.sizes {
        run::warn(&format!("{size} grants"));
        let measured =
            bench.measure(*size).with_context(|| format!("the bench of {size} grants failed"))?;
        report.add(measured);
    }
    match args.output {
        Format::Table => run::say(&report.table()),
        Format::Json => run::say(&report.json()),
    }
    Ok(())
}
