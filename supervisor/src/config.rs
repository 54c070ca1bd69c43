//! The configuration, read once into plain structs.
//!
//! A security service must never run on half of what was written: an unknown key, a wrong type or a
//! value out of range is an error with file and line, and the configuration in force stays in force.
//! No key can be set by the environment. Defaults stand here, beside the key that they are for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cordon_model::ConnectorName;
use cordon_validate::{Named, Policy};

mod differs;
mod error;
mod isolation;
mod raw;
mod resolve;
mod tried;
mod value;

pub(crate) use error::ConfigError;
pub(crate) use isolation::{Isolation, Profile};
pub(crate) use tried::Tried;

use crate::liveness::{Bounds, Rate};
use crate::schedule::Schedule;
use crate::secrets::{Fingerprint, SecretError};
use crate::unit::Rules;

/// All that was configured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    /// The file that it was read from.
    pub(crate) path: PathBuf,
    /// The service itself.
    pub(crate) daemon: Daemon,
    /// What the policy of the host names; it holds for every connector, and need not fit each.
    pub(crate) named: BTreeSet<Named>,
    /// By name.
    pub(crate) connectors: BTreeMap<ConnectorName, Connector>,
    /// By name.
    pub(crate) sinks: BTreeMap<String, Sink>,
}

/// The service itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Daemon {
    /// Where all state lives.
    pub(crate) data_dir: PathBuf,
    /// Where operators ask.
    pub(crate) socket: PathBuf,
    /// Group that may ask, beside root and the service's own user.
    pub(crate) socket_group: Option<String>,
    /// What this host is for.
    pub(crate) profile: Profile,
    /// Syncs at a time on this host.
    pub(crate) max_concurrent_syncs: usize,
    /// Snapshots kept of each connector, the last known good included.
    pub(crate) keep_last: u32,
}

/// One connector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Connector {
    /// Its name.
    pub(crate) name: ConnectorName,
    /// What `use` says.
    pub(crate) uses: String,
    /// The program to run.
    pub(crate) program: PathBuf,
    /// Arguments of the program; never secret.
    pub(crate) args: Vec<String>,
    /// When it syncs.
    pub(crate) schedule: Schedule,
    /// For people and selections.
    pub(crate) labels: BTreeMap<String, String>,
    /// Its own configuration; secret references are not resolved yet.
    pub(crate) config: serde_json::Value,
    /// What its process may use.
    pub(crate) limits: cordon_sandbox::Limits,
    /// How far it is walled in.
    pub(crate) isolation: Isolation,
    /// How long its syncs may take.
    pub(crate) times: Times,
    /// Records that one sync may send.
    pub(crate) records_max: u64,
    /// What happens after failures.
    pub(crate) rules: Rules,
    /// What its syncs are judged by.
    pub(crate) policy: Policy,
    /// The last known good is stale beyond this age.
    pub(crate) freshness: Duration,
}

/// Whose rights a connector's process has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum User {
    /// A user id of its own, where the supervisor may switch; reported where it may not.
    Own,
    /// The supervisor's.
    Same,
    /// This one.
    Named(String),
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// A whole sync.
    pub(crate) sync: Duration,
    /// Neither records nor progress.
    pub(crate) stall: Duration,
    /// The least that a sync has to do.
    pub(crate) rate: Option<Rate>,
    /// From its start to its answer to `Configure`.
    pub(crate) start: Duration,
    /// One call before that.
    pub(crate) call: Duration,
    /// Nothing to do before the process is stopped.
    pub(crate) idle: Duration,
}

impl Times {
    /// What a sync is watched by.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds { sync: self.sync, stall: self.stall, rate: self.rate }
    }
}

/// Where accepted changes go.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sink {
    /// Its name.
    pub(crate) name: String,
    /// Connectors whose changes it gets; none = all.
    pub(crate) from: Option<Vec<ConnectorName>>,
    /// What it is.
    pub(crate) kind: SinkKind,
}

/// What a sink is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SinkKind {
    /// NDJSON in a file.
    File {
        /// The file.
        path: PathBuf,
        /// Bytes before it is rotated.
        rotate_bytes: u64,
        /// Rotated files kept.
        keep: u32,
    },
    /// Signed batches over HTTP.
    Webhook {
        /// Where to.
        url: String,
        /// Reference of the signing secret, see `secrets`.
        secret: String,
        /// Changes in one request, at most.
        batch_max: usize,
        /// How long one request may take.
        timeout: Duration,
    },
}

impl SinkKind {
    /// What the secret is now, if there is one, as far as it can be compared.
    pub(crate) fn secret_fingerprint(&self) -> Option<Result<Fingerprint, SecretError>> {
        match self {
            Self::File { .. } => None,
            Self::Webhook { secret, .. } => Some(
                crate::secrets::resolve(secret).map(|value| Fingerprint::of_one(secret, &value)),
            ),
        }
    }
}

impl Sink {
    /// Whether it gets this connector's changes.
    pub(crate) fn takes(&self, connector: &ConnectorName) -> bool {
        self.from.as_ref().is_none_or(|from| from.contains(connector))
    }
}

impl Config {
    /// Reads and checks a file and all that it includes.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        resolve::read(path)
    }

    /// The policy that a configuration, given as text, has for a connector; without text the defaults.
    pub(crate) fn tried_policy(
        &self,
        text: &str,
        connector: &ConnectorName,
    ) -> Result<Policy, ConfigError> {
        Tried::read(text)?.policy(connector)
    }

    /// A connector of this host of which nothing is written but its program.
    pub(crate) fn plain_connector(
        &self,
        name: &str,
        program: &Path,
    ) -> Result<Connector, ConfigError> {
        resolve::plain_connector(self, name, program)
    }
}

#[cfg(test)]
mod tests;
