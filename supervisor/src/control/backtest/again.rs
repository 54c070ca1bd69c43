//! Judging a stored sync once more, as far as its records are kept.

use cordon_model::{ConnectorName, SyncNumber};
use cordon_store::{ReadError, Snapshot, Store};
use cordon_validate::lookup::{Lookup, asks_the_source};
use cordon_validate::{Candidate, History, Judged, Policy, Verdict, judge};
use jiff::Timestamp;

use super::then::Waited;
use crate::gate::{Looked, changes_of, look};

/// A sync whose records are kept, with those that it was compared with.
pub(super) struct Kept {
    pub(super) before: Option<Snapshot>,
    pub(super) after: Snapshot,
}

/// What was known when a sync was judged, for judging it once more.
pub(super) struct Again {
    pub(super) history: History,
    /// What the source said then of records that were missing.
    pub(super) answers: Option<Lookup>,
    /// The sync that waited then.
    pub(super) waited: Option<Waited>,
    pub(super) content_digest: String,
    pub(super) at: Timestamp,
}

impl Again {
    /// Judges a stored sync once more; in words why not, where its records are gone.
    pub(super) fn judge(
        self,
        store: &Store,
        connector: &ConnectorName,
        sync: SyncNumber,
        policy: &Policy,
    ) -> Result<Result<(Kept, Verdict), String>, ReadError> {
        let Some(after) = found(store.candidate(connector, sync))?.map_or_else(
            || found(store.snapshot(connector, sync)),
            |candidate| Ok(Some(candidate)),
        )?
        else {
            return Ok(Err("its records are no longer kept".to_owned()));
        };
        let before = match after.manifest.against {
            None => None,
            Some(against) => match found(store.snapshot(connector, against))? {
                Some(snapshot) => Some(snapshot),
                None => {
                    let why = format!(
                        "snapshot {against}, which it was compared with, is no longer kept"
                    );
                    return Ok(Err(why));
                }
            },
        };
        let looked = look(store, policy, before.as_ref(), &after, self.at)?;
        let Looked { rules, protected_removed, protected_unlisted, marked_grants } = looked;
        let manifest = &after.manifest;
        let earlier = self
            .waited
            .and_then(|waited| waited.as_earlier(&self.content_digest, manifest.against, policy));
        let history = History {
            rules,
            protected_removed,
            protected_unlisted,
            marked_grants,
            earlier,
            ..self.history
        };
        let candidate = Candidate {
            connector: connector.clone(),
            sync,
            digest: after.digest.to_string(),
            against: manifest.against,
            census: manifest.census.clone(),
            delta: manifest.delta.clone(),
            defects: manifest.defects.clone(),
            step: manifest.step.clone(),
            pending: manifest.pending,
        };
        let census = before.as_ref().map(|snapshot| &snapshot.manifest.census);
        let judged = judge(census, candidate.clone(), &history, policy);
        let judged = match self.answers {
            Some(answers) if would_ask(&judged, &candidate, policy) => {
                let confidence = policy.lookup.confidence;
                let lookup = Some(Lookup { confidence, ..answers });
                judge(census, candidate, &History { lookup, ..history }, policy)
            }
            _ => judged,
        };
        let verdict = judged.verdict().clone();
        Ok(Ok((Kept { before, after }, verdict)))
    }
}

/// Whether the source would be asked for what is missing.
fn would_ask(judged: &Judged, candidate: &Candidate, policy: &Policy) -> bool {
    let removed = changes_of(&candidate.census, candidate.delta.as_ref()).removed;
    let may_ask = policy.lookup.keys > 0 && policy.lookup.per_second > 0;
    candidate.against.is_some() && may_ask && asks_the_source(judged.verdict(), removed, policy)
}

fn found(read: Result<Snapshot, ReadError>) -> Result<Option<Snapshot>, ReadError> {
    match read {
        Ok(snapshot) => Ok(Some(snapshot)),
        Err(ReadError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
