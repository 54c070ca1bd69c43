//! `cargo xtask licences`: may we ship what we are built from? By deny.toml, without a network.
//!
//! cargo-deny reads the same file and does more; this needs nothing installed, so everyone runs it.
//! Checked are licences, banned crates and sources of what is built on this host.

mod expression;

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::run::say;
use crate::workspace::{Package, Workspace};

/// The part of deny.toml that is checked here.
#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

/// Licences that one crate may have.
#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    #[serde(default)]
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let path = workspace.root().join("deny.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path:?}"))?;
    let deny: Deny = toml::from_str(&text).with_context(|| format!("cannot read {path:?}"))?;
    let packages = workspace.metadata(true)?.packages;
    let findings: Vec<String> = packages.iter().flat_map(|package| deny.check(package)).collect();
    if findings.is_empty() {
        say(&format!("{} packages, all of them allowed", packages.len()));
        return Ok(());
    }
    findings.iter().for_each(|finding| say(&format!("error: {finding}")));
    bail!("{} findings; deny.toml says what is allowed", findings.len())
}

impl Deny {
    fn check(&self, package: &Package) -> Vec<String> {
        let name = format!("{} {}", package.name, package.version);
        let mut findings = Vec::new();
        if let Some(wrong) = self.wrong_licence(package) {
            findings.push(format!("{name}: {wrong}"));
        }
        if let Some(banned) = self.bans.deny.iter().find(|banned| banned.name == package.name) {
            findings.push(format!("{name} is banned: {}", banned.reason));
        }
        let is_allowed = |source: &String| {
            self.sources.allow_registry.iter().any(|a| source.ends_with(a.as_str()))
        };
        if let Some(source) = package.source.as_ref().filter(|source| !is_allowed(source)) {
            findings.push(format!("{name} comes from {source}"));
        }
        findings
    }

    fn wrong_licence(&self, package: &Package) -> Option<String> {
        let Some(licence) = &package.license else {
            return Some("it names no licence".to_owned());
        };
        let exception = self.licenses.exceptions.iter().find(|one| one.name == package.name);
        let allowed = |licence: &str| {
            self.licenses.allow.contains(licence)
                || exception.is_some_and(|one| one.allow.contains(licence))
        };
        match expression::is_satisfied(licence, &allowed) {
            Ok(true) => None,
            Ok(false) => Some(format!("licence {licence} is not allowed")),
            Err(error) => Some(format!("licence {licence:?} cannot be read: {error}")),
        }
    }
}
