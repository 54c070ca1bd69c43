//! A policy from which nothing was taken away lets nothing pass that the one before held back.
//!
//! Policies here have everything that a configuration can say. What the judge is told of single
//! records depends on the policy, so it is worked out again for each, as the gate does, over a few
//! records that are made up.

use cordon_model::{Outcome, SyncNumber};
use cordon_validate::detect::{Learned, Measure, Statistic, Step};
use cordon_validate::{DefectKind, Policy, PolicyPatch, Weakening};
use proptest::prelude::*;

use crate::edits::{edited, exemption, rule_name, whole};
use crate::properties::{
    earlier_readings, policies, scenes, shown_to_the_detector, tighter, weight,
};
use crate::scene::{Move, Scene};
use crate::source::sources;

/// Steps at which nothing is wrong but, perhaps, their size.
fn plain() -> impl Strategy<Value = Scene> {
    let step = (prop_oneof![1..40_u64, 20..2_000_u64], 0..=49_u64, 0..60_u64, 0..60_u64);
    let flags = (prop::bool::weighted(0.2), any::<[bool; 3]>());
    let more = (0..5_u64, 0..5_u64, 0..30_u64, flags);
    let detector = (shown_to_the_detector(), earlier_readings());
    (step, more, detector).prop_map(|(step, more, detector)| {
        let (before, percent, added, modified) = step;
        let (appeared, vanished, dangling, (first, [waits, cut, has_mail])) = more;
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
        if !first {
            ((scene.candidate.step, scene.history.memory), scene.history.earlier) = detector;
        }
        if has_mail {
            let now = before - removed * u64::from(!first) + added * u64::from(!first);
            scene = scene.column("mail", Some(before), Some(now));
        }
        scene.defect(DefectKind::DanglingReference, "owner", dangling, 100)
    })
}

fn weakenings(old: &Policy, new: &Policy) -> Vec<String> {
    new.weakened_from(old).into_iter().map(|Weakening { what, .. }| what).collect()
}

/// Whether larger samples leave less to ask of other types.
fn starves(scene: &Scene, old: &Policy, new: &Policy) -> bool {
    let types = scene.candidate.delta.iter().flat_map(|delta| delta.types.values());
    new.lookup.confidence > old.lookup.confidence && types.filter(|it| it.removed > 0).count() > 1
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn where_nothing_was_weakened_no_verdict_is_milder(
        mut scene in prop_oneof![1 => scenes().prop_map(|(scene, _)| scene), 3 => plain()],
        (old, new) in edited(), source in sources(), lost in (0..400_u64, 0..3_000_u64),
    ) {
        for within in ["24h", "7d"] {
            let window = scene.window(within);
            window.removed.insert("user".to_owned(), lost.0);
            window.records_then.insert("user".to_owned(), lost.1);
        }
        for (old, new) in [(&old, &new), (&new, &old)] {
            if weakenings(old, new).is_empty() && !starves(&scene, old, new) {
                let (before, now) = (source.under(&scene, old), source.under(&scene, new));
                prop_assert!(weight(now) >= weight(before), "{before} became {now}");
            }
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
        (mut scene, _) in scenes(), policy in whole(), source in sources(),
    ) {
        (scene.history.quarantined, scene.history.earlier) = (None, None);
        if source.under(&scene, &policy) != Outcome::Accepted {
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
        if let Some(step) = &scene.candidate.step {
            let memory = scene.history.memory.clone().unwrap_or_default();
            again.history.memory = Some(memory.learn(step, Learned::Accepted));
            again.candidate.step = Some(Step::unchanged(step.content));
        }
        // Nothing changed, so rules on changes and marks find nothing; those on what there is find
        // the same.
        let mut quiet = policy.clone();
        quiet.protected.clear();
        quiet.protected_where.clear();
        quiet.privileged_entitlements.clear();
        quiet.privileged_where.clear();
        quiet.rules.retain(|_, rule| rule.on.to_string().starts_with("current"));
        prop_assert_eq!(source.under(&again, &quiet), Outcome::Accepted);
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

#[test]
fn an_exempted_statistic_does_not_speak_for_another_of_its_rule() {
    let measure = |statistic, subject: &str| Measure {
        statistic,
        value: 9.0,
        subject: subject.to_owned(),
        count: 50,
        of: 100,
        proven: false,
        examples: Vec::new(),
    };
    let mut scene = Scene::users(Move::removing(100, 0));
    let measures =
        vec![measure(Statistic::Recased, "user.mail"), measure(Statistic::Swapped, "group.owner")];
    scene.candidate.step = Some(Step { measures, changed: true, records: 100, ..Step::default() });
    scene.history.judged_at = Some("2026-03-05T12:00:00Z".parse().unwrap());
    for (exempted, outcome) in [
        (vec!["user.mail"], Outcome::Quarantined),
        (vec!["group.owner"], Outcome::Quarantined),
        (vec!["user.mail", "group.owner"], Outcome::Accepted),
    ] {
        scene.policy.exemptions.clear();
        for (name, subject) in ["x", "y"].into_iter().zip(&exempted) {
            let exemption = exemption("CRD-S401", Some(subject), None, 7);
            scene.policy.exemptions.insert(rule_name(name), exemption);
        }
        assert_eq!(scene.verdict().outcome, outcome, "{exempted:?}");
    }
}
