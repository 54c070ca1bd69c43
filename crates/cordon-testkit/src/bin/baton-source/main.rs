//! A Baton connector for tests: serves a computed directory as a real one would serve its source, and
//! has the faults that real ones have.
//!
//! It is started as every Baton connector is, by `_connector-service`, and takes its settings from the
//! environment. Written from the facts of the protocol alone, so that it agrees with the bridge only
//! where both are right.

use std::io::{BufRead, Read, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use base64::Engine;
use cordon_testkit::baton::Directory;
use prost::Message;

mod descriptor;
mod fault;
mod records;
mod serve;
mod service;
mod wire;

use fault::Fault;
use wire::start::ServerConfig;

/// What a source knows its caller by.
const TOKEN: &str = "open sesame";

/// What is served, and how.
struct Source {
    directory: Directory,
    /// Of each team, by its number.
    members: Vec<Vec<u32>>,
    fault: Fault,
    token: String,
    sessions: serve::SessionClient,
    calls: std::sync::atomic::AtomicU64,
}

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "Error: {error:#}\nUsage:\n  baton-source [flags]");
            ExitCode::FAILURE
        }
    }
}

fn setting(name: &str) -> Option<String> {
    std::env::var(format!("BATON_{name}")).ok()
}

fn number(name: &str, otherwise: u32) -> anyhow::Result<u32> {
    setting(name).map_or(Ok(otherwise), |text| text.parse().with_context(|| name.to_owned()))
}

fn start() -> anyhow::Result<()> {
    if std::env::args().next_back().as_deref() != Some("_connector-service") {
        bail!("it only serves: give _connector-service as the last argument");
    }
    let fault = Fault::named(&setting("FAULT").unwrap_or_default())?;
    fault.at_start()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let start = base64::engine::general_purpose::STANDARD.decode(line.trim())?;
    let start = ServerConfig::decode(start.as_slice())?;
    // Whoever started it is gone when its input ends.
    std::thread::spawn(|| {
        let _ = std::io::stdin().lock().read(&mut [0]);
        std::process::abort();
    });
    let fd = setting("CONNECTOR_SERVICE_LISTENER_FD").context("no descriptor to listen on")?;
    let listener: TcpListener = descriptor::inherit(fd.parse()?)?.into();
    let port = listener.local_addr()?.port();
    if u32::from(port) != start.listen_port {
        bail!("listens on {port}, and was told {}", start.listen_port);
    }
    let credential = start.credential.context("no credentials")?;
    let hidden = setting("HIDDEN").map(|text| text.parse()).transpose()?;
    let directory = Directory {
        users: number("USERS", 400)?,
        teams: number("TEAMS", 40)?,
        day: number("DAY", 1)?,
        hidden,
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let tls = serve::Tls::new(&credential, fault)?;
        let sessions = tls.session_client(start.session_store_listen_port)?;
        let token = setting("API_TOKEN").unwrap_or_default();
        let calls = std::sync::atomic::AtomicU64::new(0);
        let members = directory.members();
        let source = Arc::new(Source { directory, members, fault, token, sessions, calls });
        serve::serve(listener, tls, source).await
    })
}
