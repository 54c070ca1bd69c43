//! Compiles proto/baton with protox, so that no protoc has to be installed.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    // From where the package is now: where this was compiled may have moved since.
    let root = Path::new("../../proto/baton");
    let files = ["connector.proto", "session.proto", "start.proto"];
    let descriptors = protox::compile(files, [&root])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    println!("cargo::rerun-if-changed={}", root.display());
    Ok(())
}
