//! Calls that a connector has no use for, and through which kernels were broken into.
//!
//! That the kernel considers such a call is the harm, so an error about the arguments counts as
//! allowed. None of these changes the host when it is allowed: what it makes ends with this process,
//! and what would reach further is asked for with arguments that are refused after the rights.

use std::ffi::CStr;
use std::io;

use super::targets::Targets;
use super::{Case, Outcome, case};
use crate::process::{self, End};

pub(super) const CASES: &[Case] = &[
    case("io_uring_setup", io_uring_setup),
    case("bpf", bpf),
    case("keyctl", |_| {
        const GET_KEYRING_ID: usize = 0;
        by_numbers("keyctl", libc::SYS_keyctl, [GET_KEYRING_ID, SESSION_KEYRING, 0, 0])
    }),
    case("add_key", add_key),
    case("request_key", request_key),
    case("perf_event_open", perf_event_open),
    case("userfaultfd", |_| {
        const USER_MODE_ONLY: usize = 1;
        by_numbers("userfaultfd", libc::SYS_userfaultfd, [USER_MODE_ONLY, 0, 0, 0])
    }),
    case("init_module", |_| by_numbers("init_module", libc::SYS_init_module, [0; 4])),
    case("finit_module", |_| {
        by_numbers("finit_module", libc::SYS_finit_module, [NO_DESCRIPTOR, 0, 0, 0])
    }),
    case("delete_module", delete_module),
    case("kexec_load", |_| {
        const NO_SUCH_FLAGS: usize = 0xff00;
        by_numbers("kexec_load", libc::SYS_kexec_load, [0, 0, 0, NO_SUCH_FLAGS])
    }),
    case("open_by_handle_at", open_by_handle),
    case("fanotify_init", |_| by_numbers("fanotify_init", libc::SYS_fanotify_init, [0; 4])),
    case("syslog", syslog),
    case("quotactl", quotactl),
    case("acct", acct),
    case("process_madvise", |_| {
        by_numbers("process_madvise", libc::SYS_process_madvise, [NO_DESCRIPTOR, 0, 0, 0])
    }),
    case("move_pages", |targets| match targets.victim() {
        Ok(pid) => by_numbers("move_pages", libc::SYS_move_pages, [pid as usize, 0, 0, 0]),
        Err(outcome) => outcome,
    }),
    case("port_access", port_access),
    case("abi_32_bit", abi_32_bit),
    case("abi_x32", abi_x32),
];

const SESSION_KEYRING: usize = -3isize as usize;
const PROCESS_KEYRING: usize = -2isize as usize;
const NO_DESCRIPTOR: usize = -1isize as usize;

/// A call that is given no address at all.
#[allow(unsafe_code)]
fn by_numbers(what: &str, number: libc::c_long, arguments: [usize; 4]) -> Outcome {
    let [first, second, third, fourth] = arguments;
    // SAFETY: each caller gives numbers and null, for calls that read and write only where an
    // address points to; to null the kernel answers with an error.
    let result = unsafe { libc::syscall(number, first, second, third, fourth) };
    Outcome::considered(what, told(result))
}

fn told(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[allow(unsafe_code)]
fn io_uring_setup(_: &Targets) -> Outcome {
    // As large as the kernel's structure, all zero: one entry, no flags.
    let mut parameters = [0u8; 120];
    let entries: libc::c_uint = 1;
    // SAFETY: the kernel reads and writes the parameters, which live through the call.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, entries, parameters.as_mut_ptr()) };
    Outcome::considered("io_uring_setup", told(ring))
}

#[allow(unsafe_code)]
fn bpf(_: &Targets) -> Outcome {
    const MAP_CREATE: usize = 0;
    const ARRAY: u32 = 2;
    // Type, bytes of a key, bytes of a value, entries.
    let attributes: [u32; 16] = [ARRAY, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: the kernel reads as many bytes as it is told, from an array that lives through it.
    let map = unsafe {
        libc::syscall(libc::SYS_bpf, MAP_CREATE, attributes.as_ptr(), size_of_val(&attributes))
    };
    Outcome::considered("bpf", told(map))
}

#[allow(unsafe_code)]
fn add_key(_: &Targets) -> Outcome {
    let (kind, name): (&CStr, &CStr) = (c"user", c"cordon-hostile");
    // SAFETY: two strings that end with NUL and one byte, all alive through the call. The keyring is
    // this process's own and ends with it.
    let key = unsafe {
        let content = [0u8; 1];
        libc::syscall(
            libc::SYS_add_key,
            kind.as_ptr(),
            name.as_ptr(),
            content.as_ptr(),
            content.len(),
            PROCESS_KEYRING,
        )
    };
    Outcome::considered("add_key", told(key))
}

#[allow(unsafe_code)]
fn request_key(_: &Targets) -> Outcome {
    let (kind, name): (&CStr, &CStr) = (c"user", c"cordon-hostile-none");
    // SAFETY: two strings that end with NUL; without a third the kernel asks nobody for the key.
    let key =
        unsafe { libc::syscall(libc::SYS_request_key, kind.as_ptr(), name.as_ptr(), 0usize, 0) };
    Outcome::considered("request_key", told(key))
}

#[allow(unsafe_code)]
fn perf_event_open(_: &Targets) -> Outcome {
    const SOFTWARE: u32 = 1;
    const BYTES: u32 = 64;
    const DISABLED_AND_USER_ONLY: u64 = 1 | 1 << 5 | 1 << 6;
    // The first published form of the structure: a clock of this process alone.
    let mut attributes = [0u64; BYTES as usize / 8];
    attributes[0] = u64::from(SOFTWARE) | u64::from(BYTES) << 32;
    attributes[5] = DISABLED_AND_USER_ONLY;
    // SAFETY: the structure says its own size, and lives through the call.
    let event = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            attributes.as_ptr(),
            0,
            NO_DESCRIPTOR,
            NO_DESCRIPTOR,
            0,
        )
    };
    Outcome::considered("perf_event_open", told(event))
}

#[allow(unsafe_code)]
fn delete_module(_: &Targets) -> Outcome {
    let name = c"cordon_hostile_none";
    // SAFETY: a string that ends with NUL; no module has this name.
    let result = unsafe { libc::syscall(libc::SYS_delete_module, name.as_ptr(), 0) };
    Outcome::considered("delete_module", told(result))
}

/// Opens the directory that is given by its handle, past every directory above it.
#[allow(unsafe_code)]
fn open_by_handle(_: &Targets) -> Outcome {
    const HANDLE_BYTES: u32 = 128;
    // Size, type, and the handle itself.
    let mut handle = [0u32; 2 + HANDLE_BYTES as usize / 4];
    handle[0] = HANDLE_BYTES;
    let mut mount = 0i32;
    // SAFETY: a string that ends with NUL, a handle as large as it says, and a number; all live
    // through the call.
    let named = unsafe {
        let path = c".".as_ptr();
        let here = libc::AT_FDCWD;
        let (handle, mount) = (handle.as_mut_ptr(), &raw mut mount);
        libc::syscall(libc::SYS_name_to_handle_at, here, path, handle, mount, 0)
    };
    if let Err(error) = told(named)
        && error.raw_os_error() == Some(libc::EOPNOTSUPP)
    {
        // Any handle will do: who may not use one is told so before it is looked at.
        handle[0] = 8;
    }
    // SAFETY: the same handle, which the kernel only reads.
    let opened = unsafe {
        libc::syscall(libc::SYS_open_by_handle_at, libc::AT_FDCWD, handle.as_ptr(), libc::O_RDONLY)
    };
    Outcome::considered("open_by_handle_at", told(opened))
}

/// The kernel's log, where addresses and other tenants' names stand.
#[allow(unsafe_code)]
fn syslog(_: &Targets) -> Outcome {
    const READ_ALL: usize = 3;
    let mut text = [0u8; 64];
    // SAFETY: the kernel writes at most as many bytes as it is told.
    let count = unsafe { libc::syscall(libc::SYS_syslog, READ_ALL, text.as_mut_ptr(), text.len()) };
    Outcome::considered("syslog", told(count))
}

#[allow(unsafe_code)]
fn quotactl(_: &Targets) -> Outcome {
    const GET_INFO_OF_USERS: usize = 0x80_0005 << 8;
    let device = c"/nonexistent-cordon-hostile";
    let mut info = [0u8; 64];
    // SAFETY: a string that ends with NUL and a place for more than the answer; there is no such
    // device.
    let result = unsafe {
        let (device, info) = (device.as_ptr(), info.as_mut_ptr());
        libc::syscall(libc::SYS_quotactl, GET_INFO_OF_USERS, device, 0, info)
    };
    Outcome::considered("quotactl", told(result))
}

#[allow(unsafe_code)]
fn acct(_: &Targets) -> Outcome {
    let file = c"/nonexistent-cordon-hostile";
    // SAFETY: a string that ends with NUL. Without the right it is not looked at, and with it there
    // is no such file.
    let result = unsafe { libc::syscall(libc::SYS_acct, file.as_ptr()) };
    Outcome::considered("acct", told(result))
}

#[cfg(target_arch = "x86_64")]
fn port_access(_: &Targets) -> Outcome {
    const CMOS: usize = 0x70;
    Outcome::worst([
        by_numbers("iopl", libc::SYS_iopl, [3, 0, 0, 0]),
        by_numbers("ioperm", libc::SYS_ioperm, [CMOS, 1, 1, 0]),
    ])
}

#[cfg(not(target_arch = "x86_64"))]
fn port_access(_: &Targets) -> Outcome {
    Outcome::skipped("this processor has no ports")
}

/// `getpid` by another way into the kernel, which a filter of calls by number does not expect.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn abi_32_bit(_: &Targets) -> Outcome {
    by_other_abi("int 0x80", || {
        const GETPID: u64 = 20;
        let result: u64;
        // SAFETY: this call takes no arguments; the kernel keeps all registers but these.
        unsafe {
            std::arch::asm!(
                "int 0x80",
                inlateout("rax") GETPID => result,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
                options(nostack),
            );
        }
        result as i32
    })
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn abi_x32(_: &Targets) -> Outcome {
    by_other_abi("x32", || {
        const X32: libc::c_long = 0x4000_0000;
        // SAFETY: this call takes no arguments.
        (unsafe { libc::syscall(X32 | libc::SYS_getpid) }) as i32
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn abi_32_bit(_: &Targets) -> Outcome {
    Outcome::skipped("this processor has no such way into the kernel")
}

#[cfg(not(target_arch = "x86_64"))]
fn abi_x32(_: &Targets) -> Outcome {
    Outcome::skipped("this processor has no such way into the kernel")
}

/// Asks for our own process id in a child, for the answer of a filter may be its death.
#[cfg(target_arch = "x86_64")]
fn by_other_abi(what: &str, own_id: impl FnOnce() -> i32) -> Outcome {
    use std::time::{Duration, Instant};
    let child = process::in_child(|| u8::from(own_id() != std::process::id() as i32));
    let end =
        child.and_then(|child| process::end_of(child, Instant::now() + Duration::from_secs(5)));
    match end {
        Ok(End::Exit(0)) => Outcome::Allowed(format!("{what} works")),
        Ok(End::Exit(_)) => Outcome::Denied(format!("{what}: the kernel does not know the call")),
        Ok(End::Signal { signal, .. }) => {
            Outcome::Denied(format!("{what}: killed by {}", signal.as_str()))
        }
        Ok(End::Late) => Outcome::skipped("the child did not end"),
        Err(error) => Outcome::skipped(format!("no child for it: {error}")),
    }
}
