//! What a shell may complete: names of connectors, and what waits for a decision.
//!
//! Asked while someone types, so it answers fast or not at all: a daemon that is away, slow or not
//! ours gives no candidates and no error.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap_complete::CompletionCandidate;
use cordon_wire::v1;

use crate::args::SOCKET_DEFAULT;
use crate::client::{self, Client};
use crate::errors::Failure;
use crate::escape::escape;
use crate::units;

/// Longest time that a key press waits.
const PATIENCE: Duration = Duration::from_millis(400);

/// All connectors, with their trust.
pub(crate) fn connectors() -> Vec<CompletionCandidate> {
    let statuses = ask(async |mut client: Client| {
        Ok(client::answer(client.status(v1::StatusRequest::default())).await?.connectors)
    });
    statuses.into_iter().map(|it| candidate(&it.name, &it.trust)).collect()
}

/// The labels that connectors bear, each with one of those that do.
pub(crate) fn labels() -> Vec<CompletionCandidate> {
    let statuses = ask(async |mut client: Client| {
        Ok(client::answer(client.status(v1::StatusRequest::default())).await?.connectors)
    });
    let mut known = BTreeMap::new();
    for status in &statuses {
        for (key, value) in &status.labels {
            known.entry(format!("{key}={value}")).or_insert(&status.name);
        }
    }
    known.into_iter().map(|(label, name)| candidate(&label, name)).collect()
}

/// The codes of findings, with their meaning.
pub(crate) fn codes() -> Vec<CompletionCandidate> {
    let codes = crate::commands::codes();
    codes.iter().map(|(code, meaning)| candidate(code, meaning)).collect()
}

/// Only connectors with a quarantined sync, with its reason.
pub(crate) fn quarantined() -> Vec<CompletionCandidate> {
    waiting().iter().map(|it| candidate(&it.connector, &why(it))).collect()
}

/// The quarantined syncs.
pub(crate) fn quarantined_syncs() -> Vec<CompletionCandidate> {
    waiting()
        .iter()
        .map(|it| candidate(&it.sync.to_string(), &format!("{}: {}", it.connector, why(it))))
        .collect()
}

/// The digests of the quarantined syncs.
pub(crate) fn quarantined_digests() -> Vec<CompletionCandidate> {
    waiting()
        .iter()
        .map(|it| candidate(&units::digest(&it.digest), &format!("{} {}", it.connector, it.sync)))
        .collect()
}

fn waiting() -> Vec<v1::QuarantinedSync> {
    ask(async |mut client: Client| {
        Ok(client::answer(client.quarantine(v1::QuarantineRequest::default())).await?.syncs)
    })
}

fn why(sync: &v1::QuarantinedSync) -> String {
    let blocking = sync.findings.iter().find(|finding| finding.severity == "quarantine");
    blocking.or(sync.findings.first()).map(|finding| finding.message.clone()).unwrap_or_default()
}

fn candidate(value: &str, help: &str) -> CompletionCandidate {
    let help = (!help.is_empty()).then(|| escape(help).into_owned().into());
    CompletionCandidate::new(escape(value).into_owned()).help(help)
}

/// Asks the daemon, if it answers in time.
fn ask<T: Default>(question: impl AsyncFnOnce(Client) -> Result<T, Failure>) -> T {
    let socket =
        std::env::var_os("CORDON_SOCKET").map_or_else(|| SOCKET_DEFAULT.into(), PathBuf::from);
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return T::default();
    };
    runtime.block_on(async {
        let answer = async { question(client::connect(&socket).await?).await };
        tokio::time::timeout(PATIENCE, answer).await.ok().and_then(Result::ok).unwrap_or_default()
    })
}
