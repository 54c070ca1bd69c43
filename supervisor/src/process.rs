//! One running connector: its process, its channel, and what it said of itself.
//!
//! Started on demand, spoken to over the one socket that it inherited, and never believed before its
//! answer was measured. However it ends, its death is told once, by the sandbox, with the true cause.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cordon_model::RecordSchema;
use cordon_sandbox::{
    CgroupParent, Death, JailReport, KillReason, Killer, LaunchSpec, Launcher, RunAs, SpawnError,
};
use cordon_wire::v1::connector_client::ConnectorClient;
use cordon_wire::{MESSAGE_BYTES_MAX, PROTOCOL, v1};
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::config;
use crate::descriptors::{self, DescriptorsError};
use crate::egress::{self, Flows};
use crate::limits::START_TIMEOUT;
use crate::logs::Logs;
use crate::secrets::{self, Held, Redactor, Resolved, SecretError};
use crate::view::Ran;

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
    #[error("no answer within {} of its start", crate::schedule::in_words(*.0))]
    Timeout(Duration),
    /// It died before it answered.
    #[error("the connector died before it was ready: {}", .0.cause)]
    Died(Death),
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
    /// What it can report.
    pub(crate) schemas: Vec<RecordSchema>,
}

/// One running connector.
#[derive(Clone)]
pub(crate) struct Process {
    client: ConnectorClient<Channel>,
    killer: Killer,
    death: watch::Receiver<Option<Death>>,
    /// Its process id.
    pub(crate) pid: u32,
    /// The isolation in force.
    pub(crate) report: Arc<JailReport>,
    /// What it said of itself.
    pub(crate) announced: Arc<Announced>,
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
        tokio::spawn(async move {
            let cause = jailed.wait().await;
            gone.cancel();
            told.send_replace(Some(cause));
        });
        let answer = tokio::time::timeout(START_TIMEOUT, self.handshake(channel, &resolved));
        let mut dead = death.clone();
        let answered = tokio::select! {
            answered = answer => answered,
            _ = dead.wait_for(Option::is_some) => {
                let cause = death.borrow().clone();
                return Err(cause.map_or(StartError::Timeout(START_TIMEOUT), StartError::Died));
            }
        };
        match answered {
            Ok(Ok((client, announced))) => Ok(Process {
                client,
                killer,
                death,
                pid,
                report,
                announced: Arc::new(announced),
                ready_after: began.elapsed(),
                redactor: resolved.redactor.clone(),
            }),
            Ok(Err(error)) => Err(told_by_death(error, &death).await),
            Err(_) => {
                killer.kill(KillReason::StartTimeout);
                Err(StartError::Timeout(START_TIMEOUT))
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
    ) -> Result<(ConnectorClient<Channel>, Announced), StartError> {
        let (mut client, described) = describe(channel, &resolved.redactor).await?;
        let (min, max) = (described.protocol_min, described.protocol_max);
        if !(min..=max).contains(&PROTOCOL) {
            return Err(StartError::Version { min, max });
        }
        let literals = secrets::literals(&described.configuration_schema, &self.connector.config);
        if !self.dev && !literals.is_empty() {
            return Err(StartError::Literal(literals));
        }
        let announced = Announced {
            name: shorten(&described.name),
            version: shorten(&described.version),
            schemas: cordon_wire::describe::schemas_from_wire(&described.schemas)?,
        };
        let configuration = resolved.configuration.expose_secret().to_owned();
        let request = v1::ConfigureRequest { protocol: PROTOCOL, configuration };
        client
            .configure(request)
            .await
            .map_err(|status| refused("Configure", &status, &resolved.redactor))?;
        Ok((client, announced))
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
        let nothing = Redactor::default();
        let described = tokio::select! {
            described = describe(channel, &nothing) => described.map(|(_, described)| described),
            death = jailed.wait() => Err(StartError::Died(death)),
            () = tokio::time::sleep(START_TIMEOUT) => Err(StartError::Timeout(START_TIMEOUT)),
        };
        jailed.killer().kill(KillReason::Requested);
        jailed.wait().await;
        described
    }
}

/// An answer that is an error, in words without secrets.
fn refused(call: &'static str, status: &tonic::Status, redactor: &Redactor) -> StartError {
    let clean = |text: &str| redactor.text(text);
    let error = cordon_wire::error::error_from_status_cleaned(status, clean);
    let answered = crate::session::carries_error(status);
    StartError::Refused { call, error: Box::new(error), answered }
}

async fn describe(
    channel: Option<std::os::unix::net::UnixStream>,
    redactor: &Redactor,
) -> Result<(ConnectorClient<Channel>, v1::DescribeResponse), StartError> {
    let channel = connect(channel).await.map_err(|error| {
        let message = redactor.text(&crate::session::chain(&*error));
        let kind = v1::ErrorKind::Bug.into();
        let error = Box::new(v1::Error { kind, message, ..Default::default() });
        StartError::Refused { call: "connect", error, answered: false }
    })?;
    let mut client = ConnectorClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let described = client
        .describe(v1::DescribeRequest {})
        .await
        .map_err(|status| refused("Describe", &status, redactor))?;
    Ok((client, described.into_inner()))
}

/// One HTTP/2 connection over the inherited socket; there is nothing to dial again when it breaks.
async fn connect(
    channel: Option<std::os::unix::net::UnixStream>,
) -> Result<Channel, Box<dyn std::error::Error + Send + Sync>> {
    let stream = channel.ok_or("the channel was taken already")?;
    stream.set_nonblocking(true)?;
    let mut stream = Some(UnixStream::from_std(stream)?);
    let connector = tower::service_fn(move |_: http::Uri| {
        let stream = stream.take().ok_or_else(|| std::io::Error::other("the channel is closed"));
        async move { stream.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://connector.invalid")
        // Ten million grants pass here; small windows would cost a round trip every 64 KiB.
        .initial_stream_window_size(4 * 1024 * 1024)
        .initial_connection_window_size(8 * 1024 * 1024)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(30))
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await?;
    Ok(channel)
}

fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

async fn told_by_death(error: StartError, death: &watch::Receiver<Option<Death>>) -> StartError {
    // One that gave its reasons ends when it is hung up on; that is not what went wrong.
    let plain = matches!(&error, StartError::Refused { error, answered: false, .. }
        if matches!(error.kind(), v1::ErrorKind::Bug | v1::ErrorKind::Unavailable));
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
