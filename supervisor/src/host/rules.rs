//! Can the operators' rules be evaluated on what the connectors report?
//!
//! What a connector reports is known from its newest snapshot, or from the process that ran last. A
//! reload with a rule that cannot be met is refused. A start is not: the connector may have changed
//! since, and its own syncs wait then, which harms no other connector.

use std::collections::BTreeMap;

use cordon_model::ConnectorName;
use cordon_store::ReadError;
use cordon_validate::{Announced, RuleName, announced, fitted};

use super::Host;
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

    /// The rules of a configuration that cannot be met, each with the reason.
    pub(super) async fn unmet_rules(&self, config: &Config) -> Vec<String> {
        let mut known = BTreeMap::new();
        for (name, connector) in &config.connectors {
            if connector.policy.counted_rules().is_empty() {
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
        unmet_rules(config, &known)
    }
}

/// The rules of a configuration that cannot be met by what connectors are known to report. A rule of
/// the host has to fit one of them, once all are known.
pub(crate) fn unmet_rules(
    config: &Config,
    known: &BTreeMap<ConnectorName, Announced>,
) -> Vec<String> {
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
