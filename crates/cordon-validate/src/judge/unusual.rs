//! Is the shape of the step one that people make, or one that a broken read makes?
//!
//! What the checks before this one cannot decide is held against history: the connector's own, and
//! that of other sources. See [`crate::detect`].

use std::collections::BTreeSet;

use cordon_model::Severity;

use super::Case;
use super::findings::{Findings, Noticed};
use crate::detect::{Assessed, Memory, Prior, assess};
use crate::words::count;

/// Honest syncs that anybody looked at, in powers of ten: whatever is more unusual was not seen in so
/// many, and more is not claimed.
const SYNCS_KNOWN: u32 = 4;
/// Powers of ten up to which a chance is told by its number.
const CHANCE_TOLD: u32 = 9;

pub(super) fn check(case: Case<'_>, findings: &mut Findings) {
    let shape = case.policy.shape;
    let Some(step) = case.candidate.step.as_ref().filter(|_| shape.is_on) else { return };
    let unknown = Memory::default();
    let memory = case.history.memory.as_ref().unwrap_or(&unknown);
    let threshold = shape.read_again.min(shape.hold).powers();
    let mut spoken = BTreeSet::new();
    for assessed in assess(step, memory, Prior::shipped()) {
        let rule = assessed.measure.statistic.rule();
        // The most unusual of a rule's statistics speaks for it.
        if assessed.score < threshold || spoken.contains(rule.code) {
            continue;
        }
        let severity = if assessed.score >= shape.hold.powers() {
            Severity::Quarantine
        } else {
            Severity::Warning
        };
        let measure = &assessed.measure;
        let noticed = Noticed::new(rule, severity, &measure.subject, described(&assessed))
            .measured(measure.count, None)
            .examples(&measure.examples);
        // One that somebody answers for does not speak for what nobody does.
        if !findings.is_exempted(&noticed) {
            spoken.insert(rule.code);
        }
        findings.add(noticed);
    }
}

/// The statistic, its value, how unusual it is, and the most that history knew.
fn described(assessed: &Assessed) -> String {
    let measure = &assessed.measure;
    let mut text = format!(
        "{}{}: {} of {}, {}",
        if measure.statistic.is_of_values() { "semantic drift: " } else { "" },
        measure.statistic.meaning(),
        count(measure.count),
        count(measure.of),
        match once_in(assessed.score, SYNCS_KNOWN) {
            Some(syncs) => format!("as one sync in {} has", count(syncs)),
            None => format!("as not one sync in {} has", count(10_u64.pow(SYNCS_KNOWN))),
        }
    );
    if measure.statistic.is_of_chance() {
        text.push_str(&match once_in(measure.value, CHANCE_TOLD) {
            Some(times) => format!("; by chance once in {}", count(times)),
            None => format!("; by chance not once in {}", count(10_u64.pow(CHANCE_TOLD))),
        });
    } else {
        let known = assessed.known.map_or(0, |known| measure.as_count(known));
        let elsewhere = measure.as_count(assessed.elsewhere);
        text.push_str(&format!(
            "; at most {} here so far, {} in other sources of this size",
            count(known),
            count(elsewhere)
        ));
    }
    if measure.statistic.is_of_loss() {
        text.push_str(if measure.proven {
            "; the source's own totals agree that they are gone"
        } else {
            "; no total of the source proves that they are gone"
        });
    }
    text
}

/// Powers of ten as `once in`, with two digits; none beyond what may be claimed.
fn once_in(powers: f64, most: u32) -> Option<u64> {
    if powers > f64::from(most) {
        return None;
    }
    let exact = 10_f64.powf(powers.max(0.0));
    let digit = 10_f64.powf((exact.log10().floor() - 1.0).max(0.0));
    Some(((exact / digit).round() * digit) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_claimed_than_is_known() {
        assert_eq!(once_in(0.0, 4), Some(1));
        assert_eq!(once_in(2.5, 4), Some(320));
        assert_eq!(once_in(4.0, 4), Some(10_000));
        assert_eq!(once_in(9.2, 4), None);
    }
}
