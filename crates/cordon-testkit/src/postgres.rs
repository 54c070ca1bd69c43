//! A PostgreSQL server of a test's own, with what is wanted in it.
//!
//! Making a cluster and filling it takes long, so it is done once for each content, under a lock
//! beside the build, and copied for each test. The server refuses to run as root: there it runs as the
//! package's own user, or as nobody.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use tempfile::TempDir;

use crate::capability;
use crate::peer::{self, Peer};

/// A seed: 5,000 users `u0000`, ..., 500 groups `g000`, ..., and 40,000 memberships: user `i` is in the
/// groups `(7 i + 61 k) % 500` for `k` from 0 to 7. The role `cordon`, password `reads-only`, may read
/// what everybody may.
pub const POPULATED: &str = include_str!("postgres/populated.sql");

/// The role that every cluster of ours begins with.
const SUPERUSER: &str = "postgres";
/// Safe enough for a test: nothing is to survive the machine.
const SETTINGS: [&str; 7] = [
    "fsync=off",
    "full_page_writes=off",
    "autovacuum=off",
    "max_connections=40",
    "shared_buffers=32MB",
    "password_encryption=scram-sha-256",
    "log_min_messages=warning",
];

/// A server that runs, or was stopped and can run again.
pub struct Postgres {
    data: TempDir,
    port: u16,
    settings: Vec<String>,
    peer: Option<Peer>,
}

impl Postgres {
    /// Starts a server with what `seed` makes in database `postgres` of a new cluster, and settings
    /// such as `ssl=on`. Local connections are let in, others need a password. None, and said so,
    /// where there is no such server.
    ///
    /// # Panics
    /// When a server that is there cannot be made, filled or started.
    pub fn start(seed: &str, settings: &[&str]) -> Option<Self> {
        let (Some(_), Some(_)) = (peer::program("postgres"), peer::program("psql")) else {
            capability::skipped("postgres");
            return None;
        };
        let data = copied(&prepared(seed));
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { data, port: peer::free_port(), settings, peer: None };
        server.start_again();
        Some(server)
    }

    /// Starts it on what is in its folder now.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_again(&mut self) {
        self.peer = None;
        let _ = fs::remove_file(self.data.path().join("postmaster.pid"));
        let log = TempDir::new().unwrap_or_else(|error| panic!("no folder: {error}"));
        let mut command = command(self.data.path(), self.port, &self.settings);
        let (data, port) = (self.data.path().to_path_buf(), self.port);
        self.peer = Some(Peer::start(log, &mut command, || is_up(&data, port)));
    }

    /// Its port on 127.0.0.1, and the number of its socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its socket and of its files.
    pub fn folder(&self) -> &Path {
        self.data.path()
    }

    /// What runs.
    ///
    /// # Panics
    /// When nothing does.
    pub fn peer(&self) -> &Peer {
        self.peer.as_ref().unwrap_or_else(|| panic!("the server was stopped"))
    }

    /// Runs SQL as superuser and gives its rows, with `|` between columns.
    ///
    /// # Panics
    /// When the server refuses it.
    #[track_caller]
    pub fn sql(&self, database: &str, text: &str) -> Vec<String> {
        match psql(self.data.path(), self.port, database, text) {
            Ok(output) => output.lines().map(str::to_owned).collect(),
            Err(error) => panic!("{error}"),
        }
    }

    /// Ends all of it at once, as a crash does.
    pub fn crash(&mut self) {
        self.peer = None;
    }

    /// Ends it in order, with everything on disk.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&mut self) {
        self.sql("postgres", "CHECKPOINT");
        let Some(peer) = self.peer.take() else { return };
        let pid = self.data.path().join("postmaster.pid");
        peer.signal(Signal::SIGINT);
        let deadline = std::time::Duration::from_secs(30);
        crate::wait_until("the server has ended", deadline, || !pid.exists());
    }

    /// A copy of what a stopped server has.
    ///
    /// # Panics
    /// When it runs, or cannot be copied.
    pub fn backup(&self) -> TempDir {
        assert!(self.peer.is_none(), "a backup of a running server is none");
        copied(self.data.path())
    }

    /// Puts a backup in the place of what the server has, and starts it.
    ///
    /// # Panics
    /// When it cannot be copied or started.
    pub fn restore(&mut self, backup: &Path) {
        self.peer = None;
        self.data = copied(backup);
        self.start_again();
    }
}

/// The user that runs the server, where it is not ourselves.
fn user() -> Option<User> {
    if !Uid::effective().is_root() {
        return None;
    }
    let named = |name| User::from_name(name).ok().flatten();
    named("postgres").or_else(|| named("nobody"))
}

fn as_user(program: &Path) -> Command {
    let Some(user) = user() else {
        let mut command = Command::new(program);
        command.env_clear();
        return command;
    };
    let mut command = Command::new("setpriv");
    let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
    command.args(["--reuid", &uid, "--regid", &gid, "--clear-groups"]);
    // A change of user takes the mark away by which it dies with the test.
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command
}

fn command(data: &Path, port: u16, settings: &[String]) -> Command {
    let program = peer::program("postgres").unwrap_or_default();
    let mut command = as_user(&program);
    command.arg("-D").arg(data).args(["-p", &port.to_string()]);
    command.arg("-k").arg(data).args(["-h", "127.0.0.1"]);
    let settings = SETTINGS.iter().copied().chain(settings.iter().map(String::as_str));
    for setting in settings {
        command.args(["-c", setting]);
    }
    command.current_dir("/");
    command
}

fn is_up(data: &Path, port: u16) -> bool {
    psql(data, port, "postgres", "SELECT 1").is_ok()
}

fn psql(folder: &Path, port: u16, database: &str, text: &str) -> Result<String, String> {
    let program = peer::program("psql").unwrap_or_default();
    let mut command = Command::new(program);
    command
        .env_clear()
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", SUPERUSER, "-h"])
        .arg(folder)
        .args(["-p", &port.to_string(), "-d", database, "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("cannot start psql: {error}"))?;
    let mut stdin = child.stdin.take().ok_or("psql takes nothing")?;
    let text = text.to_owned();
    let writing = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().map_err(|error| format!("psql: {error}"))?;
    let _ = writing.join();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The folder of a stopped cluster with that content.
fn prepared(seed: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (seed, peer::program("postgres"), user().map(|user| user.name)).hash(&mut hasher);
    let folder = peer::folder().join("postgres");
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let ready = folder.join(format!("{:016x}", hasher.finish()));
    let lock = File::create(folder.join("lock"));
    let lock = lock.unwrap_or_else(|error| panic!("no lock: {error}"));
    lock.lock().unwrap_or_else(|error| panic!("no lock: {error}"));
    if !ready.exists() {
        let made = made(seed);
        let unready = ready.with_extension("unready");
        let _ = fs::remove_dir_all(&unready);
        copy(made.path(), &unready);
        fs::rename(&unready, &ready).unwrap_or_else(|error| panic!("{error}"));
    }
    ready
}

/// Makes a cluster and fills it.
fn made(seed: &str) -> TempDir {
    let data = owned_folder();
    let initdb = peer::program("initdb").unwrap_or_default();
    let output = as_user(&initdb)
        .arg("-D")
        .arg(data.path())
        .args(["-U", SUPERUSER, "-E", "UTF8", "--locale=C", "--no-sync", "--auth-local=trust"])
        .arg("--auth-host=scram-sha-256")
        .current_dir("/")
        .output()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", initdb.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut server = Postgres { data, port: peer::free_port(), settings: vec![], peer: None };
    server.start_again();
    server.sql("postgres", seed);
    server.stop();
    server.data
}

/// A folder that belongs to the user that runs the server.
fn owned_folder() -> TempDir {
    let folder = TempDir::new().unwrap_or_else(|error| panic!("no folder: {error}"));
    if let Some(user) = user() {
        let (uid, gid) = (Some(user.uid.as_raw()), Some(user.gid.as_raw()));
        let given = std::os::unix::fs::chown(folder.path(), uid, gid);
        given.unwrap_or_else(|error| panic!("{}: {error}", folder.path().display()));
    }
    folder
}

fn copied(from: &Path) -> TempDir {
    let folder = owned_folder();
    copy(from, folder.path());
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
    let mut copy = Command::new("cp");
    copy.args(["--archive", "--reflink=auto"]).arg(from.join(".")).arg(to);
    let done = copy.status().unwrap_or_else(|error| panic!("cannot start cp: {error}"));
    assert!(done.success(), "{} was not copied", from.display());
}
