//! `cordon version`: ours, and that of the daemon if it answers.

use std::path::Path;
use std::time::Duration;

use cordon_wire::{PROTOCOL, v1};
use serde::Serialize;

use crate::client::{self, answer};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::json::Item;
use crate::output::json::View;
use crate::output::page::Page;

/// Longest wait for the daemon's version.
const PATIENCE: Duration = Duration::from_secs(3);

/// The versions in play.
pub(super) struct Versions {
    client: &'static str,
    protocol: u32,
    daemon: Option<String>,
}

impl Item for Versions {
    const KIND: &'static str = "VersionList";

    fn name(&self) -> String {
        self.client.to_owned()
    }
}

impl Serialize for View<'_, Versions> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("client", self.0.client)?;
        map.serialize_entry("protocol", &self.0.protocol)?;
        map.serialize_entry("daemon", &self.0.daemon)?;
        map.end()
    }
}

pub(super) async fn run(socket: &Path, out: &mut Output) -> Result<Exit, Failure> {
    let versions = Versions {
        client: env!("CARGO_PKG_VERSION"),
        protocol: PROTOCOL,
        // A daemon that is away is no reason to fail: our own version is the answer then.
        daemon: tokio::time::timeout(PATIENCE, daemon(socket)).await.ok().and_then(Result::ok),
    };
    out.list(std::slice::from_ref(&versions), &(), |_| page(&versions))?;
    Ok(Exit::Done)
}

async fn daemon(socket: &Path) -> Result<String, Failure> {
    let mut client = client::connect(socket).await?;
    let response = answer(client.status(v1::StatusRequest::default())).await?;
    Ok(response.host.unwrap_or_default().version)
}

fn page(versions: &Versions) -> Page {
    let mut page = Page::new();
    page.line(&format!("cordon   {} (protocol {})", versions.client, versions.protocol));
    page.line(&format!("cordond  {}", versions.daemon.as_deref().unwrap_or("not reachable")));
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_told_and_a_missing_daemon_is_no_failure() {
        let versions = Versions { client: "0.1.0", protocol: 1, daemon: Some("0.1.2".into()) };
        insta::assert_snapshot!(page(&versions).plain(), @r#"
        cordon   0.1.0 (protocol 1)
        cordond  0.1.2
        "#);
        let alone = Versions { daemon: None, ..versions };
        insta::assert_snapshot!(serde_json::to_string(&View(&alone)).unwrap(), @r#"{"client":"0.1.0","protocol":1,"daemon":null}"#);
    }
}
