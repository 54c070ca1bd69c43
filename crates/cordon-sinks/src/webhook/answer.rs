//! What a receiver's answer means.
//!
//! | answer | meaning |
//! | --- | --- |
//! | 2xx | delivered |
//! | 408, 409, 425, 429, 5xx | try again, after `Retry-After` when it is given |
//! | all others | refused: a redirect, a wrong path or secret, or a receiver that is gone |

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use crate::DeliverError;

/// A receiver cannot silence us for longer than this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Of a refusal's text, this much is read and shown.
const EXPLANATION_BYTES_MAX: usize = 512;

/// Whether the receiver took the request, and what it said if not. The body of a success is not
/// read: it says nothing that we need, and may never end.
pub(super) async fn judge(answer: Response, now: Timestamp) -> Result<(), DeliverError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let after = retry_after(answer.headers(), now);
    let location = answer.headers().get(LOCATION).map(|to| shown(to.as_bytes()));
    let said = explanation(answer).await;
    let mut reason = format!("receiver answered {status}");
    if let Some(to) = location.filter(|_| status.is_redirection()) {
        reason.push_str(&format!(", to {to}; redirects are not followed"));
    } else if !said.is_empty() {
        reason.push_str(&format!(": {said}"));
    }
    if may_pass(status) {
        Err(DeliverError::Retry { after, reason })
    } else {
        Err(DeliverError::Refused { reason })
    }
}

fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT
                | StatusCode::CONFLICT
                | StatusCode::TOO_EARLY
                | StatusCode::TOO_MANY_REQUESTS
        )
}

/// Seconds, or a date. What is neither is as if absent.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(until.duration_since(now)).unwrap_or_default()
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// The beginning of the body; what could be read of it before the request's time ran out.
async fn explanation(mut answer: Response) -> String {
    let mut said = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        said.extend_from_slice(&chunk[..chunk.len().min(EXPLANATION_BYTES_MAX - said.len())]);
        if said.len() == EXPLANATION_BYTES_MAX {
            break;
        }
    }
    shown(&said)
}

/// A stranger's bytes as one short line of plain characters.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(EXPLANATION_BYTES_MAX)]);
    let plain: String =
        text.chars().map(|c| if cordon_model::is_hostile(c) { ' ' } else { c }).collect();
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str) -> Option<u64> {
        let now: Timestamp = "2026-03-02T04:00:00Z".parse().unwrap();
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
        retry_after(&headers, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date_and_never_exceeds_an_hour() {
        assert_eq!(check("0"), Some(0));
        assert_eq!(check("120"), Some(120));
        assert_eq!(check("Mon, 02 Mar 2026 04:02:00 GMT"), Some(120));
        assert_eq!(check("Mon, 02 Mar 2026 03:00:00 GMT"), Some(0));
        assert_eq!(check("3601"), Some(3600));
        assert_eq!(check("18446744073709551615"), Some(3600));
        assert_eq!(check("Thu, 31 Dec 9998 23:59:59 GMT"), Some(3600));
    }

    #[test]
    fn a_retry_after_that_is_neither_is_as_if_absent() {
        for value in ["", "-1", "soon", "99999999999999999999999", "1.5", "Mon, 99 Mar 2026"] {
            assert_eq!(check(value), None, "{value}");
        }
    }

    #[test]
    fn what_a_receiver_says_is_one_short_line_without_control_characters() {
        assert_eq!(shown(b"\x1b[31mno\r\nway\0\xff"), "[31mno  way \u{fffd}");
        assert!(shown(&[b'x'; 100_000]).len() <= EXPLANATION_BYTES_MAX);
    }
}
