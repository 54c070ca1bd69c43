//! Is the source as current as it was?
//!
//! Only the source can say. Unchanged content says nothing: most honest syncs change nothing. Times
//! can go back, and so can tokens that have an order: a database that was restored from a backup runs
//! now, but its log is shorter than it was.

use cordon_model::{Severity, Watermark};

use super::Case;
use super::findings::{Findings, Noticed};
use crate::codes;
use crate::words::shown;

pub(super) fn check(case: Case<'_>, findings: &mut Findings) {
    for (name, scope) in &case.candidate.census.scopes {
        let Some(before) = accepted(case, name) else { continue };
        compare(name, before, &scope.report.watermark, findings);
    }
}

/// The newest watermark that was accepted for a scope.
fn accepted<'a>(case: Case<'a>, scope: &str) -> Option<&'a Watermark> {
    let history = case.history.watermarks.get(scope);
    let last_good = case.last_good.and_then(|census| census.scopes.get(scope));
    let last_good = last_good.map(|scope| &scope.report.watermark);
    // A history that forgot must not make an older source look new.
    last_good.into_iter().chain(history).max_by_key(|watermark| watermark.time)
}

/// Whether both tokens are places in the same course of things, and the place now is an earlier one.
fn went_back(before: &Watermark, now: &Watermark) -> bool {
    match (before.place(), now.place()) {
        (Some((course, before)), Some((same, now))) => course == same && now < before,
        _ => false,
    }
}

fn compare(scope: &str, before: &Watermark, now: &Watermark, findings: &mut Findings) {
    let name = shown(scope);
    let (rule, severity, message) = match (before.time, now.time) {
        (Some(before), Some(now)) if now < before => (
            &codes::WATERMARK_WENT_BACK,
            Severity::Quarantine,
            format!("the source of scope {name} was current as of {before}, now as of {now}"),
        ),
        _ if went_back(before, now) => (
            &codes::WATERMARK_WENT_BACK,
            Severity::Quarantine,
            format!(
                "the source of scope {name} had come to {}, now it is at {}",
                shown(before.token.as_deref().unwrap_or_default()),
                shown(now.token.as_deref().unwrap_or_default())
            ),
        ),
        (Some(before), Some(now)) if now == before => (
            &codes::WATERMARK_SAME,
            Severity::Info,
            format!("the source of scope {name} is current as of {now}, as it was"),
        ),
        (Some(before), None) => (
            &codes::WATERMARK_LOST,
            Severity::Warning,
            format!("scope {name} no longer says how current it is; it was as of {before}"),
        ),
        (None, None) if before.token.is_some() && before.token == now.token => (
            &codes::WATERMARK_SAME,
            Severity::Info,
            format!("the source of scope {name} did not move"),
        ),
        _ => return,
    };
    findings.add(Noticed::new(rule, severity, scope, message));
}
