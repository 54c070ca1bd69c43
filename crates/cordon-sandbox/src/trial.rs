//! Tries the walls of this host by building them once.
//!
//! A setting says that something is allowed, a version that it exists; whether a start gets it only
//! a start tells. So a harmless program is started behind all walls there are, and its report is
//! what `cordon doctor` shows.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{
    host::HostItem,
    launcher::{Launcher, SpawnError},
    report::{ItemState, JailItem, Step},
    spec::{CgroupParent, LaunchSpec, Limits, Network, RunAs, View},
};

/// A wall, what a connector can do without it, and what an operator can do about that.
const WALLS: [(Step, &str, &str); 11] = [
    (Step::MountNamespace, "connectors see the host's files as their user may", NAMESPACES),
    (Step::IpcNamespace, "connectors share message queues and memory with the host", NAMESPACES),
    (Step::UtsNamespace, "connectors see the host's name", NAMESPACES),
    (Step::PidNamespace, "connectors see and signal other processes of their user", NAMESPACES),
    (Step::View, "connectors see the host's files as their user may", "run Linux 5.12 or newer"),
    (Step::NetworkNamespace, "connectors reach whatever the host reaches", NAMESPACES),
    (Step::Relays, "connectors cannot be given single places to connect to", NAMESPACES),
    (Step::LandlockFiles, "the view is the only wall around files", "run Linux 5.13 or newer"),
    (Step::LandlockPorts, "the network is the only wall around ports", "run Linux 6.7 or newer"),
    (
        Step::LandlockScope,
        "the process table is the only wall around signals",
        "run Linux 6.12 or newer",
    ),
    (Step::Seccomp, "connectors cannot be started", "run a kernel with CONFIG_SECCOMP_FILTER"),
];

const NAMESPACES: &str = "run the supervisor as root, or allow unprivileged user namespaces";

impl Launcher {
    /// Starts a program behind every wall, and tells which of them stood. `run_as` is whom
    /// connectors run as here.
    ///
    /// # Errors
    /// When the start failed; the error names the step.
    pub async fn try_walls(
        &self,
        work_root: &Path,
        cgroup: CgroupParent,
        run_as: RunAs,
    ) -> Result<Vec<HostItem>, SpawnError> {
        let spec = LaunchSpec {
            name: "trial".to_owned(),
            // It ends at once, for want of a plan.
            program: self.jail_program().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            limits: Limits::default(),
            run_as,
            work_root: work_root.to_owned(),
            cgroup,
            view: View::Only(Vec::<PathBuf>::new()),
            hide: Vec::new(),
            network: Network::Only(Vec::new()),
            loopback: false,
            pin: None,
            require: BTreeSet::new(),
        };
        let mut jailed = self.spawn(spec).await?;
        jailed.wait().await;
        let report = jailed.report();
        let told = |(step, effect, fix): &(Step, &str, &str)| {
            Some(host_item(report.item(*step)?, effect, fix))
        };
        Ok(WALLS.iter().filter_map(told).collect())
    }
}

fn host_item(item: &JailItem, effect: &str, fix: &str) -> HostItem {
    let available = item.state == ItemState::Applied;
    let detail = match item.errno {
        Some(errno) => {
            format!("{} ({})", item.detail, std::io::Error::from_raw_os_error(errno))
        }
        None if item.detail.is_empty() => item.state.as_str().to_owned(),
        None => item.detail.clone(),
    };
    HostItem {
        name: item.step.name().to_owned(),
        available,
        detail,
        effect_if_missing: effect.to_owned(),
        fix: fix.to_owned(),
    }
}
