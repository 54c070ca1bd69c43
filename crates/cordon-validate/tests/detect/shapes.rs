//! Losses of the same size are told apart by where they are and what explains them.

use cordon_validate::detect::{HOLD, Learned, Measure, Memory, Prior, Statistic, Step, assess};

use super::source::{Source, assessed, in_order, score, step};

fn of(before: &Source, after: &Source, statistic: Statistic) -> Option<f64> {
    let found = assessed(before, after, false);
    found.iter().find(|one| one.measure.statistic == statistic).map(|one| one.score)
}

#[test]
fn three_leavers_pass_and_the_last_three_of_the_listing_are_held() {
    let source = Source::of(300, 6);
    assert!(score(&source, &source.without(&[61, 143, 221])) < HOLD);
    assert!(score(&source, &source.without(&[297, 298, 299])) >= HOLD);
}

#[test]
fn the_newest_account_alone_is_no_lost_end() {
    let source = Source::of(300, 6);
    assert_eq!(of(&source, &source.without(&[299]), Statistic::Tail), None);
    assert!(of(&source, &source.without(&[298, 299]), Statistic::Tail).is_some());
}

#[test]
fn new_values_of_less_than_half_are_a_day_like_any_other_and_those_of_half_are_not() {
    let source = Source::of(300, 6);
    let rewritten = |count: u32| {
        let mut after = source.clone();
        for user in 0..count {
            after.users.insert(user, format!("other-{user}"));
        }
        of(&source, &after, Statistic::Rewritten)
    };
    assert_eq!(rewritten(149), None);
    assert!(rewritten(150).is_some());
}

/// One member gone of each of seven groups, all of them other people.
fn here_and_there(source: &Source) -> Source {
    let mut left = source.clone();
    for (group, user) in [(20, 22), (21, 23), (22, 24), (23, 25), (24, 26), (25, 27), (26, 28)] {
        assert!(left.members.remove(&(group, user)));
    }
    left
}

#[test]
fn grants_lost_here_and_there_are_held_and_as_many_of_one_group_are_not() {
    let source = Source::of(300, 40);
    let left = here_and_there(&source);
    assert!(of(&source, &left, Statistic::CausesAlone).unwrap() >= HOLD);
    let mut cleared = source.clone();
    for user in [2, 4, 6, 8, 10, 12, 14] {
        assert!(cleared.members.remove(&(0, user)));
    }
    assert!(score(&source, &cleared) < HOLD);
}

#[test]
fn losses_are_odder_where_nothing_else_was_done() {
    let source = Source::of(300, 40);
    let mut alone = here_and_there(&source);
    alone.members.retain(|(group, _)| *group != 30);
    let mut beside = alone.clone();
    beside.users.insert(300, "name-300".to_owned());
    for statistic in [Statistic::CausesAlone, Statistic::LossAlone, Statistic::EmptiedAlone] {
        assert!(of(&source, &alone, statistic).is_some(), "{statistic:?}");
        assert_eq!(of(&source, &beside, statistic), None, "{statistic:?}");
    }
    assert!(of(&source, &beside, Statistic::Emptied).is_some());
}

#[test]
fn what_few_leavers_held_says_nothing_beside_other_work() {
    let source = Source::of(300, 6);
    let day = |leavers: u32, joins: bool| {
        let mut after = source.without(&(0..leavers).map(|n| n * 12).collect::<Vec<u32>>());
        if joins {
            after.users.insert(300, "name-300".to_owned());
        }
        of(&source, &after, Statistic::Held)
    };
    assert!(day(11, false).is_some());
    assert_eq!(day(11, true), None);
    // A twenty-fifth of all people.
    assert!(day(12, true).is_some());
}

#[test]
fn leavers_who_had_nothing_in_common_are_told_from_a_team() {
    let mut source = Source::of(300, 40);
    source.members.retain(|(group, _)| *group >= 20);
    // Group 38 has every fortieth user, 37 every thirty-ninth.
    let apart = source.without(&[39, 40, 37]);
    assert!(of(&source, &apart, Statistic::Apart).is_some());
    let team = source.without(&[40, 80, 120]);
    assert_eq!(of(&source, &team, Statistic::Apart), None);
}

#[test]
fn a_few_who_are_switched_off_are_leavers_and_a_tenth_is_held() {
    let switched = |count: u64| {
        let measure = Measure {
            statistic: Statistic::Flipped,
            value: count as f64 / 600_f64.sqrt(),
            subject: "user.status".to_owned(),
            count,
            of: 600,
            proven: false,
            examples: Vec::new(),
        };
        let step = Step { measures: vec![measure], changed: true, ..Step::default() };
        let found = assess(&step, &Memory::default(), Prior::shipped());
        found.first().map_or(0.0, |most| most.score)
    };
    assert!(switched(5) < HOLD);
    assert!(switched(60) >= HOLD);
}

#[test]
fn grants_of_who_is_switched_off_went_with_that() {
    let source = Source::of(300, 6);
    let mut stripped = source.clone();
    stripped.members.retain(|(_, user)| *user % 60 != 0);
    assert!(of(&source, &stripped, Statistic::GrantCauses).is_some());
    stripped.off.extend((0..5).map(|n| n * 60));
    assert_eq!(of(&source, &stripped, Statistic::GrantCauses), None);
    assert!(of(&source, &stripped, Statistic::Flipped).is_some());
}

#[test]
fn strangers_bring_things_of_their_own_and_joiners_do_not() {
    let source = Source::of(300, 6);
    let mut joined = source.clone();
    joined.users.extend((300..310).map(|user| (user, format!("name-{user}"))));
    assert_eq!(of(&source, &joined, Statistic::Island), None);
    joined.groups.insert(6);
    joined.members.extend((300..310).map(|user| (6, user)));
    assert!(of(&source, &joined, Statistic::Island).is_some());
}

#[test]
fn the_newest_member_alone_is_no_lost_end_of_a_group() {
    let source = Source::of(300, 6);
    let mut left = source.clone();
    assert!(left.members.remove(&(0, 298)));
    assert_eq!(of(&source, &left, Statistic::TargetTails), None);
    assert!(left.members.remove(&(0, 296)));
    assert!(of(&source, &left, Statistic::TargetTails).is_some());
}

#[test]
fn how_many_syncs_lost_something_says_nothing_before_the_tenth() {
    let (mut memory, mut before) = (Memory::default(), Source::of(300, 6));
    for day in 0..12 {
        let after = before.without(&[day * 7 + 3]);
        let step = step(&before, &after, false, in_order);
        let found = assess(&step, &memory, Prior::shipped());
        let speaks = found.iter().any(|one| one.measure.statistic == Statistic::LossDays);
        assert_eq!(speaks, day >= 9, "sync {}", day + 1);
        (memory, before) = (memory.learn(&step, Learned::Accepted), after);
    }
}

#[test]
fn one_leaver_with_all_grants_is_one_cause() {
    let source = Source::of(300, 6);
    let left = source.without(&[60]);
    assert!(source.members.len() - left.members.len() >= 5);
    let found = assessed(&source, &left, false);
    assert!(found.iter().all(|one| one.measure.statistic != Statistic::GrantsGone), "{found:?}");
    assert!(score(&source, &left) < HOLD);
}

#[test]
fn a_page_that_is_missing_from_the_middle_is_held() {
    let source = Source::of(500, 6);
    let page: Vec<u32> = (100..150).collect();
    assert!(of(&source, &source.without(&page), Statistic::Run).unwrap() >= HOLD);
}

#[test]
fn a_group_that_lost_all_its_members_is_held_and_one_that_went_with_them_is_not() {
    let source = Source::of(300, 6);
    let mut emptied = source.clone();
    emptied.members.retain(|(group, _)| *group != 4);
    assert!(of(&source, &emptied, Statistic::Emptied).unwrap() >= HOLD);
    emptied.groups.remove(&4);
    assert_eq!(of(&source, &emptied, Statistic::Emptied), None);
}

#[test]
fn grants_of_principals_that_are_gone_are_held() {
    let source = Source::of(300, 6);
    let mut left = source.clone();
    for user in [30, 60, 90, 120, 150, 180] {
        left.users.remove(&user);
    }
    assert!(of(&source, &left, Statistic::Orphaned).unwrap() >= HOLD);
}

#[test]
fn ids_that_changed_are_recognised_and_the_new_ones_proposed() {
    let source = Source::of(300, 6);
    let mut moved = source.without(&[10, 20, 30, 40, 50, 60]);
    for user in [10, 20, 30, 40, 50, 60] {
        moved.users.insert(user + 1_000, format!("name-{user}"));
    }
    let found = assessed(&source, &moved, false);
    let rekeyed = found.iter().find(|one| one.measure.statistic == Statistic::Rekeyed).unwrap();
    assert!(rekeyed.score >= HOLD);
    assert_eq!(rekeyed.measure.count, 6);
    assert!(rekeyed.measure.examples.contains(&"user:u10 is now user:u1010".to_owned()));
}

#[test]
fn logins_that_all_changed_their_case_are_held_and_one_login_is_not() {
    let source = Source::of(300, 6);
    let mut cased = source.clone();
    cased.users.insert(7, "NAME-7".to_owned());
    assert!(score(&source, &cased) < HOLD);
    for (id, name) in &mut cased.users {
        *name = format!("NAME-{id}");
    }
    assert!(of(&source, &cased, Statistic::Recased).unwrap() >= HOLD);
}

#[test]
fn a_loss_that_the_sources_total_proves_weighs_less_and_has_no_shape() {
    let source = Source::of(300, 6);
    let left = source.without(&(280..300).collect::<Vec<u32>>());
    let (open, proven) = (assessed(&source, &left, false), assessed(&source, &left, true));
    let held = |found: &[cordon_validate::detect::Assessed], statistic: Statistic| {
        found.iter().find(|one| one.measure.statistic == statistic).map(|one| one.score)
    };
    assert!(held(&open, Statistic::Tail).unwrap() >= HOLD);
    assert_eq!(held(&proven, Statistic::Tail), None);
    let (open, proven) =
        (held(&open, Statistic::Held).unwrap(), held(&proven, Statistic::Held).unwrap_or_default());
    assert!(proven < open, "{proven} is not below {open}");
}

/// In which of twenty syncs a leak of half a percent is held by what it adds up to, after so many in
/// which nothing changed. Somebody joins in each: who works in the source does more than take away.
fn leak_held_after(quiet: u32) -> Option<u32> {
    let mut source = Source::of(1_000, 6);
    let mut memory = Memory::default();
    let same = step(&source, &source, false, in_order);
    for _ in 0..quiet {
        memory = memory.learn(&same, Learned::Accepted);
    }
    (1..=20_u32).find(|sync| {
        let leavers: Vec<u32> = (0..5).map(|n| (sync * 5 + n) * 97 % 1_000).collect();
        let mut next = source.without(&leavers);
        next.users.insert(5_000 + sync, format!("name-{sync}"));
        let lost = step(&source, &next, false, in_order);
        let found = assess(&lost, &memory, Prior::shipped());
        let sums = [Statistic::LossSum, Statistic::LossDays];
        let of_sums = found.iter().filter(|one| sums.contains(&one.measure.statistic));
        let most = of_sums.map(|one| one.score).fold(0.0, f64::max);
        // What is let pass is learnt, and must not make the next of it usual.
        memory = std::mem::take(&mut memory).learn(&lost, Learned::Accepted);
        source = next;
        most >= HOLD
    })
}

#[test]
fn half_a_percent_lost_every_sync_is_held_within_twenty_syncs() {
    for quiet in 55..75 {
        let held = leak_held_after(quiet);
        assert!(held.is_some(), "after {quiet} quiet syncs");
    }
}

#[test]
fn an_older_content_that_comes_back_is_held() {
    let first = Source::of(300, 6);
    let days =
        [first.clone(), first.without(&[8]), first.without(&[8, 33]), first.without(&[8, 33, 71])];
    let mut memory = Memory::default();
    let start = step(&first, &first, false, in_order);
    memory = memory.learn(&start, Learned::Accepted);
    for pair in days.windows(2) {
        memory = memory.learn(&step(&pair[0], &pair[1], false, in_order), Learned::Accepted);
    }
    let back = step(&days[3], &first, false, in_order);
    let found = assess(&back, &memory, Prior::shipped());
    let replayed = found.iter().find(|one| one.measure.statistic == Statistic::Replayed).unwrap();
    assert_eq!(replayed.measure.count, 3);
    assert!(replayed.score >= HOLD);
}

#[test]
fn a_mass_loss_that_was_released_does_not_make_the_next_usual() {
    let source = Source::of(300, 6);
    let leavers: Vec<u32> = (0..60).map(|n| n * 5).collect();
    let loss = step(&source, &source.without(&leavers), false, in_order);
    let memory = Memory::default();
    let score = |memory: &Memory| {
        let found = assess(&loss, memory, Prior::shipped());
        let held = found.iter().find(|one| one.measure.statistic == Statistic::Held);
        held.map_or(0.0, |one| one.score)
    };
    let before = score(&memory);
    let mut released = memory;
    for _ in 0..3 {
        released = released.learn(&loss, Learned::Released);
    }
    assert!(before >= HOLD && score(&released) >= HOLD);
}

#[test]
fn a_sync_that_repeats_the_accepted_one_is_not_unusual() {
    let source = Source::of(300, 6);
    let mut memory = Memory::default();
    let changed = step(&source, &source.without(&[3, 4, 299]), false, in_order);
    memory = memory.learn(&changed, Learned::Released);
    let left = source.without(&[3, 4, 299]);
    let again: Step = step(&left, &left, false, in_order);
    assert!(assess(&again, &memory, Prior::shipped()).is_empty());
}
