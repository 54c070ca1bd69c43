//! Opens the sink's file: only a regular file, only for one writer, only with whole lines.

use std::fs::{File, FileType, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::Current;
use crate::SinkOpenError;

/// Owner and group read: a receiver in the file's group, nobody else.
const MODE: u32 = 0o640;

/// How every line begins.
const LINE_START: &[u8] = b"{\"v\":1,";

/// Opens or creates the file at `path`, takes its lock and cuts an unfinished last line.
pub(super) fn open(sink: &str, path: &Path) -> Result<Current, SinkOpenError> {
    let failed = |action| move |source| SinkOpenError::Io { action, path: path.into(), source };
    let file = match path.symlink_metadata() {
        Ok(there) => open_existing(path, there.file_type())?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(path).map_err(failed("create"))?
        }
        Err(source) => return Err(failed("open")(source)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(SinkOpenError::Locked { path: path.into() }),
        Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
    }
    let len = file.metadata().map_err(failed("open"))?.len();
    let whole = end_of_last_line(&file, len).map_err(failed("read"))?;
    if whole < len {
        if !begins_like_a_line(&file, whole).map_err(failed("read"))? {
            return Err(SinkOpenError::NotOurs { path: path.into() });
        }
        file.set_len(whole).and_then(|()| file.sync_all()).map_err(failed("repair"))?;
        tracing::warn!(sink, path = %path.display(), bytes = len - whole, "unfinished line cut");
    }
    Ok(Current { file, len: whole })
}

/// Makes a new or renamed entry of a folder survive a power loss.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

fn open_existing(path: &Path, seen: FileType) -> Result<File, SinkOpenError> {
    let refuse =
        |found: FileType| SinkOpenError::NotAFile { path: path.into(), found: word(found) };
    let failed = |source| SinkOpenError::Io { action: "open", path: path.into(), source };
    if !seen.is_file() {
        return Err(refuse(seen));
    }
    // What was seen may have been replaced since: NOFOLLOW refuses a link, NONBLOCK returns at once
    // from a pipe, and the type is asked again of what was opened.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(failed)?;
    let opened = file.metadata().map_err(failed)?.file_type();
    if opened.is_file() { Ok(file) } else { Err(refuse(opened)) }
}

fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).append(true).create_new(true).mode(MODE).open(path)?;
    // Again, because the process's umask may have taken the group's bit away.
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.sync_all()?;
    sync_folder_of(path)?;
    Ok(file)
}

fn word(found: FileType) -> &'static str {
    if found.is_symlink() {
        "a symbolic link"
    } else if found.is_dir() {
        "a folder"
    } else if found.is_fifo() {
        "a pipe"
    } else if found.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// Where the last line that has an end ends.
fn end_of_last_line(file: &File, len: u64) -> io::Result<u64> {
    let mut buffer = [0; 64 * 1024];
    let mut end = len;
    while end > 0 {
        let start = end.saturating_sub(buffer.len() as u64);
        let bytes = &mut buffer[..(end - start) as usize];
        file.read_exact_at(bytes, start)?;
        if let Some(newline) = bytes.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Whether the bytes from `offset` to the end can be the beginning of a line that a sink wrote. A
/// file system may have grown the file before a power loss without having written into it.
fn begins_like_a_line(file: &File, offset: u64) -> io::Result<bool> {
    let mut start = [0; LINE_START.len()];
    let read = file.read_at(&mut start, offset)?;
    let start = &start[..read];
    Ok(LINE_START.starts_with(start) || start.iter().all(|byte| *byte == 0))
}
