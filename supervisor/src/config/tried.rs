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

/// The parts of a configuration that are not tried are passed over, not checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tried {
    #[serde(default)]
    guard: PolicyPatch,
    #[serde(default)]
    connector: BTreeMap<ConnectorName, TriedConnector>,
    #[serde(default, rename = "version")]
    _version: serde::de::IgnoredAny,
    #[serde(default, rename = "daemon")]
    _daemon: serde::de::IgnoredAny,
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

pub(super) fn policy(text: &str, connector: &ConnectorName) -> Result<Policy, ConfigError> {
    let given = Path::new(GIVEN);
    let tried: Tried =
        toml::from_str(text).map_err(|error| ConfigError::of_toml(given, text, &error))?;
    let host = Policy::default().overlaid(&tried.guard).for_every_connector();
    let own = tried.connector.get(connector).map(|it| it.guard.clone()).unwrap_or_default();
    let refused = too_much(&tried.guard).or_else(|| too_much(&own));
    match refused.or_else(|| taken_names(&own, &host)) {
        Some(message) => Err(ConfigError::of_file(given, message)),
        None => Ok(host.overlaid(&own)),
    }
}
