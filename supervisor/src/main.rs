//! `cordond`, the supervisor: runs identity connectors as isolated processes and lets nothing that
//! they report change anyone's access until the sync that reported it is shown to be complete,
//! current and plausible.
//!
//! Only this file knows the process that it is: arguments, signals, exit codes, the service manager.

mod bell;
mod check;
mod clock;
mod config;
mod control;
mod descriptors;
mod egress;
mod faults;
mod gate;
mod host;
mod limits;
mod liveness;
mod log;
mod logs;
mod outbox;
mod process;
mod reason;
mod runner;
mod schedule;
mod secrets;
mod service;
mod session;
mod starts;
mod trust;
mod unit;
mod view;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use config::Config;
use host::Host;

/// What `cordond` ends with when no restart can help; the unit file says so to systemd.
const EXIT_CONFIG: u8 = 78;

/// Runs identity connectors as isolated processes behind one gate.
#[derive(Parser)]
#[command(name = "cordond", version, about)]
struct Args {
    /// The configuration.
    #[arg(long, env = "CORDON_CONFIG", default_value = "/etc/cordon/cordon.toml")]
    config: PathBuf,
    /// Check the configuration and end.
    #[arg(long)]
    check: bool,
    /// For development and drills: honours CORDON_FAULT, and lets secrets stand in the configuration.
    #[arg(long)]
    dev: bool,
    /// List the points at which a drill may end the supervisor, and end.
    #[arg(long, hide = true)]
    fault_points: bool,
    /// Write the manual page into that folder, and end; for packages.
    #[arg(long, hide = true, value_name = "FOLDER")]
    man_page: Option<PathBuf>,
}

/// How a run ended that should not have.
enum Ended {
    /// It did not begin, and a restart would not either.
    Refused(anyhow::Error),
    /// It broke; a restart may help.
    Broke(anyhow::Error),
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.fault_points {
        say(&faults::all_points().collect::<Vec<_>>().join("\n"));
        return ExitCode::SUCCESS;
    }
    if let Some(folder) = &args.man_page {
        return match clap_mangen::generate_to(Args::command(), folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format!("error: cannot write to {}: {error}", folder.display()));
                ExitCode::FAILURE
            }
        };
    }
    let config = match Config::read(&args.config) {
        Ok(config) => config,
        Err(error) => {
            complain(&format!("error: {error}"));
            return ExitCode::from(if args.check { 2 } else { EXIT_CONFIG });
        }
    };
    // Two TLS libraries may be linked in; the one that is meant is named before the first use.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("error: cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    if args.check {
        return runtime.block_on(check(&config, args.dev));
    }
    log::begin();
    descriptors::allow_all();
    leave_no_core();
    let ended = runtime.block_on(run(config, args.dev));
    runtime.shutdown_timeout(Duration::from_secs(2));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended::Refused(error)) => {
            complain(&format!("error: {error:#}"));
            ExitCode::from(EXIT_CONFIG)
        }
        Err(Ended::Broke(error)) => {
            complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Secrets pass through this process; its memory must not end in a file when it dies.
fn leave_no_core() {
    use nix::sys::resource::{Resource, setrlimit};
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        tracing::warn!(%error, "a crash could leave this process's memory in a file");
    }
}

/// Says what holds of a configuration that could be read.
async fn check(config: &Config, dev: bool) -> ExitCode {
    let told = check::ask(config).await;
    if !told.literals.is_empty() && !dev {
        for literal in &told.literals {
            complain(&format!("error: {literal} holds a secret, and not a reference to one"));
        }
        complain("  hint: write cred:NAME, file:/path or exec:/program arguments");
        return ExitCode::from(2);
    }
    if !told.misfits.is_empty() {
        for misfit in &told.misfits {
            complain(&format!("error: {misfit}"));
        }
        complain("  hint: correct it, or the connector's configuration");
        return ExitCode::from(2);
    }
    say(&summary(config));
    for unknown in &told.unknown {
        complain(&format!(
            "note: which fields are secret, and what of a policy fits, is not known of {unknown}"
        ));
    }
    ExitCode::SUCCESS
}

async fn run(config: Config, dev: bool) -> Result<(), Ended> {
    let socket = config.daemon.socket.clone();
    let (host, listener) =
        service::start(open(Arc::new(config), dev)).await.map_err(Ended::Refused)?;
    // Orders to stop are heard from here on, before anybody is told that the service is there.
    let mut signals = Signals::new().map_err(|error| Ended::Broke(error.into()))?;
    let stop = CancellationToken::new();
    let served = tokio::spawn(control::serve(host.clone(), listener, stop.clone()));
    tracing::info!(
        socket = %socket.display(),
        connectors = host.connectors().len(),
        "cordond is ready"
    );
    service::ready();
    watch(&host, &mut signals).await;
    service::stopping();
    tracing::info!("stopping; running syncs may end");
    let mut hurry = std::pin::pin!(signals.stop());
    host.shut_down(&mut hurry).await;
    stop.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(2), served).await;
    let _ = std::fs::remove_file(&socket);
    Ok(())
}

/// Opens the state, binds the socket and starts what is configured.
async fn open(config: Arc<Config>, dev: bool) -> anyhow::Result<(Arc<Host>, UnixListener)> {
    let faults = match std::env::var("CORDON_FAULT") {
        Ok(order) if dev => faults::from_order(&order)?,
        _ => faults::none(),
    };
    let host = host::open((*config).clone(), faults, dev).await?;
    let listener = control::bind(&config.daemon.socket, config.daemon.socket_group.as_deref())?;
    host.note_policies(&config, "cordond").await?;
    host.apply(config).await?;
    host.tell_misfits().await;
    Ok((host, listener))
}

/// The signals that the service obeys.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// An order to stop.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The main loop: signals, retention, and the proof to the service manager that work goes on.
async fn watch(host: &Arc<Host>, signals: &mut Signals) {
    let mut heart = service::Heart::default();
    let mut heartbeat = tokio::time::interval(limits::HEARTBEAT);
    let mut housekeeping = tokio::time::interval(limits::HOUSEKEEPING);
    housekeeping.tick().await;
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.hang_up.recv() => match host.reload("signal HUP").await {
                Ok(done) => tracing::info!(?done, "configuration reloaded"),
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "the running configuration was not changed"
                ),
            },
            _ = heartbeat.tick() => heart.beat(host).await,
            _ = housekeeping.tick() => if let Err(error) = host.sweep().await {
                tracing::warn!(error = format!("{error:#}"), "the sweep did not finish");
            },
        }
    }
}

fn summary(config: &Config) -> String {
    let mut lines = vec![format!(
        "{}: {} connectors, {} sinks",
        config.path.display(),
        config.connectors.len(),
        config.sinks.len()
    )];
    for connector in config.connectors.values() {
        lines.push(format!(
            "  connector {}  use {}  {}",
            connector.name,
            connector.uses,
            connector.schedule.describe()
        ));
    }
    for sink in config.sinks.values() {
        lines.push(format!("  sink {}", sink.name));
    }
    lines.join("\n")
}

fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn complain(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}
