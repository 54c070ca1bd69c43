//! What the ledger promises, each promise a test, through its public door.
//!
//! Where a test needs a damaged ledger it edits the file with SQLite, as an intruder would.

mod committing;
mod concurrency;
mod delivery;
mod evidence;
mod host;
mod keeping;
mod memory;
mod opening;
mod parts;
mod quarantine;
mod wanted;
