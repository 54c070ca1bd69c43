//! The directory of one start, and removing whatever the connector left in it.
//!
//! What is in it was made by a process that may be hostile: links that lead elsewhere, directories
//! nobody may enter, nesting deeper than any stack or path length. So removal follows no link,
//! holds two descriptors at any depth, and takes every step from a descriptor and never from a
//! path.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::DirBuilderExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, chmodat, chown, fstat, openat, unlinkat},
    io::Errno,
    process::{Gid, Uid},
};

use crate::plan::Identity;

/// Makes a directory that only its owner can enter. Fails if it exists.
pub(crate) fn make(root: &Path, leaf: &str, owner: Option<Identity>) -> io::Result<PathBuf> {
    if !root.is_dir() {
        // Others may pass through to their own directory, and list nothing.
        fs::DirBuilder::new().recursive(true).mode(0o711).create(root)?;
    }
    let dir = root.join(leaf);
    fs::DirBuilder::new().mode(0o700).create(&dir)?;
    if let Some(Identity { uid, gid }) = owner {
        let owned = chown(&dir, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        if let Err(error) = owned {
            let _ = fs::remove_dir(&dir);
            return Err(error.into());
        }
    }
    Ok(dir)
}

/// Removes `dir` with all that is in it. One that is gone already is fine.
pub(crate) fn remove(dir: &Path) -> io::Result<()> {
    match open(CWD, dir) {
        Ok(top) => empty(top)?,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    match fs::remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A directory on the way down: its name in its parent, and which directory that parent is.
struct Descent {
    name: CString,
    parent: (u64, u64),
}

fn empty(top: OwnedFd) -> io::Result<()> {
    let mut way: Vec<Descent> = Vec::new();
    let mut here = top;
    loop {
        if let Some(name) = unlink_files(&here)? {
            let below = open(&here, &name)?;
            way.push(Descent { name, parent: identity(&here)? });
            here = below;
            continue;
        }
        let Some(Descent { name, parent }) = way.pop() else { return Ok(()) };
        here = open(&here, c"..")?;
        if identity(&here)? != parent {
            return Err(io::Error::other("a directory was moved while it was being removed"));
        }
        unlinkat(&here, &name, AtFlags::REMOVEDIR)?;
    }
}

/// Removes entries of `dir` until it meets a directory, whose name it gives.
fn unlink_files(dir: &OwnedFd) -> io::Result<Option<CString>> {
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            return Ok(Some(name.to_owned()));
        }
        match unlinkat(dir, name, AtFlags::empty()) {
            // Some file systems do not tell the type of an entry.
            Err(Errno::ISDIR) => return Ok(Some(name.to_owned())),
            Err(Errno::NOENT) => {}
            result => result?,
        }
    }
    Ok(None)
}

/// Opens a directory, giving its owner the right to it where the connector took that away.
fn open(at: impl AsFd, name: impl rustix::path::Arg + Copy) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let allow = |at| chmodat(at, name, Mode::RWXU, AtFlags::empty());
    match openat(&at, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            allow(at.as_fd())?;
            openat(&at, name, flags, Mode::empty())
        }
        Ok(opened) => {
            // Readable but not writable or searchable: its entries could not be removed.
            if fstat(&opened)?.st_mode & 0o700 != 0o700 {
                let _ = rustix::fs::fchmod(&opened, Mode::RWXU);
            }
            Ok(opened)
        }
        error => error,
    }
}

fn identity(dir: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = fstat(dir)?;
    Ok((stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn removal_follows_no_link_and_enters_locked_directories() {
        let root = tempfile::tempdir().unwrap();
        let outside = root.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "1").unwrap();
        let dir = make(root.path(), "x-1", None).unwrap();
        symlink(&outside, dir.join("link")).unwrap();
        fs::create_dir_all(dir.join("a/b/c")).unwrap();
        fs::write(dir.join("a/b/c/file"), "1").unwrap();
        fs::write(dir.join("a/file"), "1").unwrap();
        for (path, mode) in [("a/b/c", 0o000), ("a/b", 0o500), ("a", 0o600)] {
            fs::set_permissions(dir.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        remove(&dir).unwrap();
        assert!(!dir.exists());
        assert!(outside.join("kept").exists());
        remove(&dir).unwrap();
    }

    #[test]
    fn nesting_deeper_than_stack_and_path_length_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let dir = make(root.path(), "x-1", None).unwrap();
        let mut at = open(CWD, dir.as_path()).unwrap();
        for _ in 0..2_500 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = open(&at, "d").unwrap();
        }
        let small_stack = std::thread::Builder::new().stack_size(64 << 10);
        let gone = dir.clone();
        small_stack.spawn(move || remove(&gone).unwrap()).unwrap().join().unwrap();
        assert!(!dir.exists());
    }

    #[test]
    fn a_private_directory_is_entered_by_its_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let dir = make(&root.path().join("work"), "x-1", None).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(make(&root.path().join("work"), "x-1", None).is_err());
    }
}
