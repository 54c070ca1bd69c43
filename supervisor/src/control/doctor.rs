//! `doctor`: what this host gives, and what is wrong with it.

use cordon_wire::v1;
use tonic::Status;

use super::Service;
use super::problem::Refusal;

mod prove;

impl Service {
    pub(super) async fn answer_doctor(
        &self,
        request: v1::DoctorRequest,
    ) -> Result<v1::DoctorResponse, Status> {
        let mut items = vec![self.config_item(), self.ledger_item().await, self.store_item().await];
        items.extend(self.secrets_item());
        items.push(descriptors_item());
        items.extend(self.host.isolation.items().iter().map(isolation_item));
        items.extend(self.walls().await);
        for view in self.host.sinks() {
            let name = format!("sink {}", view.sink.name);
            items.push(match view.trouble {
                None => item(name, "ok", "delivers", ""),
                Some(trouble) => item(name, "fail", trouble.reason, trouble.fix),
            });
        }
        let prove = if request.prove { prove::prove(&self.host).await? } else { Vec::new() };
        Ok(v1::DoctorResponse { items, prove })
    }

    /// The walls of this host, tried by a start behind all of them.
    async fn walls(&self) -> Vec<v1::DoctorItem> {
        match self.host.try_walls().await {
            Ok(walls) => walls.iter().map(isolation_item).collect(),
            Err(error) => {
                let detail = crate::session::chain(&error);
                vec![item("walls", "fail", detail, "connectors of a service cannot start here")]
            }
        }
    }

    fn config_item(&self) -> v1::DoctorItem {
        let config = self.host.loaded().config;
        let detail = format!(
            "{}, {} connectors, {} sinks",
            config.path.display(),
            config.connectors.len(),
            config.sinks.len()
        );
        match crate::config::Config::read(&config.path) {
            Ok(now) if now == *config => item("config", "ok", detail, ""),
            Ok(_) => item(
                "config",
                "warn",
                format!("{detail}; the file has changed since it was loaded"),
                "take it over with `cordon reload`",
            ),
            Err(error) => item("config", "fail", error.to_string(), "the old one stays in force"),
        }
    }

    /// None when nothing is secret.
    fn secrets_item(&self) -> Option<v1::DoctorItem> {
        let references = super::secret::references(&self.host.loaded().config);
        let exposed: Vec<String> = references
            .iter()
            .filter(|(_, named)| named.text.starts_with("env:"))
            .map(|(owner, named)| format!("{owner} {}", named.place))
            .collect();
        let count = references.len();
        match (count, exposed.is_empty()) {
            (0, _) => None,
            (_, true) => {
                let detail = format!("{count} references; `cordon secret check` resolves them");
                Some(item("secrets", "ok", detail, ""))
            }
            (_, false) => Some(item(
                "secrets",
                "warn",
                format!(
                    "from the environment, which whoever runs as cordond's user can read: {}",
                    exposed.join(", ")
                ),
                "use cred:NAME or file:/path instead of env:NAME",
            )),
        }
    }

    async fn ledger_item(&self) -> v1::DoctorItem {
        match self.host.ledger.verify_chain().await {
            Ok(report) => item("evidence", "ok", format!("{} records verified", report.head), ""),
            Err(error) => item(
                "evidence",
                "fail",
                crate::session::chain(&error),
                "keep the state directory as it is, and find out who wrote to it",
            ),
        }
    }

    async fn store_item(&self) -> v1::DoctorItem {
        let free = nix::sys::statvfs::statvfs(&self.host.data_dir())
            .map(|stat| stat.blocks_available() * stat.fragment_size());
        let mut damaged = Vec::new();
        for (name, handle) in self.host.connectors() {
            let Some(row) = handle.facts().last_good else { continue };
            let store = self.host.store.clone();
            let connector = name.clone();
            let checked = tokio::task::spawn_blocking(move || {
                let snapshot = store.snapshot(&connector, row.sync)?;
                store.verify(&snapshot)
            });
            let checked = checked.await.map_err(|error| Refusal::failed(error.to_string()));
            if let Ok(Err(error)) = checked {
                damaged.push(format!("{name}: {}", crate::session::chain(&error)));
            }
        }
        if !damaged.is_empty() {
            return item("snapshots", "fail", damaged.join("; "), "restore the file from a backup");
        }
        match free {
            Ok(free) if free < 512 << 20 => {
                let detail = format!("{} MiB free", free >> 20);
                item("snapshots", "warn", detail, "free some space; a full disk fails syncs")
            }
            Ok(free) => item("snapshots", "ok", format!("verified, {} MiB free", free >> 20), ""),
            Err(error) => item("snapshots", "warn", error.to_string(), ""),
        }
    }
}

fn descriptors_item() -> v1::DoctorItem {
    let (free, limit) = crate::descriptors::free();
    let detail = format!("{free} of {limit} free");
    match crate::descriptors::check_headroom() {
        Ok(()) => item("descriptors", "ok", detail, ""),
        Err(error) => item("descriptors", "fail", error.to_string(), "raise LimitNOFILE"),
    }
}

fn isolation_item(known: &cordon_sandbox::HostItem) -> v1::DoctorItem {
    if known.available {
        return item(known.name.clone(), "ok", known.detail.clone(), "");
    }
    let detail = format!("{}: {}", known.detail, known.effect_if_missing);
    item(known.name.clone(), "warn", detail, &known.fix)
}

fn item(
    name: impl Into<String>,
    state: &str,
    detail: impl Into<String>,
    fix: &str,
) -> v1::DoctorItem {
    v1::DoctorItem {
        name: name.into(),
        state: state.into(),
        detail: detail.into(),
        fix: fix.into(),
    }
}
