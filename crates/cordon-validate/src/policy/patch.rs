//! What a configuration says of a policy: the `[guard]` table, every line of it optional.

use std::collections::BTreeMap;
use std::time::Duration;

use cordon_model::TypeName;
use serde::{Deserialize, Serialize};

use super::{
    BUDGET_DEFAULT, Budget, Exemption, FirstSync, Governs, Grace, KeyGlob, Limit, Limits,
    LookupsPatch, Marked, OnIncomplete, OnSuspicion, OperatorRule, Percent, Policy,
    PrivilegedLimit, Recover, ReleasePatch, RemovalsVerified, RequiredAttribute, RereadPatch, Risk,
    RuleName, ShapePatch,
};

/// The `[guard]` of a host or of a connector. What is absent stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of what a guard says")]
pub struct PolicyPatch {
    /// `trust` or `review`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_sync: Option<FirstSync>,
    /// `carry-forward` or `quarantine`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_incomplete: Option<OnIncomplete>,
    /// `auto` or `review`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recover: Option<Recover>,
    /// `quarantine` or `hold-removals`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_suspicion: Option<OnSuspicion>,
    /// `release = { people = 2, expires = "8h", by = ["iam-approvers"] }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleasePatch>,
    /// `governs = ["leavers", "access"]`: what its data decides about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub governs: Option<Vec<Governs>>,
    /// `low`, `medium`, `high` or `critical`; without it, what `governs` asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// `removed.user = { percent = 10, count = 50, floor = 3 }`; `removed.default` for the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<LimitsPatch>,
    /// As `removed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added: Option<LimitsPatch>,
    /// As `removed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<LimitsPatch>,
    /// `removed_in_scope = { percent = 10, floor = 5 }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed_in_scope: Option<LimitPatch>,
    /// `budget = [{ within = "7d", percent = 30 }]`. Takes the place of a budget of the same time and
    /// label, else stands beside the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Vec<Budget>>,
    /// `removed_24h_percent = 20`: the percentage of the budget of 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed_24h_percent: Option<Percent>,
    /// `privileged = { count = 3, percent = 5 }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileged: Option<PrivilegedPatch>,
    /// `dangling_percent = 1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dangling_percent: Option<Percent>,
    /// `schema.required = ["user.mail"]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaPatch>,
    /// `protected = ["user:breakglass*"]`. Added to what was protected before: a connector's guard
    /// cannot take a host-wide protection away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected: Option<Vec<KeyGlob>>,
    /// `lookup = { keys = 2000, confidence = 95, per_second = 100, deadline = "1m" }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookup: Option<LookupsPatch>,
    /// `note` or `accept`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removals_verified: Option<RemovalsVerified>,
    /// `reread = { after = "2m", times = 1 }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reread: Option<RereadPatch>,
    /// `shape = "off"`, or `shape = { hold = 2.5, read_again = 1.2 }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<ShapePatch>,
    /// `grace = "24h"`, or `grace = "off"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<Grace>,
    /// `protected_where = [{ of = "user", where = { break_glass = true } }]`. Added, as `protected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected_where: Option<Vec<Marked>>,
    /// `privileged_entitlements = ["*admin*"]`. Added to what was called privileged before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileged_entitlements: Option<Vec<KeyGlob>>,
    /// `privileged_where = [{ of = "entitlement", where = { tier = 0 } }]`. Added likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileged_where: Option<Vec<Marked>>,
    /// `exemption.NAME = { code = "CRD-D101", ... }`. A name that is known already keeps its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exemption: Option<BTreeMap<RuleName, Exemption>>,
    /// `rule.NAME = { on = "added.grant", ... }`. A name that is known already keeps its rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<BTreeMap<RuleName, OperatorRule>>,
    /// `freshness = "6h"`.
    #[serde(
        default,
        with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub freshness: Option<Duration>,
}

/// What a configuration says of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a limit such as { percent = 10, count = 50, floor = 5 }")]
pub struct LimitPatch {
    /// See [`Limit::percent`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
    /// See [`Limit::count`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// See [`Limit::floor`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<u64>,
}

/// What a configuration says of limits by label.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LimitsPatch {
    /// By label; `default` for labels without a line of their own.
    pub labels: BTreeMap<TypeName, LimitPatch>,
}

/// What a configuration says of privileged grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a limit such as { count = 3, percent = 5 }")]
pub struct PrivilegedPatch {
    /// See [`PrivilegedLimit::count`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// See [`PrivilegedLimit::percent`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
}

/// What a configuration says of the records' shape.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { required = [\"user.mail\"] }")]
pub struct SchemaPatch {
    /// Added to what was required before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<Vec<RequiredAttribute>>,
}

impl LimitPatch {
    /// The limit with this patch upon it.
    pub fn applied_to(&self, limit: Limit) -> Limit {
        Limit {
            percent: self.percent.or(limit.percent),
            count: self.count.or(limit.count),
            floor: self.floor.unwrap_or(limit.floor),
        }
    }

    /// This patch with a closer one upon it.
    fn overlaid(&self, closer: &Self) -> Self {
        Self {
            percent: closer.percent.or(self.percent),
            count: closer.count.or(self.count),
            floor: closer.floor.or(self.floor),
        }
    }
}

impl Limits {
    fn overlay(&mut self, patch: &LimitsPatch) {
        for (label, closer) in &patch.labels {
            if label.as_str() == "default" {
                self.default = closer.applied_to(self.default);
            } else {
                let known = self.labels.entry(label.clone()).or_default();
                *known = known.overlaid(closer);
            }
        }
    }
}

impl Policy {
    /// This policy with a configuration upon it. Call it with the host's guard, then the
    /// connector's.
    #[must_use]
    pub fn overlaid(mut self, patch: &PolicyPatch) -> Self {
        self.first_sync = patch.first_sync.unwrap_or(self.first_sync);
        self.on_incomplete = patch.on_incomplete.unwrap_or(self.on_incomplete);
        self.recover = patch.recover.unwrap_or(self.recover);
        self.on_suspicion = patch.on_suspicion.unwrap_or(self.on_suspicion);
        if let Some(patch) = &patch.release {
            self.release = self.release.overlaid(patch);
        }
        let governed = patch.governs.iter().flatten().map(|it| it.risk()).max();
        self.risk = patch.risk.or(governed).unwrap_or(self.risk);
        self.governs = patch.governs.clone().unwrap_or(self.governs);
        let limits = [
            (&mut self.removed, &patch.removed),
            (&mut self.added, &patch.added),
            (&mut self.modified, &patch.modified),
        ];
        for (limits, patch) in limits {
            if let Some(patch) = patch {
                limits.overlay(patch);
            }
        }
        if let Some(patch) = &patch.removed_in_scope {
            self.removed_in_scope = self.removed_in_scope.overlaid(patch);
        }
        let day = patch.removed_24h_percent.map(|it| Budget::percent(BUDGET_DEFAULT, it));
        for budget in day.iter().chain(patch.budget.iter().flatten()) {
            self.budgets.retain(|known| !known.replaces(budget));
            self.budgets.push(budget.clone());
        }
        if let Some(patch) = &patch.privileged {
            self.privileged = PrivilegedLimit {
                count: patch.count.unwrap_or(self.privileged.count),
                percent: patch.percent.unwrap_or(self.privileged.percent),
            };
        }
        self.dangling_percent = patch.dangling_percent.unwrap_or(self.dangling_percent);
        let required = patch.schema.as_ref().and_then(|schema| schema.required.as_ref());
        extend(&mut self.required, required);
        extend(&mut self.protected, patch.protected.as_ref());
        if let Some(patch) = &patch.lookup {
            self.lookup = self.lookup.overlaid(patch);
        }
        self.removals_verified = patch.removals_verified.unwrap_or(self.removals_verified);
        if let Some(patch) = &patch.reread {
            self.reread = self.reread.overlaid(patch);
        }
        if let Some(patch) = patch.shape {
            self.shape = self.shape.overlaid(patch);
        }
        self.grace = patch.grace.unwrap_or(self.grace);
        extend(&mut self.protected_where, patch.protected_where.as_ref());
        extend(&mut self.privileged_entitlements, patch.privileged_entitlements.as_ref());
        extend(&mut self.privileged_where, patch.privileged_where.as_ref());
        for (name, exemption) in patch.exemption.iter().flatten() {
            self.exemptions.entry(name.clone()).or_insert_with(|| exemption.clone());
        }
        for (name, rule) in patch.rule.iter().flatten() {
            self.rules.entry(name.clone()).or_insert_with(|| rule.clone());
        }
        self.freshness = patch.freshness.unwrap_or(self.freshness);
        self
    }
}

fn extend<T: Clone + PartialEq>(known: &mut Vec<T>, more: Option<&Vec<T>>) {
    for item in more.into_iter().flatten() {
        if !known.contains(item) {
            known.push(item.clone());
        }
    }
}
