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
