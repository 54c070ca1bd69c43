//! One sync: untrusted messages in, a staged candidate out.
//!
//! The stream is read here and nowhere else. [`protocol`] measures each message and decides what it
//! means; this file moves what passed to the thread that stages it, and counts the work that
//! [`liveness`] watches. A session that ends in any other way than with a staged candidate leaves
//! nothing behind. What a cancelled session's connector still writes is read by nobody: each session
//! has a stream of its own.

use std::time::{Duration, Instant};

use cordon_model::{Batch, ScopeReport, SyncNumber};
use cordon_sandbox::Death;
use cordon_store::{Snapshot, StageError, Staged, Staging};
use cordon_wire::v1;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::config::Times;
use crate::faults::Hook;
use crate::limits;
use crate::liveness::{self, Blame, Bomb, Late, Work as Counted};
use crate::process::Process;
use crate::reason::death_in_words;
use crate::secrets::Redactor;
use crate::unit::Credit;

mod pace;
mod protocol;

pub(crate) use pace::Crowd;
use pace::{Pace, Seat};
pub(crate) use protocol::Violation;
use protocol::{Protocol, Step};

/// Why a sync came to no candidate. Nothing of it is in any snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The connector broke the contract.
    #[error("the connector broke the contract: {0}")]
    Protocol(#[from] Violation),
    /// The connector said so.
    #[error("{}", source_words(.0))]
    Source(Box<v1::Error>),
    /// The process died.
    #[error("the connector died: {}", death_in_words(.0))]
    Died(Death),
    /// It did not get further, not fast enough, or not to its end.
    #[error("{late}{}", extension(.extended.as_deref()))]
    Late {
        /// What it is late with.
        late: Late,
        /// That it got more time, and why.
        extended: Option<String>,
    },
    /// It asked for tasks without end.
    #[error("{0}")]
    Bomb(Bomb),
    /// Its end of the channel gave no sign of life.
    #[error("it gave no sign of life on its channel for {}", crate::schedule::in_words(*.0))]
    Unresponsive(Duration),
    /// It was called off.
    #[error("called off")]
    Cancelled,
    /// What came could not be staged.
    #[error("cannot stage the sync: {}", chain(.0))]
    Stage(#[source] StageError),
    /// The staging thread ended without a word.
    #[error("the staging thread panicked")]
    StagingLost,
}

fn extension(extended: Option<&str>) -> String {
    extended.map(|told| format!(" ({told})")).unwrap_or_default()
}

/// What a connector said is wrong, in words.
pub(crate) fn source_words(error: &v1::Error) -> String {
    let kind = match error.kind() {
        v1::ErrorKind::Auth => "the source refused the credentials",
        v1::ErrorKind::RateLimited => "the source limits the rate",
        v1::ErrorKind::Unavailable => "the source is not available",
        v1::ErrorKind::Incomplete => "the source could not be read whole",
        v1::ErrorKind::BadConfig => "the configuration is wrong",
        v1::ErrorKind::Bug | v1::ErrorKind::Unspecified => "the connector failed",
    };
    let field =
        if error.field.is_empty() { String::new() } else { format!(" (config.{})", error.field) };
    format!("{kind}{field}: {}", error.message)
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

/// How far a sync is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// What it does.
    pub(crate) phase: String,
    /// Records that arrived.
    pub(crate) records: u64,
    /// The connector's own units of work.
    pub(crate) done: u64,
    /// Out of how many; 0 = unknown.
    pub(crate) total: u64,
}

/// What a session needs.
pub(crate) struct Session {
    /// The number of the sync.
    pub(crate) sync: SyncNumber,
    /// How long it may take.
    pub(crate) times: Times,
    /// What the try before it gives it.
    pub(crate) credit: Credit,
    /// Records that it may send.
    pub(crate) records_max: u64,
    /// Called off by an order.
    pub(crate) cancel: CancellationToken,
    /// Tells how far it is.
    pub(crate) progress: tokio::sync::watch::Sender<Option<(SyncNumber, Progress)>>,
    /// Finds the connector's secrets in what it says.
    pub(crate) redactor: Redactor,
    /// Its place among the syncs beside it.
    pub(crate) seat: Seat,
    /// Drills.
    pub(crate) faults: Hook,
}

/// A candidate and what it took.
pub(crate) struct Outcome {
    /// The candidate.
    pub(crate) staged: Staged,
    /// Records that arrived.
    pub(crate) records: u64,
    /// That it got more time than configured, and why.
    pub(crate) extended: Option<String>,
    /// How long its reading was held back for the syncs beside it.
    pub(crate) gave_way: Duration,
}

/// What the staging thread is told.
enum Work {
    BeginScope { scope: u32, name: String },
    Append(Batch),
    Finish(Vec<ScopeReport>),
}

impl Session {
    /// Reads one sync to its end and stages it.
    pub(crate) async fn run(
        self,
        process: &Process,
        staging: Staging,
        last_good: Option<Snapshot>,
    ) -> Result<Outcome, SessionError> {
        let last_records = last_good.as_ref().map_or(0, records_of);
        let (work, staged) = stage_on_thread(staging, last_good);
        let counted = Counted::default();
        let pace = Pace::new(Duration::ZERO, last_records, self.credit);
        tokio::select! {
            read = self.read(process, work, staged, &counted, pace) => read,
            () = self.cancel.cancelled() => Err(SessionError::Cancelled),
            blame = liveness::watch(self.times.bounds(), &counted, process, self.credit) => {
                Err(match blame {
                    Blame::Late(late) => SessionError::Late { late, extended: counted.extended() },
                    Blame::Bomb(bomb) => SessionError::Bomb(bomb),
                })
            }
        }
    }

    async fn read(
        &self,
        process: &Process,
        work: mpsc::Sender<Work>,
        mut staged: oneshot::Receiver<Result<Staged, StageError>>,
        counted: &Counted,
        mut pace: Pace,
    ) -> Result<Outcome, SessionError> {
        let request = v1::SyncRequest {
            sync: self.sync.0,
            mode: v1::SyncMode::Full.into(),
            checkpoint: Vec::new(),
        };
        let mut client = process.client();
        let mut stream = match client.sync(request).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => return Err(self.died_or(process, status).await),
        };
        (self.faults)("session.stream-begun");
        let mut protocol = Protocol::new(self.records_max, self.redactor.clone());
        let mut progress = Progress { phase: "reading".into(), ..Progress::default() };
        let mut last_shown = Instant::now();
        let begun = Instant::now();
        let mut gave_way = Duration::ZERO;
        loop {
            let message = match stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return Err(self.ended_early(process, &protocol).await),
                Err(status) => return Err(self.died_or(process, status).await),
            };
            let step = protocol.take(message)?;
            counted.note(protocol.work(), protocol.brought());
            let wait = pace.take(begun.elapsed(), step.records());
            if !wait.is_zero() && !self.seat.is_alone(Instant::now()) {
                tokio::time::sleep(wait).await;
                gave_way += wait;
            }
            let order = match step {
                Step::BeginScope { scope, name } => Work::BeginScope { scope, name },
                Step::Append(batch) => {
                    (self.faults)("session.batch");
                    progress.records += batch.records() as u64;
                    Work::Append(batch)
                }
                Step::Progress { done, total, phase } => {
                    (progress.done, progress.total) = (done, total);
                    if !phase.is_empty() {
                        progress.phase = phase;
                    }
                    self.progress.send_replace(Some((self.sync, progress.clone())));
                    continue;
                }
                Step::Nothing => continue,
                Step::End(reports) => {
                    counted.wait_for_us(true);
                    let staged = self.finish(work, staged, reports, &progress).await?;
                    let (records, extended) = (progress.records, counted.extended());
                    return Ok(Outcome { staged, records, extended, gave_way });
                }
            };
            // Waiting for the staging thread is not the connector's silence; a flood of batches
            // that hold nothing is.
            counted.wait_for_us(matches!(&order, Work::Append(batch) if batch.records() > 0));
            if work.send(order).await.is_err() {
                return Err(stage_failure((&mut staged).await));
            }
            counted.wait_for_us(false);
            if last_shown.elapsed() > Duration::from_millis(100) {
                last_shown = Instant::now();
                self.progress.send_replace(Some((self.sync, progress.clone())));
            }
        }
    }

    async fn finish(
        &self,
        work: mpsc::Sender<Work>,
        mut staged: oneshot::Receiver<Result<Staged, StageError>>,
        reports: Vec<ScopeReport>,
        progress: &Progress,
    ) -> Result<Staged, SessionError> {
        (self.faults)("session.stream-ended");
        let progress = Progress { phase: "staging".into(), ..progress.clone() };
        self.progress.send_replace(Some((self.sync, progress)));
        if work.send(Work::Finish(reports)).await.is_err() {
            return Err(stage_failure((&mut staged).await));
        }
        match staged.await {
            Ok(Ok(staged)) => Ok(staged),
            failed => Err(stage_failure(failed)),
        }
    }

    /// A stream that ends without `SyncEnd`: the process died, or it broke the contract.
    async fn ended_early(&self, process: &Process, protocol: &Protocol) -> SessionError {
        match process.death_soon().await {
            Some(death) => SessionError::Died(death),
            None => SessionError::Protocol(protocol.ended_early()),
        }
    }

    /// A broken channel says little; how the process died says all.
    async fn died_or(&self, process: &Process, status: Status) -> SessionError {
        if !carries_error(&status)
            && let Some(death) = process.death_soon().await
        {
            return SessionError::Died(death);
        }
        self.blame(process, &status)
    }

    fn blame(&self, process: &Process, status: &Status) -> SessionError {
        if let Some(death) = process.death() {
            return SessionError::Died(death);
        }
        if process.ending.is_silence(status) {
            return SessionError::Unresponsive(limits::PING_ANSWER);
        }
        if let Some(violation) = Violation::of_status(status) {
            return SessionError::Protocol(violation);
        }
        let clean = |text: &str| self.redactor.text(text);
        SessionError::Source(Box::new(cordon_wire::error::error_from_status_cleaned(status, clean)))
    }
}

fn records_of(snapshot: &Snapshot) -> u64 {
    snapshot.manifest.census.types.values().map(|census| census.records).sum()
}

/// Whether the connector itself says what is wrong.
pub(crate) fn carries_error(status: &Status) -> bool {
    status.metadata().contains_key("cordon-error-bin")
}

fn stage_failure(
    result: Result<Result<Staged, StageError>, oneshot::error::RecvError>,
) -> SessionError {
    match result {
        Ok(Err(error)) if error.is_protocol() => {
            SessionError::Protocol(Violation::of_records(chain(&error)))
        }
        Ok(Err(error)) => SessionError::Stage(error),
        Ok(Ok(_)) | Err(_) => SessionError::StagingLost,
    }
}

/// Runs a staging on a thread of its own: it hashes, compresses and writes, and must not hold up the
/// tasks that talk. Ends when `work` is dropped; what was not finished is swept away by its drop.
fn stage_on_thread(
    mut staging: Staging,
    last_good: Option<Snapshot>,
) -> (mpsc::Sender<Work>, oneshot::Receiver<Result<Staged, StageError>>) {
    let (work, mut orders) = mpsc::channel::<Work>(limits::BATCHES_IN_FLIGHT);
    let (result, staged) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        while let Some(order) = orders.blocking_recv() {
            let done = match order {
                Work::BeginScope { scope, name } => staging.begin_scope(scope, &name),
                Work::Append(batch) => staging.append(batch),
                Work::Finish(reports) => {
                    let _ = result.send(staging.finish(reports, last_good.as_ref()));
                    return;
                }
            };
            if let Err(error) = done {
                let _ = result.send(Err(error));
                return;
            }
        }
    });
    (work, staged)
}
