//! Arguments of the commands that try rules.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;

use crate::complete;

/// Under `rule`.
#[derive(Debug, Subcommand)]
pub(crate) enum RuleCommand {
    /// List the operators' rules, and whether they can be evaluated
    List(RuleListArgs),
    /// Show what rules would have found in the syncs whose records are kept
    Test(RuleTestArgs),
}

/// Of `rule list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Rules stand in [guard.rule.NAME] for every connector and in [connector.NAME.guard.rule.NAME].

Examples:
  cordon rule list
  cordon rule list hr-csv
  cordon rule list -o json | jq '.items[] | select(.state == \"unmet\")'")]
pub(crate) struct RuleListArgs {
    /// Only those that hold for this connector
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::connectors))]
    pub(crate) name: Option<String>,
}

/// Of `rule test`.
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is changed and no source is asked. Ages are taken as they were when the sync was.
With --exit-code: 3 when a rule would have held a sync back, or could not be evaluated.

Examples:
  cordon rule test hr-csv
  cordon rule test hr-csv --rule no-mass-admin --sync 418
  cordon rule test hr-csv -o json | jq '.items[] | select(.result != \"ok\")'")]
pub(crate) struct RuleTestArgs {
    /// The connector
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::connectors))]
    pub(crate) name: String,
    /// Only this rule
    #[arg(long, value_name = "RULE")]
    pub(crate) rule: Option<String>,
    /// Only this sync
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) sync: Option<u64>,
    /// Exit 3 when a rule would have held a sync back
    #[arg(long)]
    pub(crate) exit_code: bool,
}
