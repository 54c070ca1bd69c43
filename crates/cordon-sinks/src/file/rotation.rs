//! Moves a full file out of the way: `path` to `path.1`, `path.1` to `path.2`, ...

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::open::sync_folder_of;

/// Renames `path` to `path.1` and shifts those before it. At most `keep` stay: the oldest is
/// replaced when there is no free number. The caller has synced the file and then opens a new one.
///
/// Any prefix of the renames leaves every file in place under some name, so a crash in between
/// loses nothing; the gap it leaves is used by the next rotation.
pub(super) fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    let mut last = keep;
    for number in 1..=keep {
        match numbered(path, number).symlink_metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                last = number;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    for number in (1..last).rev() {
        fs::rename(numbered(path, number), numbered(path, number + 1))?;
    }
    fs::rename(path, numbered(path, 1))?;
    sync_folder_of(path)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    PathBuf::from(name)
}
