//! `cordon config check`: lets `cordond` judge a file, as it would at start.
//!
//! The rules of the configuration live in `cordond` alone; a second reader here would come to differ
//! from it.

use std::path::PathBuf;
use std::process::Command;

use crate::args::ConfigCheckArgs;
use crate::errors::Failure;
use crate::exit::Exit;

pub(super) fn check(args: &ConfigCheckArgs) -> Result<Exit, Failure> {
    let program = cordond();
    let status = Command::new(&program)
        .arg("--check")
        .arg("--config")
        .arg(&args.file)
        .status()
        .map_err(|source| Failure::Program { program, source })?;
    Ok(Exit::of_child(status))
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
