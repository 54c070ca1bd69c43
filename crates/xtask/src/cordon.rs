//! A `cordond` of our own and the `cordon` command that asks it, as built in this workspace.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::run;

/// A socket's path has 107 bytes at most.
const SOCKET_BYTES_MAX: usize = 107;

/// From its start to its first answer, and from the order to stop to its end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a daemon that lives in a folder listens: there, unless the path would be too long.
pub(crate) fn socket_in(folder: &Path) -> PathBuf {
    let socket = folder.join("cordon.sock");
    if socket.as_os_str().len() <= SOCKET_BYTES_MAX {
        return socket;
    }
    std::env::temp_dir().join(format!("cordon-xtask-{}.sock", std::process::id()))
}

/// The command-line client, told where its daemon listens.
pub(crate) struct Cli {
    pub(crate) program: PathBuf,
    pub(crate) socket: PathBuf,
}

impl Cli {
    /// The JSON document that a command prints.
    pub(crate) fn document(&self, args: &[&str]) -> anyhow::Result<Value> {
        let text = run::output(self.command(args).args(["--output", "json"]))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("`cordon {}` did not print JSON", args.join(" ")))
    }

    /// The items of that document.
    pub(crate) fn items(&self, args: &[&str]) -> anyhow::Result<Vec<Value>> {
        let mut document = self.document(args)?;
        match document["items"].take() {
            Value::Array(items) => Ok(items),
            _ => bail!("`cordon {}` printed no items", args.join(" ")),
        }
    }

    /// The only item of that document.
    pub(crate) fn item(&self, args: &[&str]) -> anyhow::Result<Value> {
        let mut items = self.items(args)?;
        match (items.pop(), items.len()) {
            (Some(item), 0) => Ok(item),
            (_, others) => bail!("`cordon {}` printed {others} items, not 1", args.join(" ")),
        }
    }

    fn answers(&self) -> bool {
        let mut command = self.command(&["status"]);
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--socket").arg(&self.socket).args(args);
        // What the caller set for another daemon does not speak to ours.
        command.env_remove("CORDON_SOCKET").env_remove("CORDON_OUTPUT");
        command
    }
}

/// A running `cordond`. Dropped without [`Daemon::stop`], it is killed.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `cordond` and waits until it answers. What it logs goes to `log`.
    pub(crate) fn start(
        program: &Path,
        config: &Path,
        log: &Path,
        cli: &Cli,
    ) -> anyhow::Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot create {log:?}"))?;
        let child = Command::new(program)
            .args(["--dev", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {program:?}"))?;
        let mut daemon = Self { child, log: log.to_owned() };
        let begun = Instant::now();
        while !cli.answers() {
            if let Some(status) = daemon.child.try_wait()? {
                bail!("cordond ended with {status}; see {}", log.display());
            }
            if begun.elapsed() > PATIENCE {
                bail!("cordond did not answer in {PATIENCE:?}; see {}", log.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(daemon)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Orders it to stop and waits; fails unless it ends as if done.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).context("cannot stop cordond")?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    bail!("cordond ended with {status}; see {}", self.log.display())
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        bail!("cordond did not stop in {PATIENCE:?}; see {}", self.log.display())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
