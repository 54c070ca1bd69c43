//! The jail report: what was asked of each start, and what is in force.
//!
//! Nothing is dropped quietly: a step that this host cannot give is in the report with its reason,
//! so that a policy can refuse it and a sync's record can say under which isolation its data was
//! read.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Which rung of the isolation ladder an item belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// The process itself. Every Linux gives it; a start without it fails.
    L0,
    /// Resources of the whole tree, and its end.
    L1,
    /// A user of its own.
    L2,
    /// A view of its own: files, processes, system calls.
    L3,
    /// A network of its own.
    L4,
}

impl Level {
    /// Its name in reports and configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::L0 => "L0",
            Self::L1 => "L1",
            Self::L2 => "L2",
            Self::L3 => "L3",
            Self::L4 => "L4",
        }
    }
}

/// One thing that a start does, in the order in which they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A directory only for this start.
    PrivateDir,
    /// Limit on the tree's memory.
    LimitMemory,
    /// Limit on the tree's tasks.
    LimitTasks,
    /// Limit on the tree's processor time.
    LimitCpu,
    /// Every descriptor but the channel, the log and the null device closed.
    Descriptors,
    /// A session without a terminal.
    Session,
    /// Every signal at its default and unblocked.
    Signals,
    /// First to be chosen when the host runs out of memory.
    OomScore,
    /// Joined the group that counts memory.
    GroupMemory,
    /// Joined the group that counts tasks.
    GroupTasks,
    /// Joined the group that counts processor time.
    GroupCpu,
    /// Joined the group by which the tree is ended.
    GroupKill,
    /// A mark that all descendants inherit, to find them where there is no group.
    Lineage,
    /// Limit on open descriptors.
    LimitFiles,
    /// No core dumps.
    LimitCore,
    /// Limit on the size of a file.
    LimitFileSize,
    /// Limit on a process's processor time.
    LimitCpuTime,
    /// Limit on a process's address space.
    LimitAddressSpace,
    /// Limit on the processes of a user of its own, where the tree's tasks cannot be counted.
    LimitProcesses,
    /// Root over its own namespaces alone, where the supervisor is not root.
    UserNamespace,
    /// Mounts of its own.
    MountNamespace,
    /// Message queues and shared memory of its own.
    IpcNamespace,
    /// A host name of its own.
    UtsNamespace,
    /// A network of its own, in which there is nothing.
    NetworkNamespace,
    /// The places that it may connect to, listening in its own network.
    Relays,
    /// Sees no process but its own, and all of them end with its first.
    PidNamespace,
    /// A root directory that shows what it may read, a small scratch space, its own processes.
    View,
    /// No capability can be gained by executing a program.
    BoundingSet,
    /// A user and group of its own, without supplementary groups.
    Identity,
    /// No capability is held.
    Capabilities,
    /// No program it executes can gain privileges.
    NoNewPrivs,
    /// Not readable by processes of the same user, until exec.
    NonDumpable,
    /// The private directory is the working directory.
    WorkingDir,
    /// Dies with its supervisor.
    ParentDeath,
    /// Landlock: files beyond its view cannot be opened.
    LandlockFiles,
    /// Landlock: TCP ports that it was not given cannot be used.
    LandlockPorts,
    /// Landlock: no signal and no abstract socket reaches beyond it.
    LandlockScope,
    /// System calls that no connector needs are refused.
    Seccomp,
    /// Becomes the program.
    Exec,
}

/// Every step with its name and its rung, in the order in which a start takes them.
const STEPS: &[(Step, &str, Level)] = &[
    (Step::PrivateDir, "private_dir", Level::L0),
    (Step::LimitMemory, "limit_memory", Level::L1),
    (Step::LimitTasks, "limit_tasks", Level::L1),
    (Step::LimitCpu, "limit_cpu", Level::L1),
    (Step::Descriptors, "descriptors", Level::L0),
    (Step::Session, "session", Level::L0),
    (Step::Signals, "signals", Level::L0),
    (Step::OomScore, "oom_score", Level::L0),
    (Step::GroupMemory, "group_memory", Level::L1),
    (Step::GroupTasks, "group_tasks", Level::L1),
    (Step::GroupCpu, "group_cpu", Level::L1),
    (Step::GroupKill, "group_kill", Level::L1),
    (Step::Lineage, "lineage", Level::L0),
    (Step::LimitFiles, "limit_files", Level::L0),
    (Step::LimitCore, "limit_core", Level::L0),
    (Step::LimitFileSize, "limit_file_size", Level::L0),
    (Step::LimitCpuTime, "limit_cpu_time", Level::L0),
    (Step::LimitAddressSpace, "limit_address_space", Level::L0),
    (Step::LimitProcesses, "limit_processes", Level::L2),
    (Step::UserNamespace, "user_namespace", Level::L3),
    (Step::MountNamespace, "mount_namespace", Level::L3),
    (Step::IpcNamespace, "ipc_namespace", Level::L3),
    (Step::UtsNamespace, "uts_namespace", Level::L3),
    (Step::NetworkNamespace, "network_namespace", Level::L4),
    (Step::Relays, "relays", Level::L4),
    (Step::PidNamespace, "pid_namespace", Level::L3),
    (Step::View, "view", Level::L3),
    (Step::BoundingSet, "bounding_set", Level::L0),
    (Step::Identity, "identity", Level::L2),
    (Step::Capabilities, "capabilities", Level::L0),
    (Step::NoNewPrivs, "no_new_privs", Level::L0),
    (Step::NonDumpable, "non_dumpable", Level::L0),
    (Step::WorkingDir, "working_dir", Level::L0),
    (Step::ParentDeath, "parent_death", Level::L0),
    (Step::LandlockFiles, "landlock_files", Level::L3),
    (Step::LandlockPorts, "landlock_ports", Level::L3),
    (Step::LandlockScope, "landlock_scope", Level::L3),
    (Step::Seccomp, "seccomp", Level::L0),
    (Step::Exec, "exec", Level::L0),
];

impl Step {
    /// Every step, in the order in which a start takes them.
    pub fn all() -> impl Iterator<Item = Self> {
        STEPS.iter().map(|(step, ..)| *step)
    }

    /// The step of that name.
    pub fn named(name: &str) -> Option<Self> {
        STEPS.iter().find(|(_, known, _)| *known == name).map(|(step, ..)| *step)
    }

    /// Which rung of the ladder it belongs to.
    pub fn level(self) -> Level {
        self.row().2
    }

    /// Its name in reports, logs and errors.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    fn row(self) -> (Self, &'static str, Level) {
        // A test holds that every step is in the table.
        STEPS.iter().find(|(step, ..)| *step == self).copied().unwrap_or((self, "?", Level::L0))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What became of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemState {
    /// In force.
    Applied,
    /// The spec does not ask for it.
    NotAsked,
    /// Asked for, and the kernel refused.
    Refused,
    /// Asked for, and this host has no means to give it.
    Unavailable,
}

impl ItemState {
    /// The state in one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::NotAsked => "not-asked",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}

/// One step of one start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JailItem {
    /// Which step.
    pub step: Step,
    /// Which rung of the ladder it belongs to.
    pub level: Level,
    /// Whether the start fails without it.
    pub required: bool,
    /// What became of it.
    pub state: ItemState,
    /// The value that the spec asks for, for limits.
    pub asked: Option<u64>,
    /// The value read back from the kernel, for limits.
    pub in_force: Option<u64>,
    /// The kernel's error number, when refused.
    pub errno: Option<i32>,
    /// What there is to know beyond the state; may be empty.
    pub detail: String,
}

impl JailItem {
    pub(crate) fn new(step: Step, required: bool, state: ItemState) -> Self {
        Self {
            step,
            level: step.level(),
            required,
            state,
            asked: None,
            in_force: None,
            errno: None,
            detail: String::new(),
        }
    }

    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    pub(crate) fn values(mut self, asked: Option<u64>, in_force: Option<u64>) -> Self {
        self.asked = asked;
        self.in_force = in_force;
        self
    }

    pub(crate) fn errno(mut self, errno: Option<i32>) -> Self {
        self.errno = errno;
        self
    }

    fn in_words(&self) -> String {
        match self.in_force {
            Some(value) => format!("{} {value}", self.state.as_str()),
            None => self.state.as_str().to_owned(),
        }
    }
}

/// Under which isolation one start runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JailReport {
    /// Name of the connector.
    pub name: String,
    /// Process id of this start.
    pub pid: u32,
    /// User it runs as.
    pub uid: u32,
    /// Group it runs as.
    pub gid: u32,
    /// What was executed.
    pub program: PathBuf,
    /// BLAKE3 of the program's bytes in hex. They were copied to sealed memory and are what was
    /// executed, unless the program is a script.
    pub program_digest: String,
    /// BLAKE3 in hex of the interpreter that a script names, by its path.
    pub interpreter: Option<(PathBuf, String)>,
    /// BLAKE3 in hex of the system call filter.
    pub seccomp_digest: String,
    /// How the connector is spoken to: `socketpair`.
    pub channel: String,
    /// Its private directory.
    pub private_dir: PathBuf,
    /// Its groups, one in each hierarchy that is used.
    pub cgroups: Vec<PathBuf>,
    /// Each step with what became of it.
    pub items: Vec<JailItem>,
}

impl JailReport {
    /// What became of `step`, if it was reached.
    pub fn item(&self, step: Step) -> Option<&JailItem> {
        self.items.iter().find(|item| item.step == step)
    }

    /// BLAKE3 of the report in hex, by which a sync's record names it.
    pub fn digest(&self) -> String {
        // A report is plain data, which always has a JSON form.
        let text = serde_json::to_vec(self).unwrap_or_default();
        blake3::hash(&text).to_hex().to_string()
    }

    /// Every step that was asked for, with its state in one word, and the value of a limit that is in
    /// force.
    pub fn in_words(&self) -> BTreeMap<String, String> {
        let asked = self.items.iter().filter(|item| item.state != ItemState::NotAsked);
        asked.map(|item| (item.step.name().to_owned(), item.in_words())).collect()
    }

    /// What was asked for and is not in force.
    pub fn missing(&self) -> impl Iterator<Item = &JailItem> {
        self.items
            .iter()
            .filter(|item| matches!(item.state, ItemState::Refused | ItemState::Unavailable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_in_the_table_once_and_found_by_its_name() {
        // The last variant's number is the count of those before it.
        assert_eq!(STEPS.len(), Step::Exec as usize + 1);
        for step in Step::all() {
            assert_eq!(Step::named(step.name()), Some(step));
        }
        assert_eq!(Step::named("?"), None);
    }
}
