//! What an administrator can set.

use std::path::PathBuf;

use cordon_sdk::Error;
use schemars::JsonSchema;
use serde::Deserialize;

/// Configuration of connector-linux. An empty one reports all of this host.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// The folder that stands for `/`: the host itself, or a copy of another host's files.
    pub(crate) root: PathBuf,
    /// What to report. Groups, sudo rights and keys refer to users, and sudo rights to groups:
    /// name these as well.
    pub(crate) include: Vec<Part>,
    /// Names of accounts that are services whatever their number and shell; `*` and `?` stand for
    /// any text and any character.
    pub(crate) service_accounts: Vec<String>,
}

/// A part of what a host knows of its accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    /// Accounts of etc/passwd.
    Users,
    /// Groups of etc/group and who is in them.
    Groups,
    /// What sudoers allows, and to whom.
    Sudo,
    /// Public keys in the homes of accounts.
    SshKeys,
}

impl Part {
    fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Groups => "groups",
            Self::Sudo => "sudo",
            Self::SshKeys => "ssh_keys",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
            include: vec![Part::Users, Part::Groups, Part::Sudo, Part::SshKeys],
            service_accounts: vec![],
        }
    }
}

impl Config {
    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !self.root.is_absolute() {
            let message = format!("{} is not an absolute path", self.root.display());
            return Err(Error::bad_config("root", message));
        }
        if self.include.is_empty() {
            return Err(Error::bad_config("include", "nothing to report: name at least `users`"));
        }
        for (part, needs) in [
            (Part::Groups, Part::Users),
            (Part::SshKeys, Part::Users),
            (Part::Sudo, Part::Users),
            (Part::Sudo, Part::Groups),
        ] {
            if self.includes(part) && !self.includes(needs) {
                let (part, needs) = (part.as_str(), needs.as_str());
                let message = format!("`{part}` refers to {needs}: include `{needs}` as well");
                return Err(Error::bad_config("include", message));
            }
        }
        Ok(())
    }

    /// Whether a part is to be reported.
    pub(crate) fn includes(&self, part: Part) -> bool {
        self.include.contains(&part)
    }
}
