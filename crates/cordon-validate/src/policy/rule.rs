//! Rules that operators write: which records, and how many of them are tolerated.
//!
//! A rule knows neither the records nor the connector: what it selects is counted by
//! [`crate::RuleCounter`], what the count means is decided by the judge. So a rule can be tried on
//! any stored snapshot.

use std::fmt;

use cordon_model::{AttributeName, ChangeOp, RecordKind, RecordType, TypeName};
use serde::{Deserialize, Serialize};

use super::condition::{Condition, Seen};
use super::{Limit, LimitPatch};
use crate::words::{counted, plural};

/// Characters of a name, and of a message, at most.
const NAME_CHARS_MAX: usize = 63;
const MESSAGE_CHARS_MAX: usize = 200;
/// Rules of one policy, at most.
pub const RULES_MAX: usize = 64;

/// Names a rule or an exemption: 1 to 63 of a-z, 0-9 and -.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuleName(String);

/// Why a text is no name of a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name: 1 to {NAME_CHARS_MAX} of a-z, 0-9 and -, beginning with a letter")]
pub struct RuleNameError(String);

impl RuleName {
    /// Names what a policy demands beside its rules. No operator can write such a name.
    pub(super) fn derived(what: &str, place: usize) -> Self {
        Self(format!("{what}.{}", place + 1))
    }

    /// Whether it is the protection of records by what they are like.
    pub(crate) fn protects(&self) -> bool {
        self.0.starts_with("protected.")
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RuleName {
    type Error = RuleNameError;

    fn try_from(text: String) -> Result<Self, RuleNameError> {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
        if begins && text.len() <= NAME_CHARS_MAX && text.bytes().all(known) {
            Ok(Self(text))
        } else {
            Err(RuleNameError(text.chars().take(80).collect()))
        }
    }
}

impl From<RuleName> for String {
    fn from(name: RuleName) -> String {
        name.0
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Which records a rule looks at, by what happened to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// Those that are new.
    Added,
    /// Those that are gone.
    Removed,
    /// Those with other values.
    Changed,
    /// All that there are now.
    Current,
}

impl Watched {
    const ALL: [(&'static str, Self); 4] = [
        ("added", Self::Added),
        ("removed", Self::Removed),
        ("changed", Self::Changed),
        ("current", Self::Current),
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, watched)| *watched == self).map_or("", |(word, _)| word)
    }

    /// Whether it is this change that is looked at.
    pub(crate) fn is(self, op: ChangeOp) -> bool {
        match self {
            Self::Added => op == ChangeOp::Added,
            Self::Removed => op == ChangeOp::Removed,
            Self::Changed => op == ChangeOp::Modified,
            Self::Current => false,
        }
    }
}

/// Which kinds and types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// All of them.
    Any,
    /// Those with a label: a type of resource, `entitlement` or `grant`.
    Label(TypeName),
    /// One kind and type, such as `grant.service`.
    Type(RecordType),
}

impl Target {
    /// Whether records of a kind and type are meant.
    pub fn takes(&self, record_type: &RecordType) -> bool {
        match self {
            Self::Any => true,
            Self::Label(label) => record_type.label() == label.as_str(),
            Self::Type(wanted) => record_type == wanted,
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        match TypeName::new(text) {
            Ok(label) => Some(Self::Label(label)),
            Err(_) => RecordType::try_from(text.to_owned()).ok().map(Self::Type),
        }
    }

    /// What its records are called, one of them.
    fn word(&self) -> &str {
        match self {
            Self::Any => "record",
            Self::Label(label) => label.as_str(),
            Self::Type(record_type) if record_type.kind == RecordKind::Resource => {
                record_type.name.as_str()
            }
            Self::Type(record_type) => record_type.label(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Label(label) => label.fmt(f),
            Self::Type(record_type) => record_type.fmt(f),
        }
    }
}

/// What a rule looks at, written `added.grant`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct On {
    /// What happened to the records.
    pub watched: Watched,
    /// Which they are.
    pub target: Target,
}

/// Why a text says nothing that a rule can look at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not added, removed, changed or current, a dot, and a type such as user, grant, \
     grant.service or *"
)]
pub struct OnError(String);

impl TryFrom<String> for On {
    type Error = OnError;

    fn try_from(text: String) -> Result<Self, OnError> {
        let read = || {
            let (word, of) = text.split_once('.')?;
            let watched = Watched::ALL.iter().find(|(known, _)| *known == word)?.1;
            Some(Self { watched, target: Target::parse(of)? })
        };
        read().ok_or_else(|| OnError(text.chars().take(80).collect()))
    }
}

impl From<On> for String {
    fn from(on: On) -> String {
        on.to_string()
    }
}

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.watched.as_str(), self.target)
    }
}

/// What a broken rule does to its sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleAction {
    /// It is told.
    Warn,
    /// The sync waits for a person.
    Quarantine,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct OperatorRule {
    /// What it looks at.
    pub on: On,
    /// What a record has to be like to count; none = any.
    pub condition: Option<Condition>,
    /// What a record must not be like.
    pub unless: Option<Condition>,
    /// What a changed record has to have been like before.
    pub was: Option<Condition>,
    /// How many may count; none = as many as there are.
    pub most: Option<Limit>,
    /// How many have to count.
    pub least: Option<u64>,
    /// What happens otherwise.
    pub action: RuleAction,
    /// What people are told.
    pub message: Option<String>,
    /// A connector without such types or attributes is passed over, as by the rules of a host.
    pub where_it_fits: bool,
}

/// A rule as it is written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a rule such as { on = \"added.grant\", allow = { count = 5 } }"
)]
struct Written {
    on: On,
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    condition: Option<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unless: Option<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<Condition>,
    #[serde(default)]
    allow: Allowed,
    #[serde(default = "quarantine")]
    action: RuleAction,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    where_it_fits: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { count = 5 }")]
struct Allowed {
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<super::Percent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    least: Option<u64>,
}

fn quarantine() -> RuleAction {
    RuleAction::Quarantine
}

/// Why a rule says nothing that holds together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorRuleError {
    /// Only what changed was something else before.
    #[error("`was` and `changed` are for rules on `changed`, not on `{on}`")]
    NothingBefore {
        /// What it looks at.
        on: On,
    },
    /// Only what there is has to be so many.
    #[error("`least` is for rules on `current`, not on `{on}`")]
    LeastOfChanges {
        /// What it looks at.
        on: On,
    },
    /// A floor without a percentage limits nothing.
    #[error("`floor` goes with `percent`: it is what may happen whatever the share")]
    FloorAlone,
    /// The message is too long, or more than a line.
    #[error("a message is one line of 1 to {MESSAGE_CHARS_MAX} characters")]
    Message,
}

impl TryFrom<Written> for OperatorRule {
    type Error = OperatorRuleError;

    fn try_from(written: Written) -> Result<Self, OperatorRuleError> {
        let Written { on, condition, unless, was, allow, action, message, where_it_fits } = written;
        let asks = |condition: &Option<Condition>| {
            condition.as_ref().is_some_and(Condition::asks_for_change)
        };
        let of_change = was.is_some() || asks(&condition) || asks(&unless);
        if (of_change && on.watched != Watched::Changed) || asks(&was) {
            return Err(OperatorRuleError::NothingBefore { on });
        }
        if allow.least.is_some() && on.watched != Watched::Current {
            return Err(OperatorRuleError::LeastOfChanges { on });
        }
        if allow.floor.is_some() && allow.percent.is_none() {
            return Err(OperatorRuleError::FloorAlone);
        }
        let told = |text: &String| {
            let length = text.chars().count();
            (1..=MESSAGE_CHARS_MAX).contains(&length) && !text.contains(char::is_control)
        };
        if message.as_ref().is_some_and(|text| !told(text)) {
            return Err(OperatorRuleError::Message);
        }
        let patch = LimitPatch { percent: allow.percent, count: allow.count, floor: allow.floor };
        let unlimited = Limit { percent: None, count: None, floor: 5 };
        let most = match (patch.percent, patch.count, allow.least) {
            (None, None, Some(_)) => None,
            (None, None, None) => Some(Limit { count: Some(0), ..unlimited }),
            _ => Some(patch.applied_to(unlimited)),
        };
        let least = allow.least;
        Ok(Self { on, condition, unless, was, most, least, action, message, where_it_fits })
    }
}

impl From<OperatorRule> for Written {
    fn from(rule: OperatorRule) -> Self {
        let OperatorRule {
            on,
            condition,
            unless,
            was,
            most,
            least,
            action,
            message,
            where_it_fits,
        } = rule;
        let percent = most.and_then(|limit| limit.percent);
        let allow = Allowed {
            percent,
            count: most.and_then(|limit| limit.count),
            floor: most.filter(|_| percent.is_some()).map(|limit| limit.floor),
            least,
        };
        Self { on, condition, unless, was, allow, action, message, where_it_fits }
    }
}

impl OperatorRule {
    /// Whether a record counts.
    pub(crate) fn counts(&self, seen: Seen<'_>) -> bool {
        let holds = |condition: &Condition| condition.holds(seen);
        let was = |condition: &Condition| {
            seen.before.is_some_and(|row| condition.holds(Seen { row, before: None, ..seen }))
        };
        self.condition.as_ref().is_none_or(holds)
            && !self.unless.as_ref().is_some_and(holds)
            && self.was.as_ref().is_none_or(was)
    }

    /// Every attribute that it names, with what it has to be like.
    pub(crate) fn tests(&self) -> impl Iterator<Item = (&AttributeName, &super::condition::Test)> {
        [&self.condition, &self.unless, &self.was].into_iter().flatten().flat_map(Condition::tests)
    }

    /// The records that it looks at, in words: `added grants where entitlement is "*admin*"`.
    pub fn subject(&self) -> String {
        let mut words = format!("{} {}", self.on.watched.as_str(), plural(self.on.target.word()));
        for (link, condition) in
            [("where", &self.condition), ("that were", &self.was), ("unless", &self.unless)]
        {
            if let Some(condition) = condition {
                words += &format!(" {link} {condition}");
            }
        }
        words
    }

    /// So many of the records that it looks at.
    pub(crate) fn counted(&self, number: u64) -> String {
        counted(number, self.on.target.word())
    }

    /// What it demands, in words.
    pub fn demand(&self) -> String {
        let most = self.most.map(|limit| format!("at most {limit}"));
        let least = self.least.map(|least| format!("at least {}", crate::words::count(least)));
        let limits: Vec<String> = [least, most].into_iter().flatten().collect();
        let action = match self.action {
            RuleAction::Warn => "warn",
            RuleAction::Quarantine => "quarantine",
        };
        format!("{}, else {action}", limits.join(" and "))
    }
}
