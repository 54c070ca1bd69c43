//! What others do, as far as their documents tell: fixed limits, contract tests, and monitors of
//! metrics. Each gives a score that grows with suspicion, and the score at which it holds a sync.

mod contract;

use std::collections::{BTreeMap, VecDeque};

use crate::listing::Listing;
use contract::Contract;

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
    /// The same, and instead of a tenth what one in two hundred of the source's own days removed.
    ContractQuantile,
    /// Median and its absolute deviation over 60 days.
    Deviation,
    /// Mean and standard deviation over 14 days.
    ZScore,
    /// Many metrics with intervals from all of the past, those kept whose alarms were rare.
    History,
}

impl Baseline {
    pub(crate) const ALL: [Self; 9] = [
        Self::Removed(20),
        Self::Removed(10),
        Self::Removed(5),
        Self::RemovedCount(500),
        Self::Contract,
        Self::ContractQuantile,
        Self::Deviation,
        Self::ZScore,
        Self::History,
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Removed(percent) => format!("removals-{percent}%"),
            Self::RemovedCount(count) => format!("removals-{count}"),
            Self::Contract => "contract-tests".into(),
            Self::ContractQuantile => "contract-tests-quantile".into(),
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
            Self::ContractQuantile => 0.5_f64.next_up(),
            Self::Deviation => 3.5,
            Self::ZScore => 3.0,
            Self::History => 3.0,
        }
    }

    pub(crate) fn score(self, facts: &Facts, past: &Past) -> f64 {
        match self {
            Self::Removed(_) => facts.removed_share,
            Self::RemovedCount(_) => facts.removed as f64,
            // What breaks the contract comes before every loss that does not.
            Self::Contract | Self::ContractQuantile if facts.broken => 1.0 + facts.removed_share,
            Self::Contract => facts.removed_share,
            Self::ContractQuantile => past.beyond_quantile(facts.removed_share),
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
    pub(crate) fn of(before: &Listing, after: &Listing, repeated: u64, past: &Past) -> Self {
        let (removed, removed_share) = removed(before, after);
        Self {
            removed_share,
            removed,
            broken: past.contract.is_broken(before, after, repeated),
            metrics: metrics(after, repeated),
        }
    }
}

/// Records that went, and the largest share of a type that did.
fn removed(before: &Listing, after: &Listing) -> (u64, f64) {
    let types = before.sections.iter().zip(&after.sections).map(|(old, new)| {
        let gone = old.items.iter().filter(|item| new.find(item.key).is_none()).count();
        (gone as u64, gone as f64 / old.items.len().max(1) as f64)
    });
    types.fold((0, 0.0), |(sum, most), (gone, share)| (sum + gone, share.max(most)))
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

/// What monitors remember of the last days, unchanged days included, and contracts of all of them.
#[derive(Default)]
pub(crate) struct Past {
    days: VecDeque<BTreeMap<String, f64>>,
    contract: Contract,
    /// The largest share of a type that each changed day removed, ascending.
    shares: Vec<f64>,
    quiet_days: usize,
}

impl Past {
    /// A day with a change; in the set-up, contracts are still being written.
    pub(crate) fn learn(&mut self, before: &Listing, after: &Listing, setting_up: bool) {
        let (_, share) = removed(before, after);
        self.shares.insert(self.shares.partition_point(|known| *known < share), share);
        self.contract.see(after, setting_up);
        self.push(metrics(after, 0));
    }

    /// Days on which nothing changed.
    pub(crate) fn stay(&mut self, listing: &Listing, days: i64, setting_up: bool) {
        let days = usize::try_from(days).unwrap_or_default();
        self.quiet_days += days;
        self.contract.see(listing, setting_up);
        for _ in 0..days.min(DAYS_MAX) {
            self.push(metrics(listing, 0));
        }
    }

    /// How far a share is beyond what 99.5 % of all days removed at most: a half at it, one at most.
    fn beyond_quantile(&self, share: f64) -> f64 {
        let rank = (self.quiet_days + self.shares.len()) * 995 / 1000;
        let usual = rank.checked_sub(self.quiet_days).and_then(|at| self.shares.get(at));
        let usual = usual.copied().unwrap_or_default().max(0.002);
        share / (share + usual)
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
