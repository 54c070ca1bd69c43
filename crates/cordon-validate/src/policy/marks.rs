//! Records that a policy singles out: those never removed unattended, and entitlements that it calls
//! privileged whatever their connector says.

use std::collections::BTreeMap;

use cordon_model::Row;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::condition::{Condition, Seen};
use super::{Limit, On, OperatorRule, Policy, RuleAction, RuleName, Target, Watched};

/// Records of some types that are like this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { of = \"user\", where = { break_glass = true } }"
)]
pub struct Marked {
    /// Which types.
    pub of: MarkedTarget,
    /// What a record is like.
    #[serde(rename = "where")]
    pub condition: Condition,
    /// A connector without such types or attributes is passed over, as by the marks of a host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub where_it_fits: bool,
}

/// Types that a mark speaks of: a label, one kind and type, or `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MarkedTarget(pub Target);

/// Why a text names no types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no type, such as user, resource.user or *")]
pub struct MarkedTargetError(String);

impl TryFrom<String> for MarkedTarget {
    type Error = MarkedTargetError;

    fn try_from(text: String) -> Result<Self, MarkedTargetError> {
        let target = Target::parse(&text).map(Self);
        target.ok_or_else(|| MarkedTargetError(text.chars().take(80).collect()))
    }
}

impl From<MarkedTarget> for String {
    fn from(target: MarkedTarget) -> String {
        target.0.to_string()
    }
}

impl Policy {
    /// Every rule that is counted record by record: the operators' own, one for each kind of record
    /// that is protected by what it is like, and one that only shows whether entitlements can be
    /// called privileged by what they are like.
    pub fn counted_rules(&self) -> BTreeMap<RuleName, OperatorRule> {
        let none = Limit { percent: None, count: Some(0), floor: 0 };
        let protecting = derived("protected", &self.protected_where, Watched::Removed, Some(none));
        let marking = derived("privileged", &self.privileged_where, Watched::Current, None);
        self.rules.clone().into_iter().chain(protecting).chain(marking).collect()
    }

    /// Whether some records are protected, so that each removal has to be looked at.
    pub fn guards_single_records(&self) -> bool {
        !self.protected.is_empty()
    }

    /// Whether it calls some entitlements privileged.
    pub fn marks_entitlements(&self) -> bool {
        !self.privileged_entitlements.is_empty() || !self.privileged_where.is_empty()
    }

    /// Whether it calls the entitlement with this id privileged, whatever it is like.
    pub fn marks_id(&self, id: &str) -> bool {
        self.privileged_entitlements.iter().any(|glob| glob.matches(id))
    }

    /// Whether it calls an entitlement privileged because of what it is like.
    pub fn marks(&self, entitlement: &Row, now: Timestamp) -> bool {
        let seen = Seen { row: entitlement, before: None, now };
        let is_like = |marked: &Marked| {
            marked.of.0.takes(&entitlement.record_type) && marked.condition.holds(seen)
        };
        self.privileged_where.iter().any(is_like)
    }

    /// This policy as that of a host with several connectors: what it says of single records counts
    /// where it fits.
    #[must_use]
    pub fn for_every_connector(mut self) -> Self {
        self.rules.values_mut().for_each(|rule| rule.where_it_fits = true);
        let marks = self.protected_where.iter_mut().chain(&mut self.privileged_where);
        marks.for_each(|marked| marked.where_it_fits = true);
        self
    }
}

fn derived(
    what: &'static str,
    marks: &[Marked],
    watched: Watched,
    most: Option<Limit>,
) -> impl Iterator<Item = (RuleName, OperatorRule)> {
    marks.iter().enumerate().map(move |(place, marked)| {
        let rule = OperatorRule {
            on: On { watched, target: marked.of.0.clone() },
            condition: Some(marked.condition.clone()),
            unless: None,
            was: None,
            most,
            least: None,
            action: RuleAction::Quarantine,
            message: None,
            where_it_fits: marked.where_it_fits,
        };
        (RuleName::derived(what, place), rule)
    })
}
