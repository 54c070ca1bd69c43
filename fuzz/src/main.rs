//! One program for all targets; `CORDON_FUZZ_TARGET` names the one that it feeds.

#![no_main]

use std::sync::LazyLock;

use cordon_fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("CORDON_FUZZ_TARGET").unwrap_or_default();
    let known = TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    let target = TARGETS.iter().find(|target| target.name == name);
    target.unwrap_or_else(|| panic!("CORDON_FUZZ_TARGET is {name:?}; there are {known}"))
});

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
