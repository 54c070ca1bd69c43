//! What a connector's earlier syncs add: bounded, kept by the ledger, one value a connector.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::statistic::{Family, Statistic};
use super::step::{Measure, Step};

/// Largest values of a statistic that are remembered.
const TOP_MAX: usize = 32;
/// Syncs over which losses are added up.
pub(super) const WINDOW: usize = 20;
/// Accepted contents that are recognised when they come back.
const CONTENTS_MAX: usize = 512;
/// A loss of so many records, when they are a tenth of all, is a mass loss.
const MASS_MIN: u64 = 10;
/// What is a fifth smaller is about as large.
const ABOUT: f64 = 0.8;
/// Remembered syncs from which on it says something how many of them lost.
const LOSS_SYNCS_MIN: u64 = 10;
/// The share of syncs that lose something, where nothing is known, and for how many syncs it stands.
const LOSS_RATE: f64 = 0.1;
const RATE_SYNCS: f64 = 20.0;
/// Keys that left, or came back, and are remembered.
const KEYS_MAX: usize = 4_096;

/// What is remembered of a connector's accepted syncs. Its size has a bound that no sync moves.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Accepted syncs.
    pub syncs: u64,
    /// Accepted syncs that changed something.
    pub changed: u64,
    /// Accepted syncs that lost something.
    losses: u64,
    /// Of each statistic the largest values, in falling order.
    top: BTreeMap<Statistic, Vec<f64>>,
    /// The same of syncs that a person released.
    released: BTreeMap<Statistic, Vec<f64>>,
    /// Of statistics that add up the last syncs the largest values of the current window. None: what is
    /// known of them was learnt sync by sync, and says nothing.
    #[serde(default)]
    running: Option<BTreeMap<Statistic, f64>>,
    /// The last syncs, newest last.
    window: VecDeque<Loss>,
    /// Fingerprints of accepted contents, newest last.
    contents: VecDeque<u64>,
    /// Keys that left lately, and with which sync.
    left: VecDeque<(u32, u64)>,
    /// Keys that came back lately, and with which sync.
    returned: VecDeque<(u32, u64)>,
}

// Values are never NaN: see `Measure`.
impl Eq for Memory {}

/// What one sync lost.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Loss {
    causes: u64,
    tail: f64,
}

/// How a sync came to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learned {
    /// By policy.
    Accepted,
    /// A person released it. A mass loss does not make the next of its size usual.
    Released,
}

impl Memory {
    /// The fingerprint of the content that was accepted last; zero when none was.
    pub fn content(&self) -> u64 {
        self.contents.back().copied().unwrap_or_default()
    }

    /// How many of the remembered syncs had at least such a value, and out of how many.
    pub(super) fn at_least(&self, statistic: Statistic, value: f64) -> (u64, u64) {
        let among = |top: &BTreeMap<Statistic, Vec<f64>>| {
            let values = top.get(&statistic).map_or(&[][..], Vec::as_slice);
            values.iter().filter(|known| **known >= value * ABOUT).count() as u64
        };
        if adds_up(statistic) && self.running.is_none() {
            return (0, self.changed);
        }
        // Released once, it was an exception; from the second time on it is a habit.
        let own = among(&self.top) + among(&self.released).saturating_sub(1);
        // A window's value stands for all its syncs.
        let each = if adds_up(statistic) { WINDOW as u64 } else { 1 };
        (own.saturating_mul(each).min(self.changed), self.changed)
    }

    /// The largest value that is remembered.
    pub(super) fn largest(&self, statistic: Statistic) -> Option<f64> {
        let first = |top: &BTreeMap<Statistic, Vec<f64>>| top.get(&statistic)?.first().copied();
        first(&self.top).into_iter().chain(first(&self.released)).reduce(f64::max)
    }

    /// The memory after a sync that was accepted.
    #[must_use]
    pub fn learn(mut self, step: &Step, learned: Learned) -> Self {
        let recalled = self.recall(step);
        self.syncs += 1;
        let now = self.syncs;
        let mut running = self.running.take().unwrap_or_else(|| {
            self.top.retain(|statistic, _| !adds_up(*statistic));
            self.released.retain(|statistic, _| !adds_up(*statistic));
            BTreeMap::new()
        });
        if step.changed {
            self.changed += 1;
            for measure in step.measures.iter().chain(&recalled) {
                let mass = matches!(measure.statistic.family(), Family::Loss | Family::MildLoss)
                    && measure.count >= MASS_MIN
                    && measure.count.saturating_mul(10) >= measure.of;
                match learned {
                    Learned::Accepted if adds_up(measure.statistic) => {
                        let largest = running.entry(measure.statistic).or_default();
                        *largest = largest.max(measure.value);
                    }
                    Learned::Accepted => put(&mut self.top, measure.statistic, measure.value),
                    Learned::Released if !mass => {
                        put(&mut self.released, measure.statistic, measure.value)
                    }
                    Learned::Released => {}
                }
            }
        }
        if now.is_multiple_of(WINDOW as u64) {
            for (statistic, value) in std::mem::take(&mut running) {
                put(&mut self.top, statistic, value);
            }
        }
        self.running = Some(running);
        self.losses += u64::from(step.causes > 0);
        let released = learned == Learned::Released;
        // What a person released was looked at: it is no part of a leak.
        let loss = Loss { causes: step.causes, tail: step.tail };
        self.window.push_back(if released { Loss::default() } else { loss });
        bound(&mut self.window, WINDOW);
        if self.contents.back() != Some(&step.content) {
            self.contents.push_back(step.content);
            bound(&mut self.contents, CONTENTS_MAX);
        }
        let since = now.saturating_sub(WINDOW as u64);
        self.left.retain(|(_, sync)| *sync >= since);
        self.returned.retain(|(_, sync)| *sync >= since);
        let known: std::collections::HashSet<u32> = self.left.iter().map(|(key, _)| *key).collect();
        for key in step.came.iter().filter(|key| known.contains(*key)) {
            self.returned.push_back((*key, now));
        }
        self.left.extend(step.went.iter().map(|key| (*key, now)));
        bound(&mut self.left, KEYS_MAX);
        bound(&mut self.returned, KEYS_MAX);
        self
    }

    /// What a step is, seen together with earlier ones.
    pub(super) fn recall(&self, step: &Step) -> Vec<Measure> {
        let mut measures = Vec::new();
        let mut put = |statistic, value: f64, count: u64, of: u64| {
            if value > 0.0 {
                measures.push(Measure {
                    statistic,
                    value,
                    subject: String::new(),
                    count,
                    of,
                    proven: false,
                    examples: Vec::new(),
                });
            }
        };
        if !step.changed {
            return measures;
        }
        let known = self.contents.iter().rev().position(|content| *content == step.content);
        if let Some(back) = known {
            put(Statistic::Replayed, back as f64, back as u64, self.contents.len() as u64);
        }
        let among = |keys: &[u32], memory: &VecDeque<(u32, u64)>| -> u64 {
            let known: std::collections::HashSet<u32> =
                memory.iter().map(|(key, _)| *key).collect();
            keys.iter().filter(|key| known.contains(*key)).count() as u64
        };
        let root = (step.records.max(1) as f64).sqrt();
        let returned = among(&step.came, &self.left);
        put(Statistic::Returned, returned as f64 / root, returned, step.came.len() as u64);
        let vanished = among(&step.went, &self.returned);
        put(Statistic::Vanished, vanished as f64 / root, vanished, step.went.len() as u64);
        if step.causes > 0 {
            let lost: u64 = self.window.iter().map(|loss| loss.causes).sum::<u64>() + step.causes;
            put(Statistic::LossSum, lost as f64 / root, lost, step.records);
            let days = self.window.iter().filter(|loss| loss.causes > 0).count() as u64 + 1;
            let rate =
                (self.losses as f64 + LOSS_RATE * RATE_SYNCS) / (self.syncs as f64 + RATE_SYNCS);
            let seen = self.window.len() as u64 + 1;
            // Two losses in two syncs are how a large source begins: people leave it every day.
            if seen >= LOSS_SYNCS_MIN {
                put(Statistic::LossDays, at_least(seen, rate, days), days, seen);
            }
            let tails = || self.window.iter().map(|loss| loss.tail).chain([step.tail]);
            let ends = tails().filter(|tail| *tail > 0.0).count() as u64;
            put(Statistic::TailSum, tails().sum(), ends, seen);
        }
        measures
    }
}

fn put(values: &mut BTreeMap<Statistic, Vec<f64>>, statistic: Statistic, value: f64) {
    let top = values.entry(statistic).or_default();
    let place = top.partition_point(|known| *known >= value);
    top.insert(place, value);
    top.truncate(TOP_MAX);
}

/// Whether a statistic adds up the last syncs. Its values of one window are one event: a leak that is
/// let pass must not make itself usual.
fn adds_up(statistic: Statistic) -> bool {
    matches!(statistic, Statistic::LossSum | Statistic::LossDays | Statistic::TailSum)
}

/// Powers of ten by which it is improbable that of so many syncs at least so many lose something,
/// when each does with this probability.
fn at_least(syncs: u64, rate: f64, losing: u64) -> f64 {
    let mut share = 0.0;
    for count in losing..=syncs {
        let mut term = 1.0;
        for index in 0..count {
            term *= (syncs - index) as f64 / (count - index) as f64 * rate;
        }
        share += term * (1.0 - rate).powi(i32::try_from(syncs - count).unwrap_or(0));
    }
    -share.clamp(1e-30, 1.0).log10()
}

fn bound<T>(queue: &mut VecDeque<T>, most: usize) {
    while queue.len() > most {
        queue.pop_front();
    }
}
