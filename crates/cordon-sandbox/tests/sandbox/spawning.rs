//! Starts that fail, and starts that are many.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use cordon_sandbox::{DeathCause, LaunchSpec, Launcher, SpawnError, Step};
use rustix::process::geteuid;
use tokio::runtime::Handle;

use crate::rig::{JAIL, Rig, STRANGER, eventually, host, is_alive, output, run, skipped};

#[test]
fn a_missing_program_is_an_error_that_names_it() {
    run(async {
        let rig = Rig::new();
        let spec = rig.spec("/nowhere/connector-hr", &[]);
        let error = rig.launcher.spawn(spec).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "connector `hr` was not started: cannot read /nowhere/connector-hr"
        );
        let SpawnError::Program { source, .. } = error else { panic!("{error:?}") };
        assert_eq!(source.raw_os_error(), Some(2));
        assert_eq!(rig.directories(), 0);
    });
}

#[test]
fn a_required_step_that_fails_keeps_the_program_from_running() {
    if !geteuid().is_root() {
        skipped("uid_switch");
        return;
    }
    run(async {
        let rig = Rig::new();
        fs::create_dir(rig.work_root()).unwrap();
        fs::set_permissions(rig.work_root(), fs::Permissions::from_mode(0o700)).unwrap();
        let trace = rig.work_root().with_file_name("ran");
        fs::set_permissions(trace.parent().unwrap(), fs::Permissions::from_mode(0o777)).unwrap();
        let script = rig.script(&format!("touch {}", trace.display()));
        let error =
            rig.launcher.spawn(LaunchSpec { run_as: STRANGER, ..script }).await.unwrap_err();
        let SpawnError::Step { step, source, detail, .. } = error else { panic!("{error:?}") };
        assert_eq!((step, source.raw_os_error()), (Step::WorkingDir, Some(13)));
        assert!(detail.contains("directories above it must let this user pass"), "{detail}");
        assert!(!trace.exists());
        assert_eq!(rig.directories(), 0);
    });
}

#[test]
fn an_unfit_spec_is_refused_before_anything_is_made() {
    run(async {
        let rig = Rig::new();
        let spec = LaunchSpec { name: "../escape".into(), ..rig.script("exit 0") };
        let error = rig.launcher.spawn(spec).await.unwrap_err();
        assert!(matches!(error, SpawnError::Spec { .. }), "{error:?}");
        assert!(!rig.work_root().exists());
    });
}

#[test]
fn a_launcher_that_says_nothing_is_an_error() {
    run(async {
        let rig = Rig::new();
        let launcher = Launcher::start("/bin/false".into(), host()).unwrap();
        let error = launcher.spawn(rig.script("exit 0")).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("the launcher ended before it reported: exited with code 1"),
            "{text}"
        );
        assert_eq!(rig.directories(), 0);
    });
}

#[test]
fn a_hundred_connectors_start_at_once() {
    run(async {
        let rig = Rig::new();
        let mut starts = Vec::new();
        for number in 0..100 {
            let spec = rig.script(&format!("echo {number}; exit {number}"));
            starts.push(rig.launcher.spawn(spec));
        }
        let mut jailed = Vec::new();
        let started = tokio::time::timeout(Duration::from_secs(60), async {
            let tasks: Vec<_> = starts.into_iter().map(Box::pin).collect();
            for task in join_all(tasks).await {
                jailed.push(task.unwrap());
            }
        });
        started.await.unwrap();
        for (number, jailed) in jailed.iter_mut().enumerate() {
            assert_eq!(output(jailed).await.trim(), number.to_string());
            let code = i32::try_from(number).unwrap();
            assert_eq!(jailed.wait().await.cause, DeathCause::Exit { code });
        }
        assert_eq!(rig.directories(), 0);
    });
}

/// Polls all futures at once and gives their results in order.
async fn join_all<F: Future + Unpin>(mut futures: Vec<F>) -> Vec<F::Output> {
    let mut results: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(value) = std::pin::Pin::new(future).poll(context)
            {
                *result = Some(value);
            }
        }
        if results.iter().all(Option::is_some) {
            std::task::Poll::Ready(results.drain(..).flatten().collect())
        } else {
            std::task::Poll::Pending
        }
    })
    .await
}

#[test]
fn a_connector_outlives_the_thread_that_asked_for_it_and_the_launcher() {
    run(async {
        let rig = Rig::new();
        let launcher = Launcher::start(JAIL.into(), host()).unwrap();
        let (spec, runtime) = (rig.spec("/bin/sleep", &["300"]), Handle::current());
        let asking = std::thread::spawn(move || runtime.block_on(launcher.spawn(spec)));
        let jailed = tokio::task::spawn_blocking(|| asking.join()).await.unwrap().unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(is_alive(jailed.pid()));
    });
}

#[test]
fn a_caller_who_gives_up_leaves_nothing_behind() {
    run(async {
        let rig = Rig::new();
        for micros in [0, 100, 1_000, 3_000, 10_000] {
            let spawn = rig.launcher.spawn(rig.spec("/bin/sleep", &["300"]));
            let _ = tokio::time::timeout(Duration::from_micros(micros), spawn).await;
        }
        eventually("every directory is gone", || rig.directories() == 0).await;
    });
}
