//! Typed errors on the wire, as trailers of a gRPC status.
//!
//! A status alone has a code and a text; what drives retry, wording and alarm is the typed error
//! that travels beside it.

use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::v1;

/// Trailer of a connector's [`v1::Error`].
const ERROR_KEY: &str = "cordon-error-bin";
/// Trailer of the control API's [`v1::Problem`].
const PROBLEM_KEY: &str = "cordon-problem-bin";
/// Bytes of a message that people read, at most; a connector may send more, nobody reads it.
const MESSAGE_BYTES_MAX: usize = 2_048;

/// Packs a connector's error into a status.
pub fn error_to_status(error: &v1::Error) -> Status {
    let code = match error.kind() {
        v1::ErrorKind::Auth => Code::Unauthenticated,
        v1::ErrorKind::RateLimited => Code::ResourceExhausted,
        v1::ErrorKind::Unavailable => Code::Unavailable,
        v1::ErrorKind::Incomplete => Code::Aborted,
        v1::ErrorKind::BadConfig => Code::InvalidArgument,
        v1::ErrorKind::Bug | v1::ErrorKind::Unspecified => Code::Internal,
    };
    with_trailer(Status::new(code, shorten(&error.message)), ERROR_KEY, error)
}

/// Reads a connector's error from a status; a status without one is a bug of the connector or of
/// the channel, told by its code.
pub fn error_from_status(status: &Status) -> v1::Error {
    error_from_status_cleaned(status, str::to_owned)
}

/// The same; its texts pass through `clean` before they are cut, so that what is looked for there
/// is seen whole.
pub fn error_from_status_cleaned(status: &Status, clean: impl Fn(&str) -> String) -> v1::Error {
    if let Some(mut error) = trailer::<v1::Error>(status, ERROR_KEY) {
        error.message = shorten(&clean(&error.message));
        error.field = shorten(&clean(&error.field));
        return error;
    }
    let kind = match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => v1::ErrorKind::Auth,
        Code::ResourceExhausted => v1::ErrorKind::RateLimited,
        Code::Unavailable | Code::DeadlineExceeded => v1::ErrorKind::Unavailable,
        Code::InvalidArgument => v1::ErrorKind::BadConfig,
        _ => v1::ErrorKind::Bug,
    };
    let message = shorten(&clean(status.message()));
    v1::Error { kind: kind.into(), message, ..Default::default() }
}

/// Packs a problem of the control API into a status.
pub fn problem_to_status(code: Code, problem: &v1::Problem) -> Status {
    with_trailer(Status::new(code, shorten(&problem.message)), PROBLEM_KEY, problem)
}

/// Reads a problem of the control API from a status; none when the status carries none.
pub fn problem_from_status(status: &Status) -> Option<v1::Problem> {
    trailer(status, PROBLEM_KEY)
}

fn with_trailer<M: Message>(mut status: Status, key: &'static str, message: &M) -> Status {
    let value = MetadataValue::from_bytes(&message.encode_to_vec());
    status.metadata_mut().insert_bin(key, value);
    status
}

fn trailer<M: Message + Default>(status: &Status, key: &'static str) -> Option<M> {
    let bytes = status.metadata().get_bin(key)?.to_bytes().ok()?;
    M::decode(bytes).ok()
}

fn shorten(text: &str) -> String {
    if text.len() <= MESSAGE_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=MESSAGE_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{} …", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_error_survives_the_status() {
        let error = v1::Error {
            kind: v1::ErrorKind::RateLimited.into(),
            message: "slow down".into(),
            field: String::new(),
            retry_after_ms: 1_500,
        };
        assert_eq!(error_from_status(&error_to_status(&error)), error);
    }

    #[test]
    fn a_foreign_status_still_has_a_kind() {
        let error = error_from_status(&Status::unavailable("gone"));
        assert_eq!(error.kind(), v1::ErrorKind::Unavailable);
    }

    #[test]
    fn a_message_is_cleaned_before_it_is_cut() {
        let secret = "correct-horse";
        let clean = |text: &str| text.replace(secret, "***");
        let long = format!("{}{secret}", "x".repeat(MESSAGE_BYTES_MAX - 6));
        let typed = v1::Error { message: long.clone(), field: long.clone(), ..Default::default() };
        let typed = with_trailer(Status::internal(""), ERROR_KEY, &typed);
        for status in [typed, Status::internal(long)] {
            let error = error_from_status_cleaned(&status, clean);
            for text in [error.message, error.field] {
                assert!(!text.contains("corr"), "{}", &text[text.len() - 20..]);
            }
        }
    }

    #[test]
    fn a_megabyte_of_message_is_cut() {
        let error = error_from_status(&Status::internal("é".repeat(500_000)));
        assert!(error.message.len() < MESSAGE_BYTES_MAX + 8);
    }
}
