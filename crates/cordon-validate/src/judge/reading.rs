//! Is this reading unusual, and what does it say of the one before?
//!
//! A statistic that is unusual, but not so much that it holds the sync, makes it wait for a second
//! reading. What that brings is judged by itself; that both brought the same makes the unusual a
//! change of the source.

use cordon_model::Severity;

use super::Case;
use super::findings::{Findings, Noticed};
use crate::codes;
use crate::reading::{Earlier, REREADS_MAX};

pub(super) fn check(case: Case<'_>, findings: &mut Findings) {
    let most = u64::from(case.policy.reread.times).min(REREADS_MAX);
    let is_unusual = findings.any(codes::is_suspicion)
        && !findings.any(|finding| finding.severity >= Severity::Quarantine);
    match &case.history.earlier {
        Some(earlier) if earlier.is_same => same(earlier, findings),
        Some(earlier) => {
            differed(earlier, findings);
            if is_unusual {
                if earlier.times < most {
                    unusual(findings)
                } else {
                    never_twice(earlier, findings)
                }
            }
        }
        None if is_unusual && most > 0 => unusual(findings),
        None => {}
    }
}

fn unusual(findings: &mut Findings) {
    let message = "unusual, though nothing holds it: the source is read once more first".to_owned();
    findings.add(Noticed::new(&codes::UNUSUAL_ONCE, Severity::Quarantine, "", message));
}

fn same(earlier: &Earlier, findings: &mut Findings) {
    let message = format!(
        "read again after sync {}: it brought the same, so it is no fault of one reading",
        earlier.sync
    );
    findings.add(
        Noticed::new(&codes::SAME_AGAIN, Severity::Info, "", message).measured(earlier.times, None),
    );
}

fn differed(earlier: &Earlier, findings: &mut Findings) {
    let message = format!(
        "read again after sync {}: it brought something else, so what that one brought did not last",
        earlier.sync
    );
    findings.add(
        Noticed::new(&codes::DIFFERED, Severity::Info, "", message).measured(earlier.times, None),
    );
}

fn never_twice(earlier: &Earlier, findings: &mut Findings) {
    let message = format!(
        "{} readings, each unusual in another way: the source does not say the same twice",
        earlier.times + 1
    );
    findings.add(
        Noticed::new(&codes::NEVER_TWICE, Severity::Quarantine, "", message)
            .measured(earlier.times, None),
    );
}

#[cfg(test)]
mod tests {
    use cordon_model::{ConnectorName, Finding, SyncNumber};

    use super::*;
    use crate::{Candidate, Census, History, Policy};

    /// Judges readings that the statistics find unusual, after that earlier one.
    fn check(earlier: Option<Earlier>, times: u32, severity: Severity) -> Vec<Finding> {
        let candidate = Candidate {
            connector: ConnectorName::new("hr").unwrap(),
            sync: SyncNumber(3),
            digest: String::new(),
            against: None,
            census: Census::default(),
            delta: None,
            defects: Vec::new(),
            step: None,
            pending: None,
        };
        let history = History { earlier, ..History::default() };
        let mut policy = Policy::default();
        policy.reread.times = times;
        let case =
            Case { last_good: None, candidate: &candidate, history: &history, policy: &policy };
        let rule = codes::Rule { code: "CRD-D500", meaning: "", action: "" };
        let mut findings = Findings::default();
        let rule: &'static codes::Rule = Box::leak(Box::new(rule));
        findings.add(Noticed::new(rule, severity, "", "odd".to_owned()));
        super::check(case, &mut findings);
        findings.into_list()
    }

    fn codes_of(earlier: Option<(bool, u64)>, times: u32) -> Vec<String> {
        let earlier = earlier.map(|(is_same, times)| Earlier {
            sync: SyncNumber(2),
            is_same,
            times,
            was_only_unusual: true,
        });
        let findings = check(earlier, times, Severity::Warning).into_iter().skip(1);
        findings.map(|finding| format!("{} {}", finding.severity, finding.code)).collect()
    }

    #[test]
    fn what_is_unusual_waits_for_a_second_reading_and_passes_when_that_says_the_same() {
        assert_eq!(codes_of(None, 1), ["quarantine CRD-V301"]);
        assert_eq!(codes_of(Some((true, 1)), 1), ["info CRD-V303"]);
        assert!(codes_of(None, 0).is_empty(), "the policy reads nothing again");
    }

    #[test]
    fn a_source_that_never_says_the_same_twice_waits_for_a_person() {
        assert_eq!(codes_of(Some((false, 1)), 2), ["info CRD-V302", "quarantine CRD-V301"]);
        assert_eq!(codes_of(Some((false, 2)), 2), ["info CRD-V302", "quarantine CRD-V304"]);
    }

    #[test]
    fn what_is_held_already_is_not_held_for_a_second_reading() {
        assert_eq!(check(None, 1, Severity::Quarantine).len(), 1);
    }
}
