//! A server of another project, that a connector is tested on: found, started on a private port of
//! the loopback, and stopped.
//!
//! It runs in a process group of its own, which is killed with the test's value, and dies with the
//! test's process however that ends. What it writes is kept in its folder, and shown when it does not
//! come up.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::programs;

/// How long a server may take to come up.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks whether it is up.
const PAUSE: Duration = Duration::from_millis(50);
/// What a server says, in its folder.
const LOG: &str = "peer.log";

/// Where a program is: on PATH, among servers, or in Python's folder beside the build.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .chain(versions.map(|version| version.path().join("bin")))
        .chain([folder().join("python/bin")]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The Python that has the packages which `cargo xtask test` installs.
pub fn python() -> Option<PathBuf> {
    Some(folder().join("python/bin/python3")).filter(|path| path.is_file())
}

/// Where servers are prepared, beside the build: `<target>/peers`.
pub fn folder() -> PathBuf {
    let profile = programs::folder();
    profile.parent().unwrap_or(&profile).join("peers")
}

/// A port of the loopback that nobody listens on now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.unwrap_or_else(|error| panic!("no free port: {error}")).port()
}

/// A server that runs.
pub struct Peer {
    child: Child,
    folder: TempDir,
}

impl Peer {
    /// Starts a server that keeps its files in a folder, and waits until it is ready.
    ///
    /// # Panics
    /// When it cannot be started, ends, or is not ready within a minute; with what it said last.
    pub fn start(folder: TempDir, command: &mut Command, ready: impl FnMut() -> bool) -> Self {
        let log = folder.path().join(LOG);
        let output = File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
        let (stdout, stderr) = output.unwrap_or_else(|error| panic!("no log: {error}"));
        let child = dying_with_us(command)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", shown(command)));
        let mut peer = Self { child, folder };
        peer.await_ready(command, ready);
        peer
    }

    /// Where the server keeps its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to all of the server's processes; to end it as a crash does, or to let it hang.
    pub fn signal(&self, signal: Signal) {
        if let Ok(group) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(group), signal);
        }
    }

    /// What the server has said so far.
    pub fn log(&self) -> String {
        let text = std::fs::read(self.folder.path().join(LOG)).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    #[track_caller]
    fn await_ready(&mut self, command: &Command, mut ready: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !ready() {
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || begun.elapsed() > STARTS_WITHIN {
                panic!("{} did not come up ({ended:?}): {}", shown(command), self.log());
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// The same command, that ends with the thread's process that starts it.
fn dying_with_us(command: &Command) -> Command {
    let mut guarded = Command::new("setpriv");
    guarded.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => guarded.env(name, value),
            None => guarded.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        guarded.current_dir(folder);
    }
    guarded
}

fn shown(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::{process, wait_until};

    #[test]
    fn a_server_comes_up_and_ends_with_all_its_children() {
        let port = free_port();
        let mut server = Command::new("sh");
        let serve = format!("python3 -u -m http.server --bind 127.0.0.1 {port} & wait");
        server.args(["-c", &serve]);
        let folder = TempDir::new().unwrap();
        let up = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        let peer = Peer::start(folder, &mut server, up);
        let argument = port.to_string();
        let before = process::with_command_line(&argument);
        assert!(before.contains(&peer.pid()) && before.len() >= 2, "{before:?}");
        drop(peer);
        wait_until("all are gone", Duration::from_secs(10), || {
            process::with_command_line(&argument).is_empty()
        });
    }

    #[test]
    #[should_panic(expected = "no such table")]
    fn a_server_that_ends_at_once_is_told_with_its_last_words() {
        let mut server = Command::new("sh");
        server.args(["-c", "echo no such table; exit 3"]);
        Peer::start(TempDir::new().unwrap(), &mut server, || false);
    }
}
