//! `describe` and `runs`: one connector in full.

use cordon_ledger::RunRow;
use cordon_model::{Finding, ScopeOutcome, ScopeReport};
use cordon_sandbox::{Destination, JailItem};
use cordon_wire::v1;
use jiff::Timestamp;
use tonic::Status;

use super::follow::moment;
use super::hindsight::soon;
use super::problem::Refusal;
use super::render::micros;
use super::status::connector_status;
use super::{Service, render};
use crate::config::Connector;
use crate::egress::Flow;
use crate::host::Handle;
use crate::schedule::in_words;

/// Runs shown when nobody says how many.
const RUNS: u32 = 20;
/// Runs answered at most.
const RUNS_MAX: u32 = 10_000;
/// Runs and events on a connector's page.
const PAGE: u32 = 5;

impl Service {
    pub(super) async fn answer_runs(
        &self,
        request: v1::RunsRequest,
    ) -> Result<v1::RunsResponse, Status> {
        let (name, _) = self.find(&request.connector)?;
        let since = moment(request.since)?;
        let limit = match request.limit {
            0 if since.is_some() => RUNS_MAX,
            0 => RUNS,
            limit => limit.min(RUNS_MAX),
        };
        let mut runs = self.host.ledger.runs(&name, limit).await.map_err(Refusal::from)?;
        runs.retain(|run| since.is_none_or(|since| run.started_at >= since));
        Ok(v1::RunsResponse { runs: runs.iter().map(render::run).collect() })
    }

    pub(super) async fn answer_describe(
        &self,
        request: v1::DescribeConnectorRequest,
    ) -> Result<v1::ConnectorDetail, Status> {
        let (name, handle) = self.find(&request.connector)?;
        let view = handle.view.borrow().clone();
        let runs = self.host.ledger.runs(&name, PAGE).await.map_err(Refusal::from)?;
        let events = self.newest_events(Some(&name), PAGE).await?;
        let scopes = match handle.facts().last_good {
            None => Vec::new(),
            Some(row) => {
                let store = self.host.store.clone();
                let (connector, sync) = (name.clone(), row.sync);
                let read = tokio::task::spawn_blocking(move || store.snapshot(&connector, sync));
                let snapshot = read
                    .await
                    .map_err(|error| Refusal::failed(error.to_string()))?
                    .map_err(|error| Refusal::failed(crate::session::chain(&error)))?;
                let scopes = snapshot.manifest.census.scopes.values();
                scopes.map(|scope| self::scope(&scope.report)).collect()
            }
        };
        let rereads = self.host.ledger.rereads(&name).await.map_err(Refusal::from)?;
        let ran = view.ran.as_ref();
        Ok(v1::ConnectorDetail {
            status: Some(connector_status(&name, &handle, Timestamp::now())),
            program: view.connector.program.display().to_string(),
            program_version: ran
                .map(|ran| {
                    let it = &ran.announced;
                    format!("{} {}, protocol {}", it.name, it.version, it.protocol)
                })
                .unwrap_or_default(),
            program_digest: ran.map(|ran| ran.report.program_digest.clone()).unwrap_or_default(),
            schedule: view.connector.schedule.describe(),
            limits: limits(&view.connector),
            policy: policy(&view.connector),
            isolation: ran
                .map(|ran| ran.report.items.iter().map(isolation).collect())
                .unwrap_or_default(),
            findings: findings(&handle, runs.first()).iter().map(render::finding).collect(),
            runs: runs.iter().map(render::run).collect(),
            events,
            scopes,
            flows: view.flows.all().iter().map(flow).collect(),
            rereads: rereads.all,
            rereads_transient: rereads.transient,
            hindsight: Some(self.hindsight(&name, None, soon()).await),
        })
    }

    /// The newest evidence, newest first.
    pub(super) async fn newest_events(
        &self,
        name: Option<&cordon_model::ConnectorName>,
        limit: u32,
    ) -> Result<Vec<v1::Event>, Refusal> {
        let rows = self.host.ledger.latest_evidence(name, limit).await?;
        Ok(rows.iter().map(render::event).collect())
    }
}

/// What the checks noticed: in what is left of a sync where a part of it passed, which is the newest run
/// then and has nothing against it; else in the newest run.
fn findings(handle: &Handle, newest: Option<&RunRow>) -> Vec<Finding> {
    let rest = handle.facts().quarantined.filter(|row| row.rest.is_some());
    rest.map(|row| row.findings)
        .or_else(|| newest.map(|run| run.findings.clone()))
        .unwrap_or_default()
}

fn scope(report: &ScopeReport) -> v1::ScopeDetail {
    let (outcome, reason) = match &report.outcome {
        ScopeOutcome::Complete => ("complete", String::new()),
        ScopeOutcome::Incomplete { reason } => ("incomplete", reason.clone()),
        ScopeOutcome::Gone => ("gone", String::new()),
    };
    v1::ScopeDetail {
        name: report.name.clone(),
        outcome: outcome.into(),
        reason,
        records: report.received,
        source_total: report.source_total,
        watermark_time: micros(report.watermark.time),
        watermark_token: report.watermark.token.clone().unwrap_or_default(),
    }
}

fn isolation(item: &JailItem) -> v1::IsolationItem {
    v1::IsolationItem {
        name: item.step.name().to_owned(),
        state: item.state.as_str().to_owned(),
        detail: item.detail.clone(),
        level: item.level.name().to_owned(),
        required: item.required,
        asked: item.asked,
        in_force: item.in_force,
        errno: item.errno,
    }
}

fn flow((destination, flow): (&Destination, &Flow)) -> v1::Flow {
    v1::Flow {
        destination: destination.to_string(),
        connections: flow.connections,
        failures: flow.failures,
        sent_bytes: flow.sent,
        received_bytes: flow.received,
        address: flow.address.map(|address| address.to_string()).unwrap_or_default(),
        last_at: micros(flow.last),
        trouble: flow.trouble.clone(),
    }
}

fn limits(connector: &Connector) -> String {
    let limits = &connector.limits;
    let mut words = Vec::new();
    if let Some(bytes) = limits.memory_bytes {
        words.push(format!("memory {} MiB", bytes / (1024 * 1024)));
    }
    if let Some(percent) = limits.cpu_percent {
        words.push(format!("cpu {percent} %"));
    }
    if let Some(tasks) = limits.tasks {
        words.push(format!("tasks {tasks}"));
    }
    words.push(format!("files {}", limits.files));
    words.push(format!("sync {}", in_words(connector.times.sync)));
    words.push(format!("stall {}", in_words(connector.times.stall)));
    if let Some(rate) = connector.times.rate {
        words.push(format!("at least {} in {}", rate.units, in_words(rate.per)));
    }
    words.join(" · ")
}

fn policy(connector: &Connector) -> Vec<v1::Pair> {
    let pair = |(name, value): (String, String)| v1::Pair { name, value };
    let freshness = ("freshness".to_owned(), in_words(connector.freshness));
    connector.policy.describe().into_iter().chain([freshness]).map(pair).collect()
}
