//! What a connector died of is what the kernel says.

use std::time::Duration;

use cordon_sandbox::{Death, DeathCause, KillReason, LaunchSpec, Limits};

use crate::rig::{Rig, eventually, has, is_alive, run};

async fn death_of(rig: &Rig, spec: LaunchSpec) -> Death {
    let mut jailed = rig.start(spec).await;
    jailed.wait().await
}

#[test]
fn an_exit_code_is_told() {
    run(async {
        let rig = Rig::new();
        let death = death_of(&rig, rig.script("exit 3")).await;
        assert_eq!(death.cause, DeathCause::Exit { code: 3 });
        assert_eq!((death.oom_kills, death.pids_denied, death.survivors), (0, 0, 0));
        assert!(death.memory_peak_bytes.unwrap() > 0);
        assert!(death.cpu_time.unwrap() > Duration::ZERO);
    });
}

#[test]
fn a_signal_that_nobody_ordered_is_told() {
    run(async {
        let rig = Rig::new();
        for (name, signal) in [("SEGV", 11), ("KILL", 9), ("TERM", 15)] {
            let death = death_of(&rig, rig.script(&format!("kill -{name} $$"))).await;
            assert_eq!(death.cause, DeathCause::Signal { signal });
        }
    });
}

#[test]
fn the_reason_of_an_order_wins_over_its_signal() {
    run(async {
        let rig = Rig::new();
        let mut jailed = rig.start(rig.spec("/bin/sleep", &["300"])).await;
        let killer = jailed.killer();
        killer.kill(KillReason::Stalled);
        killer.kill(KillReason::Shutdown);
        let death = jailed.wait().await;
        assert_eq!(death.cause, DeathCause::Killed { reason: KillReason::Stalled });
        assert_eq!(jailed.wait().await, death);
    });
}

#[test]
fn an_order_after_its_death_does_not_change_what_it_died_of() {
    run(async {
        let rig = Rig::new();
        let mut jailed = rig.start(rig.script("kill -KILL $$")).await;
        let pid = jailed.pid();
        eventually("it is dead", || !is_alive(pid)).await;
        jailed.killer().kill(KillReason::Timeout);
        assert_eq!(jailed.wait().await.cause, DeathCause::Signal { signal: 9 });
    });
}

#[test]
fn a_memory_hog_dies_of_memory_and_its_neighbour_lives() {
    if !has("cgroup_memory") {
        return;
    }
    run(async {
        let rig = Rig::new();
        let limits = Limits { memory_bytes: Some(32 << 20), ..Limits::default() };
        let neighbour = LaunchSpec { name: "csv".into(), ..rig.spec("/bin/sleep", &["300"]) };
        let neighbour = rig.start(LaunchSpec { limits: limits.clone(), ..neighbour }).await;
        let hog = rig.spec("/usr/bin/tail", &["/dev/zero"]);
        let death = death_of(&rig, LaunchSpec { limits, ..hog }).await;
        assert_eq!(death.cause.to_string(), "out of memory (limit 32 MiB)");
        assert!(death.oom_kills >= 1);
        let peak = death.memory_peak_bytes.unwrap();
        assert!((30 << 20..=32 << 20).contains(&peak), "{peak}");
        assert!(is_alive(neighbour.pid()));
    });
}

#[test]
fn a_file_over_the_limit_is_a_limit_hit() {
    run(async {
        let rig = Rig::new();
        let limits = Limits { file_size_bytes: Some(1 << 20), ..Limits::default() };
        let spec = rig.script("exec head -c 2000000 /dev/zero > $HOME/large");
        let death = death_of(&rig, LaunchSpec { limits, ..spec }).await;
        assert_eq!(death.cause.to_string(), "hit its limit: file size 1 MiB");
    });
}

#[test]
fn processor_time_over_the_limit_is_a_limit_hit() {
    run(async {
        let rig = Rig::new();
        let limits = Limits { cpu_seconds: Some(1), ..Limits::default() };
        let spec = rig.script("while :; do :; done");
        let death = death_of(&rig, LaunchSpec { limits, ..spec }).await;
        assert_eq!(death.cause.to_string(), "hit its limit: processor time 1 s");
        let used = death.cpu_time.unwrap();
        assert!(used > Duration::from_millis(500), "{used:?}");
    });
}

#[test]
fn a_stopped_connector_is_seen_and_can_be_killed() {
    run(async {
        let rig = Rig::new();
        let mut jailed = rig.start(rig.script("kill -STOP $$; exec sleep 300")).await;
        eventually("it is seen as stopped", || jailed.is_stopped()).await;
        assert!(jailed.is_stopped());
        jailed.killer().kill(KillReason::Stalled);
        let death = jailed.wait().await;
        assert_eq!(death.cause, DeathCause::Killed { reason: KillReason::Stalled });
        let running = rig.start(rig.spec("/bin/sleep", &["300"])).await;
        assert!(!running.is_stopped());
    });
}
