//! Runs a Baton connector as a child, unchanged, and reports what it says in Cordon's own terms.
//!
//! The child is started anew for every sync, check and lookup, inside this connector's jail, and ends
//! with its whole tree: nothing of an earlier reading can be repeated, and nothing is left that a
//! cancelled one started. What it says is translated and never believed: a list that fails, repeats
//! itself or says that it left something out makes its scope incomplete, also where Baton's own tool
//! would go on with a warning.
//!
//! Absent on purpose: everything that changes the source, and grants that follow from other grants.

use std::process::ExitCode;

mod annotations;
mod bridge;
mod catalog;
mod child;
mod config;
mod credentials;
mod doubts;
mod failure;
mod held;
mod ids;
mod link;
mod output;
mod pages;
mod program;
mod reading;
mod seen;
mod sessions;
#[cfg(test)]
mod tests;
mod translate;
mod tree;
mod wire;

fn main() -> ExitCode {
    cordon_sdk::serve::<bridge::Bridge>()
}
