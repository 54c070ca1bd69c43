//! The state machine against its promises, and against random histories.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const RULES: Rules = Rules {
    backoff: Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(300) },
    give_up_after: 5,
};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Plays events from a fresh unit, one second apart; gives the unit and the last effects.
fn play(events: &[Event]) -> (Unit, Vec<Effect>) {
    let mut unit = Unit::new(Wanted::Run);
    let mut last = Vec::new();
    for (second, event) in events.iter().enumerate() {
        (unit, last) = step(unit, *event, secs(second as u64), &RULES);
    }
    (unit, last)
}

fn due() -> Event {
    Event::Due(Trigger::Schedule)
}

fn gone() -> Event {
    Event::Gone { roll: 1.0 }
}

#[test]
fn a_due_sync_starts_the_process_and_then_syncs() {
    let (unit, effects) = play(&[due()]);
    assert_eq!(effects, [Effect::Launch]);
    assert_eq!(unit.phase, Phase::Starting);
    let (unit, effects) = play(&[due(), Event::Ready]);
    assert_eq!(effects, [Effect::Sync(Trigger::Schedule)]);
    assert_eq!(unit.due, None);
}

#[test]
fn a_pause_that_crosses_a_start_kills_what_was_started() {
    let (unit, effects) = play(&[due(), Event::Wanted(Wanted::Paused)]);
    assert_eq!((unit.phase, effects), (Phase::Stopping, vec![Effect::Kill]));
    let (unit, effects) = play(&[due(), Event::Wanted(Wanted::Paused), Event::Ready]);
    assert_eq!((unit.phase, effects), (Phase::Stopping, vec![]), "the kill is on its way");
    let (unit, effects) = play(&[due(), Event::Wanted(Wanted::Paused), Event::Ready, gone()]);
    assert_eq!((unit.phase, effects), (Phase::Down, vec![]), "nothing starts while paused");
}

#[test]
fn a_drain_lets_a_sync_end_and_begins_nothing() {
    let (unit, effects) = play(&[due(), Event::Ready, Event::Drain]);
    assert_eq!((unit.phase, effects), (Phase::Syncing(Trigger::Schedule), vec![]));
    let (unit, effects) = play(&[due(), Event::Ready, Event::Drain, Event::SyncDone]);
    assert_eq!((unit.phase, effects), (Phase::Stopping, vec![Effect::Kill]));
    let (unit, effects) =
        play(&[due(), Event::Ready, Event::Drain, Event::SyncDone, gone(), due(), Event::Tick]);
    assert_eq!((unit.phase, effects), (Phase::Down, vec![]));
    let (unit, effects) = play(&[due(), Event::Drain]);
    assert_eq!((unit.phase, effects), (Phase::Stopping, vec![Effect::Kill]), "a start is no sync");
}

#[test]
fn a_drain_that_takes_too_long_is_ended_by_a_shutdown() {
    let (unit, effects) = play(&[due(), Event::Ready, Event::Drain, Event::Shutdown]);
    assert_eq!((unit.phase, effects), (Phase::Stopping, vec![Effect::Kill]));
    assert_eq!(unit.due, Some(Trigger::Schedule), "it stays due");
}

#[test]
fn a_sync_that_a_pause_interrupted_runs_after_the_resume() {
    let (_, effects) = play(&[
        due(),
        Event::Ready,
        Event::Wanted(Wanted::Paused),
        gone(),
        Event::Wanted(Wanted::Run),
    ]);
    assert_eq!(effects, [Effect::Launch]);
}

#[test]
fn a_crash_is_retried_after_a_wait_and_not_before() {
    let (unit, effects) = play(&[due(), Event::Ready, gone()]);
    assert_eq!(unit.phase, Phase::Down);
    assert_eq!(effects, [Effect::WakeAt(secs(3))], "one second after the crash at second two");
    let (unit, effects) = step(unit, Event::Tick, secs(3), &RULES);
    assert_eq!((unit.phase, effects), (Phase::Starting, vec![Effect::Launch]));
}

#[test]
fn a_crash_loop_opens_the_breaker_and_an_operator_closes_it() {
    let mut unit = Unit::new(Wanted::Run);
    let mut at = secs(0);
    (unit, _) = step(unit, due(), at, &RULES);
    for _ in 0..5 {
        (unit, _) = step(unit, gone(), at, &RULES);
        if let Some(Hold::BackingOff { until }) = unit.hold {
            at = until;
            (unit, _) = step(unit, Event::Tick, at, &RULES);
        }
    }
    assert_eq!(unit.hold, Some(Hold::CrashLoop { until: at + BREAKER_OPEN }));
    let (unit, effects) = step(unit, Event::Due(Trigger::Operator), at, &RULES);
    assert_eq!((unit.hold, effects), (None, vec![Effect::Launch]));
}

#[test]
fn four_crashes_spread_over_hours_open_no_breaker() {
    let mut unit = Unit::new(Wanted::Run);
    for hour in 0..40u64 {
        let at = secs(hour * 3_600);
        (unit, _) = step(unit, due(), at, &RULES);
        (unit, _) = step(unit, gone(), at, &RULES);
        assert!(!matches!(unit.hold, Some(Hold::CrashLoop { .. })), "hour {hour}");
        (unit, _) = step(unit, Event::Tick, at + secs(400), &RULES);
    }
}

#[test]
fn a_bad_configuration_is_not_retried_until_it_changes() {
    let failed = Event::Failed { failure: Failure::Config, alive: false, roll: 1.0 };
    let (unit, effects) = play(&[due(), failed, gone(), Event::Tick, due()]);
    assert_eq!((unit.hold, effects), (Some(Hold::Misconfigured), vec![]));
    let (_, effects) = step(unit, Event::Reconfigured, secs(9), &RULES);
    assert_eq!(effects, [Effect::Launch]);
}

#[test]
fn a_source_that_asks_to_wait_is_left_alone_for_so_long() {
    let failure = Failure::Source { retry_after: Some(secs(90)) };
    let (unit, effects) =
        play(&[due(), Event::Ready, Event::Failed { failure, alive: true, roll: 1.0 }]);
    assert_eq!(effects, [Effect::WakeAt(secs(92))]);
    assert_eq!(unit.phase, Phase::Up, "the process did nothing wrong");
}

#[test]
fn a_restart_does_not_count_as_a_failure() {
    let (unit, effects) = play(&[due(), Event::Ready, Event::Restart]);
    assert_eq!(effects, [Effect::Kill]);
    let (unit, effects) = step(unit, gone(), secs(4), &RULES);
    assert_eq!(
        (unit.streak, effects),
        (0, vec![Effect::Launch]),
        "the interrupted sync starts anew"
    );
}

#[test]
fn an_idle_process_is_stopped_and_a_due_sync_is_not_lost_to_it() {
    let (_, effects) = play(&[due(), Event::Ready, Event::SyncDone, Event::IdleTooLong]);
    assert_eq!(effects, [Effect::Kill]);
    let (_, effects) =
        play(&[due(), Event::Ready, Event::SyncDone, Event::IdleTooLong, due(), gone()]);
    assert_eq!(effects, [Effect::Launch]);
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(due()),
        Just(Event::Due(Trigger::Operator)),
        Just(Event::Ready),
        Just(Event::SyncDone),
        Just(gone()),
        Just(Event::Restart),
        Just(Event::Reconfigured),
        Just(Event::IdleTooLong),
        Just(Event::Tick),
        Just(Event::Wanted(Wanted::Run)),
        Just(Event::Wanted(Wanted::Paused)),
        Just(Event::Wanted(Wanted::Stopped)),
        Just(Event::Failed { failure: Failure::Crash, alive: false, roll: 0.5 }),
        Just(Event::Failed {
            failure: Failure::Source { retry_after: None },
            alive: true,
            roll: 0.5
        }),
    ]
}

proptest! {
    /// The machine never runs two processes, never starts against an order, and never forgets to
    /// kill: `Launch` only from `Down`, `Sync` only from `Up`, and no phase but `Down` or
    /// `Stopping` once it is paused or stopped.
    #[test]
    fn no_history_runs_a_process_against_its_orders(
        events in prop::collection::vec((event(), 0u64..400), 1..80)
    ) {
        let mut unit = Unit::new(Wanted::Run);
        let mut at = Duration::ZERO;
        for (event, wait) in events {
            at += secs(wait);
            let before = unit.clone();
            let was_gone = matches!(event, Event::Gone { .. });
            let effects;
            (unit, effects) = step(unit, event, at, &RULES);
            let launches = effects.iter().filter(|effect| **effect == Effect::Launch).count();
            prop_assert!(launches <= 1);
            if launches == 1 {
                prop_assert!(before.phase == Phase::Down || was_gone);
                prop_assert_eq!(unit.wanted, Wanted::Run);
            }
            if effects.iter().any(|effect| matches!(effect, Effect::Sync(_))) {
                prop_assert_eq!(unit.wanted, Wanted::Run);
                prop_assert!(!effects.contains(&Effect::Kill));
            }
            if unit.wanted != Wanted::Run {
                prop_assert!(matches!(unit.phase, Phase::Down | Phase::Stopping));
            }
        }
    }

    /// Whatever happened, a due sync runs within bounded time once things work again.
    #[test]
    fn no_history_leaves_a_connector_stuck(
        events in prop::collection::vec((event(), 0u64..400), 0..60)
    ) {
        let mut unit = Unit::new(Wanted::Run);
        let mut at = Duration::ZERO;
        for (event, wait) in events {
            at += secs(wait);
            (unit, _) = step(unit, event, at, &RULES);
        }
        (unit, _) = step(unit, Event::Wanted(Wanted::Run), at, &RULES);
        (unit, _) = step(unit, Event::Due(Trigger::Operator), at, &RULES);
        let mut synced = false;
        for _ in 0..8 {
            at += BREAKER_OPEN;
            let effects;
            (unit, effects) = match unit.phase {
                Phase::Stopping => step(unit, gone(), at, &RULES),
                Phase::Starting => step(unit, Event::Ready, at, &RULES),
                Phase::Syncing(_) => step(unit, Event::SyncDone, at, &RULES),
                Phase::Down | Phase::Up => step(unit, Event::Tick, at, &RULES),
            };
            synced |= effects.iter().any(|effect| matches!(effect, Effect::Sync(_)));
            synced |= matches!(unit.phase, Phase::Syncing(_));
        }
        prop_assert!(synced || unit.due.is_none());
    }
}
