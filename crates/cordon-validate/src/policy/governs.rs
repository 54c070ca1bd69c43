//! What hangs on a connector's data, and the risk that follows from it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Risk;

/// What a connector's data decides about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Governs {
    /// Lists that nobody decides by.
    Inventory,
    /// Names, departments, managers.
    Directory,
    /// Who may use what.
    Access,
    /// Keys, tokens and certificates.
    Credentials,
    /// Who works here: removals end accounts.
    Leavers,
    /// Who has power over others.
    PrivilegedAccess,
}

impl Governs {
    /// What is at stake when such data is wrong.
    pub fn risk(self) -> Risk {
        match self {
            Self::Inventory => Risk::Low,
            Self::Directory | Self::Access => Risk::Medium,
            Self::Credentials | Self::Leavers => Risk::High,
            Self::PrivilegedAccess => Risk::Critical,
        }
    }
}

impl fmt::Display for Governs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Inventory => "inventory",
            Self::Directory => "directory",
            Self::Access => "access",
            Self::Credentials => "credentials",
            Self::Leavers => "leavers",
            Self::PrivilegedAccess => "privileged-access",
        })
    }
}
