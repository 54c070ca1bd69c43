//! `cargo xtask quickstart`: Cordon on this host's accounts and a made-up HR export, from nothing to
//! running in one command. `--tour` runs the same without a person and proves what it shows.
//!
//! Everything is written below target/; nothing on this host is changed. Connectors only read.

mod company;
mod tour;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::cordon::{self, Cli};
use crate::run::{self, say};
use crate::workspace::Workspace;
use company::Company;

/// The packages that the quickstart runs.
const PACKAGES: [&str; 5] =
    ["cordond", "cordon-cli", "cordon-sandbox", "connector-linux", "connector-csv"];

/// The configuration, with names in braces for what only this run knows.
const TEMPLATE: &str = "examples/quickstart/cordon.toml";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run unattended: break the export, see it quarantined, repair it
    #[arg(long)]
    pub(crate) tour: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let mut build = workspace.cargo(&["build", "--locked"]);
    build.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    run::run(&mut build)?;
    if args.tour { tour(workspace) } else { in_foreground(workspace) }
}

/// The tour, with programs that are built.
pub(crate) fn tour(workspace: &Workspace) -> anyhow::Result<()> {
    let target = workspace.metadata(false)?.target_directory;
    let folder = target.join("quickstart-tour");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {folder:?}"))?;
    }
    // Only the tour itself starts syncs, so that each step sees its own.
    let place = Place::prepare(workspace, &target, folder, "24h")?;
    tour::run(&place)
}

fn in_foreground(workspace: &Workspace) -> anyhow::Result<()> {
    let target = workspace.metadata(false)?.target_directory;
    let folder = target.join("quickstart");
    let place = Place::prepare(workspace, &target, folder, "1m")?;
    if !place.export().exists() {
        Company::new().write_export(&place.export())?;
    }
    say(&place.what_next());
    place.say_what_is_left_out();
    // cordond takes our place, so that Ctrl-C is its own and the prompt waits for its end.
    let failed = Command::new(place.program("cordond"))
        .args(["--dev", "--config"])
        .arg(&place.config)
        .exec();
    Err(failed).context("cannot start cordond")
}

/// Where a quickstart lives.
struct Place {
    folder: PathBuf,
    programs: PathBuf,
    config: PathBuf,
    socket: PathBuf,
    is_root: bool,
}

impl Place {
    /// Makes the folder and its configuration, with syncs that are due every so often.
    fn prepare(
        workspace: &Workspace,
        target: &Path,
        folder: PathBuf,
        every: &str,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(folder.join("hr"))
            .with_context(|| format!("cannot create {folder:?}"))?;
        let is_root = rustix::process::geteuid().is_root();
        let socket = cordon::socket_in(&folder);
        let template = workspace.root().join(TEMPLATE);
        let text = fs::read_to_string(&template)
            .with_context(|| format!("cannot read {template:?}"))?
            .replace("{dir}", &in_quotes(&folder)?)
            .replace("{socket}", &in_quotes(&socket)?)
            .replace("{every}", every)
            .replace("\"{parts}\"", parts(is_root));
        let config = folder.join("cordon.toml");
        fs::write(&config, text).with_context(|| format!("cannot write {config:?}"))?;
        Ok(Self { folder, programs: target.join("debug"), config, socket, is_root })
    }

    fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    fn cli(&self) -> Cli {
        Cli { program: self.program("cordon"), socket: self.socket.clone() }
    }

    /// The HR export; its manifest lies beside it.
    fn export(&self) -> PathBuf {
        self.folder.join("hr/workers.csv")
    }

    /// The file of accepted changes.
    fn changes(&self) -> PathBuf {
        self.folder.join("changes.ndjson")
    }

    fn say_what_is_left_out(&self) {
        if !self.is_root {
            say(
                "not root: sudo rights and SSH keys of this host are left out, they cannot be read",
            );
        }
    }

    fn what_next(&self) -> String {
        let cordon =
            format!("{} --socket {}", self.program("cordon").display(), self.socket.display());
        let (hr, changes) = (self.folder.join("hr"), self.changes());
        let (hr, changes) = (hr.display(), changes.display());
        format!(
            "\
cordond runs below until Ctrl-C. In another terminal:

  alias cordon='{cordon}'
  cordon status                      both connectors, trusted after their first sync
  tail -f {changes}
                                     every accepted change, a line each

Break the HR export:

  cd {hr} && cp workers.csv whole.csv
  head -n 1800 whole.csv > workers.csv
  cordon sync hr --wait              quarantined: the manifest promises 3,000 workers
  cordon diff hr                     who would have lost access
  cordon status                      linux is untouched, and the last good data of hr is still served

Repair it:

  cp whole.csv workers.csv
  cordon sync hr --wait              accepted; nothing was lost and nobody was removed
"
        )
    }
}

/// A path as it stands between the quotes of a TOML text.
fn in_quotes(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("{path:?} is not UTF-8"))?;
    Ok(text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The parts of this host that can be read.
fn parts(is_root: bool) -> &'static str {
    if is_root { r#"["users", "groups", "sudo", "ssh_keys"]"# } else { r#"["users", "groups"]"# }
}
