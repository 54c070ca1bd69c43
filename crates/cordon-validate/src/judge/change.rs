//! Is the step from the last known good one that may be taken unattended?
//!
//! Counted by label, since that is what policies and people speak of, and by each type where a label
//! has several, so that the many grants of users do not hide the few of service accounts.

use std::collections::BTreeMap;

use cordon_model::{RecordType, Severity};

use super::Case;
use super::findings::{Findings, Noticed};
use crate::words::{count, counted, plural, share, shown};
use crate::{Delta, Examples, Limit, Limits, PERCENT_RECORDS_MIN, TypeDelta, Window, codes};

/// Removals of a type that are no re-keying, however few records it has.
const REKEYED_MIN: u64 = 5;

pub(super) fn check(case: Case<'_>, findings: &mut Findings) {
    protected(case, findings);
    let Some((_, delta)) = case.step() else { return };
    let labels = by_label(delta);
    for (label, step) in &labels {
        removed(case, label, step, findings);
        over_budget(case, label, step, findings);
        added(&case.policy.added, label, step, findings);
        modified(&case.policy.modified, label, step, findings);
    }
    for (record_type, step) in &delta.types {
        let several = labels.get(record_type.label()).is_some_and(|label| label.types > 1);
        if several {
            removed_of_type(case, record_type, step, findings);
        }
        rekeyed(record_type, step, findings);
    }
    removed_in_scopes(case, delta, &labels, findings);
    privileged(case, delta, findings);
    marked(case, findings);
    replayed(case, &labels, findings);
}

/// The step of all types with one label.
#[derive(Default)]
struct LabelStep<'a> {
    types: usize,
    before: u64,
    after: u64,
    added: u64,
    modified: u64,
    removed: u64,
    added_examples: Vec<&'a Examples>,
    removed_examples: Vec<&'a Examples>,
}

fn by_label(delta: &Delta) -> BTreeMap<&str, LabelStep<'_>> {
    let mut labels: BTreeMap<&str, LabelStep<'_>> = BTreeMap::new();
    for (record_type, step) in &delta.types {
        let label = labels.entry(record_type.label()).or_default();
        label.types += 1;
        for (sum, part) in [
            (&mut label.before, step.before),
            (&mut label.after, step.after),
            (&mut label.added, step.added),
            (&mut label.modified, step.modified),
            (&mut label.removed, step.removed),
        ] {
            *sum = sum.saturating_add(part);
        }
        label.added_examples.push(&step.added_examples);
        label.removed_examples.push(&step.removed_examples);
    }
    labels
}

/// The limit in words, as it counts for so many records.
fn limit_words(limit: Limit, before: u64) -> String {
    match (limit.percent, limit.most(before)) {
        (Some(_), Some(most)) if before < PERCENT_RECORDS_MIN => {
            format!("{} of fewer than {PERCENT_RECORDS_MIN}", count(most))
        }
        _ => limit.to_string(),
    }
}

/// `users fell from 4,212 to 310`.
fn step_words(name: &str, before: u64, after: u64) -> String {
    let verb = match after.cmp(&before) {
        std::cmp::Ordering::Less => "fell",
        std::cmp::Ordering::Equal => return format!("{name} stayed at {}", count(before)),
        std::cmp::Ordering::Greater => "rose",
    };
    format!("{name} {verb} from {} to {}", count(before), count(after))
}

fn removed(case: Case<'_>, label: &str, step: &LabelStep<'_>, findings: &mut Findings) {
    let limit = case.policy.removed.of(label);
    if !limit.is_broken_by(step.removed, step.before) {
        return;
    }
    let message = format!(
        "{}: {} removed ({}), limit {}",
        step_words(&plural(label), step.before, step.after),
        count(step.removed),
        share(step.removed, step.before),
        limit_words(limit, step.before)
    );
    findings.add(
        Noticed::new(&codes::REMOVED, Severity::Quarantine, label, message)
            .measured(step.removed, limit.most(step.before))
            .examples(step.removed_examples.iter().copied().flatten()),
    );
}

fn removed_of_type(
    case: Case<'_>,
    record_type: &RecordType,
    step: &TypeDelta,
    findings: &mut Findings,
) {
    let label = record_type.label();
    let limit = case.policy.removed.of(label);
    if !limit.is_broken_by(step.removed, step.before) {
        return;
    }
    let name = format!("{} of {}", plural(label), plural(record_type.name.as_str()));
    let message = format!(
        "{}: {} removed ({}), limit {}",
        step_words(&name, step.before, step.after),
        count(step.removed),
        share(step.removed, step.before),
        limit_words(limit, step.before)
    );
    findings.add(
        Noticed::new(&codes::REMOVED, Severity::Quarantine, label, message)
            .measured(step.removed, limit.most(step.before))
            .examples(&step.removed_examples),
    );
}

/// A slow leak: each sync below its limit, the day or the week above.
fn over_budget(case: Case<'_>, label: &str, step: &LabelStep<'_>, findings: &mut Findings) {
    // A sync that removes nothing adds nothing to a leak.
    if step.removed == 0 {
        return;
    }
    for budget in case.policy.budgets.iter().filter(|budget| budget.takes(label)) {
        let window = case.history.windows.get(&budget.within);
        let of = |counts: fn(&Window) -> &BTreeMap<String, u64>| {
            window.and_then(|window| counts(window).get(label)).copied()
        };
        let earlier = of(|window| &window.removed).unwrap_or(0);
        let released = of(|window| &window.released).unwrap_or(0);
        let removed = earlier.saturating_add(step.removed);
        // A connector younger than that has no count of then; at least what it lost since was there.
        // What a person released is not held against the rest, and is no part of the whole either.
        let then = of(|window| &window.records_then).map(|then| then.saturating_sub(released));
        let then = then.unwrap_or(step.before.saturating_add(earlier));
        let floor = case.policy.removed.of(label).floor;
        let Some(most) = budget.most(then, floor).filter(|most| removed > *most) else { continue };
        let words = if then < PERCENT_RECORDS_MIN {
            format!("{} of fewer than {PERCENT_RECORDS_MIN}", count(most))
        } else {
            budget.to_string()
        };
        let message = format!(
            "{} of {} removed within {} ({}), {} of them now, limit {words}",
            count(removed),
            counted(then, label),
            budget.within.in_words(),
            share(removed, then),
            count(step.removed),
        );
        findings.add(
            Noticed::new(&codes::REMOVED_WITHIN, Severity::Quarantine, label, message)
                .measured(removed, Some(most))
                .examples(step.removed_examples.iter().copied().flatten()),
        );
    }
}

fn added(limits: &Limits, label: &str, step: &LabelStep<'_>, findings: &mut Findings) {
    let limit = limits.of(label);
    if !limit.is_broken_by(step.added, step.before) {
        return;
    }
    let message = format!(
        "{}: {} added ({}), limit {}",
        step_words(&plural(label), step.before, step.after),
        count(step.added),
        share(step.added, step.before),
        limit_words(limit, step.before)
    );
    findings.add(
        Noticed::new(&codes::ADDED, Severity::Quarantine, label, message)
            .measured(step.added, limit.most(step.before))
            .examples(step.added_examples.iter().copied().flatten()),
    );
}

fn modified(limits: &Limits, label: &str, step: &LabelStep<'_>, findings: &mut Findings) {
    let limit = limits.of(label);
    if !limit.is_broken_by(step.modified, step.before) {
        return;
    }
    let message = format!(
        "{} of {} modified ({}), limit {}",
        count(step.modified),
        counted(step.before, label),
        share(step.modified, step.before),
        limit_words(limit, step.before)
    );
    findings.add(
        Noticed::new(&codes::MODIFIED, Severity::Quarantine, label, message)
            .measured(step.modified, limit.most(step.before)),
    );
}

/// More than half of the keys went, and about as many came: the ids changed, not the records.
fn rekeyed(record_type: &RecordType, step: &TypeDelta, findings: &mut Findings) {
    let half = step.before / 2;
    let as_many = u128::from(step.added) * 10 >= u128::from(step.removed) * 9;
    if step.removed <= half.max(REKEYED_MIN) || !as_many {
        return;
    }
    let label = record_type.label();
    let message = format!(
        "{} of {} changed their ids: {} removed and {} added at once, limit half",
        share(step.removed, step.before),
        counted(step.before, label),
        count(step.removed),
        count(step.added)
    );
    findings.add(
        Noticed::new(&codes::REKEYED, Severity::Quarantine, label, message)
            .measured(step.removed, Some(half.max(REKEYED_MIN)))
            .examples(step.removed_examples.iter().chain(&step.added_examples)),
    );
}

fn removed_in_scopes(
    case: Case<'_>,
    delta: &Delta,
    labels: &BTreeMap<&str, LabelStep<'_>>,
    findings: &mut Findings,
) {
    for (name, step) in &delta.scopes {
        let label = only_label(case, name);
        let of_type = label.map_or(case.policy.removed.default, |l| case.policy.removed.of(l));
        let limit = case.policy.removed_in_scope.applied_to(of_type);
        // A scope that is the whole type, under the same limit, was spoken of already.
        let whole = label.and_then(|label| labels.get(label));
        let whole = whole.is_some_and(|l| l.before == step.before && l.removed == step.removed);
        if (whole && limit == of_type) || !limit.is_broken_by(step.removed, step.before) {
            continue;
        }
        let message = format!(
            "{}: {} removed ({}), limit {}",
            step_words(&format!("records of scope {}", shown(name)), step.before, step.after),
            count(step.removed),
            share(step.removed, step.before),
            limit_words(limit, step.before)
        );
        findings.add(
            Noticed::new(&codes::REMOVED_IN_SCOPE, Severity::Quarantine, name, message)
                .measured(step.removed, limit.most(step.before)),
        );
    }
}

/// The label of all records that a scope held, when it was one.
fn only_label<'a>(case: Case<'a>, scope: &str) -> Option<&'a str> {
    let scope = case.last_good?.scopes.get(scope)?;
    let mut labels = scope.records.iter().filter(|(_, n)| **n > 0).map(|(t, _)| t.label());
    let first = labels.next()?;
    labels.all(|label| label == first).then_some(first)
}

fn privileged(case: Case<'_>, delta: &Delta, findings: &mut Findings) {
    let step = &delta.privileged;
    let changed = step.appeared.saturating_add(step.vanished);
    let limit = case.policy.privileged;
    if !limit.is_broken_by(changed, step.before) {
        return;
    }
    let words = if step.before < PERCENT_RECORDS_MIN || changed > limit.count {
        count(limit.count)
    } else {
        limit.percent.to_string()
    };
    let message = format!(
        "privileged grants went from {} to {}: {} appeared and {} vanished, limit {words}",
        count(step.before),
        count(step.after),
        count(step.appeared),
        count(step.vanished)
    );
    findings.add(
        Noticed::new(&codes::PRIVILEGED_CHANGED, Severity::Quarantine, "grant", message)
            .measured(changed, Some(limit.most(step.before)))
            .examples(&step.examples),
    );
}

/// Without a share of those before: what a policy calls privileged is not counted in full.
fn marked(case: Case<'_>, findings: &mut Findings) {
    let grants = &case.history.marked_grants;
    let changed = grants.appeared.saturating_add(grants.vanished);
    let most = case.policy.privileged.count;
    if changed <= most {
        return;
    }
    let message = format!(
        "{} that the policy calls privileged: {} appeared and {} vanished, limit {}",
        counted(changed, "grant"),
        count(grants.appeared),
        count(grants.vanished),
        count(most)
    );
    findings.add(
        Noticed::new(&codes::MARKED_CHANGED, Severity::Quarantine, "grant", message)
            .measured(changed, Some(most))
            .examples(&grants.examples),
    );
}

fn protected(case: Case<'_>, findings: &mut Findings) {
    let removed = &case.history.protected_removed;
    if removed.is_empty() {
        return;
    }
    let number = (removed.len() as u64).saturating_add(case.history.protected_unlisted);
    let message = format!("{} would be removed", counted(number, "protected record"));
    findings.add(
        Noticed::new(&codes::PROTECTED_REMOVED, Severity::Quarantine, "", message)
            .measured(number, Some(0))
            .examples(removed),
    );
}

/// A source that answers from an old copy looks whole and complete, and is wrong.
fn replayed(case: Case<'_>, labels: &BTreeMap<&str, LabelStep<'_>>, findings: &mut Findings) {
    let Some(older) = case.history.replays else { return };
    // The same content as now was accepted before that too: nothing came back.
    let steps = || labels.values();
    if steps().all(|step| step.added == 0 && step.modified == 0 && step.removed == 0) {
        return;
    }
    let message = format!("snapshot {older} came back, record by record");
    findings.add(Noticed::new(&codes::REPLAYED, Severity::Quarantine, "", message));
}
