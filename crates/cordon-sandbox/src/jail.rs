//! The launcher: a single-threaded process that restricts itself and then becomes the connector.
//!
//! It is started with the connector's channel as descriptor 0, the control socket as 1 and the log
//! as 2, because a plain spawn can place only these. It reads one plan, climbs the ladder of steps
//! in order, reports every step, and executes the program. When a required step fails the program
//! is never executed, and the report names the step and the kernel's error.

mod descriptors;
mod guard;
mod ladder;
mod landlock;
mod mounts;
mod namespaces;
mod network;
pub(crate) mod seccomp;
mod steps;
mod task;
mod view;

use std::{
    ffi::{CString, NulError},
    fs::File,
    io::{self, Write},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    process::ExitCode,
};

use nix::fcntl::AtFlags;
use rustix::process::{getgid, getuid};

use self::task::Task;
use crate::{
    plan::JailWord,
    report::{ItemState, JailItem, Step},
};

/// What the launcher's own failure exits with; the reason went to the control socket.
const EXIT_NOT_STARTED: u8 = 70;

/// Does all of it. Returns only when the program was not executed.
pub fn run() -> ExitCode {
    let control = match descriptors::arrange() {
        Ok(control) => File::from(control),
        Err(failure) => {
            // Descriptor 1 is still the control socket: it is replaced last.
            return report_failure(&mut io::stdout(), Step::Descriptors, &failure, Vec::new());
        }
    };
    let task = match Task::read(control) {
        Ok(task) => task,
        Err((mut control, error)) => {
            let failure = ladder::Failure::new(&error, "cannot read the plan");
            return report_failure(&mut control, Step::Descriptors, &failure, Vec::new());
        }
    };
    let mut items = vec![JailItem::new(Step::Descriptors, true, ItemState::Applied)];
    if let Err((step, failure)) = ladder::climb(&task, &mut items) {
        return report_failure(&mut &task.control, step, &failure, items);
    }
    let ready = JailWord::Ready { uid: getuid().as_raw(), gid: getgid().as_raw(), items };
    if task.say(&ready).is_err() {
        // Nobody would know under which isolation the connector runs.
        return ExitCode::from(EXIT_NOT_STARTED);
    }
    let failure = execute(&task);
    report_failure(&mut &task.control, Step::Exec, &failure, Vec::new())
}

fn report_failure(
    control: &mut impl Write,
    step: Step,
    failure: &ladder::Failure,
    items: Vec<JailItem>,
) -> ExitCode {
    let detail = failure.detail.clone();
    // With no one listening there is no one to tell, and the exit code stands for itself.
    let _ = task::say(control, &JailWord::Failed { step, errno: failure.errno, detail, items });
    ExitCode::from(EXIT_NOT_STARTED)
}

/// Becomes the program; returns why not.
fn execute(task: &Task) -> ladder::Failure {
    let plan = &task.plan;
    let words = || -> Result<_, NulError> {
        let program = CString::new(plan.program.as_os_str().as_bytes())?;
        let mut args = vec![program.clone()];
        for arg in &plan.args {
            args.push(CString::new(arg.as_str())?);
        }
        let env = plan.env.iter().map(|(name, value)| CString::new(format!("{name}={value}")));
        Ok((program, args, env.collect::<Result<Vec<CString>, _>>()?))
    };
    let shown = plan.program.display().to_string();
    let Ok((program, args, env)) = words() else {
        return ladder::Failure { errno: libc::EINVAL, detail: shown };
    };
    let executed = if plan.script {
        nix::unistd::execve(&program, &args, &env)
    } else {
        nix::unistd::execveat(&task.program, c"", &args, &env, AtFlags::AT_EMPTY_PATH)
    };
    match executed {
        Ok(never) => match never {},
        Err(errno) => ladder::Failure { errno: errno as i32, detail: shown },
    }
}

/// Keeps a descriptor open for the rest of the process and the program after it.
fn keep_open(descriptor: OwnedFd) {
    let _ = std::os::fd::IntoRawFd::into_raw_fd(descriptor);
}
