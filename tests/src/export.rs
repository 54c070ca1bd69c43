//! A host that reads an HR export, which a test writes anew before each sync.

use std::path::PathBuf;

use cordon_testkit::{Connector, Host};
use serde_json::{Value, json};

use crate::world::run_of;

/// The host, and the export that its connector `hr` reads.
pub(crate) struct Export {
    pub(crate) host: Host,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Export {
    /// With these settings of its source, under that guard; its sink is a file.
    #[track_caller]
    pub(crate) fn read_with(mut config: Value, guard: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("workers.csv");
        config["path"] = json!(path);
        config["key"] = json!("id");
        let connector = Connector::program("connector-csv").config(config).set("guard", guard);
        let host = Host::setup().connector("hr", connector).file_sink("out").start();
        Self { host, path, _folder: folder }
    }

    /// The same of workers, each with a mail address and in teams.
    #[track_caller]
    pub(crate) fn of_workers(guard: Value) -> Self {
        let groups = json!({ "column": "teams", "separator": ";" });
        Self::read_with(json!({ "columns": { "email": "mail" }, "groups": groups }), guard)
    }

    /// What the source says from now on.
    pub(crate) fn write(&self, text: &str) {
        std::fs::write(&self.path, text).unwrap();
    }

    /// The run that reads this.
    #[track_caller]
    pub(crate) fn sync(&self, text: &str) -> Value {
        self.write(text);
        run_of(&self.host.sync("hr").done())
    }

    /// Releases what a run holds.
    #[track_caller]
    pub(crate) fn release(&self, run: &Value) {
        let (sync, digest) = (run["sync"].to_string(), run["digest"].as_str().unwrap().to_owned());
        let release = ["release", "hr", &sync, "--digest", &digest, "--reason", "CHG-9", "--yes"];
        self.host.cordon(&release).done();
    }
}

/// A worker of an export.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) id: String,
    pub(crate) mail: String,
    pub(crate) teams: String,
}

/// So many workers, each in a team.
pub(crate) fn workers(count: u32) -> Vec<Worker> {
    let worker = |number: u32| Worker {
        id: format!("w{number:04}"),
        mail: format!("worker{number}@corp.example"),
        teams: format!("t{}", number % 7),
    };
    (0..count).map(worker).collect()
}

/// The export of these.
pub(crate) fn csv(workers: &[Worker]) -> String {
    let rows: Vec<_> = workers.iter().map(|w| format!("{},{},{}", w.id, w.mail, w.teams)).collect();
    format!("id,mail,teams\n{}\n", rows.join("\n"))
}

/// So many have left, from all over the listing.
pub(crate) fn scattered(workers: &[Worker], gone: usize) -> Vec<Worker> {
    let apart = workers.len() / gone;
    let stays = |at: usize| at % apart != apart / 2 || at / apart >= gone;
    workers.iter().enumerate().filter(|(at, _)| stays(*at)).map(|(_, w)| w.clone()).collect()
}
