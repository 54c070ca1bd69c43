//! Supervisors that are killed, and what the next one finds.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use cordon_sandbox::{CgroupParent, Host, LaunchSpec, RunAs, sweep_leftovers};
use rustix::process::geteuid;

use crate::rig::{Rig, STRANGER, eventually, has, host, is_alive, lines_until, run, skipped};

const ROLE: &str = "CORDON_TEST_SUPERVISOR";
const NESTED: &str = "CORDON_TEST_AS_USER";

/// Not a test by itself: another process of this binary runs it to be killed.
#[test]
fn supervisor_to_be_killed() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    run(async {
        let rig = Rig::new();
        let script = "(setsid sh -c 'echo $$; for i in $(seq 300); do sleep 1; done' &)
                      sleep 0.3; echo $$; echo ready; exec sleep 300";
        // Where the user changes, the parent-death signal has to survive that.
        let run_as = if has("uid_switch") { STRANGER } else { RunAs::Same };
        let mut jailed = rig.start(LaunchSpec { run_as, ..rig.script(script) }).await;
        let mut output = tokio::io::BufReader::new(jailed.take_output().unwrap());
        for line in lines_until(&mut output, "ready").await {
            eprintln!("pid {line}");
        }
        let CgroupParent::Tag(tag) = &rig.cgroup else { unreachable!() };
        eprintln!("tag {tag}");
        eprintln!("work {}", rig.work_root().display());
        eprintln!("groups {}", jailed.report().cgroups.len());
        for group in &jailed.report().cgroups {
            eprintln!("group {}", group.display());
        }
        eprintln!("ready");
        std::future::pending::<()>().await;
    });
}

#[test]
fn a_killed_supervisor_takes_its_connector_along_and_the_next_one_sweeps_the_rest() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "supervisors::supervisor_to_be_killed", "--nocapture"]);
    command.env(ROLE, "1").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut supervisor = command.spawn().unwrap();
    let mut facts: Vec<(String, String)> = Vec::new();
    for line in BufReader::new(supervisor.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line == "ready" {
            break;
        }
        if let Some((key, value)) = line.split_once(' ') {
            facts.push((key.to_owned(), value.to_owned()));
        }
    }
    let all = |key: &str| -> Vec<String> {
        facts.iter().filter(|(found, _)| found == key).map(|(_, value)| value.clone()).collect()
    };
    let pids: Vec<u32> = all("pid").iter().map(|pid| pid.parse().unwrap()).collect();
    let [daemon, connector] = pids[..] else { panic!("{facts:?}") };
    let work = all("work").remove(0);
    let parent = format!("cordon-test-{}", supervisor.id());
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    run(eventually("the connector is gone", || !is_alive(connector)));
    assert!(is_alive(daemon), "a parent-death signal does not reach it, so this tests nothing");

    let next = Host::probe(&parent);
    let tag = CgroupParent::Tag(all("tag").remove(0));
    let swept = sweep_leftovers(&next, &tag, Path::new(&work)).unwrap();
    assert!(!is_alive(daemon));
    assert!(swept.processes >= 1, "{swept:?}");
    assert_eq!(swept.directories, 1);
    assert_eq!(swept.groups, all("group").len());
    assert!(swept.stuck.is_empty());
    assert!(all("group").iter().all(|group| !Path::new(group).exists()));
    assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
    fs::remove_dir_all(Path::new(&work).parent().unwrap()).unwrap();
}

#[test]
fn a_sweep_leaves_what_belongs_to_another_state_directory() {
    run(async {
        let (ours, others) = (Rig::new(), Rig::new());
        let jailed = others.start(others.spec("/bin/sleep", &["300"])).await;
        let (cgroup, work_root) = (ours.cgroup.clone(), ours.work_root());
        let sweep = move || sweep_leftovers(&host(), &cgroup, &work_root).unwrap();
        let swept = tokio::task::spawn_blocking(sweep).await.unwrap();
        assert_eq!((swept.processes, swept.groups, swept.directories), (0, 0, 0));
        assert!(is_alive(jailed.pid()));
        assert!(jailed.report().private_dir.exists());
    });
}

#[test]
fn the_host_tells_for_each_item_what_is_missing_and_how_to_get_it() {
    let host = host();
    let names: Vec<&str> = host.items().iter().map(|item| item.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "cgroup_memory",
            "cgroup_pids",
            "cgroup_cpu",
            "tree_kill",
            "uid_switch",
            "process_handles",
            "namespaces"
        ]
    );
    for item in host.items() {
        assert!(!item.detail.is_empty() && !item.effect_if_missing.is_empty(), "{item:?}");
        assert!(!item.fix.is_empty(), "{item:?}");
    }
    assert!(serde_json::to_value(&*host).unwrap()["items"][0]["available"].is_boolean());
}

/// Not a test by itself: run in a group of its own, it says where it would make groups.
#[test]
fn supervisor_alone_in_its_group() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let host = host();
    eprintln!("{}", host.items().iter().find(|item| item.name == "tree_kill").unwrap().detail);
}

#[test]
fn a_supervisor_alone_in_its_group_makes_groups_beside_itself() {
    let mount = Path::new("/sys/fs/cgroup/unified");
    let group = mount.join(format!("cordon-test-alone-{}", std::process::id()));
    if !mount.join("cgroup.procs").exists() || fs::create_dir(&group).is_err() {
        skipped("cgroup version 2 as root");
        return;
    }
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "echo $$ > $0/cgroup.procs && exec \"$@\""]).arg(&group);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "supervisors::supervisor_alone_in_its_group", "--nocapture"]);
    let output = command.env(ROLE, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let place = format!("cgroup version 2, below {}", group.display());
    assert!(text.lines().any(|line| line == place), "{text}");
    fs::remove_dir(group.join("supervisor")).unwrap();
    fs::remove_dir(group).unwrap();
}

#[test]
fn everything_holds_for_an_ordinary_user_too() {
    if !geteuid().is_root() || std::env::var_os(NESTED).is_some() {
        return;
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(std::env::current_exe().unwrap());
    // It lacks what root has, and may.
    command.env(NESTED, "1").env_remove("TMPDIR").env_remove("CORDON_TEST_HAVE");
    let output = command.current_dir("/").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
}
