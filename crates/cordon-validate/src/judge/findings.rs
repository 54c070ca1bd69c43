//! Collects findings, few enough to be read and bounded in size whatever a connector reports.

use std::collections::{BTreeMap, BTreeSet};

use cordon_model::{Finding, Severity};
use jiff::Timestamp;

use crate::codes::Rule;
use crate::policy::{Exemption, RuleName};
use crate::words;

/// Findings of one rule and severity that are listed; the rest is summed up in one more.
pub(super) const LISTED_MAX: usize = 50;
/// Examples of a finding, at most.
const EXAMPLES_MAX: usize = 10;

/// What the checks noticed so far.
#[derive(Default)]
pub(super) struct Findings<'a> {
    exemptions: Exemptions<'a>,
    list: Vec<Finding>,
    rules: BTreeMap<(&'static str, Severity), Tally>,
}

/// What somebody answers for, and the moment at which that counts.
#[derive(Default)]
struct Exemptions<'a> {
    known: Option<&'a BTreeMap<RuleName, Exemption>>,
    at: Option<Timestamp>,
}

/// How often a rule spoke with one severity.
#[derive(Default)]
struct Tally {
    listed: usize,
    unlisted: u64,
    subjects: Vec<String>,
}

impl Tally {
    fn merge(&mut self, other: Self) {
        self.listed += other.listed;
        self.unlisted += other.unlisted;
        self.subjects.extend(other.subjects);
        self.subjects.truncate(EXAMPLES_MAX);
    }
}

/// A finding in the making.
pub(super) struct Noticed {
    rule: &'static Rule,
    finding: Finding,
}

impl Noticed {
    /// A finding without numbers.
    pub(super) fn new(
        rule: &'static Rule,
        severity: Severity,
        subject: &str,
        message: String,
    ) -> Self {
        Self { rule, finding: rule.finding(severity, &words::shown(subject), message) }
    }

    /// With what was measured, and the limit where there is one.
    pub(super) fn measured(mut self, measured: u64, limit: Option<u64>) -> Self {
        self.finding.measured = Some(measured);
        self.finding.limit = limit;
        self
    }

    /// With a few records that show it.
    pub(super) fn examples<'a>(mut self, keys: impl IntoIterator<Item = &'a String>) -> Self {
        let keys = keys.into_iter().take(EXAMPLES_MAX);
        self.finding.examples = keys.map(|key| words::shown(key)).collect();
        self
    }
}

impl<'a> Findings<'a> {
    /// With what somebody answers for at a moment.
    pub(super) fn exempting(
        known: &'a BTreeMap<RuleName, Exemption>,
        at: Option<Timestamp>,
    ) -> Self {
        Self { exemptions: Exemptions { known: Some(known), at }, ..Self::default() }
    }

    /// Adds a finding. One that somebody answers for is told and holds nothing back; what is only
    /// unusual is no warning then, either: it would have the source read again.
    pub(super) fn add(&mut self, noticed: Noticed) {
        let Noticed { rule, mut finding } = noticed;
        let is_unusual = crate::codes::is_statistic(&finding.code);
        let exempted = match finding.severity {
            Severity::Quarantine | Severity::Warning if is_unusual => Some(Severity::Info),
            Severity::Quarantine => Some(Severity::Warning),
            _ => None,
        };
        if let Some(exempted) = exempted
            && let Some((name, exemption)) = self.exemptions.of(&finding)
        {
            finding.severity = exempted;
            finding.message += &format!(
                "; exempted until {} by {} ({name}): {}",
                exemption.until,
                words::shown(exemption.owner.as_str()),
                words::shown(exemption.reason.as_str()),
            );
        }
        let tally = self.rules.entry((rule.code, finding.severity)).or_default();
        if tally.listed < LISTED_MAX {
            tally.listed += 1;
            self.list.push(finding);
            return;
        }
        tally.unlisted += 1;
        if tally.subjects.len() < EXAMPLES_MAX {
            tally.subjects.push(finding.subject);
        }
    }

    /// Whether somebody answers for a finding.
    pub(super) fn is_exempted(&self, noticed: &Noticed) -> bool {
        self.exemptions.of(&noticed.finding).is_some()
    }

    /// Whether any finding so far is such a one.
    pub(super) fn any(&self, is: impl Fn(&Finding) -> bool) -> bool {
        self.list.iter().any(is)
    }

    /// Makes warnings of what holds the sync back and is answered, and says by what. What is only
    /// unusual is no warning any more: it would have the source read again.
    pub(super) fn answer(&mut self, is_answered: impl Fn(&Finding) -> bool, by: &str) {
        let mut codes = BTreeSet::new();
        for finding in self.list.iter_mut().filter(|finding| is_answered(finding)) {
            let is_unusual = crate::codes::is_statistic(&finding.code);
            let answered = match finding.severity {
                Severity::Quarantine | Severity::Warning if is_unusual => Severity::Info,
                Severity::Quarantine => Severity::Warning,
                _ => continue,
            };
            if finding.severity == Severity::Quarantine {
                codes.insert(finding.code.clone());
            }
            finding.severity = answered;
            finding.message.push_str("; ");
            finding.message.push_str(by);
        }
        // What was too much to list is summed up under the same answer.
        let rules = std::mem::take(&mut self.rules);
        for ((code, severity), tally) in rules {
            let answered = severity == Severity::Quarantine && codes.contains(code);
            let severity = if answered { Severity::Warning } else { severity };
            self.rules.entry((code, severity)).or_default().merge(tally);
        }
    }

    /// All findings, in the order in which they were added; what was too much to list comes last.
    pub(super) fn into_list(mut self) -> Vec<Finding> {
        for ((code, severity), tally) in self.rules {
            if tally.unlisted == 0 {
                continue;
            }
            self.list.push(Finding {
                code: code.to_owned(),
                severity,
                subject: String::new(),
                message: format!(
                    "the same of {} more, {} are listed",
                    words::count(tally.unlisted),
                    tally.listed
                ),
                measured: Some(tally.unlisted),
                limit: None,
                examples: tally.subjects,
            });
        }
        self.list
    }
}

impl<'a> Exemptions<'a> {
    fn of(&self, finding: &Finding) -> Option<(&'a RuleName, &'a Exemption)> {
        let takes = |(_, exemption): &(&RuleName, &Exemption)| {
            exemption.takes(&finding.code, &finding.subject, finding.measured, self.at)
        };
        self.known?.iter().find(takes)
    }
}
