//! What a start makes of the runs that it finds.

use cordon_ledger::Measured;
use cordon_model::SyncNumber;

use super::*;

/// A run that began at that hour and ended so.
fn run(hour: i64, outcome: RunOutcome, error: Option<&str>) -> RunRow {
    RunRow {
        connector: ConnectorName::new("hr").unwrap(),
        sync: SyncNumber(hour.unsigned_abs()),
        trigger: "schedule".into(),
        outcome,
        started_at: Timestamp::from_second(hour * 3_600).unwrap(),
        ended_at: None,
        error: error.map(Into::into),
        death: None,
        changes: None,
        findings: Vec::new(),
        digest: None,
        content_digest: None,
        measured: Measured::default(),
        joined: None,
    }
}

fn failed(hour: i64, error: &str) -> RunRow {
    run(hour, RunOutcome::Failed, Some(error))
}

/// The hour from which the schedule counts.
fn counted(runs: &[RunRow]) -> Option<i64> {
    last_start(runs).map(|at| at.as_second() / 3_600)
}

#[test]
fn a_sync_that_the_end_of_the_service_interrupted_stays_due() {
    let good = run(1, RunOutcome::Committed, None);
    assert_eq!(counted(&[]), None);
    assert_eq!(counted(std::slice::from_ref(&good)), Some(1));
    assert_eq!(counted(&[failed(2, "the source is away"), good.clone()]), Some(2));
    assert_eq!(counted(&[failed(2, "requested: called off"), good.clone()]), None);
    assert_eq!(
        counted(&[failed(3, "requested: called off"), failed(2, "requested: called off")]),
        None
    );
    assert_eq!(counted(&[failed(2, SUPERVISOR_ENDED), good]), None);
}

#[test]
fn a_sync_in_which_the_service_died_twice_waits_for_its_time() {
    assert_eq!(counted(&[failed(3, SUPERVISOR_ENDED), failed(2, SUPERVISOR_ENDED)]), Some(3));
}
