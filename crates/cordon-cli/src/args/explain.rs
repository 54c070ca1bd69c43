//! Arguments of `explain`.

use clap::Args;
use clap_complete::ArgValueCandidates;

use crate::complete;

/// Of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without a code it lists all of them. Exits 4 when no finding has the code.

Examples:
  cordon explain CRD-D101
  cordon explain d101
  cordon explain CRD-D101 -o json | jq -r '.items[0].causes'")]
pub(crate) struct ExplainArgs {
    /// The code, as CRD-D101 or d101
    #[arg(value_name = "CODE", add = ArgValueCandidates::new(complete::codes))]
    pub(crate) code: Option<String>,
}
