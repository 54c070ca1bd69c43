//! What a call that failed means: for one scope, or for the sync.
//!
//! Baton's own tool takes "not found" for a warning and calls the sync complete. Here a list that was
//! not read to its end is one that was not read, whatever the code.

use std::time::{Duration, SystemTime};

use cordon_sdk::Error;
use prost::Message;
use tonic::{Code, Status};

use crate::ids::cut;
use crate::wire::start;
use crate::wire::v2::RateLimitDescription;

/// Bytes of what a connector says of a failure.
const MESSAGE_BYTES_MAX: usize = 400;
/// The longest that is waited for at once, whatever the source asks for.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a source is left alone that says too often that it is too much.
const LEFT_ALONE: Duration = Duration::from_secs(60);

/// Why a call has no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// What was asked for is not known; the rest may be.
    Here(String),
    /// Nothing more can be asked.
    Sync(Error),
}

/// What to do after a failure.
pub(crate) enum Next {
    /// Ask once more after that time.
    Again(Duration),
    /// Nothing.
    Fail(Failed),
}

/// What follows from the failure of a call, at that attempt.
pub(crate) fn next(call: &str, status: &Status, attempt: u32, attempts_max: u32) -> Next {
    let said = cut(status.message(), MESSAGE_BYTES_MAX);
    let told = format!("{call}: {}: {said}", word(status.code()));
    let limit = rate_limit(status);
    let again = limit.is_some()
        || matches!(
            status.code(),
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted
        );
    if again && attempt < attempts_max {
        let wait = limit.unwrap_or(Duration::from_secs(attempt.into()));
        return Next::Again(wait.min(WAIT_MAX));
    }
    let is_limited = limit.is_some() || status.code() == Code::ResourceExhausted;
    Next::Fail(match status.code() {
        _ if again && is_limited => {
            let wait = limit.unwrap_or(LEFT_ALONE);
            Failed::Sync(Error::rate_limited(told, wait))
        }
        Code::Unauthenticated => Failed::Sync(Error::auth(told)),
        _ => Failed::Here(told),
    })
}

/// The same for a call on which everything depends.
pub(crate) fn whole(call: &str, failed: Failed, code: Option<Code>) -> Error {
    match (failed, code) {
        (Failed::Sync(error), _) => error,
        (Failed::Here(told), Some(Code::PermissionDenied)) => Error::auth(told),
        (Failed::Here(told), Some(Code::InvalidArgument | Code::FailedPrecondition)) => {
            Error::bad_config("", told)
        }
        (Failed::Here(told), Some(Code::Unimplemented)) => {
            Error::bug(format!("this is no Baton connector, or {call} is missing: {told}"))
        }
        (Failed::Here(told), _) => Error::unavailable(told),
    }
}

/// How long the source wants to be left alone, where the connector says so.
fn rate_limit(status: &Status) -> Option<Duration> {
    let details = start::Status::decode(status.details()).ok()?.details;
    let limits = details
        .iter()
        .filter(|detail| detail.type_url.ends_with("c1.connector.v2.RateLimitDescription"))
        .filter_map(|detail| RateLimitDescription::decode(detail.value.clone()).ok());
    let reset = limits.filter(|limit| limit.remaining <= 0).find_map(|limit| limit.reset_at)?;
    let reset = SystemTime::try_from(reset).ok()?;
    // One that is over already says that the source had enough, and not for how long.
    Some(reset.duration_since(SystemTime::now()).unwrap_or(Duration::from_secs(1)))
}

fn word(code: Code) -> &'static str {
    match code {
        Code::NotFound => "not found",
        Code::PermissionDenied => "permission denied",
        Code::Unauthenticated => "credentials refused",
        Code::Unavailable => "unavailable",
        Code::DeadlineExceeded => "deadline exceeded",
        Code::ResourceExhausted => "too much",
        Code::OutOfRange => "answer out of range",
        Code::Unimplemented => "unknown call",
        Code::InvalidArgument => "argument refused",
        _ => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::start::Detail;

    fn limited(seconds: i64) -> Status {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let reset_at = prost_types::Timestamp { seconds: now.as_secs() as i64 + seconds, nanos: 0 };
        let limit = RateLimitDescription { reset_at: Some(reset_at), ..Default::default() };
        let type_url = "type.googleapis.com/c1.connector.v2.RateLimitDescription".to_owned();
        let detail = Detail { type_url, value: limit.encode_to_vec().into() };
        let details = start::Status { details: vec![detail] }.encode_to_vec();
        Status::with_details(Code::Unavailable, "slow down", details.into())
    }

    #[test]
    fn a_source_that_asks_for_patience_gets_it_within_a_bound_and_then_all_of_it() {
        let Next::Again(wait) = next("ListGrants", &limited(20), 1, 3) else { panic!() };
        assert!((18..=20).contains(&wait.as_secs()), "{wait:?}");
        let Next::Again(wait) = next("ListGrants", &limited(9_000), 1, 3) else { panic!() };
        assert_eq!(wait, WAIT_MAX);
        match next("ListGrants", &limited(9_000), 3, 3) {
            Next::Fail(Failed::Sync(Error::RateLimited { retry_after, .. })) => {
                assert!((8_998..=9_000).contains(&retry_after.as_secs()));
            }
            _ => panic!("not rate limited"),
        }
    }

    #[test]
    fn a_call_that_found_nothing_leaves_its_scope_in_doubt_and_nothing_else() {
        for code in [Code::NotFound, Code::PermissionDenied, Code::Internal, Code::Unknown] {
            match next("ListGrants of group/1", &Status::new(code, "no such group"), 1, 3) {
                Next::Fail(Failed::Here(told)) => assert!(told.ends_with(": no such group")),
                _ => panic!("{code:?}"),
            }
        }
        let refused = next("ListGrants", &Status::unauthenticated("expired"), 1, 3);
        assert!(matches!(refused, Next::Fail(Failed::Sync(Error::Auth { .. }))));
    }
}
