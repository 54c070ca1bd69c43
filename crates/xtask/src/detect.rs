//! `cargo xtask detect`: the detector against real histories.
//!
//! The benchmark is a program of its own, cordon-feeds: what builds and checks this repository imports
//! nothing of it. What stands behind `detect` is its business, `--help` too.

use std::ffi::OsString;
use std::process::Command;

use crate::run;
use crate::workspace::Workspace;

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// What cordon-feeds is told: `--feeds DIR`, `--output json`, `--leave-one-out` and others
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    told: Vec<OsString>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let build = ["build", "--release", "--locked", "--package", "cordon-feeds"];
    run::run(&mut workspace.cargo(&build))?;
    let target = workspace.metadata(false)?.target_directory;
    run::run(Command::new(target.join("release/cordon-feeds")).args(&args.told))
}
