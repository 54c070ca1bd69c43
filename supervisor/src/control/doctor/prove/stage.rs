//! What is attacked: a victim outside the jail, and a directory as another connector has it.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail};
use cordon_sandbox::Network;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::STEP_TIMEOUT;
use crate::config::Config;

/// The victim ends by itself after so long, should we be gone.
const VICTIM_SECONDS: &str = "90";
/// Of the line in which the victim tells where it is.
const TOLD_BYTES_MAX: u64 = 4 << 10;

/// What the victim tells.
#[derive(Deserialize)]
struct Told {
    pid: u32,
    address: u64,
    listener: String,
    abstract_socket: String,
    shm_key: i32,
    mq_name: String,
    outside_dir: PathBuf,
    setuid_program: PathBuf,
}

/// Everything that is there only to be attacked.
pub(super) struct Stage {
    victim: Child,
    told: Told,
    dirs: Dirs,
}

/// Removed when dropped.
struct Dirs {
    /// Open to everyone on the host.
    open: PathBuf,
    /// Where private directories of connectors are, and as closed as they.
    neighbour: PathBuf,
}

impl Dirs {
    fn make(work_root: &Path) -> anyhow::Result<Self> {
        static STAGES: AtomicU64 = AtomicU64::new(1);
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        let name = format!("cordon-prove-{}-{number}", std::process::id());
        let dirs =
            Self { open: std::env::temp_dir().join(&name), neighbour: work_root.join(&name) };
        let make = |path: &Path, mode| -> anyhow::Result<()> {
            fs::DirBuilder::new()
                .mode(mode)
                .create(path)
                .with_context(|| format!("cannot make {}", path.display()))
        };
        if !work_root.is_dir() {
            fs::DirBuilder::new().recursive(true).mode(0o711).create(work_root)?;
        }
        make(&dirs.open, 0o755)?;
        make(&dirs.neighbour, 0o700)?;
        fs::write(dirs.neighbour.join("secret"), "another connector's")?;
        Ok(dirs)
    }
}

impl Drop for Dirs {
    fn drop(&mut self) {
        for dir in [&self.open, &self.neighbour] {
            if let Err(error) = fs::remove_dir_all(dir)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(dir = %dir.display(), %error, "a directory of a proof is left");
            }
        }
    }
}

impl Stage {
    /// Makes everything and waits until it is there.
    pub(super) async fn set(program: &Path, work_root: &Path) -> anyhow::Result<Self> {
        let dirs = Dirs::make(work_root)?;
        let mut victim = Command::new(program)
            .args(["victim", "--seconds", VICTIM_SECONDS, "--dir"])
            .arg(&dirs.open)
            .env_clear()
            .env("CORDON_PROVE_SECRET", "another connector's")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let (Some(output), Some(trouble)) = (victim.stdout.take(), victim.stderr.take()) else {
            bail!("the victim has no output");
        };
        let mut line = String::new();
        let mut output = BufReader::new(output.take(TOLD_BYTES_MAX));
        timeout(STEP_TIMEOUT, output.read_line(&mut line))
            .await
            .context("the victim is silent")??;
        if line.is_empty() {
            let mut why = String::new();
            let _ =
                timeout(STEP_TIMEOUT, trouble.take(TOLD_BYTES_MAX).read_to_string(&mut why)).await;
            bail!("the victim ended: {}", why.trim());
        }
        let told = serde_json::from_str(&line).context("the victim's words are not understood")?;
        Ok(Self { victim, told, dirs })
    }

    /// The arguments that aim an attack at it, and at us.
    ///
    /// Where no wall stands between it and the network, nothing is sent to strangers to show it: what
    /// stands for them is the victim's own listener.
    pub(super) fn targets(&self, config: &Config, network: &Network) -> Vec<String> {
        let shown = |path: &Path| path.display().to_string();
        let told = &self.told;
        let strangers: &[&str] = match network {
            Network::Host => &["--metadata", "--outside"],
            Network::Only(_) => &[],
        };
        let strangers = strangers.iter().map(|option| (*option, told.listener.clone()));
        [
            ("--victim-pid", told.pid.to_string()),
            ("--victim-address", told.address.to_string()),
            ("--listener", told.listener.clone()),
            ("--abstract-socket", told.abstract_socket.clone()),
            ("--shm-key", told.shm_key.to_string()),
            ("--mq-name", told.mq_name.clone()),
            ("--outside-dir", shown(&told.outside_dir)),
            ("--setuid-program", shown(&told.setuid_program)),
            ("--neighbour-dir", shown(&self.dirs.neighbour)),
            ("--control-socket", shown(&config.daemon.socket)),
            ("--state-dir", shown(&config.daemon.data_dir)),
            ("--config", shown(&config.path)),
        ]
        .into_iter()
        .chain(strangers)
        .flat_map(|(option, value)| [option.to_owned(), value])
        .collect()
    }

    /// Ends the victim, which removes what it made. Gives whether it lived until now.
    pub(super) async fn clear(&mut self) -> bool {
        let stood = matches!(self.victim.try_wait(), Ok(None));
        drop(self.victim.stdin.take());
        if timeout(STEP_TIMEOUT, self.victim.wait()).await.is_err() {
            let _ = self.victim.kill().await;
        }
        stood
    }
}
