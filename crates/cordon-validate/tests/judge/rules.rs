//! Operators' rules: what they may say, what they select, and what follows.

use std::collections::BTreeMap;

use cordon_model::{
    AttributeName, AttributeSchema, AttributeType, Change, ChangeOp, RecordSchema, Row, Value,
};
use cordon_validate::{
    OperatorRule, PolicyPatch, RuleCount, RuleCounter, RuleName, announced, fitted,
};
use insta::assert_snapshot;
use jiff::Timestamp;

use crate::scene::{Move, Scene, record_type};

const NOW: &str = "2026-03-02T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn rule(toml: &str) -> OperatorRule {
    toml::from_str(toml).unwrap_or_else(|error| panic!("{toml}\n{error}"))
}

fn name(text: &str) -> RuleName {
    RuleName::try_from(text.to_owned()).unwrap()
}

fn schemas() -> Vec<RecordSchema> {
    let attribute = |name: &str, value_type| AttributeSchema {
        name: AttributeName::new(name).unwrap(),
        value_type,
        required: false,
        sensitive: false,
        natural_key: false,
    };
    let of = |text: &str, attributes| RecordSchema { record_type: record_type(text), attributes };
    vec![
        of(
            "resource.user",
            vec![
                attribute("department", AttributeType::Text),
                attribute("level", AttributeType::Integer),
                attribute("service", AttributeType::Boolean),
                attribute("last_login", AttributeType::Timestamp),
            ],
        ),
        of("resource.group", vec![]),
        of("grant.user", vec![]),
        of("grant.agent", vec![attribute("scope", AttributeType::Text)]),
    ]
}

fn row(of: &str, values: &[(&str, Value)]) -> Row {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    Row { record_type: record_type(of), values: values.collect() }
}

fn user(values: &[(&str, Value)]) -> Row {
    let mut row = row("resource.user", values);
    row.values.entry("id".to_owned()).or_insert(text("u1"));
    row
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn time(text: &str) -> Value {
    Value::Timestamp(text.parse().unwrap())
}

fn change(op: ChangeOp, before: Option<Row>, after: Option<Row>) -> Change {
    let row = after.as_ref().or(before.as_ref()).unwrap();
    Change {
        op,
        record_type: row.record_type.clone(),
        key: row.key(),
        before,
        after,
        pending_removal: None,
    }
}

/// What a rule finds in these changes and these current records.
fn found(rule: &OperatorRule, changes: &[Change], current: &[Row]) -> RuleCount {
    let rules = BTreeMap::from([(name("it"), rule.clone())]);
    let mut counter = RuleCounter::new(&rules, &announced(&schemas()), now());
    changes.iter().for_each(|change| counter.change(change));
    current.iter().for_each(|row| counter.current(row));
    counter.finish(|_| 100, |_| 90).remove(&name("it")).unwrap()
}

/// Whether a condition on current users takes a user with one value.
fn takes(condition: &str, value: Option<(&str, Value)>) -> bool {
    let rule = rule(&format!("on = \"current.user\"\nwhere = {condition}"));
    found(&rule, &[], &[user(&value.into_iter().collect::<Vec<_>>())]).matched == 1
}

#[test]
fn a_condition_means_what_its_words_say() {
    let department = |it: &str| Some(("department", text(it)));
    let level = |it: i64| Some(("level", Value::Integer(it)));
    let service = |it: bool| Some(("service", Value::Boolean(it)));
    let login = |it: &str| Some(("last_login", time(it)));
    for (condition, value, expected) in [
        ("{ department = \"sales\" }", department("sales"), true),
        ("{ department = \"sales\" }", department("Sales"), false),
        ("{ department = \"sales\" }", None, false),
        ("{ department = \"sa*\" }", department("sales"), true),
        ("{ department = [\"hr\", \"sa*\"] }", department("sales"), true),
        ("{ department = [\"hr\", \"it\"] }", department("sales"), false),
        ("{ department = { is = \"sales\" } }", department("sales"), true),
        ("{ department = { not = \"sales\" } }", department("sales"), false),
        ("{ department = { not = [\"hr\", \"it\"] } }", department("sales"), true),
        ("{ department = { not = \"sales\" } }", None, true),
        ("{ department = { not = \"sales\", present = true } }", None, false),
        ("{ department = { present = true } }", department("x"), true),
        ("{ department = { present = false } }", department("x"), false),
        ("{ department = { present = false } }", None, true),
        ("{ level = 3 }", level(3), true),
        ("{ level = 3 }", level(4), false),
        ("{ level = { below = 3 } }", level(3), false),
        ("{ level = { below = 3 } }", level(2), true),
        ("{ level = { at_most = 3 } }", level(3), true),
        ("{ level = { at_most = 3 } }", level(4), false),
        ("{ level = { above = 3 } }", level(3), false),
        ("{ level = { above = 3 } }", level(4), true),
        ("{ level = { at_least = 3 } }", level(3), true),
        ("{ level = { at_least = 3 } }", level(2), false),
        ("{ level = { above = 1, below = 3 } }", level(2), true),
        ("{ level = { above = 1, below = 3 } }", level(3), false),
        ("{ level = { below = 3 } }", None, false),
        ("{ service = true }", service(true), true),
        ("{ service = true }", service(false), false),
        ("{ last_login = { older_than = \"1h\" } }", login("2026-03-02T11:00:00Z"), false),
        ("{ last_login = { older_than = \"1h\" } }", login("2026-03-02T10:59:59Z"), true),
        ("{ last_login = { newer_than = \"1h\" } }", login("2026-03-02T11:00:00Z"), true),
        ("{ last_login = { newer_than = \"1h\" } }", login("2026-03-02T10:59:59Z"), false),
        ("{ last_login = { newer_than = \"1h\" } }", login("2027-01-01T00:00:00Z"), true),
        ("{ last_login = { older_than = \"90d\" } }", None, false),
        ("[{ department = \"hr\" }, { level = 3 }]", level(3), true),
        ("[{ department = \"hr\" }, { level = 3 }]", level(4), false),
        ("{ department = \"hr\", level = 3 }", level(3), false),
    ] {
        assert_eq!(takes(condition, value.clone()), expected, "{condition} on {value:?}");
    }
}

#[test]
fn a_rule_looks_at_its_kind_of_change_and_at_no_other() {
    let before = user(&[("department", text("sales"))]);
    let after = user(&[("department", text("hr"))]);
    let changes = [
        change(ChangeOp::Added, None, Some(after.clone())),
        change(ChangeOp::Removed, Some(before.clone()), None),
        change(ChangeOp::Modified, Some(before.clone()), Some(after.clone())),
    ];
    let matched = |toml: &str| found(&rule(toml), &changes, std::slice::from_ref(&before)).matched;
    for on in ["added.user", "removed.user", "changed.user", "current.user", "added.*"] {
        assert_eq!(matched(&format!("on = \"{on}\"")), 1, "{on}");
    }
    assert_eq!(matched("on = \"added.resource.user\""), 1);
    assert_eq!(matched("on = \"added.group\""), 0);
    // What is gone is looked at as it was, what changed as it is now.
    assert_eq!(matched("on = \"removed.user\"\nwhere = { department = \"sales\" }"), 1);
    assert_eq!(matched("on = \"changed.user\"\nwhere = { department = \"sales\" }"), 0);
    assert_eq!(matched("on = \"changed.user\"\nwhere = { department = \"hr\" }"), 1);
    assert_eq!(matched("on = \"changed.user\"\nwas = { department = \"sales\" }"), 1);
    assert_eq!(matched("on = \"changed.user\"\nwas = { department = \"hr\" }"), 0);
    assert_eq!(matched("on = \"changed.user\"\nwhere = { department = { changed = true } }"), 1);
    assert_eq!(matched("on = \"changed.user\"\nwhere = { level = { changed = true } }"), 0);
    assert_eq!(matched("on = \"changed.user\"\nunless = { department = \"h*\" }"), 0);
}

#[test]
fn a_rule_keeps_a_few_examples_and_counts_all() {
    let users: Vec<Row> = (0..50).map(|n| user(&[("id", text(&format!("u{n}")))])).collect();
    let count = found(&rule("on = \"current.user\""), &[], &users);
    assert_eq!((count.matched, count.of, count.examples.len()), (50, 90, 10));
    assert_eq!(count.examples[3], "user:u3");
}

#[test]
fn a_rule_that_fits_nothing_announced_says_why() {
    let why = |toml: &str| fitted(&rule(toml), &announced(&schemas())).unwrap_err();
    assert_snapshot!(why("on = \"added.device\""), @"the connector announces no type device");
    assert_snapshot!(why("on = \"added.user\"\nwhere = { departmnt = \"x\" }"), @"resource.user has no attribute departmnt");
    assert_snapshot!(why("on = \"added.user\"\nunless = { department = 3 }"), @"department of resource.user is text and cannot be compared with a number");
    assert_snapshot!(why("on = \"added.user\"\nwhere = { level = \"3\" }"), @"level of resource.user is a number and cannot be compared with text");
    assert_snapshot!(why("on = \"added.user\"\nwhere = { level = { older_than = \"1h\" } }"), @"level of resource.user is a number and cannot be asked for its age");
    assert_snapshot!(why("on = \"added.user\"\nwhere = { last_login = { above = 3 } }"), @"last_login of resource.user is a time and cannot be compared with a number");
    assert_snapshot!(why("on = \"changed.user\"\nwas = { service = \"yes\" }"), @"service of resource.user is true or false and cannot be compared with text");
}

#[test]
fn a_rule_counts_on_those_types_that_have_what_it_names() {
    let fits = |toml: &str| {
        let types = fitted(&rule(toml), &announced(&schemas())).unwrap();
        types.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        fits("on = \"added.grant\"\nwhere = { entitlement = \"*admin*\" }"),
        "grant.agent grant.user"
    );
    assert_eq!(fits("on = \"added.grant\"\nwhere = { scope = \"*\" }"), "grant.agent");
    assert_eq!(
        fits("on = \"current.*\"\nwhere = { name = \"x\" }"),
        "resource.group resource.user"
    );
}

/// Judges a step of 100 users by one rule that found so many; renders the verdict.
fn check(toml: &str, matched: u64) -> String {
    let mut scene = Scene::users(Move::removing(100, 0));
    scene.policy.rules.insert(name("it"), rule(toml));
    let examples = vec!["user:u1".to_owned()];
    let count = RuleCount { matched, of: 100, examples, ..RuleCount::default() };
    scene.history.rules.insert(name("it"), count);
    scene.check()
}

#[test]
fn a_rule_at_its_limit_passes_and_one_record_more_is_held() {
    let five = "on = \"added.user\"\nallow = { count = 5 }\nmessage = \"too many joiners\"";
    assert_snapshot!(check(five, 5), @"accepted");
    assert_snapshot!(check(five, 6), @r"
    quarantined
    quarantine CRD-O101: rule it: 6 users of 100 before (6 %), limit 5: too many joiners; it counts added users
    ");
    let share = "on = \"current.user\"\nwhere = { level = { above = 8 } }\nallow = { percent = 10 }\naction = \"warn\"";
    assert_snapshot!(check(share, 10), @"accepted");
    assert_snapshot!(check(share, 11), @r"
    accepted
    warning CRD-O101: rule it: 11 users of 100 (11 %), limit 10 % and more than 5; it counts current users where level is above 8
    ");
    let none = "on = \"removed.user\"";
    assert_snapshot!(check(none, 0), @"accepted");
    assert!(check(none, 1).starts_with("quarantined"));
    let least = "on = \"current.user\"\nallow = { least = 2 }";
    assert_snapshot!(check(least, 2), @"accepted");
    assert_snapshot!(check(least, 1), @r"
    quarantined
    quarantine CRD-O102: rule it: 1 user of 100, at least 2 demanded; it counts current users
    ");
}

#[test]
fn a_rule_that_was_not_or_cannot_be_evaluated_holds_the_sync() {
    let mut scene = Scene::users(Move::removing(100, 0));
    scene.policy.rules.insert(name("it"), rule("on = \"current.user\""));
    assert_snapshot!(scene.check(), @r"
    quarantined
    quarantine CRD-O103: rule it cannot be evaluated: it was not evaluated
    ");
    let unmet = RuleCount { unmet: Some("no type user".to_owned()), ..RuleCount::default() };
    scene.history.rules.insert(name("it"), unmet);
    assert_snapshot!(scene.check(), @r"
    quarantined
    quarantine CRD-O103: rule it cannot be evaluated: no type user
    ");
}

#[test]
fn a_rule_of_the_host_passes_over_connectors_that_it_does_not_fit() {
    let mut scene = Scene::users(Move::removing(100, 0));
    let patch: PolicyPatch = toml::from_str("rule.it = { on = \"current.device\" }").unwrap();
    scene.policy = scene.policy.overlaid(&patch).for_every_connector();
    let counter = RuleCounter::new(&scene.policy.rules, &announced(&schemas()), now());
    scene.history.rules = counter.finish(|_| 0, |_| 0);
    assert_snapshot!(scene.check(), @"accepted");
    // The same rule of the connector itself has to fit.
    scene.policy = cordon_validate::Policy::default().overlaid(&patch);
    let counter = RuleCounter::new(&scene.policy.rules, &announced(&schemas()), now());
    scene.history.rules = counter.finish(|_| 0, |_| 0);
    assert!(scene.check().contains("CRD-O103"));
}

#[test]
fn a_first_sync_is_held_by_rules_on_what_there_is_and_not_on_what_is_new() {
    let mut scene = Scene::first().holding("users", "resource.user", 10);
    let count = RuleCount { matched: 10, of: 10, ..RuleCount::default() };
    scene.policy.rules.insert(name("it"), rule("on = \"added.user\""));
    scene.history.rules.insert(name("it"), count);
    assert_snapshot!(scene.check(), @"accepted");
    scene.policy.rules.insert(name("it"), rule("on = \"current.user\""));
    assert!(scene.check().starts_with("quarantined"));
}

#[test]
fn what_no_rule_can_say_is_refused_by_name() {
    for (toml, named) in [
        ("on = \"gone.user\"", "removed"),
        ("on = \"added\"", "added"),
        ("on = \"added.User\"", "added.User"),
        ("on = \"added.user\"\nwhen = { id = \"x\" }", "when"),
        ("on = \"added.user\"\nwhere = {}", "empty"),
        ("on = \"added.user\"\nwhere = []", "empty"),
        ("on = \"added.user\"\nwhere = { id = {} }", "empty"),
        ("on = \"added.user\"\nwhere = { id = [] }", "empty"),
        ("on = \"added.user\"\nwhere = { id = \"\" }", "empty"),
        ("on = \"added.user\"\nwhere = { id = { like = \"x\" } }", "like"),
        ("on = \"added.user\"\nwhere = { id = 1.5 }", "1.5"),
        ("on = \"added.user\"\nwhere = { id = { is = [[\"a\", \"b\"]] } }", "one value"),
        ("on = \"added.user\"\nwhere = { id = { older_than = \"3\" } }", "time span"),
        ("on = \"added.user\"\nwhere = { \"7\" = \"x\" }", "attribute name"),
        ("on = \"added.user\"\nwas = { id = \"x\" }", "added.user"),
        ("on = \"removed.user\"\nwhere = { id = { changed = true } }", "removed.user"),
        ("on = \"changed.user\"\nwas = { id = { changed = true } }", "changed.user"),
        ("on = \"added.user\"\nallow = { least = 1 }", "least"),
        ("on = \"added.user\"\nallow = { floor = 1 }", "floor"),
        ("on = \"added.user\"\nallow = { most = 1 }", "most"),
        ("on = \"added.user\"\naction = \"hold\"", "hold"),
        ("on = \"added.user\"\nmessage = \"\"", "message"),
        ("on = \"added.user\"\nmessage = \"a\\nb\"", "one line"),
    ] {
        let error = toml::from_str::<OperatorRule>(toml).expect_err(toml).to_string();
        assert!(error.contains(named), "{toml} gave {error}");
    }
    let unnamed = toml::from_str::<PolicyPatch>("rule.No = { on = \"added.user\" }");
    assert!(unnamed.unwrap_err().to_string().contains("No"));
}

#[test]
fn a_rule_comes_back_from_json_as_it_was() {
    for toml in [
        "on = \"added.grant\"\nwhere = { entitlement = \"*admin*\" }\nallow = { count = 5 }",
        "on = \"changed.grant.user\"\nwas = [{ a = 1 }, { b = { not = [true] } }]\naction = \"warn\"",
        "on = \"current.*\"\nunless = { t = { older_than = \"90d\" } }\nallow = { percent = 2.5, least = 3 }",
        "on = \"removed.user\"\nallow = { percent = 5, floor = 2 }\nmessage = \"x\"\nwhere_it_fits = true",
    ] {
        let rule = rule(toml);
        let json = serde_json::to_string(&rule).unwrap();
        assert_eq!(serde_json::from_str::<OperatorRule>(&json).unwrap(), rule, "{json}");
    }
}
