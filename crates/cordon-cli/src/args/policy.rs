//! Arguments of the commands that look at policies.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use clap_complete::ArgValueCandidates;

use super::decide::parse_reason;
use crate::complete;

/// Under `policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Say that a connector's policy is right, although it is weaker than it was
    Acknowledge(AcknowledgeArgs),
}

/// Of `policy acknowledge`.
#[derive(Debug, Args)]
#[command(after_help = "\
`cordon describe` shows what was weakened (CRD-O201). It stands for 30 days, until it is restored,
or until somebody says here that it is meant. That is in the evidence.

Examples:
  cordon policy acknowledge hr-csv --reason \"limit raised for the merger, CHG-118\"
  cordon policy acknowledge ldap-corp --reason CHG-118
  cordon policy acknowledge ldap-corp --reason CHG-118 -o json")]
pub(crate) struct AcknowledgeArgs {
    /// The connector
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::connectors))]
    pub(crate) name: String,
    /// Why, for the evidence
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub(crate) reason: String,
}

/// Of `backtest`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each sync is judged by itself, against the snapshot that it was compared with then. Nothing is
changed and no source is asked: what one answered then, about missing records, counts again. Of FILE
only [guard] and [connector.NAME.guard] are read. With --exit-code: 3 when a sync would be held, or
read again, that was not, or the other way round.

Examples:
  cordon backtest hr-csv
  cordon backtest hr-csv --policy ./cordon.toml
  cordon backtest hr-csv --policy ./cordon.toml -o json | jq '.summary'")]
pub(crate) struct BacktestArgs {
    /// The connector
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::connectors))]
    pub(crate) name: String,
    /// A configuration whose guards are tried; without it the defaults are
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) policy: Option<PathBuf>,
    /// Exit 3 when some sync would end differently
    #[arg(long)]
    pub(crate) exit_code: bool,
}
