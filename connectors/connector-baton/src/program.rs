//! The Baton connector's program, read once into sealed memory.
//!
//! What was hashed is what is executed: the file may be replaced or written to between the two. The
//! memory can be executed and not be read, so the kernel closes the process to its own user, and with
//! it the environment that holds its secrets.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use cordon_sdk::Error;
use rustix::fs::{MemfdFlags, Mode, SealFlags, fchmod, fcntl_add_seals, memfd_create};
use rustix::io::fcntl_dupfd_cloexec;
use sha2::{Digest, Sha256};

/// Bytes of a program, at most.
const PROGRAM_BYTES_MAX: u64 = 1 << 30;
/// Its descriptor has no number that the child's own have.
const DESCRIPTOR_MIN: i32 = 64;
/// How programs begin that run from memory.
const ELF: &[u8] = b"\x7fELF";

/// A program that can be started and not be changed.
pub(crate) struct Program {
    memory: OwnedFd,
    /// Where it was read.
    pub(crate) path: PathBuf,
    /// Its SHA-256 in hex.
    pub(crate) digest: String,
}

impl Program {
    /// Reads it. Blocks.
    pub(crate) fn read(path: &Path, sha256: Option<&str>) -> Result<Self, Error> {
        let refused = |message: String| Error::bad_config("program", message);
        let shown = path.display();
        let file = File::open(path).map_err(|error| {
            refused(format!("cannot open {shown}; is it listed in allow.read?")).caused_by(error)
        })?;
        let bytes = file.metadata().ok().filter(|found| found.is_file()).map(|found| found.len());
        if bytes.is_none_or(|bytes| bytes > PROGRAM_BYTES_MAX) {
            return Err(refused(format!("{shown} is no program")));
        }
        let (memory, digest) = copy(file).map_err(|error| {
            Error::unavailable(format!("cannot read {shown} into memory")).caused_by(error)
        })?;
        let Some(memory) = memory else {
            return Err(refused(format!("{shown} is no program of this system (no ELF file)")));
        };
        if let Some(expected) = sha256.filter(|expected| !expected.eq_ignore_ascii_case(&digest)) {
            let message = format!("{shown} has the SHA-256 {digest}, not {expected}");
            return Err(Error::bad_config("sha256", message));
        }
        Ok(Self { memory, path: path.to_owned(), digest })
    }

    /// The path by which this process and its children find it.
    pub(crate) fn executable(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.memory.as_raw_fd()).into()
    }
}

/// Gives no memory where it is no program.
fn copy(mut file: File) -> std::io::Result<(Option<OwnedFd>, String)> {
    let memory = memfd_create("baton", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut memory = File::from(memory);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let (mut copied, mut is_program) = (0u64, false);
    loop {
        let read = match file.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { break };
        if copied == 0 {
            is_program = part.starts_with(ELF);
        }
        copied += read as u64;
        if copied > PROGRAM_BYTES_MAX {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        hash.update(part);
        memory.write_all(part)?;
    }
    let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if !is_program {
        return Ok((None, digest));
    }
    fchmod(&memory, Mode::XUSR | Mode::XGRP | Mode::XOTH)?;
    let all = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&memory, all)?;
    Ok((Some(fcntl_dupfd_cloexec(&memory, DESCRIPTOR_MIN)?), digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_hashed_cannot_be_changed_and_another_digest_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, b"\x7fELF and more").unwrap();
        let program = Program::read(&path, None).unwrap();
        // As sha256sum prints it.
        assert_eq!(
            program.digest,
            "34e6497864fc0e5ec64f4a81db57da43dbe70f2f5b08b9f904a1ad1d3255d091"
        );
        assert!(File::from(program.memory.try_clone().unwrap()).write_all(b"x").is_err());
        Program::read(&path, Some(&program.digest.to_uppercase())).unwrap();
        let refused = Program::read(&path, Some(&"0".repeat(64))).err().unwrap();
        assert!(refused.to_string().contains(&program.digest), "{refused}");
    }

    #[test]
    fn a_script_a_folder_and_nothing_are_no_programs() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        for (path, why) in [
            (script.as_path(), "no ELF file"),
            (folder.path(), "is no program"),
            (&folder.path().join("none"), "allow.read"),
        ] {
            let error = Program::read(path, None).err().unwrap();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
