//! Mounts by descriptor: made, restricted, and only then put where a path leads.
//!
//! A tree is copied from the host and made read-only while nobody can reach it, so there is no
//! moment in which it could be written. Needs Linux 5.12.

use std::{ffi::CStr, io, os::fd::AsRawFd, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::CWD,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
        fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
    },
};

/// A mount that is nowhere yet.
pub(super) struct Detached(OwnedFd);

/// What a mount does not allow.
#[derive(Clone, Copy)]
pub(super) struct Denied(u64);

impl Denied {
    /// Writing, and programs that change their user.
    pub(super) const WRITING: Self = Self(libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID);
    /// Writing, devices, and programs that change their user.
    pub(super) const WRITING_AND_DEVICES: Self = Self(Self::WRITING.0 | libc::MOUNT_ATTR_NODEV);
}

impl Detached {
    /// A copy of the tree at `path`, with what is mounted below it. Follows links.
    pub(super) fn copy(path: &Path) -> io::Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE;
        Ok(Self(open_tree(CWD, path, flags)?))
    }

    /// An empty file system of this kind.
    pub(super) fn fresh(
        kind: &CStr,
        options: &[(&CStr, &str)],
        attributes: MountAttrFlags,
    ) -> io::Result<Self> {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (key, value) in options {
            fsconfig_set_string(&context, *key, *value)?;
        }
        fsconfig_create(&context)?;
        Ok(Self(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?))
    }

    /// Restricts it and all below it.
    pub(super) fn deny(self, denied: Denied) -> io::Result<Self> {
        set_attributes(self.0.as_raw_fd(), c"", libc::AT_EMPTY_PATH | libc::AT_RECURSIVE, denied)?;
        Ok(self)
    }

    /// Mounts it where `path` leads.
    pub(super) fn attach(self, path: &Path) -> io::Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        Ok(move_mount(&self.0, c"", CWD, path, flags)?)
    }
}

/// Restricts the mount at `path`, and with `below` what is mounted below it.
pub(super) fn deny_at(path: &CStr, denied: Denied, below: bool) -> io::Result<()> {
    let flags = if below { libc::AT_RECURSIVE } else { 0 };
    set_attributes(libc::AT_FDCWD, path, flags, denied)
}

#[allow(unsafe_code)]
fn set_attributes(at: i32, path: &CStr, flags: i32, denied: Denied) -> io::Result<()> {
    let attributes =
        libc::mount_attr { attr_set: denied.0, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: `path` ends with NUL and `attributes` is a live value whose size is passed; the kernel
    // only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
