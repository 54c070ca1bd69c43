//! Arguments of the commands that look and change nothing.

use clap::{Args, ValueEnum};
use clap_complete::ArgValueCandidates;
use jiff::SignedDuration;

use super::Labels;
use crate::complete;
use crate::units;

/// Syncs or records that a list has, at most: cordond tells no more at once.
const LISTED_MAX: i64 = 10_000;

/// Of `status`.
#[derive(Debug, Default, Args)]
#[command(after_help = "\
With --exit-code: 3 when a connector is neither trusted, released nor paused, or (without NAME and
label) a sink fails.

Examples:
  cordon status
  cordon status -l owner=people-ops --exit-code
  cordon status -o json | jq '.items[] | select(.trust != \"trusted\").name'")]
pub(crate) struct StatusArgs {
    /// Only these connectors
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::connectors))]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) labels: Labels,
    /// Exit 3 when something needs attention
    #[arg(long)]
    pub(crate) exit_code: bool,
}

/// Of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits 1 when a check fails, or with --prove when an attack is ALLOWED.

Examples:
  cordon doctor
  cordon doctor --prove
  cordon doctor --prove -o json | jq '.prove[] | select(.result == \"ALLOWED\").case'")]
pub(crate) struct DoctorArgs {
    /// Attack this host from inside a jail such as connectors get; takes some seconds
    #[arg(long)]
    pub(crate) prove: bool,
}

/// Of `describe`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon describe hr-csv
  cordon describe hr-csv -o wide
  cordon describe hr-csv -o json | jq '.items[0].findings'")]
pub(crate) struct DescribeArgs {
    /// The connector
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::connectors))]
    pub(crate) name: String,
}

/// Of `runs`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon runs hr-csv
  cordon runs hr-csv --since 2d -o wide
  cordon runs hr-csv -o json | jq '.items[] | {sync, outcome}'")]
pub(crate) struct RunsArgs {
    /// The connector
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::connectors))]
    pub(crate) name: String,
    /// How many, at most [default: 20, or all with --since]
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=LISTED_MAX))]
    pub(crate) limit: Option<u32>,
    /// Only syncs that began in the last time, as 90m or 2d
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    pub(crate) since: Option<SignedDuration>,
}

/// Of `logs`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon logs hr-csv
  cordon logs hr-csv -f --since 10m
  cordon logs hr-csv --sync 418 -n 1000 -o ndjson")]
pub(crate) struct LogsArgs {
    /// The connector
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::connectors))]
    pub(crate) name: String,
    /// Go on with what is written from now on
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How many lines of the past
    #[arg(short = 'n', long, default_value_t = 100, value_name = "COUNT")]
    pub(crate) lines: u32,
    /// Only lines of the last time, as 90s or 2h
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    pub(crate) since: Option<SignedDuration>,
    /// Only lines that came while this sync ran
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) sync: Option<u64>,
}

/// Of `events`.
#[derive(Debug, Args)]
#[command(after_help = "\
--after takes the number of a record (EVIDENCE, or seq in json) and leaves none out: with -f it goes on
where a reader stopped.

Examples:
  cordon events hr-csv -n 10
  cordon events --since 2h
  cordon events --after 48211 -f -o ndjson")]
pub(crate) struct EventsArgs {
    /// Only of this connector
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::connectors))]
    pub(crate) name: Option<String>,
    /// Go on with what happens from now on
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How many of the past, at most [default: 50, or all with --since]
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=LISTED_MAX))]
    pub(crate) limit: Option<u32>,
    /// Only of the last time, as 90s or 2h
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    pub(crate) since: Option<SignedDuration>,
    /// All after the record with this number; 0 = from the first
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["limit", "since"])]
    pub(crate) after: Option<u64>,
}

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Op {
    /// Records that are new
    Added,
    /// Records that are gone
    Removed,
    /// Records with other values
    #[value(alias = "modified")]
    Changed,
}

impl Op {
    /// Its word on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }

    /// Its word on the wire.
    pub(crate) fn wire(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "modified",
        }
    }
}

/// Of `diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
Shows 20 changes unless told; json, yaml and ndjson show all. --only, --kind and --select mean what
they mean to `cordon release`: what they show is what it would release. With --exit-code: 3 when there
is a change.

Examples:
  cordon diff hr-csv 418 --against 417 --only removed --kind user
  cordon diff hr-csv -o ndjson | jq 'select(.op == \"removed\").key'
  cordon diff hr-csv --remap -o ndjson | jq -r '[.old, .new] | @tsv'")]
pub(crate) struct DiffArgs {
    /// The connector
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::connectors))]
    pub(crate) name: String,
    /// The sync; unless told, the quarantined one that waits, else the newest
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) sync: Option<u64>,
    /// The sync to compare with; unless told, the last known good it was judged against
    #[arg(long, value_name = "SYNC", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) against: Option<u64>,
    /// Only these changes
    #[arg(long, value_delimiter = ',', value_name = "CHANGE")]
    pub(crate) only: Vec<Op>,
    /// Only records of these types, as user or grant
    #[arg(long, alias = "type", value_delimiter = ',', value_name = "TYPE")]
    pub(crate) kind: Vec<String>,
    /// Only records with such a key, as 'user:u7*'; may be given more than once
    #[arg(long, value_name = "PATTERN")]
    pub(crate) select: Vec<String>,
    /// As sinks are told of the changes: with the removals that are pending, and when they are final
    #[arg(long)]
    pub(crate) delivered: bool,
    /// Instead: which records are those that went, under other ids, by a value that no other has
    #[arg(long, conflicts_with_all = ["only", "select", "delivered", "full", "limit"])]
    pub(crate) remap: bool,
    /// Show every change
    #[arg(long, conflicts_with = "limit")]
    pub(crate) full: bool,
    /// How many changes to show, at most
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Exit 3 when there is a change
    #[arg(long)]
    pub(crate) exit_code: bool,
}

/// Of `wait`.
#[derive(Debug, Args)]
#[command(after_help = "\
sync=N waits until sync N or a later one is the last known good. Exits 8 when the time runs out,
and says what stands in the way.

Examples:
  cordon wait hr-csv --for trust=trusted
  cordon wait hr-csv --for runtime=idle --timeout 5m
  cordon wait hr-csv --for sync=418")]
pub(crate) struct WaitArgs {
    /// The connector
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::connectors))]
    pub(crate) name: String,
    /// trust=WORD, runtime=WORD or sync=N
    #[arg(long = "for", value_name = "CONDITION", value_parser = parse_condition)]
    pub(crate) condition: Condition,
    /// How long to wait, as 90s or 5m
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = units::parse_duration)]
    pub(crate) timeout: SignedDuration,
}

/// What `wait` waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The connector's trust is this.
    Trust(String),
    /// The connector's runtime is this.
    Runtime(String),
    /// This sync, or a later one, is the last known good.
    Sync(u64),
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Trust(word) => write!(f, "trust={word}"),
            Self::Runtime(word) => write!(f, "runtime={word}"),
            Self::Sync(sync) => write!(f, "sync={sync}"),
        }
    }
}

const TRUST: [&str; 7] =
    ["trusted", "stale", "quarantined", "paused", "failing", "unproven", "released"];
const RUNTIME: [&str; 9] = [
    "idle",
    "starting",
    "syncing",
    "backing-off",
    "crash-loop",
    "held",
    "paused",
    "stopped",
    "stopping",
];

fn parse_condition(text: &str) -> Result<Condition, String> {
    let one_of = |words: &[&str], word: &str| {
        let known = words.contains(&word);
        known.then(|| word.to_owned()).ok_or_else(|| format!("must be one of {}", words.join(", ")))
    };
    match text.split_once('=') {
        Some(("trust", word)) => one_of(&TRUST, word).map(Condition::Trust),
        Some(("runtime", word)) => one_of(&RUNTIME, word).map(Condition::Runtime),
        Some(("sync", number)) => match number.parse() {
            Ok(sync) if sync > 0 => Ok(Condition::Sync(sync)),
            _ => Err("sync= takes the number of a sync, as `cordon runs` shows it".to_owned()),
        },
        _ => Err("expected trust=WORD, runtime=WORD or sync=N".to_owned()),
    }
}
