//! Accepted removals that are not final yet: what is told of them, and that they hold nothing.

use cordon_model::{Finding, Outcome, Severity};
use cordon_validate::PendingRemovals;

use crate::scene::{Move, Scene};

/// What is told of so many (waiting, new, back, final now), of which none is final before a moment.
fn told([waiting, began, returned, ended]: [u64; 4], from: Option<&str>) -> Option<Finding> {
    let mut scene = Scene::users(Move::removing(1_000, 0));
    let final_from = from.map(|from| from.parse().unwrap());
    let pending = PendingRemovals { waiting, began, returned, ended, final_from };
    scene.candidate.pending = Some(pending);
    let verdict = scene.verdict();
    assert_eq!(verdict.outcome, Outcome::Accepted, "what is pending was accepted");
    let mut findings = verdict.findings.into_iter();
    let told = findings.next();
    assert_eq!(findings.next(), None);
    told
}

fn message(numbers: [u64; 4], from: Option<&str>) -> String {
    let told = told(numbers, from).expect("something is pending");
    assert_eq!((told.code.as_str(), told.severity), ("CRD-C204", Severity::Info));
    assert_eq!((told.measured, told.limit), (Some(numbers[0]), None));
    told.message
}

#[test]
fn what_is_pending_is_told_by_what_became_of_it() {
    let from = Some("2026-03-03T04:00:00Z");
    assert_eq!(
        message([12, 3, 0, 1], from),
        "12 removals pending (3 new, 1 final now); none is final before 2026-03-03 04:00 UTC"
    );
    assert_eq!(message([12, 0, 0, 0], None), "12 removals pending");
    assert_eq!(message([1, 0, 2, 0], None), "1 removal pending (2 taken back)");
    // Of nothing that waits nothing becomes final; what came back or is over is told once.
    assert_eq!(message([0, 0, 2, 0], from), "0 removals pending (2 taken back)");
    assert_eq!(message([0, 0, 0, 2], from), "0 removals pending (2 final now)");
}

#[test]
fn where_nothing_is_pending_nothing_is_told() {
    assert_eq!(told([0, 0, 0, 0], None), None);
}
