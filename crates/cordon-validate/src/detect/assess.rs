//! How unusual a step is: each statistic against the connector's own history and a shipped prior.

use super::memory::Memory;
use super::prior::Prior;
use super::statistic::{Family, Statistic};
use super::step::{Measure, Step};

/// From this score on a sync waits for a person. Measured (docs/detector.md): a year of daily syncs
/// has between one and two honest days that reach it.
pub const HOLD: f64 = 2.5;
/// From this score on a second reading is wanted. Nobody is woken for it, so it may be asked for more
/// often than a person.
pub const READ_AGAIN: f64 = 1.2;
/// How many syncs of its own a connector must have had for them to weigh as much as the prior.
const PRIOR_WEIGHT: f64 = 300.0;
/// How fast a value beyond all that was ever seen becomes less probable: with its square, as counts
/// of human decisions do.
const BEYOND: f64 = 2.0;
/// What a loss in a scope that was proven complete is less suspicious by, in powers of ten: what
/// remains is a wrong filter or right, one cause in ten of those that make a loss.
const PROVEN: f64 = 1.0;

/// How far a shape may be more unusual than chance makes it: what chance alone explains once in ten
/// losses is no evidence, however seldom this source loses anything.
const CHANCE: f64 = 1.0;
/// What is less suspicious because it takes nobody's access away by itself: one power of ten.
const MILD: f64 = 1.0;

/// A statistic, held against history.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessed {
    /// What was measured.
    pub measure: Measure,
    /// Powers of ten by which it is unusual.
    pub score: f64,
    /// The most that the connector's own history knew.
    pub known: Option<f64>,
    /// The most that was honest elsewhere.
    pub elsewhere: f64,
}

/// Every statistic of a step, the most unusual first.
pub fn assess(step: &Step, memory: &Memory, prior: &Prior) -> Vec<Assessed> {
    let recalled = memory.recall(step);
    let measures = step.measures.iter().cloned().chain(recalled);
    let mut assessed: Vec<Assessed> = measures
        .map(|measure| {
            let score = score(&measure, memory, prior);
            let known = memory.largest(measure.statistic);
            let elsewhere = prior.largest(measure.statistic);
            Assessed { measure, score, known, elsewhere }
        })
        .collect();
    assessed.sort_by(|a, b| b.score.total_cmp(&a.score));
    assessed
}

fn score(measure: &Measure, memory: &Memory, prior: &Prior) -> f64 {
    let (own, syncs) = memory.at_least(measure.statistic, measure.value);
    let one = measure.value / measure.count.max(1) as f64;
    let elsewhere = |statistic| prior.share(statistic, measure.value, one, BEYOND);
    let elsewhere = match measure.statistic {
        // Who is switched off has left, and is at least as usual as that: a directory that disables
        // before it removes loses nobody on the day.
        Statistic::Flipped => elsewhere(Statistic::Flipped).max(elsewhere(Statistic::PeopleGone)),
        statistic => elsewhere(statistic),
    };
    let share = (own as f64 + PRIOR_WEIGHT * elsewhere) / (syncs as f64 + PRIOR_WEIGHT);
    let score = -share.clamp(1e-12, 1.0).log10();
    match measure.statistic.family() {
        Family::Loss if measure.proven => (score - PROVEN).max(0.0),
        // Who clears up does so for some days, so that losses come in bunches by themselves.
        Family::Shape if measure.statistic == Statistic::LossDays => score.min(measure.value),
        Family::Shape => score.min(measure.value + CHANCE),
        Family::MildLoss if measure.proven => (score - MILD - PROVEN).max(0.0),
        Family::Mild | Family::MildLoss => (score - MILD).max(0.0),
        Family::Loss | Family::Other => score,
    }
}
