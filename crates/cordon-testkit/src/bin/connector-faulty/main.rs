//! A connector that breaks in the way that a scenario says, and in no other.
//!
//! An honest run of it keeps the whole contract, so that what a test sees comes from the fault. The
//! scenario is its configuration, or `{"file": path}`, read again at each sync; what goes wrong
//! before the configuration has come is read from `--scenario FILE`.

mod acts;
mod leaks;
mod lies;
mod plan;
mod service;
mod socket;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use cordon_testkit::scenario::{Point, Scenario};
use cordon_wire::v1::connector_server::ConnectorServer;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;

use crate::acts::Sabotage;
use crate::service::{Faulty, Source};
use crate::socket::Socket;

#[derive(Parser)]
struct Arguments {
    /// The scenario until the configuration brings another.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Leave the session and stay: what a child of a fault does.
    #[arg(long)]
    linger: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.linger {
        acts::linger();
        return ExitCode::SUCCESS;
    }
    match start(arguments.scenario) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(file: Option<PathBuf>) -> anyhow::Result<()> {
    let scenario: Scenario = match &file {
        Some(path) => serde_json::from_str(&std::fs::read_to_string(path)?)?,
        None => Scenario::default(),
    };
    let socket = cordon_sdk::testing::inherited_socket()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let sabotage = Sabotage::default();
        for fault in scenario.faults.iter().filter(|fault| fault.at == Point::Start) {
            acts::perform(&fault.act, &sabotage).await?;
        }
        let stream = tokio::net::UnixStream::from_std(socket)?;
        let socket = Socket::new(stream, sabotage.clone(), scenario.seed);
        let source = file.map_or_else(|| Source::Given(Box::new(scenario)), Source::File);
        let service = TowerToHyperService::new(ConnectorServer::new(Faulty::new(source, sabotage)));
        let server = auto::Builder::new(TokioExecutor::new()).http2_only();
        // Its end is the supervisor's business, whichever way it comes.
        let _ = server.serve_connection(TokioIo::new(socket), service).await;
        anyhow::Ok(())
    })?;
    runtime.shutdown_background();
    Ok(())
}
