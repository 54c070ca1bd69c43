//! Ends and runs of a listing of grants, and of the listings of members in it: how improbable they are
//! is counted exactly.

use cordon_validate::detect::Statistic;

use super::day::{Day, Record, and, counted, listed, measure, member, step, user, without};

/// Powers of ten of how many ways there are to choose so many.
fn ways(all: u32, chosen: u32) -> f64 {
    (0..chosen).map(|i| (f64::from(all - i) / f64::from(i + 1)).log10()).sum()
}

/// So many groups, each with so many members of its own, listed group by group.
fn teams(groups: u32, of: u32) -> Day {
    let people = listed(groups * of, groups);
    and(&people, (0..groups).flat_map(|g| (0..of).map(move |m| in_team(of, g * of + m))))
}

/// The grant at this place of their listing.
fn in_team(of: u32, place: u32) -> Record {
    member(place, place / of)
}

fn lost(day: &Day, of: u32, places: impl IntoIterator<Item = u32>) -> Day {
    let gone: Vec<Record> = places.into_iter().map(|place| in_team(of, place)).collect();
    without(day, &gone)
}

#[track_caller]
fn told(before: &Day, after: &Day, statistic: Statistic, expected: Option<(u64, u64, f64)>) {
    let found = measure(before, after, statistic);
    assert_eq!(found.as_ref().map(|it| (it.count, it.of)), expected.map(|it| (it.0, it.1)));
    let (value, expected) = (found.map_or(0.0, |it| it.value), expected.map_or(0.0, |it| it.2));
    assert!((value - expected).abs() < 1e-6, "{value} is not {expected}");
}

#[test]
fn an_end_of_all_grants_is_an_end_of_one_target_and_whole_targets_after_it() {
    let day = teams(10, 10);
    let end = |places: Vec<u32>, expected| {
        told(&day, &lost(&day, 10, places), Statistic::GrantTail, expected);
    };
    // Half of the last team: five of ten members, in one team of ten.
    end((95..100).collect(), Some((5, 100, ways(10, 5) + ways(10, 1))));
    end((80..100).collect(), Some((20, 100, ways(10, 2))));
    end((85..100).collect(), Some((15, 100, ways(10, 2) + ways(10, 5))));
    // Another team lost one somewhere else: two of three teams are the last.
    let last_two_of_three = ways(10, 3) - ways(8, 1);
    let mut more: Vec<u32> = (85..100).collect();
    more.push(3);
    end(more, Some((15, 100, last_two_of_three + ways(10, 5))));
    // One that the last team lost elsewhere is none of its end.
    let mut gap: Vec<u32> = (95..100).collect();
    gap.push(91);
    end(gap, Some((5, 100, ways(10, 6) - ways(5, 1) + ways(10, 1))));
    end(vec![91, 92], None);
}

#[test]
fn grants_that_left_with_their_principals_belong_to_the_end_and_say_nothing() {
    let day = teams(10, 10);
    // The last three left; two before them lost their grants alone. Of the seven that could have, two.
    let leavers: Vec<Record> = (97..100).map(user).collect();
    let after = lost(&without(&day, &leavers), 10, 95..100);
    told(&day, &after, Statistic::GrantTail, Some((2, 100, ways(7, 2) + ways(10, 1))));
    let other = lost(&without(&day, &leavers), 10, 97..100);
    told(&day, &other, Statistic::GrantTail, None);
    let both = ways(100, 3) + ways(7, 2) + ways(10, 1);
    assert!((step(&day, &after).tail - both).abs() < 1e-6, "and the end of the people");
}

#[test]
fn a_run_of_grants_is_odd_where_it_does_not_end_with_its_target() {
    let day = teams(40, 5);
    let run = |places: Vec<u32>, expected| {
        told(&day, &lost(&day, 5, places), Statistic::GrantRun, expected);
    };
    let anywhere = 40_f64.log10();
    run((12..20).collect(), Some((8, 200, ways(40, 2) - anywhere)));
    run((12..32).collect(), Some((20, 200, ways(40, 5) - anywhere)));
    run((10..15).collect(), None);
    // Two more teams lost one elsewhere, before and after.
    let mut more: Vec<u32> = (12..20).collect();
    more.extend([3, 77]);
    run(more, Some((8, 200, ways(40, 4) - ways(38, 2) - anywhere)));
}

#[test]
fn a_place_that_is_not_the_sources_own_has_no_shape() {
    for unlisted in [false, true] {
        let of = |day: Day| -> Day {
            day.into_iter().map(|it| if unlisted { it.unlisted() } else { it }).collect()
        };
        let day = teams(10, 60);
        let after = of(lost(&day, 60, (590..600).chain(50..60)));
        let day = of(day);
        for statistic in [Statistic::GrantTail, Statistic::TargetTails, Statistic::PageCap] {
            let speaks = measure(&day, &after, statistic).is_some();
            assert_eq!(speaks, !unlisted, "{statistic:?}");
        }
    }
    let proven: Day = teams(10, 60).into_iter().map(Record::proven).collect();
    let after: Day = lost(&teams(10, 60), 60, (590..600).chain(50..60));
    for statistic in [Statistic::GrantTail, Statistic::TargetTails, Statistic::PageCap] {
        assert_eq!(measure(&proven, &after, statistic), None, "{statistic:?}");
    }
}

/// Powers of ten by which it is improbable that so many values of one half each come to such a sum:
/// Fisher's method.
fn fisher(parts: u32, sum: f64) -> f64 {
    let half = sum * std::f64::consts::LN_10;
    let term = |i: u32| (1..=i).map(|i| half / f64::from(i)).product::<f64>();
    -((0..parts).map(term).sum::<f64>() * (-half).exp()).log10()
}

#[test]
fn ends_of_many_listings_are_improbable_together() {
    let day = teams(10, 10);
    let ends = |places: Vec<u32>, expected| {
        told(&day, &lost(&day, 10, places), Statistic::TargetTails, expected);
    };
    let end = |team: u32| team * 10 + 7..team * 10 + 10;
    let one = ways(10, 3);
    ends(end(4).collect(), Some((1, 10, one)));
    ends(end(4).chain(end(6)).collect(), Some((2, 10, fisher(2, 2.0 * one))));
    let three = end(1).chain(end(4)).chain(end(6));
    ends(three.collect(), Some((3, 10, fisher(3, 3.0 * one))));
    // A team that lost none of its end counts as one that could have.
    ends(end(4).chain([62]).collect(), Some((1, 10, fisher(2, one))));
    // One of each of two teams is as likely as not: the last of each.
    ends(vec![49, 69], Some((2, 10, fisher(2, 2.0))));
    ends(vec![49], None);
    ends(vec![42, 62], None);
}

#[test]
fn a_listing_that_was_cut_to_the_size_of_a_page_is_counted() {
    let day = teams(6, 60);
    let capped = |places: Vec<u32>| counted(&day, &lost(&day, 60, places), Statistic::PageCap);
    let cut = |team: u32, to: u32| team * 60 + to..team * 60 + 60;
    assert_eq!(capped(cut(2, 50).collect()), Some((1, 6)));
    assert_eq!(capped(cut(2, 49).collect()), None);
    // Two have fifty left and one has twenty: one page for two is the odder.
    let three = cut(0, 50).chain(cut(2, 50)).chain(cut(5, 20));
    assert_eq!(capped(three.collect()), Some((2, 6)));
    // As many gone, but one of them from the middle.
    assert_eq!(capped(cut(2, 51).chain([130]).collect()), None);
}

#[test]
fn a_group_that_is_emptied_had_more_than_one_member_and_three_are_the_least() {
    let mut day = listed(20, 10);
    let sizes = [3, 2, 2, 1, 1, 1, 10];
    let of = |group: usize| {
        let first: u32 = sizes[..group].iter().sum();
        (first..first + sizes[group]).map(move |user| member(user, group as u32))
    };
    day.extend((0..sizes.len()).flat_map(of));
    let emptied = |groups: &[usize]| {
        let gone: Vec<Record> = groups.iter().flat_map(|group| of(*group)).collect();
        counted(&day, &without(&day, &gone), Statistic::Emptied)
    };
    assert_eq!(emptied(&[0]), Some((3, 20)));
    assert_eq!(emptied(&[1]), None);
    assert_eq!(emptied(&[1, 2]), Some((4, 20)));
    assert_eq!(emptied(&[3, 4, 5]), None, "each had one member, who left");
    assert_eq!(emptied(&[1, 3]), None);
    assert_eq!(emptied(&[0, 3]), Some((3, 20)));
}

#[test]
fn of_each_group_that_is_emptied_two_members_are_named_and_five_of_all() {
    let teams = teams(4, 3);
    let named = |groups: u32| {
        let found = measure(&teams, &lost(&teams, 3, 0..groups * 3), Statistic::Emptied).unwrap();
        let count = found.examples.len();
        let of_one = (0..3).map(|place| in_team(3, place).name());
        let of_one = of_one.filter(|name| found.examples.contains(name)).count();
        (count, of_one)
    };
    assert_eq!(named(1), (2, 2));
    assert_eq!(named(2), (4, 2));
    let found = measure(&teams, &lost(&teams, 3, 0..9), Statistic::Emptied).unwrap();
    assert_eq!((found.count, found.examples.len()), (9, 5));
    let distinct: std::collections::BTreeSet<&String> = found.examples.iter().collect();
    assert_eq!(distinct.len(), 5);
}
