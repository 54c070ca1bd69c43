//! `cargo xtask test`: builds everything once, then runs all tests.
//!
//! End-to-end tests drive the programs that we ship, so those are built first, together with the
//! tests: one build, one set of features. So are the servers that connectors are tested on.

use crate::peers;
use crate::run::{self, say};
use crate::workspace::Workspace;

/// Packages whose documentation holds examples that must compile or must not.
const WITH_DOC_TESTS: [&str; 2] = ["cordon-validate", "cordon-sdk"];

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    peers::install(workspace)?;
    build(workspace)?;
    let mut doc = workspace.cargo(&["test", "--doc", "--quiet", "--locked"]);
    doc.args(WITH_DOC_TESTS.iter().flat_map(|package| ["--package", package]));
    run::run(&mut doc)?;
    // Last, so that the output ends with the counts.
    if run::is_on_path("cargo-nextest") {
        run::run(&mut workspace.cargo(&["nextest", "run", "--workspace", "--locked"]))
    } else {
        say("cargo-nextest is not installed: cargo's own runner takes its place, more slowly");
        let args = ["test", "--workspace", "--all-targets", "--no-fail-fast", "--locked"];
        run::run(&mut workspace.cargo(&args))
    }
}

/// Builds programs and tests.
pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<()> {
    run::run(&mut workspace.cargo(&["build", "--workspace", "--all-targets", "--locked"]))
}
