//! The leave-one-out run as a page of the documentation: what is held by class and feed, and every
//! miss with what was most unusual of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::explain::Missed;
use crate::replay::Replayed;
use crate::score::{self, Report};

pub(crate) fn page(report: &Report, feeds: &[Replayed], missed: &[Missed], hold: f64) -> String {
    let cases: usize = feeds.iter().map(|feed| feed.cases.len()).sum();
    let mut text = format!(
        "# What the detector misses\n\n\
         Made by `cargo xtask detect --leave-one-out --write-misses docs/detector-misses.md`, not for editing. Each feed is judged by\n\
         a prior made of the others; a sync is held from a score of {hold} on and read again from {} on. How it was measured, and why\n\
         these are missed: [detector.md](detector.md#how-it-was-measured).\n\n",
        report.second_reading.read_again
    );
    classes(&mut text, report, feeds, hold);
    let again = missed.iter().filter(|one| one.read_again).count();
    let _ = write!(
        text,
        "\n## One by one\n\n\
         {} of {cases} faults are not held; {again} of them are read again. A day is counted from 1970, as in the feed; \"busy\" is one on\n\
         which the source changed by itself, too. The score is that of the statistic that was most unusual.\n\n\
         | fault | feed | day | records | read again | score | most unusual |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
        missed.len()
    );
    let mut missed: Vec<&Missed> = missed.iter().collect();
    missed.sort_by_key(|one| (&one.class, &one.variant, &one.feed, one.day));
    for one in missed {
        let busy = if one.changed_day { ", busy" } else { "" };
        let again = if one.read_again { "yes" } else { "no" };
        let (score, most) =
            one.why.first().map_or((0.0, "nothing"), |most| (most.score, most.statistic.meaning()));
        let (variant, feed, day, records) = (&one.variant, &one.feed, one.day, one.affected);
        let _ = writeln!(
            text,
            "| {variant} | {feed} | {day}{busy} | {records} | {again} | {score:.2} | {most} |"
        );
    }
    text
}

/// By class: recall over kinds of fault, and by feed the faults that are held of those there are.
fn classes(text: &mut String, report: &Report, feeds: &[Replayed], hold: f64) {
    let Some(own) = report.detectors.first() else { return };
    let cells = |of: &dyn Fn(&Replayed) -> String| -> String {
        feeds.iter().map(|feed| format!(" {} |", of(feed))).collect()
    };
    let _ = write!(
        text,
        "## By class and feed\n\n\
         Recall is averaged over kinds of fault; under a feed stand the faults that are held, of those it has. The last rows are the\n\
         feed's recall at the thresholds that keep one and two false quarantines a year over all feeds.\n\n\
         | class | recall | or read again |{}\n| --- | --- | --- |{}\n",
        cells(&|feed| feed.name.clone()),
        " --- |".repeat(feeds.len())
    );
    let again = &report.second_reading.by_class;
    let counted: Vec<_> = feeds.iter().map(|feed| counts(feed, hold)).collect();
    for (class, recall) in &own.by_class {
        let found = again.get(class).copied().unwrap_or_default();
        let _ = write!(text, "| {class} | {} | {} |", percent(*recall), percent(found));
        for counts in &counted {
            let _ = match counts.get(class.as_str()) {
                Some((caught, all)) => write!(text, " {caught}/{all} |"),
                None => write!(text, " |"),
            };
        }
        text.push('\n');
    }
    for budget in ["1", "2"] {
        let at = |of: &BTreeMap<&str, f64>| percent(of.get(budget).copied().unwrap_or_default());
        let by_feed =
            cells(&|feed| own.by_feed_at_budget.get(&feed.name).map_or_else(String::new, at));
        let _ = writeln!(text, "| all, at {budget} a year | {} | |{by_feed}", at(&own.at_budget));
    }
}

/// By class: faults that are held, and all.
fn counts(feed: &Replayed, hold: f64) -> BTreeMap<&str, (u64, u64)> {
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for case in &feed.cases {
        let entry = counts.entry(&case.class).or_default();
        entry.0 += u64::from(score::is_caught(case, feed, 0, hold));
        entry.1 += 1;
    }
    counts
}

fn percent(share: f64) -> String {
    if share == 1.0 { "100 %".into() } else { format!("{:.1} %", share * 100.0) }
}
