//! Each attack, without a jail around it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::rig::{Found, HOSTILE, NOBODY, Rig, is_root, outcomes};

/// Cases that have a test of their own, because they need what a plain run lacks.
const ELSEWHERE: [&str; 4] =
    ["inherited_descriptors", "controlling_terminal", "tiocsti", "setuid_program"];

/// Whether the host itself stands against a case, so that nothing can be shown here.
fn is_not_here(case: &str, detail: &str) -> bool {
    // The kernel has no such call, device or file at all.
    let missing = |text: &str| text.split("; ").all(|part| part.contains("(os error 2)"));
    let unknown = |text: &str| text.split("; ").all(|part| part.contains("(os error 38)"));
    match case {
        "abi_x32" => detail.contains("does not know the call"),
        "abi_32_bit" => detail.contains("SIGSEGV"),
        "raise_rlimits" | "oom_score" => !may_raise_limits(),
        _ => missing(detail) || unknown(detail),
    }
}

/// Root in a container often lacks this one.
fn may_raise_limits() -> bool {
    const SYS_RESOURCE: u64 = 1 << 24;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(held.trim(), 16).unwrap() & SYS_RESOURCE != 0
}

fn results(found: &BTreeMap<String, Found>, cases: &[&str]) -> Vec<(String, String)> {
    cases.iter().map(|case| ((*case).to_owned(), found[*case].result.clone())).collect()
}

fn all(cases: &[&str], result: &str) -> Vec<(String, String)> {
    cases.iter().map(|case| ((*case).to_owned(), result.to_owned())).collect()
}

#[test]
fn without_a_jail_every_attack_that_the_host_offers_is_allowed_to_root() {
    if !is_root() {
        eprintln!("skipped: root");
        return;
    }
    let rig = Rig::new(None);
    let found = rig.attack_all(None);
    let (mut allowed, mut held) = (0, Vec::new());
    for (case, Found { result, detail }) in &found {
        match result.as_str() {
            _ if ELSEWHERE.contains(&case.as_str()) => {}
            "ALLOWED" => allowed += 1,
            "denied" if is_not_here(case, detail) => {
                eprintln!("not on this host: {case}: {detail}")
            }
            _ => held.push(format!("{case}: {result}: {detail}")),
        }
    }
    assert_eq!(held, [""; 0], "a denial of these in a jail would prove nothing");
    assert!(allowed >= 60, "only {allowed} of {} cases can be shown here", found.len());
    assert!(rig.ends_clean(), "attacks and victim leave nothing behind");
}

#[test]
fn a_plain_user_reaches_all_that_is_its_own_or_everybodys() {
    if !is_root() {
        eprintln!("skipped: root, to become a plain user");
        return;
    }
    let rig = Rig::new(Some(NOBODY));
    let found = rig.attack_all(Some(NOBODY));
    // One user for two connectors is no isolation at all.
    let same_user = [
        "proc_environ",
        "proc_cmdline",
        "proc_mem",
        "proc_fd",
        "process_list",
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "pidfd_getfd",
        "kcmp",
        "kill",
        "prlimit_other",
    ];
    assert_eq!(results(&found, &same_user), all(&same_user, "ALLOWED"));
    let everybodys = [
        "state_dir_read",
        "config_read",
        "neighbour_dir_read",
        "neighbour_dir_write",
        "outside_dir_write",
        "host_dirs_read",
        "control_socket",
        "loopback_tcp",
        "abstract_socket",
        "metadata_tcp",
        "outside_tcp",
        "outside_udp",
        "outside_dns",
        "keyctl",
        "add_key",
        "request_key",
        "quotactl",
        "process_madvise",
        "move_pages",
        "sysv_shm",
        "posix_mq",
        "exec_written_file",
        "exec_by_descriptor",
    ];
    assert_eq!(results(&found, &everybodys), all(&everybodys, "ALLOWED"));
    let roots = [
        "setuid_root",
        "setgid_root",
        "unshare_others",
        "mount",
        "fsopen",
        "chroot",
        "settimeofday",
        "reboot",
        "swapon",
        "nice",
        "sched_fifo",
        "mlock",
        "mknod",
        "raw_socket",
        "cgroup_write",
        "host_secrets_read",
        "proc_sys_write",
    ];
    assert_eq!(results(&found, &roots), all(&roots, "denied"));
}

#[test]
fn another_users_process_is_closed_but_not_hidden_and_its_programs_give_rights() {
    if !is_root() {
        eprintln!("skipped: root, to become a plain user");
        return;
    }
    let rig = Rig::new(None);
    let found = rig.attack_all(Some(NOBODY));
    let closed = [
        "proc_environ",
        "proc_mem",
        "proc_fd",
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "pidfd_getfd",
        "kcmp",
        "kill",
        "prlimit_other",
        "setns",
    ];
    assert_eq!(results(&found, &closed), all(&closed, "denied"));
    let open = ["proc_cmdline", "process_list", "setuid_program"];
    assert_eq!(results(&found, &open), all(&open, "ALLOWED"));
}

#[test]
fn a_descriptor_that_was_left_open_is_found() {
    let output = Command::new("sh")
        .args(["-c", "exec 9</dev/null; exec \"$0\" attack inherited_descriptors", HOSTILE])
        .output()
        .unwrap();
    let found = &outcomes(&output.stdout)["inherited_descriptors"];
    assert_eq!(found.result, "ALLOWED");
    assert!(found.detail.contains('9'), "{}", found.detail);
}

#[test]
fn a_terminal_is_found_and_typed_into() {
    if !is_root() {
        eprintln!("skipped: root, who may type into a terminal");
        return;
    }
    for case in ["controlling_terminal", "tiocsti"] {
        let command = format!("{HOSTILE} attack {case}");
        // Gives the command a terminal of its own.
        let run = Command::new("script").args(["-qec", &command, "/dev/null"]).output();
        let Ok(output) = run else {
            eprintln!("skipped: script");
            return;
        };
        // What was typed is echoed before the outcome.
        let printed = String::from_utf8_lossy(&output.stdout);
        let line = printed.lines().find(|line| line.starts_with('{')).expect("an outcome");
        assert_eq!(outcomes(line.as_bytes())[case].result, "ALLOWED", "{printed}");
    }
}

#[test]
fn what_cannot_be_tried_is_skipped_and_never_denied() {
    let own = tempfile::tempdir().unwrap();
    std::fs::set_permissions(own.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
    for case in [
        "proc_environ",
        "ptrace",
        "kill",
        "state_dir_read",
        "config_read",
        "neighbour_dir_read",
        "control_socket",
        "loopback_tcp",
        "abstract_socket",
        "sysv_shm",
        "posix_mq",
        "setuid_program",
        "outside_dir_write",
        "move_pages",
    ] {
        let output = Command::new(HOSTILE).args(["attack", case]).output().unwrap();
        let result = &outcomes(&output.stdout)[case].result;
        assert!(result.starts_with("skipped: no --"), "{case}: {result}");
    }
}

#[test]
fn a_case_that_does_not_exist_is_refused() {
    let output = Command::new(HOSTILE).args(["attack", "melt"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no case \"melt\""), "{output:?}");
}
