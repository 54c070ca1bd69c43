//! What becomes of a suspicious sync, and who may release what waits: how many people, of which
//! groups, and for how long the word of one stands while a second is missing.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{OnSuspicion, Policy, Risk, TimeSpan};

/// Characters of a group's name, at most.
const GROUP_CHARS_MAX: usize = 64;

/// What a release needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRule {
    /// How many people; none = as the risk asks for, see [`Policy::release_people`].
    pub people: Option<People>,
    /// How long a release waits for its second person before it lapses.
    pub expires: TimeSpan,
    /// The groups of which every one of them is a member of at least one; empty = whoever may give
    /// orders at all.
    pub by: Vec<Group>,
    /// From these risks on others: what the highest says that the connector reaches counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub at: BTreeMap<Risk, ReleaseAtRisk>,
}

/// Who may release from a risk on. What is absent is as at lower risk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { people = 2, by = [\"iam-leads\"] }")]
pub struct ReleaseAtRisk {
    /// See [`ReleaseRule::people`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<People>,
    /// See [`ReleaseRule::by`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Vec<Group>>,
}

impl Default for ReleaseRule {
    fn default() -> Self {
        Self { people: None, expires: TimeSpan::hours(8), by: Vec::new(), at: BTreeMap::new() }
    }
}

/// What a configuration says of releases. What is absent stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { people = 2, expires = \"8h\" }")]
pub struct ReleasePatch {
    /// See [`ReleaseRule::people`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<People>,
    /// See [`ReleaseRule::expires`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<TimeSpan>,
    /// See [`ReleaseRule::by`]. Takes the place of the groups before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Vec<Group>>,
    /// See [`ReleaseRule::at`]. Takes the place of the risks before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<BTreeMap<Risk, ReleaseAtRisk>>,
}

impl ReleaseRule {
    /// This rule with a configuration upon it. What that says of who releases holds whatever was said
    /// before of its risk.
    pub(super) fn overlaid(&self, patch: &ReleasePatch) -> Self {
        let says_who = patch.people.is_some() || patch.by.is_some();
        let before = || if says_who { BTreeMap::new() } else { self.at.clone() };
        Self {
            at: patch.at.clone().unwrap_or_else(before),
            people: patch.people.or(self.people),
            expires: patch.expires.unwrap_or(self.expires),
            by: patch.by.clone().unwrap_or_else(|| self.by.clone()),
        }
    }
}

impl Policy {
    /// Whether suspicious removals wait alone while the rest of their sync passes. Where much is at
    /// stake everything waits, whatever is configured.
    pub fn holds_removals_alone(&self) -> bool {
        self.on_suspicion == OnSuspicion::HoldRemovals && !self.high_risk()
    }

    /// How many people a release needs: what is configured, for the risk or for all, else two at
    /// critical risk and one below.
    pub fn release_people(&self) -> u8 {
        match self.at_risk(|at| at.people).or(self.release.people) {
            Some(People::One) => 1,
            Some(People::Two) => 2,
            None if self.risk >= Risk::Critical => 2,
            None => 1,
        }
    }

    /// The groups of which each who releases is a member of at least one; empty = whoever may give
    /// orders at all.
    pub fn release_by(&self) -> &[Group] {
        self.at_risk(|at| at.by.as_deref()).unwrap_or(&self.release.by)
    }

    /// What is said for the highest risk that this connector reaches.
    fn at_risk<'a, T>(&'a self, of: impl Fn(&'a ReleaseAtRisk) -> Option<T>) -> Option<T> {
        self.release.at.range(..=self.risk).rev().find_map(|(_, at)| of(at))
    }
}

/// How many people a release needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub enum People {
    /// One.
    One,
    /// A second one has to agree.
    Two,
}

/// Why a number of people is none that a release can need.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a release needs 1 person or 2, not {0}")]
pub struct PeopleError(u64);

impl TryFrom<u64> for People {
    type Error = PeopleError;

    fn try_from(number: u64) -> Result<Self, PeopleError> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            other => Err(PeopleError(other)),
        }
    }
}

impl From<People> for u64 {
    fn from(people: People) -> u64 {
        match people {
            People::One => 1,
            People::Two => 2,
        }
    }
}

/// The name of a group of this host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Group(String);

/// Why a text names no group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a group: 1 to {GROUP_CHARS_MAX} characters, no space, colon or comma")]
pub struct GroupError(String);

impl Group {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Group {
    type Error = GroupError;

    fn try_from(text: String) -> Result<Self, GroupError> {
        let length = text.chars().count();
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | ',');
        if (1..=GROUP_CHARS_MAX).contains(&length) && !text.chars().any(odd) {
            Ok(Self(text))
        } else {
            Err(GroupError(text.chars().take(80).collect()))
        }
    }
}

impl From<Group> for String {
    fn from(group: Group) -> String {
        group.0
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> Group {
        Group::try_from(name.to_owned()).unwrap()
    }

    fn patch(people: Option<People>, by: &[&str]) -> ReleasePatch {
        let by = (!by.is_empty()).then(|| by.iter().map(|name| group(name)).collect());
        ReleasePatch { people, by, ..ReleasePatch::default() }
    }

    /// How many, and of which groups, at each risk from low on.
    fn who(rule: &ReleaseRule) -> [String; 4] {
        [Risk::Low, Risk::Medium, Risk::High, Risk::Critical].map(|risk| {
            let policy = Policy { risk, release: rule.clone(), ..Policy::default() };
            let by: Vec<&str> = policy.release_by().iter().map(Group::as_str).collect();
            format!("{} {}", policy.release_people(), by.join(" ")).trim().to_owned()
        })
    }

    #[test]
    fn who_releases_is_said_for_each_risk_and_holds_from_there_on() {
        let host = ReleasePatch {
            at: Some(BTreeMap::from([
                (Risk::Medium, ReleaseAtRisk { people: None, by: Some(vec![group("iam")]) }),
                (Risk::High, ReleaseAtRisk { people: Some(People::Two), by: None }),
                (Risk::Critical, ReleaseAtRisk { people: None, by: Some(vec![group("leads")]) }),
            ])),
            ..ReleasePatch::default()
        };
        let rule = ReleaseRule::default().overlaid(&host);
        let expected = ["1", "1 iam", "2 iam", "2 leads"];
        assert_eq!(who(&rule), expected);
        // What a connector says of itself holds whatever the host says of its risk.
        let own = rule.overlaid(&patch(Some(People::One), &["hr"]));
        assert_eq!(who(&own), ["1 hr"; 4]);
        let expires = ReleasePatch { expires: Some(TimeSpan::hours(1)), ..Default::default() };
        assert_eq!(who(&rule.overlaid(&expires)), expected);
    }
}
