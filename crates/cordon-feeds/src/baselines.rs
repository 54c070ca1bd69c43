//! What others do, as far as their documents tell: fixed limits, contract tests, and monitors of
//! metrics. Each gives a score that grows with suspicion, and the score at which it holds a sync.

use std::collections::{BTreeMap, VecDeque};

use cordon_model::Value;

use crate::listing::Listing;

/// Days that monitors look back on.
const DAYS_MAX: usize = 60;

/// Another way to judge a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Baseline {
    /// A share of a type's records that may be removed, in percent.
    Removed(u64),
    /// A count of records that may be removed.
    RemovedCount(u64),
    /// Schema, keys, references and required values, and a tenth of the records.
    Contract,
    /// Median and its absolute deviation over 60 days.
    Deviation,
    /// Mean and standard deviation over 14 days.
    ZScore,
    /// Many metrics with intervals from all of the past, those kept whose alarms were rare.
    History,
}

impl Baseline {
    pub(crate) const ALL: [Self; 8] = [
        Self::Removed(20),
        Self::Removed(10),
        Self::Removed(5),
        Self::RemovedCount(500),
        Self::Contract,
        Self::Deviation,
        Self::ZScore,
        Self::History,
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Removed(percent) => format!("removals-{percent}%"),
            Self::RemovedCount(count) => format!("removals-{count}"),
            Self::Contract => "contract-tests".into(),
            Self::Deviation => "mad-60d".into(),
            Self::ZScore => "zscore-14d".into(),
            Self::History => "auto-validate-by-history".into(),
        }
    }

    /// The score at which it holds a sync, as it is shipped or usually set.
    pub(crate) fn hold(self) -> f64 {
        match self {
            // More than the limit, not the limit.
            Self::Removed(percent) => (percent as f64 / 100.0).next_up(),
            Self::RemovedCount(count) => (count as f64).next_up(),
            Self::Contract => 0.1_f64.next_up(),
            Self::Deviation => 3.5,
            Self::ZScore => 3.0,
            Self::History => 3.0,
        }
    }

    pub(crate) fn score(self, facts: &Facts, past: &Past) -> f64 {
        match self {
            Self::Removed(_) => facts.removed_share,
            Self::RemovedCount(_) => facts.removed as f64,
            Self::Contract if facts.broken => f64::INFINITY,
            Self::Contract => facts.removed_share,
            Self::Deviation => past.deviation(facts),
            Self::ZScore => past.z_score(facts),
            Self::History => past.intervals(facts),
        }
    }
}

/// What the others look at.
pub(crate) struct Facts {
    removed_share: f64,
    removed: u64,
    broken: bool,
    metrics: BTreeMap<String, f64>,
}

impl Facts {
    pub(crate) fn of(before: &Listing, after: &Listing, repeated: u64) -> Self {
        let mut facts = Self {
            removed_share: 0.0,
            removed: 0,
            broken: repeated > 0,
            metrics: metrics(after, repeated),
        };
        let mut ids = std::collections::HashSet::new();
        for (old, new) in before.sections.iter().zip(&after.sections) {
            let gone = old.items.iter().filter(|item| new.find(item.key).is_none()).count() as u64;
            facts.removed += gone;
            if !old.items.is_empty() {
                let share = gone as f64 / old.items.len() as f64;
                facts.removed_share = facts.removed_share.max(share);
                facts.broken |= new.items.is_empty();
            }
            // Whatever all records had is taken for required, as a contract written on that day
            // would; and types stay.
            for (name, count) in &old.columns {
                let required = *count == old.items.len() as u64;
                let now = new.columns.get(name).copied().unwrap_or_default();
                facts.broken |= required && now < new.items.len() as u64;
            }
            facts.broken |= retyped(old, new);
            if old.record_type.kind == cordon_model::RecordKind::Resource {
                ids.extend(new.items.iter().map(|item| item.key.high));
            }
        }
        let grants =
            after.sections.iter().filter(|s| s.record_type.kind == cordon_model::RecordKind::Grant);
        let dangling = grants.flat_map(|s| &s.items).any(|item| !ids.contains(&item.key.high));
        facts.broken |= dangling;
        facts
    }
}

fn retyped(old: &crate::listing::Section, new: &crate::listing::Section) -> bool {
    let kinds = |section: &crate::listing::Section| -> BTreeMap<String, u8> {
        let mut kinds = BTreeMap::new();
        for item in &section.items {
            for (name, value) in &item.row.values {
                if !kinds.contains_key(name) {
                    kinds.insert(name.clone(), kind(value));
                }
            }
        }
        kinds
    };
    if old.items.iter().zip(&new.items).all(|(a, b)| a.place.hash == b.place.hash) {
        return false;
    }
    let now = kinds(new);
    kinds(old).iter().any(|(name, kind)| now.get(name).is_some_and(|now| now != kind))
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Text(_) => 0,
        Value::Integer(_) => 1,
        Value::Boolean(_) => 2,
        Value::Timestamp(_) => 3,
    }
}

/// Numbers of a sync that monitors follow: counts, filling of columns, grants by principal.
fn metrics(of: &Listing, repeated: u64) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::from([("repeated".to_owned(), repeated as f64)]);
    for section in &of.sections {
        let name = section.record_type.to_string();
        let count = section.items.len();
        for (column, present) in &section.columns {
            let share = *present as f64 / count.max(1) as f64;
            metrics.insert(format!("{name}.{column}"), share);
        }
        metrics.insert(name, count as f64);
    }
    metrics
}

/// What monitors remember of the last days, unchanged days included.
#[derive(Default)]
pub(crate) struct Past {
    days: VecDeque<BTreeMap<String, f64>>,
}

impl Past {
    pub(crate) fn learn(&mut self, _before: &Listing, after: &Listing) {
        self.push(metrics(after, 0));
    }

    /// Days on which nothing changed.
    pub(crate) fn stay(&mut self, listing: &Listing, days: i64) {
        for _ in 0..usize::try_from(days).unwrap_or_default().min(DAYS_MAX) {
            self.push(metrics(listing, 0));
        }
    }

    fn push(&mut self, metrics: BTreeMap<String, f64>) {
        self.days.push_back(metrics);
        if self.days.len() > DAYS_MAX {
            self.days.pop_front();
        }
    }

    fn series(&self, name: &str, days: usize) -> Vec<f64> {
        let skip = self.days.len().saturating_sub(days);
        let days = self.days.iter().skip(skip);
        days.map(|metrics| metrics.get(name).copied().unwrap_or_default()).collect()
    }

    fn worst(&self, facts: &Facts, one: impl Fn(&str, f64) -> f64) -> f64 {
        let known = self.days.back().into_iter().flat_map(BTreeMap::keys);
        let names: std::collections::BTreeSet<&String> =
            facts.metrics.keys().chain(known).collect();
        let value = |name: &str| facts.metrics.get(name).copied().unwrap_or_default();
        names.into_iter().map(|name| one(name, value(name))).fold(0.0, f64::max)
    }

    fn deviation(&self, facts: &Facts) -> f64 {
        self.worst(facts, |name, value| {
            let mut series = self.series(name, DAYS_MAX);
            let Some(middle) = median(&mut series) else { return 0.0 };
            let mut apart: Vec<f64> = series.iter().map(|x| (x - middle).abs()).collect();
            let spread = median(&mut apart).unwrap_or_default() * 1.4826;
            (value - middle).abs() / spread.max(0.002 * middle.abs()).max(1e-9)
        })
    }

    fn z_score(&self, facts: &Facts) -> f64 {
        self.worst(facts, |name, value| {
            let series = self.series(name, 14);
            let Some((mean, spread)) = moments(&series) else { return 0.0 };
            (value - mean).abs() / spread.max(0.002 * mean.abs()).max(1e-9)
        })
    }

    /// Differences from day to day, as for metrics that drift; the interval of each is as wide as its
    /// own past alarms make it.
    fn intervals(&self, facts: &Facts) -> f64 {
        self.worst(facts, |name, value| {
            let series = self.series(name, DAYS_MAX);
            let Some(last) = series.last().copied() else { return 0.0 };
            let steps: Vec<f64> = series.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let Some((mean, spread)) = moments(&steps) else { return 0.0 };
            let spread = spread.max(0.002 * last.abs()).max(1e-9);
            let own = steps.iter().map(|step| (step - mean).abs() / spread).fold(1.0, f64::max);
            (value - last - mean).abs() / spread / own * 3.0
        })
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn moments(values: &[f64]) -> Option<(f64, f64)> {
    let count = values.len() as f64;
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
    Some((mean, variance.sqrt()))
}
