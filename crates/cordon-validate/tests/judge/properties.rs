//! What holds for every candidate and every policy.

use std::collections::BTreeMap;

use cordon_model::{Outcome, ScopeOutcome, Severity, SyncNumber, TypeName};
use cordon_validate::detect::{Learned, Measure, Memory, Statistic, Step};
use cordon_validate::reading::Earlier;
use cordon_validate::{
    BUDGET_DEFAULT, Budget, Defect, DefectKind, FirstSync, Limit, LimitPatch, Limits, OnIncomplete,
    Percent, Policy, PrivilegedDelta, Recover, RequiredAttribute, Risk, Shape, TypeDelta, Unusual,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::scene::{Move, Scene, record_type};

const SCOPES: [&str; 3] = ["users", "groups", "members"];
const TYPES: [&str; 4] = ["resource.user", "resource.group", "grant.user", "grant.service"];

/// How a scope ended, in a scene.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    Complete,
    Gone,
    CutShort,
    Unreported,
}

impl Ending {
    fn proves_absence(self) -> bool {
        matches!(self, Self::Complete | Self::Gone)
    }
}

fn moves() -> impl Strategy<Value = Move> {
    let size = prop_oneof![0..40_u64, 0..5_000_u64];
    (size, 0..=100_u64, 0..60_u64, 0..60_u64).prop_map(|(before, percent, added, modified)| {
        // Small removals are what lies near the limits.
        let removed = before * (percent * percent / 100) / 100;
        Move { before, removed, added, modified }
    })
}

/// What a detector may have measured, and what it remembers, though not of these records.
pub(crate) fn shown_to_the_detector() -> impl Strategy<Value = (Option<Step>, Option<Memory>)> {
    let counts = (0..300_u64, 1..3_000_u64, any::<bool>());
    let measure = (select(Statistic::ALL.to_vec()), 0.0..8.0_f64, counts);
    let measure = measure.prop_map(|(statistic, value, (count, of, proven))| Measure {
        statistic,
        value,
        subject: "user".to_owned(),
        count,
        of,
        proven,
        examples: Vec::new(),
    });
    let measures = prop::collection::vec(measure, 0..3);
    let step = (measures, 0..3_u64, 0.0..3.0_f64).prop_map(|(measures, causes, tail)| Step {
        measures,
        changed: true,
        causes,
        records: 100,
        tail,
        ..Step::default()
    });
    // Some twenty losses before.
    let memory = (step.clone(), 0..=20_usize).prop_map(|(step, losses)| {
        let lost = Step { causes: 1, ..step };
        (0..losses).fold(Memory::default(), |memory, _| memory.learn(&lost, Learned::Accepted))
    });
    (prop::option::of(step), prop::option::of(memory))
}

/// A reading that waits for this one.
pub(crate) fn earlier_readings() -> impl Strategy<Value = Option<Earlier>> {
    let earlier = (any::<[bool; 2]>(), 1..4_u64);
    let earlier = earlier.prop_map(|([is_same, was_only_unusual], times)| Earlier {
        sync: SyncNumber(416),
        is_same,
        times,
        was_only_unusual,
    });
    prop_oneof![3 => Just(None), 1 => earlier.prop_map(Some)]
}

fn endings() -> impl Strategy<Value = [Ending; 3]> {
    let ending = select(vec![
        Ending::Complete,
        Ending::Complete,
        Ending::Gone,
        Ending::CutShort,
        Ending::Unreported,
    ]);
    [ending.clone(), ending.clone(), ending]
}

fn defects() -> impl Strategy<Value = Vec<Defect>> {
    let kinds = vec![
        DefectKind::DuplicateKey,
        DefectKind::MalformedId,
        DefectKind::MissingRequired,
        DefectKind::ImplausibleTime,
        DefectKind::MalformedReference,
        DefectKind::DanglingReference,
    ];
    let defect = (select(kinds), 0..30_u64, 0..1_000_u64).prop_map(|(kind, count, more)| Defect {
        kind,
        record_type: record_type("resource.user"),
        column: Some("owner".to_owned()),
        count,
        of: count + more,
        examples: Vec::new(),
    });
    // Most syncs have none, or every verdict would be a rejection.
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(defect, 1..3)]
}

/// A scene whose evidence is consistent, and how its scopes ended.
pub(crate) fn scenes() -> impl Strategy<Value = (Scene, [(Ending, u64); 3])> {
    let steps = prop::collection::vec((0..3_usize, 0..4_usize, moves()), 0..5);
    let privileged = (0..60_u64, 0..5_u64, 0..5_u64);
    let history = (0..200_u64, 0..5_000_u64, any::<[bool; 3]>());
    let detector = (shown_to_the_detector(), earlier_readings());
    (steps, endings(), defects(), privileged, history, detector).prop_map(
        |(steps, endings, defects, (grants, appeared, vanished), history, detector)| {
            let mut scene = Scene::next();
            let mut removed = [0; 3];
            for (scope, of, step) in steps {
                scene = scene.with(SCOPES[scope], TYPES[of], step);
                removed[scope] += step.removed;
            }
            for (scope, ending) in SCOPES.into_iter().zip(endings) {
                scene = end(scene, scope, ending);
            }
            scene = scene.privileged(grants + vanished, appeared, vanished);
            scene.candidate.defects = defects;
            ((scene.candidate.step, scene.history.memory), scene.history.earlier) = detector;
            let (lost, yesterday, [quarantined, replayed, protected]) = history;
            let window = scene.window("24h");
            window.removed.insert("user".to_owned(), lost);
            window.records_then.insert("user".to_owned(), yesterday);
            scene.history.quarantined = quarantined.then_some(SyncNumber(416));
            scene.history.replays = (replayed && lost > 150).then_some(SyncNumber(300));
            if protected && lost > 150 {
                scene.history.protected_removed.push("user:breakglass-1".to_owned());
            }
            let ended = [0, 1, 2].map(|scope| (endings[scope], removed[scope]));
            (scene, ended)
        },
    )
}

fn end(mut scene: Scene, scope: &str, ending: Ending) -> Scene {
    if !scene.candidate.census.scopes.contains_key(scope) {
        return scene;
    }
    match ending {
        Ending::Complete => scene,
        Ending::CutShort => scene.cut_short(scope),
        Ending::Unreported => scene.unreported(scope),
        Ending::Gone => {
            scene.scope(scope).report.outcome = ScopeOutcome::Gone;
            scene
        }
    }
}

fn limits() -> impl Strategy<Value = Limit> {
    let percent = prop::option::of((0..=100_u8).prop_map(Percent::whole));
    (percent, prop::option::of(0..2_000_u64), 0..50_u64).prop_map(|(percent, count, floor)| Limit {
        percent,
        count,
        floor,
    })
}

/// A limit, of which a label may have its own.
fn patches() -> impl Strategy<Value = LimitPatch> {
    let percent = prop::option::of((0..=40_u8).prop_map(Percent::whole));
    let counts = (prop::option::of(0..60_u64), prop::option::of(0..60_u64));
    (percent, counts).prop_map(|(percent, (count, floor))| LimitPatch { percent, count, floor })
}

fn labels() -> impl Strategy<Value = BTreeMap<TypeName, LimitPatch>> {
    let label = select(vec!["user", "grant"]).prop_map(|label| TypeName::new(label).unwrap());
    prop::collection::btree_map(label, patches(), 0..2)
}

fn shapes() -> impl Strategy<Value = Shape> {
    let unusual = || (50..=500_u16).prop_map(|it| Unusual::new(f64::from(it) / 100.0).unwrap());
    let is_on = prop::bool::weighted(0.8);
    (is_on, unusual(), unusual()).prop_map(|(is_on, hold, read_again)| Shape {
        is_on,
        hold,
        read_again,
    })
}

fn required() -> impl Strategy<Value = Vec<RequiredAttribute>> {
    let attributes = ["user.mail", "user.owner"].map(|it| it.to_owned().try_into().unwrap());
    subsequence(attributes.to_vec(), 0..=2)
}

pub(crate) fn policies() -> impl Strategy<Value = Policy> {
    let limits = [limits(), limits(), limits()];
    let percents = [0..=100_u8, 0..=100, 0..=100].prop_map(|percents| percents.map(Percent::whole));
    let modes = (any::<[bool; 3]>(), select(vec![Risk::Low, Risk::Medium, Risk::High]));
    let labels = (labels(), labels(), labels(), patches());
    let more = (labels, shapes(), 0..3_u32, required());
    (limits, percents, modes, 0..60_u64, more).prop_map(
        |([removed, added, modified], [day, dangling, privileged], modes, count, more)| {
            let ([first, incomplete, recover], risk) = modes;
            let mut policy = Policy::default();
            let labels;
            (labels, policy.shape, policy.reread.times, policy.required) = more;
            (
                policy.removed.labels,
                policy.added.labels,
                policy.modified.labels,
                policy.removed_in_scope,
            ) = labels;
            policy.removed.default = removed;
            policy.added.default = added;
            policy.modified.default = modified;
            policy.budgets = vec![Budget::percent(BUDGET_DEFAULT, day)];
            policy.dangling_percent = dangling;
            policy.privileged.percent = privileged;
            policy.privileged.count = count;
            policy.risk = risk;
            policy.first_sync = if first { FirstSync::Review } else { FirstSync::Trust };
            policy.recover = if recover { Recover::Review } else { Recover::Auto };
            policy.on_incomplete =
                if incomplete { OnIncomplete::Quarantine } else { OnIncomplete::CarryForward };
            policy
        },
    )
}

/// The policy that is as tight as the tighter of two, line by line.
pub(crate) fn tighter(a: &Policy, b: &Policy) -> Policy {
    let least = |a: Option<Percent>, b: Option<Percent>| match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let count = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let limit = |a: Limit, b: Limit| Limit {
        percent: least(a.percent, b.percent),
        count: count(a.count, b.count),
        floor: a.floor.min(b.floor),
    };
    let limits = |a: &Limits, b: &Limits| {
        let labels = a.labels.keys().chain(b.labels.keys()).map(|label| {
            let Limit { percent, count, floor } = limit(a.of(label.as_ref()), b.of(label.as_ref()));
            (label.clone(), LimitPatch { percent, count, floor: Some(floor) })
        });
        Limits { labels: labels.collect(), default: limit(a.default, b.default) }
    };
    let mut policy = a.clone();
    policy.removed = limits(&a.removed, &b.removed);
    policy.added = limits(&a.added, &b.added);
    policy.modified = limits(&a.modified, &b.modified);
    policy.shape = Shape {
        is_on: a.shape.is_on || b.shape.is_on,
        hold: a.shape.hold.min(b.shape.hold),
        read_again: a.shape.read_again.min(b.shape.read_again),
    };
    policy.reread.times = a.reread.times.max(b.reread.times);
    policy.required.extend(b.required.iter().cloned());
    policy.budgets = a.budgets.clone();
    for budget in &mut policy.budgets {
        let known = b.budgets.iter().find(|known| known.within == budget.within);
        budget.percent = least(budget.percent, known.and_then(|known| known.percent));
    }
    policy.dangling_percent = a.dangling_percent.min(b.dangling_percent);
    policy.privileged.percent = a.privileged.percent.min(b.privileged.percent);
    policy.privileged.count = a.privileged.count.min(b.privileged.count);
    policy.risk = a.risk.max(b.risk);
    if b.first_sync == FirstSync::Review {
        policy.first_sync = FirstSync::Review;
    }
    if b.recover == Recover::Review {
        policy.recover = Recover::Review;
    }
    if b.on_incomplete == OnIncomplete::Quarantine {
        policy.on_incomplete = OnIncomplete::Quarantine;
    }
    policy
}

pub(crate) fn weight(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Accepted => 0,
        Outcome::Quarantined => 1,
        Outcome::Rejected => 2,
    }
}

proptest! {
    #[test]
    fn a_removal_from_a_scope_that_proves_nothing_is_never_accepted(
        (mut scene, ended) in scenes(), policy in policies(),
    ) {
        scene.policy = policy;
        let unproven = ended.iter().any(|(ending, removed)| {
            *removed > 0 && !ending.proves_absence()
        });
        let verdict = scene.verdict();
        let seen = verdict.findings.iter().any(|finding| finding.code == "CRD-P202");
        prop_assert_eq!(seen, unproven);
        if unproven {
            prop_assert_eq!(verdict.outcome, Outcome::Rejected);
        }
    }

    #[test]
    fn a_tighter_policy_never_accepts_what_a_looser_one_holds(
        (mut scene, _) in scenes(), loose in policies(), other in policies(),
    ) {
        scene.policy = loose.clone();
        let held = weight(scene.verdict().outcome);
        scene.policy = tighter(&loose, &other);
        prop_assert!(weight(scene.verdict().outcome) >= held);
    }

    #[test]
    fn the_same_input_gives_the_same_verdict((mut scene, _) in scenes(), policy in policies()) {
        scene.policy = policy;
        prop_assert_eq!(scene.verdict(), scene.clone().verdict());
    }

    #[test]
    fn what_is_accepted_has_no_finding_that_holds_it(
        (mut scene, _) in scenes(), policy in policies(),
    ) {
        scene.policy = policy;
        let verdict = scene.verdict();
        let worst = verdict.findings.iter().map(|finding| finding.severity).max();
        let outcome = match worst {
            Some(Severity::Reject) => Outcome::Rejected,
            Some(Severity::Quarantine) => Outcome::Quarantined,
            _ => Outcome::Accepted,
        };
        prop_assert_eq!(verdict.outcome, outcome);
        prop_assert!(verdict.findings.is_sorted_by(|a, b| a.severity >= b.severity));
    }

    #[test]
    fn a_limit_is_exact_on_every_size_of_source(limit in limits(), before in any::<u64>()) {
        let Some(most) = limit.most(before) else { return Ok(()) };
        prop_assert!(!limit.is_broken_by(most, before));
        prop_assert!(most == u64::MAX || limit.is_broken_by(most + 1, before));
    }

    #[test]
    fn a_percentage_is_compared_as_the_fraction_that_it_is(
        hundredths in 0..=20_000_u32, whole in any::<u64>(), part in any::<u64>(),
    ) {
        let percent = Percent::new(f64::from(hundredths) / 100.0).unwrap();
        let exceeds = u128::from(part) * 10_000 > u128::from(whole) * u128::from(hundredths);
        prop_assert_eq!(part > percent.of(whole), exceeds);
    }

    #[test]
    fn absurd_counts_are_judged_without_panic(
        numbers in prop::array::uniform10(prop_oneof![Just(0), Just(u64::MAX), any::<u64>()]),
        policy in policies(),
    ) {
        let [before, after, added, modified, removed, carried, present, grants, gone, lost] = numbers;
        let mut scene = Scene::users(Move::removing(1, 0)).column("mail", Some(1), Some(1));
        let delta = scene.candidate.delta.as_mut().unwrap();
        for of in TYPES {
            let step = TypeDelta {
                before, after, added, modified, removed, carried, ..TypeDelta::default()
            };
            delta.types.insert(record_type(of), step);
        }
        for scope in delta.scopes.values_mut() {
            (scope.before, scope.after, scope.removed) = (before, after, removed);
        }
        delta.privileged = PrivilegedDelta {
            before: grants, after, appeared: added, vanished: gone, examples: Vec::new(),
        };
        let users = record_type("resource.user");
        scene.candidate.census.types.get_mut(&users).unwrap().records = after;
        scene.last_good.as_mut().unwrap().types.get_mut(&users).unwrap().records = before;
        let [then, now] = scene.columns("mail");
        (then.present, now.present) = (present, lost);
        scene.window("24h").removed.insert("user".to_owned(), lost);
        scene.policy = policy;
        let _ = scene.check();
    }
}
