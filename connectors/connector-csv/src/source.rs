//! Chooses the file of a sync, opens it, and tells whether it is still the same at the end.
//!
//! An export is often replaced while somebody reads it. What was read of a file that changed is a
//! mixture of two days: every byte counts into a digest, and the file's identity is compared before
//! and after, by its descriptor and by its name.

use std::cmp::Ordering;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cordon_sdk::{Error, Timestamp};
use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};

use crate::charset::{Charset, Widened};
use crate::config::Newest;

/// Bytes read at once.
const BUFFER_BYTES: usize = 128 * 1024;
/// Files that a pattern may fit.
const MATCHES_MAX: usize = 100_000;

/// Finds the file to read.
pub(crate) fn choose(pattern: &str, newest: Newest) -> Result<PathBuf, Error> {
    // A file may well be called `[2026]`: a name that exists is not a pattern.
    if Path::new(pattern).is_file() {
        return Ok(PathBuf::from(pattern));
    }
    let bad =
        |error| Error::bad_config("path", format!("{pattern} is no pattern")).caused_by(error);
    let mut best: Option<(PathBuf, Timestamp)> = None;
    for path in glob::glob(pattern).map_err(|error| bad(Box::new(error)))?.take(MATCHES_MAX) {
        let path = path.map_err(|error| unreadable(error.path(), error.error()))?;
        let metadata = path.metadata().map_err(|error| unreadable(&path, &error))?;
        if !metadata.is_file() {
            continue;
        }
        let found = (path, modified(&metadata));
        if best.as_ref().is_none_or(|best| is_newer(&found, best, newest)) {
            best = Some(found);
        }
    }
    best.map(|(path, _)| path).ok_or_else(|| {
        let message = format!("no file is at {pattern}: what was reported before still holds");
        Error::unavailable(message)
    })
}

fn is_newer(one: &(PathBuf, Timestamp), other: &(PathBuf, Timestamp), newest: Newest) -> bool {
    let names = || by_name(&one.0.to_string_lossy(), &other.0.to_string_lossy());
    let order = match newest {
        Newest::Name => names(),
        Newest::Mtime => one.1.cmp(&other.1).then_with(names),
    };
    order == Ordering::Greater
}

/// Compares names as people do: `workers-9` comes before `workers-10`.
fn by_name(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    while let ([a, ..], [b, ..]) = (one, other) {
        if a.is_ascii_digit() && b.is_ascii_digit() {
            let (a, b) = (take_number(&mut one), take_number(&mut other));
            let order = a.len().cmp(&b.len()).then_with(|| a.cmp(b));
            if order != Ordering::Equal {
                return order;
            }
        } else if a == b {
            (one, other) = (&one[1..], &other[1..]);
        } else {
            return a.cmp(b);
        }
    }
    one.len().cmp(&other.len())
}

/// Takes the digits at the beginning, and gives them back without zeros before them.
fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

/// A file that cannot be read: by rights, or for now.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Error {
    let message = format!("{} cannot be read: {error}", path.display());
    if error.kind() == io::ErrorKind::PermissionDenied {
        Error::auth(message)
    } else {
        Error::unavailable(message)
    }
}

/// An open file, and what it was like when it was opened.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    before: Identity,
    pub(crate) modified: Timestamp,
}

/// What was read of a file.
pub(crate) struct Content {
    /// Of all bytes.
    pub(crate) sha256: String,
    /// What shows that it is not one file's content; none when nothing does.
    pub(crate) changed: Option<String>,
}

impl Source {
    /// Opens a file.
    pub(crate) fn open(path: &Path) -> Result<(Self, BufReader<Hashed>), Error> {
        let failed = |error| unreadable(path, &error);
        // Without it, opening a FIFO would wait for somebody to write.
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
        let file = file.map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            let message = format!("{} is not a regular file", path.display());
            return Err(Error::bad_config("path", message));
        }
        let source = Self {
            path: path.to_owned(),
            before: Identity::of(&metadata),
            modified: modified(&metadata),
        };
        let hashed = Hashed { file, digest: Sha256::new(), bytes: 0 };
        Ok((source, BufReader::with_capacity(BUFFER_BYTES, hashed)))
    }

    /// Compares the file with what it was when it was opened.
    pub(crate) fn close(&self, read: Hashed) -> Content {
        let path = self.path.display();
        let now = self.path.metadata().map(|metadata| Identity::of(&metadata));
        let written = read.file.metadata().map(|metadata| Identity::of(&metadata));
        let changed = match (written, now) {
            (Ok(written), _) if written != self.before || read.bytes != self.before.bytes => {
                let before = self.before.bytes;
                let (read, after) = (read.bytes, written.bytes);
                Some(format!(
                    "{path} was written to while it was read ({before} bytes before, {read} read, \
                     {after} after)"
                ))
            }
            (Ok(written), Ok(now)) if written == now => None,
            (_, Ok(_)) => Some(format!("{path} was replaced by another file while it was read")),
            (_, Err(error)) => Some(format!("{path} was taken away while it was read: {error}")),
        };
        let sha256 = read.digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Content { sha256, changed }
    }
}

fn modified(metadata: &Metadata) -> Timestamp {
    let nanoseconds = i32::try_from(metadata.mtime_nsec()).unwrap_or(0);
    Timestamp::new(metadata.mtime(), nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// What differs when a file was written to, or another file took its name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// A file whose every byte counts into a digest.
pub(crate) struct Hashed {
    file: File,
    digest: Sha256,
    bytes: u64,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.digest.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

/// A file's text, in bytes that can be split into rows.
pub(crate) enum Input {
    /// As it is in the file.
    Narrow(BufReader<Hashed>),
    /// UTF-16 as UTF-8.
    Wide(Box<Widened<BufReader<Hashed>>>),
}

impl Input {
    /// Looks for a byte order mark, and takes it and its word for the encoding.
    pub(crate) fn new(
        mut file: BufReader<Hashed>,
        configured: Charset,
    ) -> io::Result<(Self, Charset)> {
        let (charset, mark) = Charset::marked(file.fill_buf()?).unwrap_or((configured, 0));
        file.consume(mark);
        let input = if charset.is_wide() {
            Self::Wide(Box::new(charset.widened(file, mark as u64)))
        } else {
            Self::Narrow(file)
        };
        Ok((input, charset))
    }

    /// Gives the file back.
    pub(crate) fn into_hashed(self) -> Hashed {
        match self {
            Self::Narrow(file) => file.into_inner(),
            Self::Wide(file) => file.into_inner().into_inner(),
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Narrow(file) => file.read(buffer),
            Self::Wide(file) => file.read(buffer),
        }
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Self::Narrow(file) => file.fill_buf(),
            Self::Wide(file) => file.fill_buf(),
        }
    }

    fn consume(&mut self, bytes: usize) {
        match self {
            Self::Narrow(file) => file.consume(bytes),
            Self::Wide(file) => file.consume(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;

    fn chosen(files: &[(&str, u64)], newest: Newest) -> String {
        let folder = tempfile::tempdir().unwrap();
        for (name, seconds) in files {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(*seconds)).unwrap();
        }
        fs::create_dir(folder.path().join("workers-999.csv")).unwrap();
        let pattern = folder.path().join("workers-*.csv");
        let path = choose(pattern.to_str().unwrap(), newest).unwrap();
        path.file_name().unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn the_newest_file_is_the_last_by_name_or_by_time() {
        let files = [("workers-9.csv", 300), ("workers-10.csv", 200), ("workers-08.csv", 100)];
        assert_eq!(chosen(&files, Newest::Name), "workers-10.csv");
        assert_eq!(chosen(&files, Newest::Mtime), "workers-9.csv");
        let dated = [("workers-2026-02-28.csv", 2), ("workers-2026-11-03.csv", 1)];
        assert_eq!(chosen(&dated, Newest::Name), "workers-2026-11-03.csv");
    }

    #[test]
    fn no_file_is_an_error_that_names_the_pattern() {
        let error = choose("/nonexistent/workers-*.csv", Newest::Name).unwrap_err().to_string();
        let expected =
            "no file is at /nonexistent/workers-*.csv: what was reported before still holds";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_file_written_replaced_or_removed_while_it_is_read_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        type Change = fn(&Path);
        let changes: [(Change, &str); 4] = [
            (|_| {}, ""),
            (|path| fs::write(path, "other").unwrap(), "was written to while it was read"),
            (
                |path| {
                    fs::write(path.with_extension("new"), "text").unwrap();
                    fs::rename(path.with_extension("new"), path).unwrap();
                },
                "was replaced by another file while it was read",
            ),
            (|path| fs::remove_file(path).unwrap(), "was taken away while it was read"),
        ];
        for (change, expected) in changes {
            fs::write(&path, "text").unwrap();
            let (source, mut reader) = Source::open(&path).unwrap();
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            change(&path);
            let content = source.close(reader.into_inner());
            let changed = content.changed.unwrap_or_default();
            assert_eq!(changed.is_empty(), expected.is_empty(), "{changed}");
            assert!(changed.contains(expected), "{changed}");
            // sha256sum of `text`.
            let digest = "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1";
            assert_eq!(content.sha256, digest);
        }
    }

    #[test]
    fn a_fifo_is_refused_and_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = Source::open(&path).err().unwrap().to_string();
        assert!(error.ends_with("is not a regular file"), "{error}");
    }
}
