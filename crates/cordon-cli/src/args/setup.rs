//! Arguments of the commands that set `cordon` up.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use clap_complete::ArgValueCandidates;

use crate::complete;

/// Under `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a configuration file without touching what runs
    Check(ConfigCheckArgs),
}

/// Of `config check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Runs `cordond --check`; the exit code is that of cordond. Where a cordond answers, it also tells for
each connector of the file what the defaults, and the file, would have done with the syncs whose
records are kept; -o json lists that.

Examples:
  cordon config check
  cordon config check ./cordon.toml
  cordon config check ./cordon.toml && cordon reload")]
pub(crate) struct ConfigCheckArgs {
    /// The file
    #[arg(env = "CORDON_CONFIG", default_value = "/etc/cordon/cordon.toml", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

/// Of `plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the configuration that cordond was started with and checks it as a reload does. Secrets are not
resolved: `cordon secret check` does that. With --exit-code: 3 when a reload would change something.

Examples:
  cordon plan
  cordon plan --exit-code
  cordon plan -o json | jq '.items[0].differences'")]
pub(crate) struct PlanArgs {
    /// Exit 3 when a reload would change something
    #[arg(long)]
    pub(crate) exit_code: bool,
}

/// Under `secret`.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Check that each reference to a secret has a value, without showing it
    Check(SecretCheckArgs),
}

/// Of `secret check`.
#[derive(Debug, Args)]
#[command(after_help = "\
cordond resolves the references of the configuration in force. Exits 1 when one has no value.

Examples:
  cordon secret check
  cordon secret check ldap-corp
  cordon secret check -o json | jq '.items[] | select(.state != \"ok\")'")]
pub(crate) struct SecretCheckArgs {
    /// Only of this connector or sink
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::connectors))]
    pub(crate) name: Option<String>,
}

/// Of `completion`.
#[derive(Debug, Args)]
#[command(after_help = "\
The script asks cordon itself while you type, so that names of connectors complete too.

Examples:
  cordon completion bash > /etc/bash_completion.d/cordon
  cordon completion zsh > ~/.zfunc/_cordon
  cordon completion fish > ~/.config/fish/completions/cordon.fish")]
pub(crate) struct CompletionArgs {
    /// The shell
    pub(crate) shell: Shell,
}

/// Of `man-pages`.
#[derive(Debug, Args)]
#[command(after_help = "\
One page for cordon and one for each of its commands.

Examples:
  cordon man-pages ./man
  cordon man-pages /usr/local/share/man/man1
  cordon man-pages ./man && man ./man/cordon-release.1")]
pub(crate) struct ManPagesArgs {
    /// The folder, which is there already
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) folder: PathBuf,
}

/// A shell that completions are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Elvish,
    Fish,
    Zsh,
}

impl Shell {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Elvish => "elvish",
            Self::Fish => "fish",
            Self::Zsh => "zsh",
        }
    }
}
