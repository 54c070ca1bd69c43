//! A place to start connectors in, and eyes on what became of them.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use cordon_sandbox::{
    CgroupParent, Host, Jailed, LaunchSpec, Launcher, Limits, Network, RunAs, View,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, BufReader},
    net::unix::pipe,
};

pub(crate) const JAIL: &str = env!("CARGO_BIN_EXE_cordon-jail");

/// A user that nothing on the host belongs to.
pub(crate) const STRANGER: RunAs = RunAs::Own { uid: 65_533, gid: 65_533 };

pub(crate) fn host() -> Arc<Host> {
    static HOST: OnceLock<Arc<Host>> = OnceLock::new();
    let probe = || Arc::new(Host::probe(&format!("cordon-test-{}", std::process::id())));
    Arc::clone(HOST.get_or_init(probe))
}

/// Whether the host gives `capability`; says so when the test is skipped for it.
pub(crate) fn has(capability: &str) -> bool {
    let has = host().has(capability);
    if !has {
        skipped(capability);
    }
    has
}

/// Says that a test ends here; fails when `CORDON_TEST_HAVE` says that this machine has what it
/// needs. As in the testkit, which this crate, alone for its `unsafe`, does not import.
pub(crate) fn skipped(capability: &str) {
    eprintln!("skipped: {capability}");
    let known = std::env::var("CORDON_TEST_HAVE").unwrap_or_default();
    let is_known = known.split(',').any(|known| known.trim() == capability);
    assert!(!is_known, "{capability} is missing, and CORDON_TEST_HAVE says that it is here");
}

pub(crate) struct Rig {
    pub(crate) launcher: Launcher,
    pub(crate) cgroup: CgroupParent,
    work: TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        static RIGS: AtomicU32 = AtomicU32::new(0);
        let work = tempfile::tempdir().unwrap();
        fs::set_permissions(work.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            launcher: Launcher::start(JAIL.into(), host()).unwrap(),
            cgroup: CgroupParent::Tag(format!("rig{}", RIGS.fetch_add(1, Ordering::Relaxed))),
            work,
        }
    }

    pub(crate) fn without_groups() -> Self {
        let mut rig = Self::new();
        rig.cgroup = CgroupParent::None;
        rig
    }

    pub(crate) fn work_root(&self) -> PathBuf {
        self.work.path().join("work")
    }

    pub(crate) fn spec(&self, program: &str, args: &[&str]) -> LaunchSpec {
        LaunchSpec {
            name: "hr".into(),
            program: program.into(),
            args: args.iter().map(ToString::to_string).collect(),
            env: Vec::new(),
            limits: Limits::default(),
            run_as: RunAs::Same,
            work_root: self.work_root(),
            cgroup: self.cgroup.clone(),
            view: View::Shared,
            hide: Vec::new(),
            network: Network::Host,
            loopback: false,
            pin: None,
            require: BTreeSet::new(),
        }
    }

    pub(crate) fn script(&self, script: &str) -> LaunchSpec {
        self.spec("/bin/sh", &["-c", script])
    }

    pub(crate) async fn start(&self, spec: LaunchSpec) -> Jailed {
        self.launcher.spawn(spec).await.unwrap_or_else(|error| panic!("{error}: {error:?}"))
    }

    /// Its groups that are there now, in all hierarchies.
    fn groups(&self) -> Vec<PathBuf> {
        let CgroupParent::Tag(tag) = &self.cgroup else { return Vec::new() };
        let beginning = format!("cordon-test-{}.{tag}.", std::process::id());
        let below = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
        let mount = Path::new("/sys/fs/cgroup");
        let roots = below(mount).map(|root| root.path()).chain([mount.to_owned()]);
        let groups = roots.flat_map(|root| below(&root).map(|entry| entry.path()));
        groups.filter(|group| group.to_string_lossy().contains(&beginning)).collect()
    }

    /// Private directories that are there now.
    pub(crate) fn directories(&self) -> usize {
        fs::read_dir(self.work_root()).map_or(0, Iterator::count)
    }
}

impl Drop for Rig {
    /// Dropped last in a test, when all its connectors are dropped or dead: nothing may be left of
    /// them.
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.directories() > 0 || !self.groups().is_empty() {
            let left = (self.directories(), self.groups());
            let failed = std::thread::panicking();
            assert!(failed || Instant::now() < deadline, "left over: {left:?}");
            if failed && Instant::now() >= deadline {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Everything that a connector writes until its tree is gone.
pub(crate) async fn output(jailed: &mut Jailed) -> String {
    let mut text = String::new();
    jailed.take_output().unwrap().read_to_string(&mut text).await.unwrap();
    text
}

/// What a connector wrote up to the line `end`.
pub(crate) async fn lines_until(output: &mut BufReader<pipe::Receiver>, end: &str) -> Vec<String> {
    use tokio::io::AsyncBufReadExt;
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        let read = tokio::time::timeout(Duration::from_secs(30), output.read_line(&mut line)).await;
        assert!(read.expect("no line in time").unwrap() > 0, "ended after {lines:?}");
        if line.trim() == end {
            return lines;
        }
        lines.push(line.trim().to_owned());
    }
}

/// Waits for a condition; panics when it does not come.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

pub(crate) fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

/// The value of a field in `/proc/<pid>/status`.
pub(crate) fn status(pid: u32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).trim().to_owned()
}

/// Soft and hard limit as `/proc/<pid>/limits` shows them.
pub(crate) fn limit(pid: u32, name: &str) -> (String, String) {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().unwrap(), words.next().unwrap())
}

/// Processes in a group.
pub(crate) fn group_members(group: &Path) -> BTreeSet<u32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// A runtime with as many threads as the supervisor's on a small host.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(test)
}
