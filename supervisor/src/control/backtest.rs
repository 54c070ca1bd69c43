//! `backtest`: what another policy would have done with the syncs whose records are kept.
//!
//! Each sync is judged by itself, against the snapshot that it was compared with then and with the
//! history of then. Had one been held, the next would have met another last known good; that is told,
//! not played through. Nothing is changed, and no source is asked: what it answered then counts again
//! where the policy would ask, and what only waits to be read again is told apart.
//!
//! Absent: what a person saw and did not release then, and removals that were held apart.

mod again;
mod then;

use cordon_ledger::{DRY_RUN, RunOutcome, RunRow, TRIGGER_RELEASE};
use cordon_model::{ConnectorName, Finding, Severity};
use cordon_validate::{Policy, Verdict, codes};
use cordon_wire::v1;
use jiff::Timestamp;
use tokio::time::Instant;
use tonic::Status;

use super::problem::Refusal;
use super::status::counts;
use super::{Service, render};
use crate::config::ConfigError;
use crate::session::chain;
use again::{Again, Kept};
use then::Then;

/// Syncs that are looked at, newest first.
const RUNS_MAX: u32 = 10_000;
/// What is tried when no policy is given, in words.
pub(super) const DEFAULTS: &str = "the defaults";

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
        policy: Policy,
        runs: u32,
        until: Option<Instant>,
    ) -> Result<Replayed, Refusal> {
        let mut runs = self.host.ledger.runs(name, runs).await?;
        runs.reverse();
        let mut then = Then::read(&self.host.ledger, name, &runs).await?;
        let mut replayed = Replayed { syncs: Vec::new(), unread: 0 };
        let mut ahead = runs.iter().filter(|run| is_judged(run));
        while let Some(run) = ahead.next() {
            // What repeats a sync in quarantine brought nothing of its own.
            if let Some(waiting) = run.joined {
                then.repeated(waiting);
                continue;
            }
            let (store, connector, sync) = (self.host.store.clone(), name.clone(), run.sync);
            let again = Again {
                history: then.of(run, &policy),
                answers: then.answers(sync),
                waited: then.waited().cloned(),
                content_digest: run.content_digest.clone().unwrap_or_default(),
                at: judged_at(run),
            };
            let policy = policy.clone();
            let judged =
                tokio::task::spawn_blocking(move || again.judge(&store, &connector, sync, &policy));
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
            then.step(run, judged.as_ref().ok().map(|(kept, verdict)| (&kept.after, verdict)));
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

fn holding(findings: &[Finding]) -> Vec<String> {
    let holds = findings.iter().filter(|finding| finding.severity >= Severity::Quarantine);
    let mut codes: Vec<String> = holds.map(|finding| finding.code.clone()).collect();
    codes.sort();
    codes.dedup();
    codes
}

/// What the codes that hold a sync do to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    No,
    /// Until the source was read once more.
    ToReadAgain,
    /// Until a person looks.
    ForPerson,
}

impl Held {
    fn by(codes: &[String]) -> Self {
        if codes.is_empty() {
            Self::No
        } else if codes.iter().all(|code| *code == codes::UNUSUAL_ONCE.code) {
            Self::ToReadAgain
        } else {
            Self::ForPerson
        }
    }
}

/// Whether a sync would wait for a person.
pub(super) fn would_wait(sync: &v1::BacktestSync) -> bool {
    Held::by(&sync.codes) == Held::ForPerson
}

fn difference(then: Held, now: Held) -> &'static str {
    match (then, now) {
        (Held::ForPerson, Held::ForPerson)
        | (Held::ToReadAgain, Held::ToReadAgain)
        | (Held::No, Held::No) => "same",
        (_, Held::ForPerson) => "newly-held",
        (Held::ForPerson, _) => "no-longer-held",
        (_, Held::ToReadAgain) => "newly-read-again",
        (Held::ToReadAgain, Held::No) => "no-longer-read-again",
    }
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
            sync.against = kept.before.map_or(0, |snapshot| snapshot.manifest.sync.0);
            sync.taken_at = kept.after.manifest.taken_at.as_microsecond();
            sync.verdict = verdict.outcome.as_str().into();
            sync.codes = holding(&verdict.findings);
            sync.difference = difference(Held::by(&codes_then), Held::by(&sync.codes)).into();
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
    let now = |held: Held| move |sync: &&v1::BacktestSync| Held::by(&sync.codes) == held;
    let then = |held: Held| move |sync: &&v1::BacktestSync| Held::by(&sync.codes_then) == held;
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
        held: number(&now(Held::ForPerson)),
        held_then: number(&then(Held::ForPerson)),
        newly_held: number(&|sync| sync.difference == "newly-held"),
        no_longer_held: number(&|sync| sync.difference == "no-longer-held"),
        removals_held: removals(&now(Held::ForPerson)),
        removals_held_then: removals(&then(Held::ForPerson)),
        unknown,
        missing,
        read_again: number(&now(Held::ToReadAgain)),
        read_again_then: number(&then(Held::ToReadAgain)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sync(verdict: &str, then: &[&str], difference: &str, removed: u64) -> v1::BacktestSync {
        v1::BacktestSync {
            verdict: verdict.into(),
            codes: if verdict == "quarantined" { vec!["CRD-D101".to_owned()] } else { Vec::new() },
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
            v1::BacktestSync {
                codes: vec!["CRD-V301".to_owned()],
                ..sync("quarantined", &[], "newly-read-again", 600_000)
            },
        ];
        let summary = summary("it", &syncs, 30);
        assert_eq!((summary.judged, summary.held, summary.held_then), (5, 2, 2));
        assert_eq!((summary.read_again, summary.read_again_then), (1, 0));
        assert_eq!((summary.newly_held, summary.no_longer_held, summary.unknown), (1, 1, 1));
        assert_eq!((summary.removals_held, summary.removals_held_then), (320, 4_300));
        assert!(summary.missing.contains("store.keep.last = 30"));
    }

    #[test]
    fn what_is_read_again_first_is_told_apart_from_what_waits_for_a_person() {
        let held = |codes: &[&str]| {
            Held::by(&codes.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>())
        };
        let (no, again, person) = (held(&[]), held(&["CRD-V301"]), held(&["CRD-D101", "CRD-V301"]));
        assert_eq!((no, again, person), (Held::No, Held::ToReadAgain, Held::ForPerson));
        let all = [no, again, person];
        let told = all.map(|then| all.map(|now| difference(then, now)));
        assert_eq!(
            told,
            [
                ["same", "newly-read-again", "newly-held"],
                ["no-longer-read-again", "same", "newly-held"],
                ["no-longer-held", "no-longer-held", "same"],
            ]
        );
    }
}
