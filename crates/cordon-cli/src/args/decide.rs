//! Arguments of the commands with which a person decides about a quarantined sync.

use clap::Args;
use clap_complete::ArgValueCandidates;

use crate::args::Op;
use crate::complete;
use crate::units::DIGEST_CHARS_MIN;

/// Hexadecimal characters of a whole digest.
const DIGEST_CHARS_MAX: usize = 64;

/// Of `quarantine`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cordon quarantine
  cordon quarantine hr-csv
  cordon quarantine -o json | jq '.items[] | {connector, sync, digest}'")]
pub(crate) struct QuarantineArgs {
    /// Only of this connector
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::quarantined))]
    pub(crate) name: Option<String>,
}

/// Of `release`.
#[derive(Debug, Args)]
#[command(after_help = "\
The digest binds the release to what was reviewed: if the sync that waits is another by now, the
command exits 6 and nothing is released. On a terminal it asks for the connector's name; without
one it needs --yes.

With --only, --kind or --select ('user:u7*') a part is released, and the rest goes on waiting under the same
number with a new digest. A change is released when each of the three that is given takes it. A part
must hang together: a grant needs its user and its entitlement.

Where policy wants two people, the first command exits 5 and its word waits; the same command by
another user releases.

Examples:
  cordon diff hr-csv
  cordon release hr-csv 418 --digest b3:91fe04c2 --reason \"INC-4411: checked with HR\"
  cordon release hr-csv 418 --digest b3:91fe04c2 --reason INC-4411 --only added,changed --yes")]
pub(crate) struct ReleaseArgs {
    /// The connector
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::quarantined))]
    pub(crate) name: String,
    /// The quarantined sync
    #[arg(value_parser = clap::value_parser!(u64).range(1..), add = ArgValueCandidates::new(complete::quarantined_syncs))]
    pub(crate) sync: u64,
    /// Digest of what was reviewed, as `cordon diff` shows it
    #[arg(long, value_name = "DIGEST", value_parser = parse_digest, add = ArgValueCandidates::new(complete::quarantined_digests))]
    pub(crate) digest: String,
    /// Why, for the evidence
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub(crate) reason: String,
    /// Only these changes
    #[arg(long, value_name = "CHANGE", value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Op>,
    /// Only changes of records of these types, as user, group, entitlement, grant
    #[arg(long, alias = "type", value_name = "TYPE", value_delimiter = ',')]
    pub(crate) kind: Vec<String>,
    /// Only changes of records with such a key, as 'user:u7*'; may be given more than once
    #[arg(long, value_name = "PATTERN")]
    pub(crate) select: Vec<String>,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Of `reject`.
#[derive(Debug, Args)]
#[command(after_help = "\
The last known good stays. With --retry the connector syncs again at once.

Examples:
  cordon reject hr-csv 418 --reason \"the export was cut\"
  cordon reject hr-csv 418 --reason \"the export was cut\" --retry
  cordon reject hr-csv 418 --reason INC-4411 -o json")]
pub(crate) struct RejectArgs {
    /// The connector
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::quarantined))]
    pub(crate) name: String,
    /// The quarantined sync
    #[arg(value_parser = clap::value_parser!(u64).range(1..), add = ArgValueCandidates::new(complete::quarantined_syncs))]
    pub(crate) sync: u64,
    /// Why, for the evidence
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub(crate) reason: String,
    /// Sync again at once
    #[arg(long)]
    pub(crate) retry: bool,
}

/// A reason that says something.
pub(super) fn parse_reason(text: &str) -> Result<String, String> {
    let reason = text.trim();
    if reason.is_empty() {
        return Err("say why; it is kept as evidence".to_owned());
    }
    Ok(reason.to_owned())
}

/// A digest in lower case without its prefix, long enough to bind.
fn parse_digest(text: &str) -> Result<String, String> {
    let hex = text.strip_prefix("b3:").unwrap_or(text).to_ascii_lowercase();
    if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("a digest is b3: and hexadecimal digits, as `cordon diff` shows it".to_owned());
    }
    if !(DIGEST_CHARS_MIN..=DIGEST_CHARS_MAX).contains(&hex.len()) {
        return Err(format!("give {DIGEST_CHARS_MIN} to {DIGEST_CHARS_MAX} digits of the digest"));
    }
    Ok(hex)
}
