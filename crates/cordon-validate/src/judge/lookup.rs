//! What does the source itself say of the records that are missing?
//!
//! "Present" proves that the sync was cut short, and holds it back whatever else there is. "Absent",
//! of enough records and from a source that passed its controls, answers the findings that speak of
//! removals and nothing else, and only where the policy lets it: that a record is gone does not say
//! that it may be.

use cordon_model::Severity;

use super::Case;
use super::findings::{Findings, Noticed};
use crate::lookup::{Answers, Conclusion, Lookup, is_of_removals};
use crate::words::{count, counted, plural, shown};
use crate::{Delta, codes};

pub(super) fn check(case: Case<'_>, findings: &mut Findings) {
    let (Some(lookup), Some((_, delta))) = (&case.history.lookup, case.step()) else { return };
    let speaks = speaks_of(case, lookup, delta);
    for (answers, conclusion) in lookup.conclusions() {
        match conclusion {
            Conclusion::StillThere => still_there(answers, findings),
            Conclusion::Gone if speaks => gone(lookup, answers, findings),
            Conclusion::Gone => {}
            Conclusion::Unclear(why) => unclear(answers, &why, findings),
        }
    }
    if let Some(trouble) = &lookup.trouble {
        let message = format!("the missing records could not be looked up: {}", shown(trouble));
        findings.add(Noticed::new(&codes::NOT_CONFIRMED, Severity::Warning, "", message));
    }
    if !speaks {
        let message = "the answers are not about what this sync misses".to_owned();
        findings.add(Noticed::new(&codes::NOT_CONFIRMED, Severity::Warning, "", message));
    } else if lookup.is_gone() && case.policy.accepts_verified_removals() {
        findings.answer(is_of_removals, "the source confirms that they are gone");
    }
}

/// Whether the answers are about exactly the removals of this candidate.
fn speaks_of(case: Case<'_>, lookup: &Lookup, delta: &Delta) -> bool {
    let removals = || delta.types.iter().filter(|(_, step)| step.removed > 0);
    let of = |answers: &Answers| {
        delta.types.get(&answers.record_type).is_some_and(|step| step.removed == answers.missing)
    };
    lookup.digest == case.candidate.digest
        && lookup.types.iter().all(of)
        && (lookup.trouble.is_some() || lookup.types.len() == removals().count())
}

fn still_there(answers: &Answers, findings: &mut Findings) {
    let label = answers.record_type.label();
    let message = format!(
        "{} of {} looked up {} still at the source, {} are missing here: the source was not read to \
         its end",
        count(answers.present),
        counted(answers.asked, label),
        if answers.present == 1 { "is" } else { "are" },
        count(answers.missing),
    );
    findings.add(
        Noticed::new(&codes::STILL_THERE, Severity::Quarantine, label, message)
            .measured(answers.present, Some(0))
            .examples(&answers.present_examples),
    );
}

fn gone(lookup: &Lookup, answers: &Answers, findings: &mut Findings) {
    let label = answers.record_type.label();
    let missing = counted(answers.missing, label);
    let message = if answers.asked == answers.missing {
        format!("all {missing} that are missing were looked up: the source has none of them")
    } else {
        format!(
            "{} of {missing} that are missing were looked up, chosen at random: the source has none \
             of them, so at least 99 % are gone ({} confidence)",
            count(answers.asked),
            lookup.confidence
        )
    };
    findings.add(
        Noticed::new(&codes::CONFIRMED_GONE, Severity::Info, label, message)
            .measured(answers.absent, Some(answers.asked))
            .examples(&answers.absent_examples),
    );
}

fn unclear(answers: &Answers, why: &str, findings: &mut Findings) {
    let label = answers.record_type.label();
    let message = format!(
        "the source was asked for {} of {} missing {}, and confirms nothing: {why}",
        count(answers.asked),
        count(answers.missing),
        plural(label),
    );
    findings.add(
        Noticed::new(&codes::NOT_CONFIRMED, Severity::Warning, label, message)
            .measured(answers.absent, Some(answers.asked)),
    );
}
