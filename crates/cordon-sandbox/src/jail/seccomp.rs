//! Refuses system calls that no connector needs.
//!
//! A deny-list: what it names reaches into the kernel far beyond files and sockets (modules, mounts,
//! other processes' memory, interfaces with a long record of faults), and answers EPERM. `clone3`
//! answers ENOSYS, because its flags lie in memory that a filter cannot read and the C library then
//! takes `clone`. Another architecture's calls end the process: their numbers mean other things.
//!
//! Written as instructions here rather than by a library, because the x32 calls, which share this
//! architecture's mark, have to be told from the others by their number.

use std::io;

use libc::{sock_filter, sock_fprog};

use super::{
    ladder::{Done, Failure},
    task::Task,
};

/// Offset of the call's number in what a filter sees.
const NUMBER: u32 = 0;
/// Offset of the architecture.
const ARCHITECTURE: u32 = 4;
/// Offset of the lower half of an argument.
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

/// Calls from here on are x32's.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
#[cfg(target_arch = "x86_64")]
const IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const IF_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const fn refuse(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno as u32
}

/// Refused with EPERM on every architecture.
const REFUSED: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_migrate_pages,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_name_to_handle_at,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
];

/// Namespaces that a new process could have of its own.
const NEW_NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// Families of sockets that a connector may have.
const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Terminal requests that put words into another's input.
const TERMINAL_INPUT: [u32; 2] = [libc::TIOCSTI as u32, libc::TIOCLINUX as u32];

const fn one(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

/// The filter. The same on every host of this architecture.
pub(crate) fn program() -> Vec<sock_filter> {
    let mut code = vec![
        one(LOAD, ARCHITECTURE, 0, 0),
        one(IF_EQUAL, NATIVE, 1, 0),
        one(RETURN, KILL, 0, 0),
        one(LOAD, NUMBER, 0, 0),
    ];
    #[cfg(target_arch = "x86_64")]
    code.extend([one(IF_AT_LEAST, X32, 0, 1), one(RETURN, KILL, 0, 0)]);
    for call in REFUSED {
        code.extend([one(IF_EQUAL, number(*call), 0, 1), one(RETURN, refuse(libc::EPERM), 0, 0)]);
    }
    let no_such_call = refuse(libc::ENOSYS);
    code.extend([
        one(IF_EQUAL, number(libc::SYS_clone3), 0, 1),
        one(RETURN, no_such_call, 0, 0),
        // A new process with namespaces of its own.
        one(IF_EQUAL, number(libc::SYS_clone), 0, 4),
        one(LOAD, argument(0), 0, 0),
        one(IF_ANY_BIT, NEW_NAMESPACES as u32, 0, 1),
        one(RETURN, refuse(libc::EPERM), 0, 0),
        one(RETURN, ALLOW, 0, 0),
        // Another family of sockets.
        one(IF_EQUAL, number(libc::SYS_socket), 0, 7),
        one(LOAD, argument(0), 0, 0),
        one(IF_EQUAL, FAMILIES[0] as u32, 4, 0),
        one(IF_EQUAL, FAMILIES[1] as u32, 3, 0),
        one(IF_EQUAL, FAMILIES[2] as u32, 2, 0),
        one(IF_EQUAL, FAMILIES[3] as u32, 1, 0),
        one(RETURN, refuse(libc::EAFNOSUPPORT), 0, 0),
        one(RETURN, ALLOW, 0, 0),
        // Words into a terminal's input.
        one(IF_EQUAL, number(libc::SYS_ioctl), 0, 5),
        one(LOAD, argument(1), 0, 0),
        one(IF_EQUAL, TERMINAL_INPUT[0], 1, 0),
        one(IF_EQUAL, TERMINAL_INPUT[1], 0, 1),
        one(RETURN, refuse(libc::EPERM), 0, 0),
        one(RETURN, ALLOW, 0, 0),
        // Another personality; asking for the present one is not.
        one(IF_EQUAL, number(libc::SYS_personality), 0, 3),
        one(LOAD, argument(0), 0, 0),
        one(IF_EQUAL, u32::MAX, 1, 0),
        one(RETURN, refuse(libc::EPERM), 0, 0),
        one(RETURN, ALLOW, 0, 0),
    ]);
    code
}

fn number(call: i64) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

/// The filter's bytes, to be hashed.
pub(crate) fn bytes() -> Vec<u8> {
    let each = |it: &sock_filter| {
        let [code, k] = [it.code.to_le_bytes().to_vec(), it.k.to_le_bytes().to_vec()];
        [code, vec![it.jt, it.jf], k].concat()
    };
    program().iter().flat_map(each).collect()
}

/// Installs the filter for the rest of this process and all it starts.
#[allow(unsafe_code)]
pub(super) fn install(_task: &Task) -> Result<Done, Failure> {
    let mut code = program();
    let program = sock_fprog {
        len: u16::try_from(code.len()).unwrap_or(u16::MAX),
        filter: code.as_mut_ptr(),
    };
    // SAFETY: the kernel reads `len` instructions from `filter`, which is a live vector of exactly
    // so many, and keeps a copy. no_new_privs is set, which an unprivileged caller needs.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    if result != 0 {
        return Err(Failure::new(&io::Error::last_os_error(), "seccomp"));
    }
    Ok(Done::applied().detail(format!("{} calls refused", REFUSED.len() + 1)))
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// What the filter returns for one call.
    fn answer(architecture: u32, call: i64, arguments: [u64; 2]) -> u32 {
        let code = program();
        let mut data = Vec::new();
        data.extend((call as u32).to_le_bytes());
        data.extend(architecture.to_le_bytes());
        data.extend([0; 8]);
        data.extend(arguments.iter().flat_map(|argument| argument.to_le_bytes()));
        let (mut at, mut value) = (0, 0u32);
        loop {
            let it = code[at];
            let jump = |taken: bool| 1 + usize::from(if taken { it.jt } else { it.jf });
            match u32::from(it.code) {
                LOAD => {
                    let from = it.k as usize;
                    value = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
                    at += 1;
                }
                IF_EQUAL => at += jump(value == it.k),
                IF_AT_LEAST => at += jump(value >= it.k),
                IF_ANY_BIT => at += jump(value & it.k != 0),
                RETURN => return it.k,
                other => panic!("{other}"),
            }
        }
    }

    fn native(call: i64, first: u64, second: u64) -> u32 {
        answer(NATIVE, call, [first, second])
    }

    #[test]
    fn calls_that_no_connector_needs_are_refused() {
        for call in REFUSED {
            assert_eq!(native(*call, 0, 0), refuse(libc::EPERM), "{call}");
        }
        assert_eq!(native(libc::SYS_clone3, 0, 0), refuse(libc::ENOSYS));
    }

    #[test]
    fn what_programs_do_every_day_is_allowed() {
        for call in [
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_openat,
            libc::SYS_mmap,
            libc::SYS_mprotect,
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_futex,
            libc::SYS_epoll_wait,
            libc::SYS_connect,
            libc::SYS_exit_group,
        ] {
            assert_eq!(native(call, 0, 0), ALLOW, "{call}");
        }
    }

    #[test]
    fn a_thread_is_allowed_and_a_namespace_is_not() {
        let thread = libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND;
        assert_eq!(native(libc::SYS_clone, thread as u64, 0), ALLOW);
        for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNET, libc::CLONE_NEWNS] {
            assert_eq!(native(libc::SYS_clone, flag as u64, 0), refuse(libc::EPERM));
        }
    }

    #[test]
    fn only_known_families_of_sockets_are_allowed() {
        for family in FAMILIES {
            assert_eq!(native(libc::SYS_socket, family as u64, 0), ALLOW, "{family}");
        }
        for family in [libc::AF_PACKET, libc::AF_ALG, libc::AF_VSOCK, libc::AF_BLUETOOTH] {
            assert_eq!(native(libc::SYS_socket, family as u64, 0), refuse(libc::EAFNOSUPPORT));
        }
    }

    #[test]
    fn nothing_is_put_into_a_terminal_and_no_personality_is_taken() {
        assert_eq!(native(libc::SYS_ioctl, 0, libc::TIOCSTI), refuse(libc::EPERM));
        assert_eq!(native(libc::SYS_ioctl, 0, libc::TIOCLINUX), refuse(libc::EPERM));
        assert_eq!(native(libc::SYS_ioctl, 0, libc::FIONREAD), ALLOW);
        assert_eq!(native(libc::SYS_personality, 8, 0), refuse(libc::EPERM));
        assert_eq!(native(libc::SYS_personality, u64::from(u32::MAX), 0), ALLOW);
    }

    #[test]
    fn another_architecture_ends_the_process() {
        const I386: u32 = 0x4000_0003;
        assert_eq!(answer(I386, libc::SYS_read, [0, 0]), KILL);
        assert_eq!(native(libc::SYS_read | i64::from(X32), 0, 0), KILL);
    }
}
