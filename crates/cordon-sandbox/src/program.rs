//! The program's bytes, read once into memory that nobody can change.
//!
//! Between a check of a file and its execution the file can be another. So the bytes are copied into
//! a memory file, hashed on the way, and sealed; what was hashed is what is executed. A script
//! cannot be executed from there, because its interpreter opens it by name: it runs from the
//! connector's read-only view, and its interpreter's digest is reported with its own.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{FileExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// Larger files are no connector programs.
const PROGRAM_BYTES_MAX: u64 = 1 << 30;
/// How often a memory file is tried to be sealed; the kernel waits 150 ms in each.
const SEAL_TRIES: u32 = 20;

/// The bytes of one program, sealed.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) memory: OwnedFd,
    /// BLAKE3 in hex.
    pub(crate) digest: String,
    /// What a script's first line names.
    pub(crate) interpreter: Option<Interpreter>,
}

/// What executes a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interpreter {
    pub(crate) path: PathBuf,
    /// BLAKE3 in hex.
    pub(crate) digest: String,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let stat = file.metadata()?;
        if !stat.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        if stat.len() > PROGRAM_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "no program is so large"));
        }
        if stat.mode() & 0o111 == 0 {
            return Err(io::Error::from_raw_os_error(libc::EACCES));
        }
        Ok(Self {
            device: stat.dev(),
            inode: stat.ino(),
            bytes: stat.len(),
            modified: (stat.mtime(), stat.mtime_nsec()),
            changed: (stat.ctime(), stat.ctime_nsec()),
        })
    }
}

/// The programs in use. Starts of one program share its memory.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    known: Mutex<HashMap<PathBuf, (Stamp, Arc<Program>)>>,
}

impl Programs {
    /// The program at `path` as it is now.
    pub(crate) fn load(&self, path: &Path) -> io::Result<Arc<Program>> {
        let file = File::open(path)?;
        let stamp = Stamp::of(&file)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(path) {
            Some((of, program)) if *of == stamp && program.interpreter.is_none() => {
                Ok(Arc::clone(program))
            }
            _ => {
                let program = Arc::new(Program::read(file, path)?);
                known.insert(path.to_owned(), (stamp, Arc::clone(&program)));
                Ok(program)
            }
        }
    }
}

impl Program {
    fn read(file: File, path: &Path) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
        let name = std::ffi::CString::new(name)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Kernels before 6.3 do not know the flag, and make every memory file executable.
        let memory = memfd_create(&name, flags | MemfdFlags::EXEC)
            .or_else(|_| memfd_create(&name, flags))?;
        let mut memory = File::from(memory);
        let digest = copy_hashed(file.take(PROGRAM_BYTES_MAX + 1), &mut memory)?;
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        seal(&memory, seals)?;
        let interpreter = interpreter_of(&memory)?;
        Ok(Self { memory: memory.into(), digest, interpreter })
    }
}

/// Seals a memory file. The kernel refuses while a page is still held by whoever looked at it last,
/// and on a busy host it does so although nobody will write.
fn seal(memory: &File, seals: SealFlags) -> io::Result<()> {
    for _ in 0..SEAL_TRIES {
        match fcntl_add_seals(memory.as_fd(), seals) {
            Err(rustix::io::Errno::BUSY) => {}
            sealed => return Ok(sealed?),
        }
    }
    Err(rustix::io::Errno::BUSY.into())
}

fn copy_hashed(mut from: impl Read, to: &mut File) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(hasher.finalize().to_hex().to_string());
        }
        hasher.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
    }
}

/// The interpreter that the kernel would execute, by the first line of a script.
fn interpreter_of(memory: &File) -> io::Result<Option<Interpreter>> {
    let mut head = [0; 256];
    let read = memory.read_at(&mut head, 0)?;
    let Some(line) = head[..read].strip_prefix(b"#!") else { return Ok(None) };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = String::from_utf8_lossy(line);
    let word = text.split_whitespace().next().unwrap_or_default().to_owned();
    let path = PathBuf::from(word);
    let mut hasher = blake3::Hasher::new();
    let told = |error: io::Error| {
        io::Error::new(error.kind(), format!("its interpreter {}: {error}", path.display()))
    };
    io::copy(&mut File::open(&path).map_err(told)?, &mut hasher).map_err(told)?;
    let digest = hasher.finalize().to_hex().to_string();
    Ok(Some(Interpreter { path, digest }))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn put(path: &Path, bytes: &[u8]) {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn what_was_hashed_cannot_be_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("connector");
        put(&path, b"one");
        let program = Programs::default().load(&path).unwrap();
        assert_eq!(program.digest, blake3::hash(b"one").to_hex().to_string());
        let memory = File::from(program.memory.try_clone().unwrap());
        assert!(memory.write_at(b"two", 0).is_err());
        assert!(memory.set_len(0).is_err() && memory.set_len(10).is_err());
        assert!(fcntl_add_seals(&memory, SealFlags::empty()).is_err());
    }

    #[test]
    fn a_program_is_shared_until_its_file_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("connector");
        put(&path, b"one");
        let programs = Programs::default();
        let first = programs.load(&path).unwrap();
        assert!(Arc::ptr_eq(&first, &programs.load(&path).unwrap()));
        put(&dir.path().join("new"), b"two");
        fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(programs.load(&path).unwrap().digest, blake3::hash(b"two").to_hex().to_string());
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let programs = Programs::default();
        assert!(programs.load(dir.path()).is_err());
        let path = dir.path().join("text");
        fs::write(&path, "text").unwrap();
        assert_eq!(programs.load(&path).unwrap_err().raw_os_error(), Some(libc::EACCES));
    }

    #[test]
    fn a_script_names_its_interpreter_with_its_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("script");
        put(&path, b"#! /bin/sh -e\nexit 0\n");
        let program = Programs::default().load(&path).unwrap();
        let interpreter = program.interpreter.clone().unwrap();
        assert_eq!(interpreter.path, Path::new("/bin/sh"));
        let expected = blake3::hash(&fs::read("/bin/sh").unwrap()).to_hex().to_string();
        assert_eq!(interpreter.digest, expected);
        put(&path, b"#!/nowhere/python3\n");
        let error = Programs::default().load(&path).unwrap_err();
        assert!(error.to_string().contains("/nowhere/python3"), "{error}");
    }
}
