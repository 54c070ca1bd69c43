//! The longest, the most and the widest that a policy takes, and one more, which it refuses.

use cordon_validate::{
    BUDGET_DEFAULT, Budget, ExemptCode, KeyGlob, OperatorRule, Percent, Policy, PolicyPatch,
    RuleName, Selection, TimeSpan, Until, Unusual,
};

/// Whether a text of so many characters is taken, and one of one more is not.
#[track_caller]
fn longest(most: usize, takes: impl Fn(String) -> bool) {
    assert!(takes("x".to_owned()), "one character");
    assert!(takes("x".repeat(most)), "{most} characters");
    assert!(!takes("x".repeat(most + 1)), "{} characters", most + 1);
    assert!(!takes(String::new()), "no character");
}

fn is_guard(toml: &str) -> bool {
    toml::from_str::<PolicyPatch>(toml).is_ok()
}

fn is_rule(more: &str) -> bool {
    toml::from_str::<OperatorRule>(&format!("on = \"current.user\"\n{more}")).is_ok()
}

#[test]
fn names_patterns_and_words_have_a_longest() {
    longest(63, |text| RuleName::try_from(text).is_ok());
    longest(1_024, |text| KeyGlob::new(&text).is_ok());
    longest(200, |text| is_rule(&format!("message = \"{text}\"")));
    longest(64, |text| is_guard(&format!("release.by = [\"{text}\"]")));
    let exemption = |owner: &str, reason: &str| {
        is_guard(&format!(
            "exemption.x = {{ code = \"CRD-D101\", owner = \"{owner}\", reason = \"{reason}\", until = \"2026-12-31\" }}"
        ))
    };
    longest(200, |text| exemption(&text, "r"));
    longest(200, |text| exemption("o", &text));
    let labels = |label: String| Selection::new(&[], &[label], &[]).is_ok();
    longest(32, labels);
}

#[test]
fn characters_that_are_no_part_of_a_name_are_refused() {
    let name = |text: &str| RuleName::try_from(text.to_owned()).is_ok();
    assert!(name("a1-b") && name("z"));
    for text in ["1a", "-a", "A", "aB", "a_b", "a.b", "a b", "é"] {
        assert!(!name(text), "{text}");
    }
    let group = |text: &str| is_guard(&format!("release.by = [\"{text}\"]"));
    assert!(group("iam-approvers") && group("Domain\\\\Leads"));
    for text in ["a b", "a:b", "a,b", "a\\tb", "a\\u0000b"] {
        assert!(!group(text), "{text}");
    }
    for text in ["added.user", "removed.grant.user", "changed.*", "current.entitlement"] {
        assert!(toml::from_str::<OperatorRule>(&format!("on = \"{text}\"")).is_ok(), "{text}");
    }
    let exempt = |words: &str| {
        is_guard(&format!(
            "exemption.x = {{ code = \"CRD-D101\", owner = \"{words}\", reason = \"r\", until = \"2026-12-31\" }}"
        ))
    };
    assert!(exempt(" a ") && !exempt("  ") && !exempt("a\\tb"));
    let selection = |label: &str| Selection::new(&[], &[label.to_owned()], &[]).is_ok();
    assert!(selection("service_account2") && !selection("service-account") && !selection("User"));
}

#[test]
fn a_condition_and_a_selection_have_sixty_four_and_a_hundred_parts_at_most() {
    let values =
        |many: usize| is_rule(&format!("where = {{ a = [{}] }}", vec!["1"; many].join(",")));
    let attributes = |many: usize| {
        let tests: Vec<String> = (0..many).map(|n| format!("a{n} = 1")).collect();
        is_rule(&format!("where = {{ {} }}", tests.join(",")))
    };
    let alternatives =
        |many: usize| is_rule(&format!("where = [{}]", vec!["{ a = 1 }"; many].join(",")));
    let in_alternative = |many: usize| {
        let tests: Vec<String> = (0..many).map(|n| format!("a{n} = 1")).collect();
        is_rule(&format!("where = [{{ {} }}]", tests.join(",")))
    };
    for takes in [&values as &dyn Fn(usize) -> bool, &attributes, &alternatives, &in_alternative] {
        assert_eq!([0, 1, 64, 65].map(takes), [false, true, true, false]);
    }
    let words = |many: usize| vec!["user".to_owned(); many];
    for many in [1, 100] {
        let (ops, labels) = (vec!["added".to_owned(); many], words(many));
        assert!(Selection::new(&ops, &[], &[]).is_ok(), "{many}");
        assert!(Selection::new(&[], &labels, &[]).is_ok(), "{many}");
        assert!(Selection::new(&[], &[], &labels).is_ok(), "{many}");
    }
    let ops = vec!["added".to_owned(); 101];
    assert!(Selection::new(&ops, &[], &[]).is_err());
    assert!(Selection::new(&[], &words(101), &[]).is_err());
    assert!(Selection::new(&[], &[], &words(101)).is_err());
}

#[test]
fn numbers_of_a_policy_have_bounds_that_belong_to_them() {
    for number in [0.0, 0.01, 0.07, 33.33, 100.0, 10_000.0] {
        let percent = Percent::new(number).unwrap();
        // As many of ten thousand as hundredths of a percent.
        assert_eq!(percent.of(10_000), (number * 100.0).round() as u64, "{number}");
    }
    for number in [-0.01, 10_000.01, 0.001, 1.005, f64::NAN, f64::INFINITY] {
        assert!(Percent::new(number).is_err(), "{number}");
    }
    for number in [0.5, 0.51, 2.5, 12.0] {
        assert!((Unusual::new(number).unwrap().powers() - number).abs() < 1e-9, "{number}");
    }
    for number in [0.49, 12.01, 2.505, -1.0, f64::NAN] {
        assert!(Unusual::new(number).is_err(), "{number}");
    }
    let span = |text: &str| TimeSpan::try_from(text.to_owned()).ok().map(TimeSpan::seconds);
    assert_eq!(
        [span("1s"), span("366d"), span("366d 1s"), span("0s")],
        [Some(1), Some(31_622_400), None, None]
    );
}

#[test]
fn what_nobody_can_accept_is_exempted_by_no_one() {
    let may = |code: &str| ExemptCode::try_from(code.to_owned()).is_ok();
    for code in ["CRD-P101", "CRD-P201", "CRD-R101", "CRD-R102", "CRD-R103", "CRD-R104", "CRD-D104"]
    {
        assert!(!may(code), "{code}");
    }
    for code in ["CRD-R201", "CRD-R202", "CRD-F101", "CRD-D101", "CRD-D502", "CRD-C102"] {
        assert!(may(code), "{code}");
    }
    assert!(!may("CRD-X000") && !may(""));
}

#[test]
fn every_word_of_a_policy_comes_back_from_json_as_it_was() {
    let patch = r#"
        governs = ["leavers", "access"]
        release = { people = 2, expires = "90m", by = ["iam"] }
        removed.user = { percent = 12.5, count = 7, floor = 3 }
        added.user.percent = 7
        budget = [{ within = "7d", of = "user", percent = 30.25, count = 500, floor = 4 }]
        shape = { hold = 3.25 }
        grace = "36h"
        schema.required = ["user.mail"]
        protected = ["user:root*"]
        protected_where = [{ of = "grant.user", where = { level = { above = 3 } } }]
        privileged_where = [{ of = "*", where = [{ a = true }, { b = "x" }] }]
        exemption.x = { code = "CRD-D101", owner = "o", reason = "r", until = "2026-12-31" }
        rule.r = { on = "changed.grant.user", was = { a = 1 }, allow = { percent = 5, floor = 2 } }
    "#;
    let policy = Policy::default().overlaid(&toml::from_str(patch).unwrap());
    let json = serde_json::to_string(&policy).unwrap();
    // As they were written, not as they are held.
    for written in [
        "12.5",
        "30.25",
        "3.25",
        "\"36h\"",
        "\"1h 30m\"",
        "\"user.mail\"",
        "\"grant.user\"",
        "\"*\"",
        "\"CRD-D101\"",
        "\"2026-12-31\"",
        "\"changed.grant.user\"",
        "\"iam\"",
        "\"user:root*\"",
    ] {
        assert!(json.contains(written), "{written} in {json}");
    }
    assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
}

#[test]
fn of_twenty_records_a_budget_is_a_share_and_below_that_a_floor() {
    let budget = Budget::percent(BUDGET_DEFAULT, Percent::whole(20));
    assert_eq!([19, 20, 25].map(|then| budget.most(then, 5)), [Some(5), Some(4), Some(5)]);
}

#[test]
fn an_exemption_ends_at_its_moment_or_with_its_day_and_is_written_so() {
    for text in ["2026-12-31", "2026-12-31T18:00:00Z"] {
        assert_eq!(Until::try_from(text.to_owned()).unwrap().to_string(), text);
    }
}

#[test]
fn the_policy_of_a_host_counts_where_it_fits_and_is_the_same_besides() {
    let patch = r#"
        risk = "high"
        protected = ["user:root"]
        protected_where = [{ of = "user", where = { a = 1 } }]
        privileged_where = [{ of = "entitlement", where = { a = 1 } }]
        grace = "24h"
        rule.r = { on = "current.user" }
    "#;
    let own = Policy::default().overlaid(&toml::from_str(patch).unwrap());
    let mut fitting = own.clone().for_every_connector();
    assert!(fitting.rules.values().all(|rule| rule.where_it_fits));
    fitting.rules.values_mut().for_each(|rule| rule.where_it_fits = false);
    for marked in fitting.protected_where.iter_mut().chain(&mut fitting.privileged_where) {
        assert!(marked.where_it_fits);
        marked.where_it_fits = false;
    }
    assert_eq!(fitting, own);
    assert_eq!(
        (own.grace.span(), Policy::default().grace.span()),
        (Some(TimeSpan::hours(24)), None)
    );
}
