//! Does what was counted hang together?
//!
//! The session refuses messages that break the contract before anything is staged. Here stands what
//! only shows when a sync is whole: counts that differ, and evidence that contradicts itself. The
//! last cannot happen while the store is right; if it ever is not, no removal may come of it.

use std::collections::BTreeSet;

use cordon_model::{RecordType, Severity};

use super::Case;
use super::findings::{Findings, Noticed};
use crate::words::{count, counted, shown};
use crate::{Census, DefectKind, Delta, codes};

pub(super) fn check(case: Case<'_>, findings: &mut Findings) {
    declared_counts(&case.candidate.census, findings);
    let delta = case.candidate.delta.as_ref();
    match (case.last_good, delta, case.candidate.against) {
        (None, None, None) => {}
        (Some(last_good), Some(delta), Some(_)) => {
            unproven_removals(&case.candidate.census, delta, findings);
            removals_by_scope(delta, findings);
            // Duplicates make every count ambiguous and the sync invalid anyway.
            let duplicates = |kind| kind == DefectKind::DuplicateKey;
            if !case.candidate.defects.iter().any(|defect| duplicates(defect.kind)) {
                arithmetic(last_good, &case.candidate.census, delta, findings);
            }
        }
        (last_good, delta, against) => contradiction(
            findings,
            "",
            format!(
                "last known good {}, step {}, compared with {}",
                if last_good.is_some() { "given" } else { "absent" },
                if delta.is_some() { "given" } else { "absent" },
                against.map_or("nothing".to_owned(), |sync| format!("snapshot {sync}")),
            ),
        ),
    }
}

fn contradiction(findings: &mut Findings, subject: &str, message: String) {
    let rule = &codes::EVIDENCE_CONTRADICTS;
    findings.add(Noticed::new(rule, Severity::Reject, subject, message));
}

fn declared_counts(census: &Census, findings: &mut Findings) {
    for (name, scope) in &census.scopes {
        let (declared, received) = (scope.report.declared, scope.report.received);
        if declared != received {
            let message = format!(
                "scope {} declares {}, but {} arrived",
                shown(name),
                counted(declared, "record"),
                count(received)
            );
            findings.add(
                Noticed::new(&codes::COUNT_DIFFERS, Severity::Reject, name, message)
                    .measured(received, Some(declared)),
            );
        }
    }
}

/// Missing from a scope that failed, was cut short or never reported is unknown, never gone.
fn unproven_removals(census: &Census, delta: &Delta, findings: &mut Findings) {
    for (name, step) in &delta.scopes {
        let outcome = census.scopes.get(name).map(|scope| &scope.report.outcome);
        let silent = delta.unreported_scopes.contains(name);
        if step.removed == 0 || (!silent && outcome.is_some_and(|o| o.proves_absence())) {
            continue;
        }
        let message = format!(
            "{} would be removed from scope {}, which was not enumerated to its end",
            counted(step.removed, "record"),
            shown(name)
        );
        findings.add(
            Noticed::new(&codes::REMOVED_WITHOUT_PROOF, Severity::Reject, name, message)
                .measured(step.removed, Some(0)),
        );
    }
}

/// A removal that no scope accounts for is a removal without proof.
fn removals_by_scope(delta: &Delta, findings: &mut Findings) {
    let by_type: u128 = delta.types.values().map(|step| u128::from(step.removed)).sum();
    let by_scope: u128 = delta.scopes.values().map(|step| u128::from(step.removed)).sum();
    if by_type != by_scope {
        let message = format!("records removed: {by_type} counted by type, {by_scope} by scope");
        contradiction(findings, "", message);
    }
}

fn arithmetic(last_good: &Census, census: &Census, delta: &Delta, findings: &mut Findings) {
    let types: BTreeSet<&RecordType> =
        last_good.types.keys().chain(census.types.keys()).chain(delta.types.keys()).collect();
    let none = crate::TypeDelta::default();
    for record_type in types {
        let records = |census: &Census| census.types.get(record_type).map_or(0, |t| t.records);
        let (before, after) = (records(last_good), records(census));
        let step = delta.types.get(record_type).unwrap_or(&none);
        let balanced = u128::from(before) + u128::from(step.added)
            == u128::from(after) + u128::from(step.removed);
        if step.before != before || step.after != after || !balanced {
            let message = format!(
                "{record_type} was counted as {before} before and {after} after, but the step says \
                 {} to {} with {} added and {} removed",
                step.before, step.after, step.added, step.removed
            );
            contradiction(findings, record_type.label(), message);
        }
    }
}
