//! `cargo xtask package`: the Debian package, from a release build.
//!
//! The virtual machine's suite also packs what the tests have built already: the same package, with
//! slower programs. What goes where stands in supervisor/Cargo.toml, for cargo-deb to read. Here is what comes before
//! it: the build, and manual pages and completions, which the programs write themselves. cargo-deb is
//! taken where it is installed, else built once into the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::run::{self, say, warn};
use crate::test;
use crate::workspace::Workspace;

/// The packages whose programs are shipped.
const PACKAGES: [&str; 10] = [
    "cordond",
    "cordon-cli",
    "cordon-sandbox",
    "cordon-hostile",
    "connector-baton",
    "connector-csv",
    "connector-ldap",
    "connector-linux",
    "connector-postgres",
    "connector-scim",
];

/// Shells, and the file that holds each one's completion.
const SHELLS: [(&str, &str); 3] =
    [("bash", "cordon.bash"), ("zsh", "_cordon"), ("fish", "cordon.fish")];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Version of the package, where it is not that of the workspace
    #[arg(long, value_name = "VERSION")]
    deb_version: Option<String>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let packager = Packager::prepare(workspace, Build::Release, &[])?;
    let package = packager.make(args.deb_version.as_deref())?;
    say(&package.display().to_string());
    Ok(())
}

/// Which build is packed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    Release,
    Development,
}

impl Build {
    /// Where cargo puts its programs, below the target folder.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Development => "debug",
        }
    }

    /// Builds what is packed, and what tries it. For development that is all of the workspace: the
    /// tests are built with the same features, so either takes over what the other has built.
    pub(crate) fn run(self, workspace: &Workspace, packages: &[&str]) -> anyhow::Result<()> {
        if self == Self::Development {
            return test::build(workspace);
        }
        let mut build = workspace.cargo(&["build", "--release", "--locked"]);
        run::run(build.args(packages.iter().flat_map(|package| ["--package", package])))?;
        // It attacks from inside a view in which no library need be. A host without a static libc
        // gets the program as all others are built.
        let args = ["rustc", "--release", "--locked", "--package", "cordon-hostile", "--bin"];
        let mut hostile = workspace.cargo(&args);
        hostile.args(["cordon-hostile", "--", "-C", "target-feature=+crt-static"]);
        if let Err(error) = run::run(&mut hostile) {
            warn(&format!("cordon-hostile is not static: {error:#}"));
        }
        Ok(())
    }
}

/// A finished build, to be packed.
pub(crate) struct Packager<'a> {
    workspace: &'a Workspace,
    /// The target folder as cargo-deb is told: it takes programs out of `release` there.
    target: PathBuf,
    cargo_deb: PathBuf,
    build: Build,
}

impl<'a> Packager<'a> {
    /// Builds what is shipped, with more packages, and writes what is generated.
    pub(crate) fn prepare(
        workspace: &'a Workspace,
        build: Build,
        with: &[&str],
    ) -> anyhow::Result<Self> {
        build.run(workspace, &[&PACKAGES[..], with].concat())?;
        let own = workspace.metadata(false)?.target_directory;
        let programs = own.join(build.folder());
        generate(&programs)?;
        let cargo_deb = cargo_deb(workspace, &own)?;
        let target = match build {
            Build::Release => own,
            Build::Development => named_release(&own.join("package-development"), &programs)?,
        };
        Ok(Self { workspace, target, cargo_deb, build })
    }

    /// Packs it under a version; gives where the package is.
    pub(crate) fn make(&self, version: Option<&str>) -> anyhow::Result<PathBuf> {
        let folder = self.target.join("debian");
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {folder:?}"))?;
        let package = folder.join(match version {
            Some(version) => format!("cordon_{version}.deb"),
            None => "cordon.deb".to_owned(),
        });
        let mut pack = Command::new(&self.cargo_deb);
        pack.args(["deb", "--no-build", "--locked", "--quiet", "--package", "cordond", "--output"]);
        pack.arg(&package).current_dir(self.workspace.root());
        pack.env("CARGO_TARGET_DIR", &self.target);
        if let Some(version) = version {
            pack.args(["--deb-version", version]);
        }
        if self.build == Build::Development {
            pack.arg("--fast");
        }
        run::run(&mut pack)?;
        Ok(package)
    }
}

/// A target folder whose `release` is another build.
fn named_release(folder: &Path, programs: &Path) -> anyhow::Result<PathBuf> {
    let link = folder.join("release");
    fs::create_dir_all(folder).with_context(|| format!("cannot create {folder:?}"))?;
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(programs, &link)
        .with_context(|| format!("cannot create {link:?}"))?;
    Ok(folder.to_owned())
}

/// Manual pages and completions, beside the programs that they belong to.
fn generate(programs: &Path) -> anyhow::Result<()> {
    let folder = programs.join("package");
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {folder:?}"))?;
    }
    for folder in [&man, &completions] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {folder:?}"))?;
    }
    let cordon = programs.join("cordon");
    run::run(Command::new(programs.join("cordond")).arg("--man-page").arg(&man))?;
    run::run(Command::new(&cordon).arg("man-pages").arg(&man))?;
    // Nobody asks for the page that makes pages.
    fs::remove_file(man.join("cordon-man-pages.1")).ok();
    for (shell, file) in SHELLS {
        let script = run::output(Command::new(&cordon).args(["completion", shell]))?;
        let path = completions.join(file);
        fs::write(&path, script).with_context(|| format!("cannot write {path:?}"))?;
    }
    Ok(())
}

fn cargo_deb(workspace: &Workspace, target: &Path) -> anyhow::Result<PathBuf> {
    if run::is_on_path("cargo-deb") {
        return Ok("cargo-deb".into());
    }
    let tools = target.join("tools");
    let program = tools.join("bin/cargo-deb");
    if !program.is_file() {
        warn("cargo-deb is not installed: building it once, for this project alone");
        let mut install = workspace.cargo(&["install", "cargo-deb", "--locked", "--root"]);
        install.arg(&tools).arg("--target-dir").arg(tools.join("build"));
        run::run(&mut install).context("cannot build cargo-deb")?;
        fs::remove_dir_all(tools.join("build")).ok();
    }
    if !program.is_file() {
        bail!("cargo install made no {}", program.display());
    }
    Ok(program)
}
