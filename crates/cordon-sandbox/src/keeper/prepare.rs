//! What is made for a start before its process: directory, groups, sockets and the plan.

use std::{
    collections::BTreeSet,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net,
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::geteuid;
use tokio::net::{UnixStream, unix::pipe};

use super::end::remove_dir;
use crate::{
    cgroup::{GroupName, Groups},
    host::Host,
    launcher::SpawnError,
    lineage,
    plan::{CHANNEL_FD, Identity, JailPlan},
    private_dir,
    program::{Program, Programs},
    report::{ItemState, JailItem, Step},
    spec::{CgroupParent, LaunchSpec, RunAs},
};

/// Everything that a launcher is started with, and what stays here of it.
pub(super) struct Prepared {
    pub(super) plan: JailPlan,
    pub(super) program: Arc<Program>,
    pub(super) private_dir: PathBuf,
    pub(super) groups: Groups,
    pub(super) items: Vec<JailItem>,
    /// Channel, control and log, for the launcher.
    pub(super) descriptors: [OwnedFd; 3],
    pub(super) channel: net::UnixStream,
    pub(super) control: UnixStream,
    pub(super) output: pipe::Receiver,
}

impl Prepared {
    pub(super) fn make(
        host: &Host,
        programs: &Programs,
        spec: LaunchSpec,
    ) -> Result<Self, SpawnError> {
        let name = spec.name.clone();
        let program = programs.load(&spec.program).map_err(|source| SpawnError::Program {
            name: name.clone(),
            program: spec.program.clone(),
            source,
        })?;
        if let Some(pinned) = spec.pin.filter(|pinned| *pinned != program.digest) {
            let found = program.digest.clone();
            return Err(SpawnError::Pin { name, program: spec.program, found, pinned });
        }
        let pipes = Pipes::open(&program).map_err(|source| SpawnError::Pipes { name, source })?;
        let identity = match spec.run_as {
            RunAs::Same => None,
            RunAs::Own { uid, gid } => Some(Identity { uid, gid }),
        };
        let (private_dir, groups) =
            make_places(host, &spec.name, &spec.work_root, &spec.cgroup, identity)?;
        let mut items = vec![
            JailItem::new(Step::PrivateDir, true, ItemState::Applied)
                .detail(private_dir.display().to_string()),
        ];
        items.extend(groups.limit(&spec.limits));
        if let Some(item) = unproven(&mut items, &spec.require) {
            discard(&groups, &private_dir);
            let source = io::Error::from_raw_os_error(item.errno.unwrap_or(libc::EOPNOTSUPP));
            let detail = format!("required, but {}: {}", item.state.as_str(), item.detail);
            return Err(SpawnError::Step {
                name: spec.name,
                step: item.step,
                detail,
                source,
                items,
            });
        }
        let plan = JailPlan {
            supervisor_pid: std::process::id(),
            env: environment(&spec.env, &private_dir),
            program: spec.program,
            script: program.interpreter.is_some(),
            args: spec.args,
            private_dir: private_dir.clone(),
            limits: spec.limits,
            identity,
            groups: groups.joins(),
            mark: lineage::next_mark(),
            view: spec.view,
            hide: spec.hide,
            network: spec.network,
            loopback: spec.loopback,
            require: spec.require,
        };
        let Pipes { descriptors, channel, control, output } = pipes;
        Ok(Self {
            plan,
            program,
            private_dir,
            groups,
            items,
            descriptors,
            channel,
            control,
            output,
        })
    }
}

/// The first step of the supervisor's own that policy requires and that is not in force.
fn unproven(items: &mut [JailItem], require: &BTreeSet<Step>) -> Option<JailItem> {
    for item in items.iter_mut().filter(|item| require.contains(&item.step)) {
        item.required = true;
        if item.state != ItemState::Applied {
            return Some(item.clone());
        }
    }
    None
}

/// Removes what was made for a start that never had a process.
pub(super) fn discard(groups: &Groups, private_dir: &Path) {
    groups.remove();
    remove_dir(private_dir);
}

/// Makes directory and groups under one number that neither has yet.
fn make_places(
    host: &Host,
    name: &str,
    work_root: &Path,
    cgroup: &CgroupParent,
    identity: Option<Identity>,
) -> Result<(PathBuf, Groups), SpawnError> {
    static STARTS: AtomicU64 = AtomicU64::new(1);
    let owner = identity.filter(|_| geteuid().is_root());
    loop {
        let leaf = format!("{name}-{}", STARTS.fetch_add(1, Ordering::Relaxed));
        let dir = match private_dir::make(work_root, &leaf, owner) {
            // Left over from an earlier supervisor, or another's who shares the directory.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(source) => {
                let (name, work_root) = (name.to_owned(), work_root.to_owned());
                return Err(SpawnError::PrivateDir { name, work_root, source });
            }
            Ok(dir) => dir,
        };
        let CgroupParent::Tag(tag) = cgroup else { return Ok((dir, Groups::default())) };
        let name = GroupName { prefix: &host.group_prefix, tag, leaf: &leaf };
        match Groups::make(&host.hierarchies, name) {
            Ok(groups) => return Ok((dir, groups)),
            Err(_) => remove_dir(&dir),
        }
    }
}

/// The program's whole environment.
fn environment(extra: &[(String, String)], private_dir: &Path) -> Vec<(String, String)> {
    let private = private_dir.display().to_string();
    let mut env = vec![
        ("CORDON_FD".to_owned(), CHANNEL_FD.to_string()),
        ("HOME".to_owned(), private.clone()),
        ("TMPDIR".to_owned(), private),
    ];
    if !extra.iter().any(|(name, _)| name == "LANG") {
        env.push(("LANG".to_owned(), "C.UTF-8".to_owned()));
    }
    env.extend_from_slice(extra);
    env
}

struct Pipes {
    descriptors: [OwnedFd; 3],
    channel: net::UnixStream,
    control: UnixStream,
    output: pipe::Receiver,
}

impl Pipes {
    /// All of them close at exec: the launcher gets its three by number, and no other child any.
    fn open(program: &Program) -> io::Result<Self> {
        let (channel, theirs) = net::UnixStream::pair()?;
        channel.set_nonblocking(true)?;
        let (control, their_control) = net::UnixStream::pair()?;
        control.set_nonblocking(true)?;
        hand_over(&control, program)?;
        let (output, log) = io::pipe()?;
        Ok(Self {
            descriptors: [theirs.into(), their_control.into(), log.into()],
            channel,
            control: UnixStream::from_std(control)?,
            output: pipe::Receiver::from_owned_fd(output.into())?,
        })
    }
}

/// The program goes with the first byte of the plan: a space, which changes nothing in it.
fn hand_over(control: &net::UnixStream, program: &Program) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let memory = [program.memory.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&memory));
    rustix::net::sendmsg(control, &[IoSlice::new(b" ")], &mut ancillary, SendFlags::empty())?;
    Ok(())
}
