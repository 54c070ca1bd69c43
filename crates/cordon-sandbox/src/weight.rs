//! What a connector's tasks weigh on a busy processor.
//!
//! A limit says how much a connector may use at most; it says nothing of who goes first. A connector
//! that computes and gets nowhere gives way to everybody: it runs on what others leave.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// How a connector stands beside others on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// As everybody.
    Usual,
    /// Behind everybody.
    Least,
}

impl Weight {
    /// The file of a control group and what is written there: version 2, then version 1. The usual
    /// weights are the kernel's defaults.
    fn settings(self) -> [(&'static str, &'static str); 2] {
        match self {
            Self::Usual => [("cpu.weight", "100"), ("cpu.shares", "1024")],
            Self::Least => [("cpu.weight", "1"), ("cpu.shares", "2")],
        }
    }
}

/// Weighs the tasks of a process that was started in these control groups. Whether one of them weighs
/// tasks at all; it is no error when none does.
///
/// # Errors
///
/// The kernel refuses the weight, or the group is gone.
pub fn weigh(groups: &[PathBuf], weight: Weight) -> io::Result<bool> {
    let mut weighed = false;
    for group in groups {
        for (file, value) in weight.settings() {
            weighed |= write_existing(&group.join(file), value)?;
        }
    }
    Ok(weighed)
}

fn write_existing(path: &Path, value: &str) -> io::Result<bool> {
    match fs::OpenOptions::new().write(true).open(path) {
        Ok(mut file) => io::Write::write_all(&mut file, value.as_bytes()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_group_that_weighs_is_written_and_no_file_is_made() {
        let (weighs, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = weighs.path().join("cpu.weight");
        fs::write(&file, "100").unwrap();
        let groups = [other.path().to_owned(), weighs.path().to_owned()];
        assert!(weigh(&groups, Weight::Least).unwrap());
        assert!(fs::read_to_string(&file).unwrap().starts_with('1'));
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
        assert!(!weigh(&groups[..1], Weight::Usual).unwrap());
    }
}
