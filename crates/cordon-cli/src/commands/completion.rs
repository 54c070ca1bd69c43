//! `cordon completion`: the script with which a shell asks `cordon` what may come next.

use std::io;

use clap_complete::env::Shells;

use crate::args::CompletionArgs;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;

pub(super) fn run(args: &CompletionArgs, out: &mut Output) -> Result<Exit, Failure> {
    let name = args.shell.name();
    let shells = Shells::builtins();
    let shell = shells.completer(name).ok_or_else(|| {
        Failure::Start(io::Error::other(format!("this build has no completion for {name}")))
    })?;
    let mut script = Vec::new();
    shell
        .write_registration("COMPLETE", "cordon", "cordon", "cordon", &mut script)
        .map_err(Failure::Write)?;
    out.raw(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
