//! Asks the service, and waits as it wishes.
//!
//! The service is a stranger: an answer has a bound in bytes and in time, tries are counted, and
//! neither a redirect nor anything else that it says leads a request, and with it the token, to
//! another origin. Proxies and certificates named in the environment are not used.

mod answer;
mod patience;
mod token;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, AUTHORIZATION, IF_NONE_MATCH};
use reqwest::{Method, Url, redirect};

use cordon_sdk::Error;
use cordon_tls::{Tls, Trust};

pub(crate) use answer::{Answer, AskError, shown};
pub(crate) use patience::Patience;

use crate::config::{Checked, Config};
use patience::{Next, Tries};
use token::Token;

/// Bytes of an answer, at most.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A service that cannot be connected to within this is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Speaks to one service.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Token,
    token_http: reqwest::Client,
    retries: u32,
    wait_max: Duration,
    waited: AtomicU64,
    requests: AtomicU64,
}

impl Client {
    /// Makes a client. Asks nothing yet.
    pub(crate) fn open(config: &Config, checked: &Checked) -> Result<Self, Error> {
        let tls = &config.tls;
        let token = Token::new(config)?;
        let token_http = match token.url() {
            // A pin and a certificate of ours are for one server.
            Some(url) if url.origin() != checked.base_url.origin() => {
                http(url, &Tls { ca: tls.ca.clone(), ..Tls::default() }, checked.timeout)?
            }
            _ => http(&checked.base_url, tls, checked.timeout)?,
        };
        Ok(Self {
            http: http(&checked.base_url, tls, checked.timeout)?,
            token,
            token_http,
            base: checked.base_url.clone(),
            retries: config.retries,
            wait_max: checked.wait_max,
            waited: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        })
    }

    /// The address of what stands at these segments below the service's own.
    pub(crate) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(segments);
        }
        url
    }

    /// How long the service was waited for since the client was made, and how often it was asked.
    pub(crate) fn waited(&self) -> (Duration, u64) {
        let waited = Duration::from_micros(self.waited.load(Ordering::Relaxed));
        (waited, self.requests.load(Ordering::Relaxed))
    }

    /// Asks until there is an answer or tries are used up. An answer that is still the one of that
    /// tag is none.
    pub(crate) async fn get(
        &self,
        url: &Url,
        etag: Option<&str>,
        patience: Patience<'_>,
    ) -> Result<Option<Answer>, AskError> {
        let mut tries = Tries::new(self.retries, self.wait_max);
        loop {
            let begun = Instant::now();
            let asked = tokio::select! {
                asked = self.once(url, etag) => asked,
                () = patience.cancelled() => Err(AskError::Cancelled),
            };
            let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.waited.fetch_add(took, Ordering::Relaxed);
            self.requests.fetch_add(1, Ordering::Relaxed);
            let error = match asked {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if matches!(error, AskError::Unauthorized { .. }) && self.token.forget().await {
                continue;
            }
            match tries.after(error) {
                Next::GiveUp(error) => return Err(error),
                Next::Wait(wait, why) => {
                    tracing::debug!(?wait, "waiting: {why}");
                    patience.wait(wait).await?;
                }
            }
        }
    }

    async fn once(&self, url: &Url, etag: Option<&str>) -> Result<Option<Answer>, AskError> {
        let mut request = self
            .http
            .request(Method::GET, url.clone())
            .header(ACCEPT, "application/scim+json, application/json;q=0.9");
        if let Some(authorization) = self.token.header(&self.token_http).await? {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = request.send().await.map_err(AskError::unanswered)?;
        answer::take(response, url, ANSWER_BYTES_MAX).await
    }
}

/// What speaks to a server: no proxy, no redirect, no certificate but those that are configured,
/// whatever the environment says.
fn http(url: &Url, tls: &Tls, timeout: Duration) -> Result<reqwest::Client, Error> {
    // The library wants a configuration of TLS also where none is spoken.
    let trust = if url.scheme() == "https" { tls.trust()? } else { Trust::in_nobody()? };
    let builder = reqwest::Client::builder()
        .user_agent(concat!("cordon-connector-scim/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .timeout(timeout)
        .tls_backend_preconfigured(trust.config());
    builder.build().map_err(|error| Error::bug("no HTTP client can be made").caused_by(error))
}
