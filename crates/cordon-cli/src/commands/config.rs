//! `cordon config check`: lets `cordond` judge a file, as it would at start, and tells what the
//! defaults would have done with the syncs there are.
//!
//! The rules of the configuration live in `cordond` alone; a second reader here would come to differ
//! from it. The syncs are those of the `cordond` that runs: where none does, such as on the desk where
//! the file is written, there are none to tell of, and that is no fault of the file.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cordon_wire::v1;

use crate::args::ConfigCheckArgs;
use crate::client::{answer, connect};
use crate::commands::backtest;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::page::Page;

pub(super) async fn check(
    socket: &Path,
    args: &ConfigCheckArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let program = cordond();
    let mut command = Command::new(&program);
    command.arg("--check").arg("--config").arg(&args.file);
    if !out.format.is_for_people() {
        // The result is the list below; what cordond says is said beside it.
        command.stdout(Stdio::from(std::io::stderr()));
    }
    let status = command.status().map_err(|source| Failure::Program { program, source })?;
    let exit = Exit::of_child(status);
    if exit != Exit::Done {
        return Ok(exit);
    }
    let told = match hindsight(socket, &args.file).await {
        Ok(told) => told,
        Err(failure) => {
            let mut note = Page::new();
            note.line(&format!("note: the syncs there are were not looked at: {failure}"));
            out.note(note);
            Vec::new()
        }
    };
    out.list(&told, &(), |_| page(&told))?;
    Ok(exit)
}

async fn hindsight(socket: &Path, file: &Path) -> Result<Vec<v1::Hindsight>, Failure> {
    let policy = backtest::read(file)?;
    let mut client = connect(socket).await?;
    let told = answer(client.hindsight(v1::HindsightRequest { policy })).await?;
    Ok(told.connectors)
}

fn page(told: &[v1::Hindsight]) -> Page {
    let mut page = Page::new();
    for it in told {
        page.line(&format!("{}: {}", it.connector, it.message));
    }
    page
}

/// The one beside us first: it is of our version.
pub(super) fn cordond() -> PathBuf {
    let name = PathBuf::from("cordond");
    let Ok(own) = std::env::current_exe() else {
        return name;
    };
    let beside = own.with_file_name("cordond");
    if beside.is_file() { beside } else { name }
}
