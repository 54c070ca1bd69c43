//! Delivery: one task a sink, fed from what was published, never from a stream.
//!
//! The ledger says which changes a sink has not confirmed; the store computes them from the two
//! snapshots between which they lie. So nothing is queued in memory, a restart goes on where the
//! sink stopped, and a sink that is down for days costs no more than its place in the ledger.
//! Order holds per connector. A sink that fails waits alone; a connector that it refuses waits
//! alone, too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cordon_ledger::{OutboxWork, WorkKind};
use cordon_model::{Change, ConnectorName};
use cordon_sinks::{Backoff, DeliverError, Delivery, Sink};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::host::Host;
use crate::limits;
use crate::secrets::{Fingerprint, SecretError};
use crate::session::chain;

mod trouble;

pub(crate) use trouble::Trouble;

/// How a sink stands.
#[derive(Debug, Clone)]
pub(crate) struct SinkView {
    /// How it is configured.
    pub(crate) sink: Arc<config::Sink>,
    /// What keeps it from delivering.
    pub(crate) trouble: Option<Trouble>,
    /// Changes that it confirmed since the service started.
    pub(crate) delivered: u64,
    /// The secret that it was opened with, as far as it can be compared.
    pub(crate) secret: Option<Fingerprint>,
}

/// A sink's task.
pub(crate) struct Outbox {
    host: Arc<Host>,
    config: Arc<config::Sink>,
    view: watch::Sender<SinkView>,
    stop: CancellationToken,
    backoff: Backoff,
    failures: u32,
    refused: BTreeMap<ConnectorName, Instant>,
}

/// How long a connector waits whose changes the sink refused.
const REFUSED_WAIT: Duration = Duration::from_secs(60);
/// After a pause a delivery that is under way has this long to end by itself.
const GRACE: Duration = Duration::from_millis(700);

/// How long one connector's changes may go out before another's get their turn.
const SLICE: Duration = Duration::from_secs(1);

/// Why a round ended.
enum Round {
    /// There is nothing to do.
    Idle,
    /// There may be more to do.
    Delivered,
    /// The sink is in trouble; try again after this.
    Trouble(Duration),
}

/// Why changes were not delivered.
#[derive(Debug, thiserror::Error)]
enum OutboxError {
    #[error("{}", chain(.0))]
    Deliver(#[from] DeliverError),
    #[error("cannot read the snapshot: {}", chain(.0))]
    Snapshot(#[from] cordon_store::ReadError),
    #[error("cannot read the ledger: {}", chain(.0))]
    Read(#[from] cordon_ledger::ReadError),
    #[error("cannot note the delivery: {}", chain(.0))]
    Note(#[from] cordon_ledger::AdvanceError),
    #[error("cannot note the delivery: {}", chain(.0))]
    NoteBaseline(#[from] cordon_ledger::WriteError),
}

impl Outbox {
    /// A task that has delivered nothing, and the window to it.
    pub(crate) fn new(
        host: Arc<Host>,
        sink: config::Sink,
        stop: CancellationToken,
    ) -> (Self, watch::Receiver<SinkView>) {
        let config = Arc::new(sink);
        let view = SinkView { sink: config.clone(), trouble: None, delivered: 0, secret: None };
        let (view, seen) = watch::channel(view);
        let backoff = Backoff::default();
        let refused = BTreeMap::new();
        (Self { host, config, view, stop, backoff, failures: 0, refused }, seen)
    }

    /// Delivers until told to stop.
    pub(crate) async fn run(mut self) {
        let stop = self.stop.clone();
        tokio::select! {
            () = self.deliver_for_ever() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn deliver_for_ever(&mut self) {
        let mut ear = self.host.bell.listen();
        let mut sink = None;
        loop {
            let open = match sink.take() {
                Some(open) => Ok(open),
                None => self.open().await,
            };
            let wait = match open {
                Err(reason) => self.troubled(Trouble::unopened(reason), None),
                Ok(mut open) => {
                    let round = self.round(&mut open).await;
                    sink = Some(open);
                    match round {
                        Round::Delivered => continue,
                        Round::Trouble(wait) => wait,
                        Round::Idle => {
                            let _ = tokio::time::timeout(limits::OUTBOX_POLL, ear.rung()).await;
                            continue;
                        }
                    }
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn open(&self) -> Result<Sink, String> {
        let config = self.config.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let (sink, secret) = sink_config(&config.kind).map_err(|error| chain(&error))?;
            let sink = Sink::open(&config.name, sink).map_err(|error| chain(&error))?;
            Ok::<_, String>((sink, secret))
        });
        let (sink, secret) = opened.await.map_err(|error| error.to_string())??;
        self.view.send_modify(|view| view.secret = secret);
        Ok(sink)
    }

    /// Delivers one batch of each connector that has something to deliver.
    async fn round(&mut self, sink: &mut Sink) -> Round {
        let mut delivered = false;
        for (name, handle) in self.host.connectors() {
            let waits = self.refused.get(&name).is_some_and(|until| *until > Instant::now());
            let may = handle.view.borrow().may_propagate(&handle.facts());
            if waits || !may || !self.config.takes(&name) {
                continue;
            }
            match self.connector(sink, &name).await {
                Ok(false) => {}
                Ok(true) => {
                    delivered = true;
                    self.refused.remove(&name);
                }
                Err(OutboxError::Deliver(DeliverError::Refused { reason })) => {
                    tracing::warn!(sink = %self.config.name, connector = %name, reason, "refused");
                    self.refused.insert(name, Instant::now() + REFUSED_WAIT);
                    let trouble = Some(Trouble::refused(reason));
                    self.view.send_modify(|view| view.trouble = trouble);
                }
                Err(error) => {
                    let asked = match &error {
                        OutboxError::Deliver(DeliverError::Retry { after, .. }) => *after,
                        _ => None,
                    };
                    let trouble = Trouble::of(&error, &self.config.kind);
                    return Round::Trouble(self.troubled(trouble, asked));
                }
            }
        }
        if !delivered {
            return Round::Idle;
        }
        self.failures = 0;
        if self.refused.is_empty() {
            self.view.send_modify(|view| view.trouble = None);
        }
        Round::Delivered
    }

    fn troubled(&mut self, trouble: Trouble, asked: Option<Duration>) -> Duration {
        tracing::warn!(sink = %self.config.name, trouble = trouble.reason, "cannot deliver");
        self.view.send_modify(|view| view.trouble = Some(trouble));
        let wait = self.backoff.next(self.failures, fastrand::f64());
        self.failures = self.failures.saturating_add(1);
        wait.max(asked.unwrap_or_default())
    }

    /// Delivers what one connector has waiting, up to the end of one snapshot; false when there is
    /// nothing.
    async fn connector(
        &mut self,
        sink: &mut Sink,
        name: &ConnectorName,
    ) -> Result<bool, OutboxError> {
        let Some(work) = self.host.ledger.outbox_next(&self.config.name, name).await? else {
            return Ok(false);
        };
        let began = Instant::now();
        let mut batches = self.read(name, work, sink.batch_max());
        while let Some(batch) = batches.recv().await {
            let batch = batch?;
            if !self.deliver_unless_held(sink, name, &batch.deliveries).await? {
                return Ok(false);
            }
            (self.host.faults)("outbox.delivered");
            self.note(name, &work, &batch).await?;
            (self.host.faults)("outbox.advanced");
            let count = batch.deliveries.len() as u64;
            self.view.send_modify(|view| view.delivered += count);
            if !self.may_go_on(name) || began.elapsed() > SLICE {
                break;
            }
        }
        Ok(true)
    }

    /// Writes down how far the sink is, so that a restart goes on from there.
    async fn note(
        &self,
        name: &ConnectorName,
        work: &OutboxWork,
        batch: &Batch,
    ) -> Result<(), OutboxError> {
        let (ledger, sink) = (&self.host.ledger, self.config.name.as_str());
        match (work.kind, batch.is_last) {
            (_, true) => {
                ledger.advance(sink, name, work.last_seq, Timestamp::now()).await?;
            }
            (WorkKind::Changes, false) => {
                let seq = work.first_seq + batch.place - 1;
                ledger.advance(sink, name, seq, Timestamp::now()).await?;
            }
            (WorkKind::Baseline, false) => {
                ledger.advance_baseline(sink, name, work.to, batch.place).await?;
            }
        }
        Ok(())
    }

    fn may_go_on(&self, name: &ConnectorName) -> bool {
        self.host
            .connector(name)
            .is_some_and(|handle| handle.view.borrow().may_propagate(&handle.facts()))
    }

    /// False when a pause or a quarantine came between; the batch will be sent again.
    async fn deliver_unless_held(
        &self,
        sink: &mut Sink,
        name: &ConnectorName,
        batch: &[Delivery],
    ) -> Result<bool, OutboxError> {
        let Some(handle) = self.host.connector(name) else { return Ok(false) };
        let (mut view, mut facts) = (handle.view.clone(), handle.watch_facts());
        let held = async {
            while view.borrow().may_propagate(&facts.borrow()) {
                tokio::select! {
                    changed = view.changed() => if changed.is_err() { break },
                    changed = facts.changed() => if changed.is_err() { break },
                }
            }
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            biased;
            delivered = sink.deliver(batch) => delivered.map(|()| true).map_err(Into::into),
            () = held => Ok(false),
        }
    }

    /// Computes the changes on a thread of its own, in batches; the channel keeps it one ahead.
    fn read(
        &self,
        name: &ConnectorName,
        work: OutboxWork,
        batch_max: usize,
    ) -> mpsc::Receiver<Result<Batch, OutboxError>> {
        let (batches, read) = mpsc::channel(1);
        let (store, name) = (self.host.store.clone(), name.clone());
        tokio::task::spawn_blocking(move || {
            let mut deliveries = match Deliveries::open(&store, name, work) {
                Ok(deliveries) => deliveries,
                Err(error) => {
                    let _ = batches.blocking_send(Err(error.into()));
                    return;
                }
            };
            loop {
                let batch = deliveries.batch(batch_max);
                let over = batch.as_ref().map_or(true, |batch| batch.is_last);
                if batches.blocking_send(batch.map_err(Into::into)).is_err() || over {
                    return;
                }
            }
        });
        read
    }
}

/// The changes of one outbox entry that a sink has not confirmed, numbered.
struct Deliveries {
    work: OutboxWork,
    connector: ConnectorName,
    changes: cordon_store::Changes,
    /// Changes of this entry that were taken already.
    place: u64,
}

impl Deliveries {
    fn open(
        store: &cordon_store::Store,
        connector: ConnectorName,
        work: OutboxWork,
    ) -> Result<Self, cordon_store::ReadError> {
        let from = work.from.map(|sync| store.snapshot(&connector, sync)).transpose()?;
        let to = store.snapshot(&connector, work.to)?;
        let changes = store.deliveries(from.as_ref(), &to, work.skip)?;
        Ok(Self { place: work.skip, work, connector, changes })
    }

    fn batch(&mut self, max: usize) -> Result<Batch, cordon_store::ReadError> {
        let mut deliveries = Vec::new();
        while deliveries.len() < max {
            let Some(change) = self.changes.next() else { break };
            self.place += 1;
            deliveries.push(self.delivery(change?));
        }
        let is_last = deliveries.len() < max;
        Ok(Batch { deliveries, place: self.place, is_last })
    }

    fn delivery(&self, change: Change) -> Delivery {
        let (seq, place) = match self.work.kind {
            WorkKind::Changes => (self.work.first_seq + self.place - 1, None),
            // A whole snapshot has one number; its additions are told apart by their place.
            WorkKind::Baseline => (self.work.last_seq, Some(self.place)),
        };
        Delivery {
            seq,
            place,
            connector: self.connector.clone(),
            snapshot: self.work.to,
            committed_at: self.work.committed_at,
            change,
        }
    }
}

/// Deliveries that go out together.
struct Batch {
    deliveries: Vec<Delivery>,
    /// How many changes of the entry there are up to its end.
    place: u64,
    /// The entry has no more.
    is_last: bool,
}

fn sink_config(
    kind: &config::SinkKind,
) -> Result<(cordon_sinks::SinkConfig, Option<Fingerprint>), SecretError> {
    use cordon_sinks::{FileConfig, SinkConfig, WebhookConfig};
    Ok(match kind {
        config::SinkKind::File { path, rotate_bytes, keep } => {
            let (path, rotate_bytes, keep) = (path.clone(), *rotate_bytes, *keep);
            (SinkConfig::File(FileConfig { path, rotate_bytes, keep }), None)
        }
        config::SinkKind::Webhook { url, secret: reference, batch_max, timeout } => {
            let secret = crate::secrets::resolve(reference)?;
            let fingerprint = Fingerprint::of_one(reference, &secret);
            let webhook = WebhookConfig {
                url: url.clone(),
                secret,
                batch_max: *batch_max,
                timeout: *timeout,
                allow_insecure: false,
            };
            (SinkConfig::Webhook(webhook), Some(fingerprint))
        }
    })
}
