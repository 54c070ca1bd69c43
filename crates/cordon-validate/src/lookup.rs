//! The source's word on the records that a sync misses, and what that word is worth.
//!
//! A truncated read and a mass departure both arrive as missing records, and no count tells them
//! apart. The source can: asked for one record, it has no page to lose. So the supervisor asks for
//! the missing ones, all or a [sample](sample_size) chosen by the candidate's digest, and the judge
//! weighs the answers. An answer is believed only from a source that passes two controls asked in the
//! same breath: it must know records that it reported a moment ago (a right that was revoked denies
//! everything), and must not know records that were made up (a connector that says yes to all).
//!
//! Absent on purpose: asking. Nothing here knows a connector or a clock.

use cordon_model::{Finding, Outcome, RecordType, Severity};
use serde::{Deserialize, Serialize};

use crate::words::count;
use crate::{Examples, LookUpWhen, Percent, Policy, Verdict, codes};

mod choice;
mod sample;

pub use choice::Choice;
pub use sample::{questions, sample_size};

/// Records of one type that are asked for although the candidate holds them, at most.
pub const CONTROLS_MAX: u64 = 5;

/// What the source said of the records that a candidate misses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// The digest of the candidate whose missing records were asked for; it chose the sample.
    pub digest: String,
    /// How sure a sample has to be that at least 99 of 100 missing records are gone.
    pub confidence: Percent,
    /// A type at a time, each that misses records.
    pub types: Vec<Answers>,
    /// Why not everything was asked or answered; none when it was.
    pub trouble: Option<String>,
}

/// What the source said of the missing records of one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// Their kind and type.
    pub record_type: RecordType,
    /// Records that the candidate misses.
    pub missing: u64,
    /// How many of them were to be asked for.
    pub asked: u64,
    /// The source has these.
    pub present: u64,
    /// The source does not have these.
    pub absent: u64,
    /// Records of the candidate that were asked for, too.
    pub known: u64,
    /// The source has these, as it should.
    pub known_present: u64,
    /// Whether the source claims to hold a record that was made up.
    pub invented_present: bool,
    /// A few of those that the source has.
    pub present_examples: Examples,
    /// A few of those that it does not have.
    pub absent_examples: Examples,
}

/// What the answers say of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conclusion {
    /// The source has records that the sync misses: it was not read to its end.
    StillThere,
    /// The source has none of those that were asked for, and enough were.
    Gone,
    /// The answers show neither, and why.
    Unclear(String),
}

impl Answers {
    /// What these answers show.
    pub fn conclusion(&self, confidence: Percent) -> Conclusion {
        let unclear = |why: String| Conclusion::Unclear(why);
        if self.invented_present {
            return unclear("it also claims to hold a record that was made up".to_owned());
        }
        if self.present > 0 {
            return Conclusion::StillThere;
        }
        if self.asked == 0 {
            return unclear("none was asked for".to_owned());
        }
        let unknown = self.asked.saturating_sub(self.absent);
        if unknown > 0 {
            return unclear(format!("{} of {} have no answer", count(unknown), count(self.asked)));
        }
        if self.known == 0 {
            return unclear("no record of that type is left to test its answers with".to_owned());
        }
        if self.known_present < self.known {
            return unclear(format!(
                "it does not know {} of {} that it has just reported",
                count(self.known - self.known_present),
                count(self.known)
            ));
        }
        if self.asked < sample_size(self.missing, confidence) {
            return unclear(format!(
                "{} are too few for {confidence} confidence",
                count(self.asked)
            ));
        }
        Conclusion::Gone
    }
}

impl Lookup {
    /// Whether the source has records that the sync misses.
    pub fn is_still_there(&self) -> bool {
        self.conclusions().any(|(_, conclusion)| conclusion == Conclusion::StillThere)
    }

    /// Whether the source confirms all that is missing, of each type.
    pub fn is_gone(&self) -> bool {
        !self.types.is_empty()
            && self.trouble.is_none()
            && self.conclusions().all(|(_, conclusion)| conclusion == Conclusion::Gone)
    }

    pub(crate) fn conclusions(&self) -> impl Iterator<Item = (&Answers, Conclusion)> {
        self.types.iter().map(|answers| (answers, answers.conclusion(self.confidence)))
    }
}

/// The codes that speak of records that are gone: those that the source's word can answer. Of limits,
/// then of statistics. Not those of protected records, of privileged grants, of changed ids and of old
/// copies: that a record is gone does not say that it may be.
const OF_REMOVALS: [&str; 10] = [
    codes::TYPE_EMPTIED.code,
    codes::SCOPE_EMPTIED.code,
    codes::REMOVED.code,
    codes::REMOVED_IN_SCOPE.code,
    codes::REMOVED_WITHIN.code,
    // More than ever, side by side in the listing, groups without members, principals without what
    // they hold, and small losses that add up.
    codes::LOSS_UNUSUAL.code,
    codes::LOSS_SHAPE.code,
    codes::LOSS_EMPTIED.code,
    codes::LOSS_ORPHANED.code,
    codes::LEAK.code,
];

/// Whether a finding speaks of records that are gone, and nothing else.
pub fn is_of_removals(finding: &Finding) -> bool {
    OF_REMOVALS.contains(&finding.code.as_str())
}

/// Whether the source should be asked before anything is decided: the verdict is suspicious, and
/// records that are gone are among the reasons; or the policy asks whenever any are.
pub fn asks_the_source(verdict: &Verdict, removed: u64, policy: &Policy) -> bool {
    let is_odd = |finding: &&Finding| finding.severity >= Severity::Warning;
    let suspects = verdict.findings.iter().filter(is_odd).any(is_of_removals);
    let wanted = suspects || policy.lookup.when == LookUpWhen::Always;
    removed > 0 && wanted && verdict.outcome != Outcome::Rejected
}
