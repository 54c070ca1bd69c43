//! `logs` and `events`: what was, and what comes.

use std::time::Duration;

use cordon_ledger::EvidenceSeq;
use cordon_model::{ConnectorName, SyncNumber};
use cordon_wire::v1;
use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::problem::Refusal;
use super::{Service, Streamed, render};
use crate::logs::Line;

/// Records or lines shown when nobody says how many.
const SHOWN: u32 = 20;
/// Evidence records read at a time.
const PAGE: u32 = 500;
/// The newest evidence records, answered at most.
const EVENTS_MAX: u32 = 10_000;
/// Output of a process may arrive so long after the sync that it belongs to.
const OUTPUT_LAG: Duration = Duration::from_secs(1);

impl Service {
    pub(super) async fn follow_logs(
        &self,
        request: &v1::LogsRequest,
    ) -> Result<Streamed<v1::LogLine>, Status> {
        let (name, handle) = self.find(&request.connector)?;
        let (since, until) = self.log_window(&name, request).await?;
        let logs = handle.view.borrow().logs.clone();
        let goes_on = request.follow && until.is_none();
        let mut follow = logs.follow();
        let mut recent = logs.recent();
        recent.retain(|line| {
            since.is_none_or(|since| line.time >= since)
                && until.is_none_or(|until| line.time <= until)
        });
        let lines = if request.lines == 0 { SHOWN } else { request.lines };
        recent.drain(..recent.len().saturating_sub(lines as usize));
        let (sent, stream) = mpsc::channel(64);
        let name = name.to_string();
        tokio::spawn(async move {
            for line in recent {
                if sent.send(Ok(log_line(&name, line))).await.is_err() {
                    return;
                }
            }
            if !goes_on {
                return;
            }
            loop {
                let line = tokio::select! {
                    () = sent.closed() => return,
                    line = follow.recv() => line,
                };
                match line {
                    Ok(line) => {
                        if sent.send(Ok(log_line(&name, line))).await.is_err() {
                            return;
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        });
        Ok(Box::pin(ReceiverStream::new(stream)))
    }

    /// The time that was asked for: since then, or while that sync ran.
    async fn log_window(
        &self,
        name: &ConnectorName,
        request: &v1::LogsRequest,
    ) -> Result<(Option<Timestamp>, Option<Timestamp>), Refusal> {
        let mut since = moment(request.since)?;
        if request.sync == 0 {
            return Ok((since, None));
        }
        let sync = SyncNumber(request.sync);
        let Some(run) = self.host.ledger.run(name, sync).await? else {
            return Err(Refusal::not_found(format!("`{name}` has no sync {sync}")));
        };
        since = Some(since.map_or(run.started_at, |since| since.max(run.started_at)));
        // What it printed last may be read a moment after its end.
        Ok((since, run.ended_at.map(|end| end.checked_add(OUTPUT_LAG).unwrap_or(end))))
    }

    pub(super) async fn follow_events(
        &self,
        request: v1::EventsRequest,
    ) -> Result<Streamed<v1::Event>, Status> {
        let name = match request.connector.as_str() {
            "" => None,
            name => Some(self.find(name)?.0),
        };
        let mut ear = self.host.bell.listen();
        let (mut known, mut after) = match request.after {
            Some(after) => (Vec::new(), EvidenceSeq(after)),
            None => self.recent_events(name.as_ref(), &request).await?,
        };
        // Whoever reads on gets all that there is before anything is waited for.
        let mut is_behind = request.after.is_some();
        let host = self.host.clone();
        let (sent, stream) = mpsc::channel(64);
        tokio::spawn(async move {
            loop {
                for event in std::mem::take(&mut known) {
                    after.0 = event.seq;
                    if sent.send(Ok(event)).await.is_err() {
                        return;
                    }
                }
                if !is_behind {
                    if !request.follow {
                        return;
                    }
                    tokio::select! {
                        () = sent.closed() => return,
                        () = ear.rung() => {}
                    }
                }
                match host.ledger.evidence(name.as_ref(), after, PAGE).await {
                    Ok(rows) => {
                        is_behind = rows.len() == PAGE as usize;
                        known = rows.iter().map(render::event).collect();
                    }
                    Err(error) => {
                        let _ = sent.send(Err(Refusal::from(error).into())).await;
                        return;
                    }
                }
            }
        });
        Ok(Box::pin(ReceiverStream::new(stream)))
    }

    /// The newest evidence that was asked for, oldest first, and the number after which more is new.
    async fn recent_events(
        &self,
        name: Option<&ConnectorName>,
        request: &v1::EventsRequest,
    ) -> Result<(Vec<v1::Event>, EvidenceSeq), Refusal> {
        let since = moment(request.since)?;
        let limit = match request.limit {
            0 if since.is_some() => EVENTS_MAX,
            0 => SHOWN,
            limit => limit.min(EVENTS_MAX),
        };
        let mut known = self.newest_events(name, limit).await?;
        // Before the older ones go: what is followed comes after the newest.
        let after = EvidenceSeq(known.first().map_or(0, |newest| newest.seq));
        known.retain(|event| since.is_none_or(|since| event.time >= since.as_microsecond()));
        known.reverse();
        Ok((known, after))
    }
}

/// A moment of the wire; 0 = none.
pub(super) fn moment(micros: i64) -> Result<Option<Timestamp>, Refusal> {
    let refused = |_| Refusal::invalid("CRD-H002", "`since` is no moment that there is");
    (micros != 0).then(|| Timestamp::from_microsecond(micros).map_err(refused)).transpose()
}

fn log_line(connector: &str, line: Line) -> v1::LogLine {
    v1::LogLine {
        time: line.time.as_microsecond(),
        connector: connector.to_owned(),
        pid: line.pid.unwrap_or_default(),
        line: line.text,
    }
}
