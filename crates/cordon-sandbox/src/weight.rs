//! What a connector's tasks weigh on a busy processor.
//!
//! A limit says how much a connector may use at most; it says nothing of who goes first. A connector
//! that computes and gets nowhere gives way to everybody: it runs on what others leave. That is not
//! enough beside one that makes the kernel work: a fork, or a fault of memory, is not interrupted by
//! who goes first. What did so before has little time, however much is left.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::cgroup::{CPU_PERIOD_US, quota_us};

/// How a connector stands beside others on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// As everybody.
    Usual,
    /// Behind everybody.
    Least,
    /// Behind everybody, and [`LITTLE_PERCENT`] of a core at most.
    Little,
}

/// What is little, of one core.
pub const LITTLE_PERCENT: u64 = 5;

/// Whether the group runs on idle processors alone: both versions, Linux 5.15.
const IDLE: &str = "cpu.idle";

/// The kernel's own weights, by version 2 and by version 1.
const USUAL: [(&str, &str); 2] = [("cpu.weight", "100"), ("cpu.shares", "1024")];

/// The least that a kernel without [`IDLE`] takes.
const LEAST: [(&str, &str); 2] = [("cpu.weight", "1"), ("cpu.shares", "2")];

/// Weighs the tasks of a process that was started in these control groups, under a limit of so many
/// percent of a core; none: no limit. Whether one of the groups weighs tasks at all; it is no error
/// when none does.
///
/// # Errors
///
/// The kernel refuses the weight or the limit, or the group is gone.
pub fn weigh(groups: &[PathBuf], weight: Weight, limit: Option<u64>) -> io::Result<bool> {
    let mut weighed = false;
    for group in groups {
        // An idle group takes no weight, so it stops being one first.
        weighed |= match weight {
            Weight::Usual => write(group, &[(IDLE, "0")])? | write(group, &USUAL)?,
            Weight::Least | Weight::Little => {
                write(group, &[(IDLE, "1")])? || write(group, &LEAST)?
            }
        };
        let limit = match weight {
            Weight::Usual | Weight::Least => limit,
            Weight::Little => Some(limit.unwrap_or(LITTLE_PERCENT).min(LITTLE_PERCENT)),
        };
        write_quota(group, limit)?;
    }
    Ok(weighed)
}

/// How much processor time the tasks may have in a period of the kernel's, by both versions.
fn write_quota(group: &Path, percent: Option<u64>) -> io::Result<()> {
    let quota = percent.map(quota_us);
    let v1 = quota.map_or("-1".to_owned(), |quota| quota.to_string());
    let v2 = quota.map_or("max".to_owned(), |quota| format!("{quota} {CPU_PERIOD_US}"));
    write(group, &[("cpu.cfs_quota_us", &v1), ("cpu.max", &v2)]).map(drop)
}

/// Writes those files that are there; whether any is.
fn write(group: &Path, settings: &[(&str, &str)]) -> io::Result<bool> {
    let mut written = false;
    for (file, value) in settings {
        written |= write_existing(&group.join(file), value)?;
    }
    Ok(written)
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
        assert!(weigh(&groups, Weight::Least, None).unwrap());
        assert!(fs::read_to_string(&file).unwrap().starts_with('1'));
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
        assert!(!weigh(&groups[..1], Weight::Usual, None).unwrap());
    }

    #[test]
    fn where_groups_can_be_idle_the_least_is_that_and_the_usual_ends_it() {
        let group = tempfile::tempdir().unwrap();
        let read = |file: &str| fs::read_to_string(group.path().join(file)).unwrap();
        for (file, value) in [("cpu.idle", "0"), ("cpu.weight", "100")] {
            fs::write(group.path().join(file), value).unwrap();
        }
        let groups = [group.path().to_owned()];
        assert!(weigh(&groups, Weight::Least, None).unwrap());
        // A kernel refuses the weight of an idle group.
        assert_eq!((read("cpu.idle"), read("cpu.weight")), ("1".into(), "100".into()));
        assert!(weigh(&groups, Weight::Usual, None).unwrap());
        assert_eq!((read("cpu.idle"), read("cpu.weight")), ("0".into(), "100".into()));
    }

    #[test]
    fn little_is_a_limit_below_that_which_was_set_and_ends_with_it() {
        for (file, unlimited, own, little) in [
            ("cpu.cfs_quota_us", "-1", "25000", "5000"),
            ("cpu.max", "max", "25000 100000", "5000 100000"),
        ] {
            let group = tempfile::tempdir().unwrap();
            let groups = [group.path().to_owned()];
            let path = group.path().join(file);
            fs::write(&path, "").unwrap();
            let check = |weight, limit, expected: &str| {
                // A file of the kernel takes a value whole, one of a test is written over.
                fs::write(&path, "").unwrap();
                weigh(&groups, weight, limit).unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{file}");
            };
            check(Weight::Little, Some(25), little);
            check(Weight::Least, Some(25), own);
            check(Weight::Little, None, little);
            check(Weight::Usual, None, unlimited);
            check(Weight::Little, Some(3), &little.replacen('5', "3", 1));
        }
    }
}
