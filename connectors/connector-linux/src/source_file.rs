//! Reads small files of a host without trusting them.
//!
//! Some of these files belong to the accounts they describe. So a read never blocks on a FIFO, never
//! follows a link that an account's owner could have put there, never takes more than a bound, and
//! notices when the file was replaced or written while it was read.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;

/// Attempts at a file that changes under the reader; editors and useradd need milliseconds.
const ATTEMPTS_MAX: usize = 3;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("{} cannot be read", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is a symbolic link, which is not followed", path.display())]
    Link { path: PathBuf },
    #[error("{} is not a regular file", path.display())]
    NotRegular { path: PathBuf },
    #[error("{} has {bytes} bytes, more than {bytes_max}", path.display())]
    TooLarge { path: PathBuf, bytes: u64, bytes_max: u64 },
    #[error("{} changed while it was read, {ATTEMPTS_MAX} times in a row", path.display())]
    Changed { path: PathBuf },
}

impl ReadError {
    /// Whether there is no such file, which for optional files is an answer and not a failure.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
    }

    /// Whether rights are what is missing.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }

    /// The chain as one text: `/etc/sudoers cannot be read: Permission denied (os error 13)`.
    pub(crate) fn chain(&self) -> String {
        match self {
            Self::Io { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }
}

/// A file's content at one moment.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    pub(crate) modified: Timestamp,
}

/// The folder that stands for `/`: the host's own, or a copy of another host's files.
#[derive(Debug, Clone)]
pub(crate) struct Root(PathBuf);

impl Root {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Whether these are the files that the host lives by, not a copy.
    pub(crate) fn is_live(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// Where a path of the host lies. `..` cannot lead out.
    pub(crate) fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        let mut joined = PathBuf::new();
        for component in path.as_ref().components() {
            match component {
                Component::Normal(name) => joined.push(name),
                Component::ParentDir => {
                    joined.pop();
                }
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        self.0.join(joined)
    }

    /// Reads a file of the administrator's, who may well have put a link in its place.
    pub(crate) fn read(
        &self,
        path: impl AsRef<Path>,
        bytes_max: u64,
    ) -> Result<SourceFile, ReadError> {
        let path = self.join(path);
        read(&path, bytes_max, || open(&path, AT_FDCWD, &path, OFlag::empty()), || {})
    }

    /// Reads a file in an account's home. Below the home no link is followed.
    pub(crate) fn read_in_home(
        &self,
        home: &str,
        below: &str,
        bytes_max: u64,
    ) -> Result<SourceFile, ReadError> {
        let home = self.join(home);
        let path = home.join(below);
        read(&path, bytes_max, || open_in_home(&home, below), || {})
    }
}

/// When a file or a folder last changed.
pub(crate) fn modified(metadata: &Metadata) -> Timestamp {
    let nanoseconds = i32::try_from(metadata.mtime_nsec()).unwrap_or(0);
    Timestamp::new(metadata.mtime(), nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn open_in_home(home: &Path, below: &str) -> Result<OwnedFd, ReadError> {
    let folder = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let mut path = home.to_owned();
    let mut fd = open(home, AT_FDCWD, home, folder)?;
    let mut names = below.split('/').peekable();
    while let Some(name) = names.next() {
        path.push(name);
        let flags = if names.peek().is_some() { folder } else { OFlag::empty() };
        fd = open(&path, &fd, Path::new(name), flags | OFlag::O_NOFOLLOW)?;
    }
    Ok(fd)
}

fn open<D: std::os::fd::AsFd>(
    shown: &Path,
    folder: D,
    name: &Path,
    flags: OFlag,
) -> Result<OwnedFd, ReadError> {
    // Without O_NONBLOCK, opening a FIFO waits for somebody to write into it: forever.
    let flags = flags | OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    openat(&folder, name, flags, Mode::empty()).map_err(|errno| {
        let path = shown.to_owned();
        // A link in the place of a folder fails as ENOTDIR: it is not one, before it is a link.
        let is_link = flags.contains(OFlag::O_NOFOLLOW)
            && (errno == Errno::ELOOP
                || (errno == Errno::ENOTDIR
                    && shown.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink())));
        if is_link {
            ReadError::Link { path }
        } else {
            ReadError::Io { path, source: errno.into() }
        }
    })
}

/// Reads what `open` opens; `between` runs after the bytes were read and before they are believed.
fn read(
    path: &Path,
    bytes_max: u64,
    open: impl Fn() -> Result<OwnedFd, ReadError>,
    mut between: impl FnMut(),
) -> Result<SourceFile, ReadError> {
    let failed = |source| ReadError::Io { path: path.to_owned(), source };
    for _ in 0..ATTEMPTS_MAX {
        let mut file = File::from(open()?);
        let before = file.metadata().map_err(failed)?;
        if !before.is_file() {
            return Err(ReadError::NotRegular { path: path.to_owned() });
        }
        let mut bytes = vec![];
        file.by_ref().take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
        let read = bytes.len() as u64;
        if read > bytes_max {
            let bytes = before.len().max(read);
            return Err(ReadError::TooLarge { path: path.to_owned(), bytes, bytes_max });
        }
        between();
        let after = file.metadata().map_err(failed)?;
        let now = File::from(open()?).metadata().map_err(failed)?;
        if read == before.len()
            && identity(&before) == identity(&after)
            && identity(&after) == identity(&now)
        {
            return Ok(SourceFile { path: path.to_owned(), bytes, modified: modified(&after) });
        }
    }
    Err(ReadError::Changed { path: path.to_owned() })
}

/// What differs when a file was written to or another file took its name.
fn identity(metadata: &Metadata) -> (u64, u64, u64, i64, i64) {
    (metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::unistd::mkfifo;

    use super::*;

    const BYTES_MAX: u64 = 100;

    fn home() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("home/alice/.ssh")).unwrap();
        let root = Root::new(folder.path());
        (folder, root)
    }

    fn read_keys(root: &Root) -> Result<SourceFile, String> {
        root.read_in_home("/home/alice", ".ssh/keys", BYTES_MAX)
            .map_err(|error| error.chain().replace(root.0.to_str().unwrap(), ""))
    }

    #[test]
    fn a_regular_file_is_read_whole() {
        let (folder, root) = home();
        fs::write(folder.path().join("home/alice/.ssh/keys"), "text").unwrap();
        assert_eq!(read_keys(&root).unwrap().bytes, b"text");
        assert_eq!(root.read("/home/alice/.ssh/keys", 4).unwrap().bytes, b"text");
    }

    #[test]
    fn a_link_in_a_home_is_not_followed_wherever_it_stands() {
        let (folder, root) = home();
        fs::write(folder.path().join("secret"), "text").unwrap();
        let keys = folder.path().join("home/alice/.ssh/keys");
        symlink(folder.path().join("secret"), &keys).unwrap();
        let expected = "/home/alice/.ssh/keys is a symbolic link, which is not followed";
        assert_eq!(read_keys(&root).unwrap_err(), expected);

        fs::remove_dir_all(folder.path().join("home/alice/.ssh")).unwrap();
        fs::create_dir(folder.path().join("other")).unwrap();
        fs::write(folder.path().join("other/keys"), "text").unwrap();
        symlink(folder.path().join("other"), folder.path().join("home/alice/.ssh")).unwrap();
        let expected = "/home/alice/.ssh is a symbolic link, which is not followed";
        assert_eq!(read_keys(&root).unwrap_err(), expected);
    }

    #[test]
    fn a_fifo_is_refused_and_never_waited_for() {
        let (folder, root) = home();
        mkfifo(&folder.path().join("home/alice/.ssh/keys"), Mode::S_IRWXU).unwrap();
        assert_eq!(read_keys(&root).unwrap_err(), "/home/alice/.ssh/keys is not a regular file");
        assert!(matches!(root.read("home/alice/.ssh", 1), Err(ReadError::NotRegular { .. })));
    }

    #[test]
    fn a_file_at_the_bound_is_read_and_one_byte_more_is_refused() {
        let (folder, root) = home();
        let keys = folder.path().join("home/alice/.ssh/keys");
        fs::write(&keys, vec![b'x'; 100]).unwrap();
        assert_eq!(read_keys(&root).unwrap().bytes.len(), 100);
        fs::write(&keys, vec![b'x'; 101]).unwrap();
        let expected = "/home/alice/.ssh/keys has 101 bytes, more than 100";
        assert_eq!(read_keys(&root).unwrap_err(), expected);
    }

    #[test]
    fn a_file_written_or_replaced_while_it_is_read_is_read_again() {
        let (folder, _) = home();
        let path = folder.path().join("file");
        let opened = || open(&path, AT_FDCWD, &path, OFlag::empty());
        fs::write(&path, "old").unwrap();
        let mut times = 0;
        let replace_once = || {
            times += 1;
            if times == 1 {
                fs::write(folder.path().join("new"), "new").unwrap();
                fs::rename(folder.path().join("new"), &path).unwrap();
            }
        };
        assert_eq!(read(&path, BYTES_MAX, opened, replace_once).unwrap().bytes, b"new");

        let append = || fs::write(&path, [fs::read(&path).unwrap(), vec![b'.']].concat()).unwrap();
        let result = read(&path, BYTES_MAX, opened, append);
        assert!(matches!(result, Err(ReadError::Changed { .. })), "{result:?}");
    }

    #[test]
    fn no_path_leads_out_of_the_root() {
        let root = Root::new(Path::new("/copy"));
        for path in ["/etc/passwd", "etc/passwd", "../etc/passwd", "/a/../../etc/./passwd"] {
            assert_eq!(root.join(path), Path::new("/copy/etc/passwd"), "{path}");
        }
    }
}
