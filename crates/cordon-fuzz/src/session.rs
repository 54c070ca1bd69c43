//! The order of messages in a sync, as `cordond` itself checks it: the same file, not a copy. It is
//! private to a program that nobody links, and stays so.

#[allow(dead_code, unused_imports)]
#[path = "../../../supervisor/src/session/protocol.rs"]
pub(crate) mod protocol;

/// An error and its causes in one line, as `protocol` expects it beside itself.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
