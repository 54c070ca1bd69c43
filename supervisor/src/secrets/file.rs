//! Reads a secret from a file that only root and the service's own user can have written.
//!
//! The file is opened first and looked at through its descriptor, so that what was checked is what is
//! read. A link in the last place is not followed, and a pipe or device is not waited for.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::{SECRET_BYTES_MAX, SecretError};

/// Permissions that a secret's file must not have: writing by the group, anything by others.
const FORBIDDEN_MODE: u32 = 0o027;

/// The text in a file, without newlines at its end.
pub(super) fn read(path: &Path) -> Result<SecretString, SecretError> {
    let mut file = open(path)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 1));
    Read::by_ref(&mut file)
        .take(SECRET_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| SecretError::Read { path: path.into(), source })?;
    text(&bytes, &path.display().to_string())
}

/// Bytes that were read, as a secret.
pub(super) fn text(bytes: &[u8], what: &str) -> Result<SecretString, SecretError> {
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(SecretError::TooLarge { what: what.to_owned() });
    }
    let text =
        std::str::from_utf8(bytes).map_err(|_| SecretError::NotText { what: what.to_owned() })?;
    Ok(text.trim_end_matches(['\n', '\r']).into())
}

fn open(path: &Path) -> Result<File, SecretError> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let file = opened.map_err(|source| match source.raw_os_error() {
        Some(nix::libc::ELOOP) => {
            SecretError::NotAFile { path: path.into(), what: "a symbolic link" }
        }
        _ => SecretError::Read { path: path.into(), source },
    })?;
    let known =
        file.metadata().map_err(|source| SecretError::Read { path: path.into(), source })?;
    if !known.is_file() {
        let what = if known.is_dir() { "a folder" } else { "no regular file" };
        return Err(SecretError::NotAFile { path: path.into(), what });
    }
    let mode = known.mode() & 0o7777;
    if mode & FORBIDDEN_MODE != 0 {
        return Err(SecretError::TooOpen { path: path.into(), mode });
    }
    if !is_trusted(known.uid()) {
        return Err(SecretError::Owner { path: path.into(), owner: known.uid() });
    }
    Ok(file)
}

/// Whether this user could read every secret anyway.
pub(super) fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == nix::unistd::geteuid().as_raw()
}
