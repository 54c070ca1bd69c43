//! `cargo xtask ci`: what a change must pass, from the cheapest check to the dearest.

use std::time::Instant;

use crate::run::{self, say};
use crate::workspace::Workspace;
use crate::{licences, quickstart, test, tidy};

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    step("format", || run::run(&mut workspace.cargo(&["fmt", "--all", "--check"])))?;
    step("tidy", || tidy::run(workspace))?;
    step("licences", || licences::run(workspace))?;
    step("lints", || {
        let args = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        run::run(&mut workspace.cargo(&args))
    })?;
    step("build", || test::build(workspace))?;
    step("tour", || quickstart::tour(workspace))?;
    // Not followed by a line of ours: the output ends with the runner's counts.
    say("== tests");
    test::run(workspace)
}

fn step(name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    say(&format!("== {name}"));
    let begun = Instant::now();
    let done = work();
    let outcome = if done.is_ok() { "ok" } else { "FAILED" };
    say(&format!("== {name}: {outcome} after {:.1} s", begun.elapsed().as_secs_f64()));
    done
}
