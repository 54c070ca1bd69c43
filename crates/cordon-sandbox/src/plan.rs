//! What passes between the supervisor and `cordon-jail` on the control socket.
//!
//! The supervisor writes one [`JailPlan`] and closes its half; the program's sealed bytes go as a
//! descriptor with the first byte. The launcher answers with one [`JailWord`] a line, and listening
//! sockets go with an empty one. Its end closes by itself at exec, so the end of the stream after
//! `Ready` is the proof that the program was executed.

use std::{collections::BTreeSet, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    report::{JailItem, Step},
    spec::{Limits, Network, View},
};

/// The descriptor on which the connector finds its channel.
pub(crate) const CHANNEL_FD: i32 = 3;

/// More than any plan or answer needs; what is longer is not read to its end.
pub(crate) const WORD_BYTES_MAX: u64 = 1 << 20;

/// What the launcher is to do to itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JailPlan {
    /// Whose child the launcher must still be when it asks to die with its parent.
    pub(crate) supervisor_pid: u32,
    pub(crate) program: PathBuf,
    /// Whether it is a script, which runs from its path and not from the sealed bytes.
    pub(crate) script: bool,
    pub(crate) args: Vec<String>,
    /// The whole environment of the program.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) private_dir: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) identity: Option<Identity>,
    /// The groups to join: the step, and the `cgroup.procs` file.
    pub(crate) groups: Vec<(Step, PathBuf)>,
    pub(crate) mark: u32,
    pub(crate) view: View,
    pub(crate) hide: Vec<PathBuf>,
    pub(crate) network: Network,
    /// Whether ports of its own loopback are open to its own processes.
    pub(crate) loopback: bool,
    /// Steps without which the program must not run, beside those that every start needs.
    pub(crate) require: BTreeSet<Step>,
}

/// The user and group to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// What the launcher says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub(crate) enum JailWord {
    /// The connector is this process; who says it is its guard.
    Child { pid: u32 },
    /// Everything required is in force; the program is executed next.
    Ready { uid: u32, gid: u32, items: Vec<JailItem> },
    /// A required step failed, and the program was not executed.
    Failed { step: Step, errno: i32, detail: String, items: Vec<JailItem> },
}
