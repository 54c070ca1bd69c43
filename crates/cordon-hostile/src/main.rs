//! Does what no connector may, one subcommand a behaviour, to prove that the isolation holds.
//!
//! `attack` tries single forbidden things and says of each whether it was denied. The other
//! behaviours exhaust what a host has; every one of them has a bound on its amount and its time, so
//! that it ends by itself where no limit meets it. `connector` is an honest connector that does one
//! of them in the middle of a sync. `victim` is what attacks are aimed at.
//!
//! Left out: exploits. What is tried here is what the kernel's interfaces offer to everyone.

mod attack;
mod connector;
mod exhaust;
mod fuse;
mod process;
mod program;
mod victim;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cordon-hostile", version, about = "Does what no connector may")]
struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Try one forbidden thing, or `all`; one JSON line a case on stdout
    Attack(Box<attack::Args>),
    /// Be what attacks are aimed at, until stdin closes
    Victim(victim::Args),
    /// Serve as a connector whose configuration names a behaviour
    Connector {
        /// A word by which its processes, and those that it forks, are told from others
        #[arg(long, value_name = "WORD")]
        label: Option<String>,
    },
    #[command(flatten)]
    Exhaust(exhaust::Behaviour),
}

fn main() -> ExitCode {
    let done = match Args::parse().act {
        Act::Attack(args) => attack::run(&args),
        Act::Victim(args) => victim::run(&args),
        Act::Connector { .. } => return connector::serve(),
        Act::Exhaust(behaviour) => exhaust::run(&behaviour),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
