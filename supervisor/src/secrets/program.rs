//! Asks a program for a secret: `pass`, `op`, or a script of the operator's.
//!
//! The program runs with the rights of the service, so only root and the service's own user may be
//! able to change it. It gets no shell, no input and next to no environment, and has a bounded time
//! and a bounded voice. When it is over, so is everything that it started in its process group.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, kill_process_group, pidfd_open, waitpgid,
};
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use super::{Redactor, SECRET_BYTES_MAX, SecretError, file};

/// How long a program may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// Where it finds its own tools.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes of its complaints that are kept.
const STDERR_BYTES_MAX: usize = 4 * 1024;
/// Characters of its complaints that an error tells.
const STDERR_CHARS_SHOWN: usize = 300;
/// Looks for children of its group after the kill, each a moment apart.
const REAP_ROUNDS: u32 = 50;

/// What the program prints, without newlines at its end.
pub(super) fn run(
    path: &Path,
    args: &[String],
    deadline: Duration,
) -> Result<SecretString, SecretError> {
    let failed = |source| SecretError::ProgramRun { path: path.into(), source };
    let program = trusted(path)?;
    let mut command = Command::new(&program);
    command.arg0(path).args(args).env_clear().env("PATH", PATH).env("HOME", home());
    command.env("LANG", "C.UTF-8").current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let heard = hear(&mut child, deadline);
    let status = end(&mut child).map_err(failed)?;
    let heard = heard.map_err(failed)?;
    if heard.stdout.len() > SECRET_BYTES_MAX {
        return Err(SecretError::TooLarge { what: path.display().to_string() });
    }
    let value = file::text(&heard.stdout, &path.display().to_string());
    if heard.ended && status.success() {
        return value;
    }
    let stderr = told(&heard.stderr, value.as_ref().ok());
    let path = path.to_owned();
    Err(if heard.ended {
        SecretError::ProgramFailed { path, status, stderr }
    } else {
        SecretError::ProgramSlow { path, seconds: deadline.as_secs(), stderr }
    })
}

/// The program that will run, links resolved, if nobody else can put another in its place.
fn trusted(path: &Path) -> Result<PathBuf, SecretError> {
    let failed = |source| SecretError::ProgramRun { path: path.into(), source };
    let program = path.canonicalize().map_err(failed)?;
    for place in program.ancestors() {
        let known = place.metadata().map_err(failed)?;
        let mode = known.mode() & 0o7777;
        let open = |why: String| SecretError::ProgramOpen { path: place.into(), why };
        if !file::is_trusted(known.uid()) {
            return Err(open(format!("it belongs to user id {}", known.uid())));
        }
        // In a folder with the sticky bit nobody replaces what is another's.
        let sticky = known.is_dir() && mode & 0o1000 != 0;
        let by_group = mode & 0o020 != 0 && (known.is_file() || known.gid() != 0);
        if !sticky && (by_group || mode & 0o002 != 0) {
            return Err(open(format!("its mode is {mode:o}")));
        }
    }
    Ok(program)
}

fn home() -> PathBuf {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    user.ok().flatten().map_or_else(|| "/".into(), |user| user.dir)
}

/// What a program said.
struct Heard {
    stdout: Zeroizing<Vec<u8>>,
    stderr: Vec<u8>,
    /// It ended by itself, and in time.
    ended: bool,
}

/// Listens until the program has ended, said too much, or its time is over.
fn hear(child: &mut Child, deadline: Duration) -> std::io::Result<Heard> {
    let began = Instant::now();
    let handle = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let mut stdout = Voice::new(child.stdout.take())?;
    let mut stderr = Voice::new(child.stderr.take())?;
    let mut out = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 1));
    let mut err = Vec::new();
    let mut ended = false;
    while !ended && out.len() <= SECRET_BYTES_MAX {
        let Some(left) = deadline.checked_sub(began.elapsed()) else { break };
        ended = wait(&handle, &stdout, &stderr, left)?;
        stdout.read(&mut out, SECRET_BYTES_MAX + 1)?;
        stderr.read(&mut err, STDERR_BYTES_MAX)?;
    }
    Ok(Heard { stdout: out, stderr: err, ended })
}

/// Waits for a word or the end; says whether it is the end.
fn wait<O: AsFd, E: AsFd>(
    handle: &OwnedFd,
    stdout: &Voice<O>,
    stderr: &Voice<E>,
    left: Duration,
) -> std::io::Result<bool> {
    let mut fds = vec![PollFd::new(handle, PollFlags::IN)];
    fds.extend(stdout.0.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    fds.extend(stderr.0.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    let left = Timespec::try_from(left).map_err(std::io::Error::other)?;
    match poll(&mut fds, Some(&left)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(!fds[0].revents().is_empty()),
        Err(errno) => Err(errno.into()),
    }
}

/// One of its pipes, until it is closed.
struct Voice<R>(Option<R>);

impl<R: Read + AsFd> Voice<R> {
    fn new(pipe: Option<R>) -> std::io::Result<Self> {
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(Self(pipe))
    }

    /// Takes what is there; what is beyond the limit is read and forgotten.
    fn read(&mut self, kept: &mut Vec<u8>, limit: usize) -> std::io::Result<()> {
        let mut buffer = Zeroizing::new([0; 4096]);
        // A program that never pauses must not keep the deadline from being looked at.
        for _ in 0..2 * SECRET_BYTES_MAX / buffer.len() {
            let Some(pipe) = &mut self.0 else { break };
            match pipe.read(&mut *buffer) {
                Ok(0) => self.0 = None,
                Ok(read) => {
                    let room = limit.saturating_sub(kept.len());
                    kept.extend_from_slice(&buffer[..read.min(room)]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Ends the program and whatever it left in its group.
fn end(child: &mut Child) -> std::io::Result<ExitStatus> {
    // Before it is waited for: until then its number, and its group's, is nobody else's.
    let group = Pid::from_child(child);
    let _ = kill_process_group(group, Signal::KILL);
    let status = child.wait()?;
    // Children of it fell to this process when it died.
    for _ in 0..REAP_ROUNDS {
        match waitpgid(group, WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => break,
        }
    }
    Ok(status)
}

/// What it complained of, in one line; never what it gave as the secret.
fn told(stderr: &[u8], value: Option<&SecretString>) -> String {
    let redactor = Redactor::new(value.into_iter());
    let text = redactor.text(&String::from_utf8_lossy(stderr));
    let text = crate::logs::escape(text.trim());
    if text.is_empty() {
        return String::new();
    }
    let shown: String = text.chars().take(STDERR_CHARS_SHOWN).collect();
    format!(": {shown}")
}
