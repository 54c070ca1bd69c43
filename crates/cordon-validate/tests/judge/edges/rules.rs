//! The edges of operators' rules: what is counted for them, out of how many, and what is made of it.

use std::collections::BTreeMap;

use cordon_model::{AttributeName, AttributeSchema, AttributeType, RecordSchema, Severity};
use cordon_validate::{
    OperatorRule, PolicyPatch, RuleCount, RuleCounter, RuleName, announced, rule_findings,
};

use crate::scene::{Move, Scene, record_type};

fn name(text: &str) -> RuleName {
    RuleName::try_from(text.to_owned()).unwrap()
}

fn rule(toml: &str) -> OperatorRule {
    toml::from_str(toml).unwrap_or_else(|error| panic!("{toml}\n{error}"))
}

/// A counter of this one rule, for a connector with users, groups and grants of users.
fn counter(toml: &str) -> RuleCounter {
    let tier = AttributeSchema {
        name: AttributeName::new("tier").unwrap(),
        value_type: AttributeType::Integer,
        required: false,
        sensitive: false,
        natural_key: false,
    };
    let schemas =
        [("resource.user", vec![tier]), ("resource.group", vec![]), ("grant.user", vec![])]
            .map(|(of, attributes)| RecordSchema { record_type: record_type(of), attributes });
    let rules = BTreeMap::from([(name("it"), rule(toml))]);
    RuleCounter::new(&rules, &announced(&schemas), "2026-03-02T12:00:00Z".parse().unwrap())
}

#[test]
fn only_what_a_rule_looks_at_is_wanted() {
    for (on, changes, users, groups) in [
        ("added.user", true, false, false),
        ("removed.*", true, false, false),
        ("changed.grant", true, false, false),
        ("current.user", false, true, false),
        ("current.*", false, true, true),
        // It fits no type, so nothing is looked at for it.
        ("added.device", false, false, false),
        ("current.device", false, false, false),
    ] {
        let counter = counter(&format!("on = \"{on}\""));
        let current = |of: &str| counter.wants_current(&record_type(of));
        let wanted = (counter.wants_changes(), current("resource.user"), current("resource.group"));
        assert_eq!(wanted, (changes, users, groups), "{on}");
    }
}

#[test]
fn changes_are_a_share_of_the_records_before_and_others_of_those_now() {
    let of = |on: &str| {
        let before = |of: &cordon_model::RecordType| if of.label() == "user" { 100 } else { 10 };
        let now = |of: &cordon_model::RecordType| if of.label() == "user" { 90 } else { 9 };
        counter(&format!("on = \"{on}\"")).finish(before, now)[&name("it")].of
    };
    for on in ["added.user", "removed.user", "changed.user"] {
        assert_eq!(of(on), 100, "{on}");
    }
    assert_eq!(of("current.user"), 90);
    // Users, groups and grants.
    assert_eq!((of("added.*"), of("current.*")), (120, 108));
}

#[test]
fn a_rule_that_fits_nothing_is_passed_over_only_where_it_may_be() {
    let count = |toml: &str| counter(toml).finish(|_| 0, |_| 0)[&name("it")].clone();
    let own = count("on = \"current.device\"");
    assert!(own.unmet.is_some() && !own.passed_over);
    let of_host = count("on = \"current.device\"\nwhere_it_fits = true");
    assert!(of_host.unmet.is_none() && of_host.passed_over);
    let fits = count("on = \"current.user\"\nwhere_it_fits = true");
    assert!(fits.unmet.is_none() && !fits.passed_over);
}

/// Judges a step of a hundred users by this rule that found so many of them.
fn judged(toml: &str, count: RuleCount) -> Vec<cordon_model::Finding> {
    let mut scene = Scene::users(Move::removing(100, 0));
    scene.policy.rules.insert(name("it"), rule(toml));
    scene.history.rules.insert(name("it"), count);
    scene.verdict().findings
}

fn matched(matched: u64) -> RuleCount {
    let examples = vec!["user:u1".to_owned()];
    RuleCount { matched, of: 100, examples, ..RuleCount::default() }
}

#[test]
fn a_broken_rule_is_measured_against_what_it_allows() {
    let most = judged("on = \"added.user\"\nallow = { percent = 10, count = 7 }", matched(8));
    assert_eq!(
        (most[0].code.as_str(), most[0].measured, most[0].limit),
        ("CRD-O101", Some(8), Some(7))
    );
    assert_eq!(
        (most[0].subject.as_str(), most[0].examples.as_slice()),
        ("it", &["user:u1".to_owned()][..])
    );
    let least = judged("on = \"current.user\"\nallow = { least = 9 }", matched(8));
    assert_eq!(
        (least[0].code.as_str(), least[0].measured, least[0].limit),
        ("CRD-O102", Some(8), Some(9))
    );
    assert_eq!(least[0].examples, ["user:u1"]);
    // Too many and too few at once is two findings.
    let both = judged("on = \"current.user\"\nallow = { count = 3, least = 9 }", matched(8));
    assert_eq!(
        both.iter().map(|it| it.code.as_str()).collect::<Vec<_>>(),
        ["CRD-O101", "CRD-O102"]
    );
    let between = judged("on = \"current.user\"\nallow = { count = 8, least = 8 }", matched(8));
    assert_eq!(between, []);
}

#[test]
fn what_a_rule_asks_for_happens_also_where_it_cannot_be_evaluated() {
    let unmet = || RuleCount { unmet: Some("no type user".to_owned()), ..RuleCount::default() };
    let severity = |action: &str, count| {
        let found = judged(&format!("on = \"current.user\"\naction = \"{action}\""), count);
        (found[0].code.clone(), found[0].severity)
    };
    assert_eq!(severity("warn", unmet()), ("CRD-O103".to_owned(), Severity::Warning));
    assert_eq!(severity("quarantine", unmet()), ("CRD-O103".to_owned(), Severity::Quarantine));
    assert_eq!(severity("warn", matched(1)), ("CRD-O101".to_owned(), Severity::Warning));
}

#[test]
fn a_rule_that_was_passed_over_for_another_policy_counts_where_it_has_to_fit() {
    let passed = || RuleCount { passed_over: true, matched: 5, of: 100, ..RuleCount::default() };
    assert_eq!(judged("on = \"current.user\"\nwhere_it_fits = true", passed()), []);
    assert_eq!(judged("on = \"current.user\"", passed())[0].code, "CRD-O101");
}

#[test]
fn a_protected_record_that_goes_is_told_as_such_and_a_marked_entitlement_holds_nothing() {
    let judged = |guard: &str, rule: &str| {
        let mut scene = Scene::users(Move::removing(100, 0));
        let patch: PolicyPatch = toml::from_str(guard).unwrap();
        scene.policy = scene.policy.overlaid(&patch);
        let names: Vec<String> =
            scene.policy.counted_rules().keys().map(ToString::to_string).collect();
        assert_eq!(names, [rule]);
        let rules = scene.policy.counted_rules().into_keys();
        scene.history.rules = rules.map(|name| (name, matched(1))).collect();
        scene.verdict().findings
    };
    let protected =
        judged("protected_where = [{ of = \"user\", where = { a = 1 } }]", "protected.1");
    assert_eq!(
        (protected[0].code.as_str(), protected[0].severity),
        ("CRD-D104", Severity::Quarantine)
    );
    assert_eq!((protected[0].measured, protected[0].limit), (Some(1), Some(0)));
    let marked =
        judged("privileged_where = [{ of = \"entitlement\", where = { a = 1 } }]", "privileged.1");
    assert_eq!(marked, []);
}

#[test]
fn a_rule_says_by_itself_what_it_says_in_a_verdict() {
    let it = rule("on = \"current.user\"\nallow = { count = 7 }");
    assert_eq!(rule_findings(&name("it"), &it, &matched(7)), []);
    let broken = rule_findings(&name("it"), &it, &matched(8));
    assert_eq!(broken, judged("on = \"current.user\"\nallow = { count = 7 }", matched(8)));
    assert_eq!(broken[0].code, "CRD-O101");
}

#[test]
fn a_rule_is_told_in_the_words_of_what_it_looks_at() {
    let subject = |toml: &str| rule(toml).subject();
    assert_eq!(subject("on = \"added.grant.user\""), "added grants");
    assert_eq!(subject("on = \"added.resource.user\""), "added users");
    assert_eq!(
        subject("on = \"current.user\"\nwhere = [{ a = 1 }, { b = 2 }]"),
        "current users where a is 1, or b is 2"
    );
    let least = rule("on = \"current.user\"\nallow = { least = 2 }");
    assert_eq!(least.demand(), "at least 2, else quarantine");
    let unmet = counter("on = \"current.user\"\nwhere = { tier = true }").finish(|_| 0, |_| 0);
    let why = unmet[&name("it")].unmet.clone().unwrap_or_default();
    assert_eq!(why, "tier of resource.user is a number and cannot be compared with true or false");
}
