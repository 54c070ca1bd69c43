//! `cargo xtask bench --connectors`: how fast those that read a server do so.
//!
//! `connector-bench`, which knows the servers, starts them and measures; here its lines become a
//! table. What a reading takes is mostly the server's time, so its share stands beside it.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde::Deserialize;

use crate::peers;
use crate::run::{self, count, say};
use crate::workspace::Workspace;

/// The packages that are measured.
const PACKAGES: [&str; 4] =
    ["connector-baton", "connector-ldap", "connector-postgres", "connector-scim"];

/// The second of two syncs of a source.
#[derive(Deserialize)]
struct Measured {
    connector: String,
    server: String,
    records: usize,
    sync_ms: u64,
    reading_ms: u64,
    waited_ms: u64,
    peak_bytes: u64,
}

pub(super) fn measure(workspace: &Workspace, target: &Path, json: bool) -> anyhow::Result<()> {
    peers::install(workspace)?;
    let mut build = workspace.cargo(&["build", "--release", "--locked"]);
    run::run(build.args(PACKAGES.iter().flat_map(|package| ["--package", package])))?;
    let told = run::output(&mut Command::new(target.join("release/connector-bench")))?;
    let told = String::from_utf8(told).context("it tells no text")?;
    if json {
        say(told.trim_end());
        return Ok(());
    }
    say(
        "CONNECTOR  SERVER                 RECORDS     SYNC  READING  WAITING  RECORDS/S  PEAK MiB",
    );
    for line in told.lines() {
        let it: Measured = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let share = 100 * it.waited_ms / it.reading_ms.max(1);
        let rate = it.records as u64 * 1_000 / it.sync_ms.max(1);
        say(&format!(
            "{:<10} {:<21} {:>8} {:>5} ms {:>5} ms {share:>6} % {:>10} {:>9.1}",
            it.connector,
            it.server,
            count(it.records),
            it.sync_ms,
            it.reading_ms,
            count(rate as usize),
            it.peak_bytes as f64 / f64::from(1 << 20),
        ));
    }
    Ok(())
}
