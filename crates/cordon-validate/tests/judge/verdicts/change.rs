//! Change limits: what a step may remove, and what the words say.

use insta::assert_snapshot;

use crate::scene::{Move, Scene};

/// Judges a step in which so many of so many users are removed, under the default policy.
fn removing(before: u64, removed: u64) -> String {
    Scene::users(Move::removing(before, removed)).check()
}

#[test]
fn a_sync_that_changes_nothing_is_accepted_without_a_word() {
    assert_snapshot!(removing(4_212, 0), @"accepted");
}

#[test]
fn a_mass_removal_is_quarantined_with_its_numbers() {
    let scene = Scene::users(Move::removing(4_212, 3_902));
    assert_snapshot!(scene.check(), @r"
    quarantined
    quarantine CRD-D101: users fell from 4,212 to 310: 3,902 removed (92.6 %), limit 10 % and more than 5
    quarantine CRD-D103: 3,902 of 4,212 users removed within 24 hours (92.6 %), 3,902 of them now, limit 20 %
    ");
    let finding = &scene.verdict().findings[0];
    assert_eq!((finding.measured, finding.limit), (Some(3_902), Some(421)));
    assert_eq!(finding.subject, "user");
    assert_eq!(finding.examples, ["user:gone"]);
}

#[test]
fn a_drop_at_the_limit_is_accepted_and_one_user_more_is_quarantined() {
    assert_snapshot!(removing(1_000, 100), @"accepted");
    assert_snapshot!(removing(1_000, 101), @r"
    quarantined
    quarantine CRD-D101: users fell from 1,000 to 899: 101 removed (10.1 %), limit 10 % and more than 5
    ");
    // 10 % of 1,009 is 100.9 users: 100 are within it, 101 are not.
    assert_snapshot!(removing(1_009, 100), @"accepted");
    assert!(removing(1_009, 101).starts_with("quarantined"));
}

#[test]
fn up_to_five_removals_are_a_normal_day_whatever_their_share() {
    assert_snapshot!(removing(30, 5), @"accepted");
    assert_snapshot!(removing(30, 6), @r"
    quarantined
    quarantine CRD-D101: users fell from 30 to 24: 6 removed (20 %), limit 10 % and more than 5
    ");
}

#[test]
fn below_twenty_records_only_the_absolute_limit_counts() {
    assert_snapshot!(removing(19, 5), @"accepted");
    let relaxed = |removed| {
        Scene::users(Move::removing(19, removed)).guard("removed.user.percent = 90").check()
    };
    assert_snapshot!(relaxed(5), @"accepted");
    assert_snapshot!(relaxed(6), @r"
    quarantined
    quarantine CRD-D101: users fell from 19 to 13: 6 removed (31.6 %), limit 5 of fewer than 20
    quarantine CRD-D103: 6 of 19 users removed within 24 hours (31.6 %), 6 of them now, limit 5 of fewer than 20
    ");
}

#[test]
fn removals_are_not_excused_by_as_many_additions() {
    let step = Move { before: 1_000, removed: 150, added: 150, modified: 0 };
    assert_snapshot!(Scene::users(step).check(), @r"
    quarantined
    quarantine CRD-D101: users stayed at 1,000: 150 removed (15 %), limit 10 % and more than 5
    ");
}

#[test]
fn a_slow_leak_is_quarantined_once_the_day_has_lost_a_fifth() {
    let leak = |earlier: u64, now: u64| {
        let mut scene = Scene::users(Move::removing(1_000 - earlier, now));
        let window = scene.window("24h");
        window.removed.insert("user".to_owned(), earlier);
        window.records_then.insert("user".to_owned(), 1_000);
        scene.check()
    };
    assert_snapshot!(leak(150, 50), @"accepted");
    assert_snapshot!(leak(150, 51), @r"
    quarantined
    quarantine CRD-D103: 201 of 1,000 users removed within 24 hours (20.1 %), 51 of them now, limit 20 %
    ");
    assert_snapshot!(leak(900, 0), @"accepted");
}

#[test]
fn a_leak_is_noticed_before_there_is_a_count_of_yesterday() {
    let mut scene = Scene::users(Move::removing(850, 51));
    scene.window("24h").removed.insert("user".to_owned(), 150);
    assert!(scene.check().contains("CRD-D103: 201 of 1,000 users"), "{}", scene.check());
}

#[test]
fn a_budget_over_days_holds_what_no_day_shows() {
    let leak = |guard: &str, week: u64, now: u64| {
        let mut scene = Scene::users(Move::removing(1_000 - week, now)).guard(guard);
        for (span, removed) in [("24h", 0), ("7d", week)] {
            let window = scene.window(span);
            window.removed.insert("user".to_owned(), removed);
            window.records_then.insert("user".to_owned(), 1_000);
        }
        scene.check()
    };
    assert_snapshot!(leak("", 100, 9), @"accepted");
    let week = "budget = [{ within = \"7d\", percent = 10, count = 105 }]";
    assert_snapshot!(leak(week, 95, 5), @"accepted");
    assert_snapshot!(leak(week, 95, 6), @r"
    quarantined
    quarantine CRD-D103: 101 of 1,000 users removed within 7 days (10.1 %), 6 of them now, limit 105, or 10 %
    ");
    let groups = "budget = [{ within = \"7d\", of = \"group\", count = 1 }]";
    assert_snapshot!(leak(groups, 95, 6), @"accepted");
    // The budget of a day stays beside that of a week, until it is replaced.
    let both = format!("{week}\nremoved.user.percent = 100");
    assert_eq!(leak(&both, 0, 201).matches("CRD-D103").count(), 2);
    let none = "budget = [{ within = \"24h\" }]\nremoved.user.percent = 100";
    assert_snapshot!(leak(none, 0, 400), @"accepted");
}

#[test]
fn what_a_person_released_does_not_eat_up_the_budget() {
    let after = |removed: u64, now: u64| {
        let mut scene = Scene::users(Move::removing(600, now));
        let window = scene.window("24h");
        window.removed.insert("user".to_owned(), removed);
        window.released.insert("user".to_owned(), 400);
        window.records_then.insert("user".to_owned(), 1_000);
        scene.check()
    };
    assert_snapshot!(after(0, 60), @"accepted");
    // A fifth of the 600 that the release left.
    assert_snapshot!(after(60, 60), @"accepted");
    assert_snapshot!(after(61, 60), @r"
    quarantined
    quarantine CRD-D103: 121 of 600 users removed within 24 hours (20.2 %), 60 of them now, limit 20 %
    ");
}

#[test]
fn grants_that_only_the_policy_calls_privileged_are_counted_too() {
    let check = |appeared, vanished| {
        let mut scene = Scene::users(Move::removing(1_000, 0));
        scene.history.marked_grants.appeared = appeared;
        scene.history.marked_grants.vanished = vanished;
        scene.check()
    };
    assert_snapshot!(check(2, 1), @"accepted");
    assert_snapshot!(check(2, 2), @r"
    quarantined
    quarantine CRD-D302: 4 grants that the policy calls privileged: 2 appeared and 2 vanished, limit 3
    ");
}

#[test]
fn a_connectors_own_limit_counts_for_its_label_alone() {
    let scene = |step| {
        Scene::users(step)
            .with("groups", "resource.group", Move::removing(1_000, 100))
            .guard("removed.user = { percent = 2, count = 15 }")
            .check()
    };
    assert_snapshot!(scene(Move::removing(500, 10)), @"accepted");
    assert_snapshot!(scene(Move::removing(500, 11)), @r"
    quarantined
    quarantine CRD-D101: users fell from 500 to 489: 11 removed (2.2 %), limit 15, or 2 % and more than 5
    ");
    assert_snapshot!(scene(Move::removing(5_000, 16)), @r"
    quarantined
    quarantine CRD-D101: users fell from 5,000 to 4,984: 16 removed (0.3 %), limit 15, or 2 % and more than 5
    ");
}

#[test]
fn a_wiped_scope_is_not_hidden_by_a_large_type() {
    let scene = Scene::next().with("members of sre", "grant.user", Move::removing(40, 39)).with(
        "members of staff",
        "grant.user",
        Move::removing(10_000, 0),
    );
    assert_snapshot!(scene.check(), @r"
    quarantined
    quarantine CRD-D102: records of scope members of sre fell from 40 to 1: 39 removed (97.5 %), limit 10 % and more than 5
    ");
}

#[test]
fn a_scope_has_the_limit_of_its_records_unless_it_has_its_own() {
    let scene = |guard: &str| {
        Scene::next()
            .with("members of sre", "grant.user", Move::removing(40, 10))
            .with("members of staff", "grant.user", Move::removing(10_000, 0))
            .guard(guard)
            .check()
    };
    assert_snapshot!(scene("removed.grant.percent = 25"), @"accepted");
    assert_snapshot!(scene("removed.grant.percent = 24"), @r"
    quarantined
    quarantine CRD-D102: records of scope members of sre fell from 40 to 30: 10 removed (25 %), limit 24 % and more than 5
    ");
    assert_snapshot!(scene("removed_in_scope.percent = 25"), @"accepted");
}

#[test]
fn few_grants_of_one_type_are_not_hidden_by_many_of_another() {
    let scene = Scene::next().with("grants", "grant.user", Move::removing(10_000, 0)).with(
        "grants",
        "grant.service",
        Move::removing(50, 45),
    );
    assert_snapshot!(scene.check(), @r"
    quarantined
    quarantine CRD-D101: grants of services fell from 50 to 5: 45 removed (90 %), limit 10 % and more than 5
    ");
}

#[test]
fn removals_of_a_label_add_up_over_its_types() {
    let scene = Scene::next()
        .with("grants", "grant.user", Move::removing(10_000, 30))
        .with("grants", "grant.service", Move::removing(10_000, 30))
        .guard("removed.grant.count = 50\nremoved_in_scope.count = 100");
    assert_snapshot!(scene.check(), @r"
    quarantined
    quarantine CRD-D101: grants fell from 20,000 to 19,940: 60 removed (0.3 %), limit 50, or 10 % and more than 5
    ");
}

#[test]
fn additions_and_modifications_are_free_until_a_policy_limits_them() {
    let step = Move { before: 1_000, removed: 0, added: 5_000, modified: 1_000 };
    assert_snapshot!(Scene::users(step).check(), @"accepted");
    let guard = "added.user.percent = 50\nmodified.user.count = 999";
    assert_snapshot!(Scene::users(step).guard(guard).check(), @r"
    quarantined
    quarantine CRD-D201: users rose from 1,000 to 6,000: 5,000 added (500 %), limit 50 % and more than 5
    quarantine CRD-D202: 1,000 of 1,000 users modified (100 %), limit 999
    ");
}

#[test]
fn more_than_three_privileged_grants_or_five_percent_wait_for_a_person() {
    let check = |before, appeared, vanished| {
        Scene::users(Move::removing(10, 0)).privileged(before, appeared, vanished).check()
    };
    assert_snapshot!(check(500, 3, 0), @"accepted");
    assert_snapshot!(check(500, 4, 0), @r"
    quarantined
    quarantine CRD-D301: privileged grants went from 500 to 504: 4 appeared and 0 vanished, limit 3
    ");
    assert_snapshot!(check(500, 2, 2), @r"
    quarantined
    quarantine CRD-D301: privileged grants went from 500 to 500: 2 appeared and 2 vanished, limit 3
    ");
    // 5 % of 40 are 2.
    assert_snapshot!(check(40, 0, 2), @"accepted");
    assert_snapshot!(check(40, 0, 3), @r"
    quarantined
    quarantine CRD-D301: privileged grants went from 40 to 37: 0 appeared and 3 vanished, limit 5 %
    ");
    // Below 20 only the count counts.
    assert_snapshot!(check(19, 0, 3), @"accepted");
    assert!(check(0, 4, 0).starts_with("quarantined"));
}

#[test]
fn a_change_of_ids_is_called_by_its_name() {
    let step = Move { before: 1_000, removed: 600, added: 590, modified: 0 };
    let scene = Scene::users(step).guard("removed.user.percent = 100\nremoved_24h_percent = 100");
    assert_snapshot!(scene.check(), @r"
    quarantined
    quarantine CRD-D401: 60 % of 1,000 users changed their ids: 600 removed and 590 added at once, limit half
    ");
    let half = Move { before: 1_000, removed: 500, added: 500, modified: 0 };
    let guard = "removed.user.percent = 100\nremoved_24h_percent = 100";
    assert_snapshot!(Scene::users(half).guard(guard).check(), @"accepted");
    let fewer = Move { before: 1_000, removed: 600, added: 500, modified: 0 };
    assert_snapshot!(Scene::users(fewer).guard(guard).check(), @"accepted");
}

#[test]
fn an_older_snapshot_that_comes_back_is_quarantined() {
    let replay = |step| {
        let mut scene = Scene::users(step);
        scene.history.replays = Some(cordon_model::SyncNumber(300));
        scene.check()
    };
    let changed = Move { before: 1_000, removed: 0, added: 0, modified: 1 };
    assert_snapshot!(replay(changed), @r"
    quarantined
    quarantine CRD-D402: snapshot 300 came back, record by record
    ");
    // Nothing changed since, so nothing came back.
    assert_snapshot!(replay(Move::removing(1_000, 0)), @"accepted");
}

#[test]
fn a_protected_record_is_never_removed_unattended() {
    let mut scene = Scene::users(Move::removing(1_000, 1));
    scene.history.protected_removed.push("user:breakglass-1".to_owned());
    assert_snapshot!(scene.check(), @r"
    quarantined
    quarantine CRD-D104: 1 protected record would be removed
    ");
    assert_eq!(scene.verdict().findings[0].examples, ["user:breakglass-1"]);
}
