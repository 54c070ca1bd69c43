//! The token that a request shows.
//!
//! Either it stands in the configuration, or it is asked for by OAuth 2.0 client credentials, kept
//! until shortly before its end, and asked for anew when the service refuses it.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_sdk::Error;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::AskError;
use super::answer::{body, shown};
use crate::config::{ClientAuth, Config, Oauth};

/// Bytes of a token endpoint's answer, at most.
const GRANT_BYTES_MAX: usize = 64 * 1024;
/// A token is renewed so long before its end.
const SPARE: Duration = Duration::from_secs(30);
/// How long a token holds of which nothing is said.
const LIFE_UNKNOWN: Duration = Duration::from_secs(300);
/// The longest life of a token that is believed.
const LIFE_MAX: Duration = Duration::from_secs(86_400);

/// What a request shows.
#[derive(Debug)]
pub(super) enum Token {
    Nothing,
    Fixed(HeaderValue),
    Granted(Box<Granted>),
}

#[derive(Debug)]
pub(super) struct Granted {
    oauth: Oauth,
    url: Url,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    header: HeaderValue,
    until: Instant,
    has_served: bool,
}

#[derive(Deserialize)]
struct Grant {
    access_token: SecretString,
    token_type: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl Token {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        Ok(match (&config.token, &config.oauth) {
            (Some(token), _) => {
                let message = "the token holds characters that no header can";
                Self::Fixed(bearer(token).ok_or_else(|| Error::bad_config("token", message))?)
            }
            (None, Some(oauth)) => {
                let url = Url::parse(&oauth.token_url).map_err(|error| {
                    Error::bad_config("oauth.token_url", "no URL").caused_by(error)
                })?;
                Self::Granted(Box::new(Granted {
                    oauth: oauth.clone(),
                    url,
                    held: Mutex::new(None),
                }))
            }
            (None, None) => Self::Nothing,
        })
    }

    /// Where a token is asked for, if it is.
    pub(super) fn url(&self) -> Option<&Url> {
        match self {
            Self::Granted(granted) => Some(&granted.url),
            Self::Nothing | Self::Fixed(_) => None,
        }
    }

    /// The header of a request, if it needs one.
    pub(super) async fn header(
        &self,
        http: &reqwest::Client,
    ) -> Result<Option<HeaderValue>, AskError> {
        match self {
            Self::Nothing => Ok(None),
            Self::Fixed(header) => Ok(Some(header.clone())),
            Self::Granted(granted) => granted.header(http).await.map(Some),
        }
    }

    /// After a refusal: true when another token may fare better, because this one once served.
    pub(super) async fn forget(&self) -> bool {
        let Self::Granted(granted) = self else { return false };
        granted.held.lock().await.take().is_some_and(|held| held.has_served)
    }
}

impl Granted {
    async fn header(&self, http: &reqwest::Client) -> Result<HeaderValue, AskError> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_mut().filter(|held| held.until > Instant::now()) {
            held.has_served = true;
            return Ok(held.header.clone());
        }
        let (header, life) = self.ask(http).await?;
        *held = Some(Held {
            header: header.clone(),
            until: Instant::now() + life.saturating_sub(SPARE),
            has_served: false,
        });
        Ok(header)
    }

    async fn ask(&self, http: &reqwest::Client) -> Result<(HeaderValue, Duration), AskError> {
        let oauth = &self.oauth;
        let secret = oauth.client_secret.expose_secret();
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(oauth.scope.as_deref().map(|scope| ("scope", scope)));
        form.extend(oauth.audience.as_deref().map(|audience| ("audience", audience)));
        let mut request = http
            .post(self.url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        match oauth.client_auth {
            ClientAuth::Body => {
                form.extend([("client_id", oauth.client_id.as_str()), ("client_secret", secret)]);
            }
            ClientAuth::Basic => {
                let named = format!("{}:{}", encoded(&oauth.client_id), encoded(secret));
                let header = format!("Basic {}", STANDARD.encode(named));
                let refuse = |_| AskError::NoToken { said: "the client's id is odd".to_owned() };
                let mut header = HeaderValue::from_str(&header).map_err(refuse)?;
                header.set_sensitive(true);
                request = request.header(AUTHORIZATION, header);
            }
        }
        let pairs = form.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
        let form = pairs.collect::<Vec<_>>().join("&");
        let response = request.body(form).send().await.map_err(AskError::unanswered)?;
        let status = response.status();
        let text = body(response, GRANT_BYTES_MAX).await?;
        if status != StatusCode::OK {
            let refusal = serde_json::from_slice::<Refusal>(&text).ok();
            let error = refusal.map_or_else(String::new, |refusal| refusal.error);
            let said = shown(&format!("{status} {error}"));
            return Err(match status {
                StatusCode::TOO_MANY_REQUESTS => AskError::Throttled { said, after: None },
                status if status.is_server_error() => AskError::Failed { said, after: None },
                _ => AskError::NoToken { said },
            });
        }
        // What cannot be read may hold the token, so it is not repeated.
        let no_grant = || AskError::NoToken { said: "its answer holds no bearer token".to_owned() };
        let grant: Grant = serde_json::from_slice(&text).map_err(|_| no_grant())?;
        if !grant.token_type.eq_ignore_ascii_case("bearer") {
            return Err(no_grant());
        }
        let header = bearer(&grant.access_token).ok_or_else(no_grant)?;
        let life = grant.expires_in.map_or(LIFE_UNKNOWN, Duration::from_secs);
        Ok((header, life.min(LIFE_MAX)))
    }
}

fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// A value as a form holds it.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_as_a_form_holds_it() {
        assert_eq!(encoded("a b&c=ü:/~"), "a%20b%26c%3D%C3%BC%3A%2F~");
    }

    #[test]
    fn a_token_is_never_shown() {
        let header = bearer(&SecretString::from("hunter2")).unwrap();
        assert!(!format!("{header:?}").contains("hunter2"));
        assert!(bearer(&SecretString::from("a\nb")).is_none());
    }
}
