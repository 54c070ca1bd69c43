//! Does what policies say fit what the connectors report?
//!
//! What a connector reports is known from its newest snapshot, or from the process that ran last. A
//! reload with a rule that cannot be met, or with a line that names nothing, is refused. A start is
//! not: the connector may have changed since. Its own syncs wait then for a rule, and a line that names
//! nothing stands at it; either harms no other connector.

use std::collections::BTreeMap;

use cordon_model::ConnectorName;
use cordon_store::ReadError;
use cordon_validate::{Announced, Policy, RuleName, announced, fitted};

use super::{Host, named};
use crate::config::Config;
use crate::session::chain;

impl Host {
    /// What a connector reports; none when that is not known yet.
    pub(crate) async fn announced(
        &self,
        name: &ConnectorName,
    ) -> Result<Option<Announced>, String> {
        let ran = self.connector(name).and_then(|handle| handle.view.borrow().ran.clone());
        if let Some(ran) = ran {
            return Ok(Some(announced(&ran.announced.schemas)));
        }
        let row = self.ledger.last_good(name).await.map_err(|error| chain(&error))?;
        let Some(row) = row else { return Ok(None) };
        let (store, name) = (self.store.clone(), name.clone());
        let read = tokio::task::spawn_blocking(move || {
            let snapshot = store.snapshot(&name, row.sync)?;
            Ok::<_, ReadError>(announced(&snapshot.manifest.schemas))
        });
        let read = read.await.map_err(|error| error.to_string())?;
        read.map(Some).map_err(|error| chain(&error))
    }

    /// What policies of a configuration say that does not fit, each with the reason.
    pub(super) async fn misfits(&self, config: &Config) -> Misfits {
        let mut known = BTreeMap::new();
        for (name, connector) in &config.connectors {
            if !speaks_of_types(&connector.policy) {
                continue;
            }
            match self.announced(name).await {
                Ok(Some(announced)) => drop(known.insert(name.clone(), announced)),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(connector = %name, error, "what it reports is not known");
                }
            }
        }
        misfits(config, &known)
    }
}

/// What policies say that does not fit what connectors are known to report.
#[derive(Debug, Default)]
pub(crate) struct Misfits {
    /// Rules that cannot be evaluated.
    pub(crate) unmet: Vec<String>,
    /// Lines that name a type or attribute which is not there.
    pub(crate) misnamed: Vec<String>,
}

impl Misfits {
    /// All of them.
    pub(crate) fn all(self) -> Vec<String> {
        [self.unmet, self.misnamed].concat()
    }
}

/// Whether a policy says anything that depends on what its connector reports.
pub(crate) fn speaks_of_types(policy: &Policy) -> bool {
    !policy.counted_rules().is_empty() || !policy.named().is_empty()
}

/// What policies of a configuration say that does not fit what connectors are known to report.
pub(crate) fn misfits(config: &Config, known: &BTreeMap<ConnectorName, Announced>) -> Misfits {
    Misfits { unmet: unmet_rules(config, known), misnamed: named::misnamed(config, known) }
}

/// The rules of a configuration that cannot be met by what connectors are known to report. A rule of
/// the host has to fit one of them, once all are known.
fn unmet_rules(config: &Config, known: &BTreeMap<ConnectorName, Announced>) -> Vec<String> {
    let mut unmet = Vec::new();
    let mut nowhere: BTreeMap<String, String> = BTreeMap::new();
    let mut somewhere = Vec::new();
    for (connector, announced) in known {
        let Some(configured) = config.connectors.get(connector) else { continue };
        for (name, rule) in &configured.policy.counted_rules() {
            let name = written(name);
            match fitted(rule, announced) {
                Ok(_) => somewhere.push(name),
                Err(why) if rule.where_it_fits => {
                    nowhere.entry(name).or_insert(why);
                }
                Err(why) => unmet.push(format!("connector `{connector}`: guard.{name}: {why}")),
            }
        }
    }
    if config.connectors.keys().all(|name| known.contains_key(name)) {
        nowhere.retain(|name, _| !somewhere.contains(name));
        unmet.extend(
            nowhere
                .into_iter()
                .map(|(name, why)| format!("guard.{name} fits no connector of this host: {why}")),
        );
    }
    unmet
}

/// The key under which it is written: a rule, or what else a policy says of single records.
fn written(name: &RuleName) -> String {
    match name.as_str().split_once('.') {
        None => format!("rule.{name}"),
        Some((what, _)) => format!("{what}_where"),
    }
}
