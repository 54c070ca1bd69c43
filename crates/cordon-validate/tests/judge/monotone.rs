//! A policy from which nothing was taken away lets nothing pass that the one before held back.
//!
//! Policies here have everything that a configuration can say. What the judge is told of single
//! records depends on the policy, so it is worked out again for each, as the gate does, over a few
//! records that are made up.

use std::collections::BTreeMap;

use cordon_model::{Outcome, SyncNumber};
use cordon_validate::{
    Budget, DefectKind, Exemption, KeyGlob, Limit, MarkedGrants, OnSuspicion, OperatorRule, People,
    Percent, Policy, PolicyPatch, PrivilegedLimit, RuleAction, RuleCount, RuleName, TimeSpan,
    Weakening, judge,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::properties::{policies, scenes, tighter, weight};
use crate::scene::{Move, Scene};

/// Records that the sync removes, by key.
const REMOVED: [&str; 3] = ["user:breakglass-1", "user:root", "group:admins"];
/// Entitlements of the grants that the sync adds.
const GRANTED: [&str; 5] = ["sudo:ALL", "aws-admin", "gcp-admin", "vpn", "wiki"];
const PATTERNS: [&str; 5] = ["*", "user:*", "user:breakglass*", "*admin*", "user:root"];
const CODES: [&str; 5] = ["CRD-D101", "CRD-D103", "CRD-F101", "CRD-O101", "CRD-C302"];
const SELECTIONS: [&str; 3] = [
    "on = \"added.user\"",
    "on = \"current.user\"",
    "on = \"removed.user\"\nwhere = { id = \"u7*\" }",
];

fn globs() -> impl Strategy<Value = Vec<KeyGlob>> {
    let pattern = select(PATTERNS.to_vec()).prop_map(|text| KeyGlob::new(text).unwrap());
    prop::collection::vec(pattern, 0..3)
}

fn spans() -> impl Strategy<Value = TimeSpan> {
    select(vec![TimeSpan::hours(24), TimeSpan::hours(168)])
}

fn budgets() -> impl Strategy<Value = Vec<Budget>> {
    let percent = prop::option::of((0..=40_u8).prop_map(Percent::whole));
    let count = prop::option::of(0..400_u64);
    let budget = (spans(), percent, count, prop::option::of(0..9_u64));
    let budget = budget.prop_map(|(within, percent, count, floor)| Budget {
        percent,
        count,
        floor,
        ..Budget::percent(within, Percent::whole(0))
    });
    let one_a_span = |all: Vec<Budget>| {
        let by_span: BTreeMap<TimeSpan, Budget> =
            all.into_iter().map(|it| (it.within, it)).collect();
        by_span.into_values().collect()
    };
    prop::collection::vec(budget, 0..3).prop_map(one_a_span)
}

fn rule_name(text: &str) -> RuleName {
    RuleName::try_from(text.to_owned()).unwrap()
}

fn rules() -> impl Strategy<Value = BTreeMap<RuleName, OperatorRule>> {
    let allow = (prop::option::of(0..40_u64), prop::option::of(0..40_u64));
    let rule = (select(vec!["a", "b"]), select(SELECTIONS.to_vec()), allow, any::<bool>());
    let rule = rule.prop_map(|(name, selection, (count, least), warn)| {
        let mut rule: OperatorRule = toml::from_str(selection).unwrap();
        if let (Some(limit), Some(count)) = (&mut rule.most, count) {
            limit.count = Some(count);
        }
        rule.least = least.filter(|_| selection.contains("current"));
        rule.action = if warn { RuleAction::Warn } else { RuleAction::Quarantine };
        (rule_name(name), rule)
    });
    prop::collection::vec(rule, 0..3).prop_map(|rules| rules.into_iter().collect())
}

fn exemption(code: &str, subject: Option<&str>, max: Option<u64>, day: u8) -> Exemption {
    let toml = format!(
        "code = \"{code}\"\nowner = \"o\"\nreason = \"r\"\nuntil = \"2026-03-{day:02}\"\n{}{}",
        subject.map(|it| format!("subject = \"{it}\"\n")).unwrap_or_default(),
        max.map(|it| format!("max = {it}\n")).unwrap_or_default(),
    );
    toml::from_str(&toml).unwrap()
}

fn exemptions() -> impl Strategy<Value = BTreeMap<RuleName, Exemption>> {
    let subject = prop::option::of(select(vec!["user", "*", "a"]));
    let one = (select(CODES.to_vec()), subject, prop::option::of(0..300_u64), 1..9_u8);
    let one = one.prop_map(|(code, subject, max, day)| exemption(code, subject, max, day));
    prop::collection::vec((select(vec!["x", "y"]), one), 0..2)
        .prop_map(|all| all.into_iter().map(|(name, one)| (rule_name(name), one)).collect())
}

/// A policy in which everything is said.
fn whole() -> impl Strategy<Value = Policy> {
    let more = (globs(), globs(), budgets(), rules(), exemptions(), any::<[bool; 2]>());
    (policies(), more).prop_map(|(mut policy, more)| {
        let (protected, privileged, budgets, rules, exemptions, [hold, two]) = more;
        policy.protected = protected;
        policy.privileged_entitlements = privileged;
        policy.budgets = budgets;
        policy.rules = rules;
        policy.exemptions = exemptions;
        policy.on_suspicion =
            if hold { OnSuspicion::HoldRemovals } else { OnSuspicion::Quarantine };
        policy.release.people = two.then_some(People::Two);
        policy
    })
}

/// One policy with some lines of another: what an edit of a configuration gives.
fn edited() -> impl Strategy<Value = (Policy, Policy)> {
    (whole(), whole(), any::<u16>(), 0..10_u8).prop_map(|(old, other, lines, kind)| {
        if kind < 4 {
            let mut new = tighter(&old, &other);
            new.protected.extend(other.protected);
            new.privileged_entitlements.extend(other.privileged_entitlements);
            for (name, rule) in other.rules {
                new.rules.entry(name).or_insert(rule);
            }
            if kind < 2 {
                new.exemptions.clear();
            }
            return (old, new);
        }
        // One line alone, in two forms, upon a policy that holds nothing back.
        let line = lines % 16;
        let (mut before, mut after) = (permissive(), permissive());
        macro_rules! lines {
            ($($line:literal $field:ident),*) => {
                $(if line == $line {
                    before.$field = old.$field.clone();
                    after.$field = other.$field.clone();
                })*
            };
        }
        lines!(
            0 removed, 1 added, 2 modified, 3 budgets, 4 privileged, 5 dangling_percent, 6 risk,
            7 first_sync, 8 recover, 9 on_incomplete, 10 protected, 11 privileged_entitlements,
            12 rules, 13 exemptions, 14 on_suspicion, 15 release
        );
        if line == 11 {
            (before.privileged, after.privileged) = (old.privileged, old.privileged);
        }
        if line == 13 {
            (before.removed, after.removed) = (old.removed.clone(), old.removed.clone());
            (before.rules, after.rules) = (old.rules.clone(), old.rules);
        }
        (before, after)
    })
}

/// A policy that leaves everything to others.
fn permissive() -> Policy {
    let any = Limit { percent: None, count: None, floor: 5 };
    let mut policy = Policy { budgets: Vec::new(), ..Policy::default() };
    policy.removed.default = any;
    policy.dangling_percent = Percent::whole(100);
    policy.privileged = PrivilegedLimit { count: 1_000, percent: Percent::whole(100) };
    policy
}

/// Steps at which nothing is wrong but, perhaps, their size.
fn plain() -> impl Strategy<Value = Scene> {
    let step = (prop_oneof![1..40_u64, 20..2_000_u64], 0..=49_u64, 0..60_u64, 0..60_u64);
    let more = (0..5_u64, 0..5_u64, 0..30_u64, any::<[bool; 3]>());
    (step, more).prop_map(|((before, percent, added, modified), more)| {
        let (appeared, vanished, dangling, [first, waits, cut]) = more;
        let removed = before * percent / 100;
        let mut scene = if first {
            Scene::first().holding("users", "resource.user", before)
        } else {
            let grants = Move::removing(60, 0);
            Scene::users(Move { before, removed, added, modified })
                .with("members", "grant.user", grants)
                .privileged(40 + vanished, appeared, vanished)
        };
        if cut && !first {
            scene = scene.cut_short("members");
        }
        scene.history.quarantined = waits.then_some(SyncNumber(416));
        scene.defect(DefectKind::DanglingReference, "owner", dangling, 100)
    })
}

/// The scene under a policy: what is known of single records follows from what the policy asks.
fn under(scene: &Scene, policy: &Policy, found: u64) -> Outcome {
    let mut history = scene.history.clone();
    history.judged_at = Some("2026-03-05T12:00:00Z".parse().unwrap());
    history.protected_removed =
        REMOVED.iter().filter(|key| policy.protects(key)).map(|key| (*key).to_owned()).collect();
    let marked = |id: &&&str| policy.privileged_entitlements.iter().any(|glob| glob.matches(id));
    let appeared = GRANTED.iter().filter(marked).count() as u64;
    history.marked_grants = MarkedGrants { appeared, ..MarkedGrants::default() };
    let counts = policy.counted_rules().into_iter().map(|(name, rule)| {
        // The same records for the same selection, whatever is allowed of them.
        let matched = found.wrapping_mul(rule.subject().len() as u64) % 40;
        (name, RuleCount { matched, of: 100, ..RuleCount::default() })
    });
    history.rules = counts.collect();
    let last_good = scene.last_good.as_ref();
    judge(last_good, scene.candidate.clone(), &history, policy).verdict().outcome
}

fn weakenings(old: &Policy, new: &Policy) -> Vec<String> {
    new.weakened_from(old).into_iter().map(|Weakening { what, .. }| what).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn where_nothing_was_weakened_no_verdict_is_milder(
        mut scene in prop_oneof![1 => scenes().prop_map(|(scene, _)| scene), 3 => plain()],
        (old, new) in edited(), found in any::<u64>(), lost in (0..400_u64, 0..3_000_u64),
    ) {
        for within in ["24h", "7d"] {
            let window = scene.window(within);
            window.removed.insert("user".to_owned(), lost.0);
            window.records_then.insert("user".to_owned(), lost.1);
        }
        let weaker = weakenings(&old, &new);
        if weaker.is_empty() {
            let (before, now) = (under(&scene, &old, found), under(&scene, &new, found));
            prop_assert!(weight(now) >= weight(before), "{before} became {now}");
        }
    }

    #[test]
    fn a_policy_is_not_weaker_than_itself_or_than_a_looser_one(
        old in whole(), other in policies(),
    ) {
        prop_assert_eq!(weakenings(&old, &old), Vec::<String>::new());
        let mut looser = old.clone();
        looser.budgets.clear();
        let new = tighter(&looser, &other);
        prop_assert_eq!(weakenings(&looser, &new), Vec::<String>::new());
    }

    #[test]
    fn an_accepted_sync_that_comes_again_is_accepted(
        (mut scene, _) in scenes(), policy in whole(), found in any::<u64>(),
    ) {
        scene.history.quarantined = None;
        if under(&scene, &policy, found) != Outcome::Accepted {
            return Ok(());
        }
        let mut again = scene.clone();
        again.last_good = Some(scene.candidate.census.clone());
        again.candidate.sync = SyncNumber(419);
        again.candidate.against = Some(scene.candidate.sync);
        let delta = again.candidate.delta.as_mut().unwrap();
        let still = |records: u64, (before, after): (&mut u64, &mut u64)| {
            (*before, *after) = (records, records);
        };
        for step in delta.types.values_mut() {
            (step.added, step.removed, step.modified) = (0, 0, 0);
            still(step.after, (&mut step.before, &mut step.after));
        }
        for step in delta.scopes.values_mut() {
            (step.added, step.removed) = (0, 0);
            still(step.after, (&mut step.before, &mut step.after));
        }
        let grants = &mut delta.privileged;
        (grants.appeared, grants.vanished) = (0, 0);
        still(grants.after, (&mut grants.before, &mut grants.after));
        // What was lost before counts on, but nothing is added to it.
        let lost: u64 = scene.candidate.delta.iter().flat_map(|it| it.types.values()).map(|it| it.removed).sum();
        *again.window("24h").removed.entry("user".to_owned()).or_default() += lost;
        again.history.replays = None;
        // Nothing changed, so rules on changes and marks find nothing; those on what there is find
        // the same.
        let mut quiet = policy.clone();
        quiet.protected.clear();
        quiet.privileged_entitlements.clear();
        quiet.rules.retain(|_, rule| rule.on.to_string().starts_with("current"));
        prop_assert_eq!(under(&again, &quiet, found), Outcome::Accepted);
    }
}

#[test]
fn each_protection_that_is_taken_away_is_told_with_what_held_and_what_holds() {
    let policy =
        |guard: &str| Policy::default().overlaid(&toml::from_str::<PolicyPatch>(guard).unwrap());
    let told = |old: &str, new: &str| {
        let all = policy(new).weakened_from(&policy(old));
        all.into_iter()
            .map(|it| format!("{}: {} -> {}", it.what, it.before, it.now))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let exemption = "exemption.x = { code = \"CRD-D101\", owner = \"o\", reason = \"r\", until = \"2026-12-31\" }";
    let later = exemption.replace("2026", "2027");
    let rule = "rule.r = { on = \"removed.user\", allow = { count = 1 } }";
    let looser = rule.replace("count = 1", "count = 2");
    let other = rule.replace("removed.user", "removed.group");
    for (old, new, expected) in [
        ("grace = \"24h\"", "grace = \"2h\"", "grace: 24h -> 2h"),
        ("grace = \"24h\"", "", "grace: 24h -> off"),
        ("grace = \"2h\"", "grace = \"24h\"", ""),
        (
            "removed.user = { percent = 5 }",
            "",
            "removed.user: 5 % and more than 5 -> 10 % and more than 5",
        ),
        (
            "",
            "removed.default.floor = 6",
            "removed.default: 10 % and more than 5 -> 10 % and more than 6",
        ),
        ("", "removed_24h_percent = 21", "budget of 24h: 20 % -> 21 %"),
        ("budget = [{ within = \"7d\", percent = 9 }]", "", "budget of 7d: 9 % -> none"),
        ("risk = \"high\"", "", "risk: high -> medium"),
        ("governs = [\"leavers\"]", "governs = [\"access\"]", "risk: high -> medium"),
        ("protected = [\"user:root\"]", "", "protected: user:root -> not named"),
        ("protected = [\"user:*root\"]", "protected = [\"*root*\"]", ""),
        (
            "protected = [\"*root*\"]",
            "protected = [\"user:*root\"]",
            "protected: *root* -> not named",
        ),
        (
            "protected_where = [{ of = \"user\", where = { a = 1 } }]",
            "",
            "protected_where: user where a is 1 -> not named",
        ),
        ("privileged_entitlements = [\"a*\"]", "", "privileged_entitlements: a* -> not named"),
        ("schema.required = [\"user.mail\"]", "", "schema.required: user.mail -> not required"),
        ("recover = \"review\"", "", "recover: review -> auto"),
        ("", "removals_verified = \"accept\"", "removals_verified: note -> accept"),
        ("first_sync = \"review\"", "", "first_sync: review -> trust"),
        ("on_incomplete = \"quarantine\"", "", "on_incomplete: quarantine -> carry-forward"),
        ("", "on_suspicion = \"hold-removals\"", "on_suspicion: quarantine -> hold-removals"),
        ("release.people = 2", "", "release.people: 2 -> 1"),
        ("", "release.expires = \"9h\"", "release.expires: 8h -> 9h"),
        ("release.by = [\"a\"]", "release.by = [\"a\", \"b\"]", "release.by: a -> a, b"),
        ("release.by = [\"a\"]", "", "release.by: a -> anyone"),
        ("release.by = [\"a\", \"b\"]", "release.by = [\"b\"]", ""),
        ("", "privileged.count = 4", "privileged: 3, or 5 % -> 4, or 5 %"),
        ("", "dangling_percent = 2", "dangling_percent: 1 % -> 2 %"),
        ("", "freshness = \"7h\"", "freshness: 6h -> 7h"),
        (
            "removed_in_scope.percent = 5",
            "",
            "removed_in_scope: 5 % and more than 5 -> 10 % and more than 5",
        ),
        (rule, "", "rule.r: removed users: at most 1, else quarantine -> no such rule"),
        (
            rule,
            &looser,
            "rule.r: removed users: at most 1, else quarantine -> removed users: at most 2, else quarantine",
        ),
        (
            rule,
            &other,
            "rule.r: removed users: at most 1, else quarantine -> removed groups: at most 1, else quarantine",
        ),
        (&looser, rule, ""),
        ("", exemption, "exemption.x: none -> CRD-D101 until 2026-12-31, o: r"),
        (exemption, &later, "exemption.x: none -> CRD-D101 until 2027-12-31, o: r"),
        (&later, exemption, ""),
        ("", "risk = \"high\"\nprotected = [\"a\"]\nremoved.default.percent = 5", ""),
    ] {
        assert_eq!(told(old, new), expected, "from {old:?} to {new:?}");
    }
}

#[test]
fn an_exempted_finding_is_told_with_its_owner_and_holds_nothing_back() {
    let check = |code: &str, subject: Option<&str>, max: Option<u64>, at: Option<&str>| {
        let mut scene = Scene::users(Move::removing(1_000, 150));
        scene.history.judged_at = at.map(|at| at.parse().unwrap());
        scene.policy.exemptions.insert(rule_name("x"), exemption(code, subject, max, 7));
        scene.check()
    };
    let now = Some("2026-03-05T12:00:00Z");
    insta::assert_snapshot!(check("CRD-D101", Some("us*"), Some(150), now), @r"
    accepted
    warning CRD-D101: users fell from 1,000 to 850: 150 removed (15 %), limit 10 % and more than 5; exempted until 2026-03-07 by o (x): r
    ");
    for (code, subject, max, at) in [
        ("CRD-D101", Some("group"), None, now),
        ("CRD-D101", None, Some(149), now),
        ("CRD-D102", None, None, now),
        ("CRD-D101", None, None, None),
        // The day named is the last on which it counts.
        ("CRD-D101", None, None, Some("2026-03-08T00:00:00Z")),
    ] {
        let text = check(code, subject, max, at);
        assert!(text.starts_with("quarantined"), "{code} {subject:?} {max:?} {at:?}: {text}");
    }
    assert!(check("CRD-D101", None, None, Some("2026-03-07T23:59:59Z")).starts_with("accepted"));
}
