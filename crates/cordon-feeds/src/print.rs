//! The report as a table, for people.

use std::io::{self, Write};

use crate::score::Report;

pub(crate) fn table(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let (years, syncs, changed) = (report.feed_years, report.syncs, report.changed_days);
    writeln!(out, "{years:.1} feed-years, {syncs} syncs, {changed} with a change that count")?;
    writeln!(
        out,
        "{:<26} {:>7} {:>8} {:>7} {:>7}   at 0.5    at 1    at 2    at 4",
        "detector", "false/y", "w/o mass", "recall", "5 plus"
    )?;
    for one in &report.detectors {
        write!(
            out,
            "{:<26} {:>7.2} {:>8.2} {:>6.1}% {:>6.1}%",
            one.name,
            one.false_per_feed_year,
            one.false_without_mass,
            one.recall * 100.0,
            one.recall_5plus * 100.0
        )?;
        for budget in one.at_budget.values() {
            write!(out, "  {:>5.1}%", budget * 100.0)?;
        }
        match one.company_days_held {
            Some(held) => writeln!(out, "  {held:>6.2} company days/y")?,
            None => writeln!(out)?,
        }
    }
    let again = &report.second_reading;
    writeln!(
        out,
        "{:<26} {:>16} {:>6.1}% {:>6.1}%   {:.2} readings/y",
        again.name,
        "",
        again.recall * 100.0,
        again.recall_5plus * 100.0,
        again.readings_per_feed_year
    )
}

/// What the JSON has beside the table: ours by budget, feed and kind of fault.
pub(crate) fn details(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let Some(own) = report.detectors.first() else { return Ok(()) };
    writeln!(out, "thresholds {:?}", own.thresholds)?;
    for (feed, at_budget) in &own.by_feed_at_budget {
        let percent = |budget| at_budget.get(budget).copied().unwrap_or_default() * 100.0;
        writeln!(out, "feed {feed} at 1 {:.1}%, at 2 {:.1}%", percent("1"), percent("2"))?;
    }
    for (variant, recall) in own.by_variant.iter().filter(|(_, recall)| **recall < 1.0) {
        writeln!(out, "variant {variant} {recall:.3}")?;
    }
    Ok(())
}
