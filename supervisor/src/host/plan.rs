//! How a configuration differs from another, or from what runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use cordon_model::ConnectorName;

use super::reload::Reloaded;
use super::{Host, settings};
use crate::config::{Config, Connector, Sink};

impl Host {
    /// What a reload would do now, but for secrets, which are not resolved. Changes nothing.
    pub(crate) async fn plan(&self) -> anyhow::Result<Reloaded> {
        let running = self.loaded().config;
        let config = self.read_again(&running).await?;
        let settings = settings::taken_over(&running.daemon, &config.daemon);
        // What was ordered counts, also where a task has not come to it yet.
        Ok(Reloaded { settings, ..Running::from(&*running).differences(&config) })
    }
}

/// The connectors and sinks there are.
pub(super) struct Running {
    connectors: BTreeMap<ConnectorName, Arc<Connector>>,
    sinks: BTreeMap<String, Arc<Sink>>,
}

impl From<&Config> for Running {
    fn from(config: &Config) -> Self {
        let connectors = config.connectors.iter();
        let sinks = config.sinks.iter();
        Self {
            connectors: connectors.map(|(name, it)| (name.clone(), it.clone().into())).collect(),
            sinks: sinks.map(|(name, it)| (name.clone(), it.clone().into())).collect(),
        }
    }
}

impl Running {
    /// Those that have a task.
    pub(super) fn of(host: &Host) -> Self {
        let connectors = host.connectors().into_iter();
        let sinks = host.sinks().into_iter();
        Self {
            connectors: connectors
                .map(|(name, handle)| (name, handle.view.borrow().connector.clone()))
                .collect(),
            sinks: sinks.map(|view| (view.sink.name.clone(), view.sink)).collect(),
        }
    }

    /// How a configuration differs from them.
    pub(super) fn differences(&self, config: &Config) -> Reloaded {
        let mut found = Reloaded::default();
        let gone = self.connectors.keys().filter(|name| !config.connectors.contains_key(*name));
        found.removed.extend(gone.map(ToString::to_string));
        for (name, wanted) in &config.connectors {
            match self.connectors.get(name) {
                None => found.added.push(name.to_string()),
                Some(runs) if **runs == *wanted => {}
                Some(runs) => found.changes(name.as_str(), runs.differs_in(wanted)),
            }
        }
        let gone = self.sinks.keys().filter(|name| !config.sinks.contains_key(*name));
        found.removed.extend(gone.cloned());
        for (name, wanted) in &config.sinks {
            match self.sinks.get(name) {
                None => found.added.push(name.clone()),
                Some(runs) if **runs == *wanted => {}
                Some(runs) => found.changes(name, runs.differs_in(wanted)),
            }
        }
        found
    }
}

impl Reloaded {
    fn changes(&mut self, name: &str, keys: Vec<&'static str>) {
        self.changed.push(name.to_owned());
        self.differences.push((name.to_owned(), keys));
    }
}
