//! A part of what waits becomes the last known good, and what is left waits on.
//!
//! The part is composed, judged and published like a sync, in a run of its own; what is left is
//! compared with it and judged before one transaction of the ledger makes both true. Until then the
//! candidate waits as it did, whatever fails.

use cordon_ledger::{Acceptance, LeftBy, Part, QuarantinedRow, Remaining, TRIGGER_RELEASE, Work};
use cordon_model::{Severity, SyncNumber};
use cordon_store::{ChangeCounts, Composed, Snapshot, Staged};
use cordon_validate::reading::is_of_reading;
use cordon_validate::{Accepted, Agreed, History, Selection, Verdict, holds_removals_alone};
use jiff::Timestamp;

use super::{Gate, GateError, changes_of, note};

/// A part that was published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parted {
    /// Changes that it has.
    pub(crate) released: ChangeCounts,
    /// Changes that go on waiting.
    pub(crate) left: ChangeCounts,
}

/// On whose word a part passes.
pub(super) enum Word {
    /// One or two people's.
    People(Agreed),
    /// The policy's: removals are held, the rest flows.
    Policy,
}

/// A part and what it is a part of, on disk.
struct OnDisk {
    last_good: Option<Snapshot>,
    whole: Snapshot,
    part: Snapshot,
    composed: Composed,
}

impl Gate<'_> {
    /// Publishes the selected changes of what waits.
    pub(super) async fn publish_part(
        &self,
        waiting: &QuarantinedRow,
        selection: &Selection,
        word: Word,
    ) -> Result<Parted, GateError> {
        let (name, ledger) = (&self.connector.name, &self.host.ledger);
        for (_, sync) in
            ledger.recover_connector(name, Work::Release, Timestamp::now()).await?.failed
        {
            tracing::warn!(connector = %name, %sync, "noted the end of an earlier release");
        }
        let sync = ledger.begin_run(name, TRIGGER_RELEASE, Timestamp::now()).await?;
        let done = self.try_part(sync, waiting, selection, word).await;
        if let Err(error) = &done {
            let failed =
                cordon_ledger::FailedRun { error: error.to_string(), ..Default::default() };
            ledger.fail_run(name, sync, &failed, Timestamp::now()).await?;
            self.discard(sync).await;
        }
        done
    }

    /// Lets what a quarantined sync adds and modifies pass, where policy holds its removals alone and
    /// the judge has nothing against the rest.
    pub(super) async fn flow(&self, verdict: &Verdict) -> Result<(), GateError> {
        if !holds_removals_alone(verdict, &self.connector.policy) {
            return Ok(());
        }
        let name = &self.connector.name;
        let waiting = self.host.ledger.quarantined(Some(name)).await?.pop();
        let Some(waiting) = waiting.filter(|row| row.counts.total() > row.counts.removed) else {
            return Ok(());
        };
        let selection = Selection::without_removals();
        match self.publish_part(&waiting, &selection, Word::Policy).await {
            Ok(Parted { released, left }) => {
                let (flowed, held) = (released.total(), left.removed);
                tracing::warn!(connector = %name, flowed, held, "removals are held, the rest flows");
                Ok(())
            }
            // Everything waits, as without the policy's leave.
            Err(GateError::Doubtful(why)) => {
                tracing::warn!(connector = %name, why, "what is new is in doubt, too; nothing flows");
                Ok(())
            }
            Err(GateError::Compose(why))
                if !matches!(why, cordon_store::ComposeError::Stage(_)) =>
            {
                tracing::warn!(connector = %name, %why, "what is new does not stand alone; nothing flows");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn try_part(
        &self,
        sync: SyncNumber,
        waiting: &QuarantinedRow,
        selection: &Selection,
        word: Word,
    ) -> Result<Parted, GateError> {
        let mut measured = self.measured(None, 0);
        let began = std::time::Instant::now();
        let disk = self.compose(sync, waiting, selection).await?;
        note(&mut measured, "compose", began.elapsed());
        (self.host.faults)("part.composed");
        let (by, asked_by, reason) = match &word {
            Word::Policy => (None, None, "removals are held, the rest flows".to_owned()),
            Word::People(agreed) => {
                let release = agreed.release();
                (Some(release.by.clone()), release.asked_by.clone(), release.reason.clone())
            }
        };
        let left_by = if by.is_some() { LeftBy::Person } else { LeftBy::Policy };
        let accepted = self.judge_part(waiting, &disk, word).await?;
        let left = disk.composed.left;
        let remaining = match left.total() {
            0 => None,
            _ => Some(self.remaining(waiting, &disk, left_by).await?),
        };
        (self.host.faults)("part.judged");
        measured.records = disk.composed.selected.total();
        let new_digest = remaining.as_ref().map(|remaining| remaining.digest.clone());
        let part = Part {
            by,
            asked_by,
            reason,
            of: waiting.sync,
            of_digest: waiting.digest.clone(),
            selection: selection.to_string(),
            verdict_json: serde_json::to_string(accepted.verdict())?,
            findings: accepted.verdict().findings.clone(),
            measured,
            remaining,
        };
        self.publish(accepted, &disk.part, Acceptance::Part(Box::new(part))).await?;
        match new_digest {
            None => self.discard(waiting.sync).await,
            Some(digest) => {
                if let Err(error) = self.settle(waiting.sync, digest).await {
                    // Whoever needs it next settles it.
                    tracing::warn!(sync = %waiting.sync, %error, "cannot settle what is left");
                }
            }
        }
        Ok(Parted { released: disk.composed.selected, left })
    }

    async fn compose(
        &self,
        sync: SyncNumber,
        waiting: &QuarantinedRow,
        selection: &Selection,
    ) -> Result<OnDisk, GateError> {
        let (store, waiting, selection) =
            (self.host.store.clone(), waiting.clone(), selection.clone());
        let current = self.host.ledger.last_good(&self.connector.name).await?;
        let grace = self.grace(current.as_ref());
        let composed = tokio::task::spawn_blocking(move || {
            let name = &waiting.connector;
            let whole = store.settle(name, waiting.sync, &waiting.digest)?;
            let last_good = waiting.against.map(|sync| store.snapshot(name, sync)).transpose()?;
            let composed = store.compose(sync, last_good.as_ref(), &whole, &selection, grace)?;
            let part = store.candidate(name, sync)?;
            Ok::<_, GateError>(OnDisk { last_good, whole, part, composed })
        });
        composed.await?
    }

    async fn judge_part(
        &self,
        waiting: &QuarantinedRow,
        disk: &OnDisk,
        word: Word,
    ) -> Result<Accepted, GateError> {
        let Staged { candidate, content_digest, .. } = &disk.composed.staged;
        let last_good = disk.last_good.as_ref();
        let history = self.history(content_digest, candidate, last_good).await?;
        let census = last_good.map(|snapshot| &snapshot.manifest.census);
        let (candidate, policy) = (candidate.clone(), &self.connector.policy);
        match word {
            Word::People(agreed) => {
                let whole: Verdict = serde_json::from_str(&waiting.verdict_json)?;
                let current =
                    self.host.ledger.last_good(&self.connector.name).await?.map(|row| row.sync);
                // Whoever releases it has seen what waits: only the part itself is in question.
                let history = History { quarantined: None, withheld: 0, earlier: None, ..history };
                let judged = cordon_validate::judge(census, candidate, &history, policy);
                Ok(cordon_validate::release_part(&whole, judged, agreed, current)?)
            }
            Word::Policy => {
                let Some(census) = census else {
                    return Err(GateError::Doubtful("there is no last known good".to_owned()));
                };
                cordon_validate::flow(census, candidate, &history, policy).map_err(|verdict| {
                    let why = verdict.worst().map(|finding| finding.message.clone());
                    GateError::Doubtful(why.unwrap_or_else(|| "it would remove records".to_owned()))
                })
            }
        }
    }

    /// What goes on waiting, compared with the part and judged as if the part were the last known
    /// good already.
    async fn remaining(
        &self,
        waiting: &QuarantinedRow,
        disk: &OnDisk,
        left_by: LeftBy,
    ) -> Result<Remaining, GateError> {
        let (store, whole, part) = (self.host.store.clone(), disk.whole.clone(), disk.part.clone());
        let rebased = tokio::task::spawn_blocking(move || store.rebase(&whole, &part)).await??;
        (self.host.faults)("part.rebased");
        let Staged { candidate, content_digest, .. } = rebased;
        let mut history = self.history(&content_digest, &candidate, Some(&disk.part)).await?;
        (history.quarantined, history.earlier) = (None, None);
        let counts = changes_of(&candidate.census, candidate.delta.as_ref());
        match left_by {
            LeftBy::Person => history.withheld = counts.total(),
            LeftBy::Policy => history.held = counts.total(),
        }
        for (label, removed) in super::publish::removed_by_label(&disk.part.manifest) {
            for window in history.windows.values_mut() {
                let sums = match left_by {
                    LeftBy::Person => &mut window.released,
                    LeftBy::Policy => &mut window.removed,
                };
                *sums.entry(label.clone()).or_default() += removed;
            }
        }
        let scopes = disk.part.manifest.census.scopes.iter();
        history.watermarks =
            scopes.map(|(name, scope)| (name.clone(), scope.report.watermark.clone())).collect();
        let digest = candidate.digest.clone();
        let census = &disk.part.manifest.census;
        let judged =
            cordon_validate::judge(Some(census), candidate, &history, &self.connector.policy);
        let verdict = judged.into_verdict();
        if verdict.findings.iter().any(|finding| finding.severity >= Severity::Reject) {
            let why = verdict.worst().map(|finding| finding.message.clone()).unwrap_or_default();
            return Err(GateError::Doubtful(format!("what would be left is invalid: {why}")));
        }
        let verdict_json = serde_json::to_string(&verdict)?;
        let mut findings = verdict.findings;
        // How often the source was read again is not forgotten: else it would be for ever.
        findings.extend(waiting.findings.iter().filter(|finding| is_of_reading(finding)).cloned());
        Ok(Remaining { digest, verdict_json, findings, counts, left_by })
    }

    async fn settle(&self, sync: SyncNumber, digest: String) -> Result<Snapshot, GateError> {
        let (store, name) = (self.host.store.clone(), self.connector.name.clone());
        let settled = tokio::task::spawn_blocking(move || store.settle(&name, sync, &digest));
        Ok(settled.await??)
    }

    /// How many changes of a candidate a person left out of a release before.
    pub(super) async fn withheld(
        &self,
        sync: SyncNumber,
        last_good: Option<&Snapshot>,
        waiting: Option<&QuarantinedRow>,
    ) -> Result<u64, GateError> {
        let (Some(last_good), Some(row)) = (last_good, waiting) else { return Ok(0) };
        let by_person = row.rest.is_some_and(|rest| rest.left_by == LeftBy::Person);
        // One that repeats itself is what waits.
        if !by_person || row.sync == sync || row.against != Some(last_good.manifest.sync) {
            return Ok(0);
        }
        let (store, row, before) = (self.host.store.clone(), row.clone(), last_good.clone());
        let counted = tokio::task::spawn_blocking(move || {
            let waiting = store.settle(&row.connector, row.sync, &row.digest)?;
            let candidate = store.candidate(&row.connector, sync)?;
            store.repeated(&before, &waiting, &candidate)
        });
        Ok(counted.await??)
    }
}
