//! Promises that hold whatever happens, over random histories.

use proptest::prelude::*;

use super::*;

/// An event, and whether it speaks of an older start than the newest.
fn word() -> impl Strategy<Value = (Word, bool)> {
    let word = prop_oneof![
        4 => Just(Due),
        1 => Just(Asked),
        1 => Just(Suspicious),
        6 => Just(Ready),
        2 => Just(Done),
        4 => reason().prop_map(Dies),
        3 => reason().prop_map(Fails),
        3 => Just(Gone),
        1 => Just(Restart),
        1 => Just(Reconfigured),
        1 => Just(Idle),
        6 => Just(Word::Tick),
        3 => Just(Word::Wanted(Wanted::Run)),
        1 => Just(Word::Wanted(Wanted::Paused)),
        1 => Just(Word::Wanted(Wanted::Stopped)),
    ];
    (word, prop::bool::weighted(0.1))
}

fn reason() -> impl Strategy<Value = Reason> {
    prop::sample::select(Reason::ALL)
}

/// Crashes and deaths of memory: what a loop is made of.
fn crash() -> impl Strategy<Value = Reason> {
    use crate::reason::Class;
    let crashes = Reason::ALL.iter().copied();
    let crashes = crashes.filter(|it| matches!(it.class(), Class::Crash | Class::Memory));
    prop::sample::select(crashes.collect::<Vec<_>>())
}

proptest! {
    /// The machine never runs two processes, never starts against an order or a hold, and never
    /// forgets to kill.
    #[test]
    fn no_history_runs_a_process_against_its_orders(
        events in prop::collection::vec((word(), 0u64..400), 1..80)
    ) {
        let mut unit = Unit::new(Wanted::Run);
        let mut at = Duration::ZERO;
        for ((word, is_late), wait) in events {
            at += secs(wait);
            let before = unit.clone();
            let start = StartNumber(unit.start.0.saturating_sub(u64::from(is_late)));
            let event = word.about(start);
            let effects;
            (unit, effects) = step(unit, event, at, &RULES);
            if event.start().is_some_and(|start| start != before.start) {
                prop_assert_eq!((&unit, effects.len()), (&before, 0), "told of an old process");
                continue;
            }
            let launches = effects.iter().filter(|it| matches!(it, Effect::Launch(_))).count();
            prop_assert!(launches <= 1);
            if launches == 1 {
                let was_gone = matches!(event, Event::Gone { .. });
                prop_assert!(before.phase == Phase::Down || was_gone);
                prop_assert_eq!(unit.start, StartNumber(before.start.0 + 1));
            }
            let starts = |it: &Effect| matches!(it, Effect::Launch(_) | Effect::Sync(_));
            if effects.iter().any(starts) {
                prop_assert_eq!(unit.wanted, Wanted::Run);
                prop_assert_eq!(unit.hold, None);
                prop_assert!(!effects.contains(&Effect::Kill));
            }
            if unit.wanted != Wanted::Run {
                prop_assert!(matches!(unit.phase, Phase::Down | Phase::Stopping));
            }
            if unit.hold.is_some() && before.hold == unit.hold {
                prop_assert!(unit.phase != Phase::Starting || before.phase == Phase::Starting);
            }
        }
    }

    /// Whatever happened, a due sync runs within bounded time once things work again.
    #[test]
    fn no_history_leaves_a_connector_stuck(
        events in prop::collection::vec((word(), 0u64..400), 0..60)
    ) {
        let mut unit = Unit::new(Wanted::Run);
        let mut at = Duration::ZERO;
        for ((word, _), wait) in events {
            at += secs(wait);
            (unit, _) = step(unit.clone(), word.about(unit.start), at, &RULES);
        }
        (unit, _) = step(unit, Event::Wanted(Wanted::Run), at, &RULES);
        (unit, _) = step(unit, Event::Due(Trigger::Operator), at, &RULES);
        let mut synced = false;
        for _ in 0..8 {
            at += BREAKER_OPEN;
            let word = match unit.phase {
                Phase::Stopping => Gone,
                Phase::Starting => Ready,
                Phase::Syncing(_) => Done,
                Phase::Down | Phase::Up => Word::Tick,
            };
            synced |= matches!(unit.phase, Phase::Syncing(_));
            (unit, _) = step(unit.clone(), word.about(unit.start), at, &RULES);
        }
        prop_assert!(synced || unit.due.is_none());
    }

    /// A connector that never works, whatever it dies of and however long it lives before, is
    /// started a bounded number of times an hour. Each tick comes as early as it may.
    #[test]
    fn a_crash_loop_is_no_storm_of_starts(
        deaths in prop::collection::vec((crash(), 0u64..60, 0.0..0.3f64), 400)
    ) {
        let mut play = Play::new().now(Due);
        for (reason, lives, roll) in deaths {
            play.at += secs(lives);
            let start = play.unit.start;
            let gone = Event::Gone { start, reason, roll };
            (play.unit, play.effects) = step(play.unit, gone, play.at, &RULES);
            prop_assert!(!play.launches(), "a start without a wait");
            play = play.wait();
            prop_assert!(play.launches());
        }
        // A window of crashes holds fewer than open the breaker; an open breaker allows one.
        let most = 6 * (RULES.give_up_after - 1) + RULES.give_up_after;
        for (index, first) in play.launches.iter().enumerate() {
            let hour = play.launches[index..].iter().take_while(|at| **at < *first + secs(3_600));
            let starts = hour.count();
            prop_assert!(starts <= most, "{} starts within an hour", starts);
        }
    }
}
