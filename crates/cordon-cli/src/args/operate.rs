//! Arguments of the commands that run connectors.

use clap::Args;
use jiff::SignedDuration;

use super::Selection;
use super::decide::parse_reason;
use crate::units;

/// Of `sync`.
#[derive(Debug, Args)]
#[command(after_help = "\
With --wait: exits 0 when the sync is committed, 1 when it failed or was rejected. A quarantined
sync was done, and waits for a person: exits 0, or 3 with --exit-code. With --dry-run the source is
read and judged, and nothing is kept: no snapshot, no quarantine, no delivery.

Several connectors are taken one after the other.

Examples:
  cordon sync -l owner=people-ops
  cordon sync hr-csv --dry-run --exit-code
  cordon sync hr-csv --wait -o json | jq '.items[0].outcome'")]
pub(crate) struct SyncArgs {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Stay until the sync has ended, and show how it goes
    #[arg(long)]
    pub(crate) wait: bool,
    /// Judge what comes, show what would become of it, and discard it; waits for the end
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Exit 3 when the sync is, or would be, quarantined
    #[arg(long)]
    pub(crate) exit_code: bool,
}

/// Of `start`, `stop` and `resume`.
#[derive(Debug, Args)]
pub(crate) struct OrderArgs {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Why, for the evidence
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub(crate) reason: Option<String>,
}

/// Of `restart`.
#[derive(Debug, Args)]
#[command(after_help = "\
A restart never counts as a failure, and ends the wait of a connector that is held. With --wait:
exits 0 when the new process is ready, 1 when it did not become ready, and says why.

Examples:
  cordon restart hr-csv
  cordon restart hr-csv --wait --reason \"new memory limit\"
  cordon restart hr-csv --wait -o json | jq '.items[0].status.pid'")]
pub(crate) struct RestartArgs {
    #[command(flatten)]
    pub(crate) order: OrderArgs,
    /// Stay until the new process is ready
    #[arg(long)]
    pub(crate) wait: bool,
}

/// Of `pause`.
#[derive(Debug, Args)]
#[command(after_help = "\
A pause survives restarts of cordond. Without --for it ends with `cordon resume`.

Examples:
  cordon pause hr-csv --reason \"certificate swap\"
  cordon pause hr-csv --reason \"certificate swap\" --for 2h
  cordon pause -l owner=people-ops --reason INC-4411 --for 2h")]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Why, for the evidence
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub(crate) reason: String,
    /// Resume by itself after this time, as 30m, 2h or 3d
    #[arg(long = "for", value_name = "TIME", value_parser = units::parse_duration)]
    pub(crate) duration: Option<SignedDuration>,
}
