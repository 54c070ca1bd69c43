//! Asks a daemon for its status, one question after the other over one connection, and tells how long
//! the answers took.
//!
//! What a bench of busy hosts wants to know is how long an operator waits, and not how long a new
//! process takes to start; so the connection stays.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use cordon_wire::v1;
use cordon_wire::v1::control_client::ControlClient;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::UnixStream;
use tonic::transport::{Endpoint, Uri};

/// Measures how fast a daemon answers.
#[derive(Parser)]
struct Arguments {
    /// The daemon's socket.
    #[arg(long)]
    socket: PathBuf,
    /// How long to ask.
    #[arg(long)]
    seconds: u64,
    /// Between an answer and the next question.
    #[arg(long, default_value_t = 10)]
    pause_ms: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let stream = UnixStream::connect(&arguments.socket).await?;
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: Uri| {
        let stream = stream.take().ok_or_else(|| std::io::Error::other("the connection broke"));
        async move { stream }
    });
    let channel =
        Endpoint::from_static("http://cordond.invalid").connect_with_connector(connector).await?;
    let mut client = ControlClient::new(channel);
    let mut took = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(arguments.seconds) {
        let asked = Instant::now();
        client.status(v1::StatusRequest::default()).await?;
        took.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(arguments.pause_ms)).await;
    }
    took.sort();
    let answered = json!({
        "answers": took.len(),
        "p50_us": micros(&took, 50),
        "p99_us": micros(&took, 99),
        "max_us": micros(&took, 100),
    });
    writeln!(std::io::stdout(), "{answered}")?;
    Ok(())
}

/// What so many of a hundred answers took at most.
fn micros(sorted: &[Duration], percent: usize) -> Option<u64> {
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).and_then(|took| u64::try_from(took.as_micros()).ok())
}
