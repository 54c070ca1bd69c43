//! Losses are judged by their company: a step that brings nothing and changes nothing else is measured
//! apart, and what few leavers held says nothing beside other work.

use cordon_validate::detect::Statistic;

use super::day::{
    Day, Record, and, counted, group, held_by, listed, measure, member, text, thing, user, without,
};

/// So many users, each in three groups of thirty: user `n` in the groups `n`, `n + 1` and `n + 2`.
fn company(users: u32) -> Day {
    let grants = (0..users).flat_map(|n| (0..3).map(move |step| member(n, (n + step) % 30)));
    and(&listed(users, 30), grants)
}

/// All that a user is and holds.
fn whole(number: u32) -> Vec<Record> {
    let grants = (0..3).map(|step| member(number, (number + step) % 30));
    [user(number)].into_iter().chain(grants).collect()
}

/// The same day after a user got another title.
fn with_work(day: &Day) -> Day {
    let of = |it: &Record| {
        if *it == user(99) { it.clone().with("title", text("head")) } else { it.clone() }
    };
    day.iter().map(of).collect()
}

/// The ways in which a step brings or changes something beside what it lost.
fn beside(after: &Day) -> [Day; 4] {
    [
        with_work(after),
        and(after, [user(500)]),
        and(after, [group(500)]),
        and(after, [member(98, 20)]),
    ]
}

#[test]
fn causes_of_loss_alone_are_two_or_more() {
    let day = company(100);
    let gone = |gone: &[Record]| counted(&day, &without(&day, gone), Statistic::LossAlone);
    let all = day.len() as u64;
    assert_eq!(gone(&whole(1)), None);
    assert_eq!(gone(&[whole(1), whole(40)].concat()), Some((2, all)));
    assert_eq!(gone(&[member(1, 1), member(40, 10)]), Some((2, all)));
    assert_eq!(gone(&[member(1, 1), member(1, 2)]), None, "one cause");
    assert_eq!(gone(&[whole(1), vec![member(40, 10)], vec![group(29)]].concat()), Some((3, all)));
    let nine: Vec<Record> = (0..9).map(|n| member(n * 7, n * 7 % 30)).collect();
    let told = measure(&day, &without(&day, &nine), Statistic::LossAlone).unwrap();
    assert_eq!((told.count, told.examples.len()), (9, 5));
}

#[test]
fn a_step_that_brings_or_changes_anything_did_not_only_lose() {
    let day = company(100);
    let mut gone = [whole(1), whole(40)].concat();
    gone.extend([member(12, 12), member(25, 26)]);
    // A group that nobody else is in.
    let day = and(&day, [group(100), member(70, 100), member(71, 100), member(72, 100)]);
    gone.extend([member(70, 100), member(71, 100), member(72, 100)]);
    let after = without(&day, &gone);
    for statistic in [Statistic::LossAlone, Statistic::CausesAlone, Statistic::EmptiedAlone] {
        assert!(counted(&day, &after, statistic).is_some(), "{statistic:?}");
        for after in beside(&after) {
            assert_eq!(counted(&day, &after, statistic), None, "{statistic:?}");
        }
    }
    assert_eq!(counted(&day, &after, Statistic::CausesAlone).map(|it| it.0), Some(3));
    assert_eq!(counted(&day, &after, Statistic::EmptiedAlone).map(|it| it.0), Some(3));
    for after in beside(&after) {
        assert_eq!(counted(&day, &after, Statistic::GrantCauses).map(|it| it.0), Some(3));
        assert_eq!(counted(&day, &after, Statistic::Emptied).map(|it| it.0), Some(3));
    }
}

#[test]
fn what_leavers_held_is_counted_beyond_one_each_and_without_whoever_held_most() {
    let day = company(100);
    // Three grants each, and of the first five.
    let first = [member(0, 20), member(0, 21)];
    let day = and(&day, first.clone());
    let held = |leavers: &[u32]| {
        let mut gone: Vec<Record> = leavers.iter().flat_map(|n| whole(*n)).collect();
        gone.extend(first.iter().filter(|_| leavers.contains(&0)).cloned());
        counted(&day, &without(&day, &gone), Statistic::Held)
    };
    let all = 302;
    assert_eq!(held(&[0]), None, "one leaver who held much is one leaver");
    assert_eq!(held(&[0, 10]), None, "two beyond one of the other are below three");
    assert_eq!(held(&[0, 10, 50]), Some((4, all)));
    assert_eq!(held(&[10, 50, 70]), Some((4, all)));
}

#[test]
fn three_grants_beyond_one_each_are_the_least_that_leavers_are_told_to_have_held() {
    let held = |sizes: [u32; 3]| {
        let grants = |user| (0..sizes[user as usize]).map(move |group| member(user, group));
        let gone: Vec<Record> = (0..3).map(user).chain((0..3).flat_map(grants)).collect();
        let day = and(&listed(10, 8), gone[3..].iter().cloned());
        counted(&day, &without(&day, &gone), Statistic::Held).map(|it| it.0)
    };
    assert_eq!(held([2, 4, 2]), None);
    assert_eq!(held([2, 4, 3]), Some(3));
    assert_eq!(held([1, 4, 4]), Some(3));
}

#[test]
fn leavers_are_people_who_are_gone() {
    let day = company(100);
    // Five who stay lost two grants each.
    let stripped =
        (0..5).flat_map(|n| [member(n * 7, n * 7 % 30), member(n * 7, (n * 7 + 1) % 30)]);
    let after = without(&day, &stripped.collect::<Vec<_>>());
    for statistic in [Statistic::Held, Statistic::Apart] {
        assert_eq!(counted(&day, &after, statistic), None, "{statistic:?}");
    }
    // Robots are no people.
    let robots: Vec<Record> = (0..5).map(|n| thing("robot", format!("u{n}"))).collect();
    let held: Vec<Record> =
        (0..5).flat_map(|n| (0..3).map(move |g| held_by("robot", n, n * 3 + g, "m"))).collect();
    let day = and(&and(&day, robots.clone()), held.clone());
    let after = without(&day, &[robots, held].concat());
    for statistic in [Statistic::Held, Statistic::Apart] {
        assert_eq!(counted(&day, &after, statistic), None, "{statistic:?}");
    }
}

#[test]
fn few_leavers_beside_other_work_are_less_than_a_twenty_fifth_of_the_people() {
    for (people, few) in [(100, 3), (101, 4), (125, 4)] {
        let day = company(people);
        for statistic in [Statistic::Held, Statistic::Apart] {
            let speaks = |leavers: u32, work: bool| {
                let gone: Vec<Record> = (0..leavers).flat_map(|n| whole(n * 7)).collect();
                let after = without(&day, &gone);
                let after = if work { with_work(&after) } else { after };
                counted(&day, &after, statistic).is_some()
            };
            // Four of a hundred are a twenty-fifth.
            assert!(speaks(few, false) && speaks(few + 1, false), "{statistic:?} of {people}");
            assert!(!speaks(few, true) && speaks(few + 1, true), "{statistic:?} of {people}");
        }
    }
}

#[test]
fn leavers_are_apart_where_each_is_the_only_one_that_some_target_lost() {
    let day = company(100);
    let apart = |leavers: &[u32]| {
        let gone: Vec<Record> = leavers.iter().flat_map(|n| whole(*n)).collect();
        counted(&day, &without(&day, &gone), Statistic::Apart)
    };
    assert_eq!(apart(&[5]), None, "one");
    assert_eq!(apart(&[5, 15]), Some((2, 100)));
    assert_eq!(apart(&[5, 15, 25]), Some((3, 100)));
    // They were in the same three groups.
    assert_eq!(apart(&[5, 35, 65]), None);
    // Neighbours share two of three groups, and the one between them all three.
    assert_eq!(apart(&[5, 6, 7]), Some((2, 100)));
    // One of another team, who is the only one apart.
    assert_eq!(apart(&[5, 35, 65, 15]), None);
}
