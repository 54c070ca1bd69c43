//! Counts the calls on the files that matter, and says which of them are harmed.

use std::io;

use cordon_testkit::disk::{Call, Deed, Harm, Order};
use cordon_testkit::trace::{self, Follow, Verdict, say};
use nix::libc::user_regs_struct;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::call::seen;

/// How far the service has come.
#[derive(Default)]
struct SoFar {
    marks: usize,
    counted: u64,
}

impl SoFar {
    /// The number of a call; 0 when it does not count.
    fn number(&mut self, order: &Order, deed: Deed, path: &str) -> u64 {
        if let Some(mark) = order.from.get(self.marks)
            && mark.deed == deed
            && path.contains(&mark.path)
        {
            self.marks += 1;
        }
        if self.marks < order.from.len() || deed == Deed::Close || !order.deeds.contains(&deed) {
            return 0;
        }
        self.counted += 1;
        self.counted
    }
}

/// Watches the process until it ends.
pub(crate) fn run(order: &Order) -> io::Result<()> {
    let process = Pid::from_raw(order.pid.try_into().map_err(io::Error::other)?);
    let mut so_far = SoFar::default();
    let mut begins = |_: Pid, regs: &user_regs_struct| begins(order, process, &mut so_far, regs);
    trace::watch(order.pid, Follow::Threads, || say("ready"), &mut begins)
}

fn begins(
    order: &Order,
    process: Pid,
    so_far: &mut SoFar,
    regs: &user_regs_struct,
) -> io::Result<Verdict> {
    let Some(seen) = seen(process, regs) else { return Ok(Verdict::Go) };
    let path = seen.path.to_string_lossy().into_owned();
    if !order.paths.iter().any(|below| path.starts_with(below.as_str())) {
        return Ok(Verdict::Go);
    }
    let number = so_far.number(order, seen.deed, &path);
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
