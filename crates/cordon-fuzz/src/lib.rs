//! Fuzz targets: every place where bytes that a connector chose become something that is believed.
//!
//! A target takes bytes and holds the reader to its promises: it ends in a value or in an error,
//! never in a panic, and a value means what its bytes said. The tests of this crate run each target
//! over a fixed number of seeded mutations, the same on every machine; `cargo xtask fuzz` runs the
//! same targets under libFuzzer, guided by coverage, for as long as one likes.
//!
//! Only tests and fuzzers use this crate. Not here: a connector's log, which is read by a private
//! part of `cordond` and is fuzzed in its own tests.

// What is shared with the supervisor has its own tests, and they run there.
#![cfg(not(test))]

#[allow(dead_code)]
#[path = "../../../supervisor/src/limits.rs"]
mod limits;
mod mutate;
mod secrets;
pub mod seeds;
mod session;
mod target;

pub use mutate::mutated;
pub use target::{TARGETS, Target};
