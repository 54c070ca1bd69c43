//! Reads sudoers: who may run what, as whom, on this host.
//!
//! Three steps, each pure but the first: [`load`] reads the file and all that it includes,
//! [`statement`] makes statements of its lines, [`resolve`] puts aliases in their place and yields
//! rights. What a step cannot read becomes a fault with file and line, never a guess: an unread line
//! may give root away.
//!
//! Left out: `Defaults` (they tune sudo, but give nobody a right), and the evaluation of host lists,
//! which would need this host's names and addresses: a right that does not hold on all hosts says so.

pub(crate) mod load;
pub(crate) mod resolve;
pub(crate) mod scan;
pub(crate) mod statement;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use load::load;
pub(crate) use resolve::{Right, Subject, resolve};

/// Where a statement stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: Arc<PathBuf>,
    /// Counted from 1.
    pub(crate) line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", self.file.display(), self.line)
    }
}

/// What could not be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) place: Place,
    /// What is wrong, as a lower-case fragment.
    pub(crate) what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}
