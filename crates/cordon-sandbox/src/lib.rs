//! Starts connector processes under limits, ends them whole, and says what they died of.
//!
//! A connector is hostile until shown otherwise. [`Launcher`] starts it through `cordon-jail`, a
//! small single-threaded program that restricts itself and then becomes the connector, because code
//! between fork and exec in a threaded supervisor is slow (fork copies its page tables) and
//! unsound. What was applied, and what this host could not give, is in the [`JailReport`] of every
//! start. [`Killer`] ends the whole tree, and [`Death`] tells the cause as the kernel recorded it.
//!
//! Left out: restart policy and deadlines, and the far ends of [`Relay`]s, which are the
//! supervisor's.

mod cgroup;
mod death;
mod egress;
mod host;
#[doc(hidden)]
pub mod jail;
mod jailed;
mod keeper;
mod launcher;
mod lineage;
mod plan;
mod private_dir;
mod program;
mod report;
mod spec;
mod sweep;
mod tree;
mod trial;
mod weight;

pub use death::{Death, DeathCause, KillReason};
pub use egress::{Destination, DestinationError, Relay};
pub use host::{Host, HostItem};
pub use jailed::{Jailed, Killer};
pub use launcher::{Launcher, SpawnError};
pub use lineage::{become_subreaper, is_connector};
pub use report::{ItemState, JailItem, JailReport, Level, Step};
pub use spec::{CgroupParent, LaunchSpec, Limits, Network, RunAs, SpecError, View};
pub use sweep::{Swept, sweep_leftovers};
pub use weight::{LITTLE_PERCENT, Weight, weigh};
