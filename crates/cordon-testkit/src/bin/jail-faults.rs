//! Attaches to a process and follows what it starts: in each `cordon-jail` one system call, named by
//! its number, fails with an error.
//!
//! Takes three arguments: the process, the call's number, the error's number. Writes `ready`, then
//! `failed` for each call that was made to fail and `exec` for each program that a jail would become.
//! Ends without a word where the kernel does not let it attach.

#[cfg(target_arch = "x86_64")]
fn run() -> std::io::Result<()> {
    use cordon_testkit::trace::{Follow, Verdict, say, watch};
    use nix::libc;

    let numbers: Vec<u64> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let [pid, call, errno] = numbers[..] else {
        return Err(std::io::Error::other("takes a process, a call and an error, as numbers"));
    };
    let pid = u32::try_from(pid).map_err(std::io::Error::other)?;
    let errno = i32::try_from(errno).map_err(std::io::Error::other)?;
    let mut begins = |thread: nix::unistd::Pid, regs: &libc::user_regs_struct| {
        let comm = std::fs::read_to_string(format!("/proc/{thread}/comm")).unwrap_or_default();
        if comm.trim_end() != "cordon-jail" {
            return Ok(Verdict::Go);
        }
        if regs.orig_rax == call {
            say("failed")?;
            return Ok(Verdict::Fail(errno));
        }
        let number = i64::try_from(regs.orig_rax).unwrap_or(-1);
        if number == libc::SYS_execve || number == libc::SYS_execveat {
            say("exec")?;
        }
        Ok(Verdict::Go)
    };
    watch(pid, Follow::Children, || say("ready"), &mut begins)
}

#[cfg(not(target_arch = "x86_64"))]
fn run() -> std::io::Result<()> {
    Err(std::io::Error::other("this processor's registers are not known"))
}

fn main() -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("jail-faults: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
