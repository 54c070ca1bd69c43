//! Made-up companies: honest days of a directory that a personnel department keeps.
//!
//! The histories of the benchmark come from membership that is kept as code. They have no titles, no
//! managers, no yearly round of promotions, no summer interns and no access reviews, and a detector
//! that never met these would hold every one of them. So companies are made here from a seed: who
//! joins, leaves, moves and is promoted, with the habits of such a house. Nothing in them is a fault;
//! every day that is held is one too many.
//!
//! What they are not: a source of the shipped prior. Rates and habits are round numbers that were
//! written down before anything was measured, so they say whether the detector is bearable, not how
//! a company is.

mod habits;
mod staff;

use crate::read::{Day, Feed, Order};

use habits::Habits;
use staff::{Staff, difference};

/// Days of each company: three years.
const DAYS: i64 = 3 * 365;
/// A Monday, the first of a month.
const FIRST: i64 = 19_723;

/// What a company is like.
struct Kind {
    name: &'static str,
    people: u32,
    order: Order,
    seed: u64,
    /// The directory tells when each person was last seen, so that most days change most records.
    tells_logins: bool,
    /// Who leaves is disabled first, and removed with the month.
    disables_first: bool,
}

const KINDS: [Kind; 6] = [
    Kind {
        name: "workshop",
        people: 100,
        order: Order::Created,
        seed: 1,
        tells_logins: false,
        disables_first: false,
    },
    Kind {
        name: "agency",
        people: 200,
        order: Order::Id,
        seed: 2,
        tells_logins: true,
        disables_first: false,
    },
    Kind {
        name: "clinic",
        people: 300,
        order: Order::Created,
        seed: 3,
        tells_logins: false,
        disables_first: true,
    },
    Kind {
        name: "mill",
        people: 450,
        order: Order::Id,
        seed: 4,
        tells_logins: false,
        disables_first: false,
    },
    Kind {
        name: "bank",
        people: 600,
        order: Order::Created,
        seed: 5,
        tells_logins: true,
        disables_first: true,
    },
    Kind {
        name: "store",
        people: 900,
        order: Order::Id,
        seed: 6,
        tells_logins: false,
        disables_first: true,
    },
];

/// Every company, with its honest days and no fault.
pub(crate) fn feeds() -> Vec<Feed> {
    KINDS.iter().map(feed).collect()
}

fn feed(kind: &Kind) -> Feed {
    let mut habits = Habits::new(kind.seed, kind.tells_logins, kind.disables_first);
    let mut staff = Staff::default();
    habits.found(&mut staff, kind.people, FIRST);
    let empty = Staff::default();
    let mut days = vec![Day { day: FIRST, delta: difference(&empty, &staff, kind.tells_logins) }];
    for day in FIRST + 1..FIRST + DAYS {
        let before = staff.clone();
        habits.live(&mut staff, day);
        let delta = difference(&before, &staff, kind.tells_logins);
        if !(delta.add.is_empty() && delta.del.is_empty() && delta.chg.is_empty()) {
            days.push(Day { day, delta });
        }
    }
    Feed { name: kind.name.to_owned(), order: kind.order, days, cases: Vec::new() }
}

#[cfg(test)]
mod tests {
    use cordon_validate::detect::{HOLD, Prior};

    use super::*;
    use crate::replay::replay;
    use crate::score::held_per_year;
    use crate::state::State;

    #[test]
    fn a_seed_makes_the_same_company_again_and_another_seed_another_one() {
        let told = |kind: &Kind| {
            let days = feed(kind).days;
            let days = days.iter().map(|day| (day.day, &day.delta.add, &day.delta.del));
            format!("{:?}", days.collect::<Vec<_>>())
        };
        let [first, ..] = KINDS;
        let again = told(&first);
        assert_eq!(told(&first), again);
        assert_ne!(told(&Kind { seed: 7, ..first }), again);
    }

    #[test]
    fn every_day_of_a_company_follows_from_the_one_before() {
        for kind in KINDS.iter().take(3) {
            let company = feed(kind);
            let mut state = State::default();
            let mut counted = [0; 3];
            for (at, day) in company.days.iter().enumerate() {
                state.apply(&day.delta).unwrap();
                if at > 0 {
                    let delta = &day.delta;
                    for (sum, records) in
                        counted.iter_mut().zip([&delta.add, &delta.del, &delta.chg])
                    {
                        *sum += records.len();
                    }
                }
            }
            let people = state.things[0].len() as u32;
            assert!((kind.people / 2..kind.people * 2).contains(&people), "{people} people");
            // In three years everything has happened to about a third.
            let least = kind.people as usize;
            assert!(counted.iter().all(|count| *count >= least), "{counted:?}");
        }
    }

    /// What a year of honest days may cost. The rest of the companies take minutes, and `--companies`
    /// counts them all.
    #[test]
    fn of_an_honest_company_hardly_a_day_is_held() {
        let replayed: Vec<_> = KINDS
            .iter()
            .take(2)
            .map(|kind| replay(&feed(kind), Prior::shipped(), HOLD).unwrap())
            .collect();
        let held = held_per_year(&replayed, 0, HOLD, true).unwrap();
        assert!(held <= 2.0, "{held} days a year");
    }
}
