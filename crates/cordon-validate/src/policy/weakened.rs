//! What another configuration takes away: the protections that a policy has and the next one lacks.
//!
//! Told line by line, and rather once too often than once too little: where nothing is told, no
//! verdict is milder under the new policy than under the old one, whatever the sync. That a line is
//! told does not mean that it is wrong; it means that somebody should know.
//!
//! One thing is not told, since it is no protection less: samples of more confidence are larger, and
//! where `lookup.keys` is too little for all types the last ones are asked for less.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    FirstSync, KeyGlob, Limit, LookUpWhen, Marked, OnIncomplete, OnSuspicion, OperatorRule, Policy,
    Recover, RemovalsVerified,
};

/// One protection that is weaker than it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Weakening {
    /// Which, as its key is written.
    pub what: String,
    /// What held.
    pub before: String,
    /// What holds.
    pub now: String,
}

/// Collects what is weaker.
struct Weaker(Vec<Weakening>);

impl Weaker {
    fn add(&mut self, what: impl Into<String>, before: &dyn Display, now: &dyn Display) {
        let (before, now) = (before.to_string(), now.to_string());
        self.0.push(Weakening { what: what.into(), before, now });
    }
}

impl Policy {
    /// Every protection of another policy that this one does not have as well.
    pub fn weakened_from(&self, old: &Self) -> Vec<Weakening> {
        let mut weaker = Weaker(Vec::new());
        self.modes(old, &mut weaker);
        self.lookups_of(old, &mut weaker);
        self.release_of(old, &mut weaker);
        self.limits_of(old, &mut weaker);
        self.budgets_of(old, &mut weaker);
        self.marks_of(old, &mut weaker);
        self.rules_of(old, &mut weaker);
        self.exemptions_of(old, &mut weaker);
        weaker.0
    }

    fn modes(&self, old: &Self, weaker: &mut Weaker) {
        if self.risk < old.risk {
            weaker.add("risk", &old.risk, &self.risk);
        }
        if old.first_sync == FirstSync::Review && self.first_sync == FirstSync::Trust {
            weaker.add("first_sync", &"review", &"trust");
        }
        if old.recover == Recover::Review && self.recover == Recover::Auto {
            weaker.add("recover", &"review", &"auto");
        }
        if old.on_incomplete == OnIncomplete::Quarantine
            && self.on_incomplete == OnIncomplete::CarryForward
        {
            weaker.add("on_incomplete", &"quarantine", &"carry-forward");
        }
        if old.on_suspicion == OnSuspicion::Quarantine
            && self.on_suspicion == OnSuspicion::HoldRemovals
        {
            weaker.add("on_suspicion", &"quarantine", &"hold-removals");
        }
        if self.reread.times < old.reread.times {
            weaker.add("reread.times", &old.reread.times, &self.reread.times);
        }
        if !self.shape.is_on && old.shape.is_on {
            weaker.add("shape", &"on", &"off");
        }
        if self.shape.is_on && self.shape.hold > old.shape.hold {
            weaker.add("shape.hold", &old.shape.hold, &self.shape.hold);
        }
        if self.shape.is_on && self.shape.read_again > old.shape.read_again {
            weaker.add("shape.read_again", &old.shape.read_again, &self.shape.read_again);
        }
        if self.grace < old.grace {
            weaker.add("grace", &old.grace, &self.grace);
        }
        if self.dangling_percent > old.dangling_percent {
            weaker.add("dangling_percent", &old.dangling_percent, &self.dangling_percent);
        }
        let (then, now) = (old.privileged, self.privileged);
        if now.count > then.count || now.percent > then.percent {
            let words = |it: super::PrivilegedLimit| format!("{}, or {}", it.count, it.percent);
            weaker.add("privileged", &words(then), &words(now));
        }
        if self.freshness > old.freshness {
            weaker.add("freshness", &span(old.freshness), &span(self.freshness));
        }
    }

    /// The less is asked for, the less is found that is still there. Where the source's word lets
    /// removals pass, more that is asked for lets more of them pass.
    fn lookups_of(&self, old: &Self, weaker: &mut Weaker) {
        let (then, now) = (old.lookup, self.lookup);
        let was_accepted = old.removals_verified == RemovalsVerified::Accept;
        if self.removals_verified == RemovalsVerified::Accept && !was_accepted {
            weaker.add("removals_verified", &"note", &"accept");
        }
        let passes = was_accepted && self.accepts_verified_removals();
        if now.when == LookUpWhen::Suspicion && then.when == LookUpWhen::Always {
            weaker.add("lookup.when", &"always", &"suspicion");
        }
        if now.confidence < then.confidence {
            weaker.add("lookup.confidence", &then.confidence, &now.confidence);
        }
        if now.keys < then.keys || (passes && now.keys > then.keys) {
            weaker.add("lookup.keys", &then.keys, &now.keys);
        }
        if now.per_second < then.per_second || (passes && now.per_second > then.per_second) {
            weaker.add("lookup.per_second", &then.per_second, &now.per_second);
        }
        if now.deadline < then.deadline || (passes && now.deadline > then.deadline) {
            weaker.add("lookup.deadline", &span(then.deadline), &span(now.deadline));
        }
    }

    fn release_of(&self, old: &Self, weaker: &mut Weaker) {
        if self.release_people() < old.release_people() {
            weaker.add("release.people", &old.release_people(), &self.release_people());
        }
        if self.release.expires > old.release.expires {
            weaker.add("release.expires", &old.release.expires, &self.release.expires);
        }
        let (then, now) = (old.release_by(), self.release_by());
        let anyone = now.is_empty() || !now.iter().all(|group| then.contains(group));
        if !then.is_empty() && anyone {
            let words = |by: &[super::Group]| match by {
                [] => "anyone".to_owned(),
                by => by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            };
            weaker.add("release.by", &words(then), &words(now));
        }
    }

    fn limits_of(&self, old: &Self, weaker: &mut Weaker) {
        for (what, then, now) in [
            ("removed", &old.removed, &self.removed),
            ("added", &old.added, &self.added),
            ("modified", &old.modified, &self.modified),
        ] {
            if is_weaker(now.default, then.default) {
                weaker.add(format!("{what}.default"), &then.default, &now.default);
            }
            let labels: BTreeSet<_> = then.labels.keys().chain(now.labels.keys()).collect();
            for label in labels {
                let (then, now) = (then.of(label.as_str()), now.of(label.as_str()));
                if is_weaker(now, then) {
                    weaker.add(format!("{what}.{label}"), &then, &now);
                }
            }
        }
        let labels = old.removed.labels.keys().chain(self.removed.labels.keys());
        let labels: BTreeSet<&str> = labels.map(AsRef::as_ref).chain(["default"]).collect();
        let in_scope = |policy: &Self, label: &str| {
            // No label is named `default`, so that this gives the limit of all the others.
            policy.removed_in_scope.applied_to(policy.removed.of(label))
        };
        let found = labels.into_iter().find_map(|label| {
            let (then, now) = (in_scope(old, label), in_scope(self, label));
            is_weaker(now, then).then_some((then, now))
        });
        // Where it follows the limits of the labels, it was told with them.
        if let Some((then, now)) = found
            && self.removed_in_scope != old.removed_in_scope
        {
            weaker.add("removed_in_scope", &then, &now);
        }
    }

    fn budgets_of(&self, old: &Self, weaker: &mut Weaker) {
        for budget in &old.budgets {
            let what = match &budget.of {
                None => format!("budget of {}", budget.within),
                Some(of) => format!("budget of {of} in {}", budget.within),
            };
            let Some(now) = self.budgets.iter().find(|known| known.replaces(budget)) else {
                weaker.add(what, &budget, &"none");
                continue;
            };
            let floor = match (now.floor, budget.floor) {
                (Some(now), Some(then)) => now > then,
                // The floor of the label's limit is known to each label alone.
                (now, then) => now != then,
            };
            if more(now.percent, budget.percent) || more(now.count, budget.count) || floor {
                weaker.add(what, &budget, &now);
            }
        }
    }

    fn marks_of(&self, old: &Self, weaker: &mut Weaker) {
        for required in &old.required {
            if !self.required.contains(required) {
                weaker.add("schema.required", &required, &"not required");
            }
        }
        for (what, then, now) in [
            ("protected", &old.protected, &self.protected),
            (
                "privileged_entitlements",
                &old.privileged_entitlements,
                &self.privileged_entitlements,
            ),
        ] {
            for glob in then.iter().filter(|glob| !is_covered(glob, now)) {
                weaker.add(what, &glob, &"not named");
            }
        }
        for (what, then, now) in [
            ("protected_where", &old.protected_where, &self.protected_where),
            ("privileged_where", &old.privileged_where, &self.privileged_where),
        ] {
            let stays = |marked: &Marked| {
                let mut strict = marked.clone();
                strict.where_it_fits = false;
                now.contains(marked) || now.contains(&strict)
            };
            for marked in then.iter().filter(|marked| !stays(marked)) {
                let words = format!("{} where {}", marked.of.0, marked.condition);
                weaker.add(what, &words, &"not named");
            }
        }
    }

    fn rules_of(&self, old: &Self, weaker: &mut Weaker) {
        for (name, then) in &old.rules {
            let words = |rule: &OperatorRule| format!("{}: {}", rule.subject(), rule.demand());
            match self.rules.get(name) {
                None => weaker.add(format!("rule.{name}"), &words(then), &"no such rule"),
                Some(now) if !demands_as_much(now, then) => {
                    weaker.add(format!("rule.{name}"), &words(then), &words(now));
                }
                Some(_) => {}
            }
        }
    }

    fn exemptions_of(&self, old: &Self, weaker: &mut Weaker) {
        for (name, exemption) in &self.exemptions {
            if !old.exemptions.values().any(|known| exemption.within(known)) {
                weaker.add(format!("exemption.{name}"), &"none", &exemption);
            }
        }
    }
}

fn span(time: Duration) -> String {
    let span = jiff::SignedDuration::try_from(time).unwrap_or(jiff::SignedDuration::MAX);
    format!("{span:#}")
}

/// Whether a limit may be higher than it was; none is the highest.
fn more<T: PartialOrd>(now: Option<T>, then: Option<T>) -> bool {
    match (now, then) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(now), Some(then)) => now > then,
    }
}

/// Whether a limit lets something pass that another one holds back. Floors count even alone: a
/// budget borrows them.
fn is_weaker(now: Limit, then: Limit) -> bool {
    more(now.percent, then.percent) || more(now.count, then.count) || now.floor > then.floor
}

/// Whether all that a pattern matches is matched by one of several. The stars of the pattern stand
/// where stars of the other one reach, so whatever they stand for is reached, too.
fn is_covered(glob: &KeyGlob, by: &[KeyGlob]) -> bool {
    by.iter().any(|wider| wider.matches(&glob.to_string()))
}

fn demands_as_much(now: &OperatorRule, then: &OperatorRule) -> bool {
    let counts_the_same = now.on == then.on
        && now.condition == then.condition
        && now.unless == then.unless
        && now.was == then.was;
    let most = match (now.most, then.most) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(now), Some(then)) => !is_weaker(now, then),
    };
    let least = now.least.unwrap_or(0) >= then.least.unwrap_or(0);
    let everywhere = !now.where_it_fits || then.where_it_fits;
    counts_the_same && most && least && everywhere && now.action >= then.action
}
