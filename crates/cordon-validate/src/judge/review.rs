//! Does a person have to look, whatever the checks found?
//!
//! A first sync has nothing to be compared with, and a sync after a quarantine may be the broken
//! source's next guess. Where much is at stake, plausible is not enough in these two places.

use cordon_model::Severity;

use super::Case;
use super::findings::{Findings, Noticed};
use crate::words::counted;
use crate::{FirstSync, History, Recover, codes};

pub(super) fn check(case: Case<'_>, findings: &mut Findings) {
    if case.last_good.is_none() {
        first_sync(case, findings);
    }
    recovery(case, findings);
    withheld(case, findings);
}

fn wait(findings: &mut Findings, rule: &'static codes::Rule, message: String) {
    findings.add(Noticed::new(rule, Severity::Quarantine, "", message));
}

fn first_sync(case: Case<'_>, findings: &mut Findings) {
    if case.candidate.census.types.values().all(|census| census.records == 0) {
        wait(findings, &codes::FIRST_SYNC_EMPTY, "the first sync holds no record".to_owned());
    }
    if case.policy.high_risk() {
        let message = format!("a first sync waits for review at {} risk", case.policy.risk);
        wait(findings, &codes::FIRST_SYNC_REVIEW, message);
    } else if case.policy.first_sync == FirstSync::Review {
        let message = "a first sync waits for review (first_sync = \"review\")".to_owned();
        wait(findings, &codes::FIRST_SYNC_REVIEW, message);
    }
}

fn recovery(case: Case<'_>, findings: &mut Findings) {
    let Some(quarantined) = case.history.quarantined else { return };
    // What waited for nothing but this reading never was a person's to end.
    if case.history.earlier.as_ref().is_some_and(|earlier| earlier.was_only_unusual) {
        return;
    }
    let why = if case.policy.high_risk() {
        format!("at {} risk", case.policy.risk)
    } else if case.policy.recover == Recover::Review {
        "recover = \"review\"".to_owned()
    } else {
        return;
    };
    let message = format!("sync {quarantined} is in quarantine, and only a person ends it ({why})");
    wait(findings, &codes::RECOVERY_REVIEW, message);
}

/// However small it is, what a person left out of a release does not pass behind their back, and what
/// is held was held for what the sync was before the rest of it passed.
fn withheld(case: Case<'_>, findings: &mut Findings) {
    let History { withheld, held, .. } = *case.history;
    for (rule, count, message) in [
        (&codes::WITHHELD, withheld, "that a person did not release"),
        (&codes::HELD, held, "held while the rest of their sync passed"),
    ] {
        if count > 0 {
            let what = if rule == &codes::HELD { "removal" } else { "change" };
            let message = format!("{} {message}", counted(count, what));
            findings.add(
                Noticed::new(rule, Severity::Quarantine, "", message).measured(count, Some(0)),
            );
        }
    }
}
