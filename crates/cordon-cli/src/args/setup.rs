//! Arguments of the commands that set `cordon` up.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

/// Under `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a configuration file without touching what runs
    Check(ConfigCheckArgs),
}

/// Of `config check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Runs `cordond --check`; output and exit code are those of cordond.

Examples:
  cordon config check
  cordon config check ./cordon.toml
  cordon config check ./cordon.toml && cordon reload")]
pub(crate) struct ConfigCheckArgs {
    /// The file
    #[arg(env = "CORDON_CONFIG", default_value = "/etc/cordon/cordon.toml", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
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
