//! A host of its own for one test: the real `cordond` in a folder that goes with it.
//!
//! The fixture writes the configuration, waits until the control socket answers, asks through the
//! real `cordon`, and ends the service by its process id when it is dropped. It can be killed and
//! started again on the same state, also with a fault point armed.

mod answer;
mod copy;
mod manager;
mod setup;

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

pub use answer::Answer;
pub use manager::ServiceManager;
pub use setup::{Connector, Setup, WEBHOOK_SECRET};

use crate::disk::{Deed, Harm, Watch};
use crate::scenario::Scenario;
use crate::{process, programs, wait_for};

/// How long the service may take to answer, and to end.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of the service's log that a failed test shows.
const LOG_BYTES_SHOWN: usize = 16 * 1024;

/// A host with one `cordond`.
pub struct Host {
    folder: TempDir,
    daemon: Option<Child>,
    fault: Option<String>,
    environment: Vec<(String, String)>,
    is_dev: bool,
    runs: u32,
}

/// How a service ended that did not stay.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// What it wrote to stderr.
    pub log: String,
}

impl Host {
    /// Describes a host, to be started.
    pub fn setup() -> Setup {
        Setup::new()
    }

    fn new(folder: TempDir) -> Self {
        Self { folder, daemon: None, fault: None, environment: Vec::new(), is_dev: true, runs: 0 }
    }

    /// The folder of this host. Everything of it is in here.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The state folder of the service.
    pub fn state(&self) -> PathBuf {
        self.folder().join("state")
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.folder().join("cordon.sock")
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder().join("cordon.toml")
    }

    /// Starts the service and waits until it answers.
    ///
    /// # Panics
    /// When it ends instead.
    #[track_caller]
    pub fn start(&mut self) {
        if let Err(ended) = self.try_start() {
            panic!("cordond ended with {} instead of starting:\n{}", ended.status, ended.log);
        }
    }

    /// Starts the service; gives how it ended when it did not stay.
    pub fn try_start(&mut self) -> Result<(), Ended> {
        assert!(self.daemon.is_none(), "cordond runs already");
        let log = self.next_log();
        let child = self.spawn(&log);
        self.answers(child, &log)
    }

    /// Waits until a service that was started answers.
    fn answers(&mut self, mut child: Child, log: &Path) -> Result<(), Ended> {
        let begun = Instant::now();
        loop {
            if let Some(status) = wait(&mut child) {
                return Err(Ended { status, log: read(log) });
            }
            let stream = std::os::unix::net::UnixStream::connect(self.socket());
            if stream.is_ok() && self.cordon(&["status"]).code == 0 {
                self.daemon = Some(child);
                return Ok(());
            }
            if begun.elapsed() > READY_DEADLINE {
                let _ = child.kill();
                let _ = child.wait();
                panic!("cordond does not answer after {READY_DEADLINE:?}:\n{}", read(log));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts the service watched from its first call on, as [`Host::watch`] does; gives how it ended
    /// when it did not stay.
    pub fn start_watched(
        &mut self,
        deeds: &[Deed],
        harms: &[(u64, Harm)],
    ) -> (Option<Watch>, Result<(), Ended>) {
        let log = self.next_log();
        // It stands still until it is watched, and becomes the service then.
        let mut command = Command::new("sh");
        command.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]).arg(programs::path("cordond"));
        let child = self.spawn_as(command, &log);
        let pid = child.id();
        wait_for("the service stands still", READY_DEADLINE, || {
            process::is_stopped(pid).then_some(())
        });
        let watch = self.watch_process(pid, deeds, &[], harms);
        process::signal(pid, Signal::SIGCONT);
        (watch, self.answers(child, &log))
    }

    /// Starts the service and does not wait for it, such as when it is not to come up.
    ///
    /// # Panics
    /// When it runs already.
    #[track_caller]
    pub fn begin(&mut self) {
        assert!(self.daemon.is_none(), "cordond runs already");
        let log = self.next_log();
        self.daemon = Some(self.spawn(&log));
    }

    /// Stands in for a service manager; the service tells it how it is once it is started again.
    #[track_caller]
    pub fn manager(&self) -> ServiceManager {
        ServiceManager::listen(self.folder())
    }

    /// Starts a second service on the same configuration, which has to end by itself.
    #[track_caller]
    pub fn second(&mut self) -> Ended {
        let log = self.next_log();
        let mut child = self.spawn(&log);
        let begun = Instant::now();
        while begun.elapsed() < READY_DEADLINE {
            if let Some(status) = wait(&mut child) {
                return Ended { status, log: read(&log) };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
        panic!("a second cordond goes on beside the first:\n{}", read(&log));
    }

    /// The service dies at that fault point (`name`, or `name:2` for its second pass) once it is
    /// started again.
    pub fn arm(&mut self, point: &str) {
        self.fault = Some(point.to_owned());
    }

    /// The service is not to die at a fault point any more once it is started again.
    pub fn disarm(&mut self) {
        self.fault = None;
    }

    /// Kills the service with SIGKILL: no destructor runs, no buffer is flushed.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks the service to end and waits for it.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.ask_to_end();
        self.ended()
    }

    /// Asks the service to end.
    #[track_caller]
    pub fn ask_to_end(&self) {
        process::signal(self.pid(), Signal::SIGTERM);
    }

    /// Waits for the service to end by itself, such as at a fault point.
    ///
    /// # Panics
    /// When it goes on.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let Some(mut child) = self.daemon.take() else { panic!("cordond does not run") };
        let status = wait_for("cordond ends", READY_DEADLINE, || wait(&mut child));
        let _ = child.wait();
        status
    }

    /// Whether the service runs.
    pub fn runs(&mut self) -> bool {
        self.daemon.as_mut().is_some_and(|child| wait(child).is_none())
    }

    /// The service's process id.
    ///
    /// # Panics
    /// When it does not run.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().map_or_else(|| panic!("cordond does not run"), Child::id)
    }

    /// What the service that was started last wrote to stderr.
    pub fn log(&self) -> String {
        read(&self.log_path(self.runs))
    }

    /// Runs `cordon` with these arguments and `-o json`.
    pub fn cordon(&self, arguments: &[&str]) -> Answer {
        self.cordon_as("json", arguments)
    }

    /// Runs `cordon` with these arguments and another form of output.
    pub fn cordon_as(&self, format: &str, arguments: &[&str]) -> Answer {
        let output = Command::new(programs::path("cordon"))
            .args(arguments)
            .args(["--output", format, "--socket"])
            .arg(self.socket())
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("cannot run cordon: {error}"));
        Answer::new(arguments, &output)
    }

    /// Runs `cordon` with these arguments and `-o json` as another user of the machine; none where
    /// this process may not become one, which is then said to be skipped.
    pub fn cordon_by(&self, uid: u32, arguments: &[&str]) -> Option<Answer> {
        use std::os::unix::fs::PermissionsExt;
        if !rustix::process::geteuid().is_root() {
            crate::capability::skipped("uid_switch");
            return None;
        }
        // The socket decides who may ask; the folder of a test lets nobody reach it.
        let open = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(self.folder(), open)
            .unwrap_or_else(|error| panic!("cannot open the folder: {error}"));
        let mut command = Command::new(programs::path("cordon"));
        std::os::unix::process::CommandExt::uid(&mut command, uid);
        std::os::unix::process::CommandExt::gid(&mut command, uid);
        let output = command
            .args(arguments)
            .args(["--output", "json", "--socket"])
            .arg(self.socket())
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("cannot run cordon: {error}"));
        Some(Answer::new(arguments, &output))
    }

    /// Runs a sync and waits for its verdict.
    pub fn sync(&self, connector: &str) -> Answer {
        self.cordon(&["sync", connector, "--wait"])
    }

    /// What `cordon status` says of a connector.
    ///
    /// # Panics
    /// When it says nothing of it.
    #[track_caller]
    pub fn status(&self, connector: &str) -> Value {
        let answer = self.cordon(&["status", connector]).done();
        let mut items = answer.items();
        assert_eq!(items.len(), 1, "status of {connector}: {items:?}");
        items.remove(0)
    }

    /// Changes the scenario of a faulty connector; its next sync follows it.
    pub fn play(&self, connector: &str, scenario: &Scenario) {
        self.put(&setup::scenario_file(connector), setup::scenario_text(scenario));
    }

    /// The changes that a file sink got, in order. A last line that is not whole is not yet one.
    ///
    /// # Panics
    /// When a whole line is no JSON.
    #[track_caller]
    pub fn changes(&self, sink: &str) -> Vec<Value> {
        let text = read(&self.folder().join(setup::sink_file(sink)));
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("sink {sink} got {line:?}: {error}"))
            })
            .collect()
    }

    /// The path of a file of the test in this host's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Puts a file into this host's folder in one step, as a careful exporter does: a reader sees
    /// the old one or the new one. Connectors may read it whoever they run as.
    #[track_caller]
    pub fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        put(self.folder(), name, content.as_ref());
    }

    fn next_log(&mut self) -> PathBuf {
        self.runs += 1;
        self.log_path(self.runs)
    }

    fn log_path(&self, run: u32) -> PathBuf {
        self.folder().join(format!("cordond-{run}.log"))
    }

    fn spawn(&self, log: &Path) -> Child {
        self.spawn_as(Command::new(programs::path("cordond")), log)
    }

    fn spawn_as(&self, mut command: Command, log: &Path) -> Child {
        let file = File::create(log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        command.arg("--config").arg(self.config()).env_remove("CORDON_FAULT");
        if self.is_dev {
            command.arg("--dev");
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(fault) = &self.fault {
            command.env("CORDON_FAULT", fault);
        }
        if self.path(manager::SOCKET).exists() {
            command.env("NOTIFY_SOCKET", self.path(manager::SOCKET));
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run cordond: {error}"))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let start = log.len().saturating_sub(LOG_BYTES_SHOWN);
            let start = (start..=log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(0);
            eprintln!("---- cordond, run {} ----\n{}", self.runs, &log[start..]);
        }
    }
}

fn put(folder: &Path, name: &str, content: &[u8]) {
    let (path, part) = (folder.join(name), folder.join(format!("{name}.part")));
    let written = std::fs::create_dir_all(path.parent().unwrap_or(folder))
        .and_then(|()| std::fs::write(&part, content))
        .and_then(|()| std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o644)))
        .and_then(|()| std::fs::rename(&part, &path));
    written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

/// The status of a process that has ended.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    child.try_wait().unwrap_or_else(|error| panic!("cannot wait for a process: {error}"))
}

/// A file as text; empty when it is not there.
fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
