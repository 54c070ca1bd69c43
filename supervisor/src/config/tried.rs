//! A policy that is only tried: the guards of a configuration, and nothing else of it.

use std::collections::BTreeMap;
use std::path::Path;

use cordon_model::ConnectorName;
use cordon_validate::{Policy, PolicyPatch};
use serde::Deserialize;

use super::error::ConfigError;
use super::resolve::{taken_names, too_much};

/// What errors name in place of a file: whoever asks knows which it was.
const GIVEN: &str = "the given policy";

/// The guards of a configuration. Its other parts are passed over, not checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tried {
    #[serde(default)]
    guard: PolicyPatch,
    #[serde(default)]
    connector: BTreeMap<ConnectorName, TriedConnector>,
    #[serde(default, rename = "version")]
    _version: serde::de::IgnoredAny,
    #[serde(default)]
    daemon: TriedDaemon,
    #[serde(default, rename = "store")]
    _store: serde::de::IgnoredAny,
    #[serde(default, rename = "sink")]
    _sink: serde::de::IgnoredAny,
}

#[derive(Deserialize, Default)]
struct TriedConnector {
    #[serde(default)]
    guard: PolicyPatch,
}

#[derive(Deserialize, Default)]
struct TriedDaemon {
    #[serde(default)]
    include: Vec<String>,
}

impl Tried {
    pub(crate) fn read(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::of_toml(Path::new(GIVEN), text, &error))
    }

    /// The policy of a connector, of which nothing else may be written here.
    pub(crate) fn policy(&self, connector: &ConnectorName) -> Result<Policy, ConfigError> {
        let given = Path::new(GIVEN);
        let host = Policy::default().overlaid(&self.guard).for_every_connector();
        let own = self.connector.get(connector).map(|it| it.guard.clone()).unwrap_or_default();
        let refused = too_much(&self.guard).or_else(|| too_much(&own));
        match refused.or_else(|| taken_names(&own, &host)) {
            Some(message) => Err(ConfigError::of_file(given, message)),
            None => Ok(host.overlaid(&own)),
        }
    }

    /// The connectors that it names itself.
    pub(crate) fn connectors(&self) -> impl Iterator<Item = &ConnectorName> {
        self.connector.keys()
    }

    /// Whether other files say more of its connectors.
    pub(crate) fn includes(&self) -> bool {
        !self.daemon.include.is_empty()
    }
}
