//! Lookups at a source that can only be read whole, such as a file.
//!
//! There nothing is closer to the source's word on one record than to read it once more and to look:
//! a read that was cut short by chance is whole now. What is there is present. What is not is absent
//! only if this reading was whole too: every scope complete, and as many records as the source counts.

use std::collections::{HashMap, HashSet};

use cordon_model::{Batch, RecordKind, columns};
use cordon_wire::v1::{self, sync_message::Message as Payload};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{Connector, Error, Message, Presence, RecordKey, Sync};

/// Messages between the reading and whoever looks through them.
const MESSAGES: usize = 4;

/// Answers a lookup by syncing once more, to nobody. Memory grows with the keys that are asked for
/// and not with the source.
pub async fn look_up_by_reading<C: Connector>(
    connector: &C,
    keys: &[RecordKey],
) -> Result<Vec<Presence>, Error> {
    let schemas = C::describe().schemas()?.into();
    let (outbox, stream) = mpsc::channel(MESSAGES);
    let mut sync = Sync::new(0, schemas, outbox, CancellationToken::new());
    let shared = sync.shared();
    let reading = async move {
        let read = connector.sync(&mut sync).await;
        drop(sync);
        shared.end(read).await;
    };
    let ((), seen) = futures::join!(reading, Seen::of(keys).through(stream));
    let seen = seen?;
    Ok(keys.iter().map(|key| seen.presence(key)).collect())
}

/// What was seen of the keys that are asked for.
struct Seen<'a> {
    /// The place of each in `is_there`.
    asked: HashMap<(RecordKind, &'a str, &'a str, &'a str), usize>,
    is_there: Vec<bool>,
    is_whole: bool,
}

impl<'a> Seen<'a> {
    fn of(keys: &'a [RecordKey]) -> Self {
        let asked = keys.iter().enumerate().map(|(at, key)| (place(key), at)).collect();
        Self { asked, is_there: vec![false; keys.len()], is_whole: true }
    }

    fn presence(&self, key: &RecordKey) -> Presence {
        let at = self.asked.get(&place(key));
        match at.and_then(|at| self.is_there.get(*at)) {
            Some(true) => Presence::Present,
            _ if self.is_whole => Presence::Absent,
            _ => Presence::Unknown,
        }
    }

    async fn through(mut self, mut stream: mpsc::Receiver<Message>) -> Result<Self, Error> {
        let mut open = HashSet::new();
        while let Some(message) = stream.recv().await {
            let message = message.map_err(|status| Error::from_status(&status))?;
            match message.message {
                Some(Payload::ScopeBegin(begin)) => {
                    open.insert(begin.scope);
                }
                Some(Payload::Batch(batch)) => {
                    let batch = cordon_wire::batch::from_wire(batch)
                        .map_err(|error| Error::bug("a batch cannot be read").caused_by(error))?;
                    self.look(&batch);
                }
                Some(Payload::ScopeEnd(end)) => {
                    open.remove(&end.scope);
                    let is_counted = end.source_total.is_none_or(|total| total == end.records);
                    self.is_whole &= is_counted && end.outcome() == v1::ScopeOutcome::Complete;
                }
                Some(Payload::SyncEnd(_)) => {
                    self.is_whole &= open.is_empty();
                    return Ok(self);
                }
                Some(Payload::Progress(_) | Payload::Checkpoint(_)) | None => {}
            }
        }
        Err(Error::bug("the reading ended without an end"))
    }

    fn look(&mut self, batch: &Batch) {
        let of = batch.record_type();
        let column =
            |name: &str| batch.columns().iter().find(|column| column.name.as_str() == name);
        let (id, second) = match of.kind {
            RecordKind::Resource | RecordKind::Entitlement => (column(columns::ID), None),
            RecordKind::Grant => (column(columns::PRINCIPAL), column(columns::ENTITLEMENT)),
        };
        for record in 0..batch.records() {
            let id = id.and_then(|column| column.text(record)).unwrap_or_default();
            let second = second.and_then(|column| column.text(record)).unwrap_or_default();
            let at = self.asked.get(&(of.kind, of.name.as_str(), id, second));
            if let Some(is_there) = at.and_then(|at| self.is_there.get_mut(*at)) {
                *is_there = true;
            }
        }
    }
}

fn place(key: &RecordKey) -> (RecordKind, &str, &str, &str) {
    let entitlement = match key.record_type.kind {
        RecordKind::Grant => key.entitlement.as_str(),
        RecordKind::Resource | RecordKind::Entitlement => "",
    };
    (key.record_type.kind, key.record_type.name.as_str(), &key.id, entitlement)
}
