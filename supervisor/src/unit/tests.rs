//! The state machine against its promises: one history at a time. Random ones stand in `random`.

use std::time::Duration;

use super::*;
use crate::limits::{
    AUTH_RETRY, BREAKER_OPEN, BREAKER_WINDOW, MEMORY_HELD, MEMORY_RETRIES, STABLE,
};

mod random;

const RULES: Rules = Rules {
    backoff: Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(300) },
    give_up_after: 5,
};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A unit whose events speak of the process that was started last, at a time that tests move.
struct Play {
    unit: Unit,
    at: Duration,
    effects: Vec<Effect>,
    launches: Vec<Duration>,
}

impl Play {
    fn new() -> Self {
        let unit = Unit::new(Wanted::Run);
        Self { unit, at: Duration::ZERO, effects: Vec::new(), launches: Vec::new() }
    }

    /// One second after the event before.
    fn then(mut self, event: impl Into<Word>) -> Self {
        self.at += secs(1);
        self.now(event)
    }

    fn now(mut self, event: impl Into<Word>) -> Self {
        let event = event.into().about(self.unit.start);
        (self.unit, self.effects) = step(self.unit, event, self.at, &RULES);
        if self.launches() {
            self.launches.push(self.at);
        }
        self
    }

    fn launches(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Launch(_)))
    }

    fn after(mut self, wait: Duration) -> Self {
        self.at += wait;
        self.now(Word::Tick)
    }

    /// Lets time pass to the end of what it waits for.
    fn wait(mut self) -> Self {
        let until = self.unit.hold.and_then(Hold::until).expect("it waits for a time");
        self.at = until;
        self.now(Word::Tick)
    }

    fn phase(&self) -> Phase {
        self.unit.phase
    }
}

/// An event without the number of a start.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Word {
    Due,
    Suspicious,
    Asked,
    Tried,
    Ready,
    Done,
    Dies(Reason),
    Fails(Reason),
    Patience(u64),
    Gone,
    Wanted(Wanted),
    Restart,
    Reconfigured,
    Idle,
    Tick,
    Outdated,
    Drain,
    Shutdown,
}

impl From<Wanted> for Word {
    fn from(wanted: Wanted) -> Self {
        Self::Wanted(wanted)
    }
}

impl Word {
    fn about(self, start: StartNumber) -> Event {
        let failed = |reason, retry_after, alive| Event::Failed {
            start,
            failure: Failure { reason, retry_after },
            alive,
            roll: 1.0,
        };
        match self {
            Self::Due => Event::Due(Trigger::Schedule),
            Self::Suspicious => Event::Due(Trigger::Reread),
            Self::Asked => Event::Due(Trigger::Operator),
            Self::Tried => Event::Due(Trigger::DryRun),
            Self::Ready => Event::Ready { start },
            Self::Done => Event::SyncDone { start },
            Self::Dies(reason) => Event::Gone { start, reason, roll: 1.0 },
            Self::Fails(reason) => failed(reason, None, true),
            Self::Patience(wait) => failed(Reason::RateLimited, Some(secs(wait)), true),
            Self::Gone => Event::Gone { start, reason: Reason::Requested, roll: 1.0 },
            Self::Wanted(wanted) => Event::Wanted(wanted),
            Self::Restart => Event::Restart,
            Self::Reconfigured => Event::Reconfigured,
            Self::Idle => Event::IdleTooLong,
            Self::Tick => Event::Tick,
            Self::Outdated => Event::Outdated,
            Self::Drain => Event::Drain,
            Self::Shutdown => Event::Shutdown,
        }
    }
}

/// Plays events, one second apart.
fn play(words: &[Word]) -> Play {
    words.iter().fold(Play::new(), |play, word| play.then(*word))
}

use Word::{
    Asked, Dies, Done, Drain, Due, Fails, Gone, Idle, Outdated, Patience, Ready, Reconfigured,
    Restart, Shutdown, Suspicious, Tried,
};

#[test]
fn a_second_reading_waits_for_a_pause_and_forgives_no_hold() {
    let play = play(&[Suspicious]).then(Wanted::Paused).then(Gone);
    assert_eq!(play.phase(), Phase::Down);
    assert!(play.then(Wanted::Run).launches(), "it stays due");
    let held = self::play(&[Due]).then(Fails(Reason::Unavailable)).then(Gone).then(Suspicious);
    assert!(held.unit.hold.is_some() && !held.launches());
}

#[test]
fn a_due_sync_starts_the_process_and_then_syncs() {
    let play = play(&[Due]);
    assert_eq!(play.effects, [Effect::Launch(StartNumber(1))]);
    assert_eq!(play.phase(), Phase::Starting);
    let play = play.then(Ready);
    assert_eq!(play.effects, [Effect::Sync(Trigger::Schedule)]);
    assert_eq!(play.unit.due, None);
}

#[test]
fn a_pause_that_crosses_a_start_kills_what_was_started() {
    let play = play(&[Due]).then(Wanted::Paused);
    assert_eq!((play.phase(), &*play.effects), (Phase::Stopping, &[Effect::Kill][..]));
    let play = play.then(Ready);
    assert_eq!(
        (play.phase(), &*play.effects),
        (Phase::Stopping, &[][..]),
        "the kill is on its way"
    );
    let play = play.then(Gone);
    assert_eq!(
        (play.phase(), &*play.effects),
        (Phase::Down, &[][..]),
        "nothing starts while paused"
    );
}

#[test]
fn a_sync_that_a_pause_interrupted_runs_after_the_resume() {
    let play = play(&[Due, Ready]).then(Wanted::Paused).then(Gone).then(Wanted::Run);
    assert!(play.launches());
}

#[test]
fn a_connector_that_was_stopped_before_its_pause_stays_stopped_after_it() {
    let play = play(&[Due, Ready, Done]).then(Wanted::Stopped).then(Wanted::Paused).then(Gone);
    let play = play.then(Due).then(Wanted::Stopped);
    assert_eq!((play.phase(), play.launches()), (Phase::Down, false));
}

#[test]
fn a_crash_is_retried_after_a_wait_and_not_before() {
    let play = play(&[Due, Ready, Dies(Reason::Signal)]);
    assert_eq!(play.phase(), Phase::Down);
    assert_eq!(play.unit.failed, Some(Reason::Signal));
    assert_eq!(play.effects, [Effect::WakeAt(secs(4))], "a second after the crash at second three");
    let play = play.after(Duration::from_millis(999));
    assert!(!play.launches());
    assert!(play.after(Duration::from_millis(1)).launches());
}

/// A connector that dies at each start, until it is held.
fn held_by(reason: Reason) -> Play {
    let mut play = Play::new().then(Due);
    for _ in 0..20 {
        play = play.now(Ready).now(Dies(reason));
        match play.unit.hold {
            Some(Hold::BackingOff { .. }) => play = play.wait(),
            _ => return play,
        }
    }
    panic!("it is never held");
}

#[test]
fn a_crash_loop_opens_the_breaker_and_an_operator_closes_it() {
    for reason in [Reason::Signal, Reason::Stalled, Reason::Stopped, Reason::Protocol] {
        let play = held_by(reason);
        assert_eq!(play.launches.len(), 5, "{reason:?}");
        assert_eq!(play.unit.hold, Some(Hold::CrashLoop { until: play.at + BREAKER_OPEN }));
        assert_eq!(play.unit.failed, Some(reason));
        let play = play.now(Asked);
        assert_eq!((play.unit.hold, play.launches()), (None, true));
    }
}

#[test]
fn a_dry_run_that_fails_or_is_interrupted_does_not_come_again() {
    for end in [Dies(Reason::Signal), Fails(Reason::Unavailable)] {
        let play = play(&[Tried, Ready]);
        assert_eq!(play.effects, [Effect::Sync(Trigger::DryRun)]);
        assert_eq!(play.then(end).unit.due, None, "{end:?}");
    }
    let play = play(&[Tried, Dies(Reason::Signal)]);
    assert_eq!((play.unit.due, play.phase()), (None, Phase::Down), "it died at its start");
    let play = self::play(&[Tried, Ready]).then(Wanted::Paused).then(Gone).then(Wanted::Run);
    assert!(!play.launches());
}

#[test]
fn a_sync_that_is_due_takes_the_place_of_a_dry_run_and_not_the_other_way_round() {
    for words in [[Tried, Due, Ready], [Due, Tried, Ready]] {
        assert_eq!(play(&words).effects, [Effect::Sync(Trigger::Schedule)], "{words:?}");
    }
    let play = play(&[Due, Ready, Tried, Done]);
    assert_eq!(play.effects, [Effect::Sync(Trigger::DryRun)], "after the sync that runs");
}

#[test]
fn a_breaker_that_time_closed_allows_one_try() {
    let play = held_by(Reason::Exit).wait();
    assert!(play.launches(), "it is tried again");
    let play = play.now(Ready).now(Dies(Reason::Exit));
    assert_eq!(play.unit.hold, Some(Hold::CrashLoop { until: play.at + BREAKER_OPEN }), "one try");
    let play = play.wait().now(Ready).now(Done);
    let play = play.now(Due).now(Dies(Reason::Exit));
    assert!(matches!(play.unit.hold, Some(Hold::BackingOff { .. })), "a good sync forgives");
}

#[test]
fn crashes_far_apart_open_no_breaker() {
    let mut play = Play::new().then(Due);
    for _ in 0..20 {
        play = play.now(Ready).after(BREAKER_WINDOW / 4 + secs(1)).now(Dies(Reason::Signal));
        assert!(matches!(play.unit.hold, Some(Hold::BackingOff { .. })), "{:?}", play.unit.hold);
        play = play.wait();
    }
}

#[test]
fn a_crash_after_a_long_run_waits_as_short_as_the_first() {
    let mut play = Play::new().then(Due);
    for _ in 0..4 {
        play = play.now(Ready).now(Dies(Reason::Signal)).wait();
    }
    let hours = play.now(Ready).after(STABLE).now(Dies(Reason::Signal));
    assert_eq!(hours.unit.hold, Some(Hold::BackingOff { until: hours.at + RULES.backoff.base }));
}

#[test]
fn a_memory_death_is_tried_twice_and_then_held() {
    let play = held_by(Reason::Oom);
    assert_eq!(play.launches.len(), MEMORY_RETRIES as usize + 1);
    assert_eq!(play.unit.hold, Some(Hold::OutOfMemory { until: play.at + MEMORY_HELD }));
    assert_eq!(play.unit.failed, Some(Reason::Oom));
    let again = play.wait().now(Ready).now(Dies(Reason::Oom));
    assert_eq!(again.unit.hold, Some(Hold::OutOfMemory { until: again.at + MEMORY_HELD }));
    assert!(again.now(Restart).launches(), "an operator may try");
}

#[test]
fn a_bad_configuration_is_not_retried_until_it_changes() {
    let play = play(&[Due, Ready, Dies(Reason::Config)]);
    assert_eq!((play.unit.hold, &*play.effects), (Some(Hold::Misconfigured), &[][..]));
    let play = play.after(secs(100_000)).now(Due);
    assert!(!play.launches());
    assert!(play.then(Reconfigured).launches());
}

#[test]
fn refused_credentials_are_tried_slowly_and_open_no_breaker() {
    let mut play = Play::new().then(Due).then(Ready);
    for _ in 0..20 {
        play = play.now(Fails(Reason::Auth));
        let Some(Hold::BackingOff { until }) = play.unit.hold else { panic!("{play:?}") };
        assert!(until - play.at >= AUTH_RETRY);
        play = play.wait();
        assert_eq!(play.effects, [Effect::Sync(Trigger::Retry)], "the process did nothing wrong");
    }
}

#[test]
fn a_source_that_is_away_opens_no_breaker() {
    let mut play = Play::new().then(Due).then(Ready);
    for _ in 0..20 {
        play = play.now(Fails(Reason::Unavailable)).wait();
        assert_eq!(play.effects, [Effect::Sync(Trigger::Retry)]);
    }
}

#[test]
fn a_source_that_asks_to_wait_is_left_alone_for_so_long() {
    let play = play(&[Due, Ready, Patience(90)]);
    assert_eq!(play.effects, [Effect::WakeAt(secs(93))]);
    assert_eq!(play.phase(), Phase::Up, "the process did nothing wrong");
}

#[test]
fn a_quarantined_sync_is_no_failure_and_restarts_nothing() {
    let mut play = Play::new().then(Due).then(Ready);
    for _ in 0..20 {
        play = play.then(Done);
        assert_eq!((play.unit.hold, play.unit.failed, play.unit.streak()), (None, None, 0));
        assert_eq!((play.phase(), &*play.effects), (Phase::Up, &[][..]));
        play = play.then(Due);
    }
    assert_eq!(play.launches.len(), 1);
}

#[test]
fn credit_is_lost_by_a_crash_and_given_back_by_a_good_sync_alone() {
    let play = Play::new().then(Due).then(Ready);
    assert_eq!(play.unit.credit, Credit::Given);
    let play = play.then(Dies(Reason::Signal));
    assert_eq!(play.unit.credit, Credit::Lost);
    // Whatever else an operator's word forgives.
    let play = play.then(Asked).then(Ready);
    assert_eq!((play.unit.streak(), play.unit.credit), (0, Credit::Lost));
    assert_eq!(play.then(Done).unit.credit, Credit::Given);
}

#[test]
fn a_restart_does_not_count_as_a_failure() {
    let mut play = Play::new().then(Due).then(Ready);
    for _ in 0..20 {
        play = play.then(Restart);
        assert_eq!(play.effects, [Effect::Kill]);
        play = play.now(Gone);
        assert_eq!((play.unit.streak(), play.launches()), (0, true), "the sync starts anew");
        play = play.now(Ready);
    }
    assert_eq!(play.unit.hold, None);
}

#[test]
fn a_restart_starts_a_process_also_when_no_sync_is_due() {
    let play = play(&[Due, Ready, Done, Restart, Gone]);
    assert!(play.launches());
    let play = play.then(Ready);
    assert_eq!((play.phase(), &*play.effects), (Phase::Up, &[][..]), "and syncs nothing");
    let play = play.then(Restart).then(Gone).then(Dies(Reason::Exit));
    assert_eq!((play.phase(), &*play.effects), (Phase::Down, &[][..]), "whoever asked was told");
    let stopped = play.then(Wanted::Stopped).then(Restart);
    assert_eq!((stopped.phase(), stopped.launches()), (Phase::Down, false));
    assert!(!stopped.then(Wanted::Run).launches(), "the order is not kept for later");
}

#[test]
fn a_sync_that_is_asked_for_during_a_restart_that_fails_gets_a_try_of_its_own() {
    let play = play(&[Due, Ready, Done, Restart, Gone]).then(Asked);
    let play = play.then(Dies(Reason::Exit));
    assert!(play.launches(), "at once");
    let play = play.then(Dies(Reason::Exit));
    assert!(!play.launches(), "and no second one without a wait");
    let earlier = self::play(&[Due, Ready, Done, Restart, Asked, Gone]).then(Dies(Reason::Exit));
    assert!(!earlier.launches(), "the start that failed was its own");
}

#[test]
fn an_idle_process_is_stopped_and_a_due_sync_is_not_lost_to_it() {
    assert_eq!(play(&[Due, Ready, Done, Idle]).effects, [Effect::Kill]);
    assert!(play(&[Due, Ready, Done, Idle, Due, Gone]).launches());
}

#[test]
fn the_end_of_the_service_kills_what_runs_and_starts_nothing() {
    let play = play(&[Due, Ready, Shutdown]);
    assert_eq!(play.effects, [Effect::Kill]);
    let play = play.then(Gone).then(Asked).then(Restart);
    assert_eq!((play.phase(), play.launches.len()), (Phase::Down, 1));
}

#[test]
fn a_death_told_late_does_not_hit_the_process_that_came_after() {
    let play = play(&[Due, Ready, Restart, Gone, Ready]);
    let (old, new) = (StartNumber(1), StartNumber(2));
    assert_eq!(play.unit.start, new);
    let before = play.unit.clone();
    let late = Event::Gone { start: old, reason: Reason::Signal, roll: 1.0 };
    assert_eq!(step(before.clone(), late, play.at, &RULES), (before.clone(), vec![]));
    let mine = Event::Gone { start: new, reason: Reason::Signal, roll: 1.0 };
    assert_ne!(step(before.clone(), mine, play.at, &RULES).0, before);
}

impl std::fmt::Debug for Play {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {:?}", self.unit, self.at)
    }
}

#[test]
fn a_drain_lets_a_sync_end_and_begins_nothing() {
    let syncing = play(&[Due, Ready, Drain]);
    assert_eq!(syncing.phase(), Phase::Syncing(Trigger::Schedule));
    assert_eq!(syncing.effects, []);
    let ended = syncing.then(Done);
    assert_eq!((ended.phase(), &*ended.effects), (Phase::Stopping, &[Effect::Kill][..]));
    let over = ended.then(Gone).then(Due).then(Word::Tick);
    assert_eq!((over.phase(), &*over.effects), (Phase::Down, &[][..]));
    let starting = play(&[Due, Drain]);
    assert_eq!(starting.effects, [Effect::Kill], "a start is no sync");
}

#[test]
fn a_drain_that_takes_too_long_is_ended_by_a_shutdown() {
    let ended = play(&[Due, Ready, Drain, Shutdown]);
    assert_eq!((ended.phase(), &*ended.effects), (Phase::Stopping, &[Effect::Kill][..]));
    assert_eq!(ended.unit.due, Some(Trigger::Schedule), "it stays due");
}

#[test]
fn a_process_whose_files_were_replaced_gives_way_to_a_new_one_before_the_next_sync() {
    let play = play(&[Due, Ready, Done, Outdated]);
    assert_eq!((play.phase(), &*play.effects), (Phase::Stopping, &[Effect::Kill][..]));
    let play = play.then(Due).then(Gone);
    assert_eq!(play.effects, [Effect::Launch(StartNumber(2))]);
    let busy = self::play(&[Due, Ready, Outdated]);
    assert_eq!(busy.effects, [], "a sync that runs has read what it read");
}
