//! How many of the missing records have to be asked for.

use std::collections::BTreeMap;

use cordon_model::RecordType;

use crate::{Lookups, Percent};

/// How many of each type's missing records are asked for: all where the policy has room for all, else
/// a sample of each type, resources before entitlements before grants, as far as the room goes.
pub fn questions(
    missing: &BTreeMap<RecordType, u64>,
    lookups: &Lookups,
) -> BTreeMap<RecordType, u64> {
    let all = missing.values().fold(0_u64, |sum, missing| sum.saturating_add(*missing));
    let mut room = lookups.keys;
    let asked = missing.iter().map(|(record_type, missing)| {
        let wanted =
            if all <= lookups.keys { *missing } else { sample_size(*missing, lookups.confidence) };
        let asked = wanted.min(room);
        room -= asked;
        (record_type.clone(), asked)
    });
    asked.collect()
}

/// How many of `missing` records must be asked for, and all be absent, to say with that confidence
/// that at least 99 of 100 are gone.
///
/// Were fewer gone, at least `k = missing / 100 + 1` (rounded down) of them would be there. A random
/// sample of `n` without replacement meets none of these `k` with probability
///
/// ```text
/// C(missing - k, n) / C(missing, n)  =  product over i < n of (missing - k - i) / (missing - i)
/// ```
///
/// the hypergeometric distribution at zero. The answer is the least `n` for which this is at most
/// `1 - confidence`: acceptance sampling with an acceptance number of zero, as in Hahn and Meeker,
/// *Statistical Intervals* (Wiley 1991), section 6. For ever more records it tends to
/// `ln(1 - confidence) / ln(0.99)`: 299 at 95 %, 459 at 99 %. A confidence of 100 % takes all.
pub fn sample_size(missing: u64, confidence: Percent) -> u64 {
    // Where a product in binary ends beside the very fraction that it stands for, it is that fraction.
    const ROUNDING: f64 = 1e-9;
    let risk = confidence.complement() * (1.0 + ROUNDING);
    if risk <= 0.0 {
        return missing;
    }
    let there = missing / 100 + 1;
    let mut unmet = 1.0_f64;
    let mut asked = 0;
    while unmet > risk && asked < missing {
        let left = missing - asked;
        unmet *= left.saturating_sub(there) as f64 / left as f64;
        asked += 1;
    }
    asked
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONFIDENT: Percent = Percent::whole(95);

    /// C(missing - there, asked) / C(missing, asked) in whole numbers, as (numerator, denominator).
    fn unmet(missing: u128, there: u128, asked: u128) -> (u128, u128) {
        let mut ratio = (1, 1);
        for i in 0..asked {
            ratio.0 *= (missing - i).saturating_sub(there);
            ratio.1 *= missing - i;
            let divisor = gcd(ratio.0, ratio.1);
            ratio = (ratio.0 / divisor, ratio.1 / divisor);
        }
        ratio
    }

    fn gcd(mut a: u128, mut b: u128) -> u128 {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a.max(1)
    }

    #[test]
    fn the_sample_is_the_one_of_the_tables() {
        // ln(0.05) / ln(0.99) = 298.07, ln(0.01) / ln(0.99) = 458.2, rounded up.
        assert_eq!(sample_size(1_000_000_000, CONFIDENT), 299);
        assert_eq!(sample_size(1_000_000_000, Percent::whole(99)), 459);
        // One of forty there: 1 - n/40 <= 0.05 first at 38.
        assert_eq!(sample_size(40, CONFIDENT), 38);
        assert_eq!([0, 1, 2].map(|missing| sample_size(missing, CONFIDENT)), [0, 1, 2]);
        assert_eq!(sample_size(7_019, Percent::whole(100)), 7_019);
        assert_eq!(sample_size(7_019, Percent::whole(0)), 0);
    }

    #[test]
    fn all_are_asked_for_where_there_is_room_and_samples_where_there_is_none() {
        let of = |text: &str| RecordType::try_from(text.to_owned()).unwrap();
        let asked = |keys, users, grants| {
            let missing =
                BTreeMap::from([(of("grant.user"), grants), (of("resource.user"), users)]);
            let lookups = Lookups { keys, ..Lookups::default() };
            let asked = questions(&missing, &lookups);
            (asked[&of("resource.user")], asked[&of("grant.user")])
        };
        assert_eq!(asked(2_000, 500, 1_500), (500, 1_500));
        assert_eq!(asked(2_000, 500, 1_501), (196, 256));
        assert_eq!(asked(300, 1_000_000_000, 1_000_000_000), (299, 1), "resources first");
        assert_eq!(asked(0, 5, 5), (0, 0));
    }

    proptest! {
        #[test]
        fn a_sample_is_enough_and_one_less_is_not(missing in 1_u64..100, percent in 50_u8..100) {
            let asked = sample_size(missing, Percent::whole(percent));
            prop_assert!(asked <= missing);
            let enough = |asked: u64| {
                let (part, whole) = unmet(missing.into(), u128::from(missing / 100 + 1), asked.into());
                part * 100 <= whole * u128::from(100 - percent)
            };
            prop_assert!(enough(asked));
            prop_assert!(asked == 0 || !enough(asked - 1));
        }

        #[test]
        fn more_confidence_never_asks_less(missing in 0_u64..10_000_000, a in 0_u8..=100, b in 0_u8..=100) {
            let asked = |percent| sample_size(missing, Percent::whole(percent));
            prop_assert!(asked(a.min(b)) <= asked(a.max(b)));
            prop_assert!(asked(a) <= missing);
        }
    }
}
