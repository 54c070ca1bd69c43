//! Exactly how improbable a place in the listing is: in powers of ten, by counting.

use cordon_validate::detect::{Measure, Statistic};

use super::source::{Source, in_order, step};

/// Powers of ten of how many ways there are to choose so many.
fn ways(all: u32, chosen: u32) -> f64 {
    (0..chosen).map(|i| (f64::from(all - i) / f64::from(i + 1)).log10()).sum()
}

/// What is measured when these users of so many leave, who hold no grants.
fn leaving(users: u32, leavers: &[u32], statistic: Statistic) -> Option<Measure> {
    let source = Source::of(users, 0);
    let step = step(&source, &source.without(leavers), false, in_order);
    step.measures.into_iter().find(|measure| measure.statistic == statistic)
}

#[track_caller]
fn told(measure: Option<Measure>, count: u64, value: f64) {
    let measure = measure.expect("it is measured");
    assert_eq!(measure.count, count);
    assert!((measure.value - value).abs() < 1e-6, "{} is not {value}", measure.value);
}

#[test]
fn the_end_of_a_listing_is_as_improbable_as_one_choice_of_so_many() {
    told(leaving(300, &[297, 298, 299], Statistic::Tail), 3, ways(300, 3));
    // Of four who left, three are the last: C(297, 1) of C(300, 4).
    told(leaving(300, &[50, 297, 298, 299], Statistic::Tail), 3, ways(300, 4) - ways(297, 1));
    for no_end in [&[296, 297, 298][..], &[299], &[297, 299]] {
        assert_eq!(leaving(300, no_end, Statistic::Tail), None, "{no_end:?}");
    }
}

#[test]
fn those_at_the_end_or_in_the_run_are_named_and_no_others() {
    let named = |leavers: &[u32], statistic| leaving(300, leavers, statistic).unwrap().examples;
    let users = |numbers: &[u32]| numbers.iter().map(|n| format!("user:u{n}")).collect::<Vec<_>>();
    assert_eq!(named(&[50, 298, 299], Statistic::Tail), users(&[299, 298]));
    assert_eq!(named(&[10, 51, 52, 53, 110], Statistic::Run), users(&[51, 52, 53]));
    assert_eq!(named(&(51..60).collect::<Vec<_>>(), Statistic::Run), users(&[51, 52, 53, 54, 55]));
}

#[test]
fn a_run_is_as_improbable_as_its_places_leave_it() {
    // Three side by side could begin in 298 places.
    told(leaving(300, &[51, 52, 53], Statistic::Run), 3, ways(300, 3) - 298.0_f64.log10());
    // Of two runs the longer speaks, of equals the first.
    told(
        leaving(300, &[10, 11, 51, 52, 53], Statistic::Run),
        3,
        ways(300, 5) - ways(297, 2) - 298.0_f64.log10(),
    );
    told(
        leaving(300, &[51, 52, 53, 110, 111], Statistic::Run),
        3,
        ways(300, 5) - ways(297, 2) - 298.0_f64.log10(),
    );
    told(leaving(300, &[51, 52], Statistic::Run), 2, ways(300, 2) - 299.0_f64.log10());
    assert_eq!(leaving(300, &[51, 53, 55], Statistic::Run), None);
    // The newest account alone is no page, even where it would begin one.
    assert_eq!(leaving(101, &[100], Statistic::Run), None);
    // Whole pages from the beginning of one: fifty of five hundred could begin in eleven places.
    let page: Vec<u32> = (100..150).collect();
    told(leaving(500, &page, Statistic::Run), 50, ways(500, 50) - 11.0_f64.log10());
    let beside: Vec<u32> = (101..151).collect();
    told(leaving(500, &beside, Statistic::Run), 50, ways(500, 50) - 451.0_f64.log10());
    // Of two runs as long the first speaks, which is a page of twenty.
    let both: Vec<u32> = (100..120).chain(201..221).collect();
    told(leaving(500, &both, Statistic::Run), 20, ways(500, 40) - ways(480, 20) - 26.0_f64.log10());
    // The last page may be a short one.
    let rest: Vec<u32> = (500..530).collect();
    told(leaving(530, &rest, Statistic::Run), 30, ways(530, 30) - 2.0_f64.log10());
}
