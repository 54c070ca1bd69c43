//! How a value is weighed: against the connector's own syncs, against a prior that is made up, and by
//! what it speaks of. The numbers are those of docs/detector.md.

use std::collections::BTreeMap;

use cordon_validate::detect::{Assessed, Learned, Measure, Memory, Prior, Statistic, Step, assess};

fn measure(statistic: Statistic, value: f64, count: u64, of: u64) -> Measure {
    Measure {
        statistic,
        value,
        subject: String::new(),
        count,
        of,
        proven: false,
        examples: Vec::new(),
    }
}

fn step(measures: Vec<Measure>) -> Step {
    Step { measures, changed: true, records: 100, ..Step::default() }
}

/// Of a hundred honest syncs elsewhere ten had the value two, of each of these statistics.
fn prior() -> Prior {
    let statistics = [
        Statistic::Along,
        Statistic::PeopleGone,
        Statistic::PeopleCame,
        Statistic::Tail,
        Statistic::Orphaned,
    ];
    let values = statistics.map(|statistic| (statistic, vec![2.0; 10]));
    Prior::of(&[(100, BTreeMap::from(values))])
}

fn found(measure: Measure, memory: &Memory) -> Assessed {
    let statistic = measure.statistic;
    let all = assess(&step(vec![measure]), memory, &prior());
    all.into_iter().find(|one| one.measure.statistic == statistic).unwrap()
}

fn score(measure: Measure, memory: &Memory) -> f64 {
    found(measure, memory).score
}

#[track_caller]
fn about(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
}

/// A memory of so many changed syncs, each with this value of this statistic.
fn of(statistic: Statistic, syncs: u64, value: f64, learned: Learned) -> Memory {
    let one = step(vec![measure(statistic, value, 5, 1_000)]);
    (0..syncs).fold(Memory::default(), |memory, _| memory.learn(&one, learned))
}

#[test]
fn own_syncs_count_one_each_and_the_prior_three_hundred() {
    let value = || measure(Statistic::Orphaned, 2.0, 5, 100);
    about(score(value(), &Memory::default()), -(30.0_f64 / 300.0).log10());
    let memory = of(Statistic::Orphaned, 20, 2.0, Learned::Accepted);
    about(score(value(), &memory), -(50.0_f64 / 320.0).log10());
    // What changed nothing is no sync that could have had the value.
    let quiet =
        (0..50).fold(memory, |memory, day| memory.learn(&Step::unchanged(day), Learned::Accepted));
    about(score(value(), &quiet), -(50.0_f64 / 320.0).log10());
    // Thirty-two are remembered, however many there were.
    let many = of(Statistic::Orphaned, 100, 2.0, Learned::Accepted);
    about(score(value(), &many), -(62.0_f64 / 400.0).log10());
}

#[test]
fn of_its_own_syncs_a_source_remembers_the_thirty_two_largest() {
    let mut memory = of(Statistic::Orphaned, 32, 2.0, Learned::Accepted);
    let value = measure(Statistic::Orphaned, 3.0, 5, 1_000);
    memory = memory.learn(&step(vec![value]), Learned::Accepted);
    let two = found(measure(Statistic::Orphaned, 2.0, 5, 100), &memory);
    about(two.score, -(62.0_f64 / 333.0).log10());
    assert_eq!(two.known, Some(3.0));
    // What is smaller than all of them is not among them.
    memory =
        memory.learn(&step(vec![measure(Statistic::Orphaned, 1.0, 5, 1_000)]), Learned::Accepted);
    about(score(measure(Statistic::Orphaned, 1.0, 5, 100), &memory), -(62.0_f64 / 334.0).log10());
}

#[test]
fn what_is_a_fifth_larger_was_known_and_what_is_more_was_not() {
    let memory = of(Statistic::Orphaned, 20, 1.6, Learned::Accepted);
    let value = |value| measure(Statistic::Orphaned, value, 5, 100);
    about(score(value(2.0), &memory), -(50.0_f64 / 320.0).log10());
    about(
        score(value(2.0), &of(Statistic::Orphaned, 20, 1.59, Learned::Accepted)),
        -(30.0_f64 / 320.0).log10(),
    );
}

#[test]
fn beyond_all_that_was_seen_a_value_gets_less_probable_with_its_square() {
    let value = |value| score(measure(Statistic::Orphaned, value, 5, 100), &Memory::default());
    about(value(4.0), -(0.1_f64 / 4.0).log10());
    about(value(20.0), -(0.1_f64 / 100.0).log10());
    about(value(1.0), -0.1_f64.log10());
    // Of a statistic that nobody ever saw: as one record once in all syncs, and one more.
    let unseen = measure(Statistic::Retyped, 2.0, 4, 100);
    about(score(unseen, &Memory::default()), -(1.0_f64 / 101.0 / 16.0).log10());
}

#[test]
fn a_proven_loss_weighs_one_power_less_and_what_takes_no_access_one_more() {
    let none = Memory::default();
    let proven = |statistic, value| Measure { proven: true, ..measure(statistic, value, 5, 100) };
    let value = |statistic, value| score(measure(statistic, value, 5, 100), &none);
    // As one in a thousand has.
    about(value(Statistic::Along, 20.0), 3.0);
    about(score(proven(Statistic::Along, 20.0), &none), 2.0);
    about(value(Statistic::PeopleGone, 20.0), 2.0);
    about(score(proven(Statistic::PeopleGone, 20.0), &none), 1.0);
    about(value(Statistic::PeopleCame, 20.0), 2.0);
    about(score(proven(Statistic::PeopleCame, 20.0), &none), 2.0);
    about(value(Statistic::Orphaned, 20.0), 3.0);
    about(score(proven(Statistic::Orphaned, 20.0), &none), 3.0);
    // Never less than nothing.
    about(value(Statistic::PeopleGone, 2.0), 0.0);
    about(score(proven(Statistic::PeopleGone, 4.0), &none), 0.0);
    about(score(proven(Statistic::Along, 1.0), &none), 0.0);
}

#[test]
fn a_shape_is_never_more_than_one_power_more_unusual_than_chance_makes_it() {
    let none = Memory::default();
    let never = |value| score(measure(Statistic::Run, value, 2, 100), &none);
    // Nobody ever saw a run: once in 101 syncs, and less the longer it is.
    about(never(0.5), 1.5);
    about(never(0.75), 1.75);
    about(score(measure(Statistic::Tail, 2.0, 5, 100), &none), 1.0);
}

#[test]
fn a_release_counts_from_the_second_time_on_and_a_mass_loss_never() {
    let value = |statistic| measure(statistic, 2.0, 5, 100);
    for (releases, own) in [(1, 0.0), (2, 1.0), (3, 2.0)] {
        let memory = of(Statistic::Orphaned, releases, 2.0, Learned::Released);
        let expected = -((own + 30.0) / (releases as f64 + 300.0)).log10();
        about(score(value(Statistic::Orphaned), &memory), expected);
    }
    let released = |statistic, count, of| {
        let one = step(vec![measure(statistic, 2.0, count, of)]);
        let memory =
            (0..3).fold(Memory::default(), |memory, _| memory.learn(&one, Learned::Released));
        found(value(statistic), &memory).known.is_some()
    };
    // Ten records that are a tenth of all are a mass.
    assert!(!released(Statistic::Along, 10, 100));
    assert!(released(Statistic::Along, 10, 101));
    assert!(released(Statistic::Along, 9, 20));
    assert!(!released(Statistic::PeopleGone, 60, 300));
    assert!(released(Statistic::Orphaned, 60, 300), "no loss by amount");
}

#[test]
fn the_largest_that_is_known_is_told_of_here_and_elsewhere() {
    let mut memory = Memory::default();
    for (value, learned) in
        [(3.0, Learned::Accepted), (5.0, Learned::Released), (1.0, Learned::Accepted)]
    {
        memory = memory.learn(&step(vec![measure(Statistic::Orphaned, value, 1, 100)]), learned);
    }
    let one = found(measure(Statistic::Orphaned, 2.0, 5, 100), &memory);
    assert_eq!((one.known, one.elsewhere), (Some(5.0), 2.0));
    let unknown = found(measure(Statistic::Retyped, 2.0, 5, 100), &memory);
    assert_eq!((unknown.known, unknown.elsewhere), (None, 0.0));
}

#[test]
fn the_most_unusual_comes_first() {
    let measures =
        [1.0, 20.0, 4.0].iter().zip([Statistic::Along, Statistic::Orphaned, Statistic::PeopleCame]);
    let step =
        step(measures.map(|(value, statistic)| measure(statistic, *value, 5, 100)).collect());
    let order: Vec<_> = assess(&step, &Memory::default(), &prior())
        .into_iter()
        .map(|one| one.measure.statistic)
        .collect();
    // 3.0, then 1.0, then 0.6.
    assert_eq!(order, [Statistic::Orphaned, Statistic::Along, Statistic::PeopleCame]);
}

/// A prior of a thousand syncs, so many of which had each value.
fn counted(values: &[(f64, usize)]) -> Prior {
    let values = values.iter().flat_map(|(value, syncs)| vec![*value; *syncs]).collect();
    Prior::of(&[(1_000, BTreeMap::from([(Statistic::Orphaned, values)]))])
}

/// How many of the thousand a prior says had at least such a value.
fn share(prior: &Prior, value: f64) -> f64 {
    let step = step(vec![measure(Statistic::Orphaned, value, 5, 100)]);
    let found = assess(&step, &Memory::default(), prior);
    1_000.0 / 10_f64.powf(found[0].score)
}

#[test]
fn a_value_that_honest_syncs_had_is_as_likely_as_all_that_are_as_large() {
    let prior = counted(&[(2.0, 100), (1.0, 100)]);
    about(share(&prior, 2.0), 100.0);
    about(share(&prior, 1.0), 200.0);
    about(share(&prior, 1.5), 200.0);
    about(share(&prior, 0.5), 200.0);
    // What everybody has is not unusual at all.
    about(share(&counted(&[(2.0, 1_000)]), 2.0), 1_000.0);
    // What nobody could have is so by twelve powers of ten and no more.
    let none = Memory::default();
    about(score(measure(Statistic::Orphaned, 1e9, 5, 100), &none), 12.0);
}

#[test]
fn a_prior_keeps_points_that_are_a_quarter_more_than_the_last() {
    // 124 are less than a quarter more than a hundred, 127 are more.
    let prior = counted(&[(4.0, 100), (3.0, 24), (2.0, 3)]);
    about(share(&prior, 4.0), 100.0);
    about(share(&prior, 3.0), 127.0);
    // And no more than twenty-four of them, the largest values first.
    let mut sum = 0;
    let curve: Vec<(f64, usize)> = (0..25)
        .map(|point| {
            let next = if point == 0 { 1 } else { sum + sum * 3 / 10 + 1 };
            let more = next - sum;
            sum = next;
            (f64::from(30 - point), more)
        })
        .collect();
    let at = |point: usize| curve[..=point].iter().map(|(_, syncs)| *syncs as f64).sum::<f64>();
    let prior = {
        let values = curve.iter().flat_map(|(value, syncs)| vec![*value; *syncs]).collect();
        Prior::of(&[(100_000, BTreeMap::from([(Statistic::Orphaned, values)]))])
    };
    for (value, point) in [(30.0, 0), (8.0, 22), (7.0, 23), (6.0, 23)] {
        about(share(&prior, value) * 100.0, at(point));
    }
}

#[test]
fn each_source_of_a_prior_counts_the_same_however_large() {
    let of = |syncs, had| (syncs, BTreeMap::from([(Statistic::Orphaned, vec![2.0; had])]));
    let prior = Prior::of(&[of(1_000, 100), of(10, 5)]);
    about(share(&prior, 2.0), 300.0);
}

#[test]
fn every_statistic_is_weighed_by_what_it_speaks_of() {
    use Statistic as S;
    // Losses, of which a proven one is a change; the first two take what somebody decided to remove.
    let mild_losses = [S::PeopleGone, S::ThingsGone];
    let losses = [
        S::Along,
        S::Held,
        S::GrantCauses,
        S::GrantsGone,
        S::Apart,
        S::LossAlone,
        S::CausesAlone,
        S::EmptiedAlone,
        S::Emptied,
        S::LossSum,
    ];
    // What takes nobody's access away by itself.
    let mild = [
        S::Filled,
        S::Cleared,
        S::Rewritten,
        S::PeopleCame,
        S::ThingsCame,
        S::GrantsCame,
        S::Lowered,
        S::Changed,
        S::Returned,
    ];
    let shapes = [
        S::Tail,
        S::Run,
        S::GrantTail,
        S::GrantRun,
        S::TargetTails,
        S::PageCap,
        S::LossDays,
        S::TailSum,
    ];
    for statistic in Statistic::ALL {
        // Where nothing is known, a thousand records are six powers of ten from one.
        let score = |value, proven| {
            let measure = Measure { proven, ..measure(*statistic, value, 1_000, 2_000) };
            let step = step(vec![measure]);
            assess(&step, &Memory::default(), &Prior::default())[0].score
        };
        let (open, proven) = match statistic {
            loss if mild_losses.contains(loss) => (5.0, 4.0),
            loss if losses.contains(loss) => (6.0, 5.0),
            mild_one if mild.contains(mild_one) => (5.0, 5.0),
            _ => (6.0, 6.0),
        };
        about(score(10.0, false), open);
        about(score(10.0, true), proven);
        // A shape is one power more than chance makes it, and how many syncs lost something is none.
        let least = match statistic {
            S::LossDays => 2.0,
            shape if shapes.contains(shape) => 3.0,
            _ => open,
        };
        about(score(2.0, false), least);
    }
}
