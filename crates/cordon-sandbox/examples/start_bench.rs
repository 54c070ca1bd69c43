//! How long a start takes, beside a plain spawn, while the supervisor holds much memory.
//!
//!     cargo run --release -p cordon-sandbox --example start_bench -- [MiB] [starts]
//!
//! A plain spawn is what the standard library does without a closure. A walled start has every step:
//! limits, groups, a user of its own where root, namespaces, view, network, Landlock and the filter.
//! It is over when the launcher's word came back, which is after the program was executed.
#![allow(clippy::print_stdout, reason = "a figure for people")]

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use cordon_sandbox::{
    CgroupParent, Host, JailReport, LaunchSpec, Launcher, Limits, Network, RunAs, View,
};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let mib: usize = arguments.next().map_or(Ok(1024), |text| text.parse())?;
    let starts: usize = arguments.next().map_or(Ok(200), |text| text.parse())?;
    // Written, so that the kernel has to give the pages.
    let memory = vec![1u8; mib << 20];
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let bench = runtime.block_on(async { Bench::new() })?;
    let (mut plain, mut shared, mut walled) = (Vec::new(), Vec::new(), Vec::new());
    let all = || (View::Only(Vec::new()), Network::Only(Vec::new()));
    // Turn by turn, so that whatever else the machine does falls on all alike.
    for _ in 0..starts {
        plain.push(spawn_plainly()?);
        let begun = bench.start((View::Shared, Network::Host));
        shared.push(runtime.block_on(begun)?.0);
        walled.push(runtime.block_on(bench.start(all()))?.0);
    }
    let report = runtime.block_on(bench.start(all()))?.1;
    let missing: Vec<&str> = report.missing().map(|item| item.step.name()).collect();
    println!("{starts} starts of each, {} MiB held; not in force: {missing:?}", memory.len() >> 20);
    let base = show("plain spawn", plain, Duration::ZERO);
    show("launcher without walls", shared, base);
    show("launcher with all walls", walled, base);
    Ok(())
}

/// Prints the median and the 95th percentile; gives the median.
fn show(name: &str, mut took: Vec<Duration>, base: Duration) -> Duration {
    took.sort();
    let median = took[took.len() / 2];
    let slow = took[took.len() * 95 / 100];
    let over = median.saturating_sub(base);
    println!("{name:24}  p50 {median:>9.2?}  p95 {slow:>9.2?}  p50 over plain {over:>9.2?}");
    median
}

fn spawn_plainly() -> Outcome<Duration> {
    let begun = Instant::now();
    let mut child = Command::new("/bin/true").spawn()?;
    let took = begun.elapsed();
    child.wait()?;
    Ok(took)
}

struct Bench {
    launcher: Launcher,
    work: tempfile::TempDir,
}

impl Bench {
    fn new() -> Outcome<Self> {
        // An example lies one folder below the programs.
        let own = std::env::current_exe()?;
        let programs = own.parent().and_then(|folder| folder.parent()).ok_or("no folder")?;
        let jail = programs.join("cordon-jail");
        let host = Arc::new(Host::probe("cordon-bench"));
        let work = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()?;
        Ok(Self { launcher: Launcher::start(jail, host)?, work })
    }

    async fn start(&self, (view, network): (View, Network)) -> Outcome<(Duration, JailReport)> {
        let root = rustix::process::geteuid().is_root();
        let run_as = if root { RunAs::Own { uid: 65_533, gid: 65_533 } } else { RunAs::Same };
        let limits = Limits {
            memory_bytes: Some(256 << 20),
            tasks: Some(64),
            cpu_percent: Some(100),
            ..Limits::default()
        };
        let spec = LaunchSpec {
            name: "bench".to_owned(),
            program: PathBuf::from("/bin/true"),
            args: Vec::new(),
            env: Vec::new(),
            limits,
            run_as,
            work_root: self.work.path().join("work"),
            cgroup: CgroupParent::Tag("bench".to_owned()),
            view,
            hide: Vec::new(),
            network,
            loopback: false,
            pin: None,
            require: BTreeSet::new(),
        };
        let begun = Instant::now();
        let mut jailed = self.launcher.spawn(spec).await?;
        let took = begun.elapsed();
        jailed.wait().await;
        Ok((took, jailed.report().clone()))
    }
}
