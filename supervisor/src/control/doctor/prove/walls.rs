//! Which walls stand against which attack.

use cordon_sandbox::{ItemState, JailReport, Step, View};

/// The walls that stand against an attack which was allowed, and are not in force. Empty when all
/// are, or when nobody knows.
pub(super) fn missing(case: &str, view: &View, report: &JailReport) -> String {
    let states = against(case).iter().filter_map(|step| {
        let item = report.item(*step)?;
        if item.state != ItemState::Applied {
            return Some(format!("{step} is {}", item.state.as_str()));
        }
        // A wall with a wide gate: what is allowed may simply be in sight.
        let is_wide = *step == Step::View && *view == View::ReadOnly;
        is_wide.then(|| format!("{step} shows the host's files"))
    });
    states.collect::<Vec<_>>().join(", ")
}

/// The nearest wall first. A case that is not known here has none to be named.
fn against(case: &str) -> &'static [Step] {
    use Step::*;
    match case {
        "inherited_descriptors" => &[Descriptors],
        "kill" => &[PidNamespace, Identity, LandlockScope],
        "proc_environ" | "proc_cmdline" | "proc_mem" | "proc_fd" | "process_list" | "ptrace"
        | "process_vm_readv" | "process_vm_writev" | "pidfd_getfd" | "kcmp" | "prlimit_other"
        | "setns" | "move_pages" => &[PidNamespace, Identity],
        "state_dir_read"
        | "state_file_link"
        | "config_read"
        | "neighbour_dir_read"
        | "neighbour_dir_write"
        | "outside_dir_write"
        | "host_secrets_read"
        | "host_dirs_read"
        | "host_dirs_write"
        | "control_socket"
        | "cgroup_write"
        | "sys_write"
        | "proc_sys_write"
        | "sysrq_trigger"
        | "dev_mem" => &[View, LandlockFiles, Identity],
        "loopback_tcp" | "metadata_tcp" | "outside_tcp" | "outside_udp" | "outside_dns" => {
            &[NetworkNamespace, LandlockPorts]
        }
        "abstract_socket" => &[NetworkNamespace, LandlockScope],
        "sysv_shm" | "posix_mq" => &[IpcNamespace],
        "exec_written_file" | "exec_by_descriptor" => &[View, LandlockFiles],
        "setuid_program" => &[NoNewPrivs],
        "controlling_terminal" | "tiocsti" => &[Session, Seccomp],
        "core_dump" => &[LimitCore],
        "raise_rlimits" | "nice" | "sched_fifo" | "ioprio_realtime" | "mlock" | "oom_score"
        | "mknod" | "raw_socket" | "setuid_root" | "setgid_root" => &[Identity, Capabilities],
        // What is left are calls that reach into the kernel.
        _ => &[Seccomp, Capabilities],
    }
}
