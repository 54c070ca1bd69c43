//! What the detector makes of verdicts, whatever the days and whatever is remembered of those before.

use std::sync::LazyLock;

use cordon_model::{Outcome, SyncNumber};
use cordon_validate::detect::{Learned, Memory, Step};
use cordon_validate::reading::Earlier;
use cordon_validate::{Candidate, History, Limit, Policy, Shape, Unusual, Verdict, judge};
use proptest::prelude::*;
use proptest::sample::select;

use super::properties::{Changes, changes};
use super::source::{Source, in_order, step};
use super::sources::{Offers, census, told};

const DAYS: usize = 20;

/// Days on each of which one of a hundred users leaves: what there was in the morning, and what
/// was measured.
static LOSING: LazyLock<Vec<(Source, Step)>> = LazyLock::new(|| {
    let mut before = Source::of(100, 5);
    let days = (0..=DAYS as u32).map(|day| {
        let after = before.without(&[97 - 4 * day]);
        let step = step(&before, &after, false, in_order);
        (std::mem::replace(&mut before, after), step)
    });
    days.collect()
});

/// The source after some of those days, and the memory of them.
fn pasts() -> impl Strategy<Value = (Source, Memory)> {
    // A person released what was lost, or policy accepted it.
    let learned = select(vec![Learned::Accepted, Learned::Released]);
    (0..=DAYS, learned).prop_map(|(days, learned)| {
        let steps = LOSING.iter().take(days).map(|(_, step)| step);
        let memory = steps.fold(Memory::default(), |memory, step| memory.learn(step, learned));
        (LOSING[days].0.clone(), memory)
    })
}

/// One step of a source with a past, as the judge is told of it.
#[derive(Debug, Clone)]
struct Day {
    before: Source,
    after: Source,
    offers: Offers,
    step: Step,
    history: History,
}

fn days() -> impl Strategy<Value = Day> {
    // A day on which much happens is held, and nothing is learned from it: so half are quiet ones.
    let few = changes().prop_map(Changes::few);
    let changes = prop_oneof![few, changes()];
    let offers = select(vec![Offers::Nothing, Offers::Totals, Offers::Lookup]);
    (pasts(), changes, offers).prop_map(|((before, memory), changes, offers)| {
        let after = changes.upon(&before);
        let history = History { memory: Some(memory), ..History::default() };
        Day::new(before, after, offers, history)
    })
}

impl Day {
    fn new(before: Source, after: Source, offers: Offers, history: History) -> Self {
        let step = step(&before, &after, offers == Offers::Totals, in_order);
        Self { before, after, offers, step, history }
    }

    fn verdict(&self, policy: &Policy) -> Verdict {
        self.verdict_on(Some(self.step.clone()), policy)
    }

    fn verdict_on(&self, step: Option<Step>, policy: &Policy) -> Verdict {
        let Self { before, after, offers, history, .. } = self;
        let (candidate, told) = told(before, after, after, *offers, self.step.clone());
        let candidate = Candidate { step, ..candidate };
        let history = History { lookup: told.lookup, ..history.clone() };
        let last_good = census(before, before, *offers);
        judge(Some(&last_good), candidate, &history, policy).verdict().clone()
    }

    /// The same content once more, after this day was accepted.
    fn again(self) -> Self {
        let Self { after, offers, step, mut history, .. } = self;
        history.memory = history.memory.map(|memory| memory.learn(&step, Learned::Accepted));
        Self::new(after.clone(), after, offers, history)
    }
}

fn powers(hundredths: u16) -> Unusual {
    Unusual::new(f64::from(hundredths) / 100.0).unwrap()
}

/// A policy under which nobody but the detector has anything against a loss.
fn policy(shape: Shape, times: u32) -> Policy {
    let mut policy = Policy { shape, budgets: Vec::new(), ..Policy::default() };
    policy.removed.default = Limit { percent: None, count: None, floor: 5 };
    policy.reread.times = times;
    policy
}

fn weight(verdict: &Verdict) -> u8 {
    match verdict.outcome {
        Outcome::Accepted => 0,
        Outcome::Quarantined => 1,
        Outcome::Rejected => 2,
    }
}

proptest! {
    #[test]
    fn a_step_that_was_accepted_is_accepted_again_when_nothing_changed_since(
        day in days(), hold in 50..=1_200_u16, read_again in 50..=1_200_u16,
    ) {
        let shape = Shape { is_on: true, hold: powers(hold), read_again: powers(read_again) };
        if day.verdict(&policy(shape, 1)).outcome != Outcome::Accepted {
            return Ok(());
        }
        // What did not change is as usual as can be, however little it takes to be unusual.
        let strict = Shape { is_on: true, hold: powers(50), read_again: powers(50) };
        let verdict = day.again().verdict(&policy(strict, 1));
        prop_assert_eq!(verdict.outcome, Outcome::Accepted, "{:?}", verdict.findings);
    }

    #[test]
    fn a_lower_threshold_is_never_milder_and_no_detector_never_stricter(
        day in days(),
        thresholds in prop::array::uniform2(prop_oneof![3 => 50..=400_u16, 1 => 50..=1_200_u16]),
        lower in prop::array::uniform2(50..=400_u16),
        times in 0..3_u32,
        earlier in prop::option::of((any::<bool>(), 1..3_u64)),
    ) {
        let mut day = day;
        day.history.earlier = earlier.map(|(is_same, times)| Earlier {
            sync: SyncNumber(1), is_same, times, was_only_unusual: true,
        });
        let of = |is_on, [hold, read_again]: [u16; 2]| {
            let shape = Shape { is_on, hold: powers(hold), read_again: powers(read_again) };
            day.verdict(&policy(shape, times))
        };
        let [hold, read_again] = thresholds;
        let verdict = of(true, thresholds);
        for lower in [[hold.min(lower[0]), read_again], [hold, read_again.min(lower[1])]] {
            let stricter = of(true, lower);
            prop_assert!(weight(&stricter) >= weight(&verdict), "{lower:?}: {:?}", verdict.findings);
        }
        let off = of(false, thresholds);
        prop_assert!(weight(&off) <= weight(&verdict), "off: {:?}", off.findings);
        // Where it does not look, whatever was measured is as if it were not.
        let shape = Shape { is_on: true, hold: powers(hold), read_again: powers(read_again) };
        prop_assert_eq!(off, day.verdict_on(None, &policy(shape, times)));
    }
}
