//! Reports the accounts, groups, sudo rights and SSH keys of a Linux host from its files.
//!
//! Out of reach on purpose: accounts that only a directory service knows (NSS, LDAP, SSSD). Asking
//! the C library for them would run the host's plugins in this process and hide which of them failed.

use std::process::ExitCode;

mod account_type;
mod authorized_keys;
mod config;
mod group;
mod host;
mod lines;
mod linux;
mod passwd;
mod pattern;
mod principals;
mod source_file;
mod sudoers;
#[cfg(test)]
mod tests;

fn main() -> ExitCode {
    cordon_sdk::serve::<linux::Linux>()
}
