//! The order of messages in a sync, and what each may say.
//!
//! Pure: takes one message, gives what it means or how it broke the contract. What it keeps grows
//! with the number of scopes, which is bounded, and never with the number of records.

use std::collections::HashSet;

use cordon_model::{Batch, ScopeOutcome, ScopeReport};
use cordon_wire::v1::{self, sync_message::Message};
use tonic::{Code, Status};

use crate::limits::SCOPES_MAX;
use crate::secrets::Redactor;

/// How a connector broke the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Violation {
    /// Stable code of the rule.
    pub(crate) code: &'static str,
    /// What it did, in words and numbers.
    pub(crate) message: String,
}

impl Violation {
    fn order(message: impl Into<String>) -> Self {
        Self { code: "CRD-P101", message: message.into() }
    }

    fn counts(message: impl Into<String>) -> Self {
        Self { code: "CRD-P102", message: message.into() }
    }

    fn bytes(message: impl Into<String>) -> Self {
        Self { code: "CRD-P103", message: message.into() }
    }

    fn budget(message: impl Into<String>) -> Self {
        Self { code: "CRD-P104", message: message.into() }
    }

    /// The same without secrets.
    pub(crate) fn cleaned(&self, redactor: &Redactor) -> Self {
        Self { code: self.code, message: redactor.text(&self.message) }
    }

    /// Whether it sent more than it may, and nothing wrong.
    pub(crate) fn is_of_budget(&self) -> bool {
        self.code == "CRD-P104"
    }

    /// Records that do not fit what the connector announced.
    pub(crate) fn of_records(message: String) -> Self {
        Self { code: "CRD-P105", message }
    }

    /// What the channel itself refused: garbage, or a message beyond the limit.
    pub(crate) fn of_status(status: &Status) -> Option<Self> {
        match status.code() {
            Code::OutOfRange => Some(Self::bytes(status.message())),
            Code::Internal if !status.metadata().contains_key("cordon-error-bin") => {
                Some(Self::bytes(format!("the channel is broken: {}", status.message())))
            }
            _ => None,
        }
    }
}

/// What a message means.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// A scope opens.
    BeginScope { scope: u32, name: String },
    /// Records of an open scope.
    Append(Batch),
    /// Where the connector says it is.
    Progress { done: u64, total: u64, phase: String },
    /// Noted.
    Nothing,
    /// The sync ended as it should.
    End(Vec<ScopeReport>),
}

impl Step {
    /// Records that it brings.
    pub(super) fn records(&self) -> usize {
        match self {
            Self::Append(batch) => batch.records(),
            _ => 0,
        }
    }
}

struct Scope {
    name: String,
    received: u64,
    report: Option<ScopeReport>,
}

/// A sync as far as it has come.
pub(crate) struct Protocol {
    scopes: Vec<Scope>,
    names: HashSet<String>,
    records: u64,
    records_max: u64,
    done: u64,
    ended: u64,
    redactor: Redactor,
}

impl Protocol {
    /// A sync of which nothing has come. Words about the data are kept without the secrets that
    /// `redactor` finds; records are kept as they are.
    pub(crate) fn new(records_max: u64, redactor: Redactor) -> Self {
        Self {
            scopes: Vec::new(),
            names: HashSet::new(),
            records: 0,
            records_max,
            done: 0,
            ended: 0,
            redactor,
        }
    }

    /// All work so far: records, scopes that began and ended, and what the connector says is done.
    /// It never falls; a checkpoint, an empty batch and a count that is repeated do not raise it.
    pub(crate) fn work(&self) -> u64 {
        self.brought().saturating_add(self.done)
    }

    /// The part of it that was seen here: records, and scopes that began and ended.
    pub(crate) fn brought(&self) -> u64 {
        self.records.saturating_add(self.scopes.len() as u64).saturating_add(self.ended)
    }

    /// Measures the next message.
    pub(crate) fn take(&mut self, message: v1::SyncMessage) -> Result<Step, Violation> {
        match message.message {
            None => Err(Violation::bytes("an empty message, or one of an unknown kind")),
            Some(Message::ScopeBegin(begin)) => self.begin(begin),
            Some(Message::Batch(batch)) => self.batch(batch),
            Some(Message::ScopeEnd(end)) => self.end_scope(&end),
            Some(Message::SyncEnd(end)) => self.end(&end),
            Some(Message::Progress(progress)) => Ok(self.progress(&progress)),
            // Incremental syncs will keep it; a full sync has no use for it.
            Some(Message::Checkpoint(_)) => Ok(Step::Nothing),
        }
    }

    /// The stream ended before `SyncEnd`.
    pub(crate) fn ended_early(&self) -> Violation {
        Violation::order(format!(
            "the stream ended without SyncEnd after {} scopes and {} records",
            self.scopes.len(),
            self.records
        ))
    }

    fn begin(&mut self, mut begin: v1::ScopeBegin) -> Result<Step, Violation> {
        let next = self.scopes.len() as u32;
        if begin.scope != next {
            return Err(Violation::order(format!(
                "ScopeBegin numbers its scope {} where {next} comes next",
                begin.scope
            )));
        }
        if next >= SCOPES_MAX {
            return Err(Violation::budget(format!("more than {SCOPES_MAX} scopes")));
        }
        cordon_wire::scope::check_length("scope's name", &begin.name)
            .map_err(|error| Violation::bytes(error.to_string()))?;
        begin.name = self.redactor.text(&begin.name);
        if begin.name.is_empty() || begin.name.contains(char::is_control) {
            return Err(Violation::bytes(format!("scope {next} has no usable name")));
        }
        if !self.names.insert(begin.name.clone()) {
            return Err(Violation::order(format!("scope {:?} was opened twice", begin.name)));
        }
        self.scopes.push(Scope { name: begin.name.clone(), received: 0, report: None });
        Ok(Step::BeginScope { scope: next, name: begin.name })
    }

    fn batch(&mut self, batch: v1::Batch) -> Result<Step, Violation> {
        let scope = self.open_scope(batch.scope, "a batch")?;
        let name = scope.name.clone();
        let batch = cordon_wire::batch::from_wire(batch).map_err(|error| {
            Violation::bytes(format!("a batch of scope {name:?}: {}", super::chain(&error)))
        })?;
        let records = batch.records() as u64;
        self.scopes[batch.scope() as usize].received += records;
        self.records += records;
        if self.records > self.records_max {
            return Err(Violation::budget(format!(
                "more than {} records, the limit of this connector",
                self.records_max
            )));
        }
        Ok(Step::Append(batch))
    }

    fn end_scope(&mut self, end: &v1::ScopeEnd) -> Result<Step, Violation> {
        let refused =
            |error: cordon_wire::scope::WireScopeError| Violation::bytes(error.to_string());
        let mut outcome = cordon_wire::scope::outcome_from_wire(end).map_err(refused)?;
        if let ScopeOutcome::Incomplete { reason } = &mut outcome {
            *reason = self.redactor.text(reason);
        }
        let mut watermark =
            cordon_wire::scope::watermark_from_wire(end.watermark.as_ref()).map_err(refused)?;
        watermark.token = watermark.token.map(|token| self.redactor.text(&token));
        let scope = self.open_scope(end.scope, "ScopeEnd")?;
        if end.records != scope.received {
            return Err(Violation::counts(format!(
                "scope {:?} says it sent {} records, {} arrived",
                scope.name, end.records, scope.received
            )));
        }
        scope.report = Some(ScopeReport {
            name: scope.name.clone(),
            outcome,
            received: scope.received,
            declared: end.records,
            source_total: end.source_total,
            watermark,
        });
        self.ended += 1;
        Ok(Step::Nothing)
    }

    fn end(&mut self, end: &v1::SyncEnd) -> Result<Step, Violation> {
        if let Some(open) = self.scopes.iter().find(|scope| scope.report.is_none()) {
            return Err(Violation::order(format!("scope {:?} was never closed", open.name)));
        }
        if end.scopes as usize != self.scopes.len() || end.records != self.records {
            return Err(Violation::counts(format!(
                "SyncEnd says {} scopes and {} records, {} and {} arrived",
                end.scopes,
                end.records,
                self.scopes.len(),
                self.records
            )));
        }
        Ok(Step::End(self.scopes.drain(..).filter_map(|scope| scope.report).collect()))
    }

    fn progress(&mut self, progress: &v1::Progress) -> Step {
        self.done = self.done.max(progress.done);
        // A phase is for people; a long one is cut, not refused.
        let phase: String = progress.phase.chars().filter(|c| !c.is_control()).collect();
        let phase = self.redactor.text(&phase).chars().take(60).collect();
        Step::Progress { done: self.done, total: progress.total, phase }
    }

    fn open_scope(&mut self, scope: u32, what: &str) -> Result<&mut Scope, Violation> {
        match self.scopes.get_mut(scope as usize) {
            None => {
                Err(Violation::order(format!("{what} names scope {scope}, which was never opened")))
            }
            Some(closed) if closed.report.is_some() => Err(Violation::order(format!(
                "{what} names scope {:?}, which is closed",
                closed.name
            ))),
            Some(open) => Ok(open),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(scope: u32, name: &str) -> Message {
        Message::ScopeBegin(v1::ScopeBegin { scope, name: name.into() })
    }

    fn batch(scope: u32, ids: &[&str]) -> Message {
        let text = v1::TextColumn {
            lengths: ids.iter().map(|id| id.len() as u32).collect(),
            data: ids.concat().into_bytes(),
        };
        let column = v1::Column {
            name: "id".into(),
            presence: Vec::new(),
            values: Some(v1::column::Values::Text(text)),
        };
        Message::Batch(v1::Batch {
            scope,
            kind: v1::RecordKind::Resource.into(),
            r#type: "user".into(),
            records: ids.len() as u32,
            columns: vec![column],
        })
    }

    fn end(scope: u32, records: u64) -> Message {
        Message::ScopeEnd(v1::ScopeEnd {
            scope,
            outcome: v1::ScopeOutcome::Complete.into(),
            records,
            ..Default::default()
        })
    }

    fn sync_end(scopes: u32, records: u64) -> Message {
        Message::SyncEnd(v1::SyncEnd { scopes, records })
    }

    /// Plays messages; gives how it ended in words.
    fn check(messages: Vec<Message>) -> String {
        let mut protocol = Protocol::new(3, Redactor::default());
        for message in messages {
            match protocol.take(v1::SyncMessage { message: Some(message) }) {
                Err(violation) => return format!("{}: {}", violation.code, violation.message),
                Ok(Step::End(reports)) => return format!("ended with {} scopes", reports.len()),
                Ok(_) => {}
            }
        }
        protocol.ended_early().to_string()
    }

    #[test]
    fn an_honest_sync_ends() {
        let messages = vec![
            begin(0, "users"),
            batch(0, &["a", "b"]),
            begin(1, "groups"),
            end(0, 2),
            end(1, 0),
            sync_end(2, 2),
        ];
        assert_eq!(check(messages), "ended with 2 scopes");
    }

    #[test]
    fn a_stream_without_its_end_is_no_sync() {
        assert_eq!(
            check(vec![begin(0, "users"), batch(0, &["a"]), end(0, 1)]),
            "the stream ended without SyncEnd after 1 scopes and 1 records"
        );
    }

    #[test]
    fn wrong_counts_are_named() {
        assert_eq!(
            check(vec![begin(0, "users"), batch(0, &["a"]), end(0, 2)]),
            "CRD-P102: scope \"users\" says it sent 2 records, 1 arrived"
        );
        assert_eq!(
            check(vec![begin(0, "users"), end(0, 0), sync_end(1, 7)]),
            "CRD-P102: SyncEnd says 1 scopes and 7 records, 1 and 0 arrived"
        );
    }

    #[test]
    fn an_unclosed_scope_is_named() {
        assert_eq!(
            check(vec![begin(0, "users"), sync_end(1, 0)]),
            "CRD-P101: scope \"users\" was never closed"
        );
    }

    #[test]
    fn records_outside_an_open_scope_are_refused() {
        assert_eq!(
            check(vec![batch(0, &["a"])]),
            "CRD-P101: a batch names scope 0, which was never opened"
        );
        assert_eq!(
            check(vec![begin(0, "users"), end(0, 0), batch(0, &["a"])]),
            "CRD-P101: a batch names scope \"users\", which is closed"
        );
        assert_eq!(
            check(vec![begin(0, "users"), begin(1, "users")]),
            "CRD-P101: scope \"users\" was opened twice"
        );
    }

    #[test]
    fn an_endless_stream_meets_its_budget() {
        assert_eq!(
            check(vec![begin(0, "users"), batch(0, &["a", "b"]), batch(0, &["c", "d"])]),
            "CRD-P104: more than 3 records, the limit of this connector"
        );
    }

    #[test]
    fn only_what_was_not_there_before_is_work() {
        let mut protocol = Protocol::new(3, Redactor::default());
        let mut tell = |message| {
            protocol.take(v1::SyncMessage { message: Some(message) }).unwrap();
            protocol.work()
        };
        let done = |done| Message::Progress(v1::Progress { done, ..Default::default() });
        assert_eq!(tell(done(1)), 1);
        assert_eq!(tell(done(1)), 1, "a repeated count");
        assert_eq!(tell(done(0)), 1, "a lower one");
        assert_eq!(tell(done(2)), 2);
        assert_eq!(tell(Message::Checkpoint(v1::Checkpoint::default())), 2, "a checkpoint");
        assert_eq!(tell(begin(0, "users")), 3);
        assert_eq!(tell(batch(0, &[])), 3, "an empty batch");
        assert_eq!(tell(batch(0, &["a", "b"])), 5);
        assert_eq!(tell(end(0, 2)), 6);
    }

    #[test]
    fn a_count_that_claims_everything_overflows_nothing() {
        let mut protocol = Protocol::new(3, Redactor::default());
        let done = Message::Progress(v1::Progress { done: u64::MAX, ..Default::default() });
        for message in [done, begin(0, "users"), batch(0, &["a"])] {
            protocol.take(v1::SyncMessage { message: Some(message) }).unwrap();
        }
        assert_eq!(protocol.work(), u64::MAX);
    }
}
