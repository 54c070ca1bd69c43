//! What is new: who came, what was gained by those who were there, and whose role changed.

use cordon_validate::detect::Statistic;

use super::day::{
    Day, Record, and, counted, group, held_by, listed, measure, member, role, thing, user,
};

/// Twenty users and ten groups, the first of whom are in the first group.
fn day() -> Day {
    and(&listed(20, 10), (0..4).map(|n| member(n, 0)))
}

fn gained(more: Vec<Record>, statistic: Statistic) -> Option<(u64, u64)> {
    counted(&day(), &and(&day(), more), statistic)
}

#[test]
fn new_grants_are_counted_by_their_causes_where_both_ends_were_there() {
    let came = |more| gained(more, Statistic::GrantsCame);
    assert_eq!(came((4..10).map(|n| member(n, 1)).collect()), Some((1, 4)), "one group");
    assert_eq!(came((4..10).map(|n| member(n, n % 5)).collect()), Some((5, 4)));
    // Of the new, a group whose members were there, and who came into one that was.
    assert_eq!(came(vec![group(10), member(1, 10), user(20), member(20, 1)]), None);
    assert_eq!(came(vec![group(10), member(1, 10), member(1, 1)]), Some((1, 4)));
}

#[test]
fn a_principal_that_gained_five_targets_reaches_a_share_of_them() {
    let reach = |more| measure(&day(), &and(&day(), more), Statistic::Reach);
    let targets = |count: u32| (1..=count).map(|g| member(7, g)).collect::<Vec<_>>();
    assert_eq!(reach(targets(4)), None);
    let found = reach(targets(5)).unwrap();
    // Six targets have a grant now.
    assert_eq!((found.count, found.of), (5, 6));
    assert!((found.value - 5.0 / 6.0).abs() < 1e-9, "{}", found.value);
    assert_eq!(found.examples.len(), 5);
    // Of seven targets one is new, and another gained less.
    let mut more = targets(6);
    more.extend([group(10), member(7, 10), member(8, 1)]);
    let found = reach(more).unwrap();
    assert_eq!((found.count, found.of), (6, 8));
    // Who is new reaches them as well.
    let joiner = (0..5).map(|g| member(20, g));
    assert_eq!(reach([user(20)].into_iter().chain(joiner).collect()).map(|it| it.count), Some(5));
}

#[test]
fn privileged_grants_of_people_who_were_there_on_what_was_there_are_counted() {
    let admin = |n, g| role(n, g, "admin").privileged();
    let before = and(&day(), (0..3).map(|n| admin(n, 0)));
    let came = |more: Vec<Record>| counted(&before, &and(&before, more), Statistic::PrivilegedCame);
    assert_eq!(came(vec![admin(5, 1), admin(6, 1), member(7, 1)]), Some((2, 3)));
    assert_eq!(came(vec![member(5, 1)]), None);
    assert_eq!(came(vec![user(20), admin(20, 1), group(10), admin(5, 10)]), None);
    let robot = held_by("robot", 1, 1, "admin").privileged();
    assert_eq!(came(vec![thing("robot", "u1"), robot.clone()]), None);
    let known = and(&before, [thing("robot", "u1")]);
    assert_eq!(counted(&known, &and(&known, [robot]), Statistic::PrivilegedCame), None);
}

/// Ten users in as many groups, whose role in so many of them changes.
fn roles(count: u32, before: impl Fn(u32) -> Record, after: impl Fn(u32) -> Record) -> [Day; 2] {
    let people = listed(10, 10);
    let after = (0..10).map(|n| if n < count { after(n) } else { before(n) });
    [and(&people, (0..10).map(&before)), and(&people, after)]
}

#[test]
fn roles_that_became_privileged_are_counted_by_their_causes_from_five_on() {
    let admin = |n, g| role(n, g, "admin").privileged();
    let raised = |count| {
        let [before, after] = roles(count, |n| member(n, n), |n| admin(n, n));
        counted(&before, &after, Statistic::Raised)
    };
    assert_eq!([4, 5].map(raised), [None, Some((5, 10))]);
    let [before, after] = roles(10, |n| member(n, 0), |n| admin(n, 0));
    assert_eq!(counted(&before, &after, Statistic::Raised), None, "one group's members");
    for none in [Statistic::GrantsGone, Statistic::GrantsCame, Statistic::Changed] {
        assert_eq!(counted(&before, &after, none), None, "{none:?}");
    }
}

#[test]
fn roles_that_lost_their_privilege_are_counted_among_those_that_had_it() {
    let admin = |n| role(n, n, "admin").privileged();
    let [before, after] = roles(3, admin, |n| member(n, n));
    assert_eq!(counted(&before, &after, Statistic::Lowered), Some((3, 10)));
    let [before, after] = roles(3, |n| member(n, n), |n| role(n, n, "guest"));
    assert_eq!(counted(&before, &after, Statistic::Lowered), None);
}

#[test]
fn the_change_of_role_that_most_had_is_told() {
    let before = |n| member(n, n);
    let after = |n| role(n, n, if n < 3 { "guest" } else { "owner" });
    let [before, after] = roles(8, before, after);
    let told = measure(&before, &after, Statistic::Changed).unwrap();
    assert_eq!((told.count, told.of), (5, 10));
    let [example] = told.examples.as_slice() else { panic!("{told:?}") };
    assert!(example.ends_with(": member is now owner"), "{example}");
    for none in [Statistic::GrantsGone, Statistic::GrantsCame, Statistic::Raised] {
        assert_eq!(counted(&before, &after, none), None, "{none:?}");
    }
}

#[test]
fn strangers_are_five_who_hold_nothing_that_was_known_and_bring_another_type() {
    let strangers = |count: u32, more: Vec<Record>| {
        let after = and(&and(&day(), (20..20 + count).map(user)), more);
        counted(&day(), &after, Statistic::Island)
    };
    assert_eq!(strangers(5, vec![group(10)]), Some((5, 20)));
    assert_eq!(strangers(4, vec![group(10)]), None);
    assert_eq!(strangers(5, Vec::new()), None, "nothing but people is new");
    assert_eq!(strangers(5, vec![thing("laptop", "l1")]), Some((5, 20)));
    let own = (20..25).map(|n| member(n, 10));
    assert_eq!(strangers(5, [group(10)].into_iter().chain(own).collect()), Some((5, 20)));
    // Three of eight were given something that was known.
    let joined = (20..23).map(|n| member(n, 1));
    assert_eq!(strangers(8, [group(10)].into_iter().chain(joined).collect()), Some((5, 20)));
    // Grants alone are no things of their own.
    let role_in_known = role(3, 4, "guest");
    assert_eq!(strangers(5, vec![role_in_known]), None);
}

#[test]
fn who_holds_a_grant_of_another_kind_is_no_stranger_of_this_one() {
    // Robots are no people: as many that come and bring a group say nothing.
    let before = and(&day(), [thing("robot", "u1"), held_by("robot", 1, 0, "member")]);
    let came =
        (30..40).flat_map(|n| [thing("robot", format!("u{n}")), held_by("robot", n, 10, "m")]);
    let after = and(&and(&before, came), [group(10)]);
    assert_eq!(counted(&before, &after, Statistic::Island), None);
    assert_eq!(counted(&before, &after, Statistic::PeopleCame), None);
    assert_eq!(counted(&before, &after, Statistic::ThingsCame).map(|it| it.0), Some(10));
}
