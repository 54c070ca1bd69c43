//! From scores to figures: false quarantines, recall, and recall at a budget.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::replay::{Replayed, ScoredCase};

/// False quarantines per feed and year at which recall is compared.
const BUDGETS: [(&str, f64); 4] = [("0.5", 0.5), ("1", 1.0), ("2", 2.0), ("4", 4.0)];

/// The whole benchmark.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) feed_years: f64,
    pub(crate) syncs: u64,
    pub(crate) detectors: Vec<Figures>,
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
    /// The score at which it holds a sync, at each budget.
    pub(crate) thresholds: BTreeMap<&'static str, f64>,
    #[serde(skip)]
    pub(crate) by_variant: BTreeMap<String, f64>,
}

/// The figures of detector number `at`, which holds what scores at least `hold`.
pub(crate) fn figures(name: String, at: usize, hold: f64, feeds: &[Replayed]) -> Figures {
    let years: f64 = feeds.iter().map(|feed| feed.years).sum::<f64>().max(1e-9);
    let held = |mass| held_per_year(feeds, at, hold, mass).unwrap_or_default();
    let mut falling: Vec<f64> = honest(feeds, at, true).collect();
    falling.sort_by(|a, b| b.total_cmp(a));
    let thresholds: BTreeMap<&'static str, f64> = BUDGETS
        .iter()
        .map(|(name, budget)| {
            let most = (budget * years).floor() as usize;
            // The first honest score that may no longer be held.
            (*name, falling.get(most).map_or(f64::MIN_POSITIVE, |score| score.next_up()))
        })
        .collect();
    let at_budget =
        thresholds.iter().map(|(name, hold)| (*name, recall(feeds, at, *hold, 0))).collect();
    Figures {
        name,
        false_per_feed_year: held(true),
        false_without_mass: held(false),
        recall: recall(feeds, at, hold, 0),
        recall_5plus: recall(feeds, at, hold, 5),
        company_days_held: None,
        by_class: by_class(feeds, at, hold),
        by_variant: by_variant(feeds, at, hold, 0),
        at_budget,
        thresholds,
    }
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

fn by_variant(feeds: &[Replayed], at: usize, hold: f64, least: u64) -> BTreeMap<String, f64> {
    let mut counted: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for feed in feeds {
        for case in feed.cases.iter().filter(|case| case.affected >= least) {
            let entry = counted.entry(&case.variant).or_default();
            entry.0 += u64::from(is_caught(case, feed, at, hold));
            entry.1 += 1;
        }
    }
    counted
        .into_iter()
        .map(|(name, (caught, all))| (name.to_owned(), caught as f64 / all as f64))
        .collect()
}

fn recall(feeds: &[Replayed], at: usize, hold: f64, least: u64) -> f64 {
    mean(by_variant(feeds, at, hold, least).into_values())
}

fn by_class(feeds: &[Replayed], at: usize, hold: f64) -> BTreeMap<String, f64> {
    let classes: BTreeMap<&str, &str> = feeds
        .iter()
        .flat_map(|feed| &feed.cases)
        .map(|case| (case.variant.as_str(), case.class.as_str()))
        .collect();
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (variant, recall) in by_variant(feeds, at, hold, 0) {
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
