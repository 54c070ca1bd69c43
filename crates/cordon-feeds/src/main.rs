//! `cordon-feeds`: the detector against real histories, with other methods beside it.
//!
//! Started by `cargo xtask detect`. Reads a folder of feeds, replays them, and prints how many honest
//! days each method would have held and how many faults it would have caught.

mod baselines;
mod company;
mod explain;
mod listing;
mod misses;
mod print;
mod prior;
mod read;
mod replay;
mod score;
mod state;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use cordon_validate::detect::{HOLD, Prior, Statistic};

use baselines::Baseline;
use read::Feed;
use replay::Replayed;
use score::{Figures, Report};

#[derive(Parser)]
#[command(name = "cordon-feeds", about = "Measure the detector on real histories")]
struct Args {
    /// Folder of feeds: NAME.daily.jsonl.zst and NAME.cases.jsonl.zst
    #[arg(long, env = "CORDON_FEEDS")]
    feeds: PathBuf,
    /// Form of the result
    #[arg(short, long, default_value = "table")]
    output: Format,
    /// Judge each feed by a prior made of the other feeds of the folder
    #[arg(long)]
    leave_one_out: bool,
    /// Make the prior of these feeds, and write it there
    #[arg(long)]
    write_prior: Option<PathBuf>,
    /// Write the misses there, one by one, with a table by class and feed
    #[arg(long, requires = "leave_one_out")]
    write_misses: Option<PathBuf>,
    /// Count too what would be held of made-up companies, in which nothing is a fault
    #[arg(long)]
    companies: bool,
    /// Say of each miss and each false quarantine what was most unusual
    #[arg(long)]
    explain: bool,
    /// The score at which ours holds a sync, instead of the shipped one
    #[arg(long, default_value_t = HOLD)]
    hold: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let feeds = read::feeds(&args.feeds)?;
    // Only a prior is made of the feeds' own honest days.
    let honest = if args.leave_one_out || args.write_prior.is_some() {
        in_parallel(&feeds, |_, feed| replay::honest(feed))?
    } else {
        Vec::new()
    };
    if let Some(path) = &args.write_prior {
        let text = prior::source(&Prior::of(&honest));
        return std::fs::write(path, text).with_context(|| format!("cannot write {path:?}"));
    }
    let replayed = in_parallel(&feeds, |at, feed| {
        if !args.leave_one_out {
            return replay::replay(feed, Prior::shipped(), args.hold);
        }
        let others = honest.iter().enumerate().filter(|(other, _)| *other != at);
        let others: Vec<_> = others.map(|(_, values)| values.clone()).collect();
        replay::replay(feed, &Prior::of(&others), args.hold)
    })?;
    let companies = if args.companies { companies(args, &honest)? } else { Vec::new() };
    let mut report = report(&replayed, &companies, args.hold);
    let explained = explain::explained(&replayed, &companies, args.hold);
    if let Some(path) = &args.write_misses {
        let page = misses::page(&report, &replayed, &explained.missed, args.hold);
        std::fs::write(path, page).with_context(|| format!("cannot write {path:?}"))?;
    }
    report.explained = args.explain.then_some(explained);
    let mut out = std::io::stdout().lock();
    if args.output == Format::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        return Ok(());
    }
    print::table(&report, &mut out)?;
    if let Some(explained) = &report.explained {
        print::details(&report, &mut out)?;
        explained.print(&mut out)?;
    }
    Ok(())
}

/// The made-up companies, replayed. None of them is in any prior.
fn companies(
    args: &Args,
    honest: &[(u64, BTreeMap<Statistic, Vec<f64>>)],
) -> anyhow::Result<Vec<Replayed>> {
    let made = if args.leave_one_out { Some(Prior::of(honest)) } else { None };
    let prior = made.as_ref().unwrap_or(Prior::shipped());
    in_parallel(&company::feeds(), |_, feed| replay::replay(feed, prior, args.hold))
}

/// Two feeds at a time, results in the feeds' order.
fn in_parallel<T: Send>(
    feeds: &[Feed],
    each: impl Fn(usize, &Feed) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(feed) = feeds.get(at) else { return done };
            done.push((at, each(at, feed)));
        }
    };
    let mut results = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut results = work();
        results.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        results
    });
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

fn report(replayed: &[Replayed], companies: &[Replayed], hold: f64) -> Report {
    let figures = |name, at, hold| Figures {
        company_days_held: score::held_per_year(companies, at, hold, true),
        ..score::figures(name, at, hold, replayed)
    };
    let mut detectors = vec![figures("cordon".into(), 0, hold)];
    for (at, baseline) in (1..).zip(Baseline::ALL) {
        detectors.push(figures(baseline.name(), at, baseline.hold()));
    }
    Report {
        feed_years: replayed.iter().map(|feed| feed.years).sum(),
        syncs: replayed.iter().map(|feed| feed.syncs).sum(),
        changed_days: score::changed_days(replayed),
        detectors,
        second_reading: score::second_reading(hold, replayed),
        explained: None,
    }
}
