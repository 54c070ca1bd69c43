//! The ordered list of what the launcher does to itself.
//!
//! The order carries meaning: limits and groups while there is still the right to set them;
//! namespaces, with that of processes last, because it begins with a child that goes on from there;
//! the view in that child, whose processes it shows; then the user, capabilities after the user, the
//! parent-death signal after both, because changing the user clears it; and the filter of system
//! calls last, because the steps before it use some that it refuses.

use std::io;

use rustix::process::Resource;

use super::{guard, landlock, namespaces, network, seccomp, steps, task::Task, view};
use crate::report::{ItemState, JailItem, Step};

/// Why a step could not be done.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) errno: i32,
    pub(super) detail: String,
}

impl Failure {
    pub(super) fn new(error: &io::Error, detail: impl Into<String>) -> Self {
        Self { errno: error.raw_os_error().unwrap_or(libc::EINVAL), detail: detail.into() }
    }
}

/// What a step came to, when it did not fail.
pub(super) struct Done {
    state: ItemState,
    errno: Option<i32>,
    detail: String,
    asked: Option<u64>,
    in_force: Option<u64>,
}

impl Done {
    pub(super) fn new(state: ItemState) -> Self {
        Self { state, errno: None, detail: String::new(), asked: None, in_force: None }
    }

    pub(super) fn applied() -> Self {
        Self::new(ItemState::Applied)
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    pub(super) fn errno(mut self, errno: i32) -> Self {
        self.errno = Some(errno);
        self
    }

    pub(super) fn values(mut self, asked: Option<u64>, in_force: Option<u64>) -> Self {
        self.asked = asked;
        self.in_force = in_force;
        self
    }
}

/// Whether the program may be executed without a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Required,
    /// Reported when refused; what a policy makes of that is the supervisor's.
    Reported,
}

struct Rung {
    step: Step,
    need: Need,
    climb: fn(&Task) -> Result<Done, Failure>,
}

const fn rung(step: Step, need: Need, climb: fn(&Task) -> Result<Done, Failure>) -> Rung {
    Rung { step, need, climb }
}

static LADDER: &[Rung] = &[
    rung(Step::Session, Need::Required, |_| steps::session()),
    rung(Step::Signals, Need::Required, |_| steps::signals()),
    rung(Step::OomScore, Need::Reported, |_| steps::oom_score()),
    rung(Step::GroupMemory, Need::Reported, |task| steps::join(task, Step::GroupMemory)),
    rung(Step::GroupTasks, Need::Reported, |task| steps::join(task, Step::GroupTasks)),
    rung(Step::GroupCpu, Need::Reported, |task| steps::join(task, Step::GroupCpu)),
    rung(Step::GroupKill, Need::Reported, |task| steps::join(task, Step::GroupKill)),
    rung(Step::Lineage, Need::Reported, steps::lineage),
    rung(Step::LimitFiles, Need::Required, |task| {
        steps::limit(Resource::Nofile, Some(task.plan.limits.files), 0)
    }),
    rung(Step::LimitCore, Need::Required, |_| steps::limit(Resource::Core, Some(0), 0)),
    rung(Step::LimitFileSize, Need::Required, |task| {
        steps::limit(Resource::Fsize, task.plan.limits.file_size_bytes, 0)
    }),
    // At the soft limit comes a signal that names the cause, at the hard one only SIGKILL.
    rung(Step::LimitCpuTime, Need::Required, |task| {
        steps::limit(Resource::Cpu, task.plan.limits.cpu_seconds, 5)
    }),
    rung(Step::LimitAddressSpace, Need::Required, |task| {
        steps::limit(Resource::As, task.plan.limits.address_space_bytes, 0)
    }),
    rung(Step::LimitProcesses, Need::Reported, steps::limit_processes),
    rung(Step::UserNamespace, Need::Reported, namespaces::user),
    rung(Step::MountNamespace, Need::Reported, namespaces::mount),
    rung(Step::IpcNamespace, Need::Reported, namespaces::ipc),
    rung(Step::UtsNamespace, Need::Reported, namespaces::uts),
    rung(Step::NetworkNamespace, Need::Reported, namespaces::network),
    rung(Step::Relays, Need::Reported, network::relays),
    rung(Step::PidNamespace, Need::Reported, guard::pid_namespace),
    rung(Step::View, Need::Required, view::make),
    rung(Step::BoundingSet, Need::Reported, |_| steps::bounding_set()),
    rung(Step::Identity, Need::Required, steps::identity),
    rung(Step::Capabilities, Need::Required, |_| steps::capabilities()),
    rung(Step::NoNewPrivs, Need::Required, |_| steps::no_new_privs()),
    rung(Step::NonDumpable, Need::Required, |_| steps::non_dumpable()),
    rung(Step::WorkingDir, Need::Required, steps::working_dir),
    rung(Step::ParentDeath, Need::Required, steps::parent_death),
    rung(Step::LandlockFiles, Need::Reported, landlock::files),
    rung(Step::LandlockPorts, Need::Reported, landlock::ports),
    rung(Step::LandlockScope, Need::Reported, landlock::scope),
    rung(Step::Seccomp, Need::Required, seccomp::install),
];

/// Takes every step in order, adding what became of it to `items`. Stops at the first required one
/// that fails, or that policy requires and that is not in force.
pub(super) fn climb(task: &Task, items: &mut Vec<JailItem>) -> Result<(), (Step, Failure)> {
    for Rung { step, need, climb } in LADDER {
        let demanded = task.plan.require.contains(step);
        let required = *need == Need::Required || demanded;
        match climb(task) {
            Ok(Done { state, errno, detail, asked, in_force }) => {
                items.push(
                    JailItem::new(*step, required, state)
                        .errno(errno)
                        .detail(detail.clone())
                        .values(asked, in_force),
                );
                if demanded && state != ItemState::Applied {
                    let detail = format!("required, but {}: {detail}", state.as_str());
                    let errno = errno.unwrap_or(libc::EOPNOTSUPP);
                    return Err((*step, Failure { errno, detail }));
                }
            }
            Err(failure) => {
                items.push(
                    JailItem::new(*step, required, ItemState::Refused)
                        .errno(Some(failure.errno))
                        .detail(failure.detail.clone()),
                );
                if required {
                    return Err((*step, failure));
                }
            }
        }
    }
    Ok(())
}
