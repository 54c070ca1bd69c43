//! One sync: scopes that are opened, filled and closed.
//!
//! "Missing" means "gone" only inside a scope that was enumerated to its end, so a scope can be
//! forgotten, left by `?` or lost in a panic, and still ends as incomplete: what its writer did not
//! close is closed for it, with the reason, before the sync itself ends.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cordon_model::{RecordKind, RecordSchema, Watermark};
use cordon_wire::v1::{self, sync_message::Message as Payload};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::pack::Packer;
use crate::record::{Grant, Record, pack::Pack};
use crate::{Error, Message};

type Permit<'a> = mpsc::Permit<'a, Message>;

/// Why a scope ended that nobody closed.
const LEFT: &str = "the connector left the scope before its end";
/// Why a record is not in its scope whose push was not awaited to its end.
const GIVEN_UP: &str = "a push was given up half-way";

/// One sync, as the connector sees it.
pub struct Sync {
    shared: Arc<Shared>,
    number: u64,
}

pub(crate) struct Shared {
    outbox: mpsc::Sender<Message>,
    cancel: CancellationToken,
    schemas: Arc<[RecordSchema]>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: HashSet<Box<str>>,
    opened: u32,
    closed: u32,
    records: u64,
    left: Vec<Body>,
    progress: v1::Progress,
}

/// What there is of a scope beside its writer.
#[derive(Default)]
struct Body {
    ordinal: u32,
    packers: Vec<Packer>,
    last: usize,
    records: u64,
    source_total: Option<u64>,
    watermark: Watermark,
    /// Why a record of it was not taken.
    lost: Option<String>,
}

impl Sync {
    pub(crate) fn new(
        number: u64,
        schemas: Arc<[RecordSchema]>,
        outbox: mpsc::Sender<Message>,
        cancel: CancellationToken,
    ) -> Self {
        let state = Mutex::new(State::default());
        Self { shared: Arc::new(Shared { outbox, cancel, schemas, state }), number }
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// The number that the supervisor gave this sync.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Opens a scope: a named part of the source that is enumerated as a whole. The name is the same
    /// in every sync (`users`, `members of group 17`); two scopes of a sync have different names.
    pub async fn scope(&self, name: &str) -> Result<Scope, Error> {
        self.shared.close_left(LEFT).await?;
        if name.is_empty() || name.len() > cordon_wire::scope::TEXT_BYTES_MAX {
            return Err(Error::bug(format!(
                "a scope's name has 1 to {} bytes, not {}",
                cordon_wire::scope::TEXT_BYTES_MAX,
                name.len()
            )));
        }
        // The place in the queue comes first: from here on nothing can be given up half-way.
        let permit = self.shared.permit().await?;
        let ordinal = {
            let mut state = self.shared.state();
            if !state.names.insert(name.into()) {
                return Err(Error::bug(format!("scope {name:?} is opened twice in one sync")));
            }
            let ordinal = state.opened;
            state.opened += 1;
            ordinal
        };
        send(permit, Payload::ScopeBegin(v1::ScopeBegin { scope: ordinal, name: name.to_owned() }));
        let body = Body { ordinal, ..Body::default() };
        Ok(Scope { shared: Arc::clone(&self.shared), body, is_closed: false })
    }

    /// Says how much work is done, of how much, and what is being done. Report work that was done:
    /// a supervisor takes the silence of a sync for a stall, and progress for its opposite.
    pub async fn progress(&self, done: u64, total: Option<u64>, phase: &str) -> Result<(), Error> {
        let progress = {
            let mut state = self.shared.state();
            state.progress.done = state.progress.done.max(done);
            state.progress.total = total.unwrap_or(0);
            phase.clone_into(&mut state.progress.phase);
            state.progress.clone()
        };
        send(self.shared.permit().await?, Payload::Progress(progress));
        Ok(())
    }

    /// Waits because the source asked for it, and says so, so that nobody takes it for a stall.
    pub async fn throttled(&self, wait: Duration) -> Result<(), Error> {
        let progress = {
            let mut state = self.shared.state();
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            state.progress.throttled_ms = state.progress.throttled_ms.saturating_add(millis);
            state.progress.clone()
        };
        send(self.shared.permit().await?, Payload::Progress(progress));
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.shared.cancel.cancelled() => Err(Error::Cancelled),
        }
    }

    /// Whether the supervisor wants no more.
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancel.is_cancelled()
    }

    /// Returns when the supervisor wants no more.
    pub async fn cancelled(&self) {
        self.shared.cancel.cancelled().await;
    }
}

impl Shared {
    pub(crate) fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Returns when nobody reads the stream any more.
    pub(crate) async fn stream_closed(&self) {
        self.outbox.closed().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of the author's code cannot leave the counts half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place in the queue, as long as the supervisor wants more.
    async fn permit(&self) -> Result<Permit<'_>, Error> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::Cancelled),
            permit = self.last_permit() => permit,
        }
    }

    /// A place in the queue even when the sync is cancelled: the ends of scopes are still told.
    async fn last_permit(&self) -> Result<Permit<'_>, Error> {
        self.outbox.reserve().await.map_err(|_| Error::Cancelled)
    }

    async fn close_left(self: &Arc<Self>, reason: &str) -> Result<(), Error> {
        loop {
            let Some(body) = self.state().left.pop() else { return Ok(()) };
            let mut scope = Scope { shared: Arc::clone(self), body, is_closed: false };
            scope.close(v1::ScopeOutcome::Incomplete, reason).await?;
        }
    }

    /// Closes what nobody closed and ends the stream: with counts after success, else with the
    /// error.
    pub(crate) async fn end(self: &Arc<Self>, result: Result<(), Error>) {
        let result = self.end_scopes(result).await;
        let last = match result {
            Ok(end) => {
                let message = Some(Payload::SyncEnd(end));
                Ok(v1::SyncMessage { message })
            }
            Err(error) => Err(error.to_status()),
        };
        // Nobody listens any more: then nobody misses it.
        let _ = self.outbox.send(last).await;
        self.cancel.cancel();
    }

    async fn end_scopes(self: &Arc<Self>, result: Result<(), Error>) -> Result<v1::SyncEnd, Error> {
        let reason = result.as_ref().err().map(Error::chain);
        self.close_left(reason.as_deref().unwrap_or(LEFT)).await?;
        result?;
        let state = self.state();
        let open = state.opened - state.closed;
        if open > 0 {
            return Err(Error::bug(format!(
                "{open} scopes are still being written after the sync"
            )));
        }
        Ok(v1::SyncEnd { scopes: state.opened, records: state.records })
    }
}

/// Cuts a reason to what the wire takes.
fn cut(reason: &str) -> String {
    let max = cordon_wire::scope::TEXT_BYTES_MAX;
    if reason.len() <= max {
        return reason.to_owned();
    }
    let end = (0..=max).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
    reason[..end].to_owned()
}

/// Writes the records of one scope. End it with [`complete`](Scope::complete),
/// [`incomplete`](Scope::incomplete) or [`gone`](Scope::gone); dropped, it ends as incomplete.
#[must_use = "a scope that is not completed ends as incomplete"]
pub struct Scope {
    shared: Arc<Shared>,
    body: Body,
    is_closed: bool,
}

impl Scope {
    /// Adds a record. Waits when the supervisor does not keep up. After an error, or when it is
    /// given up half-way, the record is not in the scope, which then cannot be complete.
    pub async fn push(&mut self, record: impl Record) -> Result<(), Error> {
        let room = self.room(record.kind(), record.type_name()).await;
        let added = room.and_then(|()| self.pack(&record));
        self.note(added)
    }

    /// Adds a grant without end or attributes: the principal of that type and id holds the
    /// entitlement of that id. The short way for sources with millions of them.
    #[inline]
    pub async fn push_grant(
        &mut self,
        principal_type: &str,
        principal: &str,
        entitlement: &str,
    ) -> Result<(), Error> {
        let room = self.room(RecordKind::Grant, principal_type).await;
        let grant = Grant::new(principal_type, principal, entitlement);
        let added = room.and_then(|()| self.pack(&grant));
        self.note(added)
    }

    /// How many records of this scope the source itself counts.
    pub fn source_total(&mut self, records: u64) {
        self.body.source_total = Some(records);
    }

    /// How current the source says it is.
    pub fn watermark(&mut self, watermark: Watermark) {
        self.body.watermark = watermark;
    }

    /// Records added so far.
    pub fn records(&self) -> u64 {
        let packed = self.body.packers.iter().map(|packer| packer.records() as u64);
        self.body.records + packed.sum::<u64>()
    }

    /// Ends the scope: it was enumerated to its end, what is missing is gone.
    pub async fn complete(self) -> Result<(), Error> {
        self.end(v1::ScopeOutcome::Complete, "").await
    }

    /// Ends the scope: it was not enumerated to its end, what is missing is unknown.
    pub async fn incomplete(self, reason: impl Into<String>) -> Result<(), Error> {
        self.end(v1::ScopeOutcome::Incomplete, &reason.into()).await
    }

    /// Ends the scope: it no longer exists, and all its records with it.
    pub async fn gone(self) -> Result<(), Error> {
        self.end(v1::ScopeOutcome::Gone, "").await
    }

    async fn end(mut self, outcome: v1::ScopeOutcome, reason: &str) -> Result<(), Error> {
        if self.shared.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        // Missing from a complete scope means gone, and this record is not gone.
        if let (true, Some(lost)) = (outcome != v1::ScopeOutcome::Incomplete, &self.body.lost) {
            return Err(Error::bug(format!("the scope lacks a record and is incomplete: {lost}")));
        }
        self.close(outcome, reason).await
    }

    #[inline]
    fn note(&mut self, added: Result<(), Error>) -> Result<(), Error> {
        if let Err(error) = &added {
            self.body.lost.get_or_insert_with(|| error.chain());
        }
        added
    }

    /// Selects the columns of that kind and type and makes room in them.
    #[inline]
    async fn room(&mut self, kind: RecordKind, type_name: &str) -> Result<(), Error> {
        if self.select(kind, type_name)? { self.flush().await } else { Ok(()) }
    }

    /// Selects the columns of that kind and type; true when they must be sent before they take more.
    #[inline]
    fn select(&mut self, kind: RecordKind, type_name: &str) -> Result<bool, Error> {
        let selected = self.body.packers.get(self.body.last);
        if !selected.is_some_and(|packer| packer.packs(kind, type_name)) {
            self.body.last = self.packer(kind, type_name)?;
        }
        Ok(self.body.packers[self.body.last].is_full())
    }

    fn packer(&mut self, kind: RecordKind, type_name: &str) -> Result<usize, Error> {
        let packers = &mut self.body.packers;
        if let Some(place) = packers.iter().position(|packer| packer.packs(kind, type_name)) {
            return Ok(place);
        }
        let schema = self.shared.schemas.iter().find(|schema| {
            schema.record_type.kind == kind && schema.record_type.name.as_str() == type_name
        });
        let schema = schema.ok_or_else(|| {
            Error::bug(format!("{}.{type_name} is not declared in the description", kind.as_str()))
        })?;
        packers.push(Packer::new(schema));
        Ok(packers.len() - 1)
    }

    #[inline]
    fn pack(&mut self, record: &impl Pack) -> Result<(), Error> {
        let packer = &mut self.body.packers[self.body.last];
        let packed = record.pack(packer);
        if packed.is_err() {
            packer.undo_row();
        }
        packed
    }

    /// Sends the selected columns.
    async fn flush(&mut self) -> Result<(), Error> {
        // Stands only if this is given up while it waits.
        let lost = self.body.lost.replace(GIVEN_UP.to_owned());
        let permit = self.shared.permit().await;
        self.body.lost = lost;
        self.body.send_batch(self.body.last, &self.shared, permit?)
    }

    /// Sends what is left and the scope's end. Given up half-way, it leaves the scope open and
    /// counted right, to be closed as incomplete.
    async fn close(&mut self, outcome: v1::ScopeOutcome, reason: &str) -> Result<(), Error> {
        for place in 0..self.body.packers.len() {
            if self.body.packers[place].records() > 0 {
                let permit = self.shared.last_permit().await?;
                self.body.send_batch(place, &self.shared, permit)?;
            }
        }
        let permit = self.shared.last_permit().await?;
        self.is_closed = true;
        self.shared.state().closed += 1;
        let end = v1::ScopeEnd {
            scope: self.body.ordinal,
            outcome: outcome.into(),
            reason: cut(reason),
            records: self.body.records,
            source_total: self.body.source_total,
            watermark: Some(cordon_wire::scope::watermark_to_wire(&self.body.watermark)),
        };
        send(permit, Payload::ScopeEnd(end));
        Ok(())
    }
}

impl Body {
    fn send_batch(
        &mut self,
        place: usize,
        shared: &Shared,
        permit: Permit<'_>,
    ) -> Result<(), Error> {
        if let Some(batch) = self.packers[place].take(self.ordinal)? {
            let records = batch.records() as u64;
            send(permit, Payload::Batch(cordon_wire::batch::to_wire(batch)));
            self.records += records;
            shared.state().records += records;
        }
        Ok(())
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if !self.is_closed {
            let body = std::mem::take(&mut self.body);
            self.shared.state().left.push(body);
        }
    }
}

fn send(permit: Permit<'_>, payload: Payload) {
    permit.send(Ok(v1::SyncMessage { message: Some(payload) }));
}

#[cfg(test)]
mod tests {
    use cordon_model::BATCH_RECORDS_MAX;
    use futures::FutureExt;

    use super::*;
    use crate::Description;

    fn sync(messages: usize) -> (Sync, mpsc::Receiver<Message>) {
        let description = Description::new("test", "1").reports(Grant::schema("user"));
        let schemas = description.schemas().unwrap().into();
        let (outbox, stream) = mpsc::channel(messages);
        (Sync::new(1, schemas, outbox, CancellationToken::new()), stream)
    }

    fn payload(message: Option<Message>) -> Payload {
        message.unwrap().unwrap().message.unwrap()
    }

    #[tokio::test]
    async fn a_push_that_was_given_up_half_way_leaves_its_scope_whole_but_incomplete() {
        let (sync, mut stream) = sync(1);
        // The message that opens the scope takes the only place.
        let mut scope = sync.scope("grants").await.unwrap();
        for id in 0..BATCH_RECORDS_MAX {
            scope.push_grant("user", &id.to_string(), "member").await.unwrap();
        }
        let full = scope.push_grant("user", "one more", "member").now_or_never();
        assert!(full.is_none(), "there was no place, but it went on");
        stream.recv().await;
        scope.push_grant("user", "one more", "member").await.unwrap();
        let Payload::Batch(batch) = payload(stream.recv().await) else { panic!("no batch") };
        assert_eq!(batch.records as usize, BATCH_RECORDS_MAX);
        assert_eq!(scope.records(), BATCH_RECORDS_MAX as u64 + 1);
        let Some(Err(error)) = scope.complete().now_or_never() else { panic!("it is complete") };
        assert!(error.to_string().ends_with(GIVEN_UP), "{error}");
    }

    #[tokio::test]
    async fn an_end_that_was_given_up_half_way_is_told_as_incomplete() {
        let (sync, mut stream) = sync(1);
        let shared = sync.shared();
        let scope = sync.scope("grants").await.unwrap();
        assert!(scope.complete().now_or_never().is_none(), "there was no place, but it ended");
        stream.recv().await;
        let ending = tokio::spawn(async move { shared.end(Ok(())).await });
        let Payload::ScopeEnd(end) = payload(stream.recv().await) else { panic!("no end") };
        assert_eq!((end.outcome(), end.reason.as_str()), (v1::ScopeOutcome::Incomplete, LEFT));
        let Payload::SyncEnd(_) = payload(stream.recv().await) else {
            panic!("no end of the sync")
        };
        ending.await.unwrap();
    }

    #[tokio::test]
    async fn a_scope_that_was_not_opened_in_the_end_is_never_closed() {
        let (sync, mut stream) = sync(1);
        let shared = sync.shared();
        drop(sync.scope("first").await.unwrap());
        assert!(sync.scope("second").now_or_never().is_none(), "there was no place");
        let ending = tokio::spawn(async move { shared.end(Ok(())).await });
        let mut told = Vec::new();
        while let Some(Ok(message)) = stream.recv().await {
            told.push(message.message.unwrap());
            if let Some(Payload::SyncEnd(end)) = told.last() {
                assert_eq!(end.scopes, 1);
                break;
            }
        }
        assert_eq!(told.len(), 3, "{told:?}");
        ending.await.unwrap();
    }
}
