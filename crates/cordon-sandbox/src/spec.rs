//! What a connector is to be started with.
//!
//! A spec comes from configuration, so it is checked before anything is made for it: its name
//! becomes part of paths, and a program given by a relative path would be looked up in the private
//! directory.

use std::{collections::BTreeSet, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{egress::Destination, report::Step};

const NAME_BYTES_MAX: usize = 64;

/// Variables that the launcher sets; a spec may not set them too.
const RESERVED_VARIABLES: [&str; 3] = ["CORDON_FD", "TMPDIR", "HOME"];

/// How much of the host a connector may use. `None` asks for no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Memory of the whole tree, page cache included; needs a cgroup.
    pub memory_bytes: Option<u64>,
    /// Processor time of the whole tree in percent of one core; needs a cgroup.
    pub cpu_percent: Option<u32>,
    /// Processes and threads of the whole tree; needs a cgroup.
    pub tasks: Option<u32>,
    /// Open descriptors of each process.
    pub files: u64,
    /// Size of each file it writes.
    pub file_size_bytes: Option<u64>,
    /// Processor time of each process over its whole life.
    pub cpu_seconds: Option<u64>,
    /// Address space of each process. Runtimes that reserve much more than they use break under it.
    pub address_space_bytes: Option<u64>,
    /// What it may store in its private directory; needs a view of its own.
    pub scratch_bytes: u64,
    /// Files and directories that it may make there; needs a view of its own.
    pub scratch_files: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: None,
            cpu_percent: None,
            tasks: None,
            files: 256,
            file_size_bytes: None,
            cpu_seconds: None,
            address_space_bytes: None,
            scratch_bytes: 64 << 20,
            scratch_files: 10_000,
        }
    }
}

/// Which user the connector runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunAs {
    /// The supervisor's own user.
    Same,
    /// This user and group, without supplementary groups. Needs a supervisor that runs as root.
    Own {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
}

/// What the connector's own groups are called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CgroupParent {
    /// No group of its own.
    None,
    /// `<prefix of the host>.<tag>.<connector>-<number>`. The tag names the state directory, so
    /// that two supervisors on one host never sweep each other's groups.
    Tag(String),
}

/// How much of the host's file system a connector sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// All of it, as its user may use it, in the host's own namespaces.
    Shared,
    /// All of it, read-only, but for what is hidden; in namespaces of its own.
    ReadOnly,
    /// The host's libraries, what programs need to run, and these files and directories, read-only;
    /// in namespaces of its own.
    Only(Vec<PathBuf>),
}

/// Where a connector may connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Wherever the host may.
    Host,
    /// These places alone, through the supervisor; see [`Relay`](crate::Relay).
    Only(Vec<Destination>),
}

/// Everything needed to start one connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchSpec {
    /// Name of the connector; part of its group's and directory's name.
    pub name: String,
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Arguments after the program's own name.
    pub args: Vec<String>,
    /// Environment beside `CORDON_FD`, `TMPDIR`, `HOME` and `LANG`.
    pub env: Vec<(String, String)>,
    /// How much it may use.
    pub limits: Limits,
    /// Which user it runs as.
    pub run_as: RunAs,
    /// Absolute path of the directory below which its private directory is made.
    pub work_root: PathBuf,
    /// Below which group its own groups are made.
    pub cgroup: CgroupParent,
    /// What it sees of the host's files.
    pub view: View,
    /// Directories that it must not see whatever its view shows, such as the state directory.
    pub hide: Vec<PathBuf>,
    /// Where it may connect to.
    pub network: Network,
    /// Whether its processes may speak TCP with each other on the loopback of their own network.
    pub loopback: bool,
    /// BLAKE3 of the program in hex; another program is not started.
    pub pin: Option<String>,
    /// Steps without which the program must not run, beside those that every start needs.
    pub require: BTreeSet<Step>,
}

/// Most destinations that one connector may have; their sockets travel in one message.
const DESTINATIONS_MAX: usize = 64;

/// Why a [`LaunchSpec`] cannot be started anywhere.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The name or tag cannot be part of a path.
    #[error(
        "{what} {text:?} must be 1 to {NAME_BYTES_MAX} of a-z, A-Z, 0-9, `-`, `_` and `.`, not starting with `.`"
    )]
    Name {
        /// `name` or `cgroup tag`.
        what: &'static str,
        /// What was given.
        text: String,
    },
    /// A path is relative.
    #[error("{what} {path} must be an absolute path")]
    Relative {
        /// `program` or `work root`.
        what: &'static str,
        /// What was given.
        path: PathBuf,
    },
    /// A path, argument or variable cannot be passed on.
    #[error("{what} must be UTF-8 without NUL bytes")]
    Unprintable {
        /// Which one.
        what: String,
    },
    /// A variable's name is empty, holds `=`, or is one that the launcher sets.
    #[error("environment variable {variable:?} cannot be set")]
    Variable {
        /// Its name.
        variable: String,
    },
    /// There are more destinations than a start can carry.
    #[error("{count} destinations are more than {DESTINATIONS_MAX}")]
    Destinations {
        /// How many there are.
        count: usize,
    },
    /// The loopback of the host's network is not the connector's own.
    #[error("a loopback of its own needs a restricted network")]
    LoopbackOfHost,
    /// A restricted network is resolved by a file that only a view of its own can have.
    #[error("a restricted network needs a view of its own")]
    NetworkWithoutView,
    /// A limit is too small for any process.
    #[error("limit `{limit}` is {value}, must be at least {min}")]
    Limit {
        /// Which limit.
        limit: &'static str,
        /// What was given.
        value: u64,
        /// The least that works.
        min: u64,
    },
}

impl LaunchSpec {
    /// Refuses what could not work on any host.
    pub(crate) fn check(&self) -> Result<(), SpecError> {
        check_name("name", &self.name)?;
        if let CgroupParent::Tag(tag) = &self.cgroup {
            check_name("cgroup tag", tag)?;
            // A dot ends it in the name of a group.
            if tag.contains('.') {
                return Err(SpecError::Name { what: "cgroup tag", text: tag.clone() });
            }
        }
        let read: &[PathBuf] = if let View::Only(read) = &self.view { read } else { &[] };
        let seen = read.iter().map(|path| ("readable path", path));
        let hidden = self.hide.iter().map(|path| ("hidden path", path));
        let own = [("program", &self.program), ("work root", &self.work_root)];
        for (what, path) in own.into_iter().chain(seen).chain(hidden) {
            if !path.is_absolute() {
                return Err(SpecError::Relative { what, path: path.clone() });
            }
            let plain = path.to_str().is_some_and(|text| !text.contains('\0'));
            if !plain {
                return Err(SpecError::Unprintable { what: what.to_owned() });
            }
        }
        if let Some(index) = self.args.iter().position(|arg| arg.contains('\0')) {
            return Err(SpecError::Unprintable { what: format!("argument {}", index + 1) });
        }
        for (variable, value) in &self.env {
            let named = !variable.is_empty() && !variable.contains(['=', '\0']);
            if !named || RESERVED_VARIABLES.contains(&variable.as_str()) {
                return Err(SpecError::Variable { variable: variable.clone() });
            }
            if value.contains('\0') {
                return Err(SpecError::Unprintable { what: format!("value of {variable}") });
            }
        }
        if let Network::Only(destinations) = &self.network {
            if self.view == View::Shared {
                return Err(SpecError::NetworkWithoutView);
            }
            if destinations.len() > DESTINATIONS_MAX {
                return Err(SpecError::Destinations { count: destinations.len() });
            }
        }
        if self.loopback && self.network == Network::Host {
            return Err(SpecError::LoopbackOfHost);
        }
        self.limits.check()
    }
}

impl Limits {
    fn check(&self) -> Result<(), SpecError> {
        // Below these a process cannot even be loaded: its page tables, its libraries' descriptors.
        let floors = [
            ("memory_bytes", self.memory_bytes, 1 << 20),
            ("cpu_percent", self.cpu_percent.map(u64::from), 1),
            ("tasks", self.tasks.map(u64::from), 1),
            ("files", Some(self.files), 16),
            ("file_size_bytes", self.file_size_bytes, 1),
            ("cpu_seconds", self.cpu_seconds, 1),
            ("address_space_bytes", self.address_space_bytes, 1 << 24),
            ("scratch_bytes", Some(self.scratch_bytes), 1 << 16),
            ("scratch_files", Some(self.scratch_files), 16),
        ];
        for (limit, value, min) in floors {
            if let Some(value) = value.filter(|value| *value < min) {
                return Err(SpecError::Limit { limit, value, min });
            }
        }
        Ok(())
    }
}

fn check_name(what: &'static str, text: &str) -> Result<(), SpecError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let good = !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && !text.starts_with('.')
        && text.bytes().all(plain);
    if good { Ok(()) } else { Err(SpecError::Name { what, text: text.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> LaunchSpec {
        LaunchSpec {
            name: "hr".into(),
            program: "/bin/true".into(),
            args: Vec::new(),
            env: Vec::new(),
            limits: Limits::default(),
            run_as: RunAs::Same,
            work_root: "/tmp".into(),
            cgroup: CgroupParent::None,
            view: View::Shared,
            hide: Vec::new(),
            network: Network::Host,
            loopback: false,
            pin: None,
            require: BTreeSet::new(),
        }
    }

    #[test]
    fn a_restricted_network_without_a_view_of_its_own_is_refused() {
        let refused = LaunchSpec { network: Network::Only(Vec::new()), ..spec() }.check();
        assert!(matches!(refused, Err(SpecError::NetworkWithoutView)));
        let one = Destination::parse("db.example:5432").unwrap();
        let network = Network::Only(vec![one; DESTINATIONS_MAX + 1]);
        let refused = LaunchSpec { loopback: true, ..spec() }.check();
        assert!(matches!(refused, Err(SpecError::LoopbackOfHost)));
        let refused = LaunchSpec { network, view: View::ReadOnly, ..spec() }.check();
        assert!(matches!(refused, Err(SpecError::Destinations { count: 65 })));
    }

    #[test]
    fn names_that_would_leave_their_directory_are_refused() {
        for name in ["", ".", "..", "../x", "a/b", "a b", "\u{e9}", &"x".repeat(65)] {
            let refused = LaunchSpec { name: name.into(), ..spec() }.check();
            assert!(matches!(refused, Err(SpecError::Name { .. })), "{name:?}");
        }
        spec().check().unwrap();
    }

    #[test]
    fn variables_that_the_launcher_sets_are_refused() {
        for name in ["CORDON_FD", "HOME", "TMPDIR", "", "A=B", "A\0"] {
            let env = vec![(name.to_owned(), "1".to_owned())];
            let refused = LaunchSpec { env, ..spec() }.check();
            assert!(matches!(refused, Err(SpecError::Variable { .. })), "{name:?}");
        }
    }

    #[test]
    fn relative_programs_and_limits_of_nothing_are_refused() {
        let relative = LaunchSpec { program: "true".into(), ..spec() }.check();
        assert!(matches!(relative, Err(SpecError::Relative { .. })));
        let limits = Limits { tasks: Some(0), ..Limits::default() };
        let refused = LaunchSpec { limits, ..spec() }.check().unwrap_err();
        assert_eq!(refused.to_string(), "limit `tasks` is 0, must be at least 1");
    }
}
