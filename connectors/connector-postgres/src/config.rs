//! What an administrator can set, and what of it cannot work.

use std::path::PathBuf;
use std::time::Duration;

use cordon_sdk::{AccountType, Error};
use cordon_tls::Tls;
use glob::Pattern;
use jiff::SignedDuration;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

/// Configuration of connector-postgres.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The server's name or address. Needs `tls`, or `plaintext = true`.
    #[serde(default)]
    pub(crate) host: Option<String>,
    /// The server's port; with `socket`, the number in the socket's name.
    #[serde(default = "port")]
    pub(crate) port: u16,
    /// The folder of the server's Unix socket, instead of `host`.
    #[serde(default)]
    pub(crate) socket: Option<PathBuf>,
    /// The role to log in as.
    pub(crate) user: String,
    /// Its password.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("writeOnly" = true))]
    pub(crate) password: Option<SecretString>,
    /// The database to log in to; roles, memberships and databases are read there.
    #[serde(default = "database")]
    pub(crate) database: String,
    /// The databases whose schemas, tables and default privileges are read. Without it all that can
    /// be connected to and are no templates.
    #[serde(default)]
    pub(crate) databases: Option<Vec<String>>,
    /// How the server proves who it is.
    #[serde(default)]
    pub(crate) tls: Option<Tls>,
    /// Send everything unencrypted, to whoever answers.
    #[serde(default)]
    pub(crate) plaintext: bool,
    /// What to report beside roles and memberships.
    #[serde(default = "include")]
    pub(crate) include: Vec<Include>,
    /// How closely to report privileges on tables.
    #[serde(default)]
    pub(crate) tables: Tables,
    /// What a role that can log in is, unless something says otherwise. Without it nothing is said.
    #[serde(default)]
    pub(crate) account_type: Option<AccountKind>,
    /// Names of roles that are services; `*` and `?` stand for any text and any character.
    #[serde(default)]
    pub(crate) service_accounts: Vec<String>,
    /// The number that the cluster was given by initdb, as `pg_controldata` shows it. Another
    /// cluster is not read.
    #[serde(default)]
    pub(crate) system_identifier: Option<String>,
    /// How much may be there before it is taken for something else.
    #[serde(default)]
    pub(crate) bounds: Bounds,
    /// How long the server may take to let the connector in.
    #[serde(default = "connect_timeout")]
    #[schemars(with = "String")]
    pub(crate) connect_timeout: SignedDuration,
    /// How long the server may work on one statement or one page of its rows.
    #[serde(default = "statement_timeout")]
    #[schemars(with = "String")]
    pub(crate) statement_timeout: SignedDuration,
}

/// What to report beside roles and memberships.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Include {
    /// Privileges on databases, schemas and tables.
    Privileges,
    /// Privileges on what will be made.
    DefaultPrivileges,
    /// Which roles have a password, of what kind, and until when it is good.
    Passwords,
}

/// How closely to report privileges on tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Tables {
    /// What somebody may do with tables of a schema, and whether with all of them.
    #[default]
    Schema,
    /// Every table.
    Table,
}

/// How much may be there before it is taken for something else. What is beyond is not read, and its
/// scope is incomplete.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Bounds {
    /// Roles of the cluster.
    pub(crate) roles: u64,
    /// Memberships of the cluster.
    pub(crate) memberships: u64,
    /// Tables of one database.
    pub(crate) tables: u64,
    /// Privileges that are held on objects of one kind in one database.
    pub(crate) privileges: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { roles: 500_000, memberships: 5_000_000, tables: 200_000, privileges: 2_000_000 }
    }
}

/// What roles that can log in are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccountKind {
    /// People.
    Human,
    /// Programs that act on their own.
    Service,
    /// Programs that act for somebody and decide by themselves.
    Agent,
}

impl AccountKind {
    pub(crate) fn account_type(self) -> AccountType {
        match self {
            Self::Human => AccountType::Human,
            Self::Service => AccountType::Service,
            Self::Agent => AccountType::Agent,
        }
    }
}

fn port() -> u16 {
    5432
}

fn database() -> String {
    "postgres".to_owned()
}

fn include() -> Vec<Include> {
    vec![Include::Privileges, Include::DefaultPrivileges]
}

fn connect_timeout() -> SignedDuration {
    SignedDuration::from_secs(10)
}

fn statement_timeout() -> SignedDuration {
    SignedDuration::from_secs(60)
}

impl Config {
    /// Refuses what cannot work whatever the server holds.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.check_place()?;
        if let Some(tls) = &self.tls {
            tls.check()?;
        }
        for (field, text) in [("user", &self.user), ("database", &self.database)] {
            if text.is_empty() || text.contains('\0') {
                return Err(Error::bad_config(field, "it is empty, or no name"));
            }
        }
        if self.databases.as_ref().is_some_and(Vec::is_empty) {
            let message = "an empty list reads no database; leave `privileges` and \
                           `default_privileges` out of `include` instead";
            return Err(Error::bad_config("databases", message));
        }
        if self.includes(Include::DefaultPrivileges) && !self.includes(Include::Privileges) {
            let message = "`default_privileges` are held on schemas, which `privileges` reports";
            return Err(Error::bad_config("include", message));
        }
        for (field, span) in [
            ("connect_timeout", self.connect_timeout),
            ("statement_timeout", self.statement_timeout),
        ] {
            if !(1..=3_600).contains(&span.as_secs()) {
                return Err(Error::bad_config(field, "it is from 1s to 1h"));
            }
        }
        self.services().map(|_| ())
    }

    fn check_place(&self) -> Result<(), Error> {
        match (&self.host, &self.socket) {
            (None, None) => Err(Error::bad_config("host", "name a `host` or a `socket`")),
            (Some(_), Some(_)) => Err(Error::bad_config("socket", "a host or a socket, not both")),
            (None, Some(socket)) if !socket.is_absolute() => Err(Error::bad_config(
                "socket",
                format!("{} is not an absolute path", socket.display()),
            )),
            (None, Some(_)) if self.tls.is_some() || self.plaintext => {
                let field = if self.plaintext { "plaintext" } else { "tls" };
                Err(Error::bad_config(field, "a socket is never encrypted; leave it out"))
            }
            (Some(host), None) if host.is_empty() || host.starts_with('/') => {
                Err(Error::bad_config("host", "no name of a host; a folder goes into `socket`"))
            }
            (Some(_), None) if self.tls.is_none() && !self.plaintext => Err(Error::bad_config(
                "tls",
                "say how the server proves who it is: `tls = {}` for the authorities of the host, \
                 `tls.ca` or `tls.fingerprint`; or `plaintext = true` to send everything \
                 unencrypted",
            )),
            (Some(_), None) if self.tls.is_some() && self.plaintext => {
                Err(Error::bad_config("plaintext", "with `tls` nothing is plain"))
            }
            _ => Ok(()),
        }
    }

    /// The names of services.
    pub(crate) fn services(&self) -> Result<Vec<Pattern>, Error> {
        let patterns = self.service_accounts.iter().enumerate().map(|(place, text)| {
            Pattern::new(text).map_err(|error| {
                let field = format!("service_accounts[{place}]");
                Error::bad_config(field, format!("`{text}` is no pattern")).caused_by(error)
            })
        });
        patterns.collect()
    }

    pub(crate) fn includes(&self, what: Include) -> bool {
        self.include.contains(&what)
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout.unsigned_abs()
    }

    pub(crate) fn statement_timeout(&self) -> Duration {
        self.statement_timeout.unsigned_abs()
    }
}
