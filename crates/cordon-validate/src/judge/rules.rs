//! Do the operators' own rules hold?
//!
//! What each rule selects was counted record by record before; here the count meets what the rule
//! allows. A rule without a count was not evaluated, which is as bad as one that cannot be.

use cordon_model::{Finding, Severity};

use super::Case;
use super::findings::{Findings, Noticed};
use crate::policy::{OperatorRule, RuleAction, RuleName, Watched};
use crate::words::{count, share, shown};
use crate::{RuleCount, codes};

/// What a rule says of what it found in one sync, apart from all other checks.
pub fn rule_findings(name: &RuleName, rule: &OperatorRule, found: &RuleCount) -> Vec<Finding> {
    let mut findings = Findings::default();
    told(name, rule, found, &mut findings);
    findings.into_list()
}

pub(super) fn check(case: Case<'_>, findings: &mut Findings) {
    let rules = case.policy.counted_rules();
    for (name, rule) in &rules {
        // On a first sync everything is new; a rule on changes has nothing to say.
        if rule.on.watched != Watched::Current && case.last_good.is_none() {
            continue;
        }
        match case.history.rules.get(name) {
            None => unmet(name, rule, "it was not evaluated", findings),
            Some(found) => told(name, rule, found, findings),
        }
    }
}

fn told(name: &RuleName, rule: &OperatorRule, found: &RuleCount, findings: &mut Findings) {
    match found {
        RuleCount { unmet: Some(why), .. } => unmet(name, rule, why, findings),
        RuleCount { passed_over: true, .. } if rule.where_it_fits => {}
        found => weigh(name, rule, found, findings),
    }
}

fn severity(rule: &OperatorRule) -> Severity {
    match rule.action {
        RuleAction::Warn => Severity::Warning,
        RuleAction::Quarantine => Severity::Quarantine,
    }
}

fn unmet(name: &RuleName, rule: &OperatorRule, why: &str, findings: &mut Findings) {
    let message = format!("rule {name} cannot be evaluated: {}", shown(why));
    findings.add(Noticed::new(&codes::RULE_UNMET, severity(rule), name.as_str(), message));
}

fn weigh(name: &RuleName, rule: &OperatorRule, found: &RuleCount, findings: &mut Findings) {
    let told = rule.message.as_ref().map_or_else(String::new, |text| format!(": {}", shown(text)));
    let of = |number: u64| match rule.on.watched {
        Watched::Current => format!("of {}", count(number)),
        _ => format!("of {} before", count(number)),
    };
    if let Some(limit) = rule.most.filter(|limit| limit.is_broken_by(found.matched, found.of)) {
        let message = format!(
            "rule {name}: {} {} ({}), limit {limit}{told}; it counts {}",
            rule.counted(found.matched),
            of(found.of),
            share(found.matched, found.of),
            rule.subject(),
        );
        let code = if name.protects() { &codes::PROTECTED_REMOVED } else { &codes::RULE_BROKEN };
        findings.add(
            Noticed::new(code, severity(rule), name.as_str(), message)
                .measured(found.matched, limit.most(found.of))
                .examples(&found.examples),
        );
    }
    if let Some(least) = rule.least.filter(|least| found.matched < *least) {
        let message = format!(
            "rule {name}: {} {}, at least {} demanded{told}; it counts {}",
            rule.counted(found.matched),
            of(found.of),
            count(least),
            rule.subject(),
        );
        findings.add(
            Noticed::new(&codes::RULE_TOO_FEW, severity(rule), name.as_str(), message)
                .measured(found.matched, Some(least))
                .examples(&found.examples),
        );
    }
}
