//! How a connector stands, for whoever asks. Written by its task, read without asking it: status
//! answers while every task is busy.

use std::sync::Arc;
use std::time::Duration;

use cordon_ledger::{QuarantinedRow, RequestRow, RunRow, SnapshotRow, Wanted};
use cordon_sandbox::JailReport;
use jiff::Timestamp;

use crate::config::Connector;
use crate::egress::Flows;
use crate::gate::reread;
use crate::logs::Logs;
use crate::process::Announced;
use crate::reason::{Class, Reason};
use crate::secrets::Held;
use crate::trust::{self, Trusted};
use crate::unit::{Hold, Phase, StartNumber, Unit};

/// How a connector's task stands.
#[derive(Clone)]
pub(crate) struct View {
    /// How it is configured.
    pub(crate) connector: Arc<Connector>,
    /// What an operator wants of it.
    pub(crate) wanted: Wanted,
    /// What its state machine knows.
    pub(crate) unit: Unit,
    /// The state machine's time.
    pub(crate) unit_time: Duration,
    /// When it is due.
    pub(crate) next_sync: Option<Timestamp>,
    /// Its process, while there is one.
    pub(crate) pid: Option<u32>,
    /// Restarts that operators ordered.
    pub(crate) restarts: u32,
    /// What ran last.
    pub(crate) ran: Option<Ran>,
    /// Since when syncs fail, and why in one word.
    pub(crate) failing: Option<(Timestamp, String)>,
    /// How the last process died.
    pub(crate) last_death: Option<String>,
    /// The newest start that failed, and why.
    pub(crate) start_failed: Option<(StartNumber, String)>,
    /// What it printed.
    pub(crate) logs: Arc<Logs>,
    /// What is remembered of the secrets that it was given.
    pub(crate) secrets: Arc<Held>,
    /// What went out of its own network.
    pub(crate) flows: Arc<Flows>,
}

/// A process that ran, or runs.
#[derive(Clone)]
pub(crate) struct Ran {
    /// What it said of itself.
    pub(crate) announced: Arc<Announced>,
    /// The isolation in force.
    pub(crate) report: Arc<JailReport>,
}

/// What the ledger knows of a connector, as it was last read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// The last known good.
    pub(crate) last_good: Option<SnapshotRow>,
    /// The run that made it.
    pub(crate) last_good_run: Option<RunRow>,
    /// The sync that waits for a person.
    pub(crate) quarantined: Option<QuarantinedRow>,
    /// What is wrong with its policy.
    pub(crate) standing: Vec<cordon_model::Finding>,
    /// The word of a first person on it, which waits for a second.
    pub(crate) asked: Option<RequestRow>,
}

impl Facts {
    /// What the last known good says of removals that are accepted and not final.
    pub(crate) fn pending_removals(&self) -> Option<&cordon_model::Finding> {
        let code = cordon_validate::codes::PENDING_REMOVALS.code;
        self.last_good_run.as_ref()?.findings.iter().find(|finding| finding.code == code)
    }
}

impl View {
    /// The state of its process in one word.
    pub(crate) fn runtime(&self) -> &'static str {
        match (self.unit.phase, self.unit.hold, &self.wanted) {
            (Phase::Starting, _, _) => "starting",
            (Phase::Syncing(_), _, _) => "syncing",
            (Phase::Stopping, _, _) => "stopping",
            (_, _, Wanted::Paused { .. }) => "paused",
            (_, _, Wanted::Stopped) => "stopped",
            (_, Some(Hold::CrashLoop { .. }), _) => "crash-loop",
            (_, Some(Hold::OutOfMemory { .. } | Hold::Misconfigured), _) => "held",
            (_, Some(Hold::BackingOff { .. }), _) => "backing-off",
            (Phase::Down | Phase::Up, None, Wanted::Run) => "idle",
        }
    }

    /// Why it failed last, in one word; empty once it does what it should. After a restart of the
    /// service the newest run tells.
    pub(crate) fn reason(&self) -> &str {
        let told = self.failing.as_ref().map(|(_, word)| word.as_str());
        self.unit.failed.map(Reason::as_str).or(told).unwrap_or_default()
    }

    /// What is to be said of that.
    pub(crate) fn runtime_detail(&self) -> String {
        let reason = self.unit.failed.map(Reason::as_str).unwrap_or_default();
        let died = self.last_death.as_deref().unwrap_or("see its runs");
        match self.unit.hold {
            None => String::new(),
            Some(Hold::Misconfigured) => {
                format!("{reason}: waits for another configuration or a restart")
            }
            Some(Hold::BackingOff { until }) => {
                let what = match self.unit.failed.map(Reason::class) {
                    Some(Class::Credentials) => "credentials refused, tried slowly".to_owned(),
                    _ => format!("{} failures", self.unit.streak()),
                };
                format!("{reason}: {what}, next try {}", self.in_seconds(until))
            }
            Some(Hold::CrashLoop { until }) => format!(
                "{reason}: failed too often ({died}), next try {} or by a restart",
                self.in_seconds(until)
            ),
            Some(Hold::OutOfMemory { until }) => {
                format!("{reason}: {died}; next try {} or by a restart", self.in_seconds(until))
            }
        }
    }

    fn in_seconds(&self, until: Duration) -> String {
        format!("in {} s", until.saturating_sub(self.unit_time).as_secs())
    }

    /// May its data be used?
    pub(crate) fn trust(&self, facts: &Facts, now: Timestamp) -> Trusted {
        let paused_since = match &self.wanted {
            Wanted::Paused { since, .. } => Some(*since),
            Wanted::Run | Wanted::Stopped => None,
        };
        let released = facts
            .last_good_run
            .as_ref()
            .is_some_and(|run| run.outcome == cordon_ledger::RunOutcome::Released);
        let facts = trust::Facts {
            taken_at: facts.last_good.as_ref().map(|row| row.taken_at),
            released,
            freshness: self.connector.freshness,
            quarantined_since: facts.held().map(|row| row.since),
            reads_again: self.reread_at(facts).is_some(),
            left_by: facts.quarantined.as_ref().and_then(|row| row.rest).map(|rest| rest.left_by),
            paused_since,
            failing_since: self.failing.clone(),
        };
        trust::weigh(&facts, now)
    }

    /// When its source is read again because of the sync that waits; none when it is not.
    pub(crate) fn reread_at(&self, facts: &Facts) -> Option<Timestamp> {
        reread::due_at(facts.quarantined.as_ref()?, &self.connector.policy)
    }

    /// Whether accepted changes of it may go out now. While the rest of something waits, what passed
    /// of it goes out.
    pub(crate) fn may_propagate(&self, facts: &Facts) -> bool {
        let waits_whole = facts.held().is_some_and(|row| row.rest.is_none());
        !matches!(self.wanted, Wanted::Paused { .. }) && !waits_whole
    }
}

impl Facts {
    /// The sync that is held; not one that only waits for a second reading of what is unusual.
    pub(crate) fn held(&self) -> Option<&QuarantinedRow> {
        self.quarantined.as_ref().filter(|row| !reread::waiting(row).is_only_unusual())
    }
}
