//! One connection to the server, on which everything of a sync is asked: the cookies of a paged search
//! belong to the connection that got them.
//!
//! Every wait has an end, and how long was waited is added up. The connection is closed when it is
//! dropped, so that a sync which nobody wants any more leaves nothing behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cordon_sdk::Error;
use cordon_tls::Trust;
use ldap3::controls::{Control, RawControl};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Scope, SearchOptions};
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::entry::{self, Entry};
use crate::fault::{self, Fault};

/// How long a connection may take to be there, TLS included.
const CONNECTS_WITHIN: Duration = Duration::from_secs(15);

/// A connection on which the configured account is bound.
pub(crate) struct Connection {
    ldap: Ldap,
    driver: JoinHandle<Result<(), LdapError>>,
    timeout: Duration,
    /// What has been waited for the server so far.
    pub(crate) waited: Duration,
    /// Searches so far, each page being one.
    pub(crate) searches: u64,
}

/// One search.
pub(crate) struct Search<'a> {
    pub(crate) base: &'a str,
    pub(crate) scope: Scope,
    pub(crate) filter: &'a str,
    pub(crate) attributes: &'a [&'a str],
    pub(crate) controls: Vec<RawControl>,
    /// More entries than so many are not taken.
    pub(crate) entries_max: u32,
}

/// What a search gave.
pub(crate) struct Found {
    pub(crate) entries: Vec<Entry>,
    pub(crate) controls: Vec<Control>,
}

impl Connection {
    /// Connects and binds.
    pub(crate) async fn open(config: &Config) -> Result<Self, Error> {
        let url = config.parsed_url()?;
        let is_plain = url.scheme() == "ldap" && config.plaintext;
        let mut settings = LdapConnSettings::new().set_conn_timeout(CONNECTS_WITHIN);
        let trust = if is_plain {
            None
        } else {
            let trust = config.tls.trust()?;
            settings = settings.set_config(Arc::new(trust.config()));
            settings = settings.set_starttls(url.scheme() == "ldap");
            Some(trust)
        };
        let begun = Instant::now();
        let place = format!("{}:{}", url.host_str().unwrap_or_default(), port(&url));
        let connected = LdapConnAsync::from_url_with_settings(settings, &url).await;
        let (connection, ldap) = connected.map_err(|error| {
            let refusal = trust.as_ref().and_then(Trust::refusal);
            refusal.unwrap_or_else(|| unreachable_server(&place, error))
        })?;
        let driver = tokio::spawn(connection.drive());
        let (timeout, waited) = (config.timeout(), begun.elapsed());
        let mut connection = Self { ldap, driver, timeout, waited, searches: 0 };
        connection.bind(config).await?;
        Ok(connection)
    }

    async fn bind(&mut self, config: &Config) -> Result<(), Error> {
        let (Some(who), Some(password)) = (&config.bind_dn, &config.bind_password) else {
            return Ok(());
        };
        let begun = Instant::now();
        let bound = self.ldap.with_timeout(self.timeout).simple_bind(who, password.reveal()).await;
        self.waited += begun.elapsed();
        let result = bound.map_err(|error| {
            Fault::of_error(error, self.timeout).into_error(&format!("bind as {who}"))
        })?;
        if result.rc == 0 { Ok(()) } else { Err(fault::bind_error(&result, who)) }
    }

    /// Searches, and takes all that comes.
    pub(crate) async fn search(&mut self, search: Search<'_>) -> Result<Found, Fault> {
        let begun = Instant::now();
        self.searches += 1;
        let found = self.take(search).await;
        self.waited += begun.elapsed();
        found
    }

    async fn take(&mut self, search: Search<'_>) -> Result<Found, Fault> {
        let timeout = self.timeout;
        let failed = |error| Fault::of_error(error, timeout);
        let mut entries = vec![];
        let mut referred = None;
        let mut stream = self
            .ldap
            .with_timeout(timeout)
            .with_search_options(SearchOptions::new())
            .with_controls(search.controls)
            .streaming_search(search.base, search.scope, search.filter, search.attributes)
            .await
            .map_err(failed)?;
        while let Some(item) = stream.next().await.map_err(failed)? {
            if item.is_ref() {
                referred.get_or_insert_with(|| entry::first_text(item.0).unwrap_or_default());
            } else if !item.is_intermediate() {
                if entries.len() >= search.entries_max as usize {
                    return Err(Fault::Flood { asked: search.entries_max });
                }
                entries.push(Entry::read(item.0)?);
            }
        }
        let result: LdapResult = stream.finish().await;
        if let Some(fault) = Fault::of_result(&result) {
            return Err(fault);
        }
        match referred {
            Some(url) => Err(Fault::referred(&url)),
            None => Ok(Found { entries, controls: result.ctrls }),
        }
    }

    /// Reads one entry; none where the server says that there is none.
    pub(crate) async fn entry(
        &mut self,
        dn: &str,
        attributes: &[&str],
        controls: Vec<RawControl>,
    ) -> Result<Option<Entry>, Fault> {
        let search = Search {
            base: dn,
            scope: Scope::Base,
            filter: "(objectClass=*)",
            attributes,
            controls,
            entries_max: 1,
        };
        match self.search(search).await {
            Ok(mut found) => Ok(found.entries.pop()),
            // No such entry, or a name that cannot be one.
            Err(Fault::Refused { code: 32 | 34, .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Who the server takes this for; none where it does not say.
    pub(crate) async fn who_am_i(&mut self) -> Option<String> {
        let asked = self.ldap.with_timeout(self.timeout).extended(ldap3::exop::WhoAmI).await;
        let value = asked.ok().filter(|answer| answer.1.rc == 0)?.0.val?;
        String::from_utf8(value).ok()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn port(url: &url::Url) -> u16 {
    url.port().unwrap_or(if url.scheme() == "ldaps" { 636 } else { 389 })
}

fn unreachable_server(place: &str, error: LdapError) -> Error {
    match error {
        LdapError::Timeout { .. } => Error::unavailable(format!(
            "{place} does not answer within {} s",
            CONNECTS_WITHIN.as_secs()
        )),
        LdapError::LdapResult { result } => Error::auth(format!(
            "{place} does not start TLS ({}); use an ldaps url, or set plaintext if nothing on \
             the way can listen",
            result.rc
        )),
        LdapError::DNSName { .. } => {
            Error::bad_config("url", format!("{place} is no name of a host"))
        }
        LdapError::Io { source } => {
            Error::unavailable(format!("{place} cannot be reached")).caused_by(source)
        }
        error => Error::unavailable(format!("{place} cannot be reached")).caused_by(error),
    }
}
