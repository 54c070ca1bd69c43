//! What an answer means.
//!
//! | answer | meaning |
//! | --- | --- |
//! | 2xx with JSON | taken |
//! | 304 | as it was |
//! | 401 | the credentials are refused: nothing can be read |
//! | 403 | this kind of resource may not be read |
//! | 404 | denied by the service itself only where it says so in the words of SCIM |
//! | 408, 425, 429, 5xx | tried again |
//! | 3xx | refused: the token goes to the configured origin alone |

use std::time::Duration;

use cordon_sdk::{Error, Timestamp};
use jiff::fmt::rfc2822;
use reqwest::header::{AGE, DATE, ETAG, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;

/// Of what a stranger says, this much is shown.
const SHOWN_CHARS_MAX: usize = 200;
/// Of a refusal's body, this much is read.
const REFUSAL_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a tag, at most.
const ETAG_BYTES_MAX: usize = 1024;
/// The schema of errors.
const ERROR_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// An answer that was taken.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    pub(crate) etag: Option<String>,
    /// When it was made, as the service says.
    pub(crate) as_of: Option<Timestamp>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("the sync was cancelled")]
    Cancelled,
    #[error("the service refuses the credentials: {said}")]
    Unauthorized { said: String },
    #[error("the token endpoint gives no token: {said}")]
    NoToken { said: String },
    #[error("may not be read: {said}")]
    Denied { said: String },
    #[error("is not there: {said}")]
    Absent {
        said: String,
        /// The service itself said so, and not something before it.
        is_scim: bool,
    },
    #[error("the service wants to be left alone: {said}")]
    Throttled { said: String, after: Option<Duration> },
    #[error("the service failed: {said}")]
    Failed { said: String, after: Option<Duration> },
    #[error("the service refuses the request: {said}")]
    Refused { said: String, scim_type: Option<String> },
    #[error("the service sends on to {to}, where the token does not go")]
    Redirected { to: String },
    #[error("no answer: {said}")]
    Unanswered { said: String },
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
}

impl AskError {
    /// No answer came, or none in time.
    pub(super) fn unanswered(error: reqwest::Error) -> Self {
        let what = if error.is_timeout() {
            "not in time"
        } else if error.is_connect() {
            "cannot connect"
        } else {
            "broken off"
        };
        let error = error.without_url();
        let mut said = format!("{what}: {error}");
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            said.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Self::Unanswered { said: shown(&said) }
    }

    /// The same for whoever asked for `what`.
    pub(crate) fn into_error(self, what: &str) -> Error {
        let holds = "; what was reported before still holds";
        match self {
            Self::Cancelled => Error::Cancelled,
            Self::Throttled { after, .. } => {
                let after = after.unwrap_or(Duration::from_secs(60));
                Error::rate_limited(format!("{what}: {self}{holds}"), after)
            }
            Self::Unauthorized { .. }
            | Self::NoToken { .. }
            | Self::Denied { .. }
            | Self::Redirected { .. } => Error::auth(format!("{what}: {self}{holds}")),
            Self::Failed { .. } | Self::Unanswered { .. } => {
                Error::unavailable(format!("{what}: {self}{holds}"))
            }
            Self::Absent { .. } | Self::Refused { .. } | Self::TooLarge(_) => {
                Error::incomplete(format!("{what}: {self}{holds}"))
            }
        }
    }

    /// Whether it ends the whole sync, because no other request would fare better.
    pub(crate) fn ends_all(&self) -> bool {
        matches!(
            self,
            Self::Cancelled
                | Self::Unauthorized { .. }
                | Self::NoToken { .. }
                | Self::Throttled { .. }
                | Self::Redirected { .. }
                | Self::Unanswered { .. }
        )
    }
}

/// An error as SCIM words it.
#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    schemas: Vec<String>,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default, rename = "scimType")]
    scim_type: Option<String>,
}

/// Reads an answer within its bound, or says what it means instead.
pub(super) async fn take(
    response: Response,
    asked: &Url,
    bytes_max: usize,
) -> Result<Option<Answer>, AskError> {
    let status = response.status();
    let now = Timestamp::now();
    if status == StatusCode::NOT_MODIFIED {
        return Ok(None);
    }
    if status.is_success() {
        let etag = header(response.headers(), ETAG.as_str()).map(str::to_owned);
        let etag = etag.filter(|etag| etag.len() <= ETAG_BYTES_MAX);
        let as_of = as_of(response.headers(), now);
        let body = body(response, bytes_max).await?;
        return Ok(Some(Answer { body, etag, as_of }));
    }
    let after = header(response.headers(), RETRY_AFTER.as_str());
    let after = after.and_then(|text| retry_after(text, now));
    if status.is_redirection() {
        let to = header(response.headers(), LOCATION.as_str()).unwrap_or_default();
        // Without its query, which may hold what lets one in.
        let to = asked.join(to).map_or_else(
            |_| "nowhere".to_owned(),
            |url| format!("{}{}", url.origin().ascii_serialization(), url.path()),
        );
        return Err(AskError::Redirected { to: shown(&to) });
    }
    // What stands in a refusal explains it; that it stands there is not needed.
    let text = body(response, REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let scim = serde_json::from_slice::<ErrorBody>(&text).ok();
    let is_scim = scim.as_ref().is_some_and(|body| body.schemas.iter().any(|s| s == ERROR_SCHEMA));
    let detail = scim.as_ref().and_then(|body| body.detail.as_deref()).unwrap_or_default();
    let said = shown(&format!("{status} {detail}"));
    let scim_type = scim.and_then(|body| body.scim_type);
    Err(match status {
        StatusCode::UNAUTHORIZED => AskError::Unauthorized { said },
        StatusCode::FORBIDDEN => AskError::Denied { said },
        StatusCode::NOT_FOUND => AskError::Absent { said, is_scim },
        StatusCode::TOO_MANY_REQUESTS => AskError::Throttled { said, after },
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => AskError::Failed { said, after },
        StatusCode::NOT_IMPLEMENTED => AskError::Refused { said, scim_type },
        status if status.is_server_error() => AskError::Failed { said, after },
        _ => AskError::Refused { said, scim_type },
    })
}

/// Reads a body to its end, or as far as it may be long.
pub(super) async fn body(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, AskError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(AskError::unanswered)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(AskError::TooLarge(bytes_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// When an answer was made: its date, less what it lay in a cache.
fn as_of(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let date = header(headers, DATE.as_str())?;
    let date = rfc2822::parse(date).ok()?.timestamp();
    let age: i64 = header(headers, AGE.as_str()).and_then(|age| age.parse().ok()).unwrap_or(0);
    let made = date.checked_sub(jiff::SignedDuration::from_secs(age.max(0))).ok()?;
    // A clock that is ahead must not make the next answer look old.
    Some(made.min(now))
}

/// Seconds, or a date. What is neither is as if absent.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let until = rfc2822::parse(text).ok()?.timestamp();
            Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
        }
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// A stranger's words as one short line of plain characters.
pub(crate) fn shown(text: &str) -> String {
    let plain = text.chars().map(|c| if is_odd(c) { ' ' } else { c });
    let mut short: String = plain.take(SHOWN_CHARS_MAX).collect();
    short.truncate(short.trim_end().len());
    short
}

/// Characters that change how a line looks.
fn is_odd(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-03-02T04:00:00Z".parse().unwrap()
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        for (text, expected) in [
            ("0", Some(0)),
            ("120", Some(120)),
            ("Mon, 02 Mar 2026 04:02:00 GMT", Some(120)),
            ("Mon, 02 Mar 2026 03:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let after = retry_after(text, now()).map(|wait| wait.as_secs());
            assert_eq!(after, expected, "{text}");
        }
    }

    #[test]
    fn an_answer_is_as_old_as_its_date_and_its_time_in_a_cache() {
        let read = |date: &str, age: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, date.parse().unwrap());
            if let Some(age) = age {
                headers.insert(AGE, age.parse().unwrap());
            }
            as_of(&headers, now()).map(|time| time.to_string())
        };
        let date = "Mon, 02 Mar 2026 03:00:00 GMT";
        assert_eq!(read(date, None).unwrap(), "2026-03-02T03:00:00Z");
        assert_eq!(read(date, Some("3600")).unwrap(), "2026-03-02T02:00:00Z");
        assert_eq!(read(date, Some("-5")).unwrap(), "2026-03-02T03:00:00Z");
        assert_eq!(read("Mon, 02 Mar 2026 09:00:00 GMT", None).unwrap(), "2026-03-02T04:00:00Z");
        assert_eq!(read("yesterday", None), None);
    }

    #[test]
    fn what_a_service_says_is_one_short_line() {
        assert_eq!(shown("no\r\n\u{1b}[31mway\u{202e} "), "no   [31mway");
        assert_eq!(shown(&"x".repeat(10_000)).len(), SHOWN_CHARS_MAX);
    }
}
