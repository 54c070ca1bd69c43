//! What a connector finds itself in.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
};

use cordon_sandbox::{DeathCause, ItemState, KillReason, LaunchSpec, Level, Limits, Step};
use rustix::process::geteuid;

use crate::rig::{Rig, STRANGER, eventually, group_members, has, limit, output, run, status};

#[test]
fn the_environment_is_exactly_what_the_spec_lists() {
    run(async {
        let rig = Rig::new();
        let env = vec![("HR_MODE".to_owned(), "full = yes".to_owned())];
        let mut jailed = rig.start(LaunchSpec { env, ..rig.spec("/usr/bin/env", &[]) }).await;
        let text = output(&mut jailed).await;
        let found: BTreeSet<&str> = text.lines().collect();
        let home = jailed.report().private_dir.display().to_string();
        let (home, tmp) = (format!("HOME={home}"), format!("TMPDIR={home}"));
        let listed = ["CORDON_FD=3", "HR_MODE=full = yes", "LANG=C.UTF-8", &home, &tmp];
        assert_eq!(found, BTreeSet::from(listed));
        jailed.wait().await;
    });
}

#[test]
fn open_descriptors_are_null_log_log_and_channel_whatever_the_supervisor_leaks() {
    run(async {
        let rig = Rig::new();
        let leak = fs::File::open("/etc/passwd").unwrap();
        rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
        let jailed = rig.start(rig.script("kill -STOP $$")).await;
        // Past the files that a program opens while it is loaded.
        eventually("it stands still", || jailed.is_stopped()).await;
        let dir = format!("/proc/{}/fd", jailed.pid());
        let mut found: Vec<(String, String)> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_link(&path).unwrap().to_str().unwrap().to_owned())
            })
            .collect();
        found.sort();
        let numbers: Vec<&str> = found.iter().map(|(number, _)| number.as_str()).collect();
        assert_eq!(numbers, ["0", "1", "2", "3"], "leaked {}: {found:?}", leak.as_raw_fd());
        assert_eq!(found[0].1, "/dev/null");
        assert!(found[1].1.starts_with("pipe:") && found[1].1 == found[2].1, "{found:?}");
        assert!(found[3].1.starts_with("socket:"), "{found:?}");
    });
}

#[test]
fn the_channel_carries_bytes_both_ways() {
    run(async {
        let rig = Rig::new();
        let script = "read line <&3 && echo \"got $line\" >&3";
        let mut jailed = rig.start(rig.script(script)).await;
        let mut channel = jailed.take_channel().unwrap();
        assert!(jailed.take_channel().is_none());
        channel.set_nonblocking(false).unwrap();
        channel.write_all(b"hello\n").unwrap();
        let mut answer = String::new();
        channel.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "got hello\n");
        assert_eq!(jailed.wait().await.cause, DeathCause::Exit { code: 0 });
    });
}

#[test]
fn limits_of_each_process_hold_and_are_read_back() {
    run(async {
        let rig = Rig::new();
        let limits = Limits {
            files: 64,
            file_size_bytes: Some(1 << 20),
            cpu_seconds: Some(9),
            address_space_bytes: Some(1 << 30),
            ..Limits::default()
        };
        let jailed = rig.start(LaunchSpec { limits, ..rig.spec("/bin/sleep", &["300"]) }).await;
        let both = |value: &str| (value.to_owned(), value.to_owned());
        let pid = jailed.pid();
        assert_eq!(limit(pid, "Max open files"), both("64"));
        assert_eq!(limit(pid, "Max core file size"), both("0"));
        assert_eq!(limit(pid, "Max file size"), both("1048576"));
        assert_eq!(limit(pid, "Max cpu time"), ("9".to_owned(), "14".to_owned()));
        assert_eq!(limit(pid, "Max address space"), both("1073741824"));
        let item = jailed.report().item(Step::LimitFiles).unwrap();
        assert_eq!((item.asked, item.in_force), (Some(64), Some(64)));
    });
}

#[test]
fn no_privilege_is_held_and_none_can_be_gained() {
    run(async {
        let rig = Rig::new();
        let jailed = rig.start(rig.spec("/bin/sleep", &["300"])).await;
        let pid = jailed.pid();
        assert_eq!(status(pid, "NoNewPrivs"), "1");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(status(pid, set), "0000000000000000", "{set}");
        }
        if geteuid().is_root() {
            assert_eq!(status(pid, "CapBnd"), "0000000000000000");
        }
    });
}

#[test]
fn a_connector_starts_without_ignored_or_blocked_signals() {
    run(async {
        let rig = Rig::new();
        let jailed = rig.start(rig.spec("/bin/sleep", &["300"])).await;
        for mask in ["SigBlk", "SigIgn"] {
            assert_eq!(status(jailed.pid(), mask), "0000000000000000", "{mask}");
        }
    });
}

#[test]
fn a_connector_leads_a_session_of_its_own_in_its_private_directory() {
    run(async {
        let rig = Rig::new();
        let jailed = rig.start(rig.spec("/bin/sleep", &["300"])).await;
        let pid = jailed.pid();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let session = stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().to_owned();
        assert_eq!(session, pid.to_string());
        let dir = &jailed.report().private_dir;
        assert_eq!(&fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), dir);
        let found = fs::metadata(dir).unwrap();
        assert_eq!((found.mode() & 0o777, found.uid()), (0o700, geteuid().as_raw()));
        assert_eq!(status(pid, "Umask"), "0077");
    });
}

#[test]
fn as_root_a_connector_gets_a_user_of_its_own_without_groups() {
    if !has("uid_switch") {
        return;
    }
    run(async {
        let rig = Rig::new();
        let spec = rig.script("id; touch $HOME/mine && exec sleep 300");
        let jailed = rig.start(LaunchSpec { run_as: STRANGER, ..spec }).await;
        let pid = jailed.pid();
        for ids in ["Uid", "Gid"] {
            assert_eq!(status(pid, ids), "65533\t65533\t65533\t65533", "{ids}");
        }
        assert_eq!(status(pid, "Groups"), "");
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(status(pid, set), "0000000000000000", "{set}");
        }
        let report = jailed.report();
        assert_eq!((report.uid, report.gid), (65_533, 65_533));
        assert_eq!(fs::metadata(&report.private_dir).unwrap().uid(), 65_533);
        let mine = report.private_dir.join("mine");
        eventually("it writes in its directory", || mine.exists()).await;
    });
}

#[test]
fn without_root_a_user_of_its_own_is_reported_as_unavailable() {
    if geteuid().is_root() {
        return;
    }
    run(async {
        let rig = Rig::new();
        let spec = rig.spec("/bin/sleep", &["300"]);
        let jailed = rig.start(LaunchSpec { run_as: STRANGER, ..spec }).await;
        let item = jailed.report().item(Step::Identity).unwrap();
        assert_eq!((item.state, item.errno), (ItemState::Unavailable, Some(1)));
        assert_eq!(jailed.report().uid, geteuid().as_raw());
    });
}

#[test]
fn the_tree_joins_its_groups_and_their_limits_are_read_back() {
    if !["cgroup_memory", "cgroup_pids", "cgroup_cpu", "tree_kill"].into_iter().all(has) {
        return;
    }
    run(async {
        let rig = Rig::new();
        let limits = Limits {
            memory_bytes: Some(64 << 20),
            tasks: Some(30),
            cpu_percent: Some(50),
            ..Limits::default()
        };
        let spec = LaunchSpec { limits, ..rig.spec("/bin/sleep", &["300"]) };
        let mut jailed = rig.start(spec).await;
        let report = jailed.report().clone();
        for (step, value) in
            [(Step::LimitMemory, 64 << 20), (Step::LimitTasks, 30), (Step::LimitCpu, 50)]
        {
            let item = report.item(step).unwrap();
            assert_eq!((item.state, item.in_force), (ItemState::Applied, Some(value)), "{item:?}");
        }
        assert!(!report.cgroups.is_empty());
        for group in &report.cgroups {
            assert!(group_members(group).contains(&jailed.pid()), "{}", group.display());
        }
        jailed.killer().kill(KillReason::Requested);
        jailed.wait().await;
        for group in &report.cgroups {
            assert!(!group.exists(), "{}", group.display());
        }
    });
}

/// Groups are weighed against their sisters: one above all connectors would weigh as the supervisor.
#[test]
fn no_group_of_all_connectors_stands_above_that_of_one() {
    if !has("cgroup_cpu") {
        return;
    }
    run(async {
        let rig = Rig::new();
        let jailed = rig.start(rig.spec("/bin/sleep", &["300"])).await;
        let ours = format!("cordon-test-{}", std::process::id());
        for group in &jailed.report().cgroups {
            let (above, name) = (group.parent().unwrap(), group.file_name().unwrap());
            assert!(name.to_string_lossy().starts_with(&ours), "{}", group.display());
            assert!(!above.to_string_lossy().contains(&ours), "{}", group.display());
        }
    });
}

#[test]
fn a_connector_that_spins_is_held_to_its_share_of_a_core() {
    if !has("cgroup_cpu") {
        return;
    }
    run(async {
        let rig = Rig::new();
        let limits = Limits { cpu_percent: Some(20), ..Limits::default() };
        let spin = rig.script("while :; do :; done");
        let mut jailed = rig.start(LaunchSpec { limits, ..spin }).await;
        let began = std::time::Instant::now();
        // On a busy host it gets little anyway, so what counts is that it was held back.
        let groups = jailed.report().cgroups.clone();
        let throttled = |text: String| {
            let counts = text.lines().filter_map(|line| line.strip_prefix("nr_throttled "));
            counts.map(|count| count.parse().unwrap_or(0)).sum::<u64>() >= 3
        };
        eventually("it is held back", || {
            let stats = groups.iter().map(|group| fs::read_to_string(group.join("cpu.stat")));
            stats.flatten().any(throttled)
        })
        .await;
        jailed.killer().kill(KillReason::Timeout);
        let death = jailed.wait().await;
        let share = death.cpu_time.unwrap().as_secs_f64() / began.elapsed().as_secs_f64();
        assert!(share < 0.4, "used {share} of a core");
    });
}

#[test]
fn the_report_names_every_step_once_with_its_state() {
    run(async {
        let rig = Rig::without_groups();
        let limits = Limits { memory_bytes: Some(64 << 20), ..Limits::default() };
        let spec = LaunchSpec { limits, ..rig.spec("/bin/sleep", &["300"]) };
        let jailed = rig.start(spec).await;
        let report = jailed.report();
        let told: Vec<(&str, ItemState)> =
            report.items.iter().map(|item| (item.step.name(), item.state)).collect();
        use ItemState::{Applied, NotAsked, Unavailable};
        let bounding = if geteuid().is_root() { Applied } else { Unavailable };
        let expected = [
            ("private_dir", Applied),
            ("limit_memory", Unavailable),
            ("limit_tasks", NotAsked),
            ("limit_cpu", NotAsked),
            ("descriptors", Applied),
            ("session", Applied),
            ("signals", Applied),
            ("oom_score", Applied),
            ("group_memory", Unavailable),
            ("group_tasks", Unavailable),
            ("group_cpu", Unavailable),
            ("group_kill", Unavailable),
            ("lineage", Applied),
            ("limit_files", Applied),
            ("limit_core", Applied),
            ("limit_file_size", NotAsked),
            ("limit_cpu_time", NotAsked),
            ("limit_address_space", NotAsked),
            ("limit_processes", NotAsked),
            ("user_namespace", NotAsked),
            ("mount_namespace", NotAsked),
            ("ipc_namespace", NotAsked),
            ("uts_namespace", NotAsked),
            ("network_namespace", NotAsked),
            ("relays", NotAsked),
            ("pid_namespace", NotAsked),
            ("view", NotAsked),
            ("bounding_set", bounding),
            ("identity", NotAsked),
            ("capabilities", Applied),
            ("no_new_privs", Applied),
            ("non_dumpable", Applied),
            ("working_dir", Applied),
            ("parent_death", Applied),
            ("landlock_files", NotAsked),
            ("landlock_ports", NotAsked),
            ("landlock_scope", NotAsked),
            ("seccomp", Applied),
            ("exec", Applied),
        ];
        assert_eq!(told, expected);
        let required = report.items.iter().filter(|item| item.required);
        let beyond = required.clone().filter(|item| item.level != Level::L0);
        assert_eq!(beyond.map(|item| item.step).collect::<Vec<_>>(), [Step::View, Step::Identity]);
        assert_eq!(required.count(), 18);
        let text = serde_json::to_string(report).unwrap();
        assert!(
            text.contains(
                r#""step":"no_new_privs","level":"L0","required":true,"state":"applied""#
            )
        );
    });
}
