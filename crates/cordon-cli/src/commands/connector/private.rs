//! A cordond of its own, for one connector: the real thing, with state in a folder and a socket that
//! only this user can reach.
//!
//! What is tried here is what a host does, so no part of the sandbox or the gate is rebuilt. It runs
//! with `--dev`, which lets a secret stand in the settings.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use toml::{Table, Value};

use super::settings::Settings;
use crate::client::{self, Client};
use crate::commands::config::cordond;
use crate::errors::Failure;

/// How long it may take to answer, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks whether it answers.
const PAUSE: Duration = Duration::from_millis(20);
/// Lines of its log that tell why it did not come up.
const LOG_LINES: usize = 5;

/// A cordond that ends with this value.
pub(super) struct Private {
    child: Child,
    folder: PathBuf,
    /// What it demands of the host: `service` or `dev`.
    pub(super) profile: &'static str,
}

impl Private {
    /// Starts one whose state is in that folder, with one connector.
    pub(super) async fn start(settings: &Settings, folder: &Path) -> Result<Self, Failure> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o711).create(folder);
        made.map_err(|source| file("make", folder, source))?;
        let folder = fs::canonicalize(folder).map_err(|source| file("find", folder, source))?;
        let profile = profile(settings);
        let config = folder.join("cordon.toml");
        fs::write(&config, configuration(settings, &folder, profile).to_string())
            .map_err(|source| file("write", &config, source))?;
        let log = folder.join("cordond.log");
        let stderr = File::create(&log).map_err(|source| file("write", &log, source))?;
        let program = cordond();
        let child = Command::new(&program)
            .args(["--dev", "--config"])
            .arg(&config)
            .env_remove("CORDON_FAULT")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| Failure::Program { program, source })?;
        let mut private = Self { child, folder, profile };
        private.await_answer(&log).await?;
        Ok(private)
    }

    /// A client of it.
    pub(super) async fn client(&self) -> Result<Client, Failure> {
        client::connect(&socket(&self.folder)).await
    }

    /// Where everything of it lies.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends it in order.
    pub(super) async fn stop(mut self) {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = tokio::time::timeout(PATIENCE, self.child.wait()).await;
    }

    async fn await_answer(&mut self, log: &Path) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            if self.client().await.is_ok() {
                return Ok(());
            }
            let ended = self.child.try_wait().map_err(Failure::Start)?;
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let log = fs::read_to_string(log).unwrap_or_default();
                let told = log.lines().filter(|line| !line.trim().is_empty());
                let told: Vec<&str> = told.take(LOG_LINES).collect();
                let message = told.join("\n").trim_start_matches("error: ").to_owned();
                return Err(Failure::Usage {
                    message: if message.is_empty() {
                        "cordond did not answer".into()
                    } else {
                        message
                    },
                    hint: "correct the settings; see docs/configuration.md".into(),
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn file(what: &'static str, path: &Path, source: io::Error) -> Failure {
    Failure::File { what, path: path.to_owned(), source }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("cordon.sock")
}

/// Only root can give a connector all the walls of a service.
fn profile(settings: &Settings) -> &'static str {
    let is_root = rustix::process::geteuid().is_root();
    if settings.is_walled && is_root { "service" } else { "dev" }
}

fn configuration(settings: &Settings, folder: &Path, profile: &str) -> Table {
    let text = |path: &Path| Value::String(path.display().to_string());
    let daemon = Table::from_iter([
        ("data_dir".to_owned(), text(&folder.join("state"))),
        ("socket".to_owned(), text(&socket(folder))),
        ("profile".to_owned(), profile.into()),
    ]);
    let mut connector = settings.table.clone();
    connector.insert("use".to_owned(), text(&settings.program));
    if settings.is_walled {
        // Nothing is allowed that is not written, on a workstation as on a service's host.
        connector.entry("allow").or_insert_with(|| Table::new().into());
    } else {
        connector.remove("allow");
        let isolation = Table::from_iter([("user".to_owned(), Value::from("same"))]);
        connector.insert("isolation".to_owned(), isolation.into());
    }
    let connectors = Table::from_iter([(settings.name.clone(), connector.into())]);
    Table::from_iter([
        ("version".to_owned(), Value::Integer(1)),
        ("daemon".to_owned(), daemon.into()),
        ("connector".to_owned(), connectors.into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str, is_walled: bool) -> Settings {
        Settings {
            program: "/opt/acme".into(),
            name: "acme".into(),
            table: text.parse().unwrap(),
            sources: Default::default(),
            is_walled,
        }
    }

    fn connector(text: &str, is_walled: bool) -> Table {
        let settings = settings(text, is_walled);
        let config = configuration(&settings, Path::new("/tmp/x"), "dev");
        config["connector"]["acme"].as_table().unwrap().clone()
    }

    #[test]
    fn nothing_is_allowed_that_is_not_written() {
        assert_eq!(connector("", true)["allow"], Table::new().into());
        let written = connector("allow = { read = [\"/srv\"] }", true);
        assert_eq!(written["allow"]["read"][0].as_str(), Some("/srv"));
        assert!(!written.contains_key("isolation"));
    }

    #[test]
    fn without_walls_allow_is_not_asked() {
        let open =
            connector("allow = { read = [\"/srv\"] }\nisolation = { require = [\"L3\"] }", false);
        assert!(!open.contains_key("allow"));
        assert_eq!(open["isolation"].to_string(), "{ user = \"same\" }");
        assert_eq!(profile(&settings("", false)), "dev");
    }
}
