//! What attacks are aimed at: things of the host that are known to exist, given by whoever runs us.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Outcome;

#[derive(clap::Args)]
pub(crate) struct Targets {
    /// Process whose secrets are wanted
    #[arg(long, value_name = "PID")]
    pub(super) victim_pid: Option<i32>,
    /// Where in its memory a secret begins
    #[arg(long, value_name = "ADDRESS", default_value_t = 0)]
    pub(super) victim_address: u64,
    /// Control socket of the supervisor
    #[arg(long, value_name = "PATH")]
    pub(super) control_socket: Option<PathBuf>,
    /// State directory of the supervisor
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// Configuration of the supervisor
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Private directory of another connector
    #[arg(long, value_name = "DIR")]
    pub(super) neighbour_dir: Option<PathBuf>,
    /// Directory of the host that everyone may write to
    #[arg(long, value_name = "DIR")]
    pub(super) outside_dir: Option<PathBuf>,
    /// TCP listener on the host's loopback
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) listener: Option<SocketAddr>,
    /// Name of an abstract socket of the host
    #[arg(long, value_name = "NAME")]
    pub(super) abstract_socket: Option<String>,
    /// Key of a shared memory segment of the host
    #[arg(long, value_name = "KEY")]
    pub(super) shm_key: Option<i32>,
    /// Name of a message queue of the host
    #[arg(long, value_name = "/NAME")]
    pub(super) mq_name: Option<String>,
    /// Program of the host that runs with its owner's rights
    #[arg(long, value_name = "FILE")]
    pub(super) setuid_program: Option<PathBuf>,
    /// Where clouds answer questions about the host
    #[arg(long, value_name = "HOST:PORT", default_value = "169.254.169.254:80")]
    pub(super) metadata: SocketAddr,
    /// An address that is not on this host; by default one that is kept for documentation
    #[arg(long, value_name = "HOST:PORT", default_value = "192.0.2.53:53")]
    pub(super) outside: SocketAddr,
}

/// A target that is there, or the outcome of a case that lacks it.
pub(super) fn given<'a, T>(target: &'a Option<T>, option: &str) -> Result<&'a T, Outcome> {
    target.as_ref().ok_or_else(|| Outcome::skipped(format!("no --{option} was given")))
}

impl Targets {
    /// The victim's number, unless the number is one of ours here. Then there is a process table of
    /// our own in between, in which the victim has no number at all.
    pub(super) fn victim(&self) -> Result<i32, Outcome> {
        let pid = *given(&self.victim_pid, "victim-pid")?;
        let ours = [nix::unistd::getpid(), nix::unistd::getppid()];
        if ours.iter().any(|own| own.as_raw() == pid) {
            return Err(Outcome::Denied(format!("process {pid} is this program itself here")));
        }
        Ok(pid)
    }
}
