//! Counts the calls on the files that matter, and says which of them are harmed.

use std::io;

use cordon_testkit::disk::{Call, Deed, Harm, Order};
use cordon_testkit::trace::{self, Follow, Verdict, say};
use nix::libc::user_regs_struct;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::call::seen;

/// Watches the process until it ends.
pub(crate) fn run(order: &Order) -> io::Result<()> {
    let process = Pid::from_raw(order.pid.try_into().map_err(io::Error::other)?);
    let mut counted = 0;
    let mut begins = |_: Pid, regs: &user_regs_struct| begins(order, process, &mut counted, regs);
    trace::watch(order.pid, Follow::Threads, || say("ready"), &mut begins)
}

fn begins(
    order: &Order,
    process: Pid,
    counted: &mut u64,
    regs: &user_regs_struct,
) -> io::Result<Verdict> {
    let Some(seen) = seen(process, regs) else { return Ok(Verdict::Go) };
    let path = seen.path.to_string_lossy().into_owned();
    if !order.paths.iter().any(|below| path.starts_with(below.as_str())) {
        return Ok(Verdict::Go);
    }
    let counts = seen.deed != Deed::Close && order.deeds.contains(&seen.deed);
    *counted += u64::from(counts);
    let number = if counts { *counted } else { 0 };
    let due = |(at, harm): &(u64, Harm)| match harm {
        Harm::FailOn(_) => number >= *at,
        Harm::Kill | Harm::Stop | Harm::Fail(_) => number == *at,
    };
    let harm = order.harms.iter().find(|harm| number > 0 && due(harm)).map(|(_, harm)| *harm);
    let (deed, descriptor) = (seen.deed, seen.descriptor);
    let call = Call { number, deed, path, descriptor, hit: harm.is_some() };
    say(&serde_json::to_string(&call)?)?;
    Ok(match harm {
        None => Verdict::Go,
        Some(Harm::Kill) => Verdict::Signal(Signal::SIGKILL),
        Some(Harm::Stop) => Verdict::Signal(Signal::SIGTERM),
        Some(Harm::Fail(errno) | Harm::FailOn(errno)) => Verdict::Fail(errno),
    })
}
