//! When only a part of a candidate passes.
//!
//! A part is content of its own, composed from the last known good and some of a candidate's changes,
//! and it is judged as such. Two things let one pass that the rest of its sync does not: a person who
//! names the changes, and a policy that lets additions and modifications flow while suspicious
//! removals are held. The first may overrule the judge's doubts, as every release may; the second
//! never does, and never lets a removal through.

use cordon_model::{Outcome, Severity};

use crate::verdict::may_release;
use crate::{
    Accepted, Agreed, Candidate, Census, History, Judged, Policy, ReleaseError, Verdict, codes,
    judge,
};

/// Makes a part of a quarantined candidate accepted on a person's word. `whole` is the verdict on the
/// candidate that was reviewed, `part` the judge's answer on what was selected of it.
pub fn release_part(
    whole: &Verdict,
    part: Judged,
    agreed: Agreed,
    current: Option<cordon_model::SyncNumber>,
) -> Result<Accepted, ReleaseError> {
    let release = agreed.into_release();
    may_release(whole, &release, current)?;
    let (verdict, sync) = (part.into_verdict(), whole.sync);
    // The judge's own answer, which nothing outside can make up: nobody can accept what is invalid.
    if verdict.outcome == Outcome::Rejected {
        let why = verdict.worst().map(|finding| finding.message.clone()).unwrap_or_default();
        return Err(ReleaseError::InvalidPart { sync, why });
    }
    if verdict.connector != whole.connector || verdict.against != whole.against {
        return Err(ReleaseError::Outrun { sync, judged: verdict.against, current });
    }
    Ok(Accepted::released(verdict, release))
}

/// Whether a quarantined candidate waits for its removals alone, so that its additions and
/// modifications may flow, if they are plausible by themselves.
pub fn holds_removals_alone(verdict: &Verdict, policy: &Policy) -> bool {
    let mut held =
        verdict.findings.iter().filter(|f| f.severity >= Severity::Quarantine).peekable();
    policy.holds_removals_alone()
        && verdict.outcome == Outcome::Quarantined
        && verdict.against.is_some()
        && held.peek().is_some()
        && held.all(|finding| {
            finding.severity == Severity::Quarantine && codes::speaks_of_removals(&finding.code)
        })
}

/// Judges what flows while removals are held. It is accepted only when it holds no removal and the
/// judge has nothing against it.
pub fn flow(
    last_good: &Census,
    part: Candidate,
    history: &History,
    policy: &Policy,
) -> Result<Accepted, Verdict> {
    // By type: the judge refuses a step whose scopes lose more or less than that.
    let removes =
        part.delta.as_ref().is_none_or(|delta| delta.types.values().any(|step| step.removed > 0));
    // What is held goes on waiting, so nothing ends a quarantine here.
    let history =
        History { quarantined: None, withheld: 0, held: 0, earlier: None, ..history.clone() };
    match judge(Some(last_good), part, &history, policy) {
        Judged::Accepted(accepted) if policy.holds_removals_alone() && !removes => Ok(accepted),
        Judged::Accepted(accepted) => Err(accepted.verdict().clone()),
        Judged::Held(held) => Err(held.into_verdict()),
    }
}
