//! What is written down of a look-up, and read where a sync is judged once more.
//!
//! The order of the questions follows from the candidate's digest, so a letter for each answer speaks
//! of records that anybody who has both snapshots can name again.

use std::time::Duration;

use cordon_model::{RecordType, SyncNumber};
use cordon_validate::lookup::{Answers, Lookup};
use cordon_validate::{Candidate, Percent};
use serde::{Deserialize, Serialize};

use super::round::Round;
use super::{Question, conclusion};

/// The body of a record of [`LOOKED_UP`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LookedUp {
    sync: SyncNumber,
    digest: String,
    seed: String,
    confidence: Percent,
    conclusion: String,
    trouble: Option<String>,
    calls: u64,
    keys_digest: String,
    types: Vec<OfType>,
    took_ms: u64,
}

/// The kind of record in the evidence.
pub(crate) const LOOKED_UP: &str = "sync.looked-up";

#[derive(Debug, Serialize, Deserialize)]
struct OfType {
    #[serde(rename = "type")]
    record_type: RecordType,
    missing: u64,
    asked: u64,
    present: u64,
    absent: u64,
    unknown: u64,
    controls: Controls,
    answers: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Controls {
    known: u64,
    known_present: u64,
    invented_present: bool,
}

impl LookedUp {
    pub(super) fn new(
        candidate: &Candidate,
        lookup: &Lookup,
        questions: &[Question],
        round: &Round<'_>,
        took: Duration,
    ) -> Self {
        let letters = |of: &RecordType| -> String {
            let all = questions.iter().zip(&round.answers);
            let of_type = all.filter(|(question, _)| question.of == *of);
            of_type.map(|(question, answer)| question.letter(*answer)).collect()
        };
        let mut keys = blake3::Hasher::new();
        for question in questions {
            keys.update(question.name.as_bytes()).update(b"\n");
        }
        let types = lookup.types.iter().map(|answers| OfType {
            record_type: answers.record_type.clone(),
            missing: answers.missing,
            asked: answers.asked,
            present: answers.present,
            absent: answers.absent,
            unknown: answers.asked - answers.present - answers.absent,
            controls: Controls {
                known: answers.known,
                known_present: answers.known_present,
                invented_present: answers.invented_present,
            },
            answers: letters(&answers.record_type),
        });
        Self {
            sync: candidate.sync,
            digest: candidate.digest.clone(),
            seed: candidate.digest.clone(),
            confidence: lookup.confidence,
            conclusion: conclusion(lookup).to_owned(),
            trouble: lookup.trouble.clone(),
            calls: round.calls,
            keys_digest: keys.finalize().to_hex().to_string(),
            types: types.collect(),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Which sync's missing records were asked for.
    pub(crate) fn sync(&self) -> SyncNumber {
        self.sync
    }
}

impl From<LookedUp> for Lookup {
    /// What the judge is told of it; examples are not written down.
    fn from(told: LookedUp) -> Self {
        let types = told.types.into_iter().map(|of| Answers {
            record_type: of.record_type,
            missing: of.missing,
            asked: of.asked,
            present: of.present,
            absent: of.absent,
            known: of.controls.known,
            known_present: of.controls.known_present,
            invented_present: of.controls.invented_present,
            present_examples: Vec::new(),
            absent_examples: Vec::new(),
        });
        Self {
            digest: told.digest,
            confidence: told.confidence,
            types: types.collect(),
            trouble: told.trouble,
        }
    }
}
