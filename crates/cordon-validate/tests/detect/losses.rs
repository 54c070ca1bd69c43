//! What is gone, counted by its causes: what went along with something else is no cause of its own.

use cordon_model::Value;
use cordon_validate::detect::Statistic;

use super::day::{
    Day, Record, and, counted, group, held_by, listed, measure, member, text, thing, user, without,
};

#[test]
fn people_and_things_that_are_gone_are_counted_apart_and_a_few_are_named() {
    let day = listed(30, 30);
    let after = without(&day, &(0..7).map(user).chain((3..6).map(group)).collect::<Vec<_>>());
    let people = measure(&day, &after, Statistic::PeopleGone).unwrap();
    assert_eq!((people.subject.as_str(), people.count, people.of), ("user", 7, 30));
    assert_eq!(people.examples, (0..5).map(|n| format!("user:u{n}")).collect::<Vec<_>>());
    let things = measure(&day, &after, Statistic::ThingsGone).unwrap();
    assert_eq!((things.subject.as_str(), things.count, things.of), ("group", 3, 30));
    assert_eq!(things.examples, ["group:g3", "group:g4", "group:g5"]);
    assert_eq!(counted(&after, &day, Statistic::PeopleCame), Some((7, 30)));
    assert_eq!(counted(&after, &day, Statistic::ThingsCame), Some((3, 30)));
}

#[test]
fn a_loss_is_proven_where_all_of_it_lies_in_scopes_that_were() {
    let day: Day = and(&listed(10, 10), (0..10).map(|n| member(n, n)));
    let gone = |proven: usize| {
        let proves = |(at, record): (usize, &Record)| {
            if at % 10 < proven { record.clone().proven() } else { record.clone() }
        };
        let before: Day = day.iter().enumerate().map(proves).collect();
        let gone: Vec<Record> = before
            .iter()
            .enumerate()
            .filter(|(at, _)| at % 10 < 4)
            .map(|(_, it)| it.clone())
            .collect();
        let after = without(&before, &gone);
        [Statistic::PeopleGone, Statistic::ThingsGone, Statistic::LossAlone]
            .map(|statistic| measure(&before, &after, statistic).unwrap().proven)
    };
    assert_eq!(gone(4), [true; 3]);
    assert_eq!(gone(3), [false; 3]);
    let grants = |proven: bool| {
        let prove = |record: Record| if proven { record.proven() } else { record };
        let before: Day = day.iter().cloned().map(prove).collect();
        let after = without(&before, &before[20..24]);
        let found = measure(&before, &after, Statistic::GrantsGone).unwrap();
        (found.count, found.proven, found.subject, found.examples)
    };
    let names: Vec<String> = day[20..24].iter().map(Record::name).collect();
    assert_eq!(grants(true), (4, true, "grant".to_owned(), names.clone()));
    assert_eq!(grants(false), (4, false, "grant".to_owned(), names));
}

#[test]
fn a_type_that_has_none_left_is_told_and_one_that_has_is_not() {
    let mut day = and(&listed(5, 1), [member(1, 0), member(2, 0)]);
    day.push(thing("laptop", "l1"));
    let gone = |gone: &[Record]| counted(&day, &without(&day, gone), Statistic::TypeGone);
    assert_eq!(gone(&[thing("laptop", "l1")]), Some((1, 1)));
    assert_eq!(gone(&[member(1, 0), member(2, 0)]), Some((2, 2)));
    assert_eq!(gone(&[member(1, 0)]), None);
    let robot = held_by("robot", 1, 0, "member");
    let with_robot = and(&day, [robot.clone()]);
    assert_eq!(counted(&with_robot, &day, Statistic::TypeGone), Some((1, 1)));
    let people: Vec<Record> = (0..5).map(user).collect();
    assert_eq!(gone(&people), Some((5, 5)));
    assert_eq!(gone(&people[..4]), None);
}

/// Vaults, each within a group.
fn vaults(of: &[u32]) -> Vec<Record> {
    let vault = |(at, group): (usize, &u32)| {
        thing("vault", format!("v{at}")).with("parent", text(format!("group:g{group}")))
    };
    of.iter().enumerate().map(vault).collect()
}

#[test]
fn what_a_parent_takes_along_is_one_cause_and_five_are_told() {
    let children = vaults(&[1, 1, 1, 1, 1, 2, 2, 2, 2]);
    let day = and(&listed(10, 4), children.iter().cloned());
    let gone = |parent: Option<u32>, children: &[Record]| {
        let gone: Vec<Record> = parent.map(group).into_iter().chain(children.to_vec()).collect();
        let after = without(&day, &gone);
        [Statistic::Along, Statistic::ThingsGone].map(|it| counted(&day, &after, it))
    };
    let all = day.len() as u64;
    assert_eq!(gone(Some(1), &children[..5]), [Some((5, all)), Some((1, 4))]);
    assert_eq!(gone(Some(2), &children[5..]), [None, Some((1, 4))], "four are daily work");
    assert_eq!(gone(None, &children[..5]), [None, Some((5, 9))], "the parent is still there");
}

#[test]
fn grants_that_go_with_a_parent_and_its_child_are_counted_with_them() {
    let day = and(&listed(10, 2), vaults(&[1]));
    let day = and(&day, (0..6).map(|n| member(n, 1)));
    let with = |grants: u32| {
        let before = without(&day, &(grants..6).map(|n| member(n, 1)).collect::<Vec<_>>());
        let gone: Vec<Record> =
            (0..grants).map(|n| member(n, 1)).chain([group(1)]).chain(vaults(&[1])).collect();
        counted(&before, &without(&before, &gone), Statistic::Along).map(|it| it.0)
    };
    assert_eq!([3, 4, 6].map(with), [None, Some(5), Some(7)]);
    // A thing that goes with its grants is one thing.
    let grants: Vec<Record> =
        (0..6).map(|n| member(n, 1)).chain([group(1)]).chain(vaults(&[1])).collect();
    let before = without(&day, &vaults(&[1]));
    let after = without(&day, &grants);
    assert_eq!(counted(&before, &after, Statistic::Along), None);
}

#[test]
fn causes_of_lost_grants_are_the_fewest_that_explain_them() {
    let people = listed(40, 40);
    let causes = |lost: &[(u32, u32)]| {
        let grants: Vec<Record> = lost.iter().map(|(u, g)| member(*u, *g)).collect();
        // Somebody else stays in each of the groups.
        let day = and(&and(&people, grants.iter().cloned()), (0..40).map(|g| member(39, g)));
        counted(&day, &without(&day, &grants), Statistic::GrantCauses).map(|it| it.0)
    };
    assert_eq!(causes(&[(1, 1), (2, 2), (3, 3)]), Some(3));
    assert_eq!(causes(&[(1, 1), (1, 2), (1, 3), (2, 4), (3, 4)]), Some(2));
    assert_eq!(causes(&[(1, 1), (1, 2), (2, 1)]), Some(2));
    let stars = [(1, 1), (1, 2), (1, 3), (2, 4), (2, 5), (3, 6), (3, 7), (4, 8), (4, 9)];
    assert_eq!(causes(&stars), Some(4));
    // The first group lost three, two of whom lost four each: what is left of it is one, and the third
    // explains that and one more.
    let mut shared: Vec<(u32, u32)> = vec![(1, 0), (2, 0), (3, 0), (3, 9)];
    shared.extend((1..4).flat_map(|g| [(1, g), (2, g + 3)]));
    assert_eq!(causes(&shared), Some(3));
}

#[test]
fn a_group_that_is_member_and_has_members_is_two_causes() {
    let stay = (10..14).map(|g| nested(20, g));
    let day = and(&and(&listed(10, 30), [nested(11, 10), nested(12, 11)]), stay);
    let after = without(&day, &[nested(11, 10), nested(12, 11)]);
    assert_eq!(counted(&day, &after, Statistic::GrantCauses), Some((2, 6)));
}

#[test]
fn a_target_that_was_changed_itself_was_administered_and_another_was_not() {
    let grants = (0..8).map(|n| member(n, n % 2));
    let day = and(&listed(10, 3), grants);
    let stripped = without(&day, &[member(0, 0), member(2, 0), member(4, 0)]);
    let archive = |g: u32| -> Day {
        let archived = |it: &Record| {
            if *it == group(g) {
                it.clone().with("archived", Value::Boolean(true))
            } else {
                it.clone()
            }
        };
        stripped.iter().map(archived).collect()
    };
    assert_eq!(counted(&day, &archive(0), Statistic::GrantsGone), None);
    assert_eq!(counted(&day, &archive(1), Statistic::GrantsGone), Some((3, 8)));
}

#[test]
fn a_person_with_another_title_was_not_switched_off() {
    let day = and(&listed(10, 2), (0..8).map(|n| member(n, n % 2)));
    let lost = without(&day, &[member(0, 0), member(2, 0)]);
    let turned = |name: &str| -> Day {
        let of = |it: &Record| {
            if [user(0), user(2)].contains(it) {
                it.clone().with(name, text("new"))
            } else {
                it.clone()
            }
        };
        lost.iter().map(of).collect()
    };
    let before = |name: &str| -> Day {
        let people: Vec<Record> = (0..10).map(user).collect();
        let of = |it: &Record| {
            if people.contains(it) { it.clone().with(name, text("old")) } else { it.clone() }
        };
        day.iter().map(of).collect()
    };
    let gone = |name: &str| counted(&before(name), &turned(name), Statistic::GrantsGone);
    assert_eq!(gone("title"), Some((2, 8)));
    assert_eq!(gone("state"), None);
}

/// A group's role in a group.
fn nested(member: u32, of: u32) -> Record {
    held_by("group", 0, of, "member").with("principal", text(format!("g{member}")))
}

#[test]
fn a_group_that_is_a_member_is_no_person_and_its_membership_is_not_the_group() {
    let state = |value: &str| group(1).with("state", text(value));
    let people: Day = without(&listed(10, 9), &[group(1)]);
    let grants =
        [nested(1, 2), nested(1, 3), nested(4, 2), nested(4, 3), member(1, 1), member(2, 1)];
    let before = and(&people, [state("open")].into_iter().chain(grants.clone()));
    // A group was locked and lost what it held: only who is switched off says so.
    let locked = and(&people, [state("locked")].into_iter().chain(grants[2..].iter().cloned()));
    assert_eq!(counted(&before, &locked, Statistic::GrantsGone), Some((2, 4)));
    // What a group holds was changed, and its own members are gone.
    let changed = [state("open"), nested(1, 2).with("until", text("x"))].into_iter();
    let after = and(&people, changed.chain(grants[1..4].iter().cloned()).chain([member(1, 1)]));
    assert_eq!(counted(&before, &after, Statistic::GrantsGone), Some((1, 2)));
}

#[test]
fn ids_that_changed_are_no_loss_and_have_no_place() {
    // The last ten users, each in two groups, have other ids now.
    let login = |id: u32, n: u32| user(id).with("login", text(format!("login-{n}")));
    let people =
        |moved: u32| (0..40).map(move |n| login(if n < 40 - moved { n } else { n + 100 }, n));
    let grants = |moved: u32| {
        (0..40).flat_map(move |n| {
            let id = if n < 40 - moved { n } else { n + 100 };
            [member(id, n % 3), member(id, 3)]
        })
    };
    let day = |moved: u32| -> Day {
        (0..4).map(group).chain(people(moved)).chain(grants(moved)).collect()
    };
    let of = |before: &Day, after: &Day, statistic| counted(before, after, statistic);
    assert_eq!(of(&day(0), &day(2), Statistic::Rekeyed), None, "two are chance");
    assert_eq!(of(&day(0), &day(3), Statistic::Rekeyed), Some((3, 40)));
    let moved = day(10);
    let told = measure(&day(0), &moved, Statistic::Rekeyed).unwrap();
    assert_eq!((told.count, told.of, told.examples.len()), (10, 40, 5));
    for none in [
        Statistic::PeopleGone,
        Statistic::PeopleCame,
        Statistic::Tail,
        Statistic::Run,
        Statistic::GrantsGone,
        Statistic::GrantsCame,
        Statistic::Held,
        Statistic::Apart,
    ] {
        assert_eq!(of(&day(0), &moved, none), None, "{none:?}");
    }
    // Two of the others left besides.
    let after: Day = without(&moved, &[login(1, 1), login(2, 2)]);
    assert_eq!(of(&day(0), &after, Statistic::PeopleGone), Some((2, 40)));
}

#[test]
fn a_name_that_several_have_or_that_is_short_recognises_nobody() {
    let named = |id: u32, name: &str, value: String| user(id).with(name, text(value));
    let moved = |name: &str, value: fn(u32) -> String| {
        let day = |from: u32| -> Day { (0..8).map(|n| named(from + n, name, value(n))).collect() };
        let stay: Day = (50..60).map(user).collect();
        counted(&and(&stay, day(0)), &and(&stay, day(100)), Statistic::Rekeyed).map(|it| it.0)
    };
    assert_eq!(moved("login", |n| format!("abc{n}")), Some(8));
    assert_eq!(moved("login", |n| format!("ab{n}")), None);
    assert_eq!(moved("login", |n| format!("shared-{}", n / 2)), None);
    assert_eq!(moved("title", |n| format!("title {n}")), None);
}
