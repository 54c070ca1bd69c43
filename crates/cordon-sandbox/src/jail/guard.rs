//! A process namespace, and the two processes that it costs.
//!
//! The first process of a namespace is not like others: it collects all orphans, ignores signals
//! that it has no handler for, and everything in the namespace ends with it. No connector should
//! have to be that. So the launcher forks twice: a first process that only collects, and the one
//! that climbs on and becomes the connector. The launcher itself stays outside as the connector's
//! guard: the supervisor holds it, it holds the connector by its parent-death signal, and it ends as
//! the connector ended, so that exit code, signal and stop are the connector's own.

use nix::{
    sys::{
        signal::{Signal, kill, raise},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid},
};

use super::{
    descriptors,
    ladder::{Done, Failure},
    namespaces, steps,
    task::Task,
};
use crate::{plan::JailWord, report::ItemState};

/// Goes on in a child that sees no process of the host. The parent never comes back from here.
pub(super) fn pid_namespace(task: &Task) -> Result<Done, Failure> {
    if !namespaces::wanted(task) {
        return Ok(Done::new(ItemState::NotAsked));
    }
    namespaces::unshare(libc::CLONE_NEWPID)?;
    // From here on the parent's death is the supervisor's: its child's would not reach grandchildren.
    steps::die_with(task.plan.supervisor_pid)?;
    let first = match fork()? {
        ForkResult::Child => collect_orphans(),
        ForkResult::Parent { child } => child,
    };
    match fork() {
        Ok(ForkResult::Child) => {
            task.guarded.set(true);
            Ok(Done::applied())
        }
        Ok(ForkResult::Parent { child }) => stand_guard(task, first, child),
        Err(failure) => {
            let _ = kill(first, Signal::SIGKILL);
            Err(failure)
        }
    }
}

#[allow(unsafe_code)]
fn fork() -> Result<ForkResult, Failure> {
    // SAFETY: this process has one thread, so the child may do whatever the parent may.
    unsafe { nix::unistd::fork() }
        .map_err(|errno| Failure { errno: errno as i32, detail: "fork".to_owned() })
}

/// The first process of the namespace: what ends without a parent is collected by the kernel,
/// because this one ignores the deaths of children.
fn collect_orphans() -> ! {
    let ready = steps::ignore_children().is_ok()
        && steps::die_with_parent().is_ok()
        && descriptors::close_all().is_ok()
        && steps::renounce().is_ok();
    if !ready {
        leave(1);
    }
    loop {
        nix::unistd::pause();
    }
}

/// Waits for the connector's end outside its namespace, and ends alike.
fn stand_guard(task: &Task, first: Pid, connector: Pid) -> ! {
    let pid = u32::try_from(connector.as_raw()).unwrap_or(0);
    let told = task.say(&JailWord::Child { pid });
    // The supervisor must see the channel close when the connector closes it.
    let closed = descriptors::close_all();
    if told.is_err() || closed.is_err() || steps::renounce().is_err() {
        end_all(first);
        leave(1)
    }
    loop {
        match waitpid(connector, Some(WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::Exited(_, code)) => {
                end_all(first);
                leave(code)
            }
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                end_all(first);
                let _ = raise(signal);
                leave(128 + signal as i32)
            }
            // Whoever looks at the guard sees that the connector stands still.
            Ok(WaitStatus::Stopped(..)) => {
                let _ = raise(Signal::SIGSTOP);
                let _ = kill(connector, Signal::SIGCONT);
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => {
                end_all(first);
                leave(1)
            }
        }
    }
}

/// Ends everything in the namespace, and waits until it is gone.
fn end_all(first: Pid) {
    let _ = kill(first, Signal::SIGKILL);
    let _ = waitpid(first, None);
}

#[allow(unsafe_code)]
fn leave(code: i32) -> ! {
    // SAFETY: ends this process at once; nothing of it needs to be run or written any more.
    unsafe { libc::_exit(code) }
}

/// Whether the guard of this process has ended. A parent outside the namespace has no number in it;
/// only the first process, which adopts orphans, has one.
pub(super) fn guard_is_gone() -> bool {
    rustix::process::getppid().is_some()
}
