//! `cordond --check`: what the file says, and what only the connectors themselves can tell of it.
//!
//! Which fields of a connector's configuration are secret stands in its own schema, and which records
//! a policy can speak of in what it announces. So each program that has either is started in the
//! sandbox, asked what it is, and ended; it gets neither its configuration nor a secret. A host that cannot start it, such as the desk where the file is
//! written, says so and takes the rest for right.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use cordon_sandbox::Launcher;
use cordon_validate::announced;
use cordon_wire::v1;
use tokio::sync::watch;

use crate::config::{Config, Connector};
use crate::host::{Host, misfits, speaks_of_types};
use crate::logs::Logs;
use crate::process::Start;
use crate::secrets;

/// Names the control groups of a check among those of services.
const TAG: &str = "config-check";

/// What the connectors tell of their configurations.
#[derive(Default)]
pub(crate) struct Told {
    /// Secrets that stand in the configuration.
    pub(crate) literals: Vec<String>,
    /// What a policy says that does not fit.
    pub(crate) misfits: Vec<String>,
    /// What could not be asked.
    pub(crate) unknown: Vec<String>,
}

/// Asks every connector that has a configuration, or a policy that speaks of its types.
pub(crate) async fn ask(config: &Config) -> Told {
    let mut told = Told::default();
    let asks = |it: &&Connector| has_literals(&it.config) || speaks_of_types(&it.policy);
    let asked = config.connectors.values().filter(asks);
    let asked: Vec<&Connector> = asked.collect();
    if asked.is_empty() {
        return told;
    }
    let sandbox = match Sandbox::open() {
        Ok(sandbox) => sandbox,
        Err(error) => {
            told.unknown.push(format!("any connector: {error:#}"));
            return told;
        }
    };
    let mut known = BTreeMap::new();
    for connector in asked {
        let name = &connector.name;
        match sandbox.describe(connector).await {
            Ok(described) => {
                let schema = described.configuration_schema;
                if let Ok(schemas) = cordon_wire::describe::schemas_from_wire(&described.schemas) {
                    known.insert(name.clone(), announced(&schemas));
                }
                for place in secrets::literals(&schema, &connector.config) {
                    told.literals.push(format!("connector `{name}`: {place}"));
                }
            }
            Err(error) => told.unknown.push(format!("connector `{name}`: {error:#}")),
        }
    }
    told.misfits = misfits(config, &known).all();
    told
}

/// Whether there is anything that might have to be a reference.
fn has_literals(config: &serde_json::Value) -> bool {
    match config {
        serde_json::Value::Null => false,
        serde_json::Value::String(text) => secrets::check_reference(text).is_err(),
        serde_json::Value::Array(values) => values.iter().any(has_literals),
        serde_json::Value::Object(fields) => fields.values().any(has_literals),
        _ => true,
    }
}

/// A place to start programs in that is gone with it.
struct Sandbox {
    launcher: Launcher,
    work_root: PathBuf,
}

impl Sandbox {
    fn open() -> anyhow::Result<Self> {
        let isolation = Arc::new(cordon_sandbox::Host::probe("cordon"));
        let launcher = Launcher::start(Host::jail_program()?, isolation)?;
        let work_root = std::env::temp_dir().join(format!("cordon-check-{}", std::process::id()));
        // A connector with a user id of its own must be able to pass, and not to look around. What
        // exists already is somebody else's.
        use std::os::unix::fs::DirBuilderExt;
        let made = std::fs::DirBuilder::new().mode(0o711).create(&work_root);
        made.with_context(|| format!("cannot make {}", work_root.display()))?;
        Ok(Self { launcher, work_root })
    }

    async fn describe(&self, connector: &Connector) -> anyhow::Result<v1::DescribeResponse> {
        let start = Start {
            connector,
            launcher: &self.launcher,
            work_root: &self.work_root,
            tag: TAG,
            logs: Arc::new(Logs::new(Path::new("/dev/null").to_owned())),
            secrets: Arc::default(),
            flows: Arc::default(),
            dev: true,
            on_spawn: watch::channel(None).0,
        };
        Ok(start.ask().await?)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.work_root);
    }
}
