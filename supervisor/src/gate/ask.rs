//! Asks the source for the records that a suspicious sync misses, before anyone is woken.
//!
//! Whatever goes wrong here confirms nothing and accepts nothing: a source that does not answer, a
//! connector that lies, an order that comes between end in a candidate that waits as it would have
//! without. What is asked is mixed with controls and in an order that the candidate's digest gives,
//! so that an answer that does not look at its key gives itself away; see `cordon_validate::lookup`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cordon_model::{ChangeOp, RecordKind, RecordType, Row, SyncNumber, Value, columns};
use cordon_store::{ReadError, Snapshot};
use cordon_validate::lookup::{self, Answers, CONTROLS_MAX, Choice, Lookup};
use cordon_validate::{Candidate, Lookups};
use cordon_wire::v1;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Gate, GateError};
use crate::process::Process;
use crate::session::Progress;

mod round;
mod witness;

use round::Round;
pub(crate) use witness::{LOOKED_UP, LookedUp};

/// Examples of a type's answers, at most.
const EXAMPLES_MAX: usize = 10;

/// How a source is asked while its sync is judged.
pub(crate) struct Asking<'a> {
    /// Who is asked.
    pub(crate) process: &'a Process,
    /// Called off by an order.
    pub(crate) cancel: &'a CancellationToken,
    /// Told how far it is.
    pub(crate) progress: &'a watch::Sender<Option<(SyncNumber, Progress)>>,
}

/// One record that the source is asked for.
pub(super) struct Question {
    of: RecordType,
    why: Why,
    name: String,
    pub(super) key: v1::RecordKey,
}

/// Why it is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The candidate misses it.
    Missing,
    /// The candidate holds it: the source must know it.
    Known,
    /// It was made up: the source must not know it.
    Invented,
}

impl Gate<'_> {
    /// What the source says of the records that a candidate misses; none where the policy asks for
    /// none.
    pub(super) async fn look_up(
        &self,
        candidate: &Candidate,
        last_good: &Snapshot,
        asking: &Asking<'_>,
    ) -> Result<Option<Lookup>, GateError> {
        let lookups = self.connector.policy.lookup;
        if lookups.keys == 0 || lookups.per_second == 0 {
            return Ok(None);
        }
        let mut lookup = Lookup {
            digest: candidate.digest.clone(),
            confidence: lookups.confidence,
            types: Vec::new(),
            trouble: None,
        };
        if !asking.process.announced.looks_up {
            lookup.trouble = Some("this connector cannot look up single records".to_owned());
            return Ok(Some(lookup));
        }
        let missing = missing(candidate);
        let questions = self.questions(candidate, last_good, &missing, lookups).await?;
        let began = Instant::now();
        let mut round = Round::new(candidate.sync, &questions, lookups.per_second);
        lookup.trouble =
            round.run(asking, lookups.deadline).await.map(|trouble| trouble.to_string());
        lookup.types = counted(&missing, &questions, &round.answers);
        self.witness(candidate, &lookup, &questions, &round, began.elapsed()).await?;
        Ok(Some(lookup))
    }

    /// Chooses what to ask for; reads no more of the snapshots than removals and a few records.
    async fn questions(
        &self,
        candidate: &Candidate,
        last_good: &Snapshot,
        missing: &BTreeMap<RecordType, u64>,
        lookups: Lookups,
    ) -> Result<Vec<Question>, GateError> {
        let (store, last_good) = (self.host.store.clone(), last_good.clone());
        let (name, sync, seed) =
            (self.connector.name.clone(), candidate.sync, candidate.digest.clone());
        let asked = lookup::questions(missing, &lookups);
        let chosen = tokio::task::spawn_blocking(move || {
            let staged = store.candidate(&name, sync)?;
            let mut choices: BTreeMap<RecordType, Choice<Question>> = BTreeMap::new();
            for (of, asked) in &asked {
                let size = usize::try_from(*asked).unwrap_or(usize::MAX);
                choices.insert(of.clone(), Choice::new(&seed, size));
            }
            for change in store.changes(Some(&last_good), &staged, 0)? {
                let change = change?;
                // Removals come first.
                if change.op != ChangeOp::Removed {
                    break;
                }
                let (Some(choice), Some(row)) =
                    (choices.get_mut(&change.record_type), change.before)
                else {
                    continue;
                };
                choice.offer(&change.key, || Question::new(&row, Why::Missing));
            }
            // A second choice of all: what is asked in one breath is mixed.
            let mut mixed = Choice::new(&format!("{seed} order"), usize::MAX);
            for (of, choice) in choices {
                let known = store.some_records(&staged, &of, CONTROLS_MAX as usize)?;
                let known = known.iter().map(|row| Question::new(row, Why::Known));
                let questions: Vec<_> = choice.into_chosen().chain(known).collect();
                let invented = questions.last().map(|like| like.invented(&seed));
                for question in questions.into_iter().chain(invented) {
                    let name = question.name.clone();
                    mixed.offer(&name, || question);
                }
            }
            Ok::<_, ReadError>(mixed.into_chosen().collect())
        });
        Ok(chosen.await??)
    }

    /// Writes down what was asked and answered.
    async fn witness(
        &self,
        candidate: &Candidate,
        lookup: &Lookup,
        questions: &[Question],
        round: &Round<'_>,
        took: Duration,
    ) -> Result<(), GateError> {
        let (name, now) = (&self.connector.name, Timestamp::now());
        tracing::info!(
            connector = %name, sync = %candidate.sync, asked = questions.len(),
            conclusion = conclusion(lookup), "the source was asked for missing records"
        );
        let told = LookedUp::new(candidate, lookup, questions, round, took);
        let body = serde_json::to_value(told)?;
        self.host.ledger.append_event(LOOKED_UP, Some(name), "cordond", body, now).await?;
        Ok(())
    }
}

/// What the answers come to, in one word.
fn conclusion(lookup: &Lookup) -> &'static str {
    if lookup.is_still_there() {
        "still-there"
    } else if lookup.is_gone() {
        "gone"
    } else {
        "unclear"
    }
}

/// How many records of each type the candidate misses.
fn missing(candidate: &Candidate) -> BTreeMap<RecordType, u64> {
    let types = candidate.delta.iter().flat_map(|delta| &delta.types);
    let removed = types.filter(|(_, step)| step.removed > 0);
    removed.map(|(of, step)| (of.clone(), step.removed)).collect()
}

/// Counts the answers by type.
fn counted(
    missing: &BTreeMap<RecordType, u64>,
    questions: &[Question],
    answers: &[Option<v1::Presence>],
) -> Vec<Answers> {
    let of_type = |of: &RecordType, missing: u64| {
        let mut counted = Answers {
            record_type: of.clone(),
            missing,
            asked: 0,
            present: 0,
            absent: 0,
            known: 0,
            known_present: 0,
            invented_present: false,
            present_examples: Vec::new(),
            absent_examples: Vec::new(),
        };
        for (question, answer) in questions.iter().zip(answers).filter(|(q, _)| q.of == *of) {
            let is_present = *answer == Some(v1::Presence::Present);
            let is_absent = *answer == Some(v1::Presence::Absent);
            match question.why {
                Why::Known => {
                    counted.known += 1;
                    counted.known_present += u64::from(is_present);
                }
                Why::Invented => counted.invented_present |= is_present,
                Why::Missing => {
                    counted.asked += 1;
                    counted.present += u64::from(is_present);
                    counted.absent += u64::from(is_absent);
                    let examples = match (is_present, is_absent) {
                        (true, _) => &mut counted.present_examples,
                        (_, true) => &mut counted.absent_examples,
                        _ => continue,
                    };
                    if examples.len() < EXAMPLES_MAX {
                        examples.push(question.name.clone());
                    }
                }
            }
        }
        counted
    };
    missing.iter().map(|(of, missing)| of_type(of, *missing)).collect()
}

impl Question {
    fn new(row: &Row, why: Why) -> Self {
        let text = |column: &str| match row.values.get(column) {
            Some(Value::Text(text)) => text.clone(),
            _ => String::new(),
        };
        let of = row.record_type.clone();
        let (id, entitlement) = match of.kind {
            RecordKind::Resource | RecordKind::Entitlement => (text(columns::ID), String::new()),
            RecordKind::Grant => (text(columns::PRINCIPAL), text(columns::ENTITLEMENT)),
        };
        let key = v1::RecordKey {
            kind: cordon_wire::batch::kind_to_wire(of.kind).into(),
            r#type: of.name.to_string(),
            id,
            entitlement,
        };
        Self { name: row.key(), of, why, key }
    }

    /// A record that looks like this one, and that no source can have.
    fn invented(&self, seed: &str) -> Self {
        let hash = blake3::hash(format!("{seed} {}", self.name).as_bytes());
        let tail: String = hash.to_hex().chars().take(12).collect();
        let mut key = self.key.clone();
        // An id has 1,024 bytes at most, and a source may refuse a longer one for that alone.
        key.id.truncate(key.id.floor_char_boundary(1_000));
        key.id = format!("{}-{tail}", key.id);
        let name = format!("{} {}", self.name, key.id);
        Self { of: self.of.clone(), why: Why::Invented, name, key }
    }

    fn letter(&self, answer: Option<v1::Presence>) -> char {
        let letter = match answer {
            Some(v1::Presence::Present) => 'p',
            Some(v1::Presence::Absent) => 'a',
            Some(v1::Presence::Unspecified) => 'u',
            None => '-',
        };
        // Those of controls are capitals.
        if self.why == Why::Missing { letter } else { letter.to_ascii_uppercase() }
    }
}
