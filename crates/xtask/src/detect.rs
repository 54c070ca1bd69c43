//! `cargo xtask detect`: the detector against real histories.
//!
//! The benchmark is a program of its own, cordon-feeds: what builds and checks this repository imports
//! nothing of it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use crate::run;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of feeds: NAME.daily.jsonl.zst and NAME.cases.jsonl.zst
    #[arg(long, env = "CORDON_FEEDS")]
    feeds: PathBuf,
    /// Form of the result: table or json
    #[arg(short, long, default_value = "table")]
    output: String,
    /// Judge each feed by a prior made of the other feeds of the folder
    #[arg(long)]
    leave_one_out: bool,
    /// Make the prior of these feeds, and write it there
    #[arg(long)]
    write_prior: Option<PathBuf>,
    /// Say of each miss and each false quarantine what was most unusual
    #[arg(long)]
    explain: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let build = ["build", "--release", "--locked", "--package", "cordon-feeds"];
    run::run(&mut workspace.cargo(&build))?;
    let target = workspace.metadata(false)?.target_directory;
    let mut feeds = Command::new(target.join("release/cordon-feeds"));
    feeds.args([OsStr::new("--feeds"), args.feeds.as_os_str()]).args(["--output", &args.output]);
    if args.leave_one_out {
        feeds.arg("--leave-one-out");
    }
    if args.explain {
        feeds.arg("--explain");
    }
    if let Some(path) = &args.write_prior {
        feeds.arg("--write-prior").arg(path);
    }
    run::run(&mut feeds)
}
