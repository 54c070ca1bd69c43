//! Which connectors and sinks a host has, and the configuration that says so.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Serialize;
use toml::{Table, Value};

use super::{Host, put};
use crate::programs;
use crate::receiver::Receiver;
use crate::scenario::Scenario;

/// The secret that webhooks of the fixture are signed with: `whsec_` and the base64 of 32 bytes.
pub const WEBHOOK_SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// A host that is not started yet.
pub struct Setup {
    config: Table,
    scenarios: Vec<(String, Scenario)>,
    files: Vec<(String, Vec<u8>)>,
    environment: Vec<(String, String)>,
    is_dev: bool,
}

/// One connector of a host.
pub struct Connector {
    table: Table,
    scenario: Option<Scenario>,
}

impl Connector {
    /// A connector that runs that program of the target folder.
    ///
    /// # Panics
    /// When it was not built.
    #[track_caller]
    pub fn program(name: &str) -> Self {
        Self::at(&programs::path(name))
    }

    /// A connector that runs the program at that path.
    pub fn at(path: &Path) -> Self {
        let mut table = Table::new();
        table.insert("use".to_owned(), path.display().to_string().into());
        Self { table, scenario: None }
    }

    /// A connector that follows a scenario; [`Host::play`] changes it between syncs.
    ///
    /// # Panics
    /// When the faulty connector was not built.
    #[track_caller]
    pub fn faulty(scenario: &Scenario) -> Self {
        let mut connector = Self::program("connector-faulty");
        connector.scenario = Some(scenario.clone());
        connector
    }

    /// Sets a key of the connector's table, such as `every` or `limits`.
    ///
    /// # Panics
    /// When the value cannot be written as TOML.
    #[track_caller]
    pub fn set(mut self, key: &str, value: impl Serialize) -> Self {
        self.table.insert(key.to_owned(), to_toml(value));
        self
    }

    /// Sets the configuration that the connector itself gets.
    ///
    /// # Panics
    /// When it cannot be written as TOML.
    #[track_caller]
    pub fn config(self, config: impl Serialize) -> Self {
        self.set("config", config)
    }
}

impl Setup {
    pub(super) fn new() -> Self {
        let mut config = Table::new();
        config.insert("version".to_owned(), Value::Integer(1));
        // What a test is not about, it takes as the host gives it.
        let daemon = Table::from_iter([("profile".to_owned(), Value::from("dev"))]);
        config.insert("daemon".to_owned(), daemon.into());
        Self {
            config,
            scenarios: Vec::new(),
            files: Vec::new(),
            environment: Vec::new(),
            is_dev: true,
        }
    }

    /// Adds a connector.
    pub fn connector(mut self, name: &str, connector: Connector) -> Self {
        self.section("connector").insert(name.to_owned(), connector.table.into());
        self.scenarios.extend(connector.scenario.map(|scenario| (name.to_owned(), scenario)));
        self
    }

    /// Adds a connector that follows a scenario and syncs only when it is told to.
    ///
    /// # Panics
    /// When the faulty connector was not built.
    #[track_caller]
    pub fn faulty(self, name: &str, scenario: &Scenario) -> Self {
        self.connector(name, Connector::faulty(scenario))
    }

    /// Adds a file sink for all connectors; [`Host::changes`] reads it.
    pub fn file_sink(mut self, name: &str) -> Self {
        // Its path is known when the host has a folder.
        let mut sink = Table::new();
        sink.insert("type".to_owned(), "file".into());
        self.section("sink").insert(name.to_owned(), sink.into());
        self
    }

    /// Adds a webhook sink for all connectors.
    pub fn webhook_sink(mut self, name: &str, receiver: &Receiver) -> Self {
        let mut sink = Table::new();
        sink.insert("type".to_owned(), "webhook".into());
        sink.insert("url".to_owned(), receiver.url().into());
        self.section("sink").insert(name.to_owned(), sink.into());
        self
    }

    /// Sets a key of a section, such as `daemon` and `max_concurrent_syncs`.
    ///
    /// # Panics
    /// When the value cannot be written as TOML.
    #[track_caller]
    pub fn set(mut self, section: &str, key: &str, value: impl Serialize) -> Self {
        self.section(section).insert(key.to_owned(), to_toml(value));
        self
    }

    /// Sets a variable of the service's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the service as in production, without what is only for development and drills.
    pub fn in_production(mut self) -> Self {
        self.is_dev = false;
        self
    }

    /// Puts a file into the host's folder before it starts.
    pub fn file(mut self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.files.push((name.to_owned(), content.as_ref().to_owned()));
        self
    }

    /// Writes the configuration and starts the service.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start(self) -> Host {
        let mut host = self.stopped();
        host.start();
        host
    }

    /// Writes the configuration; the service is not started.
    ///
    /// # Panics
    /// When the folder cannot be written.
    #[track_caller]
    pub fn stopped(mut self) -> Host {
        let folder = tempfile::Builder::new()
            .prefix("cordon-")
            // Connectors of another user read their scenario in it.
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap_or_else(|error| panic!("no folder for a host: {error}"));
        let mut host = Host::new(folder);
        host.environment = std::mem::take(&mut self.environment);
        host.is_dev = self.is_dev;
        self.complete(&host);
        let text = toml::to_string(&self.config)
            .unwrap_or_else(|error| panic!("the configuration is no TOML: {error}"));
        host.put("cordon.toml", text);
        for (name, content) in &self.files {
            host.put(name, content);
        }
        for (connector, scenario) in &self.scenarios {
            host.play(connector, scenario);
        }
        host
    }

    /// Fills in what depends on the folder.
    fn complete(&mut self, host: &Host) {
        let folder = host.folder();
        let text = |path: &Path| Value::String(path.display().to_string());
        let daemon = self.section("daemon");
        daemon.insert("data_dir".to_owned(), text(&host.state()));
        daemon.insert("socket".to_owned(), text(&host.socket()));
        for (name, _) in self.scenarios.clone() {
            let file = folder.join(scenario_file(&name));
            let connector = self.entry("connector", &name);
            let arguments = vec![Value::from("--scenario"), text(&file)];
            connector.insert("args".to_owned(), arguments.into());
            table(connector.entry("config")).insert("file".to_owned(), text(&file));
        }
        let names: Vec<String> = self.section("sink").keys().cloned().collect();
        for name in names {
            let sink = self.entry("sink", &name);
            if sink.get("type").and_then(Value::as_str) == Some("file") {
                sink.entry("path").or_insert_with(|| text(&folder.join(sink_file(&name))));
            } else if !sink.contains_key("secret") {
                let file = folder.join("webhook.secret");
                put(folder, "webhook.secret", WEBHOOK_SECRET.as_bytes());
                let own = std::fs::Permissions::from_mode(0o600);
                std::fs::set_permissions(&file, own)
                    .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                sink.insert("secret".to_owned(), format!("file:{}", file.display()).into());
            }
        }
    }

    fn section(&mut self, name: &str) -> &mut Table {
        table(self.config.entry(name))
    }

    fn entry(&mut self, section: &str, name: &str) -> &mut Table {
        table(self.section(section).entry(name))
    }
}

fn table(entry: toml::map::Entry<'_, String, Value>) -> &mut Table {
    match entry.or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(table) => table,
        other => panic!("{other} where a table belongs"),
    }
}

#[track_caller]
fn to_toml(value: impl Serialize) -> Value {
    Value::try_from(value).unwrap_or_else(|error| panic!("no TOML: {error}"))
}

pub(super) fn scenario_file(connector: &str) -> String {
    format!("{connector}.scenario.json")
}

pub(super) fn scenario_text(scenario: &Scenario) -> String {
    serde_json::to_string_pretty(scenario)
        .unwrap_or_else(|error| panic!("a scenario is no JSON: {error}"))
}

pub(super) fn sink_file(sink: &str) -> String {
    format!("{sink}.ndjson")
}
