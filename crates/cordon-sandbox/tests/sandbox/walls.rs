//! What a connector with a view and a network of its own can see and reach.
//!
//! Each test tries from inside, through a shell, what would work on the host, and shows by the same
//! words that it does.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::Duration,
};

use cordon_sandbox::{
    DeathCause, Destination, ItemState, Jailed, KillReason, LaunchSpec, Limits, Network, RunAs,
    SpawnError, Step, View,
};
use rustix::process::geteuid;

use crate::rig::{Rig, STRANGER, eventually, has, is_alive, output, run, status};

/// A script behind all walls that this user can have.
fn walled(rig: &Rig, script: &str) -> LaunchSpec {
    let run_as = if geteuid().is_root() { STRANGER } else { RunAs::Same };
    let (view, network) = (View::Only(Vec::new()), Network::Only(Vec::new()));
    LaunchSpec { run_as, view, network, ..rig.script(script) }
}

/// What a script prints behind all walls.
async fn told(rig: &Rig, script: &str) -> String {
    let mut jailed = rig.start(walled(rig, script)).await;
    let text = output(&mut jailed).await;
    jailed.wait().await;
    text
}

/// Whether namespaces can be had, by root or by an ordinary user.
fn namespaces() -> bool {
    has("namespaces")
}

#[track_caller]
fn in_force(jailed: &Jailed, step: Step) {
    let item = jailed.report().item(step).expect("the step was reached");
    assert_eq!(item.state, ItemState::Applied, "{item:?}");
}

#[test]
fn every_wall_is_in_the_report_as_applied() {
    if !namespaces() {
        return;
    }
    run(async {
        let rig = Rig::new();
        let jailed = rig.start(walled(&rig, "exec sleep 300")).await;
        for step in [
            Step::MountNamespace,
            Step::IpcNamespace,
            Step::UtsNamespace,
            Step::NetworkNamespace,
            Step::Relays,
            Step::PidNamespace,
            Step::View,
            Step::LandlockFiles,
            Step::LandlockPorts,
            Step::LandlockScope,
            Step::Seccomp,
        ] {
            in_force(&jailed, step);
        }
        assert_eq!(status(jailed.pid(), "Seccomp"), "2");
        assert_eq!(status(jailed.pid(), "NoNewPrivs"), "1");
        assert_eq!(status(jailed.pid(), "CapEff"), "0000000000000000");
        assert_eq!(jailed.report().seccomp_digest.len(), 64);
    });
}

#[test]
fn files_beyond_the_list_are_not_there_and_those_on_it_are_read_only() {
    if !namespaces() {
        return;
    }
    run(async {
        let rig = Rig::new();
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (listed, other) = (dir.path().join("listed"), dir.path().join("other"));
        for file in [&listed, &other] {
            fs::write(file, "content").unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o666)).unwrap();
        }
        let script = format!(
            "cat {0} && echo; cat {1} 2>&1; echo more >> {0}; ls /; test -e /etc/passwd || echo no passwd; test -e /home || echo no home",
            listed.display(),
            other.display()
        );
        let spec = LaunchSpec { view: View::Only(vec![listed.clone()]), ..walled(&rig, &script) };
        let mut jailed = rig.start(spec).await;
        let text = output(&mut jailed).await;
        jailed.wait().await;
        assert!(text.starts_with("content\n"), "{text}");
        assert!(text.contains("other: No such file"), "{text}");
        assert!(text.contains("no passwd") && text.contains("no home"), "{text}");
        assert_eq!(fs::read_to_string(&listed).unwrap(), "content");
    });
}

#[test]
fn the_host_can_be_seen_read_only_but_for_what_is_hidden() {
    if !namespaces() {
        return;
    }
    run(async {
        let rig = Rig::new();
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let (shown, hidden) = (dir.path().join("shown"), dir.path().join("hidden"));
        for folder in [&shown, &hidden] {
            fs::create_dir(folder).unwrap();
            fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
            fs::write(folder.join("file"), "content").unwrap();
        }
        let script = format!(
            "cat {0}/file; echo; ls -A {1}; echo x > {0}/new; echo x > $HOME/own && cat $HOME/own",
            shown.display(),
            hidden.display()
        );
        let spec = LaunchSpec { view: View::ReadOnly, hide: vec![hidden], ..walled(&rig, &script) };
        let mut jailed = rig.start(spec).await;
        let text = output(&mut jailed).await;
        jailed.wait().await;
        assert!(text.starts_with("content\n"), "{text}");
        assert!(!text.contains("\nfile"), "{text}");
        assert!(text.ends_with("x\n"), "{text}");
        assert!(!shown.join("new").exists());
    });
}

#[test]
fn no_process_but_its_own_is_seen() {
    if !namespaces() {
        return;
    }
    run(async {
        let rig = Rig::new();
        let text = told(&rig, "echo pid $$; ls /proc | grep -c '^[0-9]'; ls /proc/1/root 2>&1; kill -0 1 2>&1; test -e /proc/sys || echo no sys").await;
        let own = text.lines().next().unwrap();
        assert_eq!(own, "pid 2", "{text}");
        assert!(text.contains("no sys"), "{text}");
        // The first process of its namespace, itself and its children of the moment.
        let seen: u32 = text.lines().nth(1).unwrap().parse().unwrap();
        assert!(seen <= 4, "{text}");
    });
}

#[test]
fn filling_the_private_directory_ends_at_its_size_and_its_number_of_files() {
    if !namespaces() {
        return;
    }
    run(async {
        let rig = Rig::new();
        // A redirection that fails ends the shell it is in.
        let script = "head -c 3000000 /dev/zero > $HOME/big; echo bytes $(stat -c %s $HOME/big); \
                      rm $HOME/big; \
                      (i=0; while [ $i -lt 200 ]; do : > $HOME/f$i; i=$((i+1)); done) 2>&1; \
                      echo files $(ls $HOME | wc -l)";
        let limits = Limits { scratch_bytes: 1 << 20, scratch_files: 100, ..Limits::default() };
        let mut jailed = rig.start(LaunchSpec { limits, ..walled(&rig, script) }).await;
        let text = output(&mut jailed).await;
        jailed.wait().await;
        assert!(text.contains("No space left on device"), "{text}");
        let number = |name: &str| -> u32 {
            let found = text.lines().find_map(|line| line.strip_prefix(name));
            found.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
        };
        assert!((1_000_000..=1 << 20).contains(&number("bytes ")), "{text}");
        assert!((50..100).contains(&number("files ")), "{text}");
    });
}

#[test]
fn what_it_wrote_cannot_be_executed() {
    if !namespaces() {
        return;
    }
    run(async {
        let rig = Rig::new();
        let text =
            told(&rig, "cp /bin/true $HOME/x && chmod 700 $HOME/x && $HOME/x 2>&1; echo $?").await;
        assert!(text.contains("Permission denied") && text.ends_with("126\n"), "{text}");
    });
}

#[test]
fn its_own_network_has_a_loopback_and_nothing_else() {
    if !namespaces() {
        return;
    }
    run(async {
        let rig = Rig::new();
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = host.local_addr().unwrap().port();
        let script = format!(
            "exec 2>&1; bash -c 'echo > /dev/tcp/127.0.0.1/{port}'; bash -c 'echo > /dev/tcp/169.254.169.254/80'; bash -c 'echo > /dev/udp/192.0.2.53/53'; cat /proc/self/net/dev | grep -c :"
        );
        let text = told(&rig, &script).await;
        for refused in
            [format!("/dev/tcp/127.0.0.1/{port}: "), "/dev/tcp/169.254.169.254/80: ".into()]
        {
            assert!(text.contains(&refused), "{text}");
        }
        assert!(text.contains("/dev/udp/192.0.2.53/53: Network is unreachable"), "{text}");
        assert!(host.set_nonblocking(true).is_ok() && host.accept().is_err(), "it got through");
        assert!(text.ends_with("1\n"), "{text}");
    });
}

#[test]
fn a_listed_place_is_reached_through_its_relay_by_name_and_by_address() {
    if !namespaces() {
        return;
    }
    run(async {
        let rig = Rig::new();
        let places = ["db.example:5432", "192.0.2.7:443", "127.0.0.1:8080"];
        let places: Vec<Destination> =
            places.iter().map(|place| Destination::parse(place).unwrap()).collect();
        let script = "cat /etc/hosts | grep -c db.example; for to in db.example/5432 192.0.2.7/443 127.0.0.1/8080; do \
                      bash -c \"exec 5<>/dev/tcp/$to; echo to $to >&5; cat <&5\"; done; \
                      bash -c 'echo > /dev/tcp/db.example/5433' 2>&1";
        let spec = LaunchSpec { network: Network::Only(places.clone()), ..walled(&rig, script) };
        let mut jailed = rig.start(spec).await;
        let relays = jailed.take_relays();
        assert_eq!(
            relays.iter().map(|relay| &relay.destination).collect::<Vec<_>>(),
            places.iter().collect::<Vec<_>>()
        );
        let answering = std::thread::spawn(move || {
            for relay in relays {
                relay.listener.set_nonblocking(false).unwrap();
                let (mut stream, _) = relay.listener.accept().unwrap();
                let mut asked = [0; 64];
                let read = stream.read(&mut asked).unwrap();
                let asked = String::from_utf8_lossy(&asked[..read]).into_owned();
                stream.write_all(format!("{} got {asked}", relay.destination).as_bytes()).unwrap();
            }
        });
        let text = output(&mut jailed).await;
        jailed.wait().await;
        answering.join().unwrap();
        let expected = "1\ndb.example:5432 got to db.example/5432\n192.0.2.7:443 got to 192.0.2.7/443\n127.0.0.1:8080 got to 127.0.0.1/8080\n";
        assert!(text.starts_with(expected), "{text}");
        // A port that was not listed: Landlock refuses it before anybody could answer.
        assert!(text.contains("Permission denied") || text.contains("refused"), "{text}");
    });
}

#[test]
fn a_loopback_that_is_open_lets_processes_of_one_connector_meet_and_leads_nowhere_else() {
    if !namespaces() {
        return;
    }
    run(async {
        let rig = Rig::new();
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = host.local_addr().unwrap().port();
        let script = format!(
            "perl -MIO::Socket::INET -e '\
             my %to = (PeerAddr => \"127.0.0.1\", Proto => \"tcp\");\
             my $own = IO::Socket::INET->new(Listen => 1, LocalAddr => \"127.0.0.1\");\
             my $port = $own ? $own->sockport : 1;\
             print IO::Socket::INET->new(%to, PeerPort => $port) ? \"met\n\" : \"apart: $!\n\";\
             print IO::Socket::INET->new(%to, PeerPort => {port}) ? \"out\n\" : \"in: $!\n\"' 2>&1"
        );
        for loopback in [true, false] {
            let spec = LaunchSpec { loopback, ..walled(&rig, &script) };
            let mut jailed = rig.start(spec).await;
            in_force(&jailed, Step::NetworkNamespace);
            let held = jailed.report().item(Step::LandlockPorts).expect("it was reached").state;
            assert_eq!(held == ItemState::NotAsked, loopback);
            let text = output(&mut jailed).await;
            jailed.wait().await;
            let expected = if held == ItemState::Applied { "apart: " } else { "met\nin: " };
            assert!(text.starts_with(expected) && !text.contains("out"), "{loopback}: {text}");
        }
        assert!(host.set_nonblocking(true).is_ok() && host.accept().is_err(), "it got out");
    });
}

#[test]
fn a_pinned_program_is_the_only_one_that_runs() {
    run(async {
        let rig = Rig::new();
        let wrong = "0".repeat(64);
        let spec = LaunchSpec { pin: Some(wrong.clone()), ..rig.script("exit 0") };
        let error = rig.launcher.spawn(spec).await.unwrap_err();
        let SpawnError::Pin { found, pinned, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*pinned, wrong);
        let expected = blake3_of(Path::new("/bin/sh"));
        assert_eq!(*found, expected);
        assert_eq!(rig.directories(), 0);
        let spec = LaunchSpec { pin: Some(expected.clone()), ..rig.script("exit 0") };
        let mut jailed = rig.start(spec).await;
        assert_eq!(jailed.report().program_digest, expected);
        assert_eq!(jailed.wait().await.cause, DeathCause::Exit { code: 0 });
    });
}

fn blake3_of(path: &Path) -> String {
    blake3::hash(&fs::read(path).unwrap()).to_hex().to_string()
}

#[test]
fn a_program_swapped_while_it_is_started_never_runs_under_the_digest_of_another() {
    run(async {
        let rig = Rig::new();
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        // Two programs that say which they are by their exit code.
        let (yes, no) = (fs::read("/bin/true").unwrap(), fs::read("/bin/false").unwrap());
        let pin = blake3::hash(&yes).to_hex().to_string();
        let swapping = {
            let (program, dir) = (program.clone(), dir.path().to_owned());
            let put = move |bytes: &[u8]| {
                let new = dir.join("new");
                fs::write(&new, bytes).unwrap();
                fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
                fs::rename(&new, &program).unwrap();
            };
            put(&yes);
            let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
            let stopped = stop.clone();
            let thread = std::thread::spawn(move || {
                while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                    put(&no);
                    put(&yes);
                }
            });
            (stop, thread)
        };
        let (mut ran, mut refused) = (0, 0);
        for _ in 0..300 {
            let spec = rig.spec(program.to_str().unwrap(), &[]);
            match rig.launcher.spawn(LaunchSpec { pin: Some(pin.clone()), ..spec }).await {
                Ok(mut jailed) => {
                    assert_eq!(jailed.wait().await.cause, DeathCause::Exit { code: 0 });
                    ran += 1;
                }
                Err(SpawnError::Pin { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        swapping.0.store(true, std::sync::atomic::Ordering::Relaxed);
        swapping.1.join().unwrap();
        assert_eq!(ran + refused, 300);
        assert!(ran > 0, "nothing ran");
    });
}

#[test]
fn a_script_runs_from_its_view_with_its_interpreters_digest() {
    if !namespaces() {
        return;
    }
    run(async {
        let rig = Rig::new();
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let script = dir.path().join("connector");
        fs::write(&script, "#!/bin/sh\necho ran as $0; cat $(dirname $0)/beside\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.path().join("beside"), "beside").unwrap();
        let program = script.clone();
        let spec = LaunchSpec { program, args: Vec::new(), ..walled(&rig, "") };
        let mut jailed = rig.start(spec).await;
        let text = output(&mut jailed).await;
        assert!(text.starts_with(&format!("ran as {}\n", script.display())), "{text}");
        assert!(text.contains("No such file"), "{text}");
        let interpreter = jailed.report().interpreter.clone().unwrap();
        assert_eq!(interpreter, ("/bin/sh".into(), blake3_of(Path::new("/bin/sh"))));
        jailed.wait().await;
    });
}

#[test]
fn an_end_behind_a_guard_is_told_as_it_was() {
    if !namespaces() {
        return;
    }
    run(async {
        let rig = Rig::new();
        for (script, cause) in [
            ("exit 3", DeathCause::Exit { code: 3 }),
            ("kill -SEGV $$", DeathCause::Signal { signal: 11 }),
            ("kill -KILL $$", DeathCause::Signal { signal: 9 }),
            ("kill -TERM $$", DeathCause::Signal { signal: 15 }),
        ] {
            let mut jailed = rig.start(walled(&rig, script)).await;
            assert_eq!(jailed.wait().await.cause, cause, "{script}");
        }
        let mut jailed = rig.start(walled(&rig, "exec sleep 300")).await;
        jailed.killer().kill(KillReason::Stalled);
        let expected = DeathCause::Killed { reason: KillReason::Stalled };
        assert_eq!(jailed.wait().await.cause, expected);
    });
}

#[test]
fn a_stop_behind_a_guard_is_seen() {
    if !namespaces() {
        return;
    }
    run(async {
        let rig = Rig::new();
        let jailed = rig.start(walled(&rig, "kill -STOP $$; sleep 300")).await;
        eventually("it stands still", || jailed.is_stopped()).await;
    });
}

#[test]
fn everything_in_its_namespace_ends_with_its_guard_and_without_any_group() {
    if !namespaces() {
        return;
    }
    run(async {
        let rig = Rig::without_groups();
        let script = "setsid sh -c 'trap \"\" TERM HUP; sleep 300 & sleep 300' & sleep 0.2; echo up; sleep 300";
        let mut jailed = rig.start(walled(&rig, script)).await;
        let mut lines = tokio::io::BufReader::new(jailed.take_output().unwrap());
        crate::rig::lines_until(&mut lines, "up").await;
        let guard: u32 = status(jailed.pid(), "PPid").parse().unwrap();
        let before = descendants(guard);
        assert!(before.len() >= 5, "{before:?}");
        let guard = rustix::process::Pid::from_raw(guard.try_into().unwrap()).unwrap();
        rustix::process::kill_process(guard, rustix::process::Signal::KILL).unwrap();
        jailed.wait().await;
        eventually("all are gone", || before.iter().all(|pid| !is_alive(*pid))).await;
    });
}

/// Every process below `pid`.
fn descendants(pid: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::from([pid]);
    loop {
        let before = found.len();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(child) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            let parent =
                stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
            if parent.is_some_and(|parent: u32| found.contains(&parent)) {
                found.insert(child);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

#[test]
fn no_orphan_of_a_connector_stays_a_zombie() {
    if !namespaces() {
        return;
    }
    run(async {
        let rig = Rig::new();
        let script = "i=0; while [ $i -lt 50 ]; do (sh -c ': &' &) ; i=$((i+1)); done; sleep 0.5; \
                      grep -l '^State:.*Z' /proc/[0-9]*/status | wc -l";
        let text = told(&rig, script).await;
        assert_eq!(text.trim(), "0");
    });
}

#[test]
fn a_required_step_that_is_not_in_force_refuses_the_start() {
    run(async {
        let rig = Rig::without_groups();
        let trace = rig.work_root().with_file_name("ran");
        let script = format!("touch {}", trace.display());
        for step in [Step::LimitMemory, Step::View, Step::NetworkNamespace] {
            let require = BTreeSet::from([step]);
            let limits = Limits { memory_bytes: Some(1 << 30), ..Limits::default() };
            let spec = LaunchSpec { require, limits, ..rig.script(&script) };
            let error = rig.launcher.spawn(spec).await.unwrap_err();
            let SpawnError::Step { step: refused, items, .. } = &error else { panic!("{error:?}") };
            assert_eq!(*refused, step);
            assert!(items.iter().any(|item| item.step == step && item.required), "{items:?}");
            assert!(error.to_string().contains("required, but"), "{error}");
        }
        assert!(!trace.exists());
        assert_eq!(rig.directories(), 0);
    });
}

#[test]
fn hidden_files_stay_hidden_below_a_listed_directory() {
    if !namespaces() {
        return;
    }
    run(async {
        let rig = Rig::new();
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let state = dir.path().join("state");
        fs::create_dir(&state).unwrap();
        fs::write(state.join("cordon.db"), "ledger").unwrap();
        fs::write(dir.path().join("feed"), "rows").unwrap();
        let script =
            format!("ls {0}; ls -A {0}/state; cat {0}/state/cordon.db", dir.path().display());
        let view = View::Only(vec![dir.path().to_owned()]);
        let spec = LaunchSpec { view, hide: vec![state], ..walled(&rig, &script) };
        let mut jailed = rig.start(spec).await;
        let text = output(&mut jailed).await;
        jailed.wait().await;
        assert!(text.starts_with("feed\nstate\n"), "{text}");
        assert!(!text.contains("ledger") && !text.contains("cordon.db\n"), "{text}");
    });
}

#[test]
fn a_walled_start_costs_little_more_than_a_plain_one() {
    if !namespaces() {
        return;
    }
    run(async {
        // No bound: shared machines are slow at times. The figure is for people.
        let rig = Rig::new();
        let mut took = Vec::new();
        for _ in 0..20 {
            let begun = std::time::Instant::now();
            let mut jailed = rig.start(walled(&rig, "exit 0")).await;
            took.push(begun.elapsed());
            jailed.wait().await;
        }
        took.sort();
        eprintln!("walled start: median {:?}, most {:?}", took[10], took[19]);
        assert!(took[0] < Duration::from_secs(5));
    });
}

#[test]
fn a_host_is_told_wall_by_wall_what_stood_in_a_trial() {
    if !namespaces() {
        return;
    }
    run(async {
        let rig = Rig::new();
        let run_as = if geteuid().is_root() { STRANGER } else { RunAs::Same };
        let items =
            rig.launcher.try_walls(&rig.work_root(), rig.cgroup.clone(), run_as).await.unwrap();
        assert_eq!(items.len(), 11);
        for item in &items {
            assert!(item.available, "{item:?}");
            assert!(!item.detail.is_empty() && !item.fix.is_empty(), "{item:?}");
        }
    });
}
