//! The `webhook` sink: batches as signed HTTP requests, by Standard Webhooks.
//!
//! ```text
//! POST <url>
//! webhook-id: hr/8713-9212            connector, first and last change: the same when sent again
//! webhook-timestamp: 1772424000       when this request was made, not the changes
//! webhook-signature: v1,<base64 of HMAC-SHA256(secret, "<id>.<timestamp>.<body>")>
//!
//! {"v":1,"connector":"hr","first_seq":8713,"last_seq":9212,"changes":[ ... ]}
//! ```
//!
//! A batch whose body would grow too large goes as several requests, in order. When more changes
//! wait by the time of a second try, its batch and so its id may be another: receivers that need
//! each change once look at the changes' own ids.
//!
//! The receiver is a stranger: it is given a time, its words are cut short, it cannot send us on to
//! another address, and how long it may make us wait is bounded. Proxies from the environment are
//! not used.

mod answer;
mod signature;
mod unanswered;

use std::sync::Once;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Client, Url, redirect};
use secrecy::SecretString;

use crate::{DeliverError, Delivery, SinkOpenError, delivery};
use signature::Signer;
use unanswered::unanswered;

/// A body larger than this holds a single change. Servers commonly refuse bodies from 1 MiB on.
const BODY_BYTES_MAX: usize = 512 * 1024;
/// A receiver that cannot be connected to within this is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where requests go, and with which secret.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// Where to; `https`, or `http` to this host itself.
    pub url: String,
    /// Signs the requests: `whsec_` and the base64 of 24 to 64 bytes.
    pub secret: SecretString,
    /// Changes in one request, at most.
    pub batch_max: usize,
    /// From the first byte sent to the last byte read of one request.
    pub timeout: Duration,
    /// Allows `http` to other hosts: changes then cross the network readable.
    pub allow_insecure: bool,
}

/// Posts changes to a URL.
#[derive(Debug)]
pub struct WebhookSink {
    client: Client,
    url: Url,
    signer: Signer,
    batch_max: usize,
}

impl WebhookSink {
    /// Checks URL and secret. Sends nothing.
    pub fn open(config: &WebhookConfig) -> Result<Self, SinkOpenError> {
        if config.batch_max == 0 {
            return Err(SinkOpenError::Zero { field: "batch_max" });
        }
        if config.timeout.is_zero() {
            return Err(SinkOpenError::Zero { field: "timeout" });
        }
        let url = checked_url(&config.url, config.allow_insecure)?;
        let signer = Signer::new(&config.secret)?;
        install_crypto();
        let client = Client::builder()
            .user_agent(concat!("cordon/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT.min(config.timeout))
            .timeout(config.timeout)
            .build()
            .map_err(|source| SinkOpenError::Client { source })?;
        Ok(Self { client, url, signer, batch_max: config.batch_max })
    }

    pub(crate) fn batch_max(&self) -> usize {
        self.batch_max
    }

    pub(crate) async fn deliver(&mut self, batch: &[Delivery]) -> Result<(), DeliverError> {
        let mut request = Request::default();
        for delivery in batch {
            let change = serde_json::to_vec(&delivery.envelope())
                .expect("memory takes every write, and texts and numbers are JSON");
            if !request.has_room_for(&change, self.batch_max) {
                self.post(std::mem::take(&mut request)).await?;
            }
            request.push(delivery, &change);
        }
        if request.changes > 0 { self.post(request).await } else { Ok(()) }
    }

    /// Whether anything answers at the URL; what it answers to a `HEAD` does not matter.
    pub(crate) async fn check(&self) -> Result<(), DeliverError> {
        let answer = self.client.head(self.url.clone()).send().await;
        answer.map(drop).map_err(unanswered)
    }

    async fn post(&self, request: Request) -> Result<(), DeliverError> {
        let (id, body) = request.finish();
        let timestamp = Timestamp::now().as_second();
        let answer = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", self.signer.sign(&id, timestamp, &body))
            .body(body)
            .send()
            .await
            .map_err(unanswered)?;
        answer::judge(answer, Timestamp::now()).await
    }
}

/// One request's body, while it grows.
#[derive(Default)]
struct Request {
    connector: String,
    /// Number and sequence number of the first change, then of the last.
    first: (String, u64),
    last: (String, u64),
    changes: usize,
    /// The changes' JSON with commas between them.
    list: Vec<u8>,
}

impl Request {
    fn has_room_for(&self, change: &[u8], batch_max: usize) -> bool {
        let full = self.changes >= batch_max || self.list.len() + change.len() > BODY_BYTES_MAX;
        self.changes == 0 || !full
    }

    fn push(&mut self, delivery: &Delivery, change: &[u8]) {
        if self.changes == 0 {
            self.connector = delivery.connector.to_string();
            self.first = (delivery.number(), delivery.seq);
        } else {
            self.list.push(b',');
        }
        self.last = (delivery.number(), delivery.seq);
        self.changes += 1;
        self.list.extend_from_slice(change);
    }

    /// The id and the body.
    fn finish(self) -> (String, Vec<u8>) {
        let Self { connector, first: (first, first_seq), last: (last, last_seq), .. } = self;
        // A connector's name needs no escaping: it has only a-z, 0-9 and -.
        let mut body = format!(
            "{{\"v\":{},\"connector\":\"{connector}\",\"first_seq\":{first_seq},\"last_seq\":{last_seq},\"changes\":[",
            delivery::VERSION
        )
        .into_bytes();
        body.extend_from_slice(&self.list);
        body.extend_from_slice(b"]}");
        (format!("{connector}/{first}-{last}"), body)
    }
}

fn checked_url(text: &str, allow_insecure: bool) -> Result<Url, SinkOpenError> {
    let refuse = |reason: String| SinkOpenError::Url { reason };
    let url = Url::parse(text).map_err(|error| refuse(error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("it holds a user name or password; the signature is the proof".into()));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if allow_insecure || is_this_host(&url) => Ok(url),
        "http" => Err(refuse(
            "http to another host; use https, or set allow_insecure to send changes readable"
                .into(),
        )),
        scheme => Err(refuse(format!("{scheme} is neither https nor http"))),
    }
}

fn is_this_host(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// TLS by ring, for the process. Another part of it may have chosen before; that choice then holds.
fn install_crypto() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
