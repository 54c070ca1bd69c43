//! What a step is, seen together with the twenty before it: small losses that add up, records that come
//! and go, contents that come back.

use cordon_validate::detect::{Learned, Measure, Memory, Prior, Statistic, Step, assess};

use super::day::{Day, and, listed, member, step, user, without};

/// A step of a source of four hundred records, whose root is twenty.
fn lost(causes: u64, tail: f64) -> Step {
    Step { changed: true, causes, tail, records: 400, ..Step::default() }
}

fn learn(memory: Memory, steps: &[Step]) -> Memory {
    steps.iter().fold(memory, |memory, step| memory.learn(step, Learned::Accepted))
}

/// What is recalled of this statistic when the step comes.
fn recalled(memory: &Memory, step: &Step, statistic: Statistic) -> Option<Measure> {
    let all = assess(step, memory, Prior::shipped());
    all.into_iter().map(|one| one.measure).find(|measure| measure.statistic == statistic)
}

#[track_caller]
fn told(measure: Option<Measure>, expected: (u64, u64, f64)) {
    let measure = measure.expect("it is recalled");
    assert_eq!((measure.count, measure.of), (expected.0, expected.1));
    assert!((measure.value - expected.2).abs() < 1e-6, "{} is not {}", measure.value, expected.2);
}

/// Powers of ten by which it is improbable that of so many at least so many come, each with this
/// probability.
fn binomial(all: u32, least: u32, rate: f64) -> f64 {
    let ways =
        |count: u32| (0..count).map(|i| f64::from(all - i) / f64::from(i + 1)).product::<f64>();
    let share = |count: u32| {
        ways(count) * rate.powf(f64::from(count)) * (1.0 - rate).powf(f64::from(all - count))
    };
    -(least..=all).map(share).sum::<f64>().log10()
}

#[test]
fn causes_of_loss_are_added_up_over_twenty_syncs_and_this_one() {
    let sum = |syncs: usize| {
        let memory = learn(Memory::default(), &vec![lost(2, 0.0); syncs]);
        recalled(&memory, &lost(3, 0.0), Statistic::LossSum)
    };
    told(sum(0), (3, 400, 0.15));
    told(sum(4), (11, 400, 0.55));
    told(sum(20), (43, 400, 2.15));
    told(sum(50), (43, 400, 2.15));
    // What loses nothing itself adds up to nothing, and what changed nothing is not looked at.
    let memory = learn(Memory::default(), &vec![lost(2, 0.0); 20]);
    assert_eq!(recalled(&memory, &lost(0, 0.0), Statistic::LossSum), None);
    let still = Step { changed: false, ..lost(3, 0.0) };
    assert_eq!(recalled(&memory, &still, Statistic::LossSum), None);
}

#[test]
fn a_sum_is_learnt_when_its_window_is_over_and_one_that_was_learnt_sync_by_sync_is_forgotten() {
    let of = |memory: &Memory| {
        let all = assess(&lost(2, 0.0), memory, Prior::shipped());
        all.into_iter().find(|one| one.measure.statistic == Statistic::LossSum).unwrap()
    };
    let leak = |syncs| learn(Memory::default(), &vec![lost(2, 0.0); syncs]);
    assert_eq!(of(&leak(19)).known, None);
    // Twenty syncs of two causes, by the root of four hundred records.
    assert_eq!(of(&leak(20)).known, Some(2.0));
    assert_eq!(of(&leak(39)).known, Some(2.0));
    let (first, later) = (of(&leak(19)).score, of(&leak(39)).score);
    assert!(later < 1.3 && later < first, "a window stands for all its syncs: {later}, {first}");

    let mut stored = serde_json::to_value(leak(44)).unwrap();
    stored.as_object_mut().unwrap().remove("running").unwrap();
    let old: Memory = serde_json::from_value(stored).unwrap();
    assert!(of(&old).score >= first, "{}", of(&old).score);
    assert_eq!(of(&learn(old, &[lost(2, 0.0)])).known, None);
}

#[test]
fn what_a_person_released_is_no_part_of_a_leak() {
    let released = Memory::default().learn(&lost(50, 3.0), Learned::Released);
    let memory = learn(released, &[lost(2, 1.0)]);
    told(recalled(&memory, &lost(3, 0.5), Statistic::LossSum), (5, 400, 0.25));
    told(recalled(&memory, &lost(3, 0.5), Statistic::TailSum), (2, 3, 1.5));
}

#[test]
fn losses_at_ends_of_listings_are_added_up_too() {
    let memory =
        learn(Memory::default(), &[lost(1, 0.5), lost(1, 0.0), lost(0, 0.0), lost(1, 2.0)]);
    told(recalled(&memory, &lost(1, 1.0), Statistic::TailSum), (3, 5, 3.5));
    told(recalled(&memory, &lost(1, 0.0), Statistic::TailSum), (2, 5, 2.5));
}

#[test]
fn how_many_syncs_lost_something_is_held_against_how_many_usually_do() {
    let days = |steps: &[Step]| {
        let memory = learn(Memory::default(), steps);
        recalled(&memory, &lost(1, 0.0), Statistic::LossDays)
    };
    assert_eq!(days(&vec![lost(1, 0.0); 8]), None);
    // A tenth is taken for usual where nothing is known, as if it had been seen in twenty syncs.
    told(days(&vec![lost(1, 0.0); 9]), (10, 10, binomial(10, 10, 11.0 / 29.0)));
    let mut mixed = vec![lost(0, 0.0); 12];
    for day in [2, 5, 11] {
        mixed[day] = lost(4, 0.0);
    }
    told(days(&mixed), (4, 13, binomial(13, 4, 5.0 / 32.0)));
    // Of forty syncs the last twenty count, and all of them for what is usual.
    let mut long = vec![lost(0, 0.0); 40];
    for day in [1, 30, 35] {
        long[day] = lost(1, 0.0);
    }
    told(days(&long), (3, 21, binomial(21, 3, 5.0 / 60.0)));
}

fn moved(went: &[u32], came: &[u32]) -> Step {
    Step { went: went.to_vec(), came: came.to_vec(), ..lost(0, 0.0) }
}

#[test]
fn records_that_come_back_within_twenty_syncs_and_leave_again_are_counted() {
    let gone = learn(Memory::default(), &[moved(&[1, 2, 3], &[])]);
    told(recalled(&gone, &moved(&[], &[2, 3, 9]), Statistic::Returned), (2, 3, 0.1));
    assert_eq!(recalled(&gone, &moved(&[1, 2], &[]), Statistic::Vanished), None);
    let back = learn(gone.clone(), &[moved(&[], &[2, 3, 9])]);
    told(recalled(&back, &moved(&[3, 9, 1], &[]), Statistic::Vanished), (1, 3, 0.05));
    // Twenty quiet syncs later they are known, one more later they are not.
    let quiet = |memory: &Memory, syncs| learn(memory.clone(), &vec![lost(0, 0.0); syncs]);
    let returns =
        |memory: &Memory| recalled(memory, &moved(&[], &[2]), Statistic::Returned).is_some();
    assert_eq!([20, 21].map(|syncs| returns(&quiet(&gone, syncs))), [true, false]);
    let vanishes =
        |memory: &Memory| recalled(memory, &moved(&[3], &[]), Statistic::Vanished).is_some();
    assert_eq!([20, 21].map(|syncs| vanishes(&quiet(&back, syncs))), [true, false]);
}

#[test]
fn an_older_content_is_told_by_how_many_came_since() {
    let content = |content| Step { content, ..lost(0, 0.0) };
    let memory = learn(Memory::default(), &[content(1), content(2), content(2), content(3)]);
    assert_eq!(memory.content(), 3);
    told(recalled(&memory, &content(1), Statistic::Replayed), (2, 3, 2.0));
    told(recalled(&memory, &content(2), Statistic::Replayed), (1, 3, 1.0));
    for known in [3, 4] {
        assert_eq!(recalled(&memory, &content(known), Statistic::Replayed), None);
    }
    // Five hundred and twelve contents are known, and the first is forgotten then.
    let many: Vec<Step> = (1..=513).map(content).collect();
    let memory = learn(Memory::default(), &many);
    assert_eq!(recalled(&memory, &content(1), Statistic::Replayed), None);
    told(recalled(&memory, &content(2), Statistic::Replayed), (511, 512, 511.0));
}

#[test]
fn users_and_single_grants_that_come_and_go_are_recognised_by_their_keys() {
    let whole = and(&listed(20, 5), (0..10).flat_map(|n| [member(n, 1), member(n, 2)]));
    let less = without(&whole, &[user(15), user(16), member(3, 1), member(4, 2)]);
    let other = and(&whole, [user(20), member(3, 3), member(3, 4), member(4, 3)]);
    let gone = Memory::default().learn(&step(&whole, &less), Learned::Accepted);
    let found = |memory: &Memory, before: &Day, after: &Day, statistic| {
        recalled(memory, &step(before, after), statistic).map(|it| (it.count, it.of))
    };
    assert_eq!(found(&gone, &less, &whole, Statistic::Returned), Some((4, 4)));
    // Other grants of the same people, and other people, are not those that left.
    assert_eq!(found(&gone, &whole, &other, Statistic::Returned), None);
    let back = gone.learn(&step(&less, &whole), Learned::Accepted);
    assert_eq!(found(&back, &whole, &less, Statistic::Vanished), Some((4, 4)));
    let (left, right) = (&whole, without(&whole, &[user(15), member(5, 1)]));
    assert_eq!(found(&back, left, &right, Statistic::Vanished), Some((1, 2)));
}

#[test]
fn of_a_step_no_more_keys_are_remembered_than_its_bound() {
    let (whole, none) = (listed(2_100, 0), Day::new());
    assert_eq!(step(&whole, &none).went.len(), 2_048);
    assert_eq!(step(&none, &whole).came.len(), 2_048);
}

#[test]
fn a_step_says_whether_anything_changed() {
    let day: Day = (0..3).map(user).collect();
    let mut turned = day.clone();
    turned.reverse();
    assert!(!step(&day, &turned).changed);
    assert!(step(&day, &turned[..2]).changed);
    assert_eq!(Step::unchanged(7), Step { content: 7, ..Step::default() });
}

#[test]
fn how_many_syncs_lost_something_is_never_odder_than_chance_makes_it() {
    let mut mixed = vec![lost(0, 0.0); 16];
    mixed.extend(vec![lost(1, 0.0); 4]);
    let memory = learn(Memory::default(), &mixed);
    let found = assess(&lost(1, 0.0), &memory, Prior::shipped());
    let days = found.iter().find(|one| one.measure.statistic == Statistic::LossDays).unwrap();
    // Five of twenty-one, where six of forty usually do.
    let chance = binomial(21, 5, 6.0 / 40.0);
    assert!((days.measure.value - chance).abs() < 1e-6, "{}", days.measure.value);
    assert!(days.score <= chance + 1e-9, "{} is more than {chance}", days.score);
}
