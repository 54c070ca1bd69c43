//! Descriptors: how many this process may have, and whether a start would take the last ones.
//!
//! A process that cannot open a file can neither stage a sync nor answer its operator. So a start
//! that would leave too few is refused and tried again later, while what runs goes on.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that a start needs while it lasts, and those that must be left beside it: for the
/// ledger, a staging, a sink and an operator.
const HEADROOM: u64 = 24;

/// A start would take the last descriptors.
#[derive(Debug, thiserror::Error)]
#[error(
    "cordond has {free} of its {limit} descriptors left, and a start needs {HEADROOM}: raise LimitNOFILE"
)]
pub(crate) struct DescriptorsError {
    free: u64,
    limit: u64,
}

/// Allows as many as the host lets this process have.
pub(crate) fn allow_all() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!(%error, soft, hard, "the limit of descriptors cannot be raised");
    }
}

/// Whether a connector can be started and the rest go on.
pub(crate) fn check_headroom() -> Result<(), DescriptorsError> {
    let (free, limit) = free();
    if free < HEADROOM { Err(DescriptorsError { free, limit }) } else { Ok(()) }
}

/// How many are left, and how many there may be.
pub(crate) fn free() -> (u64, u64) {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    match std::fs::read_dir("/proc/self/fd") {
        // The listing itself holds one.
        Ok(open) => (limit.saturating_sub((open.count() as u64).saturating_sub(1)), limit),
        Err(error) if error.raw_os_error() == Some(nix::libc::EMFILE) => (0, limit),
        // Without /proc the start itself will tell.
        Err(_) => (limit, limit),
    }
}
