//! What an administrator can set, and what of it cannot work.

use std::fmt;
use std::time::Duration;

use cordon_sdk::Error;
use cordon_tls::Tls;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

/// Entries asked for at once, at most: servers stop at 1,000 unless they are told otherwise.
const PAGE_ENTRIES_MAX: u32 = 1_000;

/// Configuration of connector-ldap.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The server: `ldaps://host:636`, or `ldap://host:389`, which is encrypted by StartTLS.
    pub(crate) url: String,
    /// Who to bind as: a DN, or at Active Directory also `cordon@corp.example`. Without it nobody.
    #[serde(default)]
    pub(crate) bind_dn: Option<String>,
    /// The password of `bind_dn`.
    #[serde(default)]
    pub(crate) bind_password: Option<Password>,
    /// The DN below which everything is searched.
    pub(crate) base: String,
    /// Which users are reported.
    #[serde(default)]
    pub(crate) users: Selection,
    /// Which groups are reported.
    #[serde(default)]
    pub(crate) groups: Selection,
    /// How the server is known to be the one that is meant.
    #[serde(default)]
    pub(crate) tls: Tls,
    /// Sends everything, the password included, readable by whoever listens.
    #[serde(default)]
    pub(crate) plaintext: bool,
    /// Entries asked for at once.
    #[serde(default = "page_size")]
    pub(crate) page_size: u32,
    /// Members of a group asked for at once, at Active Directory.
    #[serde(default = "member_range")]
    pub(crate) member_range: u32,
    /// Seconds to wait for the server's next answer.
    #[serde(default = "timeout_seconds")]
    pub(crate) timeout_seconds: u32,
    /// DNs that stand as members where a group must have one, and are nobody.
    #[serde(default)]
    pub(crate) placeholders: Vec<String>,
    /// Names of groups whose members have power over others, beside those that Active Directory
    /// protects.
    #[serde(default)]
    pub(crate) privileged_groups: Vec<String>,
}

/// A part of the directory.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Selection {
    /// The DN below which they are searched; without it `base`.
    pub(crate) base: Option<String>,
    /// The filter that finds them; without it that of the kind of server.
    pub(crate) filter: Option<String>,
}

/// A password, which nothing prints.
#[derive(Clone, Deserialize, JsonSchema)]
#[schemars(transparent, extend("writeOnly" = true))]
#[serde(transparent)]
pub(crate) struct Password(String);

impl Password {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

fn page_size() -> u32 {
    500
}

fn member_range() -> u32 {
    1_500
}

fn timeout_seconds() -> u32 {
    60
}

impl Config {
    /// Refuses what cannot work at any server.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let url = self.parsed_url()?;
        let encrypted_anyway = url.scheme() == "ldaps";
        if encrypted_anyway && self.plaintext {
            let message = "the url is ldaps, which is never plaintext";
            return Err(Error::bad_config("plaintext", message));
        }
        self.tls.check()?;
        match (&self.bind_dn, &self.bind_password) {
            (None, Some(_)) => {
                return Err(Error::bad_config("bind_dn", "there is a password, but nobody's"));
            }
            // A bind without a password succeeds at many servers, as nobody.
            (Some(_), password)
                if password.as_ref().is_none_or(|password| password.0.is_empty()) =>
            {
                let message = "a bind without a password is one as nobody: set the password, or \
                               leave out `bind_dn`";
                return Err(Error::bad_config("bind_password", message));
            }
            _ => {}
        }
        for (field, filter) in
            [("users.filter", &self.users.filter), ("groups.filter", &self.groups.filter)]
        {
            if let Some(filter) = filter
                && ldap3::parse_filter(filter).is_err()
            {
                return Err(Error::bad_config(field, format!("{filter} is no filter")));
            }
        }
        let sizes = [
            ("page_size", self.page_size, PAGE_ENTRIES_MAX),
            ("member_range", self.member_range, 5_000),
            ("timeout_seconds", self.timeout_seconds, 600),
        ];
        for (field, value, most) in sizes {
            if !(1..=most).contains(&value) {
                return Err(Error::bad_config(field, format!("1 to {most}, not {value}")));
            }
        }
        Ok(())
    }

    /// The server's address.
    pub(crate) fn parsed_url(&self) -> Result<Url, Error> {
        let bad = |message: String| Error::bad_config("url", message);
        let url = Url::parse(&self.url).map_err(|error| bad(format!("no url: {error}")))?;
        if !matches!(url.scheme(), "ldap" | "ldaps") {
            return Err(bad(format!("{} is neither ldap nor ldaps", url.scheme())));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(bad("the url names no host".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("credentials belong into bind_dn and bind_password".to_owned()));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(bad("a search belongs into base, users and groups".to_owned()));
        }
        Ok(url)
    }

    /// How long to wait for the server.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.into())
    }

    /// Where a part of the directory is searched.
    pub(crate) fn base_of<'a>(&'a self, selection: &'a Selection) -> &'a str {
        selection.base.as_deref().unwrap_or(&self.base)
    }
}
