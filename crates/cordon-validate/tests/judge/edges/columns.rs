//! The edges of what a column may lose, and of which type it is the column.

use cordon_model::{Finding, Outcome};

use crate::scene::{Move, Scene};

/// The findings of columns in this scene.
fn of_columns(scene: &Scene) -> Vec<Finding> {
    let findings = scene.verdict().findings.into_iter();
    findings.filter(|finding| finding.code.starts_with("CRD-S")).collect()
}

#[test]
fn from_twenty_records_on_points_count_and_below_them_values() {
    let kept = |users, kept| {
        let scene = Scene::users(Move::removing(users, 0));
        scene.column("mail", Some(users), Some(kept)).verdict().outcome
    };
    // Two of twenty are ten points, three are more.
    assert_eq!(kept(20, 18), Outcome::Accepted);
    assert_eq!(kept(20, 17), Outcome::Quarantined);
    assert_eq!(kept(19, 14), Outcome::Accepted, "five of nineteen");
}

#[test]
fn the_fewest_that_must_have_an_attribute_follow_from_its_share_before_and_the_records_now() {
    // 95 % had it, so 85 % have to: 1,700 of 2,000, and 851 of 1,001, rounded up.
    for (now, least) in [(2_000, 1_700), (1_001, 851), (900, 765)] {
        let grown = Move { before: 1_000, added: now, removed: 1_000, modified: 0 };
        let scene = |present| {
            let mut scene = Scene::users(grown).column("mail", Some(950), Some(present));
            for column in scene.columns("mail") {
                column.required = true;
            }
            of_columns(&scene)
        };
        assert_eq!(scene(least), [], "{least} of {now}");
        let fewer = scene(least - 1);
        assert_eq!(fewer.len(), 1);
        assert_eq!(fewer[0].code, "CRD-S303");
        assert_eq!((fewer[0].measured, fewer[0].limit), (Some(least - 1), Some(least)));
    }
}

#[test]
fn new_records_thin_out_no_attribute_that_is_required_by_either_side() {
    let grown = Move { before: 1_000, added: 1_000, removed: 0, modified: 0 };
    let scene = |present| Scene::users(grown).column("mail", Some(1_000), Some(present));
    assert_eq!(of_columns(&scene(1_000)), []);
    let by_policy = scene(1_000).guard("schema.required = [\"user.mail\"]");
    assert_eq!(of_columns(&by_policy)[0].code, "CRD-S303");
    let other = scene(1_000).guard("schema.required = [\"user.name\"]");
    assert_eq!(of_columns(&other), []);
    let mut announced = scene(1_000);
    announced.columns("mail").into_iter().for_each(|column| column.required = true);
    assert_eq!(of_columns(&announced)[0].code, "CRD-S303");
    // A single value that went is a loss, and the share is what it is.
    assert_eq!(of_columns(&scene(999))[0].code, "CRD-S303");
}

#[test]
fn a_type_without_records_on_one_side_has_no_columns_to_compare() {
    let emptied = Scene::users(Move::removing(5, 5)).column("mail", Some(5), None);
    assert_eq!(of_columns(&emptied), []);
    let begun = Move { before: 0, added: 50, removed: 0, modified: 0 };
    let begun = Scene::users(begun).column("mail", None, Some(50));
    assert_eq!(of_columns(&begun), []);
    let new = Scene::users(Move::removing(5, 0)).column("mail", None, Some(5));
    assert_eq!(of_columns(&new)[0].code, "CRD-S101");
}

#[test]
fn what_was_required_and_stays_so_or_becomes_so_is_not_told() {
    for (before, now, told) in
        [(true, true, false), (true, false, true), (false, true, false), (false, false, false)]
    {
        let mut scene = Scene::users(Move::removing(100, 0)).column("mail", Some(100), Some(100));
        let [was, is] = scene.columns("mail");
        (was.required, is.required) = (before, now);
        assert_eq!(!of_columns(&scene).is_empty(), told, "{before} {now}");
    }
}

#[test]
fn a_vanished_column_is_measured_against_one_record_that_has_it() {
    let gone = Scene::users(Move::removing(30, 0)).column("mail", Some(20), Some(0));
    let found = of_columns(&gone);
    assert_eq!(
        (found[0].code.as_str(), found[0].measured, found[0].limit),
        ("CRD-S302", Some(0), Some(1))
    );
}
