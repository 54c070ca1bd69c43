//! `cargo xtask fuzz`: the fuzz targets under libFuzzer, guided by coverage, for as long as one likes.
//!
//! Needs no nightly compiler: the compiler's own coverage pass is asked for by name, and no sanitizer
//! is, because nothing that reads a connector's bytes is `unsafe`. What is found lands in
//! `fuzz/found`; it becomes a seed in `crates/cordon-fuzz/src/seeds.rs`, and then it is fixed.

use std::path::Path;

use anyhow::Context;

use crate::run::{self, say};
use crate::workspace::Workspace;

/// Counts of every edge, and what is compared with what, for the fuzzer to look at.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg=fuzzing";
/// Bytes of an input, at most.
const BYTES_MAX: u32 = 65_536;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// One target instead of all.
    #[arg(long)]
    target: Option<String>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let folder = workspace.root().join("fuzz");
    let built = workspace.metadata(false)?.target_directory;
    let corpus = built.join("fuzz-corpus");
    let seeds = ["run", "--quiet", "--package", "cordon-fuzz", "--bin", "fuzz-seeds", "--"];
    run::run(workspace.cargo(&seeds).arg(&corpus))?;
    let target = built.join("fuzz");
    let mut build = workspace.cargo(&["build", "--release", "--locked"]);
    // For a target that is named, build scripts are built without these flags.
    let host = workspace.host()?;
    build.args(["--target", &host, "--target-dir"]).arg(&target);
    build.current_dir(&folder).env("RUSTFLAGS", COVERAGE);
    run::run(&mut build)?;
    let program = target.join(&host).join("release/cordon-libfuzzer");
    let found = folder.join("found");
    std::fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    for name in names(&corpus)? {
        if args.target.as_ref().is_none_or(|wanted| *wanted == name) {
            say(&format!("== {name}"));
            let mut fuzz = std::process::Command::new(&program);
            fuzz.env("CORDON_FUZZ_TARGET", &name)
                .arg(corpus.join(&name))
                .arg(format!("-max_total_time={}", args.seconds))
                .arg(format!("-max_len={BYTES_MAX}"))
                .arg(format!("-artifact_prefix={}/{name}-", found.display()));
            run::run(&mut fuzz)?;
        }
    }
    Ok(())
}

/// The targets, which are the folders of the corpus.
fn names(corpus: &Path) -> anyhow::Result<Vec<String>> {
    let entries = std::fs::read_dir(corpus).with_context(|| format!("{}", corpus.display()))?;
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}
