//! What is usual elsewhere: of each statistic, how often honest days of other sources had a value of
//! at least so much.
//!
//! The shipped table is made by `cargo xtask detect --write-prior` from public histories of membership.
//! It holds no record and no name, only how often a value of a statistic was reached.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::statistic::Statistic;

mod table;

/// Points of a statistic's curve.
const POINTS_MAX: usize = 24;

/// Honest steps of other sources, as a table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Prior {
    /// Honest changed syncs that it was made of.
    pub syncs: u64,
    /// Of each statistic: values, falling, and the share of syncs with at least that.
    curves: BTreeMap<Statistic, Vec<(f64, f64)>>,
}

impl Prior {
    /// The prior that Cordon ships.
    pub fn shipped() -> &'static Self {
        static SHIPPED: std::sync::OnceLock<Prior> = std::sync::OnceLock::new();
        SHIPPED.get_or_init(|| {
            let curves = table::CURVES.iter();
            let curves = curves.map(|(statistic, curve)| (*statistic, curve.to_vec()));
            Self { syncs: table::SYNCS, curves: curves.collect() }
        })
    }

    /// Every curve, for the table that is shipped.
    pub fn curves(&self) -> impl Iterator<Item = (Statistic, &[(f64, f64)])> {
        self.curves.iter().map(|(statistic, curve)| (*statistic, curve.as_slice()))
    }

    /// A prior of several sources' honest values. Each source counts the same, however large. Of a
    /// source: the changed syncs, and the values that were not zero.
    pub fn of(sources: &[(u64, BTreeMap<Statistic, Vec<f64>>)]) -> Self {
        let syncs = sources.iter().map(|(syncs, _)| syncs).sum();
        let mut curves = BTreeMap::new();
        for statistic in Statistic::ALL {
            let mut points: Vec<(f64, f64)> = Vec::new();
            for (syncs, values) in sources {
                let weight = 1.0 / (sources.len() as f64 * (*syncs).max(1) as f64);
                let values = values.get(statistic).into_iter().flatten();
                points.extend(values.map(|value| (*value, weight)));
            }
            points.sort_by(|a, b| b.0.total_cmp(&a.0));
            let mut curve: Vec<(f64, f64)> = Vec::new();
            let mut sum = 0.0;
            for (value, weight) in points {
                sum += weight;
                match curve.last_mut() {
                    Some(last) if last.0 == value => last.1 = sum,
                    _ => curve.push((value, sum)),
                }
            }
            if !curve.is_empty() {
                curves.insert(*statistic, thinned(&curve));
            }
        }
        Self { syncs, curves }
    }

    /// The share of honest syncs with a value of at least so much.
    /// `one` is the value of a single record: what was never seen is as improbable as one seen once
    /// with a single record.
    pub(super) fn share(&self, statistic: Statistic, value: f64, one: f64, beyond: f64) -> f64 {
        let never = 1.0 / (self.syncs as f64 + 1.0);
        let unseen = never * (one / value.max(one)).powf(beyond);
        let Some(curve) = self.curves.get(&statistic) else { return unseen };
        let Some((most, share)) = curve.first() else { return unseen };
        if value > *most {
            return share * (most / value).powf(beyond);
        }
        // The last point that is not above the value, or all that was ever counted.
        let at = curve.iter().find(|(point, _)| *point <= value).or(curve.last());
        at.map_or(never, |(_, share)| *share)
    }

    /// The largest honest value.
    pub(super) fn largest(&self, statistic: Statistic) -> f64 {
        let curve = self.curves.get(&statistic);
        curve.and_then(|curve| curve.first()).map_or(0.0, |(value, _)| *value)
    }
}

/// Points that are spread evenly over the powers of two of the share, the largest value first.
fn thinned(curve: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for point in curve {
        if kept.len() < POINTS_MAX && kept.last().is_none_or(|last| point.1 >= last.1 * 1.25) {
            kept.push(*point);
        }
    }
    kept
}
