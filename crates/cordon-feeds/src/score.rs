//! From scores to figures: false quarantines, recall, and recall at a budget.

use std::collections::BTreeMap;

use cordon_validate::detect::READ_AGAIN;
use serde::Serialize;

use crate::explain::Explained;
use crate::replay::{Replayed, ScoredCase};

/// False quarantines per feed and year at which recall is compared.
const BUDGETS: [(&str, f64); 4] = [("0.5", 0.5), ("1", 1.0), ("2", 2.0), ("4", 4.0)];

/// The whole benchmark.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) feed_years: f64,
    pub(crate) syncs: u64,
    /// Honest days with a change, after the first thirty of each feed.
    pub(crate) changed_days: u64,
    pub(crate) detectors: Vec<Figures>,
    pub(crate) second_reading: SecondReading,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) explained: Option<Explained>,
}

/// One detector's figures.
#[derive(Serialize)]
pub(crate) struct Figures {
    pub(crate) name: String,
    pub(crate) false_per_feed_year: f64,
    pub(crate) false_without_mass: f64,
    pub(crate) recall: f64,
    pub(crate) recall_5plus: f64,
    /// Honest days of made-up companies that are held, per company and year, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) company_days_held: Option<f64>,
    pub(crate) by_class: BTreeMap<String, f64>,
    pub(crate) at_budget: BTreeMap<&'static str, f64>,
    /// Feed by feed, recall at the threshold that keeps the budget over all feeds.
    pub(crate) by_feed_at_budget: BTreeMap<String, BTreeMap<&'static str, f64>>,
    /// The score at which it holds a sync, at each budget.
    pub(crate) thresholds: BTreeMap<&'static str, f64>,
    #[serde(skip)]
    pub(crate) by_variant: BTreeMap<String, f64>,
}

/// Ours with the second reading: a fault counts as found when it is held or read again. A reading
/// wakes nobody, so what it costs is told apart from false quarantines.
#[derive(Serialize)]
pub(crate) struct SecondReading {
    pub(crate) name: &'static str,
    /// The score from which a second reading is asked for.
    pub(crate) read_again: f64,
    /// Honest days that are read again and not held.
    pub(crate) readings: u64,
    pub(crate) readings_per_feed_year: f64,
    pub(crate) recall: f64,
    pub(crate) recall_5plus: f64,
    pub(crate) by_class: BTreeMap<String, f64>,
}

/// The figures of detector number `at`, which holds what scores at least `hold`.
pub(crate) fn figures(name: String, at: usize, hold: f64, feeds: &[Replayed]) -> Figures {
    let caught = |case: &_, feed: &_| is_caught(case, feed, at, hold);
    let held = |mass| held_per_year(feeds, at, hold, mass).unwrap_or_default();
    let thresholds = thresholds(feeds, at);
    let at_budgets = |feeds: &[Replayed]| -> BTreeMap<&'static str, f64> {
        let each = thresholds.iter().map(|(name, hold)| {
            (*name, recall(feeds, &|case, feed| is_caught(case, feed, at, *hold), 0))
        });
        each.collect()
    };
    let by_feed =
        feeds.iter().map(|feed| (feed.name.clone(), at_budgets(std::slice::from_ref(feed))));
    Figures {
        name,
        false_per_feed_year: held(true),
        false_without_mass: held(false),
        recall: recall(feeds, &caught, 0),
        recall_5plus: recall(feeds, &caught, 5),
        company_days_held: None,
        by_class: by_class(feeds, &caught),
        by_variant: by_variant(feeds, &caught, 0),
        at_budget: at_budgets(feeds),
        by_feed_at_budget: by_feed.collect(),
        thresholds,
    }
}

/// What a second reading from the shipped score on adds to ours, which holds from `hold` on.
pub(crate) fn second_reading(hold: f64, feeds: &[Replayed]) -> SecondReading {
    let found = |case: &_, feed: &_| is_found(case, feed, hold);
    let again = honest(feeds, 0, true).filter(|score| (READ_AGAIN..hold).contains(score));
    let readings = again.count() as u64;
    SecondReading {
        name: "cordon-read-again",
        read_again: READ_AGAIN,
        readings,
        readings_per_feed_year: readings as f64 / years(feeds),
        recall: recall(feeds, &found, 0),
        recall_5plus: recall(feeds, &found, 5),
        by_class: by_class(feeds, &found),
    }
}

/// The score from which detector number `at` holds a sync, so that each budget is just kept.
fn thresholds(feeds: &[Replayed], at: usize) -> BTreeMap<&'static str, f64> {
    let mut falling: Vec<f64> = honest(feeds, at, true).collect();
    falling.sort_by(|a, b| b.total_cmp(a));
    let each = BUDGETS.iter().map(|(name, budget)| {
        let most = (budget * years(feeds)).floor() as usize;
        // The first honest score that may no longer be held.
        (*name, falling.get(most).map_or(f64::MIN_POSITIVE, |score| score.next_up()))
    });
    each.collect()
}

fn years(feeds: &[Replayed]) -> f64 {
    feeds.iter().map(|feed| feed.years).sum::<f64>().max(1e-9)
}

/// Honest changed days that count.
pub(crate) fn changed_days(feeds: &[Replayed]) -> u64 {
    honest(feeds, 0, true).count() as u64
}

/// Scores of honest days, with or without mass days.
fn honest(feeds: &[Replayed], at: usize, mass: bool) -> impl Iterator<Item = f64> {
    let days = feeds.iter().flat_map(|feed| &feed.days);
    days.filter(move |day| day.settled && (mass || !day.mass))
        .map(move |day| score(&day.scores, at))
}

/// Honest days that detector number `at` holds, per feed and year; none where there is no feed.
pub(crate) fn held_per_year(feeds: &[Replayed], at: usize, hold: f64, mass: bool) -> Option<f64> {
    let years: f64 = feeds.iter().map(|feed| feed.years).sum();
    let held = honest(feeds, at, mass).filter(|score| *score >= hold).count();
    (years > 0.0).then(|| held as f64 / years)
}

fn score(scores: &[f64], at: usize) -> f64 {
    scores.get(at).copied().unwrap_or_default()
}

/// Whether a case is held at a step at which the honest sync of that day would not have been.
pub(crate) fn is_caught(case: &ScoredCase, feed: &Replayed, at: usize, hold: f64) -> bool {
    case.steps.iter().any(|(day, scores)| {
        let honest = feed.days.binary_search_by_key(day, |honest| honest.day).ok();
        let honest = honest.and_then(|index| feed.days.get(index));
        let honest = honest.map_or(0.0, |honest| score(&honest.scores, at));
        // A single case is judged as it is; of several steps those count that tell apart.
        score(scores, at) >= hold && (case.steps.len() == 1 || honest < hold)
    })
}

/// Whether ours holds a case, or reads it again.
pub(crate) fn is_found(case: &ScoredCase, feed: &Replayed, hold: f64) -> bool {
    is_caught(case, feed, 0, hold) || is_caught(case, feed, 0, READ_AGAIN)
}

type Caught<'a> = dyn Fn(&ScoredCase, &Replayed) -> bool + 'a;

/// The share of cases that are caught, of those that touch at least so many records.
fn by_variant(feeds: &[Replayed], caught: &Caught<'_>, least: u64) -> BTreeMap<String, f64> {
    let mut counted: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for feed in feeds {
        for case in feed.cases.iter().filter(|case| case.affected >= least) {
            let entry = counted.entry(&case.variant).or_default();
            entry.0 += u64::from(caught(case, feed));
            entry.1 += 1;
        }
    }
    counted
        .into_iter()
        .map(|(name, (caught, all))| (name.to_owned(), caught as f64 / all as f64))
        .collect()
}

fn recall(feeds: &[Replayed], caught: &Caught<'_>, least: u64) -> f64 {
    mean(by_variant(feeds, caught, least).into_values())
}

fn by_class(feeds: &[Replayed], caught: &Caught<'_>) -> BTreeMap<String, f64> {
    let classes: BTreeMap<&str, &str> = feeds
        .iter()
        .flat_map(|feed| &feed.cases)
        .map(|case| (case.variant.as_str(), case.class.as_str()))
        .collect();
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (variant, recall) in by_variant(feeds, caught, 0) {
        if let Some(class) = classes.get(variant.as_str()) {
            values.entry((*class).to_owned()).or_default().push(recall);
        }
    }
    values.into_iter().map(|(class, values)| (class, mean(values.into_iter()))).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 0.0 } else { sum / count as f64 }
}
