//! `status`: how everything stands, worst first.

use cordon_ledger::{ChangeCounts, Wanted};
use cordon_model::ConnectorName;
use cordon_wire::v1;
use jiff::Timestamp;
use tonic::Status;

use super::Service;
use super::problem::Refusal;
use super::render::{self, micros};
use crate::host::Handle;
use crate::outbox::SinkView;

impl Service {
    /// A configured connector, or a refusal that names the nearest one.
    pub(super) fn find(&self, name: &str) -> Result<(ConnectorName, Handle), Refusal> {
        let known = ConnectorName::new(name).ok();
        if let Some((name, handle)) =
            known.and_then(|name| self.host.connector(&name).map(|handle| (name, handle)))
        {
            return Ok((name, handle));
        }
        let names = self.host.connectors();
        let nearest = names
            .keys()
            .map(|known| (known, strsim::jaro_winkler(name, known.as_str())))
            .filter(|(_, score)| *score > 0.7)
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let short: String = name.chars().take(80).collect();
        let refusal = Refusal::not_found(format!("no connector is called `{short}`"));
        Err(match nearest {
            Some((known, _)) => refusal.hint(format!("did you mean `{known}`?")),
            None => {
                let names: Vec<&str> = names.keys().map(ConnectorName::as_str).collect();
                refusal.hint(format!("there are: {}", names.join(", ")))
            }
        })
    }

    pub(super) async fn answer_status(
        &self,
        request: v1::StatusRequest,
    ) -> Result<v1::StatusResponse, Status> {
        let now = Timestamp::now();
        let mut found = Vec::new();
        if request.connectors.is_empty() {
            found.extend(self.host.connectors());
        }
        for name in &request.connectors {
            found.push(self.find(name)?);
        }
        let mut ranked: Vec<_> =
            found.iter().map(|(name, handle)| ranked_status(name, handle, now)).collect();
        ranked.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.name.cmp(&b.1.name)));
        let mut sinks = Vec::new();
        for view in self.host.sinks() {
            let all = self.host.connectors().into_keys();
            let takes: Vec<ConnectorName> = all.filter(|it| view.sink.takes(it)).collect();
            sinks.push(self.sink_status(&view, &takes).await?);
        }
        Ok(v1::StatusResponse {
            host: Some(self.host_status(now)),
            connectors: ranked.into_iter().map(|(_, status)| status).collect(),
            sinks,
        })
    }

    fn host_status(&self, now: Timestamp) -> v1::Host {
        let loaded = self.host.loaded();
        let hostname = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        v1::Host {
            version: env!("CARGO_PKG_VERSION").into(),
            hostname: hostname.unwrap_or_default(),
            started_at: self.host.started_at.as_microsecond(),
            config_loaded_at: loaded.at.as_microsecond(),
            config_path: loaded.config.path.display().to_string(),
            state_dir: loaded.config.daemon.data_dir.display().to_string(),
            now: now.as_microsecond(),
        }
    }

    /// How a sink is, and how far it is with the changes of these connectors.
    pub(super) async fn sink_status(
        &self,
        view: &SinkView,
        connectors: &[ConnectorName],
    ) -> Result<v1::SinkStatus, Refusal> {
        let lag = self.host.ledger.sink_lag(&view.sink.name, connectors).await?;
        let state = match (&view.trouble, lag.behind) {
            (Some(_), _) => "failing",
            (None, 0) => "live",
            (None, _) => "behind",
        };
        Ok(v1::SinkStatus {
            name: view.sink.name.clone(),
            r#type: match view.sink.kind {
                crate::config::SinkKind::File { .. } => "file".into(),
                crate::config::SinkKind::Webhook { .. } => "webhook".into(),
            },
            state: state.into(),
            detail: view.trouble.as_ref().map(|it| it.reason.clone()).unwrap_or_default(),
            behind: lag.behind,
            oldest_at: micros(lag.oldest),
            delivered: view.delivered,
        })
    }
}

/// How one connector stands.
pub(super) fn connector_status(
    name: &ConnectorName,
    handle: &Handle,
    now: Timestamp,
) -> v1::ConnectorStatus {
    ranked_status(name, handle, now).1
}

fn ranked_status(
    name: &ConnectorName,
    handle: &Handle,
    now: Timestamp,
) -> (crate::trust::Trust, v1::ConnectorStatus) {
    let (view, facts) = (handle.view.borrow().clone(), handle.facts());
    let trusted = view.trust(&facts, now);
    let last_good = facts.last_good.as_ref();
    let quarantined = facts.quarantined.as_ref();
    let changes = facts.last_good_run.as_ref().and_then(|run| run.changes);
    let status = v1::ConnectorStatus {
        name: name.to_string(),
        trust: trusted.trust.as_str().into(),
        trust_reasons: trusted.reasons,
        trust_since: micros(trusted.since),
        runtime: view.runtime().into(),
        runtime_detail: view.runtime_detail(),
        last_good_at: micros(last_good.map(|row| row.taken_at)),
        last_good_sync: last_good.map_or(0, |row| row.sync.0),
        next_sync_at: micros(view.next_sync),
        records: last_good.map_or(0, |row| row.records),
        last_change: changes.map(counts),
        pause: pause(&view.wanted),
        pid: view.pid.unwrap_or_default(),
        restarts: view.restarts,
        r#use: view.connector.uses.clone(),
        labels: view.connector.labels.clone().into_iter().collect(),
        progress: progress(handle),
        quarantined_sync: quarantined.map_or(0, |row| row.sync.0),
        quarantined_digest: quarantined.map(|row| row.digest.clone()).unwrap_or_default(),
        standing: facts.standing.iter().map(render::finding).collect(),
        reason: view.reason().to_owned(),
        reread_at: micros(view.reread_at(&facts)),
        rest: quarantined.and_then(render::rest),
        asked: render::asked(facts.asked.as_ref(), now),
        pending_removals: facts.pending_removals().map(render::finding),
    };
    (trusted.trust, status)
}

/// Counts for the wire.
pub(super) fn counts(counts: ChangeCounts) -> v1::ChangeCounts {
    v1::ChangeCounts { added: counts.added, removed: counts.removed, modified: counts.modified }
}

/// How far a running sync is.
pub(super) fn progress(handle: &Handle) -> Option<v1::SyncProgress> {
    let (sync, progress) = handle.progress.borrow().clone()?;
    Some(v1::SyncProgress {
        sync: sync.0,
        phase: progress.phase,
        records: progress.records,
        done: progress.done,
        total: progress.total,
    })
}

fn pause(wanted: &Wanted) -> Option<v1::Pause> {
    match wanted {
        Wanted::Paused { by, reason, since, until } => Some(v1::Pause {
            by: by.clone(),
            reason: reason.clone(),
            since: since.as_microsecond(),
            until: micros(*until),
        }),
        Wanted::Run | Wanted::Stopped => None,
    }
}
