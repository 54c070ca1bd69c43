//! Policies in which everything is said that a configuration can say, and edits of them.

use std::collections::BTreeMap;
use std::time::Duration;

use cordon_validate::{
    Budget, Exemption, Governs, KeyGlob, Limit, LookUpWhen, Lookups, Marked, OnSuspicion,
    OperatorRule, People, Percent, Policy, PolicyPatch, PrivilegedLimit, RemovalsVerified,
    RuleAction, RuleName, TimeSpan,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::properties::{policies, tighter};

const PATTERNS: [&str; 5] = ["*", "user:*", "user:breakglass*", "*admin*", "user:root"];
const CODES: [&str; 7] =
    ["CRD-D101", "CRD-D103", "CRD-F101", "CRD-O101", "CRD-C302", "CRD-D501", "CRD-D601"];
const SELECTIONS: [&str; 3] = [
    "on = \"added.user\"",
    "on = \"current.user\"",
    "on = \"removed.user\"\nwhere = { id = \"u7*\" }",
];
/// What is demanded of single records. Nobody announces `seat`.
const CONDITIONS: [&str; 4] =
    ["break_glass = true", "tier = 0", "tier = { at_most = 1 }", "seat = 1"];

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

pub(crate) fn rule_name(text: &str) -> RuleName {
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

pub(crate) fn exemption(code: &str, subject: Option<&str>, max: Option<u64>, day: u8) -> Exemption {
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

fn lookups() -> impl Strategy<Value = Lookups> {
    let when = select(vec![LookUpWhen::Suspicion, LookUpWhen::Always]);
    let confidence = select(vec![50, 95, 99]).prop_map(Percent::whole);
    let pace = (select(vec![0, 1, 10]), select(vec![1, 10, 60]));
    (when, select(vec![0, 5, 40, 200]), confidence, pace).prop_map(
        |(when, keys, confidence, (per_second, seconds))| Lookups {
            when,
            keys,
            confidence,
            per_second,
            deadline: Duration::from_secs(seconds),
        },
    )
}

fn marks(of: &'static str) -> impl Strategy<Value = Vec<Marked>> {
    let marked = (select(CONDITIONS.to_vec()), any::<bool>()).prop_map(move |(condition, fits)| {
        let marked = format!("of = \"{of}\"\nwhere = {{ {condition} }}\nwhere_it_fits = {fits}");
        toml::from_str(&marked).unwrap()
    });
    prop::collection::vec(marked, 0..3)
}

/// A policy in which everything is said.
pub(crate) fn whole() -> impl Strategy<Value = Policy> {
    let more = (globs(), globs(), budgets(), rules(), exemptions(), any::<[bool; 2]>());
    let asking = (lookups(), select(vec![RemovalsVerified::Note, RemovalsVerified::Accept]));
    let marks = (marks("user"), marks("entitlement"));
    let governs = prop::option::of(select(vec![Governs::Inventory, Governs::Leavers]));
    (policies(), more, asking, marks, governs).prop_map(|(policy, more, asking, marks, governs)| {
        let (protected, privileged, budgets, rules, exemptions, [hold, two]) = more;
        // The risk follows from what is governed when the configuration is read.
        let governs = governs.map(|it| vec![it]);
        let mut policy = policy.overlaid(&PolicyPatch { governs, ..PolicyPatch::default() });
        (policy.lookup, policy.removals_verified) = asking;
        (policy.protected_where, policy.privileged_where) = marks;
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
pub(crate) fn edited() -> impl Strategy<Value = (Policy, Policy)> {
    (whole(), whole(), any::<u16>(), 0..10_u8).prop_map(|(old, other, line, kind)| {
        if kind < 2 {
            let mut new = tighter(&old, &other);
            new.protected.extend(other.protected);
            new.privileged_entitlements.extend(other.privileged_entitlements);
            for (name, rule) in other.rules {
                new.rules.entry(name).or_insert(rule);
            }
            if kind < 1 {
                new.exemptions.clear();
            }
            new.protected_where.extend(other.protected_where);
            new.privileged_where.extend(other.privileged_where);
            return (old, new);
        }
        // One line alone, in two forms, upon a policy that holds nothing back.
        // Those of the second half need more to be there to make a difference, and come more often.
        let line = if kind < 6 { line % 24 } else { 16 + line % 8 };
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
            12 rules, 13 exemptions, 14 on_suspicion, 15 release, 16 shape, 17 lookup,
            18 removals_verified, 19 reread, 20 required, 21 protected_where, 22 privileged_where,
            23 removed_in_scope
        );
        // What a line speaks of has to be there, on both sides.
        for policy in [&mut before, &mut after] {
            if matches!(line, 11 | 22) {
                policy.privileged = old.privileged;
            }
            if matches!(line, 13 | 17 | 18 | 23) {
                policy.removed = old.removed.clone();
            }
            if matches!(line, 13 | 17 | 18 | 19) {
                policy.shape = old.shape;
            }
            if line == 13 {
                policy.rules = old.rules.clone();
            }
            if line == 17 {
                policy.removals_verified = old.removals_verified;
            }
            if line == 18 {
                (policy.lookup, policy.risk) = (old.lookup, old.risk);
            }
        }
        (before, after)
    })
}

/// A policy that leaves everything to others.
fn permissive() -> Policy {
    let any = Limit { percent: None, count: None, floor: 5 };
    let mut policy = Policy { budgets: Vec::new(), ..Policy::default() };
    policy.removed.default = any;
    policy.shape.is_on = false;
    policy.dangling_percent = Percent::whole(100);
    policy.privileged = PrivilegedLimit { count: 1_000, percent: Percent::whole(100) };
    policy
}
