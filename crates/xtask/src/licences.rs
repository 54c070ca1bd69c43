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
        let allowed = |licence: &str| self.licenses.allow.contains(licence);
        match expression::is_satisfied(licence, &allowed) {
            Ok(true) => None,
            Ok(false) => Some(format!("licence {licence} is not allowed")),
            Err(error) => Some(format!("licence {licence:?} cannot be read: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a package of that name, licence and source.
    fn check(name: &str, licence: Option<&str>, source: Option<&str>) -> Vec<String> {
        let deny: Deny = toml::from_str(
            r#"
            licenses.allow = ["MIT"]
            bans.deny = [{ crate = "openssl-sys", reason = "TLS is rustls" }]
            sources.allow-registry = ["https://registry.example/index"]
            "#,
        )
        .unwrap();
        deny.check(&Package {
            name: name.into(),
            version: "1.2.3".into(),
            license: licence.map(str::to_owned),
            source: source.map(str::to_owned),
            manifest_path: "Cargo.toml".into(),
            dependencies: Vec::new(),
        })
    }

    const REGISTRY: Option<&str> = Some("registry+https://registry.example/index");

    #[test]
    fn a_package_with_an_allowed_licence_from_an_allowed_place_passes() {
        assert_eq!(check("serde", Some("MIT OR GPL-3.0"), REGISTRY), Vec::<String>::new());
        assert_eq!(check("cordond", Some("MIT"), None), Vec::<String>::new());
    }

    #[test]
    fn a_package_without_an_allowed_licence_is_found() {
        assert_eq!(
            check("x", Some("GPL-3.0"), REGISTRY),
            ["x 1.2.3: licence GPL-3.0 is not allowed"]
        );
        assert_eq!(check("x", None, REGISTRY), ["x 1.2.3: it names no licence"]);
    }

    #[test]
    fn a_banned_package_and_one_from_elsewhere_are_found() {
        assert_eq!(
            check("openssl-sys", Some("MIT"), REGISTRY),
            ["openssl-sys 1.2.3 is banned: TLS is rustls"]
        );
        assert_eq!(
            check("x", Some("MIT"), Some("git+https://example.com/x")),
            ["x 1.2.3 comes from git+https://example.com/x"]
        );
    }
}
