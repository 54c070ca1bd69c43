//! Policies: what a configuration may say, and what it means.

use cordon_validate::{
    KeyGlob, Limit, Percent, Policy, PolicyPatch, PrivilegedLimit, Shape, Unusual,
};
use insta::assert_snapshot;

fn patch(toml: &str) -> PolicyPatch {
    toml::from_str(toml).unwrap_or_else(|error| panic!("{toml}\n{error}"))
}

fn overlaid(guards: &[&str]) -> Policy {
    guards.iter().fold(Policy::default(), |policy, guard| policy.overlaid(&patch(guard)))
}

fn described(policy: &Policy) -> String {
    let lines = policy.describe().into_iter().map(|(what, holds)| format!("{what}: {holds}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn safe_defaults_hold_without_configuration() {
    assert_snapshot!(described(&Policy::default()), @r"
    risk: medium
    first sync: trusted when every scope is complete
    recovery: a clean sync ends a quarantine
    suspicious removals: the whole sync waits
    release: by one person of whoever may give orders
    incomplete scopes: carried forward, the rest passes
    removed: quarantine beyond 10 % and more than 5
    added: any number
    modified: any number
    removed in a scope: as its records
    removed in 24 hours: quarantine beyond 20 %
    privileged grants: quarantine beyond 3, or 5 %, at once
    dangling references: quarantine beyond 1 %
    missing records: on suspicion up to 2,000 looked up, 100 a second, samples at 95 % confidence, within 1m
    removals confirmed: wait for a person, who is told so
    suspicious syncs: read once more after 2m
    shape of a step: read again when as rare as one sync in 16, quarantine as one sync in 316
    accepted removals: final at once
    required: none
    protected: none
    ");
}

#[test]
fn every_line_of_a_guard_counts() {
    let guard = r#"
        first_sync = "review"
        on_incomplete = "quarantine"
        recover = "review"
        on_suspicion = "hold-removals"
        release = { people = 2, expires = "4h", by = ["iam-approvers", "iam-leads"] }
        risk = "low"
        removed.default = { percent = 8.5 }
        removed.user = { percent = 2, count = 25, floor = 3 }
        removed.grant = { count = 5000 }
        added.grant = { percent = 50, count = 2000 }
        modified.user = { percent = 40 }
        removed_in_scope = { percent = 30 }
        removed_24h_percent = 12.25
        budget = [{ within = "7d", of = "user", percent = 30, count = 500 }]
        privileged = { count = 1, percent = 2 }
        dangling_percent = 0
        lookup = { when = "always", keys = 500, confidence = 99, per_second = 10, deadline = "30s" }
        removals_verified = "accept"
        reread = { after = "45s", times = 2 }
        shape = { hold = 3, read_again = 1.75 }
        grace = "24h"
        schema.required = ["user.mail", "user.status"]
        protected = ["user:breakglass*", "user:root"]
        protected_where = [{ of = "user", where = { break_glass = true } }]
        privileged_entitlements = ["*admin*"]
        privileged_where = [{ of = "entitlement", where = { tier = 0 } }]
        rule.seventies = { on = "removed.user", where = { id = "u7*" }, allow = { count = 1 } }
        [exemption.old-crm]
        code = "CRD-D101"
        subject = "user"
        max = 400
        owner = "iam team"
        reason = "reorganisation, ticket 4411"
        until = "2026-12-31"
    "#;
    assert_snapshot!(described(&overlaid(&[guard])), @r#"
    risk: low
    first sync: waits for a person
    recovery: a person ends a quarantine
    suspicious removals: removals wait, the rest passes
    release: by 2 people of members of iam-approvers, iam-leads, within 4h
    incomplete scopes: quarantine
    removed: quarantine beyond 8.5 % and more than 5
    removed grant: quarantine beyond 5,000, or 8.5 % and more than 5
    removed user: quarantine beyond 25, or 2 % and more than 3
    added: any number
    added grant: quarantine beyond 2,000, or 50 % and more than 5
    modified: any number
    modified user: quarantine beyond 40 % and more than 5
    removed in a scope: quarantine beyond 30 % and more than 5
    removed in 24 hours: quarantine beyond 12.25 %
    removed user in 7 days: quarantine beyond 500, or 30 %
    privileged grants: quarantine beyond 1, or 2 %, at once
    dangling references: quarantine beyond 0 %
    missing records: always up to 500 looked up, 10 a second, samples at 99 % confidence, within 30s
    removals confirmed: pass
    suspicious syncs: read up to 2 times more, each after 45s
    shape of a step: read again when as rare as one sync in 56, quarantine as one sync in 1,000
    accepted removals: pending for 24 hours, then final
    required: user.mail, user.status
    protected: user:breakglass*, user:root, user where break_glass is true
    privileged entitlements: *admin*, entitlement where tier is 0
    exemption old-crm: CRD-D101 of user up to 400 until 2026-12-31, iam team: reorganisation, ticket 4411
    rule seventies: removed users where id is "u7*": at most 1, else quarantine
    "#);
}

#[test]
fn a_connectors_guard_lies_upon_the_hosts_field_by_field() {
    let host = "removed.user = { percent = 4, count = 100 }\nremoved.default.floor = 2";
    let connector = "removed.user = { count = 25 }\nremoved.default.percent = 6";
    let policy = overlaid(&[host, connector]);
    let percent = |number| Some(Percent::whole(number));
    let user = Limit { percent: percent(4), count: Some(25), floor: 2 };
    assert_eq!(policy.removed.of("user"), user);
    let rest = Limit { percent: percent(6), count: None, floor: 2 };
    assert_eq!(policy.removed.of("group"), rest);
    assert_eq!(policy.added, Policy::default().added);
}

#[test]
fn the_detector_is_switched_by_a_word_and_on_again_by_its_thresholds() {
    let off = overlaid(&["shape = \"off\""]);
    assert!(!off.shape.is_on);
    let of = |number| Unusual::new(number).unwrap();
    let closer = overlaid(&["shape = { hold = 3.5 }", "shape = \"off\"", "shape.read_again = 2"]);
    let shape = Shape { is_on: true, hold: of(3.5), read_again: of(2.0) };
    assert_eq!(closer.shape, shape);
    assert_eq!(overlaid(&["shape = \"off\"", "shape = \"on\""]).shape, Shape::default());
    for wrong in
        ["\"maybe\"", "{ hold = 0.4 }", "{ hold = 13 }", "{ hold = 2.555 }", "{ held = 2 }", "true"]
    {
        let text = format!("shape = {wrong}");
        assert!(toml::from_str::<PolicyPatch>(&text).is_err(), "{text}");
    }
}

#[test]
fn a_connectors_guard_cannot_take_a_hosts_protection_away() {
    let host = "protected = [\"user:breakglass*\"]\nschema.required = [\"user.mail\"]";
    let connector = "protected = []\nschema.required = [\"user.status\"]";
    let policy = overlaid(&[host, connector]);
    assert!(policy.protects("user:breakglass-7"));
    assert!(policy.requires("user", "mail") && policy.requires("user", "status"));
}

#[test]
fn a_guard_says_from_which_age_on_data_is_stale() {
    let hours = |policy: &Policy| policy.freshness.as_secs() / 3_600;
    assert_eq!(hours(&Policy::default()), 6);
    assert_eq!(hours(&overlaid(&["freshness = \"26h\""])), 26);
    assert_eq!(hours(&overlaid(&["freshness = \"26h\"", "risk = \"low\""])), 26);
}

#[test]
fn two_people_release_at_critical_risk_unless_the_policy_says_otherwise() {
    let people = |guard: &str| overlaid(&[guard]).release_people();
    assert_eq!([people(""), people("risk = \"high\""), people("risk = \"critical\"")], [1, 1, 2]);
    assert_eq!(people("risk = \"critical\"\nrelease.people = 1"), 1);
    assert_eq!(people("release.people = 2"), 2);
    let at_high = "release.at.high = { people = 2, by = [\"leads\"] }";
    assert_eq!([people(at_high), people(&format!("risk = \"high\"\n{at_high}"))], [1, 2]);
    let groups = overlaid(&["release.by = [\"a\", \"b\"]", "release.by = [\"c\"]"]).release.by;
    assert_eq!(groups.iter().map(|group| group.as_str()).collect::<Vec<_>>(), ["c"]);
}

#[test]
fn removals_wait_alone_only_where_little_is_at_stake() {
    let alone = |guard: &str| overlaid(&[guard]).holds_removals_alone();
    assert!(!alone(""));
    assert!(alone("on_suspicion = \"hold-removals\""));
    assert!(!alone("on_suspicion = \"hold-removals\"\nrisk = \"high\""));
}

#[test]
fn what_a_connector_governs_sets_its_risk_unless_the_risk_is_written() {
    let risk = |guards: &[&str]| overlaid(guards).risk.to_string();
    assert_eq!(risk(&["governs = [\"inventory\"]"]), "low");
    assert_eq!(risk(&["governs = [\"access\", \"leavers\"]"]), "high");
    assert_eq!(risk(&["governs = [\"privileged-access\"]"]), "critical");
    assert_eq!(risk(&["governs = [\"leavers\"]\nrisk = \"medium\""]), "medium");
    assert_eq!(risk(&["risk = \"high\"", "governs = [\"directory\"]"]), "medium");
    assert_eq!(risk(&["risk = \"high\"", ""]), "high");
}

#[test]
fn a_budget_takes_the_place_of_one_of_the_same_time_and_label() {
    let budgets = |guards: &[&str]| {
        let words = overlaid(guards).budgets.into_iter().map(|it| format!("{} {it}", it.within));
        words.collect::<Vec<_>>().join("; ")
    };
    assert_eq!(budgets(&[]), "24h 20 %");
    assert_eq!(budgets(&["removed_24h_percent = 5"]), "24h 5 %");
    let week = "budget = [{ within = \"7d\", percent = 30 }]";
    assert_eq!(budgets(&[week]), "24h 20 %; 7d 30 %");
    let closer = "budget = [{ within = \"168h\", percent = 8 }]";
    assert_eq!(budgets(&[week, closer]), "24h 20 %; 7d 8 %");
    assert_eq!(budgets(&["budget = [{ within = \"1d\", count = 9 }]"]), "24h 9");
}

#[test]
fn an_empty_guard_changes_nothing() {
    assert_eq!(overlaid(&["", ""]), Policy::default());
}

#[test]
fn what_a_guard_does_not_know_is_refused_by_name() {
    for (toml, named) in [
        ("max_drop = 5", "max_drop"),
        ("removed.user = { percent = 10, max_drop = 50 }", "max_drop"),
        ("removed.User = { percent = 10 }", "User"),
        ("privileged = { floor = 5 }", "floor"),
        ("schema.requred = []", "requred"),
        ("first_sync = \"maybe\"", "maybe"),
        ("risk = \"extreme\"", "extreme"),
        ("on_suspicion = \"hold\"", "hold-removals"),
        ("release = { persons = 2 }", "persons"),
        ("release = { people = 3 }", "not 3"),
        ("release = { people = 0 }", "not 0"),
        ("release = { expires = \"0s\" }", "a second to 366 days"),
        ("release = { expires = \"367d\" }", "366 days"),
        ("release = { by = [\"iam approvers\"] }", "iam approvers"),
        ("release = { by = [\"\"] }", "group"),
        ("schema.required = [\"mail\"]", "mail"),
        ("protected = [\"\"]", "protected"),
        ("dangling_percent = -1", "-1"),
        ("dangling_percent = 1.234", "1.234"),
        ("dangling_percent = nan", "NaN"),
        ("dangling_percent = 10001", "10001"),
        ("removed.user.count = -1", "-1"),
        ("budget = [{ percent = 20 }]", "within"),
        ("budget = [{ within = \"soon\", percent = 20 }]", "soon"),
        ("governs = [\"everything\"]", "leavers"),
        ("protected_where = [{ of = \"User\", where = { a = 1 } }]", "User"),
        ("privileged_entitlements = [\"\"]", "empty"),
        (
            "exemption.x = { code = \"CRD-D999\", owner = \"a\", reason = \"b\", until = \"2026-12-31\" }",
            "CRD-D999",
        ),
        (
            "exemption.x = { code = \"CRD-D104\", owner = \"a\", reason = \"b\", until = \"2026-12-31\" }",
            "never go unattended",
        ),
        (
            "exemption.x = { code = \"CRD-P202\", owner = \"a\", reason = \"b\", until = \"2026-12-31\" }",
            "nobody can accept",
        ),
        (
            "exemption.x = { code = \"CRD-R101\", owner = \"a\", reason = \"b\", until = \"2026-12-31\" }",
            "nobody can accept",
        ),
        ("exemption.x = { code = \"CRD-D101\", reason = \"b\", until = \"2026-12-31\" }", "owner"),
        (
            "exemption.x = { code = \"CRD-D101\", owner = \" \", reason = \"b\", until = \"2026-12-31\" }",
            "owner",
        ),
        ("exemption.x = { code = \"CRD-D101\", owner = \"a\", until = \"2026-12-31\" }", "reason"),
        ("exemption.x = { code = \"CRD-D101\", owner = \"a\", reason = \"b\" }", "until"),
        (
            "exemption.x = { code = \"CRD-D101\", owner = \"a\", reason = \"b\", until = \"someday\" }",
            "someday",
        ),
        ("freshness = \"6 parsecs\"", "parsecs"),
        ("freshness = \"-6h\"", "-6h"),
    ] {
        let error = toml::from_str::<PolicyPatch>(toml).expect_err(toml).to_string();
        assert!(error.contains(named), "{toml} gave {error}");
    }
}

#[test]
fn a_policy_comes_back_from_json_as_it_was() {
    let policy = overlaid(&["removed.user = { percent = 2.75, count = 25 }\nprotected = [\"a*\"]"]);
    let json = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
}

#[test]
fn protected_keys_may_have_gaps_anywhere() {
    for (glob, key, fits) in [
        ("user:breakglass*", "user:breakglass", true),
        ("user:breakglass*", "user:breakglass-1", true),
        ("user:breakglass*", "group:breakglass", false),
        ("user:root", "user:root", true),
        ("user:root", "user:root2", false),
        ("*:root", "user:root", true),
        ("*:root", "user:root2", false),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-c-b", false),
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("*a*ab", "aab", true),
        ("*b*a*c", "abc", false),
        ("*ab*b", "ab", false),
        ("*", "", true),
        ("**", "anything", true),
    ] {
        let pattern = KeyGlob::new(glob).unwrap();
        assert_eq!(pattern.matches(key), fits, "{glob} on {key}");
    }
}

#[test]
fn a_limit_knows_the_most_it_allows() {
    let limit = |percent, count, floor| Limit { percent, count, floor };
    let ten = Some(Percent::whole(10));
    for (limit, before, most) in [
        (limit(None, None, 5), 1_000, None),
        (limit(None, Some(7), 5), 1_000, Some(7)),
        (limit(ten, None, 5), 1_000, Some(100)),
        (limit(ten, None, 5), 1_009, Some(100)),
        (limit(ten, None, 5), 40, Some(5)),
        (limit(ten, Some(50), 5), 1_000, Some(50)),
        (limit(ten, Some(3), 5), 1_000, Some(3)),
        (limit(ten, None, 0), 20, Some(2)),
        (limit(ten, None, 0), 19, Some(0)),
        (limit(ten, None, 0), u64::MAX, Some(u64::MAX / 10)),
    ] {
        assert_eq!(limit.most(before), most, "{limit:?} of {before}");
    }
    let privileged = PrivilegedLimit { count: 3, percent: Percent::whole(5) };
    assert_eq!([0, 19, 20, 40, 60, 1_000].map(|n| privileged.most(n)), [3, 3, 1, 2, 3, 3]);
}
