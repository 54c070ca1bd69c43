//! Reports the users, groups and memberships of an LDAP directory: OpenLDAP and its like, or an
//! Active Directory domain.
//!
//! What a directory gets wrong is known: it stops at a limit and keeps what it has not sent, hides
//! what its rules hide and calls it a success, sends the first 1,500 members of a group. Each of these
//! ends in a scope that says why it is not whole, in a grant whose holder cannot be seen, or in an
//! error that says what to do; never in fewer members.
//!
//! Absent on purpose: a search for each member, and any way to connect that nobody asked for in
//! words, such as one without encryption.

use std::process::ExitCode;

mod config;
mod connection;
mod dialect;
mod dn;
mod entry;
mod fault;
mod group;
mod guid;
mod ldap;
mod lookup;
mod pages;
mod principals;
mod report;
mod root;
mod standing;
#[cfg(test)]
mod tests;
mod unread;
mod user;
mod view;

fn main() -> ExitCode {
    cordon_sdk::serve::<ldap::Directory>()
}
