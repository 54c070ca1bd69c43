//! One running connector: its process, its channel, and what it said of itself.
//!
//! Started on demand, spoken to over the one socket that it inherited, and never believed before its
//! answer was measured. However it ends, its death is told once, by the sandbox, with the true cause.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cordon_model::RecordSchema;
use cordon_sandbox::{
    CgroupParent, Death, JailReport, Jailed, KillReason, Killer, LaunchSpec, Launcher, RunAs,
    SpawnError,
};
use cordon_wire::v1::connector_client::ConnectorClient;
use cordon_wire::{PROTOCOL, v1};
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::config;
use crate::descriptors::{self, DescriptorsError};
use crate::egress::{self, Flows};
use crate::limits::{PING_AFTER, PING_ANSWER, STOPPED_LOOK, STOPPED_LOOKS};
use crate::logs::Logs;
use crate::reason::death_in_words;
use crate::secrets::{self, Held, Redactor, Resolved, SecretError};
use crate::view::Ran;

mod channel;
mod seen;

use channel::{Ending, Pings, Terms};
use seen::Seen;

/// Why a connector did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// A secret has no value.
    #[error("cannot resolve a secret of its configuration: {}", crate::session::chain(.0))]
    Secret(#[source] SecretError),
    /// A secret stands in the configuration itself.
    #[error(
        "{} holds a secret, and not a reference to one: write cred:NAME, file:/path or exec:/program",
        .0.join(", ")
    )]
    Literal(Vec<String>),
    /// This process has too few descriptors left.
    #[error(transparent)]
    Descriptors(#[from] DescriptorsError),
    /// The user is not known.
    #[error("isolation.user names {0:?}, which this host does not know")]
    User(String),
    /// The sandbox could not start it.
    #[error("cannot start {program}: {}", crate::session::chain(.source))]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        source: SpawnError,
    },
    /// It did not answer in time.
    #[error("no answer to {call} within {}", crate::schedule::in_words(*.within))]
    Timeout {
        /// To what.
        call: &'static str,
        /// The time that it had.
        within: Duration,
    },
    /// It died before it answered.
    #[error("the connector died before it was ready: {}", death_in_words(.0))]
    Died(Death),
    /// What came over the channel is no answer.
    #[error("{call} failed: the connector broke the contract: {why}")]
    Broken {
        /// Which call.
        call: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// It answered with an error.
    #[error("{call} failed: {}", .error.message)]
    Refused {
        /// Which call.
        call: &'static str,
        /// What it said.
        error: Box<v1::Error>,
        /// Whether it said so itself, and not the channel of it.
        answered: bool,
    },
    /// It speaks another protocol.
    #[error("it speaks protocol {min} to {max}, this build {PROTOCOL}")]
    Version {
        /// The oldest that it speaks.
        min: u32,
        /// The newest.
        max: u32,
    },
    /// What it says of itself cannot be believed.
    #[error("what it announces is malformed: {0}")]
    Schema(#[from] cordon_wire::describe::WireSchemaError),
}

/// A death is known when the whole tree is gone; a broken channel is seen before that.
const DEATH_WAIT: Duration = Duration::from_secs(3);

/// What a connector said of itself.
#[derive(Debug, Clone)]
pub(crate) struct Announced {
    /// Name of the program.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// The protocol that was agreed on. It holds as long as the process runs; each start agrees
    /// anew, and a run has one process.
    pub(crate) protocol: u32,
    /// Whether it looks up single records.
    pub(crate) looks_up: bool,
    /// Whether each lookup costs it a reading of the whole source.
    pub(crate) looks_up_by_reading: bool,
    /// What it can report.
    pub(crate) schemas: Vec<RecordSchema>,
}

/// One running connector.
#[derive(Clone)]
pub(crate) struct Process {
    client: ConnectorClient<Channel>,
    /// Whether its end of the channel was closed by itself.
    pub(crate) ending: Ending,
    killer: Killer,
    death: watch::Receiver<Option<Death>>,
    /// Its process id.
    pub(crate) pid: u32,
    /// The isolation in force.
    pub(crate) report: Arc<JailReport>,
    /// What it said of itself.
    pub(crate) announced: Arc<Announced>,
    seen: Seen,
    /// From spawn to the answer of `Configure`.
    pub(crate) ready_after: Duration,
    /// Finds the secrets that it was given in what it says.
    pub(crate) redactor: Redactor,
}

/// What starting one needs.
pub(crate) struct Start<'a> {
    /// How it is configured.
    pub(crate) connector: &'a config::Connector,
    /// Who starts it.
    pub(crate) launcher: &'a Launcher,
    /// Where private folders are made.
    pub(crate) work_root: &'a std::path::Path,
    /// Names this state directory among all on the host.
    pub(crate) tag: &'a str,
    /// Where its output goes.
    pub(crate) logs: Arc<Logs>,
    /// What is remembered of the secrets that it is given.
    pub(crate) secrets: Arc<Held>,
    /// Whether secrets may stand in the configuration.
    pub(crate) dev: bool,
    /// Where its connections are counted.
    pub(crate) flows: Arc<Flows>,
    /// Told when and why it died.
    pub(crate) on_spawn: watch::Sender<Option<Killer>>,
}

impl Start<'_> {
    /// Starts the process and waits until it is ready.
    pub(crate) async fn run(self) -> Result<Process, StartError> {
        let began = Instant::now();
        descriptors::check_headroom()?;
        let resolved = self.resolve().await?;
        let spec = launch_spec(self.connector, self.work_root, self.tag)?;
        // Before the view is made: what is replaced in between is noticed then, not missed.
        let seen = Seen::of(&spec.view);
        let mut jailed = self.launcher.spawn(spec).await.map_err(|source| StartError::Spawn {
            program: self.connector.program.display().to_string(),
            source,
        })?;
        self.on_spawn.send_replace(Some(jailed.killer()));
        let pid = jailed.pid();
        let report = Arc::new(jailed.report().clone());
        if let Some(output) = jailed.take_output() {
            tokio::spawn(self.logs.clone().capture(pid, output, resolved.redactor.clone()));
        }
        let killer = jailed.killer();
        let channel = jailed.take_channel();
        let (told, death) = watch::channel(None);
        let gone = CancellationToken::new();
        egress::serve(&self.connector.name, jailed.take_relays(), &self.flows, &gone);
        tokio::spawn(attend(jailed, gone, told));
        let times = self.connector.times;
        let answer = tokio::time::timeout(times.start, self.handshake(channel, &resolved));
        let mut dead = death.clone();
        let late = |call| StartError::Timeout { call, within: times.start };
        let answered = tokio::select! {
            answered = answer => answered.unwrap_or_else(|_| Err(late("its start"))),
            _ = dead.wait_for(Option::is_some) => {
                let cause = death.borrow().clone();
                return Err(cause.map_or_else(|| late("its start"), StartError::Died));
            }
        };
        match answered {
            Ok((client, announced, ending)) => Ok(Process {
                client,
                ending,
                killer,
                death,
                pid,
                report,
                announced: Arc::new(announced),
                seen,
                ready_after: began.elapsed(),
                redactor: resolved.redactor.clone(),
            }),
            Err(error) => {
                let reason = match &error {
                    StartError::Timeout { .. } => KillReason::StartTimeout,
                    StartError::Broken { .. } | StartError::Schema(_) => KillReason::Protocol,
                    _ => KillReason::Requested,
                };
                let error = told_by_death(error, &death).await;
                killer.kill(reason);
                Err(error)
            }
        }
    }

    async fn resolve(&self) -> Result<Resolved, StartError> {
        match secrets::resolve_all(&self.connector.config).await {
            Ok(resolved) => {
                self.secrets.given(&resolved);
                Ok(resolved)
            }
            Err(error) => {
                self.secrets.failed();
                Err(StartError::Secret(error))
            }
        }
    }
}

/// With what a connector's process is started.
pub(crate) fn launch_spec(
    connector: &config::Connector,
    work_root: &std::path::Path,
    tag: &str,
) -> Result<LaunchSpec, StartError> {
    let isolation = connector.isolation.clone();
    Ok(LaunchSpec {
        name: connector.name.to_string(),
        program: connector.program.clone(),
        args: connector.args.clone(),
        env: Vec::new(),
        limits: connector.limits.clone(),
        run_as: run_as(connector, tag)?,
        work_root: work_root.to_owned(),
        cgroup: CgroupParent::Tag(tag.to_owned()),
        view: isolation.view,
        hide: isolation.hide,
        network: isolation.network,
        loopback: isolation.loopback,
        pin: isolation.pin,
        require: isolation.require,
    })
}

/// User ids of connectors begin here; the range is one that distributions leave free.
const OWN_UIDS: std::ops::Range<u32> = 61_200..65_000;

/// The user of whoever bears that name below that state directory: always the same, and two hardly
/// ever share one.
pub(crate) fn own_user(tag: &str, name: &str) -> RunAs {
    let hash = blake3::hash(format!("{tag}/{name}").as_bytes());
    let bytes = [hash.as_bytes()[0], hash.as_bytes()[1], 0, 0];
    let uid = OWN_UIDS.start + u32::from_le_bytes(bytes) % OWN_UIDS.len() as u32;
    RunAs::Own { uid, gid: uid }
}

fn run_as(connector: &config::Connector, tag: &str) -> Result<RunAs, StartError> {
    match &connector.isolation.user {
        config::User::Same => Ok(RunAs::Same),
        config::User::Own => Ok(own_user(tag, connector.name.as_str())),
        config::User::Named(name) => match nix::unistd::User::from_name(name) {
            Ok(Some(user)) if user.uid.is_root() => Ok(RunAs::Same),
            Ok(Some(user)) => Ok(RunAs::Own { uid: user.uid.as_raw(), gid: user.gid.as_raw() }),
            Ok(None) | Err(_) => Err(StartError::User(name.clone())),
        },
    }
}

impl Start<'_> {
    async fn handshake(
        &self,
        channel: Option<std::os::unix::net::UnixStream>,
        resolved: &Resolved,
    ) -> Result<(ConnectorClient<Channel>, Announced, Ending), StartError> {
        let terms = self.terms(&resolved.redactor);
        let (mut client, described, ending) = channel::open(channel, &terms).await?;
        let literals = secrets::literals(&described.configuration_schema, &self.connector.config);
        if !self.dev && !literals.is_empty() {
            return Err(StartError::Literal(literals));
        }
        let announced = Announced {
            name: shorten(&described.name),
            version: shorten(&described.version),
            protocol: PROTOCOL,
            looks_up: described.capabilities().any(|it| it == v1::Capability::Lookup),
            looks_up_by_reading: described
                .capabilities()
                .any(|it| it == v1::Capability::LookupByReading),
            schemas: cordon_wire::describe::schemas_from_wire(&described.schemas)?,
        };
        let configuration = resolved.configuration.expose_secret().to_owned();
        channel::configure(&mut client, configuration, &terms).await?;
        Ok((client, announced, ending))
    }

    fn terms<'a>(&self, redactor: &'a Redactor) -> Terms<'a> {
        let pings = Pings { after: PING_AFTER, answer: PING_ANSWER };
        Terms { pings, call: self.connector.times.call, redactor }
    }

    /// Asks a program what it is, and ends it. It gets neither configuration nor secrets.
    pub(crate) async fn ask(self) -> Result<v1::DescribeResponse, StartError> {
        let program = self.connector.program.display().to_string();
        let spec = launch_spec(self.connector, self.work_root, self.tag)?;
        let spawned = self.launcher.spawn(spec).await;
        let mut jailed = spawned.map_err(|source| StartError::Spawn { program, source })?;
        if let Some(mut output) = jailed.take_output() {
            tokio::spawn(async move { tokio::io::copy(&mut output, &mut tokio::io::sink()).await });
        }
        let channel = jailed.take_channel();
        let (nothing, within) = (Redactor::default(), self.connector.times.start);
        let terms = self.terms(&nothing);
        let described = tokio::select! {
            opened = channel::open(channel, &terms) => opened.map(|(_, described, _)| described),
            death = jailed.wait() => Err(StartError::Died(death)),
            () = tokio::time::sleep(within) => Err(StartError::Timeout { call: "its start", within }),
        };
        jailed.killer().kill(KillReason::Requested);
        jailed.wait().await;
        described
    }
}

/// Stays with a process until it is gone. A process that is stopped runs no line of its own and dies
/// of nothing, so somebody has to look.
async fn attend(mut jailed: Jailed, gone: CancellationToken, told: watch::Sender<Option<Death>>) {
    let mut looks = tokio::time::interval(STOPPED_LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stopped = 0;
    loop {
        tokio::select! {
            death = jailed.wait() => {
                gone.cancel();
                told.send_replace(Some(death));
                return;
            }
            _ = looks.tick() => {
                stopped = if jailed.is_stopped() { stopped + 1 } else { 0 };
                if stopped >= STOPPED_LOOKS {
                    jailed.killer().kill(KillReason::Stopped);
                }
            }
        }
    }
}

fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

async fn told_by_death(error: StartError, death: &watch::Receiver<Option<Death>>) -> StartError {
    let plain = match &error {
        StartError::Broken { .. } => true,
        // One that gave its reasons ends when it is hung up on; that is not what went wrong.
        StartError::Refused { error, answered: false, .. } => {
            matches!(error.kind(), v1::ErrorKind::Bug | v1::ErrorKind::Unavailable)
        }
        _ => false,
    };
    match if plain { wait_for(death.clone()).await } else { None } {
        Some(cause) => StartError::Died(cause),
        None => error,
    }
}

async fn wait_for(mut death: watch::Receiver<Option<Death>>) -> Option<Death> {
    let told = tokio::time::timeout(DEATH_WAIT, death.wait_for(Option::is_some));
    told.await.ok()?.ok()?.clone()
}

impl Process {
    /// Whether files that it was shown have been replaced since.
    pub(crate) fn is_outdated(&self) -> bool {
        self.seen.is_outdated()
    }

    /// A client of its service.
    pub(crate) fn client(&self) -> ConnectorClient<Channel> {
        self.client.clone()
    }

    /// How it died, if it did.
    pub(crate) fn death(&self) -> Option<Death> {
        self.death.borrow().clone()
    }

    /// How it died; waits a moment, since a broken channel is seen before the death behind it.
    pub(crate) async fn death_soon(&self) -> Option<Death> {
        wait_for(self.death.clone()).await
    }

    /// Waits until it and all its children are gone.
    pub(crate) async fn gone(&self) -> Option<Death> {
        let mut death = self.death.clone();
        death.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// What there is to say of it to people.
    pub(crate) fn facts(&self) -> Ran {
        Ran { announced: self.announced.clone(), report: self.report.clone() }
    }

    /// The most memory that it used so far, in bytes.
    pub(crate) fn memory_peak_bytes(&self) -> Option<u64> {
        if let Some(death) = self.death() {
            return death.memory_peak_bytes;
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        kib.checked_mul(1024)
    }

    /// Ends it and all its children, at once.
    pub(crate) fn kill(&self, reason: KillReason) {
        self.killer.kill(reason);
    }
}
