//! What happened to values: each change is counted by its way, and the same way for many is told.

use cordon_model::Value;
use cordon_validate::detect::Statistic;
use jiff::Timestamp;

use super::day::{Day, Record, counted, group, measure, step_showing, text, thing, user};

/// So many users, each made so.
fn users(count: u32, of: impl Fn(u32) -> Record) -> Day {
    (0..count).map(of).collect()
}

/// The same day with the first so many records changed.
fn turned(day: &Day, count: usize, turn: impl Fn(Record) -> Record) -> Day {
    let (first, rest) = day.split_at(count);
    first.iter().cloned().map(turn).chain(rest.iter().cloned()).collect()
}

fn at(hour: i64) -> Value {
    Value::Timestamp(Timestamp::from_second(1_700_000_000 + hour * 3_600).unwrap())
}

#[test]
fn an_attribute_that_all_but_one_in_two_hundred_have_is_stripped_and_another_is_cleared() {
    let lost = |present: u32| {
        let before = users(400, |n| {
            if n < present { user(n).with("mail", text(format!("m{n}"))) } else { user(n) }
        });
        let after = turned(&before, 1, |user| user.without("mail"));
        [Statistic::Stripped, Statistic::Cleared].map(|way| counted(&before, &after, way))
    };
    assert_eq!(lost(400), [Some((1, 400)), None]);
    assert_eq!(lost(398), [Some((1, 400)), None]);
    assert_eq!(lost(397), [None, Some((1, 400))]);
}

#[test]
fn an_attribute_is_stripped_where_three_lost_it_and_they_are_half_of_those_who_had_it() {
    let lost = |present: u32, lost: usize| {
        let before =
            users(100, |n| if n < present { user(n).with("desk", text("d")) } else { user(n) });
        let after = turned(&before, lost, |user| user.without("desk"));
        [Statistic::Stripped, Statistic::Cleared].map(|way| counted(&before, &after, way))
    };
    assert_eq!(lost(10, 5), [Some((5, 100)), None]);
    assert_eq!(lost(10, 4), [None, Some((4, 100))]);
    assert_eq!(lost(6, 3), [Some((3, 100)), None]);
    assert_eq!(lost(4, 2), [None, Some((2, 100))]);
}

#[test]
fn new_records_without_a_value_that_nearly_all_have_are_counted() {
    let mail = |n: u32| user(n).with("mail", text(format!("m{n}")));
    // Two of four hundred lack it.
    let before = users(400, |n| if n < 398 { mail(n) } else { user(n) });
    // Five more lost it, which is said of them, and three of four who joined never had it.
    let mut after = turned(&before, 5, |user| user.without("mail"));
    after.push(mail(400));
    after.extend((401..404).map(user));
    assert_eq!(counted(&before, &after, Statistic::Filled), Some((3, 404)));
    let joined = super::day::and(&before, [mail(400)]);
    assert_eq!(counted(&before, &joined, Statistic::Filled), None);
    // Of an attribute that three lack, one more who lacks it says nothing.
    let before = users(400, |n| if n < 397 { mail(n) } else { user(n) });
    let joined = super::day::and(&before, [user(400)]);
    assert_eq!(counted(&before, &joined, Statistic::Filled), None);
    // What the only one of a type has, the second lacks.
    let one = super::day::and(&before, [thing("laptop", "l1").with("serial", text("s1"))]);
    let two = super::day::and(&one, [thing("laptop", "l2")]);
    assert_eq!(counted(&one, &two, Statistic::Filled), Some((1, 2)));
    // The first of a type say nothing.
    let first = super::day::and(&before, [group(1), group(2).with("mail", text("a"))]);
    assert_eq!(counted(&before, &first, Statistic::Filled), None);
}

#[test]
fn a_value_that_is_under_another_attribute_now_was_renamed_and_not_lost() {
    let before = users(100, |n| {
        user(n).with("mail", text(format!("m{n}"))).with("login", text(format!("m{n}")))
    });
    let renamed = turned(&before, 5, |user| {
        let mail = text(user.name().replace("user:u", "m"));
        user.without("mail").with("email", mail)
    });
    assert_eq!(counted(&before, &renamed, Statistic::Renamed), Some((5, 100)));
    for lost in [Statistic::Stripped, Statistic::Cleared, Statistic::Filled, Statistic::Recased] {
        assert_eq!(counted(&before, &renamed, lost), None, "{lost:?}");
    }
    // The login had the same value before, and what is new has another one.
    let lost = turned(&before, 5, |user| user.without("mail").with("email", text("none")));
    assert_eq!(counted(&before, &lost, Statistic::Renamed), None);
    assert_eq!(counted(&before, &lost, Statistic::Stripped), Some((5, 100)));
}

#[test]
fn two_attributes_are_exchanged_where_each_has_the_others_value() {
    let turn = |before: [&str; 2], after: [&str; 2]| {
        let names = |values: [&str; 2], n| {
            user(n).with("given", text(values[0])).with("family", text(values[1]))
        };
        let (before, after) = (users(10, |n| names(before, n)), users(10, |n| names(after, n)));
        [Statistic::Swapped, Statistic::Rewritten].map(|way| counted(&before, &after, way))
    };
    assert_eq!(turn(["ada", "king"], ["king", "ada"]), [Some((10, 10)), None]);
    let rewritten = [None, Some((10, 10))];
    assert_eq!(turn(["ada", "king"], ["king", "king"]), rewritten, "one took the other's value");
    assert_eq!(turn(["ada", "king"], ["king", "byron"]), rewritten, "and that has a third");
    assert_eq!(turn(["ada", "ada"], ["king", "ada"]), rewritten, "both were the same");
}

#[test]
fn one_value_of_another_type_is_told() {
    let before = users(10, |n| user(n).with("floor", text("3")));
    let after = turned(&before, 1, |user| user.with("floor", Value::Integer(3)));
    assert_eq!(counted(&before, &after, Statistic::Retyped), Some((1, 10)));
}

#[test]
fn values_in_another_case_are_told_from_three_on() {
    let before = users(10, |n| user(n).with("mail", text("Ada@Corp")));
    let cased = |count| {
        let after = turned(&before, count, |user| user.with("mail", text("ada@corp")));
        counted(&before, &after, Statistic::Recased)
    };
    assert_eq!([cased(2), cased(3)], [None, Some((3, 10))]);
}

#[test]
fn letters_beyond_ascii_that_changed_alone_are_an_encoding() {
    let turn = |old: &str, new: &str| {
        let before = users(10, |n| user(n).with("town", text(old)));
        let after = users(10, |n| user(n).with("town", text(new)));
        [Statistic::Reencoded, Statistic::Rewritten].map(|way| counted(&before, &after, way))
    };
    let (encoded, rewritten) = ([Some((10, 10)), None], [None, Some((10, 10))]);
    assert_eq!(turn("Köln 2", "K?ln 2"), encoded);
    assert_eq!(turn("Köln 2", "KÃ¶ln 2"), encoded);
    assert_eq!(turn("Köln 2", "Kiel 2"), rewritten);
    assert_eq!(turn("Köln 2", "K?ln 3"), rewritten);
    assert_eq!(turn("Köln 2", "Köln2"), rewritten);
    assert_eq!(turn("Koln-2", "Koln_2"), rewritten);
}

#[test]
fn times_that_moved_by_one_span_are_told_from_three_on_and_those_set_together_are_not() {
    let turn = |count, old: fn(i64) -> i64, new: fn(i64) -> i64| {
        let before = users(10, |n| user(n).with("seen", at(old(i64::from(n)))));
        let all = users(10, |n| user(n).with("seen", at(new(i64::from(n)))));
        let after: Day = all[..count].iter().chain(&before[count..]).cloned().collect();
        [Statistic::Shifted, Statistic::WentBack].map(|way| counted(&before, &after, way))
    };
    assert_eq!(turn(2, |n| n * n, |n| n * n + 1), [None, None]);
    assert_eq!(turn(3, |n| n * n, |n| n * n + 1), [Some((3, 10)), None]);
    assert_eq!(turn(3, |n| n * n, |n| n * n - 2), [Some((3, 10)), Some((3, 10))]);
    assert_eq!(turn(1, |n| n, |n| n - 2), [None, Some((1, 10))]);
    assert_eq!(turn(10, |_| 5, |_| 6), [None, None], "set together");
    assert_eq!(turn(10, |n| n, |n| n * n + 20), [None, None], "each by another span");
}

#[test]
fn numbers_that_moved_by_one_span_are_told_and_rewritten_besides() {
    let number = |number: u32| Value::Integer(i64::from(number));
    let before = users(10, |n| user(n).with("badge", number(n * n)));
    // Six by ten, four by seven.
    let after = users(10, |n| user(n).with("badge", number(n * n + if n < 6 { 10 } else { 7 })));
    assert_eq!(counted(&before, &after, Statistic::Shifted), Some((6, 10)));
    assert_eq!(counted(&before, &after, Statistic::Rewritten), Some((10, 10)));
}

#[test]
fn people_who_were_switched_to_one_state_are_told_from_three_on() {
    let turn = |kind: &str, off: u32, on: u32| {
        let state = |n: u32, yes| thing(kind, format!("u{n}")).with("mfa", Value::Boolean(yes));
        let before = users(10, |n| state(n, n >= on));
        let after = users(10, |n| state(n, n < on || n >= on + off));
        counted(&before, &after, Statistic::Flipped)
    };
    assert_eq!(turn("user", 2, 0), None);
    assert_eq!(turn("user", 3, 0), Some((3, 10)));
    assert_eq!(turn("user", 4, 3), Some((4, 10)), "each way for itself");
    assert_eq!(turn("laptop", 4, 0), None, "people alone have access");
}

#[test]
fn the_attribute_with_the_most_changes_is_the_one_that_is_told() {
    let before = users(100, |n| user(n).with("a", text("x")).with("b", text("x")));
    let of = |a: usize, b: usize| {
        let after = turned(&before, a, |user| user.with("a", Value::Integer(1)));
        let after = turned(&after, b, |user| user.with("b", Value::Integer(1)));
        let told = measure(&before, &after, Statistic::Retyped).unwrap();
        (told.subject, told.count)
    };
    assert_eq!(of(5, 3), ("user.a".to_owned(), 5));
    assert_eq!(of(3, 5), ("user.b".to_owned(), 5));
}

#[test]
fn five_at_least_got_another_value_before_it_is_told() {
    let day = users(100, |n| if n < 8 { user(n).with("title", text("x")) } else { user(n) });
    let of = |count| {
        let after = turned(&day, count, |user| user.with("title", text("y")));
        counted(&day, &after, Statistic::Rewritten)
    };
    assert_eq!([4, 5].map(of), [None, Some((5, 100))]);
}

#[test]
fn beyond_the_rows_that_were_read_their_share_is_taken_for_all() {
    let before = users(600, |n| user(n).with("a", text("x")));
    let after = turned(&before, 400, |user| user.with("a", Value::Integer(1)));
    let step = step_showing(&before, &after, 100);
    let told = step.measures.iter().find(|one| one.statistic == Statistic::Retyped).unwrap();
    assert_eq!((told.count, told.of), (400, 600));
    assert_eq!(told.examples.len(), 5);
}
