//! Was the source read to its end?
//!
//! The strongest evidence there is: a read that was cut short leaves a trace here, whatever it cut.
//! An incomplete scope removes nothing, because the store carried its records forward before the
//! step was counted; so by default it is only mentioned, and the other scopes pass.

use std::collections::BTreeSet;

use cordon_model::{ScopeOutcome, Severity};

use super::Case;
use super::findings::{Findings, Noticed};
use crate::words::{count, counted, plural, shown};
use crate::{OnIncomplete, ScopeCensus, codes};

pub(super) fn check(case: Case<'_>, findings: &mut Findings) {
    for (name, scope) in &case.candidate.census.scopes {
        match &scope.report.outcome {
            ScopeOutcome::Complete => {
                source_total(name, scope, findings);
                emptied_scope(case, name, scope, findings);
            }
            ScopeOutcome::Incomplete { reason } => {
                incomplete_scope(case, name, scope, reason, findings);
            }
            ScopeOutcome::Gone => gone_scope(case, name, findings),
        }
    }
    unreported_scopes(case, findings);
    emptied_types(case, findings);
}

fn source_total(name: &str, scope: &ScopeCensus, findings: &mut Findings) {
    let received = scope.report.received;
    let Some(total) = scope.report.source_total.filter(|total| *total != received) else { return };
    let message = format!(
        "scope {} claims to be complete with {}, but the source counts {}",
        shown(name),
        counted(received, "record"),
        count(total)
    );
    findings.add(
        Noticed::new(&codes::TOTAL_DIFFERS, Severity::Quarantine, name, message)
            .measured(received, Some(total)),
    );
}

fn records(scope: &ScopeCensus) -> u64 {
    scope.records.values().fold(0, |sum, records| sum.saturating_add(*records))
}

/// Records that a scope held in the last known good.
fn records_before(case: Case<'_>, name: &str) -> u64 {
    // The step knows scopes that were silent last time, the census does not.
    let step = case.step().and_then(|(_, delta)| delta.scopes.get(name)).map_or(0, |s| s.before);
    let census = case.last_good.and_then(|census| census.scopes.get(name)).map_or(0, records);
    step.max(census)
}

fn emptied_scope(case: Case<'_>, name: &str, scope: &ScopeCensus, findings: &mut Findings) {
    let before = records_before(case, name);
    if before == 0 || records(scope) > 0 {
        return;
    }
    let message = format!(
        "scope {} held {} and is empty now, though it claims to be complete",
        shown(name),
        counted(before, "record")
    );
    findings.add(
        Noticed::new(&codes::SCOPE_EMPTIED, Severity::Quarantine, name, message)
            .measured(0, Some(1)),
    );
}

fn incomplete_scope(
    case: Case<'_>,
    name: &str,
    scope: &ScopeCensus,
    reason: &str,
    findings: &mut Findings,
) {
    let first = case.last_good.is_none();
    let received = scope.report.received;
    let read = match scope.report.source_total {
        Some(total) => format!("{} of {}", count(received), counted(total, "record")),
        None => counted(received, "record"),
    };
    let then = match (first, case.policy.on_incomplete) {
        (true, _) => "a first sync needs every scope complete",
        (false, OnIncomplete::CarryForward) => "what is missing is carried forward",
        (false, OnIncomplete::Quarantine) => "the policy holds incomplete syncs",
    };
    let message = format!(
        "scope {} was cut short after {read} ({}): {then}",
        shown(name),
        if reason.trim().is_empty() { "no reason given".to_owned() } else { shown(reason) },
    );
    findings.add(
        Noticed::new(&codes::SCOPE_INCOMPLETE, unknown(case), name, message)
            .measured(received, scope.report.source_total),
    );
}

/// What it weighs that a scope's missing records are unknown.
fn unknown(case: Case<'_>) -> Severity {
    match case.policy.on_incomplete {
        OnIncomplete::CarryForward if case.last_good.is_some() => Severity::Warning,
        OnIncomplete::CarryForward | OnIncomplete::Quarantine => Severity::Quarantine,
    }
}

fn gone_scope(case: Case<'_>, name: &str, findings: &mut Findings) {
    let before = records_before(case, name);
    if before == 0 {
        return;
    }
    let message =
        format!("scope {} is gone, and its {} with it", shown(name), counted(before, "record"));
    findings.add(
        Noticed::new(&codes::SCOPE_GONE, Severity::Info, name, message).measured(before, None),
    );
}

fn unreported_scopes(case: Case<'_>, findings: &mut Findings) {
    let Some((last_good, delta)) = case.step() else { return };
    let reported = &case.candidate.census.scopes;
    let silent: BTreeSet<&String> = last_good
        .scopes
        .iter()
        .filter(|(name, scope)| !reported.contains_key(*name) && records(scope) > 0)
        .map(|(name, _)| name)
        .chain(&delta.unreported_scopes)
        .collect();
    for name in silent {
        let before = records_before(case, name);
        let then = match case.policy.on_incomplete {
            OnIncomplete::CarryForward => "carried forward",
            OnIncomplete::Quarantine => "unknown, and the policy holds incomplete syncs",
        };
        let message = format!(
            "scope {} was not reported: its {} {} {then}",
            shown(name),
            counted(before, "record"),
            if before == 1 { "is" } else { "are" },
        );
        findings.add(
            Noticed::new(&codes::SCOPE_UNREPORTED, unknown(case), name, message)
                .measured(before, None),
        );
    }
}

fn emptied_types(case: Case<'_>, findings: &mut Findings) {
    let Some((last_good, delta)) = case.step() else { return };
    for (record_type, before) in &last_good.types {
        let now = case.candidate.census.types.get(record_type).map_or(0, |t| t.records);
        if before.records == 0 || now > 0 {
            continue;
        }
        let label = record_type.label();
        let name = if label == record_type.name.as_str() {
            plural(label)
        } else {
            format!("{} ({record_type})", plural(label))
        };
        let examples = delta.types.get(record_type).map(|step| &step.removed_examples);
        let message = format!("{name} fell from {} to 0: none is left", count(before.records));
        findings.add(
            Noticed::new(&codes::TYPE_EMPTIED, Severity::Quarantine, label, message)
                .measured(0, Some(1))
                .examples(examples.into_iter().flatten()),
        );
    }
}
