//! Asks the service, and waits as it wishes.
//!
//! The service is a stranger: an answer has a bound in bytes and in time, tries are counted, and
//! neither a redirect nor anything else that it says leads a request, and with it the token, to
//! another origin. Proxies and certificates named in the environment are not used.

mod answer;
mod patience;
mod token;

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, AUTHORIZATION, IF_NONE_MATCH};
use reqwest::{Certificate, Method, Url, redirect};

use cordon_sdk::Error;

pub(crate) use answer::{Answer, AskError, shown};
pub(crate) use patience::Patience;

use crate::config::{Checked, Config};
use patience::{Next, Tries};
use token::Token;

/// Bytes of an answer, at most.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A service that cannot be connected to within this is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Where hosts keep the certificates that they trust.
const HOST_CERTIFICATES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Speaks to one service.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Token,
    retries: u32,
    wait_max: Duration,
    waited: AtomicU64,
    requests: AtomicU64,
}

impl Client {
    /// Makes a client. Asks nothing yet.
    pub(crate) fn open(config: &Config, checked: &Checked) -> Result<Self, Error> {
        install_crypto();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("cordon-connector-scim/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT.min(checked.timeout))
            .timeout(checked.timeout);
        let token_is_remote =
            config.oauth.as_ref().is_some_and(|oauth| oauth.token_url.starts_with("https:"));
        if checked.base_url.scheme() == "https" || token_is_remote {
            builder = builder.tls_certs_only(certificates(config.ca_file.as_deref())?);
        }
        let http = builder.build().map_err(|error| {
            Error::bad_config("ca_file", "its certificates cannot be used").caused_by(error)
        })?;
        Ok(Self {
            token: Token::new(config)?,
            http,
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
        if let Some(authorization) = self.token.header(&self.http).await? {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = request.send().await.map_err(AskError::unanswered)?;
        answer::take(response, url, ANSWER_BYTES_MAX).await
    }
}

/// The certificates of a file, else those of the host: always the same, whatever the environment.
fn certificates(file: Option<&str>) -> Result<Vec<Certificate>, Error> {
    let read = match file {
        Some(file) => std::fs::read(file).map_err(|error| {
            Error::bad_config("ca_file", format!("{file} cannot be read")).caused_by(error)
        })?,
        None => {
            HOST_CERTIFICATES.iter().find_map(|file| std::fs::read(file).ok()).ok_or_else(|| {
                let message = "this host has no list of trusted certificates; name one";
                Error::bad_config("ca_file", message)
            })?
        }
    };
    let certificates = Certificate::from_pem_bundle(&read)
        .map_err(|error| Error::bad_config("ca_file", "it is not PEM").caused_by(error))?;
    if certificates.is_empty() {
        return Err(Error::bad_config("ca_file", "it holds no certificate"));
    }
    Ok(certificates)
}

/// TLS by ring, for the process. Another part of it may have chosen before; that choice then holds.
fn install_crypto() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
