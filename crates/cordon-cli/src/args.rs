//! The command line: its words, options and help.
//!
//! Verb first, then the connector, as in `systemctl restart X`. What each command does with its
//! options is in commands/.

mod connector;
mod decide;
mod explain;
mod look;
mod operate;
mod policy;
mod rule;
mod select;
mod setup;

use std::path::PathBuf;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{ColorChoice, Parser, Subcommand};

pub(crate) use connector::{
    ConnectorCommand, ConnectorNewArgs, ConnectorRunArgs, ConnectorTestArgs, Program,
};
pub(crate) use decide::{QuarantineArgs, RejectArgs, ReleaseArgs};
pub(crate) use explain::ExplainArgs;
pub(crate) use look::{
    Condition, DescribeArgs, DiffArgs, DoctorArgs, EventsArgs, LogsArgs, Op, RunsArgs, StatusArgs,
    WaitArgs,
};
pub(crate) use operate::{OrderArgs, PauseArgs, RestartArgs, SyncArgs};
pub(crate) use policy::{AcknowledgeArgs, BacktestArgs, PolicyCommand};
pub(crate) use rule::{RuleCommand, RuleListArgs, RuleTestArgs};
pub(crate) use select::{Label, Labels, Selection};
pub(crate) use setup::{
    CompletionArgs, ConfigCheckArgs, ConfigCommand, ManPagesArgs, PlanArgs, SecretCheckArgs,
    SecretCommand,
};

use crate::output::Format;

/// Where the daemon's socket is, unless told.
pub(crate) const SOCKET_DEFAULT: &str = "/run/cordon/cordon.sock";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "\
Exit codes:
  0  done                            5  not allowed, or a second person is needed
  1  failed                          6  changed since you looked (digest)
  2  wrong usage or configuration    7  cordond does not answer
  3  done, but needs attention       8  timed out waiting
     (only with --exit-code)         130  interrupted
  4  not found

Examples:
  cordon status
  cordon sync hr-csv --wait
  cordon diff hr-csv";

/// Runs identity connectors so that one broken sync changes nobody's access
#[derive(Debug, Parser)]
#[command(name = "cordon", version, styles = STYLES, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options of every command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of every command", next_display_order = 900)]
pub(crate) struct Global {
    /// Control socket of cordond
    #[arg(
        long,
        global = true,
        env = "CORDON_SOCKET",
        hide_env_values = true,
        default_value = SOCKET_DEFAULT,
        value_name = "PATH"
    )]
    pub(crate) socket: PathBuf,
    /// Form of the result
    #[arg(
        short,
        long,
        global = true,
        env = "CORDON_OUTPUT",
        hide_env_values = true,
        default_value = "table",
        value_name = "FORMAT"
    )]
    pub(crate) output: Format,
    /// When to use colour
    #[arg(long, global = true, default_value = "auto", value_name = "WHEN")]
    pub(crate) color: ColorChoice,
    /// No hints and no progress
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the connectors, worst first, and the sinks
    Status(StatusArgs),
    /// Show all about one connector: trust, checks, scopes, syncs, isolation
    Describe(DescribeArgs),
    /// Sync a connector now, or join the sync that runs
    Sync(SyncArgs),
    /// Let a stopped connector run again
    #[command(after_help = "\
Examples:
  cordon start hr-csv
  cordon start hr-csv --reason \"export is back\"
  cordon start -l owner=people-ops")]
    Start(OrderArgs),
    /// Stop a connector's process and its schedule
    #[command(after_help = "\
Examples:
  cordon stop hr-csv
  cordon stop hr-csv --reason \"host moves tonight\"
  cordon stop --all --reason \"host moves tonight\"")]
    Stop(OrderArgs),
    /// Restart a connector's process; other connectors are not touched
    #[command(after_help = "\
Examples:
  cordon restart ldap-corp
  cordon restart ldap-corp --reason \"new certificate\"
  cordon restart ldap-corp -o json")]
    Restart(RestartArgs),
    /// Hold a connector's syncs and deliveries until resumed
    Pause(PauseArgs),
    /// End a pause
    #[command(after_help = "\
Examples:
  cordon resume hr-csv
  cordon resume hr-csv --reason \"certificate swapped\"
  cordon resume -l owner=people-ops")]
    Resume(OrderArgs),
    /// List a connector's syncs, newest first
    Runs(RunsArgs),
    /// Show what a connector's process wrote
    Logs(LogsArgs),
    /// Show what a sync would change, or has changed, and why it is quarantined
    Diff(DiffArgs),
    /// Explain a finding: why it matters, what usually causes it, what to do
    Explain(ExplainArgs),
    /// List the syncs that wait for a decision
    Quarantine(QuarantineArgs),
    /// Accept a quarantined sync, exactly as reviewed
    Release(ReleaseArgs),
    /// Refuse a quarantined sync
    Reject(RejectArgs),
    /// Show the evidence: what was done, decided and delivered, and by whom
    Events(EventsArgs),
    /// Check what this host gives for isolation, storage and delivery
    Doctor(DoctorArgs),
    /// Work with the configuration file
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Work with references to secrets
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Judge the syncs whose records are kept again, under another policy
    Backtest(BacktestArgs),
    /// Work with policies
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Work with the operators' rules
    #[command(subcommand)]
    Rule(RuleCommand),
    /// Show what a reload would do, and change nothing
    Plan(PlanArgs),
    /// Take over the changed configuration and changed secrets; restarts only what changed
    #[command(after_help = "\
A configuration with an error changes nothing. Whoever has a secret that has another value now
starts afresh with it.

Examples:
  cordon config check && cordon reload
  cordon reload
  cordon reload -o json")]
    Reload,
    /// Wait until a connector is in a state
    Wait(WaitArgs),
    /// Make, run and test a connector: for authors
    #[command(subcommand)]
    Connector(ConnectorCommand),
    /// Print the completion script of a shell
    Completion(CompletionArgs),
    /// Write the manual pages into a folder; for packages
    #[command(hide = true)]
    ManPages(ManPagesArgs),
    /// Show the versions of cordon and cordond
    #[command(after_help = "\
Examples:
  cordon version
  cordon version -o json
  cordon --version")]
    Version,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    /// Parses a command line; an error as its kind and text.
    fn parse(line: &[&str]) -> Result<Cli, (ErrorKind, String)> {
        Cli::try_parse_from([&["cordon"], line].concat())
            .map_err(|error| (error.kind(), error.to_string()))
    }

    fn refusal(line: &[&str]) -> String {
        parse(line).err().map(|(_, text)| text).unwrap_or_else(|| panic!("{line:?} was accepted"))
    }

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_misspelt_command_or_option_is_answered_with_the_near_one() {
        assert!(refusal(&["statsu"]).contains("'status'"));
        assert!(refusal(&["release", "hr", "4", "--digets", "91fe04c2"]).contains("'--digest'"));
        assert!(refusal(&["status", "-o", "jsno"]).contains("'json'"));
    }

    #[test]
    fn every_command_ends_its_help_with_three_examples() {
        fn visit(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            for child in command.get_subcommands() {
                visit(child, &path);
            }
            if command.get_subcommands().next().is_some() && command.get_name() != "cordon" {
                return;
            }
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = help.split("Examples:\n").nth(1).unwrap_or_default();
            assert_eq!(examples.lines().count(), 3, "{path}: {help:?}");
            assert!(examples.lines().all(|line| line.contains("cordon ")), "{path}");
        }
        visit(&Cli::command(), "");
    }

    #[test]
    fn each_example_in_the_help_is_a_command_line_that_parses() {
        fn visit(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.split("Examples:\n").nth(1).unwrap_or_default().lines() {
                let line = line.split(['|', '>', '&', '#']).next().unwrap_or_default();
                let words: Vec<&str> =
                    line.split('"').enumerate().fold(Vec::new(), |mut words, (i, part)| {
                        if i % 2 == 1 {
                            words.push(part)
                        } else {
                            words.extend(part.split_whitespace())
                        }
                        words
                    });
                if words.first() != Some(&"cordon") {
                    continue;
                }
                let parsed = Cli::try_parse_from(&words);
                let shown = |error: &clap::Error| error.kind() == ErrorKind::DisplayVersion;
                assert!(parsed.as_ref().map_or_else(shown, |_| true), "{line}: {parsed:?}");
            }
            command.get_subcommands().for_each(visit);
        }
        visit(&Cli::command());
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for line in [["-o", "json", "status"], ["status", "-o", "json"]] {
            assert_eq!(parse(&line).unwrap().global.output, Format::Json);
        }
    }

    #[test]
    fn a_release_needs_sync_digest_and_reason() {
        let whole = ["release", "hr", "418", "--digest", "b3:91FE04C2", "--reason", "INC-1"];
        let Some(Command::Release(args)) = parse(&whole).unwrap().command else { panic!() };
        assert_eq!((args.sync, args.digest.as_str(), args.yes), (418, "91fe04c2", false));
        for missing in [&whole[..2], &whole[..3], &whole[..5]] {
            assert_eq!(parse(missing).unwrap_err().0, ErrorKind::MissingRequiredArgument);
        }
    }

    #[test]
    fn a_digest_too_short_to_bind_or_not_hexadecimal_is_refused() {
        for digest in ["b3:91fe04c", "91fe04c", "b3:91fe04cz", "", &"a".repeat(65)] {
            let line = ["release", "hr", "4", "--reason", "x", "--digest", digest];
            assert_eq!(parse(&line).unwrap_err().0, ErrorKind::ValueValidation, "{digest}");
        }
    }

    #[test]
    fn an_empty_reason_is_no_reason() {
        for line in [
            &["pause", "hr", "--reason", " "][..],
            &["reject", "hr", "4", "--reason", ""],
            &["release", "hr", "4", "--digest", "91fe04c2", "--reason", "\t"],
        ] {
            assert_eq!(parse(line).unwrap_err().0, ErrorKind::ValueValidation, "{line:?}");
        }
    }

    #[test]
    fn sync_numbers_begin_at_one() {
        assert!(parse(&["diff", "hr", "0"]).is_err());
        assert!(parse(&["diff", "hr", "418", "--against", "417"]).is_ok());
    }

    #[test]
    fn a_wait_names_a_state_that_exists() {
        let condition = |text: &str| match parse(&["wait", "hr", "--for", text]).ok()?.command? {
            Command::Wait(args) => Some(args.condition),
            _ => None,
        };
        assert_eq!(condition("trust=trusted"), Some(Condition::Trust("trusted".into())));
        assert_eq!(condition("runtime=idle"), Some(Condition::Runtime("idle".into())));
        assert_eq!(condition("sync=418"), Some(Condition::Sync(418)));
        for wrong in ["trust=trsted", "runtime=", "sync=x", "sync=0", "trusted", "mood=good"] {
            assert_eq!(condition(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn changed_and_modified_are_one_word_to_diff() {
        let ops = |text: &str| match parse(&["diff", "hr", "--only", text]).unwrap().command {
            Some(Command::Diff(args)) => args.only,
            _ => Vec::new(),
        };
        assert_eq!(ops("removed,changed"), [Op::Removed, Op::Changed]);
        assert_eq!(ops("modified"), [Op::Changed]);
    }
}
