//! From a staged candidate to a verdict, and to what follows from it.

use std::time::Instant;

use cordon_ledger::{
    Acceptance, ChangeCounts, DryRun, LeftBy, Measured, QuarantinedRun, RejectedRun,
};
use cordon_model::{Severity, SyncNumber};
use cordon_store::Snapshot;
use cordon_validate::{Candidate, History, Judged, Verdict, holds_removals_alone, lookup};
use jiff::Timestamp;

use super::{Asking, Decision, Gate, GateError, Purpose, changes_of, note};
use crate::reason::Reason;
use crate::session::Outcome;

impl Gate<'_> {
    /// Judges a candidate and does what the verdict says.
    pub(crate) async fn decide(
        &self,
        sync: SyncNumber,
        outcome: Outcome,
        last_good: Option<Snapshot>,
        asking: &Asking<'_>,
        purpose: Purpose,
    ) -> Result<Decision, GateError> {
        (self.host.faults)("gate.staged");
        let mut measured = self.measured(Some(asking.process), outcome.records);
        let timings = outcome.staged.timings;
        note(&mut measured, "index", timings.index);
        note(&mut measured, "diff", timings.diff);
        note(&mut measured, "references", timings.references);
        note(&mut measured, "store_commit", timings.commit);
        note(&mut measured, "gave_way", outcome.gave_way);
        let candidate = outcome.staged.candidate;
        let content_digest = outcome.staged.content_digest;
        let (digest, against) = (candidate.digest.clone(), candidate.against);
        let counts = changes_of(&candidate.census, candidate.delta.as_ref());
        let last_good = last_good.as_ref();
        let (judged, history) =
            self.judge(candidate, &content_digest, last_good, asking, &mut measured).await?;
        (self.host.faults)("gate.judged");
        // Asking the source takes its time, in which a release may come: what was judged against
        // another last known good is then neither published nor held.
        let _turn = self.host.turns.take(&self.connector.name).await;
        let verdict_json = serde_json::to_string(judged.verdict())?;
        let mut findings = judged.verdict().findings.clone();
        findings.extend(
            outcome.extended.map(|told| {
                cordon_validate::codes::TIME_EXTENDED.finding(Severity::Info, "", told)
            }),
        );
        let decision = match judged {
            judged if purpose == Purpose::Try => {
                let run = DryRun {
                    outcome: judged.verdict().outcome.as_str().to_owned(),
                    digest,
                    against,
                    verdict_json,
                    findings,
                    counts,
                    measured,
                };
                self.end_dry_run(sync, &run).await?;
                Decision::Tried
            }
            Judged::Accepted(accepted) => {
                let acceptance = Acceptance::Policy { verdict_json, findings, measured };
                let staged = self.staged(sync).await?;
                self.publish(accepted, &staged, acceptance).await?;
                Decision::Committed
            }
            Judged::Held(held) if held.verdict().outcome == cordon_model::Outcome::Rejected => {
                let error = worst(held.verdict());
                let run = RejectedRun {
                    error,
                    reason: Some(Reason::Rejected.as_str().to_owned()),
                    digest: Some(digest),
                    verdict_json: Some(verdict_json),
                    findings,
                    measured,
                };
                let name = &self.connector.name;
                self.host.ledger.reject_run(name, sync, &run, Timestamp::now()).await?;
                self.discard(sync).await;
                Decision::Rejected
            }
            Judged::Held(held) => {
                self.still_current(sync, against).await?;
                let verdict = held.into_verdict();
                let run = QuarantinedRun {
                    connector: self.connector.name.clone(),
                    sync,
                    digest,
                    content_digest,
                    against,
                    verdict_json,
                    findings,
                    counts,
                    left_by: self.left_by(&verdict, &history, counts),
                    measured,
                };
                self.quarantine(run).await?;
                self.flow(&verdict).await?;
                Decision::Quarantined
            }
        };
        // A dry run reads the source, too, and settles nothing.
        if purpose == Purpose::Decide
            && let Some(earlier) = &history.earlier
        {
            self.witness_reading(sync, earlier, decision).await?;
        }
        self.tell(sync).await;
        Ok(decision)
    }

    /// Judges a candidate, and once more where the source had to be asked; gives what was known.
    async fn judge(
        &self,
        candidate: Candidate,
        content_digest: &str,
        last_good: Option<&Snapshot>,
        asking: &Asking<'_>,
        measured: &mut Measured,
    ) -> Result<(Judged, History), GateError> {
        let mut history = self.history(content_digest, &candidate, last_good).await?;
        let removed = changes_of(&candidate.census, candidate.delta.as_ref()).removed;
        let (census, policy) =
            (last_good.map(|snapshot| &snapshot.manifest.census), &self.connector.policy);
        let began = Instant::now();
        let judged = cordon_validate::judge(census, candidate.clone(), &history, policy);
        note(measured, "judge", began.elapsed());
        let asks = lookup::asks_the_source(judged.verdict(), removed, policy);
        let Some(last_good) = last_good.filter(|_| asks) else { return Ok((judged, history)) };
        let began = Instant::now();
        history.lookup = self.look_up(&candidate, last_good, asking).await?;
        note(measured, "lookup", began.elapsed());
        Ok((cordon_validate::judge(census, candidate, &history, policy), history))
    }

    /// Writes down what a dry run would have come to, and lets go of what it brought.
    async fn end_dry_run(&self, sync: SyncNumber, run: &DryRun) -> Result<(), GateError> {
        let name = &self.connector.name;
        // Gone before it is told: a crash in between leaves a run without an end, and no candidate.
        self.discard(sync).await;
        self.host.ledger.end_dry_run(name, sync, run, Timestamp::now()).await?;
        tracing::info!(connector = %name, %sync, would_be = run.outcome, "dry run");
        Ok(())
    }

    async fn quarantine(&self, run: QuarantinedRun) -> Result<(), GateError> {
        let sync = run.sync;
        let (_, entered) = self.host.ledger.quarantine_run(&run, Timestamp::now()).await?;
        let why = run.findings.first().map(|finding| finding.message.as_str()).unwrap_or_default();
        if self.awaits_reading(&run, entered) {
            tracing::info!(connector = %run.connector, %sync, why, "sync held, the source is read again");
        } else {
            tracing::warn!(connector = %run.connector, %sync, why, "sync quarantined");
        }
        match entered {
            cordon_ledger::Entered::New => {}
            cordon_ledger::Entered::Joined(_) => self.discard(sync).await,
            cordon_ledger::Entered::Superseded(older) => self.discard(older).await,
        }
        Ok(())
    }

    /// Whether what waits is the rest of something: of what a person released, or of a sync of which
    /// nothing but held removals is left.
    fn left_by(
        &self,
        verdict: &Verdict,
        history: &History,
        counts: ChangeCounts,
    ) -> Option<LeftBy> {
        let nothing_flows = counts.total() == counts.removed;
        if history.withheld > 0 {
            return Some(LeftBy::Person);
        }
        let held = nothing_flows && holds_removals_alone(verdict, &self.connector.policy);
        held.then_some(LeftBy::Policy)
    }

    /// A release may have come between; the sync is then compared with what it is no longer about.
    async fn still_current(
        &self,
        sync: SyncNumber,
        against: Option<SyncNumber>,
    ) -> Result<(), GateError> {
        let current = self.host.ledger.last_good(&self.connector.name).await?.map(|row| row.sync);
        if current == against { Ok(()) } else { Err(GateError::Outrun(sync)) }
    }
}

fn worst(verdict: &Verdict) -> String {
    verdict.worst().map(|finding| finding.message.clone()).unwrap_or_default()
}
