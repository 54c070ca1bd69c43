//! Faulty reads of sources with and without totals and look-ups, judged whole.
//!
//! A hundred seeds: each makes a source, an honest day, and a read of it that lost an end, a page or a
//! scope without noticing. Where the source counts, or answers for single records, every one is
//! caught, and no honest day is held for it.

use std::collections::BTreeMap;

use cordon_model::{ConnectorName, Outcome, ScopeOutcome, ScopeReport, SyncNumber, Watermark};
use cordon_validate::detect::Step;
use cordon_validate::lookup::{Answers, Lookup};
use cordon_validate::{
    Candidate, Census, Delta, History, Judged, Percent, Policy, ScopeCensus, ScopeDelta,
    TypeCensus, TypeDelta, codes, judge,
};

use super::source::{Source, in_order, record_type, step};

/// A number that follows from a seed.
fn draw(seed: &mut u64, below: u32) -> u32 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    ((*seed >> 33) % u64::from(below.max(1))) as u32
}

/// What the source offers beside its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offers {
    Nothing,
    Totals,
    Lookup,
}

pub(super) fn census(read: &Source, whole: &Source, offers: Offers) -> Census {
    let mut census = Census::default();
    for (scope, kind, received, total) in [
        ("users", "resource.user", read.users.len(), whole.users.len()),
        ("members", "grant.user", read.members.len(), whole.members.len()),
    ] {
        let records = received as u64;
        let report = ScopeReport {
            name: scope.to_owned(),
            outcome: ScopeOutcome::Complete,
            received: records,
            declared: records,
            source_total: (offers == Offers::Totals).then_some(total as u64),
            watermark: Watermark::default(),
        };
        let held = BTreeMap::from([(record_type(kind), records)]);
        census.scopes.insert(scope.to_owned(), ScopeCensus { report, records: held });
        let of = TypeCensus { records, ..TypeCensus::default() };
        census.types.insert(record_type(kind), of);
    }
    census
}

fn delta(before: &Source, read: &Source) -> Delta {
    let mut delta = Delta::default();
    let users = (
        before.users.len(),
        read.users.len(),
        read.users.keys().filter(|u| !before.users.contains_key(u)).count(),
        before.users.keys().filter(|u| !read.users.contains_key(u)).count(),
    );
    let members = (
        before.members.len(),
        read.members.len(),
        read.members.difference(&before.members).count(),
        before.members.difference(&read.members).count(),
    );
    for (scope, kind, (before, after, added, removed)) in
        [("users", "resource.user", users), ("members", "grant.user", members)]
    {
        let [before, after, added, removed] = [before, after, added, removed].map(|n| n as u64);
        let of = TypeDelta { before, after, added, removed, ..TypeDelta::default() };
        delta.types.insert(record_type(kind), of);
        delta.scopes.insert(scope.to_owned(), ScopeDelta { before, after, added, removed });
    }
    delta
}

/// Judges a read of `whole`, which the last known good `before` precedes.
fn judged(before: &Source, whole: &Source, read: &Source, offers: Offers) -> Judged {
    let proven = offers == Offers::Totals && read == whole;
    judged_by(before, whole, read, offers, step(before, read, proven, in_order))
}

/// The same with a step that was measured otherwise.
pub(super) fn judged_by(
    before: &Source,
    whole: &Source,
    read: &Source,
    offers: Offers,
    step: Step,
) -> Judged {
    let (candidate, history) = told(before, whole, read, offers, step);
    judge(Some(&census(before, before, offers)), candidate, &history, &Policy::default())
}

/// What the judge is told of such a read, beside the last known good.
pub(super) fn told(
    before: &Source,
    whole: &Source,
    read: &Source,
    offers: Offers,
    step: Step,
) -> (Candidate, History) {
    let candidate = Candidate {
        connector: ConnectorName::new("hr").unwrap(),
        sync: SyncNumber(2),
        digest: "91fe04c2".repeat(8),
        against: Some(SyncNumber(1)),
        census: census(read, whole, offers),
        delta: Some(delta(before, read)),
        defects: Vec::new(),
        step: Some(step),
        pending: None,
    };
    let answers = |kind: &str, missing: usize, present: usize| Answers {
        record_type: record_type(kind),
        missing: missing as u64,
        asked: missing as u64,
        present: present as u64,
        absent: (missing - present) as u64,
        known: 5,
        known_present: 5,
        invented_present: false,
        present_examples: Vec::new(),
        absent_examples: Vec::new(),
    };
    let gone: Vec<u32> =
        before.users.keys().filter(|u| !read.users.contains_key(u)).copied().collect();
    let still = gone.iter().filter(|u| whole.users.contains_key(u)).count();
    let lost: Vec<_> = before.members.difference(&read.members).collect();
    let held = lost.iter().filter(|m| whole.members.contains(m)).count();
    let mut types = vec![answers("resource.user", gone.len(), still)];
    types.push(answers("grant.user", lost.len(), held));
    types.retain(|answers| answers.missing > 0);
    let lookup = (offers == Offers::Lookup && !types.is_empty()).then(|| Lookup {
        digest: candidate.digest.clone(),
        confidence: Percent::whole(99),
        types,
        trouble: None,
    });
    (candidate, History { accepted: 40, lookup, ..History::default() })
}

/// A read of the source that lost something and does not know it: an end, a page, or the members of
/// a group.
fn faulty(whole: &Source, seed: &mut u64) -> Source {
    let count = whole.users.len() as u32;
    let lost = 1 + draw(seed, count / 3);
    let from = match draw(seed, 2) {
        0 => count - lost,
        _ => draw(seed, count - lost),
    };
    if draw(seed, 3) == 0 {
        let group = draw(seed, whole.groups.len() as u32);
        let mut read = whole.clone();
        read.members.retain(|(of, _)| *of != group);
        return read;
    }
    let ids: Vec<u32> = whole.users.keys().copied().collect();
    whole.without(&ids[from as usize..(from + lost) as usize])
}

fn honest(before: &Source, seed: &mut u64) -> Source {
    let count = before.users.len() as u32;
    let leavers: Vec<u32> = (0..draw(seed, 4)).map(|_| draw(seed, count)).collect();
    let mut whole = before.without(&leavers);
    for _ in 0..draw(seed, 6) {
        let user = count + draw(seed, 50);
        whole.users.insert(user, format!("name-{user}"));
        whole.members.insert((draw(seed, 4), user));
    }
    whole
}

fn speaks(judged: &Judged, rule: &codes::Rule) -> bool {
    judged.verdict().findings.iter().any(|finding| finding.code == rule.code)
}

#[test]
fn with_totals_or_lookups_every_loss_is_caught_and_no_honest_day_is_held_for_them() {
    let (mut caught, mut alone, mut held) = (0, 0, 0);
    for seed in 0..100 {
        let mut seed = seed * 7_919 + 1;
        let before = Source::of(200 + draw(&mut seed, 400), 6);
        let whole = honest(&before, &mut seed);
        let read = faulty(&whole, &mut seed);
        for offers in [Offers::Totals, Offers::Lookup] {
            let verdict = judged(&before, &whole, &read, offers);
            assert_ne!(verdict.verdict().outcome, Outcome::Accepted, "{read:?}");
            let by =
                if offers == Offers::Totals { &codes::TOTAL_DIFFERS } else { &codes::STILL_THERE };
            assert!(speaks(&verdict, by));
            caught += 1;
            let day = judged(&before, &whole, &whole, offers);
            assert!(!speaks(&day, &codes::TOTAL_DIFFERS) && !speaks(&day, &codes::STILL_THERE));
        }
        let verdict = judged(&before, &whole, &read, Offers::Nothing);
        alone += u32::from(verdict.verdict().outcome != Outcome::Accepted);
        let day = judged(&before, &whole, &whole, Offers::Nothing);
        held += u32::from(day.verdict().outcome != Outcome::Accepted);
    }
    assert_eq!(caught, 200);
    // The judge without either is good, and no proof: that is why proof comes first.
    assert!(alone >= 80, "{alone} of 100 without either");
    assert!(held <= 10, "{held} honest days of 100 held");
}

#[test]
fn a_finding_says_whether_the_loss_is_proven() {
    let before = Source::of(300, 6);
    let leavers: Vec<u32> = (0..20).map(|n| n * 12).collect();
    let whole = before.without(&leavers);
    let told = |offers| {
        let verdict = judged(&before, &whole, &whole, offers);
        let findings = verdict.verdict().findings.clone();
        findings.into_iter().find(|f| f.code == codes::LOSS_UNUSUAL.code).unwrap().message
    };
    assert!(told(Offers::Nothing).ends_with("no total of the source proves that they are gone"));
    assert!(told(Offers::Totals).ends_with("the source's own totals agree that they are gone"));
}
