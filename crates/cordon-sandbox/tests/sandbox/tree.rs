//! A connector ends with everything that it started.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use cordon_sandbox::{DeathCause, KillReason, LaunchSpec, Limits};
use tokio::io::BufReader;

use crate::rig::{Rig, eventually, group_members, has, is_alive, lines_until, run};

/// A child, and a daemon that left session, parents and environment and ignores every signal it
/// can.
const FAMILY: &str = r#"
    trap '' TERM HUP INT
    sleep 300 & echo $!
    (env -i /usr/bin/setsid /bin/sh -c 'trap "" TERM HUP INT; echo $$; for i in $(seq 300); do sleep 1; done' &)
    sleep 0.3
    echo ready
"#;

async fn family_is_gone_after(rig: &Rig, end: &str, order: Option<KillReason>) -> DeathCause {
    let mut jailed = rig.start(rig.script(&format!("{FAMILY}{end}"))).await;
    let mut output = BufReader::new(jailed.take_output().unwrap());
    let lines = lines_until(&mut output, "ready").await;
    let pids: Vec<u32> = lines.iter().map(|line| line.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2, "{lines:?}");
    if let Some(reason) = order {
        assert!(pids.iter().all(|pid| is_alive(*pid)));
        jailed.killer().kill(reason);
    }
    let death = jailed.wait().await;
    assert_eq!(death.survivors, 0);
    let left: Vec<&u32> = pids.iter().filter(|pid| is_alive(**pid)).collect();
    assert!(left.is_empty(), "{left:?} still live");
    death.cause
}

#[test]
fn child_and_daemon_are_gone_after_a_kill() {
    if !has("tree_kill") {
        return;
    }
    run(async {
        let rig = Rig::new();
        let cause = family_is_gone_after(&rig, "exec sleep 300", Some(KillReason::Timeout)).await;
        assert_eq!(cause, DeathCause::Killed { reason: KillReason::Timeout });
    });
}

#[test]
fn child_and_daemon_are_gone_after_a_kill_without_any_group() {
    run(async {
        let rig = Rig::without_groups();
        let cause = family_is_gone_after(&rig, "exec sleep 300", Some(KillReason::Timeout)).await;
        assert_eq!(cause, DeathCause::Killed { reason: KillReason::Timeout });
    });
}

#[test]
fn child_and_daemon_are_gone_after_the_connector_exits() {
    run(async {
        for rig in [Rig::new(), Rig::without_groups()] {
            let cause = family_is_gone_after(&rig, "exit 5", None).await;
            assert_eq!(cause, DeathCause::Exit { code: 5 });
        }
    });
}

#[test]
fn a_kill_ends_only_its_own_connector() {
    run(async {
        for rig in [Rig::new(), Rig::without_groups()] {
            let other = rig.start(rig.script(FAMILY.trim_end_matches("echo ready\n    ")));
            let mut other = other.await;
            let mut output = BufReader::new(other.take_output().unwrap());
            let keeper = rig.start(rig.script(&format!("{FAMILY} exec sleep 300")));
            let mut keeper = keeper.await;
            let mut kept = BufReader::new(keeper.take_output().unwrap());
            let family = lines_until(&mut kept, "ready").await;
            lines_until(&mut output, "ready").await;
            other.wait().await;
            for pid in family.iter().map(|line| line.parse().unwrap()).chain([keeper.pid()]) {
                assert!(is_alive(pid), "{pid}");
            }
            keeper.killer().kill(KillReason::Requested);
            keeper.wait().await;
        }
    });
}

#[test]
fn a_fork_bomb_is_bounded_and_ends_at_once() {
    if !has("cgroup_pids") {
        return;
    }
    run(async {
        let rig = Rig::new();
        let limits = Limits { tasks: Some(40), ..Limits::default() };
        let script = "sh -c 'while :; do setsid sleep 300 & done' 2>/dev/null
                      echo ready; exec sleep 300";
        let mut jailed = rig.start(LaunchSpec { limits, ..rig.script(script) }).await;
        let mut output = BufReader::new(jailed.take_output().unwrap());
        lines_until(&mut output, "ready").await;
        let group = jailed.report().cgroups[0].clone();
        let members = group_members(&group);
        assert!((20..=40).contains(&members.len()), "{}", members.len());
        let began = Instant::now();
        jailed.killer().kill(KillReason::Requested);
        let death = jailed.wait().await;
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(death.pids_denied >= 1);
        assert!(members.iter().all(|pid| !is_alive(*pid)));
    });
}

#[test]
fn forks_in_the_moment_of_the_kill_do_not_outlive_it() {
    run(async {
        for rig in [Rig::new(), Rig::without_groups()] {
            for round in 0..10 {
                let script = "for i in 1 2 3 4; do
                    (setsid sh -c 'for i in $(seq 5000); do (setsid sleep 0.05 &); done' &)
                    done; echo ready; exec sleep 300";
                let limits = Limits { tasks: Some(60), ..Limits::default() };
                let mut jailed = rig.start(LaunchSpec { limits, ..rig.script(script) }).await;
                let mut output = BufReader::new(jailed.take_output().unwrap());
                lines_until(&mut output, "ready").await;
                jailed.killer().kill(KillReason::Requested);
                assert_eq!(jailed.wait().await.survivors, 0, "round {round}");
            }
            assert_eq!(rig.directories(), 0);
        }
    });
}

#[test]
fn what_it_left_in_its_directory_is_removed_after_its_death() {
    run(async {
        let rig = Rig::new();
        let script = "mkdir -p a/b && echo 1 > a/b/file && chmod 0 a/b && chmod 500 a
                      ln -s / root; mkfifo pipe; exit 0";
        let mut jailed = rig.start(rig.script(script)).await;
        let dir = jailed.report().private_dir.clone();
        let death = jailed.wait().await;
        assert_eq!(death.cause, DeathCause::Exit { code: 0 });
        assert!(!dir.exists());
        assert_eq!(rig.directories(), 0);
    });
}

#[test]
fn dropping_a_connector_ends_it() {
    run(async {
        let rig = Rig::new();
        let jailed = rig.start(rig.spec("/bin/sleep", &["300"])).await;
        let (pid, dir) = (jailed.pid(), jailed.report().private_dir.clone());
        drop(jailed);
        eventually("it is gone", || !is_alive(pid) && !dir.exists()).await;
    });
}

/// Children of this process that ended and were not collected.
fn zombies() -> Vec<u32> {
    let me = std::process::id().to_string();
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_zombie_of_ours = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap_or_default().1.split(' ').collect();
        fields.first() == Some(&"Z") && fields.get(1) == Some(&me.as_str())
    };
    pids.filter(is_zombie_of_ours).collect()
}

#[test]
fn orphans_are_collected_and_no_other_childs_exit_is_taken() {
    run(async {
        let rig = Rig::new();
        let mut own = Command::new("/bin/sh").args(["-c", "exit 7"]).spawn().unwrap();
        let script = "for i in 1 2 3; do (sh -c 'echo $$; exec sleep 0.2' &); done
                      sleep 1; echo ready; exec sleep 300";
        let mut jailed = rig.start(rig.script(script)).await;
        let mut output = BufReader::new(jailed.take_output().unwrap());
        let lines = lines_until(&mut output, "ready").await;
        let orphans: Vec<u32> = lines.iter().map(|line| line.parse().unwrap()).collect();
        assert_eq!(orphans.len(), 3);
        eventually("the orphans are collected", || {
            let left = zombies();
            orphans.iter().all(|pid| !left.contains(pid))
        })
        .await;
        assert!(zombies().contains(&own.id()));
        assert_eq!(own.wait().unwrap().code(), Some(7));
    });
}

#[test]
fn a_connector_and_its_children_are_known_as_such_and_nobody_else() {
    run(async {
        let rig = Rig::new();
        let mut jailed = rig.start(rig.script("sleep 300 & echo $!; exec sleep 300")).await;
        let mut lines = BufReader::new(jailed.take_output().unwrap());
        let mut line = String::new();
        tokio::io::AsyncBufReadExt::read_line(&mut lines, &mut line).await.unwrap();
        let child: u32 = line.trim().parse().unwrap();
        assert!(cordon_sandbox::is_connector(jailed.pid()));
        assert!(cordon_sandbox::is_connector(child));
        assert!(!cordon_sandbox::is_connector(std::process::id()));
        assert!(!cordon_sandbox::is_connector(1));
        jailed.killer().kill(KillReason::Requested);
        jailed.wait().await;
        // One that ended keeps its mark until it is collected.
        eventually("it is forgotten", || !cordon_sandbox::is_connector(child)).await;
    });
}
