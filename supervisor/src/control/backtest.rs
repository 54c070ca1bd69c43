//! `backtest`: what another policy would have done with the syncs whose records are kept.
//!
//! Each sync is judged by itself, against the snapshot that it was compared with then and with the
//! history of then. Had one been held, the next would have met another last known good; that is told,
//! not played through. Nothing is changed, and no source is asked.

use cordon_ledger::{DRY_RUN, RunOutcome, RunRow, SnapshotRow, TRIGGER_RELEASE};
use cordon_model::{ConnectorName, Finding, Outcome, Severity, SyncNumber};
use cordon_store::{ReadError, Snapshot, Store};
use cordon_validate::detect::{Learned, Memory, Step};
use cordon_validate::{Candidate, History, Policy, TimeSpan, Verdict, Window, judge};
use cordon_wire::v1;
use jiff::Timestamp;
use tokio::time::Instant;
use tonic::Status;

use super::problem::Refusal;
use super::status::counts;
use super::{Service, render};
use crate::config::ConfigError;
use crate::gate::{Looked, look};
use crate::session::chain;

/// Syncs that are looked at, newest first.
const RUNS_MAX: u32 = 10_000;
/// What is tried when no policy is given, in words.
pub(super) const DEFAULTS: &str = "the defaults";

/// All that was known when a sync was judged.
struct Then {
    snapshots: Vec<SnapshotRow>,
    released: Vec<SyncNumber>,
    /// The sync that waited for a person.
    waiting: Option<SyncNumber>,
    /// What the detector learnt of those that are kept, from the first on.
    memory: Memory,
}

/// A sync whose records are kept, with those that it was compared with.
struct Kept {
    before: Option<Snapshot>,
    after: Snapshot,
}

/// Syncs that were judged again, oldest first.
pub(super) struct Replayed {
    pub(super) syncs: Vec<v1::BacktestSync>,
    /// Those that the time did not suffice for.
    pub(super) unread: u64,
}

impl Service {
    pub(super) async fn answer_backtest(
        &self,
        request: v1::BacktestRequest,
    ) -> Result<v1::BacktestResponse, Status> {
        let (name, _) = self.find(&request.connector)?;
        let config = self.host.loaded().config;
        let policy =
            config.tried_policy(&request.policy, &name).map_err(|error| refused(&error))?;
        let Replayed { syncs, .. } = self.replay(&name, policy, RUNS_MAX, None).await?;
        if syncs.is_empty() {
            let message = format!("no sync of `{name}` was judged yet");
            return Err(Refusal::not_found(message)
                .hint(format!("sync it with `cordon sync {name} --wait`, or try --dry-run"))
                .into());
        }
        let tried = if request.policy.is_empty() { DEFAULTS } else { "the given policy" };
        let summary = summary(tried, &syncs, config.daemon.keep_last);
        Ok(v1::BacktestResponse { syncs, summary: Some(summary) })
    }

    /// Judges the newest `runs` of a connector again, as far as their records are kept, until a
    /// moment.
    pub(super) async fn replay(
        &self,
        name: &ConnectorName,
        mut policy: Policy,
        runs: u32,
        until: Option<Instant>,
    ) -> Result<Replayed, Refusal> {
        // The source cannot be read again: what asks for a second reading is told as it stands.
        policy.reread.times = 0;
        let ledger = &self.host.ledger;
        let mut runs = ledger.runs(name, runs).await?;
        runs.reverse();
        let snapshots = ledger.all_snapshots(name).await?;
        let released = runs.iter().filter(|run| run.outcome == RunOutcome::Released);
        let released = released.map(|run| run.sync).collect();
        let mut then = Then { snapshots, released, waiting: None, memory: Memory::default() };
        let mut replayed = Replayed { syncs: Vec::new(), unread: 0 };
        // What repeats a sync in quarantine brought nothing of its own.
        let mut ahead = runs.iter().filter(|run| is_judged(run) && run.joined.is_none());
        while let Some(run) = ahead.next() {
            let (store, connector, sync) = (self.host.store.clone(), name.clone(), run.sync);
            let history = then.of(run, &policy);
            let (policy, at) = (policy.clone(), judged_at(run));
            let judged = tokio::task::spawn_blocking(move || {
                judged_again(&store, &connector, sync, &policy, history, at)
            });
            // One that takes longer ends by itself and changes nothing.
            let judged = match until {
                None => judged.await,
                Some(until) => match tokio::time::timeout_at(until, judged).await {
                    Ok(judged) => judged,
                    Err(_) => {
                        replayed.unread = 1 + ahead.count() as u64;
                        break;
                    }
                },
            };
            let judged = judged.map_err(|error| Refusal::failed(error.to_string()))?;
            let judged = judged.map_err(|error| {
                Refusal::failed(format!("cannot read sync {sync}: {}", chain(&error)))
            })?;
            then.step(
                run,
                judged.as_ref().ok().and_then(|(kept, _)| kept.after.manifest.step.as_ref()),
            );
            replayed.syncs.push(told(run, judged));
        }
        Ok(replayed)
    }
}

/// A given policy that is none.
pub(super) fn refused(error: &ConfigError) -> Refusal {
    let general = "write it as in a configuration: [guard] and [connector.NAME.guard]";
    Refusal::invalid("CRD-H002", format!("the policy cannot be read: {}", error.fault()))
        .still("nothing was changed")
        .hint(error.hint().unwrap_or(general))
}

/// Whether the gate had a candidate of it.
fn is_judged(run: &RunRow) -> bool {
    ![DRY_RUN, TRIGGER_RELEASE].contains(&run.trigger.as_str())
        && match run.outcome {
            RunOutcome::Running | RunOutcome::Failed => false,
            RunOutcome::Rejected => run.digest.is_some(),
            RunOutcome::Committed
            | RunOutcome::Quarantined
            | RunOutcome::Released
            | RunOutcome::Superseded => true,
        }
}

fn judged_at(run: &RunRow) -> Timestamp {
    run.ended_at.unwrap_or(run.started_at)
}

impl Then {
    /// What earlier syncs told when a run was judged. What single records say is added later.
    fn of(&self, run: &RunRow, policy: &Policy) -> History {
        let at = judged_at(run);
        let earlier = || self.snapshots.iter().filter(|row| row.sync < run.sync);
        // The newest before is what was the last known good then.
        let last_good = earlier().next_back();
        let content = run.content_digest.as_deref().unwrap_or_default();
        let replays = earlier().rfind(|row| row.content_digest == content);
        let replays = replays.filter(|_| last_good.is_some_and(|it| it.content_digest != content));
        let windows = policy
            .budgets
            .iter()
            .map(|budget| (budget.within, self.window(run.sync, at, budget.within)));
        History {
            accepted: earlier().count() as u64,
            windows: windows.collect(),
            replays: replays.map(|row| row.sync),
            watermarks: last_good.map(|row| row.watermarks.clone()).unwrap_or_default(),
            quarantined: self.waiting,
            memory: Some(self.memory.clone()),
            judged_at: Some(at),
            ..History::default()
        }
    }

    fn window(&self, sync: SyncNumber, at: Timestamp, within: TimeSpan) -> Window {
        let since = at.checked_sub(within.duration()).unwrap_or(Timestamp::MIN);
        let mut window = Window::default();
        let earlier = || self.snapshots.iter().filter(|row| row.sync < sync);
        for row in earlier().filter(|row| row.committed_at > since) {
            let is_released = self.released.contains(&row.sync);
            let sums = if is_released { &mut window.released } else { &mut window.removed };
            for (label, removed) in &row.removed_by_label {
                let sum = sums.entry(label.clone()).or_default();
                *sum = sum.saturating_add(*removed);
            }
        }
        let then = earlier().rfind(|row| row.committed_at <= since).or(earlier().next());
        window.records_then = then.map(|row| row.label_counts.clone()).unwrap_or_default();
        window
    }

    /// Notes what became of a run.
    fn step(&mut self, run: &RunRow, step: Option<&Step>) {
        let learned = match run.outcome {
            RunOutcome::Committed => Some(Learned::Accepted),
            RunOutcome::Released => Some(Learned::Released),
            _ => None,
        };
        if let Some((step, learned)) = step.zip(learned) {
            self.memory = std::mem::take(&mut self.memory).learn(step, learned);
        }
        self.waiting = match run.outcome {
            RunOutcome::Quarantined | RunOutcome::Superseded => Some(run.sync),
            RunOutcome::Committed | RunOutcome::Released => None,
            RunOutcome::Running | RunOutcome::Failed | RunOutcome::Rejected => self.waiting,
        };
    }
}

/// Judges a stored sync once more; in words why not, where its records are gone.
fn judged_again(
    store: &Store,
    connector: &ConnectorName,
    sync: SyncNumber,
    policy: &Policy,
    history: History,
    at: Timestamp,
) -> Result<Result<(Kept, Verdict), String>, ReadError> {
    let Some(after) = found(store.candidate(connector, sync))?
        .map_or_else(|| found(store.snapshot(connector, sync)), |candidate| Ok(Some(candidate)))?
    else {
        return Ok(Err("its records are no longer kept".to_owned()));
    };
    let before = match after.manifest.against {
        None => None,
        Some(against) => match found(store.snapshot(connector, against))? {
            Some(snapshot) => Some(snapshot),
            None => {
                let why =
                    format!("snapshot {against}, which it was compared with, is no longer kept");
                return Ok(Err(why));
            }
        },
    };
    let looked = look(store, policy, before.as_ref(), &after, at)?;
    let Looked { rules, protected_removed, protected_unlisted, marked_grants } = looked;
    let history =
        History { rules, protected_removed, protected_unlisted, marked_grants, ..history };
    let manifest = &after.manifest;
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
    let verdict = judge(census, candidate, &history, policy).verdict().clone();
    Ok(Ok((Kept { before, after }, verdict)))
}

fn found(read: Result<Snapshot, ReadError>) -> Result<Option<Snapshot>, ReadError> {
    match read {
        Ok(snapshot) => Ok(Some(snapshot)),
        Err(ReadError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn holding(findings: &[Finding]) -> Vec<String> {
    let holds = findings.iter().filter(|finding| finding.severity >= Severity::Quarantine);
    let mut codes: Vec<String> = holds.map(|finding| finding.code.clone()).collect();
    codes.sort();
    codes.dedup();
    codes
}

fn told(run: &RunRow, judged: Result<(Kept, Verdict), String>) -> v1::BacktestSync {
    let codes_then = holding(&run.findings);
    let mut sync = v1::BacktestSync {
        connector: run.connector.to_string(),
        sync: run.sync.0,
        taken_at: run.started_at.as_microsecond(),
        outcome: render::outcome(run).into(),
        changes: run.changes.map(counts),
        ..v1::BacktestSync::default()
    };
    match judged {
        Err(why) => {
            sync.verdict = "unknown".into();
            sync.difference = "unknown".into();
            sync.message = why;
        }
        Ok((kept, verdict)) => {
            let held = verdict.outcome != Outcome::Accepted;
            let difference = match (held, codes_then.is_empty()) {
                (true, true) => "newly-held",
                (false, false) => "no-longer-held",
                (true, false) | (false, true) => "same",
            };
            sync.against = kept.before.map_or(0, |snapshot| snapshot.manifest.sync.0);
            sync.taken_at = kept.after.manifest.taken_at.as_microsecond();
            sync.verdict = verdict.outcome.as_str().into();
            sync.codes = holding(&verdict.findings);
            sync.difference = difference.into();
            sync.message = verdict.worst().map(|it| it.message.clone()).unwrap_or_default();
        }
    }
    sync.codes_then = codes_then;
    sync
}

pub(super) fn summary(
    tried: &str,
    syncs: &[v1::BacktestSync],
    keep_last: u32,
) -> v1::BacktestSummary {
    let judged = || syncs.iter().filter(|sync| sync.verdict != "unknown");
    let number =
        |wanted: &dyn Fn(&&v1::BacktestSync) -> bool| judged().filter(wanted).count() as u64;
    let held = |sync: &&v1::BacktestSync| sync.verdict != "accepted";
    let held_then = |sync: &&v1::BacktestSync| !sync.codes_then.is_empty();
    let removals = |wanted: &dyn Fn(&&v1::BacktestSync) -> bool| {
        let removed = |sync: &v1::BacktestSync| sync.changes.as_ref().map_or(0, |it| it.removed);
        judged().filter(wanted).map(removed).sum()
    };
    let unknown = syncs.iter().filter(|sync| sync.verdict == "unknown").count() as u64;
    let missing = match unknown {
        0 => String::new(),
        _ => format!(
            "records are no longer kept: store.keep.last = {keep_last} snapshots, and of the syncs \
             that were held only the one that waits"
        ),
    };
    v1::BacktestSummary {
        policy: tried.to_owned(),
        judged: judged().count() as u64,
        held: number(&held),
        held_then: number(&held_then),
        newly_held: number(&|sync| sync.difference == "newly-held"),
        no_longer_held: number(&|sync| sync.difference == "no-longer-held"),
        removals_held: removals(&held),
        removals_held_then: removals(&held_then),
        unknown,
        missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sync(verdict: &str, then: &[&str], difference: &str, removed: u64) -> v1::BacktestSync {
        v1::BacktestSync {
            verdict: verdict.into(),
            codes_then: then.iter().map(|code| (*code).to_owned()).collect(),
            difference: difference.into(),
            changes: Some(v1::ChangeCounts { removed, ..v1::ChangeCounts::default() }),
            ..v1::BacktestSync::default()
        }
    }

    #[test]
    fn a_summary_counts_what_differs_and_what_nobody_can_say() {
        let syncs = [
            sync("accepted", &[], "same", 1),
            sync("quarantined", &[], "newly-held", 20),
            sync("quarantined", &["CRD-D101"], "same", 300),
            sync("accepted", &["CRD-D101"], "no-longer-held", 4_000),
            sync("unknown", &["CRD-D101"], "unknown", 50_000),
        ];
        let summary = summary("it", &syncs, 30);
        assert_eq!((summary.judged, summary.held, summary.held_then), (4, 2, 2));
        assert_eq!((summary.newly_held, summary.no_longer_held, summary.unknown), (1, 1, 1));
        assert_eq!((summary.removals_held, summary.removals_held_then), (320, 4_300));
        assert!(summary.missing.contains("store.keep.last = 30"));
    }
}
