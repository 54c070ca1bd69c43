//! What was most unusual of each fault that is missed and each honest day that is held.
//!
//! Gathered once; printed as lines beside the table, or as part of the JSON, which stays one
//! document.

use std::io::{self, Write};

use cordon_validate::detect::Statistic;
use serde::Serialize;

use crate::replay::{Replayed, ScoredDay};
use crate::score;

/// Every miss and every false quarantine, with its reasons.
#[derive(Serialize)]
pub(crate) struct Explained {
    pub(crate) held: Vec<Held>,
    pub(crate) missed: Vec<Missed>,
    /// Honest days of made-up companies that are held.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    company_days: Vec<Held>,
}

/// An honest day that is held.
#[derive(Serialize)]
pub(crate) struct Held {
    pub(crate) feed: String,
    pub(crate) day: i64,
    pub(crate) mass: bool,
    pub(crate) why: Vec<Reason>,
}

/// A fault that is not held.
#[derive(Serialize)]
pub(crate) struct Missed {
    pub(crate) feed: String,
    pub(crate) day: i64,
    pub(crate) variant: String,
    pub(crate) class: String,
    pub(crate) affected: u64,
    /// Whether it is read again, at least.
    pub(crate) read_again: bool,
    /// Whether the source changed on that day by itself, too.
    pub(crate) changed_day: bool,
    pub(crate) why: Vec<Reason>,
}

/// A statistic, how unusual it was, and what it measured.
#[derive(Serialize)]
pub(crate) struct Reason {
    pub(crate) statistic: Statistic,
    pub(crate) score: f64,
    pub(crate) value: f64,
}

/// Of ours, which holds what scores at least `hold`.
pub(crate) fn explained(feeds: &[Replayed], companies: &[Replayed], hold: f64) -> Explained {
    Explained {
        held: feeds.iter().flat_map(|feed| held(feed, hold)).collect(),
        missed: feeds.iter().flat_map(|feed| missed(feed, hold)).collect(),
        company_days: companies.iter().flat_map(|company| held(company, hold)).collect(),
    }
}

fn held(feed: &Replayed, hold: f64) -> impl Iterator<Item = Held> {
    let is_held = move |day: &&ScoredDay| day.scores.first().is_some_and(|own| *own >= hold);
    feed.days.iter().filter(|day| day.settled).filter(is_held).map(|day| Held {
        feed: feed.name.clone(),
        day: day.day,
        mass: day.mass,
        why: reasons(&day.why),
    })
}

fn missed(feed: &Replayed, hold: f64) -> impl Iterator<Item = Missed> {
    let cases = feed.cases.iter().filter(move |case| !score::is_caught(case, feed, 0, hold));
    cases.map(move |case| Missed {
        feed: feed.name.clone(),
        day: case.day,
        variant: case.variant.clone(),
        class: case.class.clone(),
        affected: case.affected,
        read_again: score::is_found(case, feed, hold),
        changed_day: feed.days.binary_search_by_key(&case.day, |day| day.day).is_ok(),
        why: reasons(&case.why),
    })
}

fn reasons(why: &[(Statistic, f64, f64)]) -> Vec<Reason> {
    let reason = |&(statistic, score, value)| Reason { statistic, score, value };
    why.iter().map(reason).collect()
}

impl Explained {
    /// A line each.
    pub(crate) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        print_days(&self.held, "false", out)?;
        for one in &self.missed {
            let (feed, day, variant, affected) = (&one.feed, one.day, &one.variant, one.affected);
            writeln!(out, "missed {feed} {day} {variant} {affected} {}", words(&one.why))?;
        }
        print_days(&self.company_days, "company", out)
    }
}

fn print_days(days: &[Held], word: &str, out: &mut dyn Write) -> io::Result<()> {
    for one in days {
        let mass = if one.mass { " mass" } else { "" };
        writeln!(out, "{word} {} {}{mass} {}", one.feed, one.day, words(&one.why))?;
    }
    Ok(())
}

fn words(why: &[Reason]) -> String {
    let word = |one: &Reason| format!("{:?} {:.2} ({:.4})", one.statistic, one.score, one.value);
    why.iter().map(word).collect::<Vec<_>>().join(", ")
}
