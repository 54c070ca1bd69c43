//! The jail report: what was asked of each start, and what is in force.
//!
//! Nothing is dropped quietly: a step that this host cannot give is in the report with its reason,
//! so that a policy can refuse it and a sync's record can say under which isolation its data was
//! read.

use std::{fmt, path::PathBuf};

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
    /// Becomes the program.
    Exec,
}

impl Step {
    /// Which rung of the ladder it belongs to.
    pub fn level(self) -> Level {
        match self {
            Self::LimitMemory | Self::LimitTasks | Self::LimitCpu => Level::L1,
            Self::GroupMemory | Self::GroupTasks | Self::GroupCpu | Self::GroupKill => Level::L1,
            Self::Identity => Level::L2,
            _ => Level::L0,
        }
    }

    /// Its name in reports, logs and errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrivateDir => "private_dir",
            Self::LimitMemory => "limit_memory",
            Self::LimitTasks => "limit_tasks",
            Self::LimitCpu => "limit_cpu",
            Self::Descriptors => "descriptors",
            Self::Session => "session",
            Self::Signals => "signals",
            Self::OomScore => "oom_score",
            Self::GroupMemory => "group_memory",
            Self::GroupTasks => "group_tasks",
            Self::GroupCpu => "group_cpu",
            Self::GroupKill => "group_kill",
            Self::Lineage => "lineage",
            Self::LimitFiles => "limit_files",
            Self::LimitCore => "limit_core",
            Self::LimitFileSize => "limit_file_size",
            Self::LimitCpuTime => "limit_cpu_time",
            Self::LimitAddressSpace => "limit_address_space",
            Self::BoundingSet => "bounding_set",
            Self::Identity => "identity",
            Self::Capabilities => "capabilities",
            Self::NoNewPrivs => "no_new_privs",
            Self::NonDumpable => "non_dumpable",
            Self::WorkingDir => "working_dir",
            Self::ParentDeath => "parent_death",
            Self::Exec => "exec",
        }
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
    /// Digest of the program; the caller's to fill, who pins it.
    pub program_digest: Option<String>,
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

    /// What was asked for and is not in force.
    pub fn missing(&self) -> impl Iterator<Item = &JailItem> {
        self.items
            .iter()
            .filter(|item| matches!(item.state, ItemState::Refused | ItemState::Unavailable))
    }
}
