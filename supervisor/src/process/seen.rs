//! Which files a connector's view was made of.
//!
//! A view shows the file that a path led to when the process was started. One that was replaced since
//! (a new export moved into its place, as it should be done) is another file, and the process would
//! read the old one for as long as it lives. So the paths are looked at again before each sync.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cordon_sandbox::View;

/// What each listed path led to.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<[(PathBuf, Option<Place>)]>);

/// Device and inode: what stays the same until a path leads to another file.
type Place = (u64, u64);

impl Seen {
    /// What the paths of a view lead to now.
    pub(super) fn of(view: &View) -> Self {
        match view {
            View::Only(paths) => {
                Self(paths.iter().map(|path| (path.clone(), place(path))).collect())
            }
            View::ReadOnly | View::Shared => Self::default(),
        }
    }

    /// Whether a path leads elsewhere by now.
    pub(super) fn is_outdated(&self) -> bool {
        self.0.iter().any(|(path, seen)| place(path) != *seen)
    }
}

fn place(path: &Path) -> Option<Place> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_replaced_outdates_a_view_and_one_that_was_written_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("feed");
        let view = View::Only(vec![path.clone()]);
        let seen = Seen::of(&view);
        assert!(!seen.is_outdated(), "it was not there, and is not");
        std::fs::write(&path, "one").unwrap();
        assert!(seen.is_outdated(), "it is there now");
        let seen = Seen::of(&view);
        std::fs::write(&path, "two").unwrap();
        assert!(!seen.is_outdated(), "the same file with other content");
        std::fs::write(dir.path().join("new"), "three").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        assert!(seen.is_outdated(), "another file");
    }
}
