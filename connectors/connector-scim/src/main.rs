//! Reports the users, groups and roles of a service that speaks SCIM 2.0.
//!
//! Such a service pages, throttles, changes while it is read, and shows each client what that client
//! may see. Whatever of it keeps a collection from being read to its end is said: in a scope that is
//! incomplete, or in an error that says what to do; never in fewer users.
//!
//! Absent on purpose: models of users and groups as Rust types. What a service adds to them is what
//! its owners want mapped, and one attribute in an odd form must not hide a whole user.

use std::process::ExitCode;

mod attributes;
mod client;
mod collection;
mod config;
mod discovery;
mod group;
mod lookup;
mod paging;
mod path;
mod report;
mod scim;
#[cfg(test)]
mod tests;
mod user;

fn main() -> ExitCode {
    cordon_sdk::serve::<scim::Scim>()
}
