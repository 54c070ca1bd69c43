//! Reports the roles, memberships and privileges of a PostgreSQL server from its catalogs.
//!
//! Everything that belongs together is read in one repeatable-read transaction, so a sync is a view
//! that existed at one moment. Roles are known by their number (OID): a role that is renamed stays
//! who it is, one that is dropped and made anew is somebody else.
//!
//! Absent on purpose: every variable `PG*`, password files and service files. What it connects to
//! stands in its configuration, and nowhere else.

use std::process::ExitCode;

mod catalog;
mod check;
mod config;
mod fact;
mod fault;
mod lookup;
mod pages;
mod postgres;
mod reading;
mod report;
mod roles;
mod server;
mod session;
mod targets;
#[cfg(test)]
mod tests;

fn main() -> ExitCode {
    cordon_sdk::serve::<postgres::Postgres>()
}
