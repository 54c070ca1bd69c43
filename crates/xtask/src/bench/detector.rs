//! What the detector costs a second sync.
//!
//! One with the detector and one without take turns, so that what else the machine does meets both
//! alike. The middle of all is told, and the shortest, which is what the
//! work takes where nobody disturbs it.

use std::path::Path;

use serde::Serialize;

use super::measure::{Bench, Taken};
use super::size::Size;
use crate::run;

/// One size, with the detector and without it.
#[derive(Serialize)]
struct Cost {
    /// Grants in the source.
    size: u64,
    with_detector: Days,
    without: Days,
}

/// Days of the same kind.
#[derive(Serialize)]
struct Days {
    /// From the run's start to its end, shortest first.
    seconds: Vec<f64>,
    /// Of those, what the comparison with the last known good took, where the detector works.
    diff_seconds: Vec<f64>,
    /// Processor time of the supervisor, from its start on, least first.
    supervisor_cpu_seconds: Vec<f64>,
    supervisor_peak_bytes: u64,
}

impl Days {
    fn of(taken: &[Taken]) -> Self {
        let sorted = |of: fn(&Taken) -> f64| -> Vec<f64> {
            let mut all: Vec<f64> = taken.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        Self {
            seconds: sorted(|day| day.seconds),
            diff_seconds: sorted(|day| day.diff_seconds),
            supervisor_cpu_seconds: sorted(|day| day.supervisor_cpu_seconds),
            supervisor_peak_bytes: taken
                .iter()
                .map(|day| day.supervisor_peak_bytes)
                .max()
                .unwrap_or(0),
        }
    }
}

fn middle(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn shortest(sorted: &[f64]) -> f64 {
    sorted.first().copied().unwrap_or(f64::NAN)
}

pub(super) fn measure(
    target: &Path,
    sizes: &[Size],
    rounds: usize,
    json: bool,
) -> anyhow::Result<()> {
    let mut costs = Vec::new();
    for size in sizes {
        run::warn(&format!("{size} grants"));
        let (with, without) = (Bench::new(target, true), Bench::new(target, false));
        let (mut taken, mut taken_without) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            // Who goes first takes turns, too.
            for is_with in [round % 2 == 0, round % 2 == 1] {
                let (bench, taken) =
                    if is_with { (&with, &mut taken) } else { (&without, &mut taken_without) };
                taken.push(bench.second(*size)?);
            }
        }
        let (with_detector, without) = (Days::of(&taken), Days::of(&taken_without));
        costs.push(Cost { size: size.0, with_detector, without });
    }
    if json {
        run::say(&serde_json::json!({ "detector": costs }).to_string());
        return Ok(());
    }
    for Cost { size, with_detector: with, without } in &costs {
        let lines = [
            ("by the middle", middle(&with.seconds), middle(&without.seconds)),
            ("by the shortest", shortest(&with.seconds), shortest(&without.seconds)),
            (
                "the comparison of it, by the middle",
                middle(&with.diff_seconds),
                middle(&without.diff_seconds),
            ),
            (
                "processor time of the supervisor, by the middle",
                middle(&with.supervisor_cpu_seconds),
                middle(&without.supervisor_cpu_seconds),
            ),
        ];
        run::say(&format!("{} grants, a second sync with the detector and without:", Size(*size)));
        for (what, with, without) in lines {
            let more = 100.0 * (with / without - 1.0);
            run::say(&format!("  {what}: {with:.2} s, {without:.2} s, {more:+.1} %"));
        }
    }
    Ok(())
}
