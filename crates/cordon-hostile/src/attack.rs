//! Tries what is forbidden, one case at a time, and says what came of it.
//!
//! Each case runs in a process of its own: some filters answer with a signal, and some attacks, when
//! they are allowed, change the process for good. A case says `denied` only for what it tried and
//! was refused; what could not be tried is `skipped` with the reason.
//!
//! Where a call would do harm if it were allowed (reboot, swap, the clock), it is made with
//! arguments that the kernel looks at only after it has looked at the caller's rights.

mod descriptors;
mod execution;
mod files;
mod kernel;
mod leftovers;
mod limits;
mod network;
mod outcome;
mod privilege;
mod runner;
mod targets;
mod terminal;
mod victim;

use std::io::Write;

use anyhow::bail;
use serde_json::json;

pub(crate) use descriptors::note_inherited;

use outcome::Outcome;
use targets::Targets;

/// The word for every case.
const ALL: &str = "all";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A case, `all`, or `list` for the names
    case: String,
    #[command(flatten)]
    targets: Targets,
}

/// One forbidden thing.
struct Case {
    name: &'static str,
    attempt: fn(&Targets) -> Outcome,
}

const fn case(name: &'static str, attempt: fn(&Targets) -> Outcome) -> Case {
    Case { name, attempt }
}

/// Every case, in the order in which they run.
fn cases() -> impl Iterator<Item = &'static Case> {
    [
        descriptors::CASES,
        victim::CASES,
        files::CASES,
        network::CASES,
        kernel::CASES,
        privilege::CASES,
        limits::CASES,
        terminal::CASES,
        leftovers::CASES,
        execution::CASES,
    ]
    .into_iter()
    .flatten()
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    // Looked at before anything of ours is opened.
    note_inherited();
    let mut out = std::io::stdout();
    if args.case == "list" {
        for case in cases() {
            writeln!(out, "{}", case.name)?;
        }
        return Ok(());
    }
    let chosen: Vec<_> =
        cases().filter(|case| args.case == ALL || args.case == case.name).collect();
    if chosen.is_empty() {
        bail!("there is no case {:?}; `cordon-hostile attack list` names them", args.case);
    }
    for case in chosen {
        let outcome = runner::run(case, &args.targets);
        let line = json!({
            "case": case.name,
            "result": outcome.result(),
            "detail": outcome.detail(),
        });
        writeln!(out, "{line}")?;
        out.flush()?;
    }
    Ok(())
}
