//! Where the programs are that a test drives.
//!
//! Cargo tells a test only the programs of its own package. All others lie beside it in the target
//! folder, if they were built; `cargo xtask test` builds them first.

use std::path::PathBuf;

/// The path of a program in the target folder of the test that runs.
///
/// # Panics
/// When it was not built.
#[track_caller]
pub fn path(name: &str) -> PathBuf {
    let path = folder().join(name);
    assert!(path.is_file(), "{} is not there; build it first: cargo build --bins", path.display());
    path
}

/// The folder of the profile: a test lies in its `deps`, a program in itself.
pub(crate) fn folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_else(|error| panic!("no own path: {error}"));
    let mut folder = program;
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    folder
}
