//! The few file operations that the store's promises rest on.
//!
//! A file that is meant to last is written beside its place, synced, renamed and its folder synced,
//! so that after any crash a name holds either nothing or the whole content. Everything is created
//! for the owner alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// An input or output error and the path it happened at.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
pub(crate) struct PathError {
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// Adds the path to an `io::Result`.
pub(crate) trait AtPath<T> {
    fn at(self, path: &Path) -> Result<T, PathError>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, PathError> {
        self.map_err(|source| PathError { path: path.to_owned(), source })
    }
}

/// Makes a folder and those above it, for the owner alone; one that exists is left as it is.
pub(crate) fn make_dir(path: &Path) -> Result<(), PathError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).at(path)
}

/// Creates a file that must not exist yet, for the owner alone.
pub(crate) fn create_new(path: &Path) -> Result<File, PathError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    options.open(path).at(path)
}

/// Makes sure that the entries of a folder survive a loss of power.
pub(crate) fn sync_dir(path: &Path) -> Result<(), PathError> {
    File::open(path).and_then(|dir| dir.sync_all()).at(path)
}

/// Writes a file beside its place and syncs it; [`install`] gives it its name.
pub(crate) fn write_beside(path: &Path, bytes: &[u8]) -> Result<PathBuf, PathError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let beside = PathBuf::from(beside);
    // A leftover of a crash: its content is unknown and its name is ours.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(PathError { path: beside, source: error });
        }
        _ => {}
    }
    let mut file = create_new(&beside)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).at(&beside)?;
    Ok(beside)
}

/// Renames a file.
pub(crate) fn install(from: &Path, to: &Path) -> Result<(), PathError> {
    fs::rename(from, to).at(to)
}

/// Reads a whole file unless it is larger than `bytes_max`.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    if file.metadata()?.len() > bytes_max {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    // The file may have grown since its size was asked.
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= bytes_max).then_some(bytes))
}

/// BLAKE3 of a whole file, and its length.
pub(crate) fn digest_file(mut file: impl Read) -> io::Result<(String, u64)> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hasher.finalize().to_hex().to_string(), bytes));
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
}

/// Removes a file; false when there was none.
pub(crate) fn remove(path: &Path) -> Result<bool, PathError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true).at(path),
    }
}
