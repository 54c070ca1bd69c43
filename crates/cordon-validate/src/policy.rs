//! A connector's policy: how large a step may be taken unattended.
//!
//! `Policy::default()` is what holds when nobody configured anything. A configuration says only what
//! differs, as a [`PolicyPatch`]: the host's `[guard]` first, then the connector's own, field by
//! field. Percent, count and floor stand together because percent alone is blind on large sources and
//! jumpy on small ones.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use cordon_model::{AttributeName, TypeName};
use serde::{Deserialize, Serialize};

use crate::words::count as thousands;

mod asking;
mod budget;
mod condition;
mod describe;
mod exemption;
mod glob;
mod governs;
mod grace;
mod marks;
mod named;
mod patch;
mod percent;
mod release;
mod rule;
mod shape;
mod span;

mod weakened;

pub use asking::{LookUpWhen, Lookups, LookupsPatch, RemovalsVerified, Reread, RereadPatch};
pub use budget::{BUDGET_DEFAULT, BUDGETS_MAX, Budget};
pub use condition::Condition;
pub(crate) use condition::Seen;
pub use exemption::{
    EXEMPTIONS_MAX, ExemptCode, ExemptCodeError, Exemption, Until, UntilError, Words, WordsError,
};
pub use glob::{KeyGlob, KeyGlobError};
pub use governs::Governs;
pub use grace::Grace;
pub use marks::{Marked, MarkedTarget, MarkedTargetError};
pub use named::{Misnamed, Named};
pub use patch::{LimitPatch, LimitsPatch, PolicyPatch, PrivilegedPatch, SchemaPatch};
pub use percent::{Percent, PercentError};
pub use release::{
    Group, GroupError, People, PeopleError, ReleaseAtRisk, ReleasePatch, ReleaseRule,
};
pub use rule::{
    On, OnError, OperatorRule, OperatorRuleError, RULES_MAX, RuleAction, RuleName, RuleNameError,
    Target, Watched,
};
pub use shape::{Shape, ShapePatch, Switch, Thresholds, Unusual, UnusualError};
pub use span::{TimeSpan, TimeSpanError};
pub use weakened::Weakening;

/// Records below which a percentage says nothing, so that only absolute limits count.
pub const PERCENT_RECORDS_MIN: u64 = 20;

/// What a step may do unattended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// What a connector's first sync needs.
    pub first_sync: FirstSync,
    /// What becomes of a sync with scopes that were not read to their end.
    pub on_incomplete: OnIncomplete,
    /// Whether a clean sync ends a quarantine by itself.
    pub recover: Recover,
    /// What becomes of the rest of a sync whose removals are suspicious.
    pub on_suspicion: OnSuspicion,
    /// Who may release what waits.
    pub release: ReleaseRule,
    /// What its data decides about; the risk follows from it where none is configured.
    pub governs: Vec<Governs>,
    /// What is at stake when this connector's data is wrong.
    pub risk: Risk,
    /// Removals of a type.
    pub removed: Limits,
    /// Additions of a type.
    pub added: Limits,
    /// Modifications of a type.
    pub modified: Limits,
    /// Removals within one scope: what differs from the limit of its records' label, or from the
    /// default where a scope holds several labels.
    pub removed_in_scope: LimitPatch,
    /// Removals of a type over hours and days, this sync's included.
    pub budgets: Vec<Budget>,
    /// Privileged grants that appear or vanish at once.
    pub privileged: PrivilegedLimit,
    /// References that point at nothing.
    pub dangling_percent: Percent,
    /// Attributes that every record of a label has, beside those announced as required.
    pub required: Vec<RequiredAttribute>,
    /// Records that are never removed unattended, by key.
    pub protected: Vec<KeyGlob>,
    /// How the source is asked for records that a suspicious sync misses.
    pub lookup: Lookups,
    /// What its confirmation is worth.
    pub removals_verified: RemovalsVerified,
    /// When a suspicious source is read once more.
    pub reread: Reread,
    /// How unusual the shape of a step may be.
    pub shape: Shape,
    /// How long a removal that was accepted can be taken back by the source. It has no part in
    /// verdicts: what is pending was accepted.
    pub grace: Grace,
    /// Records that are never removed unattended, by what they are like.
    pub protected_where: Vec<Marked>,
    /// Entitlements that are privileged whatever their connector says, by id.
    pub privileged_entitlements: Vec<KeyGlob>,
    /// The same by what they are like.
    pub privileged_where: Vec<Marked>,
    /// Findings that somebody answers for, by name.
    pub exemptions: BTreeMap<RuleName, Exemption>,
    /// What operators demand besides, by name.
    pub rules: BTreeMap<RuleName, OperatorRule>,
    /// Age from which a last known good is stale. It has no part in verdicts: a judge has no clock.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub freshness: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        let removed = Limit { percent: Some(Percent::whole(10)), count: None, floor: 5 };
        let unlimited = Limit { percent: None, count: None, floor: 5 };
        Self {
            first_sync: FirstSync::Trust,
            on_incomplete: OnIncomplete::CarryForward,
            recover: Recover::Auto,
            on_suspicion: OnSuspicion::Quarantine,
            release: ReleaseRule::default(),
            governs: Vec::new(),
            risk: Risk::Medium,
            removed: Limits::all(removed),
            added: Limits::all(unlimited),
            modified: Limits::all(unlimited),
            removed_in_scope: LimitPatch::default(),
            budgets: vec![Budget::percent(BUDGET_DEFAULT, Percent::whole(20))],
            privileged: PrivilegedLimit { count: 3, percent: Percent::whole(5) },
            dangling_percent: Percent::whole(1),
            required: Vec::new(),
            protected: Vec::new(),
            lookup: Lookups::default(),
            removals_verified: RemovalsVerified::Note,
            reread: Reread::default(),
            shape: Shape::default(),
            grace: Grace::default(),
            protected_where: Vec::new(),
            privileged_entitlements: Vec::new(),
            privileged_where: Vec::new(),
            exemptions: BTreeMap::new(),
            rules: BTreeMap::new(),
            freshness: Duration::from_secs(6 * 3_600),
        }
    }
}

impl Policy {
    /// Whether a person must look at the first sync and at every recovery.
    pub fn high_risk(&self) -> bool {
        self.risk >= Risk::High
    }

    /// Whether it comes to the same verdicts as another, whatever is synced. What has no part in
    /// verdicts may differ: how old data may be, what becomes of what was accepted, who releases.
    pub fn judges_as(&self, other: &Self) -> bool {
        let judging = Self {
            freshness: other.freshness,
            grace: other.grace,
            release: other.release.clone(),
            ..self.clone()
        };
        judging == *other
    }

    /// Whether every record of a label must have an attribute.
    pub fn requires(&self, label: &str, attribute: &str) -> bool {
        let is = |required: &RequiredAttribute| {
            required.label.as_str() == label && required.attribute.as_str() == attribute
        };
        self.required.iter().any(is)
    }

    /// Whether the record with this key is protected.
    pub fn protects(&self, key: &str) -> bool {
        self.protected.iter().any(|glob| glob.matches(key))
    }
}

/// What a connector's first sync needs, having nothing to be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstSync {
    /// Every scope complete, and no check that objects.
    Trust,
    /// That, and a person.
    Review,
}

/// What becomes of a sync with scopes that were not read to their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnIncomplete {
    /// Their records are carried forward, the rest passes.
    CarryForward,
    /// It waits for a person.
    Quarantine,
}

/// Whether a clean sync ends a quarantine by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recover {
    /// It does, but on a high-risk connector.
    Auto,
    /// A person does.
    Review,
}

/// What becomes of the rest of a sync whose removals are suspicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnSuspicion {
    /// Everything waits for a person.
    Quarantine,
    /// Removals wait, additions and modifications pass.
    HoldRemovals,
}

/// What is at stake when a connector's data is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// Little.
    Low,
    /// The usual.
    Medium,
    /// A person looks at the first sync and at every recovery.
    High,
    /// As [`Risk::High`].
    Critical,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

/// How many records may change at once. Broken by more than `count`, or by more than `percent` of
/// the records before when that is also more than `floor`. Below [`PERCENT_RECORDS_MIN`] records the
/// percentage does not count and `floor` is an absolute limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Of the records before; none = no such limit, and no floor either.
    pub percent: Option<Percent>,
    /// Records, however many there are; none = no such limit.
    pub count: Option<u64>,
    /// Records that may change whatever their share.
    pub floor: u64,
}

impl Limit {
    /// Whether a change of so many of so many records breaks this limit.
    pub fn is_broken_by(&self, changed: u64, before: u64) -> bool {
        self.most(before).is_some_and(|most| changed > most)
    }

    /// The largest change of so many records that keeps this limit; none = any.
    pub fn most(&self, before: u64) -> Option<u64> {
        let share = self.percent.map(|percent| {
            let share = if before < PERCENT_RECORDS_MIN { 0 } else { percent.of(before) };
            share.max(self.floor)
        });
        match (share, self.count) {
            (Some(share), Some(count)) => Some(share.min(count)),
            (share, count) => share.or(count),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.count, self.percent) {
            (None, None) => f.write_str("none"),
            (Some(count), None) => write!(f, "{}", thousands(count)),
            (None, Some(percent)) => write!(f, "{percent} and more than {}", thousands(self.floor)),
            (Some(count), Some(percent)) => {
                let (count, floor) = (thousands(count), thousands(self.floor));
                write!(f, "{count}, or {percent} and more than {floor}")
            }
        }
    }
}

/// Limits by label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// For labels without a line of their own.
    pub default: Limit,
    /// What differs, by label (`user`, `grant`, ...). It wins over `default`, whichever of the two
    /// was configured closer to the connector.
    pub labels: BTreeMap<TypeName, LimitPatch>,
}

impl Limits {
    fn all(default: Limit) -> Self {
        Self { default, labels: BTreeMap::new() }
    }

    /// The limit that counts for a label.
    pub fn of(&self, label: &str) -> Limit {
        self.labels.get(label).map_or(self.default, |patch| patch.applied_to(self.default))
    }
}

/// How many privileged grants may appear or vanish at once. Broken by more than `count`, or by more
/// than `percent` of those before; of fewer than [`PERCENT_RECORDS_MIN`] only `count` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivilegedLimit {
    /// Grants, however many there are.
    pub count: u64,
    /// Of the privileged grants before.
    pub percent: Percent,
}

impl PrivilegedLimit {
    /// Whether a change of so many of so many privileged grants breaks this limit.
    pub fn is_broken_by(&self, changed: u64, before: u64) -> bool {
        changed > self.most(before)
    }

    /// The largest change of so many privileged grants that keeps this limit.
    pub fn most(&self, before: u64) -> u64 {
        if before < PERCENT_RECORDS_MIN {
            self.count
        } else {
            self.count.min(self.percent.of(before))
        }
    }
}

/// An attribute that every record of a label has; written `user.mail`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequiredAttribute {
    /// The label.
    pub label: TypeName,
    /// The attribute.
    pub attribute: AttributeName,
}

/// Why a text names no attribute of a label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a label, a dot and an attribute, such as `user.mail`")]
pub struct RequiredAttributeError {
    text: String,
}

impl TryFrom<String> for RequiredAttribute {
    type Error = RequiredAttributeError;

    fn try_from(text: String) -> Result<Self, RequiredAttributeError> {
        let parts = text.split_once('.').and_then(|(label, attribute)| {
            Some((TypeName::new(label).ok()?, AttributeName::new(attribute).ok()?))
        });
        match parts {
            Some((label, attribute)) => Ok(Self { label, attribute }),
            None => Err(RequiredAttributeError { text: text.chars().take(80).collect() }),
        }
    }
}

impl From<RequiredAttribute> for String {
    fn from(required: RequiredAttribute) -> String {
        required.to_string()
    }
}

impl fmt::Display for RequiredAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.label, self.attribute)
    }
}
