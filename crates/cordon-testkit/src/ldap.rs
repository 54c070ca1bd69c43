//! Directories to read: a seed of users and groups whose records are known beforehand, and the
//! servers that hold it.

mod samba;
mod seed;
mod slapd;
mod wire;

pub use samba::{Samba, SambaSeed};
pub use seed::{BASE, READER, Seed, Truth};
pub use slapd::{Access, Slapd};
pub use wire::Cut;
