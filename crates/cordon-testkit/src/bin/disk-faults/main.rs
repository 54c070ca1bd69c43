//! Attaches to a process and harms it at the n-th call by which it changes files below given paths.
//!
//! Takes one argument, an `Order` as JSON. Writes `ready` once every thread is watched, then every
//! call that it sees as a line of JSON, until the process ends or this one does. It ends without a
//! word where the kernel does not let it attach.
//!
//! Only for x86-64: it reads and writes registers.

#[cfg(target_arch = "x86_64")]
mod call;
#[cfg(target_arch = "x86_64")]
mod counter;

use std::process::ExitCode;

#[cfg(target_arch = "x86_64")]
fn main() -> ExitCode {
    let order = std::env::args().nth(1).unwrap_or_default();
    let order: cordon_testkit::disk::Order = match serde_json::from_str(&order) {
        Ok(order) => order,
        Err(error) => {
            eprintln!("disk-faults: no order: {error}");
            return ExitCode::FAILURE;
        }
    };
    match counter::run(&order) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("disk-faults: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn main() -> ExitCode {
    eprintln!("disk-faults: this processor's registers are not known");
    ExitCode::FAILURE
}
