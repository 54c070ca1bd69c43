//! Reads one sync as a supervisor does: order of messages, counts, columns; and keeps what it brought.

use std::collections::BTreeMap;

use cordon_model::{Batch, Row, ScopeOutcome, ScopeReport, Value, Values, Watermark};
use cordon_wire::v1::{self, sync_message::Message as Payload};
use jiff::Timestamp;

use super::Collected;
use crate::Error;

/// What came of a sync so far.
#[derive(Default)]
pub(super) struct Collector {
    pub(super) collected: Collected,
    is_closed: Vec<bool>,
}

impl Collector {
    pub(super) fn take(&mut self, message: Payload) -> Result<(), Error> {
        match message {
            Payload::ScopeBegin(begin) => self.begin(begin),
            Payload::Batch(batch) => {
                let batch = cordon_wire::batch::from_wire(batch)
                    .map_err(|error| Error::bug("a batch cannot be read").caused_by(error))?;
                self.batch(&batch)
            }
            Payload::ScopeEnd(end) => self.end_scope(&end),
            Payload::Progress(_) | Payload::Checkpoint(_) | Payload::SyncEnd(_) => Ok(()),
        }
    }

    fn begin(&mut self, begin: v1::ScopeBegin) -> Result<(), Error> {
        if begin.scope as usize != self.collected.scopes.len() {
            return Err(Error::bug(format!("scope {} is opened out of order", begin.scope)));
        }
        if self.collected.scope(&begin.name).is_some() {
            return Err(Error::bug(format!("scope {:?} is opened twice", begin.name)));
        }
        self.is_closed.push(false);
        self.collected.scopes.push(ScopeReport {
            name: begin.name,
            outcome: ScopeOutcome::Incomplete { reason: "never closed".to_owned() },
            received: 0,
            declared: 0,
            source_total: None,
            watermark: Watermark::default(),
        });
        Ok(())
    }

    /// The place of a scope that is open.
    fn open(&self, scope: u32) -> Result<usize, Error> {
        match self.is_closed.get(scope as usize) {
            Some(false) => Ok(scope as usize),
            Some(true) => Err(Error::bug(format!("scope {scope} goes on after its end"))),
            None => Err(Error::bug(format!("scope {scope} was never opened"))),
        }
    }

    fn batch(&mut self, batch: &Batch) -> Result<(), Error> {
        let place = self.open(batch.scope())?;
        for index in 0..batch.records() {
            self.collected.rows.push(row(batch, index)?);
            self.collected.scope_of_row.push(place);
        }
        self.collected.scopes[place].received += batch.records() as u64;
        Ok(())
    }

    fn end_scope(&mut self, end: &v1::ScopeEnd) -> Result<(), Error> {
        let place = self.open(end.scope)?;
        let bad = |error| Error::bug("the end of a scope cannot be read").caused_by(error);
        let outcome =
            cordon_wire::scope::outcome_from_wire(end).map_err(|error| bad(Box::new(error)))?;
        let watermark = cordon_wire::scope::watermark_from_wire(end.watermark.as_ref())
            .map_err(|error| bad(Box::new(error)))?;
        self.is_closed[place] = true;
        let scope = &mut self.collected.scopes[place];
        scope.outcome = outcome;
        scope.declared = end.records;
        scope.source_total = end.source_total;
        scope.watermark = watermark;
        if scope.declared != scope.received {
            return Err(Error::bug(format!(
                "scope {:?} declares {} records, {} came",
                scope.name, scope.declared, scope.received
            )));
        }
        Ok(())
    }

    pub(super) fn end(&mut self, end: &v1::SyncEnd) -> Result<(), Error> {
        if let Some(open) = self.is_closed.iter().position(|closed| !closed) {
            let name = &self.collected.scopes[open].name;
            return Err(Error::bug(format!("scope {name:?} is open at the end of the sync")));
        }
        let (scopes, records) = (self.collected.scopes.len(), self.collected.rows.len());
        if (end.scopes as usize, end.records) != (scopes, records as u64) {
            return Err(Error::bug(format!(
                "the sync declares {} scopes and {} records, {scopes} and {records} came",
                end.scopes, end.records
            )));
        }
        Ok(())
    }
}

fn row(batch: &Batch, index: usize) -> Result<Row, Error> {
    let mut values = BTreeMap::new();
    for column in batch.columns() {
        if !column.is_present(index) {
            continue;
        }
        let value = match &column.values {
            Values::Text { .. } => Value::Text(column.text(index).unwrap_or_default().to_owned()),
            Values::Integer(numbers) => Value::Integer(numbers[index]),
            Values::Boolean(bits) => Value::Boolean(bits.get(index)),
            Values::Timestamp(times) => {
                let time = Timestamp::from_microsecond(times[index])
                    .map_err(|error| Error::bug("a timestamp is no date").caused_by(error))?;
                Value::Timestamp(time)
            }
        };
        values.insert(column.name.to_string(), value);
    }
    Ok(Row { record_type: batch.record_type().clone(), values })
}
