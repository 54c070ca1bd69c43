//! Arguments of the commands for authors of connectors.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use jiff::SignedDuration;

use crate::units;

/// Under `connector`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConnectorCommand {
    /// Make a connector that compiles, with a source of its own and tests that pass
    New(ConnectorNewArgs),
    /// Sync a connector once, isolated as cordond would, and show what came
    Run(ConnectorRunArgs),
    /// Hold a connector, in any language, to what every connector promises
    Test(ConnectorTestArgs),
}

/// Of `connector new`.
#[derive(Debug, Args)]
#[command(after_help = "\
In a checkout of Cordon the connector becomes a crate of it, under connectors/. Elsewhere it is a
project of its own in the current folder, which takes cordon-sdk from its repository, or from the
checkout that --sdk names.

Examples:
  cordon connector new acme-crm
  cordon connector new acme-crm --sdk ~/src/cordon
  cordon connector new acme-crm --into ~/connectors")]
pub(crate) struct ConnectorNewArgs {
    /// What it is called: 1 to 40 of a-z, 0-9 and -
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The folder to make it in, as a project of its own
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) into: Option<PathBuf>,
    /// A checkout of Cordon to take cordon-sdk from
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) sdk: Option<PathBuf>,
}

/// What is run, and with which settings.
#[derive(Debug, Args)]
pub(crate) struct Program {
    /// The connector's program
    #[arg(value_name = "PROGRAM", value_hint = ValueHint::ExecutablePath)]
    pub(crate) program: PathBuf,
    /// What would stand in [connector.NAME] of cordon.toml, without `use`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Without walls: the host's files (read-only), its network, your user; `allow` is not asked
    #[arg(long)]
    pub(crate) no_sandbox: bool,
}

/// Of `connector run`.
#[derive(Debug, Args)]
#[command(after_help = "\
A cordond of its own runs it, with state in a folder that stays. As root it demands all walls of a
service; else those of `allow`, and takes of the rest what the host gives. With the same --state the
next sync is judged against this one.

Exits 0 when the sync is committed or quarantined, 3 when it is quarantined and --exit-code is given,
1 when it failed, 2 when the settings are wrong.

Examples:
  cordon connector run target/debug/connector-acme-crm --config dev.toml
  cordon connector run ./connector.py --config dev.toml --state ./state
  cordon connector run ./connector.py -o json | jq '.items[0].run.records'")]
pub(crate) struct ConnectorRunArgs {
    #[command(flatten)]
    pub(crate) program: Program,
    /// Where the state is kept; unless told, in a new folder
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) state: Option<PathBuf>,
    /// Exit 3 when the sync is quarantined
    #[arg(long)]
    pub(crate) exit_code: bool,
}

/// Of `connector test`.
#[derive(Debug, Args)]
#[command(after_help = "\
The settings should lead to a source that stands still and has records of every type. Tables beside
them lead to sources that are not in order, for the cases that need one: [test.truncated],
[test.failing], [test.paging_loop], [test.rate_limited], [test.hostile] and [test.large], each with
the keys of `config` that differ. A case that cannot be judged is skipped and says why; it is never
counted as passed.

Exits 0 when no case failed, 1 when one did, 2 when the settings are wrong; with --exit-code 3 when
none failed and some could not be judged.

Examples:
  cordon connector test target/debug/connector-acme-crm --config dev.toml
  cordon connector test ./connector.py --config dev.toml --junit report.xml
  cordon connector test ./connector.py -o json | jq '.items[] | select(.result == \"failed\")'")]
pub(crate) struct ConnectorTestArgs {
    #[command(flatten)]
    pub(crate) program: Program,
    /// Only these cases
    #[arg(long, value_name = "CASE", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Leave a case out, and say why, as no_grant_dangles="groups come from elsewhere"
    #[arg(long, value_name = "CASE=WHY", value_parser = parse_skip)]
    pub(crate) skip: Vec<(String, String)>,
    /// Write a JUnit report as well
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) junit: Option<PathBuf>,
    /// How long the answer to a call, and the next word of a sync, may take
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = units::parse_duration)]
    pub(crate) call_timeout: SignedDuration,
    /// How long a sync may take
    #[arg(long, default_value = "2m", value_name = "TIME", value_parser = units::parse_duration)]
    pub(crate) sync_timeout: SignedDuration,
    /// Exit 3 when no case failed and some could not be judged
    #[arg(long)]
    pub(crate) exit_code: bool,
}

fn parse_skip(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((case, why)) if !why.trim().is_empty() => Ok((case.to_owned(), why.to_owned())),
        _ => Err("say why, as no_grant_dangles=\"groups come from elsewhere\"".to_owned()),
    }
}
