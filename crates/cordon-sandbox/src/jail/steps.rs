//! Each step that the launcher takes on itself. What can be read back is.

use std::{fs, io, ptr};

use nix::unistd::{Gid, Uid, getresgid, getresuid, setgroups, setresgid, setresuid};
use rustix::{
    process::{
        DumpableBehavior, Resource, Rlimit, Signal, chdir, geteuid, getppid, getrlimit,
        parent_process_death_signal, set_dumpable_behavior, set_parent_process_death_signal,
        setrlimit, setsid, umask,
    },
    thread::{
        CapabilitySet, CapabilitySets, capabilities as read_capabilities,
        clear_ambient_capability_set, no_new_privs as read_no_new_privs,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
    },
};

use super::{
    guard,
    ladder::{Done, Failure},
    task::Task,
};
use crate::{
    plan::Identity,
    report::{ItemState, Step},
};

type Result<T = Done> = std::result::Result<T, Failure>;

/// The host sacrifices connectors before the supervisor.
const OOM_SCORE: i32 = 500;

fn failed(detail: &str) -> impl Fn(rustix::io::Errno) -> Failure {
    move |errno| Failure { errno: errno.raw_os_error(), detail: detail.to_owned() }
}

pub(super) fn session() -> Result {
    setsid().map_err(failed("setsid"))?;
    umask(rustix::fs::Mode::from_bits_retain(0o077));
    Ok(Done::applied())
}

/// Ignored and blocked signals are inherited through exec, and this language's runtime ignores
/// SIGPIPE.
#[allow(unsafe_code)]
pub(super) fn signals() -> Result {
    // The kernel's own call, because the C library's refuses the numbers that it keeps for itself,
    // and a supervisor's parent may have left even these ignored. The kernel's structure is four
    // words at most.
    const DEFAULT: [usize; 4] = [0; 4];
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the new action points to at least as many bytes as the kernel reads, all zero:
        // the default disposition with no flags, which is no function of ours. The old one is not
        // asked for. SIGKILL and SIGSTOP are refused, being at their default always.
        unsafe {
            let none = ptr::null_mut::<libc::c_void>();
            libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), none, size_of::<u64>())
        };
    }
    // SAFETY: `sigset_t` is plain data for which all zeros is a valid value, and `sigemptyset` and
    // `sigprocmask` are given a pointer to it that lives through both calls; the old mask is not
    // asked.
    let result = unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut())
    };
    if result == 0 {
        Ok(Done::applied())
    } else {
        Err(Failure::new(&io::Error::last_os_error(), "sigprocmask"))
    }
}

pub(super) fn oom_score() -> Result {
    const FILE: &str = "/proc/self/oom_score_adj";
    let told = |error: io::Error| Failure::new(&error, FILE);
    let now: i32 = fs::read_to_string(FILE).map_err(told)?.trim().parse().unwrap_or(0);
    let wanted = now.max(OOM_SCORE);
    fs::write(FILE, wanted.to_string()).map_err(told)?;
    Ok(Done::applied().detail(format!("oom_score_adj {wanted}")))
}

/// Joins the group of one role.
pub(super) fn join(task: &Task, step: Step) -> Result {
    let Some((_, procs)) = task.plan.groups.iter().find(|(of, _)| *of == step) else {
        return Ok(Done::new(ItemState::Unavailable).detail("no control group for this"));
    };
    let shown = procs.display().to_string();
    fs::write(procs, "0").map_err(|error| Failure::new(&error, shown.clone()))?;
    Ok(Done::applied().detail(shown))
}

/// Marks this process and all its descendants; see the library's `lineage`.
pub(super) fn lineage(task: &Task) -> Result {
    let mark = u64::from(task.plan.mark);
    let limit = Rlimit { current: Some(mark), maximum: Some(mark) };
    if getrlimit(Resource::Msgqueue).maximum.is_some_and(|maximum| maximum <= mark) {
        return Ok(Done::new(ItemState::Unavailable)
            .detail("the limit on message queues that carries the mark is too low already"));
    }
    setrlimit(Resource::Msgqueue, limit).map_err(failed("setrlimit"))?;
    Ok(Done::applied().values(Some(mark), getrlimit(Resource::Msgqueue).maximum))
}

/// Sets a limit on each process: `asked`, or what is left to us if that is less. `grace` lies
/// between the soft limit and the hard one.
pub(super) fn limit(resource: Resource, asked: Option<u64>, grace: u64) -> Result {
    let now = getrlimit(resource);
    let Some(asked) = asked else {
        return Ok(Done::new(ItemState::NotAsked).values(None, now.current));
    };
    let ceiling = now.maximum.unwrap_or(u64::MAX);
    let soft = asked.min(ceiling);
    let hard = asked.saturating_add(grace).min(ceiling);
    setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) })
        .map_err(failed("setrlimit"))?;
    let in_force = getrlimit(resource);
    if in_force.current != Some(soft) || in_force.maximum != Some(hard) {
        let detail = format!("set to {soft}, reads back as {:?}", in_force.current);
        return Err(Failure { errno: libc::ERANGE, detail });
    }
    let lower = if soft < asked { "lowered to what this process may have" } else { "" };
    Ok(Done::applied().values(Some(asked), in_force.current).detail(lower))
}

/// Empties the set of capabilities that executing a program could give.
pub(super) fn bounding_set() -> Result {
    clear_ambient_capability_set().map_err(failed("ambient set"))?;
    for bit in 0..u64::BITS {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)) {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL) => return Ok(Done::applied()),
            Err(rustix::io::Errno::PERM) => {
                return Ok(Done::new(ItemState::Unavailable)
                    .errno(libc::EPERM)
                    .detail("needs privilege; no_new_privs keeps programs from gaining any"));
            }
            Err(errno) => return Err(failed("bounding set")(errno)),
        }
    }
    Ok(Done::applied())
}

/// Becomes the connector's user. As root a half-made switch is fatal; without root nothing is
/// tried.
pub(super) fn identity(task: &Task) -> Result {
    let Some(Identity { uid, gid }) = task.plan.identity else {
        return Ok(Done::new(ItemState::NotAsked));
    };
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    if !geteuid().is_root() {
        return Ok(Done::new(ItemState::Unavailable)
            .errno(libc::EPERM)
            .detail(format!("only root can become uid {uid}")));
    }
    let told = |what: &'static str| {
        move |errno: nix::Error| Failure { errno: errno as i32, detail: what.to_owned() }
    };
    setgroups(&[]).map_err(told("setgroups"))?;
    setresgid(gid, gid, gid).map_err(told("setresgid"))?;
    setresuid(uid, uid, uid).map_err(told("setresuid"))?;
    let (users, groups) =
        (getresuid().map_err(told("getresuid"))?, getresgid().map_err(told("getresgid"))?);
    let held = [users.real, users.effective, users.saved] == [uid; 3]
        && [groups.real, groups.effective, groups.saved] == [gid; 3];
    if !held {
        return Err(Failure { errno: libc::EPERM, detail: "the user did not change".to_owned() });
    }
    Ok(Done::applied().detail(format!("uid {uid}, gid {gid}, no other groups")))
}

pub(super) fn capabilities() -> Result {
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, none).map_err(failed("capset"))?;
    let held = read_capabilities(None).map_err(failed("capget"))?;
    if held != none {
        return Err(Failure { errno: libc::EPERM, detail: format!("still held: {held:?}") });
    }
    Ok(Done::applied())
}

pub(super) fn no_new_privs() -> Result {
    set_no_new_privs(true).map_err(failed("prctl"))?;
    match read_no_new_privs() {
        Ok(true) => Ok(Done::applied()),
        Ok(false) => Err(Failure { errno: libc::EPERM, detail: "reads back as off".to_owned() }),
        Err(errno) => Err(failed("prctl")(errno)),
    }
}

pub(super) fn non_dumpable() -> Result {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed("prctl"))?;
    Ok(Done::applied().detail("until exec, which resets it; the program has to set it again"))
}

pub(super) fn working_dir(task: &Task) -> Result {
    let shown = task.plan.private_dir.display().to_string();
    let why = format!("cannot enter {shown}; the directories above it must let this user pass");
    chdir(&task.plan.private_dir).map_err(failed(&why))?;
    Ok(Done::applied().detail(shown))
}

/// After the user, for a change of user clears it. A parent that died before the call sends nothing,
/// so its being the parent is checked after it.
pub(super) fn parent_death(task: &Task) -> Result {
    if !task.guarded.get() {
        die_with(task.plan.supervisor_pid)?;
        return Ok(Done::applied());
    }
    die_with_parent()?;
    if guard::guard_is_gone() {
        return Err(Failure { errno: libc::ESRCH, detail: "its guard is gone".to_owned() });
    }
    Ok(Done::applied().detail("by its guard, which dies with the supervisor"))
}

/// Dies with the parent, which must be that process.
pub(super) fn die_with(parent: u32) -> Result<()> {
    die_with_parent()?;
    let now = getppid().map_or(0, rustix::process::Pid::as_raw_pid);
    if u32::try_from(now) != Ok(parent) {
        return Err(Failure { errno: libc::ESRCH, detail: "the supervisor is gone".to_owned() });
    }
    Ok(())
}

/// Dies with the thread that made this process.
pub(super) fn die_with_parent() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed("prctl"))?;
    match parent_process_death_signal() {
        Ok(Some(Signal::KILL)) => Ok(()),
        Ok(_) => Err(Failure { errno: libc::EPERM, detail: "reads back as another".to_owned() }),
        Err(errno) => Err(failed("prctl")(errno)),
    }
}

/// Gives up every right that a process which only waits does not need.
pub(super) fn renounce() -> Result<()> {
    capabilities()?;
    no_new_privs()?;
    non_dumpable()?;
    Ok(())
}

/// The kernel collects children of this process, own and adopted, as they end.
#[allow(unsafe_code)]
pub(super) fn ignore_children() -> Result<()> {
    // SAFETY: the disposition is one of the two constants, no function of ours.
    let before = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    if before == libc::SIG_ERR {
        return Err(Failure::new(&io::Error::last_os_error(), "signal"));
    }
    Ok(())
}

/// Bounds the processes of a user that is the connector's alone: what is left where its tree cannot
/// be counted. Root is not bound by it.
pub(super) fn limit_processes(task: &Task) -> Result {
    match (task.plan.identity, task.plan.limits.tasks) {
        (Some(_), Some(tasks)) => limit(Resource::Nproc, Some(u64::from(tasks)), 0),
        _ => Ok(Done::new(ItemState::NotAsked)),
    }
}
