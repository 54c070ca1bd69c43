//! Stops a process at each of its system calls, as a debugger does, and has a say in what becomes of
//! the call.
//!
//! Only for x86-64: it reads and writes registers.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use nix::errno::Errno;
use nix::libc::{self, user_regs_struct};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Who is watched beside the threads of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Nobody.
    Threads,
    /// Every process that it starts from now on, and those that they start.
    Children,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Go,
    /// It is not made, and gives this error number.
    Fail(i32),
    /// The process that is watched gets this signal first.
    Signal(Signal),
}

struct Tracer<'a> {
    process: Pid,
    /// Threads that have not stopped once since they were attached to.
    unseen: BTreeSet<Pid>,
    /// Threads in a call that is made to fail, and the error that it will give.
    failing: BTreeMap<Pid, i32>,
    /// Every thread is watched: from here on calls are seen.
    is_ready: bool,
    begins: &'a mut dyn FnMut(Pid, &user_regs_struct) -> io::Result<Verdict>,
}

/// Watches a process until it ends. `ready` is called once every thread is watched, `begins` with
/// each thread that is about to make a call.
pub fn watch(
    process: u32,
    follow: Follow,
    ready: impl FnOnce() -> io::Result<()>,
    begins: &mut dyn FnMut(Pid, &user_regs_struct) -> io::Result<Verdict>,
) -> io::Result<()> {
    let process = Pid::from_raw(process.try_into().map_err(io::Error::other)?);
    let unseen = attach(process, follow)?;
    let mut tracer = Tracer { process, unseen, failing: BTreeMap::new(), is_ready: false, begins };
    let mut ready = Some(ready);
    loop {
        match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::PtraceSyscall(thread)) => {
                // A thread that was killed while it stood still is gone by now.
                let _ = tracer.call(thread);
                go_on(thread, None);
            }
            Ok(WaitStatus::PtraceEvent(thread, ..)) => {
                tracer.unseen.remove(&thread);
                go_on(thread, None);
            }
            Ok(WaitStatus::Stopped(thread, signal)) => go_on(thread, Some(signal)),
            Ok(WaitStatus::Exited(thread, _) | WaitStatus::Signaled(thread, ..)) => {
                tracer.unseen.remove(&thread);
                if thread == process {
                    return Ok(());
                }
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
        if tracer.unseen.is_empty()
            && let Some(ready) = ready.take()
        {
            ready()?;
            tracer.is_ready = true;
        }
    }
}

/// Attaches to every thread, also to those that are made meanwhile.
fn attach(process: Pid, follow: Follow) -> io::Result<BTreeSet<Pid>> {
    let mut options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE;
    if follow == Follow::Children {
        options |= Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
    }
    let mut attached = BTreeSet::new();
    loop {
        let mut found = false;
        for entry in std::fs::read_dir(format!("/proc/{process}/task"))? {
            let name = entry?.file_name();
            let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            let thread = Pid::from_raw(thread);
            if attached.contains(&thread) {
                continue;
            }
            match ptrace::seize(thread, options) {
                Ok(()) => {
                    ptrace::interrupt(thread)?;
                    attached.insert(thread);
                    found = true;
                }
                // It has ended, or a thread that is watched made it, and so it is watched, too.
                Err(Errno::ESRCH) => {}
                Err(Errno::EPERM) if !attached.is_empty() => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if !found {
            return Ok(attached);
        }
    }
}

fn go_on(thread: Pid, signal: Option<Signal>) {
    let _ = ptrace::syscall(thread, signal);
}

impl Tracer<'_> {
    fn call(&mut self, thread: Pid) -> io::Result<()> {
        let begins = ptrace::syscall_info(thread)?.op == libc::PTRACE_SYSCALL_INFO_ENTRY;
        let mut regs = ptrace::getregs(thread)?;
        if !begins {
            if let Some(errno) = self.failing.remove(&thread) {
                regs.rax = i64::from(-errno) as u64;
                ptrace::setregs(thread, regs)?;
            }
            return Ok(());
        }
        if !self.is_ready {
            return Ok(());
        }
        match (self.begins)(thread, &regs)? {
            Verdict::Go => {}
            // The thread stands before the call, which a fatal signal takes from it.
            Verdict::Signal(signal) => kill(self.process, signal)?,
            Verdict::Fail(errno) => {
                // No such call: the kernel does nothing, and the error is put in its place after.
                regs.orig_rax = u64::MAX;
                ptrace::setregs(thread, regs)?;
                self.failing.insert(thread, errno);
            }
        }
        Ok(())
    }
}

/// A line on stdout, for whoever started the tracer.
pub fn say(line: &str) -> io::Result<()> {
    use std::io::Write;
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
