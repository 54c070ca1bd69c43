//! Why a request has no answer: the receiver's certificate, its name, its port, or time.
//!
//! A client's error says what each of its layers was doing. What helps is at the bottom: the system's
//! own word, or what is wrong with the certificate.

use std::error::Error;
use std::io;

use jiff::Timestamp;
use rustls::CertificateError as Fault;
use rustls::pki_types::UnixTime;

use crate::DeliverError;

/// Characters that are shown of the names in a certificate, which its owner chose.
const NAMES_CHARS_MAX: usize = 200;

/// What became of a request that has no answer.
pub(super) fn unanswered(error: reqwest::Error) -> DeliverError {
    let (in_time, connected) = (!error.is_timeout(), !error.is_connect());
    // Without the URL: its path or query may be what lets one in.
    let error = error.without_url();
    let causes = causes(&error);
    if let Some(fault) = causes.iter().find_map(|cause| fault(*cause)) {
        let reason = format!("nothing was sent: the receiver's certificate {}", told(fault));
        return DeliverError::Untrusted { reason };
    }
    let bottom = causes.last().map(ToString::to_string).unwrap_or_default();
    DeliverError::retry(match (in_time, connected) {
        (false, _) => format!("no answer in time: {bottom}"),
        (true, false) => format!("cannot connect: {bottom}"),
        (true, true) => format!("no valid answer: {bottom}"),
    })
}

/// An error and what is below it, down to the first cause.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut causes = vec![error];
    let mut above = error;
    loop {
        // An I/O error names what is below the error that it holds, and not that one itself.
        let held = above.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let below = match held {
            Some(held) => Some(held as &(dyn Error + 'static)),
            None => above.source(),
        };
        let Some(below) = below else { return causes };
        causes.push(below);
        above = below;
    }
}

fn fault<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Fault> {
    match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(fault) => Some(fault),
        _ => None,
    }
}

/// What is wrong with a certificate, as what is said of it.
fn told(fault: &Fault) -> String {
    match fault {
        Fault::Expired => "has expired".to_owned(),
        Fault::ExpiredContext { not_after, .. } => format!("expired at {}", moment(*not_after)),
        Fault::NotValidYet => "is not valid yet".to_owned(),
        Fault::NotValidYetContext { not_before, .. } => {
            format!("is valid only from {} on", moment(*not_before))
        }
        Fault::UnknownIssuer => "is by an issuer that this host does not trust".to_owned(),
        Fault::Revoked => "is revoked".to_owned(),
        Fault::NotValidForName => "is for another name".to_owned(),
        Fault::NotValidForNameContext { expected, presented } => {
            let names: String = presented.join(", ").chars().take(NAMES_CHARS_MAX).collect();
            format!("is for {names}, not for {}", expected.to_str())
        }
        other => format!("is refused: {other}"),
    }
}

fn moment(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).ok();
    let moment = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    moment.map_or_else(|| "an impossible time".to_owned(), |moment| moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_is_told_with_its_dates_and_names() {
        let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let time = at(1_800_000_000);
        let not_after = at(1_795_132_800);
        let expired = told(&Fault::ExpiredContext { time, not_after });
        assert_eq!(expired, "expired at 2026-11-20T00:00:00Z");
        let early = told(&Fault::NotValidYetContext { time, not_before: not_after });
        assert_eq!(early, "is valid only from 2026-11-20T00:00:00Z on");
        let other = Fault::NotValidForNameContext {
            expected: "siem.example.com".try_into().unwrap(),
            presented: vec!["www.example.com".to_owned()],
        };
        assert_eq!(told(&other), "is for www.example.com, not for siem.example.com");
    }

    #[test]
    fn names_in_a_certificate_are_bounded() {
        let presented = vec!["x".repeat(100_000)];
        let expected = "siem.example.com".try_into().unwrap();
        assert!(told(&Fault::NotValidForNameContext { expected, presented }).len() < 300);
    }
}
