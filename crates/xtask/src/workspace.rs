//! Where the workspace is, what cargo says of it, and how cargo is called.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde::Deserialize;

use crate::run;

/// The workspace that this program belongs to.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    pub(crate) fn find() -> anyhow::Result<Self> {
        // Cargo says where we are now; where we were built may have moved since.
        let own = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = own.ancestors().nth(2).context("xtask is not in crates/xtask")?;
        Ok(Self { root: root.to_owned() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The cargo that started us, in the workspace's root.
    pub(crate) fn cargo(&self, args: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        command.args(args).current_dir(&self.root);
        command
    }

    /// The workspace's packages, and with `dependencies` all that they are built from on this host.
    pub(crate) fn metadata(&self, dependencies: bool) -> anyhow::Result<Metadata> {
        let mut cargo = self.cargo(&["metadata", "--format-version", "1"]);
        if dependencies {
            cargo.args(["--locked", "--filter-platform", &self.host()?]);
        } else {
            cargo.arg("--no-deps");
        }
        let text = run::output(&mut cargo)?;
        serde_json::from_slice(&text).context("cannot read what cargo metadata says")
    }

    /// The version that all packages of the workspace share.
    pub(crate) fn version(&self) -> anyhow::Result<String> {
        let packages = self.metadata(false)?.packages;
        let own = packages.into_iter().find(|package| package.name == "cordond");
        Ok(own.context("the workspace has no cordond")?.version)
    }

    /// This host's target triple.
    pub(crate) fn host(&self) -> anyhow::Result<String> {
        let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
        let text = String::from_utf8(run::output(Command::new(rustc).arg("-vV"))?)?;
        let host = text.lines().find_map(|line| line.strip_prefix("host: "));
        Ok(host.context("rustc -vV names no host")?.to_owned())
    }
}

/// What `cargo metadata` says, as far as we ask.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    /// Where cargo builds.
    pub(crate) target_directory: PathBuf,
}

/// A package, of this workspace or from elsewhere.
#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// None for a package of this workspace.
    pub(crate) source: Option<String>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

/// What a manifest asks for.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev` or `build`; none = normal.
    pub(crate) kind: Option<String>,
    /// Where it is, for a package of this workspace.
    pub(crate) path: Option<PathBuf>,
}
