//! Programs that were not approved: written by the connector itself, or with somebody else's rights.
//!
//! Left out: a program in a memfd, and those of the host that a view shows. Code that a connector
//! executes in memory, or by an interpreter, is its own in any case, and stays in the same jail.

use std::ffi::{CStr, CString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::files::{own_dir, own_name};
use super::targets::{Targets, given};
use super::{Case, Outcome, case};
use crate::process::{self, End};
use crate::program;

pub(super) const CASES: &[Case] = &[
    case("exec_written_file", |_| {
        with_program(|path| run(|| execute(path), "a program written here"))
    }),
    case("exec_by_descriptor", |_| with_program(by_descriptor)),
    case("setuid_program", setuid_program),
];

/// What a child exits with whose exec was refused: beyond the program's own two codes, the error.
const EXIT_REFUSED_BASE: u8 = 100;

/// Writes the program into our own directory, removes it again afterwards.
fn with_program(attempt: impl FnOnce(&Path) -> Outcome) -> Outcome {
    let path = own_dir().join(own_name());
    match write(&path) {
        Ok(()) => {
            let outcome = attempt(&path);
            let _ = fs::remove_file(&path);
            outcome
        }
        Err(error) => Outcome::skipped(format!("cannot write {}: {error}", path.display())),
    }
}

fn write(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o700).open(path)?.write_all(&program::bytes())
}

/// Becomes the program, or tells why not.
fn execute(path: &Path) -> io::Error {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
    let environment: [&CStr; 0] = [];
    match nix::unistd::execve(&path, &[c"written"], &environment) {
        Ok(never) => match never {},
        Err(errno) => errno.into(),
    }
}

/// By `/proc/self/fd`, and by the descriptor itself.
fn by_descriptor(path: &Path) -> Outcome {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return Outcome::Denied(format!("{}: {error}", path.display())),
    };
    let number = file.as_raw_fd();
    let by_path = PathBuf::from(format!("/proc/self/fd/{number}"));
    Outcome::worst([
        run(|| execute(&by_path), "by /proc/self/fd"),
        run(|| execute_open(&file), "by execveat"),
    ])
}

#[allow(unsafe_code)]
fn execute_open(file: &File) -> io::Error {
    let (nothing, arguments) = (c"", [c"written".as_ptr(), std::ptr::null()]);
    let environment = [std::ptr::null::<libc::c_char>()];
    // SAFETY: an open descriptor, an empty string, and two lists that end with null; all live until
    // the call returns, if it does.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            nothing.as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Runs what becomes a program in a child, and reads from its end whether it did.
fn run(become_it: impl FnOnce() -> io::Error, what: &str) -> Outcome {
    match exit_of(become_it) {
        Ok(End::Exit(code)) if code == program::EXIT_PLAIN || code == program::EXIT_RAISED => {
            Outcome::Allowed(format!("{what} ran"))
        }
        Ok(End::Exit(code)) => Outcome::Denied(format!("{what}: {}", refusal(code))),
        Ok(End::Signal { signal, .. }) => {
            Outcome::Denied(format!("{what}: killed by {}", signal.as_str()))
        }
        Ok(End::Late) => Outcome::skipped("the child did not end"),
        Err(error) => Outcome::skipped(format!("no child for it: {error}")),
    }
}

fn exit_of(become_it: impl FnOnce() -> io::Error) -> io::Result<End> {
    let child = process::in_child(|| {
        let errno = become_it().raw_os_error().and_then(|errno| u8::try_from(errno).ok());
        EXIT_REFUSED_BASE.saturating_add(errno.unwrap_or(u8::MAX))
    })?;
    process::end_of(child, Instant::now() + Duration::from_secs(5))
}

fn refusal(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code - i32::from(EXIT_REFUSED_BASE))
}

/// A program that runs with its owner's rights for everyone else on the host.
fn setuid_program(targets: &Targets) -> Outcome {
    let path = match given(&targets.setuid_program, "setuid-program") {
        Ok(path) => path,
        Err(outcome) => return outcome,
    };
    let own = nix::unistd::getuid().as_raw();
    if fs::metadata(path).is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == own) {
        return Outcome::skipped("the program's owner is our own user");
    }
    match exit_of(|| execute(path)) {
        Ok(End::Exit(program::EXIT_RAISED)) => {
            Outcome::Allowed("it ran with its owner's rights".to_owned())
        }
        Ok(End::Exit(program::EXIT_PLAIN)) => {
            Outcome::Denied("it ran, with our own rights alone".to_owned())
        }
        Ok(End::Exit(code)) => Outcome::Denied(format!("{}: {}", path.display(), refusal(code))),
        Ok(end) => Outcome::Denied(format!("{}: {end:?}", path.display())),
        Err(error) => Outcome::skipped(format!("no child for it: {error}")),
    }
}
