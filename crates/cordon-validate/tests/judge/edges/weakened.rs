//! What counts as a protection taken away: of each key the one direction and not the other.

use cordon_validate::{Policy, PolicyPatch, RemovalsVerified, Risk};

fn policy(guard: &str) -> Policy {
    let patch: PolicyPatch =
        toml::from_str(guard).unwrap_or_else(|error| panic!("{guard}: {error}"));
    Policy::default().overlaid(&patch)
}

fn told(old: &Policy, new: &Policy) -> String {
    let all = new.weakened_from(old).into_iter();
    all.map(|it| format!("{}: {} -> {}", it.what, it.before, it.now)).collect::<Vec<_>>().join("\n")
}

/// From the first guard to the second something is told, and nothing on the way back.
#[track_caller]
fn one_way(strict: &str, loose: &str, expected: &str) {
    let (strict, loose) = (policy(strict), policy(loose));
    assert_eq!(told(&strict, &loose), expected);
    assert_eq!(told(&loose, &strict), "", "the way back of {expected}");
}

/// A change that takes no protection away, in either direction.
#[track_caller]
fn neither_way(one: &str, other: &str) {
    let (one, other) = (policy(one), policy(other));
    assert_eq!(told(&one, &other), "");
    assert_eq!(told(&other, &one), "", "the way back");
}

#[test]
fn each_mode_is_weaker_in_one_direction() {
    for (strict, loose, expected) in [
        (
            "risk = \"critical\"",
            "risk = \"high\"",
            "risk: critical -> high\nrelease.people: 2 -> 1",
        ),
        ("first_sync = \"review\"", "", "first_sync: review -> trust"),
        ("recover = \"review\"", "", "recover: review -> auto"),
        ("on_incomplete = \"quarantine\"", "", "on_incomplete: quarantine -> carry-forward"),
        ("", "on_suspicion = \"hold-removals\"", "on_suspicion: quarantine -> hold-removals"),
        ("", "removals_verified = \"accept\"", "removals_verified: note -> accept"),
        ("lookup.when = \"always\"", "", "lookup.when: always -> suspicion"),
        ("reread.times = 2", "", "reread.times: 2 -> 1"),
        ("", "shape = \"off\"", "shape: on -> off"),
        ("", "shape.hold = 3", "shape.hold: one sync in 316 -> one sync in 1,000"),
        ("", "shape.read_again = 2", "shape.read_again: one sync in 16 -> one sync in 100"),
        ("grace = \"2h\"", "grace = \"1h\"", "grace: 2h -> 1h"),
        ("dangling_percent = 0.5", "", "dangling_percent: 0.5 % -> 1 %"),
        ("privileged.count = 2", "", "privileged: 2, or 5 % -> 3, or 5 %"),
        ("privileged.percent = 4", "", "privileged: 3, or 4 % -> 3, or 5 %"),
        ("freshness = \"5h\"", "", "freshness: 5h -> 6h"),
        ("release.people = 2", "", "release.people: 2 -> 1"),
        ("release.expires = \"7h\"", "", "release.expires: 7h -> 8h"),
        ("release.by = [\"a\"]", "release.by = [\"a\", \"b\"]", "release.by: a -> a, b"),
        ("release.by = [\"a\"]", "", "release.by: a -> anyone"),
    ] {
        one_way(strict, loose, expected);
    }
    let both = told(&policy("release.by = [\"a\"]"), &policy("release.by = [\"b\"]"));
    assert_eq!(both, "release.by: a -> b");
}

#[test]
fn less_that_is_asked_for_is_weaker_and_where_removals_pass_by_it_more_is_too() {
    let accept = |line: &str| format!("removals_verified = \"accept\"\n{line}");
    for (more, less, told_more, told_less) in [
        ("lookup.keys = 2001", "", "2000 -> 2001", "2001 -> 2000"),
        ("lookup.per_second = 101", "", "100 -> 101", "101 -> 100"),
        ("lookup.deadline = \"61s\"", "", "1m -> 1m 1s", "1m 1s -> 1m"),
    ] {
        let what = more.split(' ').next().unwrap();
        one_way(more, less, &format!("{what}: {told_less}"));
        let [more, less] = [more, less].map(|line| policy(&accept(line)));
        assert_eq!(told(&more, &less), format!("{what}: {told_less}"));
        assert_eq!(told(&less, &more), format!("{what}: {told_more}"));
        // Where much is at stake no word lets anything pass.
        let high = |mut it: Policy| {
            it.risk = Risk::High;
            it
        };
        assert_eq!(told(&high(less.clone()), &high(more.clone())), "");
        // That it is believed from now on says it all.
        let note = Policy { removals_verified: RemovalsVerified::Note, ..less };
        assert_eq!(told(&note, &more), "removals_verified: note -> accept");
    }
}

#[test]
fn a_sample_that_is_less_sure_is_weaker_whatever_follows_from_it() {
    for accept in ["", "removals_verified = \"accept\"\n"] {
        let sure = |percent: u8| format!("{accept}lookup.confidence = {percent}");
        one_way(&sure(99), &sure(98), "lookup.confidence: 99 % -> 98 %");
        neither_way(&sure(99), &sure(99));
    }
}

#[test]
fn thresholds_of_a_detector_that_does_not_look_protect_nothing() {
    let mut off = policy("shape = \"off\"");
    let mut higher = policy("shape = { hold = 4, read_again = 3 }");
    higher.shape.is_on = false;
    assert_eq!(told(&off, &higher), "");
    off.shape.is_on = true;
    assert_eq!(told(&off, &higher), "shape: on -> off");
}

#[test]
fn each_limit_is_weaker_in_one_direction() {
    for what in ["removed", "added", "modified"] {
        let limit = |of: &str, limit: &str| format!("{what}.{of} = {{ {limit} }}");
        for of in ["default", "user"] {
            for (strict, loose, told) in [
                (
                    "percent = 5, count = 9",
                    "percent = 6, count = 9",
                    "9, or 5 % and more than 5 -> 9, or 6 % and more than 5",
                ),
                (
                    "percent = 5, count = 9",
                    "percent = 5, count = 10",
                    "9, or 5 % and more than 5 -> 10, or 5 % and more than 5",
                ),
                (
                    "percent = 5, floor = 6",
                    "percent = 5, floor = 7",
                    "5 % and more than 6 -> 5 % and more than 7",
                ),
            ] {
                let expected = format!("{what}.{of}: {told}");
                one_way(&limit(of, strict), &limit(of, loose), &expected);
            }
        }
    }
    one_way("added.user = { count = 9 }", "", "added.user: 9 -> none");
    one_way("added.user = { percent = 9 }", "", "added.user: 9 % and more than 5 -> none");
}

#[test]
fn the_limit_of_scopes_is_told_once_and_where_it_has_its_own() {
    one_way(
        "removed_in_scope.count = 4",
        "removed_in_scope.count = 5",
        "removed_in_scope: 4, or 10 % and more than 5 -> 5, or 10 % and more than 5",
    );
    // Where scopes follow their records, the limit of these is what changed.
    one_way(
        "removed.user = { percent = 5 }",
        "removed.user = { percent = 6 }",
        "removed.user: 5 % and more than 5 -> 6 % and more than 5",
    );
    // A line of a scope that says what holds anyway takes nothing away.
    neither_way("removed_in_scope.percent = 10", "");
    // For one label alone it is less than before.
    one_way(
        "removed.user = { percent = 5 }",
        "removed.user = { percent = 5 }\nremoved_in_scope.percent = 10",
        "removed_in_scope: 5 % and more than 5 -> 10 % and more than 5",
    );
}

#[test]
fn each_budget_is_weaker_in_one_direction() {
    let budget = |of: &str| format!("budget = [{{ within = \"7d\", {of} }}]");
    for (strict, loose, expected) in [
        ("count = 5", "count = 6", "budget of 7d: 5 -> 6"),
        ("percent = 5", "percent = 6", "budget of 7d: 5 % -> 6 %"),
        ("percent = 5, count = 9", "percent = 5", "budget of 7d: 9, or 5 % -> 5 %"),
        ("percent = 5, count = 9", "count = 9", "budget of 7d: 9, or 5 % -> 9"),
        (
            "percent = 5, floor = 3",
            "percent = 5, floor = 4",
            "budget of 7d: 5 % and more than 3 -> 5 % and more than 4",
        ),
        ("of = \"user\", count = 5", "of = \"user\", count = 6", "budget of user in 7d: 5 -> 6"),
    ] {
        one_way(&budget(strict), &budget(loose), expected);
    }
    one_way(&budget("count = 5"), "", "budget of 7d: 5 -> none");
    neither_way(&budget("percent = 5, floor = 3"), &budget("percent = 5, floor = 3"));
    // What the floor of a label's limit is, each label knows alone.
    let [own, borrowed] = ["percent = 5, floor = 3", "percent = 5"].map(|it| policy(&budget(it)));
    assert_eq!(told(&own, &borrowed), "budget of 7d: 5 % and more than 3 -> 5 %");
    assert_eq!(told(&borrowed, &own), "budget of 7d: 5 % -> 5 % and more than 3");
    // Another label's is another budget.
    let [user, group] =
        ["of = \"user\"", "of = \"group\""].map(|of| policy(&budget(&format!("{of}, count = 5"))));
    assert_eq!(told(&user, &group), "budget of user in 7d: 5 -> none");
}

#[test]
fn marks_that_have_to_fit_protect_more_than_those_that_may_be_passed_over() {
    for what in ["protected_where", "privileged_where"] {
        let mark = |fits: bool| {
            format!("{what} = [{{ of = \"user\", where = {{ a = 1 }}, where_it_fits = {fits} }}]")
        };
        let expected = format!("{what}: user where a is 1 -> not named");
        one_way(&mark(false), &mark(true), &expected);
        one_way(&mark(true), "", &expected);
    }
    one_way("schema.required = [\"user.mail\"]", "", "schema.required: user.mail -> not required");
    one_way("protected = [\"a*\"]", "", "protected: a* -> not named");
    one_way(
        "privileged_entitlements = [\"a*\"]",
        "privileged_entitlements = [\"ab*\"]",
        "privileged_entitlements: a* -> not named",
    );
}

#[test]
fn a_rule_is_weaker_when_it_demands_less_or_counts_other_records() {
    let rule = |more: &str| format!("[rule.r]\non = \"current.user\"\n{more}");
    let of = |strict: &str, loose: &str| told(&policy(&rule(strict)), &policy(&rule(loose)));
    for (strict, loose) in [
        ("allow = { count = 5 }", "allow = { count = 6 }"),
        ("allow = { percent = 5 }", "allow = { percent = 6 }"),
        ("allow = { percent = 5, floor = 3 }", "allow = { percent = 5, floor = 4 }"),
        ("allow = { count = 5, least = 2 }", "allow = { least = 2 }"),
        ("allow = { least = 2 }", "allow = { least = 1 }"),
        ("allow = { count = 5, least = 2 }", "allow = { count = 5 }"),
        ("action = \"quarantine\"", "action = \"warn\""),
        ("where_it_fits = false", "where_it_fits = true"),
    ] {
        assert_ne!(of(strict, loose), "", "{strict} to {loose}");
        assert_eq!(of(loose, strict), "", "{loose} to {strict}");
    }
    for (one, other) in [
        ("where = { a = 1 }", "where = { a = 2 }"),
        ("unless = { a = 1 }", "unless = { a = 2 }"),
        ("where = { a = 1 }", ""),
    ] {
        assert_ne!(of(one, other), "", "{one} to {other}");
        assert_ne!(of(other, one), "", "{other} to {one}");
    }
    let changed =
        |was: &str| policy(&format!("[rule.r]\non = \"changed.user\"\nwas = {{ a = {was} }}"));
    assert_ne!(told(&changed("1"), &changed("2")), "");
}

#[test]
fn an_exemption_is_new_unless_one_before_it_took_as_much() {
    let exemption = |code: &str, more: &str, until: &str| {
        format!(
            "[exemption.x]\ncode = \"{code}\"\nowner = \"o\"\nreason = \"r\"\nuntil = \"{until}\"\n{more}"
        )
    };
    let of = |old: &str, new: &str| told(&policy(old), &policy(new)).is_empty();
    let wide = exemption("CRD-D101", "", "2026-12-31");
    let subject = exemption("CRD-D101", "subject = \"user\"", "2026-12-31");
    let other = exemption("CRD-D101", "subject = \"group\"", "2026-12-31");
    let max = exemption("CRD-D101", "max = 5", "2026-12-31");
    let more = exemption("CRD-D101", "max = 6", "2026-12-31");
    let sooner = exemption("CRD-D101", "", "2026-12-30");
    let code = exemption("CRD-D103", "", "2026-12-31");
    for (within, outside) in
        [(&subject, &wide), (&max, &wide), (&max, &more), (&more, &wide), (&sooner, &wide)]
    {
        assert!(of(outside, within), "{within} within {outside}");
        assert!(!of(within, outside), "{outside} not within {within}");
    }
    for (one, another) in [(&subject, &other), (&code, &wide)] {
        assert!(!of(one, another) && !of(another, one), "{one} and {another}");
    }
    // Under whatever name.
    assert!(of(&wide, &wide.replace("exemption.x", "exemption.y")));
}
