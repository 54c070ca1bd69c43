//! `cargo xtask`: everything that is done with this repository beside editing it.

mod bench;
mod ci;
mod cordon;
mod detect;
mod fuzz;
mod licences;
mod package;
mod peers;
mod quickstart;
mod run;
mod test;
mod tidy;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Try, test and check Cordon")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run Cordon in the foreground with this host's accounts and a made-up HR export
    Quickstart(quickstart::Args),
    /// Build everything and run all tests
    Test,
    /// Install the servers and libraries that tests run against, as `test` does first
    Peers,
    /// Run all checks, then all tests, and stop at the first failure
    Ci,
    /// Measure a sync from connector to committed snapshot, its diff and its judgement
    Bench(bench::Args),
    /// Measure the detector, and other methods, on real histories with injected faults
    Detect(detect::Args),
    /// Feed every reader of a connector's bytes with what libFuzzer makes up
    Fuzz(fuzz::Args),
    /// Make the Debian package
    Package(package::Args),
    /// Try the package in a virtual machine, and cut its power while it commits
    Vm(vm::Args),
    /// What runs inside that machine
    #[command(hide = true)]
    VmGuest {
        /// Which part of it
        part: vm::guest::Part,
    },
    /// Check imports, sizes, promises, links and spelling
    Tidy,
    /// Check that every dependency may be used, by deny.toml
    Licences,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = Workspace::find().and_then(|workspace| match args.task {
        Task::Quickstart(args) => quickstart::run(&workspace, &args),
        Task::Test => test::run(&workspace),
        Task::Peers => peers::install(&workspace),
        Task::Ci => ci::run(&workspace),
        Task::Bench(args) => bench::run(&workspace, &args),
        Task::Detect(args) => detect::run(&workspace, &args),
        Task::Fuzz(args) => fuzz::run(&workspace, &args),
        Task::Package(args) => package::run(&workspace, &args),
        Task::Vm(args) => vm::run(&workspace, &args),
        Task::VmGuest { part } => vm::guest::run(part),
        Task::Tidy => tidy::run(&workspace),
        Task::Licences => licences::run(&workspace),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::warn(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
