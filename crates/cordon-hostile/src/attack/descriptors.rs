//! Descriptors that were left open by whoever started this process.

use std::sync::OnceLock;

use super::targets::Targets;
use super::{Case, Outcome, case};

pub(super) const CASES: &[Case] = &[case("inherited_descriptors", inherited)];

/// 0 to 2, and the channel.
const EXPECTED: i32 = 4;
/// Nobody leaves one open beyond this.
const LOOKED_AT: i32 = 65_536;

static INHERITED: OnceLock<Vec<i32>> = OnceLock::new();

/// Looks which are open. Asks the kernel for each number, for there may be no /proc to read.
#[allow(unsafe_code)]
pub(crate) fn note_inherited() {
    // SAFETY: to ask for the flags of a number reads and changes nothing, be it open or not.
    let is_open = |number: &i32| unsafe { libc::fcntl(*number, libc::F_GETFD) } >= 0;
    INHERITED.get_or_init(|| (EXPECTED..LOOKED_AT).filter(is_open).collect());
}

fn inherited(_: &Targets) -> Outcome {
    match INHERITED.get().map(Vec::as_slice) {
        None => Outcome::skipped("they were not looked at when the process began"),
        Some([]) => Outcome::Denied("none is open beyond 3".to_owned()),
        Some(open) => Outcome::Allowed(format!("open: {open:?}")),
    }
}
