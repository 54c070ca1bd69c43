//! What an administrator can set, and what of it cannot work whatever the service says.

use std::collections::BTreeMap;
use std::time::Duration;

use cordon_sdk::{AccountType, Error};
use cordon_tls::Tls;
use glob::Pattern;
use jiff::SignedDuration;
use reqwest::Url;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use crate::attributes::ATTRIBUTES;
use crate::path::Path;

/// Resources of one page, at most.
const PAGE_MAX: u64 = 10_000;

/// Configuration of connector-scim.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where the service is: the address before `/Users`, e.g. `https://scim.example.org/v2`.
    pub(crate) base_url: String,
    /// The bearer token.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("writeOnly" = true))]
    pub(crate) token: Option<SecretString>,
    /// Where a token is asked for, instead of one that is written here.
    #[serde(default)]
    pub(crate) oauth: Option<Oauth>,
    /// How the service proves who it is.
    #[serde(default)]
    pub(crate) tls: Tls,
    /// Allows `http` to other hosts: token and records then cross the network readable.
    #[serde(default)]
    pub(crate) allow_insecure: bool,
    /// What is reported.
    #[serde(default = "all_parts")]
    pub(crate) include: Vec<Part>,
    /// More resource types of the service, by name, and what they are.
    #[serde(default)]
    pub(crate) resources: BTreeMap<String, Kind>,
    /// A SCIM filter that selects users.
    #[serde(default)]
    pub(crate) users_filter: Option<String>,
    /// A SCIM filter that selects groups.
    #[serde(default)]
    pub(crate) groups_filter: Option<String>,
    /// Where members are read: in the list of groups, or in each group by itself.
    #[serde(default)]
    pub(crate) members: Members,
    /// Resources of one page.
    #[serde(default = "hundred")]
    pub(crate) page_size: u64,
    /// How pages are asked for. Without it as the service announces.
    #[serde(default)]
    pub(crate) paging: PagingChoice,
    /// Whether a page begins with the last resource of the page before, by which a collection that
    /// moves is noticed. Only for paging by index.
    #[serde(default = "yes")]
    pub(crate) overlap: bool,
    /// The attribute by which the service is asked to sort; without it as it likes.
    #[serde(default)]
    pub(crate) sort_by: Option<String>,
    /// How long one answer may take.
    #[serde(default = "a_minute")]
    #[schemars(with = "String")]
    pub(crate) timeout: SignedDuration,
    /// How often a request is tried again that failed by no fault of its own.
    #[serde(default = "four")]
    pub(crate) retries: u32,
    /// The longest wait that the service may ask for within a sync.
    #[serde(default = "five_minutes")]
    #[schemars(with = "String")]
    pub(crate) wait_max: SignedDuration,
    /// What says how current the service is.
    #[serde(default)]
    pub(crate) watermark: WatermarkFrom,
    /// Attributes of users with their paths, laid upon those that are mapped by default.
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, String>,
    /// User names of services, with `*` and `?`.
    #[serde(default)]
    pub(crate) service_accounts: Vec<String>,
    /// Names of groups, roles and entitlements that give power over others, with `*` and `?`.
    #[serde(default)]
    pub(crate) privileged: Vec<String>,
}

/// Where a token is asked for, by OAuth 2.0 client credentials.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Oauth {
    /// The token endpoint.
    pub(crate) token_url: String,
    /// The client's id.
    pub(crate) client_id: String,
    /// The client's secret.
    #[schemars(with = "String", extend("writeOnly" = true))]
    pub(crate) client_secret: SecretString,
    /// The scope that is asked for.
    #[serde(default)]
    pub(crate) scope: Option<String>,
    /// The audience that is asked for.
    #[serde(default)]
    pub(crate) audience: Option<String>,
    /// How the client says who it is.
    #[serde(default)]
    pub(crate) client_auth: ClientAuth,
}

/// How a client says who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientAuth {
    /// In the header.
    #[default]
    Basic,
    /// In the form.
    Body,
}

/// A part of what is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    /// Users.
    Users,
    /// Groups and their members.
    Groups,
    /// Roles and entitlements that stand at users.
    Roles,
}

/// What a resource type of the service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// People.
    Human,
    /// Programs that act on their own.
    Service,
    /// Parts of the system itself.
    System,
    /// Programs that act for somebody and decide by themselves.
    Agent,
    /// Not reported, and as members of groups passed over.
    Ignore,
}

impl Kind {
    pub(crate) fn account_type(self) -> Option<AccountType> {
        match self {
            Self::Human => Some(AccountType::Human),
            Self::Service => Some(AccountType::Service),
            Self::System => Some(AccountType::System),
            Self::Agent => Some(AccountType::Agent),
            Self::Ignore => None,
        }
    }
}

/// Where members are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Members {
    /// In the list of groups.
    #[default]
    Listed,
    /// In each group by itself: a request a group.
    Each,
}

/// How pages are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PagingChoice {
    /// By cursor where the service announces that, else by index.
    #[default]
    Announced,
    /// By `startIndex`.
    Index,
    /// By `cursor`, RFC 9865.
    Cursor,
}

/// What says how current the service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WatermarkFrom {
    /// When it answered: `Date`, less the `Age` that a cache adds.
    #[default]
    Answered,
    /// The newest `meta.lastModified`.
    LastModified,
    /// Nothing.
    None,
}

fn all_parts() -> Vec<Part> {
    vec![Part::Users, Part::Groups, Part::Roles]
}

fn hundred() -> u64 {
    100
}

fn yes() -> bool {
    true
}

fn four() -> u32 {
    4
}

fn a_minute() -> SignedDuration {
    SignedDuration::from_mins(1)
}

fn five_minutes() -> SignedDuration {
    SignedDuration::from_mins(5)
}

/// An attribute of users with its type and its paths.
type MappedPaths = (&'static str, cordon_sdk::AttributeType, Vec<Path>);

/// What of the configuration was made ready for use.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) base_url: Url,
    pub(crate) timeout: Duration,
    pub(crate) wait_max: Duration,
    /// For each attribute of users the paths of which the first that leads somewhere counts.
    pub(crate) attributes: Vec<MappedPaths>,
    pub(crate) service_accounts: Vec<Pattern>,
    pub(crate) privileged: Vec<Pattern>,
}

impl Config {
    pub(crate) fn includes(&self, part: Part) -> bool {
        self.include.contains(&part)
    }

    /// Refuses what cannot work, and reads the rest.
    pub(crate) fn check(&self) -> Result<Checked, Error> {
        let base_url = self.url("base_url", &self.base_url)?;
        self.tls.check()?;
        match (&self.token, &self.oauth) {
            (Some(_), Some(_)) => {
                return Err(Error::bad_config("oauth", "a `token` or `oauth`, not both"));
            }
            (None, Some(oauth)) => {
                self.url("oauth.token_url", &oauth.token_url)?;
            }
            _ => {}
        }
        if !self.includes(Part::Users) {
            let message = "groups and roles are held by users: `users` has to be among them";
            return Err(Error::bad_config("include", message));
        }
        let pages = if self.overlap { 2..=PAGE_MAX } else { 1..=PAGE_MAX };
        if !pages.contains(&self.page_size) {
            let message = format!("{} is not from {} to {PAGE_MAX}", self.page_size, pages.start());
            return Err(Error::bad_config("page_size", message));
        }
        if self.retries > 20 {
            return Err(Error::bad_config("retries", "more than 20 tries help nobody"));
        }
        Ok(Checked {
            base_url,
            timeout: span("timeout", self.timeout)?,
            wait_max: span("wait_max", self.wait_max)?,
            attributes: self.paths()?,
            service_accounts: patterns("service_accounts", &self.service_accounts)?,
            privileged: patterns("privileged", &self.privileged)?,
        })
    }

    fn url(&self, field: &str, text: &str) -> Result<Url, Error> {
        let refuse = |message: String| Error::bad_config(field, message);
        let mut url = Url::parse(text).map_err(|error| refuse(error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("it holds a user name or a password; use `token`".to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("it goes on after its path".to_owned()));
        }
        match url.scheme() {
            "https" => {}
            "http" if self.allow_insecure || is_this_host(&url) => {}
            "http" => {
                let message = "http to another host; use https, or set `allow_insecure` to send \
                               token and records readable";
                return Err(refuse(message.to_owned()));
            }
            scheme => return Err(refuse(format!("{scheme} is neither https nor http"))),
        }
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty();
        }
        Ok(url)
    }

    fn paths(&self) -> Result<Vec<MappedPaths>, Error> {
        if let Some(unknown) = self.attributes.keys().find(|name| !is_attribute(name)) {
            let names = ATTRIBUTES.iter().map(|(name, _, _)| *name);
            let near = nearest(unknown, names).map(|near| format!("; did you mean `{near}`?"));
            let near = near.unwrap_or_else(|| "; `custom_1` to `custom_8` have no name".to_owned());
            let message = format!("`{unknown}` is not an attribute that can be mapped{near}");
            return Err(Error::bad_config(format!("attributes.{unknown}"), message));
        }
        let mut mapped = Vec::new();
        for (name, kind, defaults) in ATTRIBUTES {
            let own = self.attributes.get(name).map(String::as_str);
            let texts = own.map_or_else(|| defaults.to_vec(), |path| vec![path]);
            let paths = texts.into_iter().map(Path::parse).collect::<Result<Vec<_>, _>>();
            let paths = paths.map_err(|error| {
                Error::bad_config(format!("attributes.{name}"), error.to_string())
            })?;
            if !paths.is_empty() {
                mapped.push((name, kind, paths));
            }
        }
        Ok(mapped)
    }
}

fn is_attribute(name: &str) -> bool {
    ATTRIBUTES.iter().any(|(known, _, _)| *known == name)
}

fn is_this_host(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn span(field: &str, span: SignedDuration) -> Result<Duration, Error> {
    match Duration::try_from(span) {
        Ok(span) if !span.is_zero() => Ok(span),
        _ => Err(Error::bad_config(field, "a span of time, longer than nothing")),
    }
}

fn patterns(field: &str, texts: &[String]) -> Result<Vec<Pattern>, Error> {
    let patterns = texts.iter().map(|text| {
        Pattern::new(text).map_err(|error| {
            Error::bad_config(field, format!("`{text}` is no pattern")).caused_by(error)
        })
    });
    patterns.collect()
}

/// The name that somebody may have meant.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Below it two words have little in common.
    const LIKENESS_MIN: f64 = 0.75;
    let wanted = wanted.to_lowercase();
    names
        .map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}
