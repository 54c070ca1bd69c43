//! The judge: every check, in order, and what comes of their findings together.
//!
//! A check looks and adds findings, it decides nothing; the worst finding decides. No check stops
//! another, so that whoever reviews a quarantine sees all that is odd about it at once.

use crate::{Candidate, Census, Delta, History, Judged, Policy};

mod change;
mod completeness;
mod findings;
mod freshness;
mod lookup;
mod pending;
mod protocol;
mod reading;
mod record;
mod references;
mod review;
mod rules;
mod shape;
mod unusual;

use findings::Findings;
pub use rules::rule_findings;

/// What every check looks at.
#[derive(Clone, Copy)]
struct Case<'a> {
    last_good: Option<&'a Census>,
    candidate: &'a Candidate,
    history: &'a History,
    policy: &'a Policy,
}

impl<'a> Case<'a> {
    /// The two censuses and the step between them; none on a first sync.
    fn step(self) -> Option<(&'a Census, &'a Delta)> {
        self.last_good.zip(self.candidate.delta.as_ref())
    }
}

/// Decides whether a candidate may replace the last known good, whose census is `last_good`; none
/// when nothing was ever accepted.
///
/// The same inputs give the same verdict. A policy that is tighter in some limit never accepts what
/// a looser one holds back.
pub fn judge(
    last_good: Option<&Census>,
    candidate: Candidate,
    history: &History,
    policy: &Policy,
) -> Judged {
    let case = Case { last_good, candidate: &candidate, history, policy };
    let mut findings = Findings::exempting(&policy.exemptions, history.judged_at);
    for check in [
        protocol::check,
        record::check,
        references::check,
        completeness::check,
        change::check,
        pending::check,
        shape::check,
        freshness::check,
        unusual::check,
        rules::check,
        // After all that speak of removals: it answers them.
        lookup::check,
        review::check,
        // Last: what is held already is not held for a second reading.
        reading::check,
    ] {
        check(case, &mut findings);
    }
    let findings = findings.into_list();
    let Candidate { connector, sync, digest, against, .. } = candidate;
    Judged::new(connector, sync, digest, against, findings)
}
