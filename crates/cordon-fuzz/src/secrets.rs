//! The search for secrets in words about the data, which the session's checks ask for: the
//! supervisor's own file, not a copy.

#[allow(dead_code)]
#[path = "../../../supervisor/src/secrets/redact.rs"]
mod redact;

pub(crate) use redact::Redactor;
