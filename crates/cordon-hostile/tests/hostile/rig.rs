//! A victim, everything else that attacks are aimed at, and runs of attacks on it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub(crate) const HOSTILE: &str = env!("CARGO_BIN_EXE_cordon-hostile");

/// A user without any rights.
pub(crate) const NOBODY: u32 = 65_534;

/// Whether this test may become another user.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The program as a user; `None` is our own.
pub(crate) fn hostile(user: Option<u32>) -> Command {
    let Some(user) = user else { return Command::new(HOSTILE) };
    let mut command = Command::new("setpriv");
    let user = user.to_string();
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", HOSTILE]);
    command
}

/// What came of one case: `denied`, `ALLOWED` or `skipped: WHY`, and what the kernel said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) result: String,
    pub(crate) detail: String,
}

/// The outcomes that a run printed.
#[track_caller]
pub(crate) fn outcomes(printed: &[u8]) -> BTreeMap<String, Found> {
    let text = String::from_utf8_lossy(printed);
    text.lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{line:?} is no outcome: {error}"));
            let field = |name: &str| line[name].as_str().unwrap().to_owned();
            (field("case"), Found { result: field("result"), detail: field("detail") })
        })
        .collect()
}

/// A host's things, all open to everyone, with a victim.
pub(crate) struct Rig {
    dir: TempDir,
    victim: Child,
    told: Value,
    _socket: UnixListener,
}

impl Rig {
    #[track_caller]
    pub(crate) fn new(user: Option<u32>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let open = |path: &Path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        };
        open(dir.path());
        for name in ["state", "neighbour", "own"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            open(&dir.path().join(name));
        }
        for name in ["state/lock", "neighbour/secret", "config"] {
            fs::write(dir.path().join(name), "secret").unwrap();
            open(&dir.path().join(name));
        }
        let socket = UnixListener::bind(dir.path().join("socket")).unwrap();
        open(&dir.path().join("socket"));
        let mut victim = hostile(user)
            .arg("victim")
            .arg("--dir")
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(victim.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told = serde_json::from_str(&line).expect("the victim tells where it is");
        Self { dir, victim, told, _socket: socket }
    }

    /// The arguments that aim at this host. Nothing leaves it: what is meant for others goes to the
    /// victim's own listener.
    pub(crate) fn targets(&self) -> Vec<String> {
        let told = |name: &str| match &self.told[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        [
            ("--victim-pid", told("pid")),
            ("--victim-address", told("address")),
            ("--listener", told("listener")),
            ("--metadata", told("listener")),
            ("--outside", told("listener")),
            ("--abstract-socket", told("abstract_socket")),
            ("--shm-key", told("shm_key")),
            ("--mq-name", told("mq_name")),
            ("--outside-dir", told("outside_dir")),
            ("--setuid-program", told("setuid_program")),
            ("--control-socket", path("socket")),
            ("--state-dir", path("state")),
            ("--config", path("config")),
            ("--neighbour-dir", path("neighbour")),
        ]
        .into_iter()
        .flat_map(|(option, value)| [option.to_owned(), value])
        .collect()
    }

    /// A command that attacks with `case`, as a user.
    pub(crate) fn attack(&self, case: &str, user: Option<u32>) -> Command {
        let mut command = hostile(user);
        command.args(["attack", case]).args(self.targets());
        command.env("TMPDIR", self.dir.path().join("own")).current_dir(self.dir.path().join("own"));
        command
    }

    #[track_caller]
    pub(crate) fn attack_all(&self, user: Option<u32>) -> BTreeMap<String, Found> {
        let output = self.attack("all", user).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        outcomes(&output.stdout)
    }

    /// Ends the victim; gives whether everything that it made is gone.
    pub(crate) fn ends_clean(mut self) -> bool {
        drop(self.victim.stdin.take());
        self.victim.wait().unwrap().success()
            && !self.dir.path().join("outside").exists()
            && !self.dir.path().join("setuid").exists()
            && fs::read_dir(self.dir.path().join("own")).unwrap().next().is_none()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(self.victim.stdin.take());
        let _ = self.victim.wait();
    }
}
