//! Writes the seeds of every target into a folder each, for a fuzzer that reads files.

use std::path::Path;
use std::process::ExitCode;

use cordon_fuzz::TARGETS;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("fuzz-seeds: name the folder to write to");
        return ExitCode::FAILURE;
    };
    match write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fuzz-seeds: {}: {error}", Path::new(&folder).display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> std::io::Result<()> {
    for target in &TARGETS {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (place, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{place}")), seed)?;
        }
    }
    Ok(())
}
