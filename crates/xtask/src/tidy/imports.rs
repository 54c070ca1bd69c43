//! Who may import whom.
//!
//! The gate holds because only some parts can reach others: a sink that could read the stream, or a
//! check with a clock, would be a second way around `judge`. Manifests are where that is decided.

use std::fs;

use anyhow::Context;

use crate::workspace::{Dependency, Package};

/// Each package and who may import it. `*` is everyone, `connectors` all of them, `dev:*` everyone's
/// tests.
const IMPORTERS: [(&str, &[&str]); 12] = [
    ("cordon-model", &["*"]),
    ("cordon-wire", &["cordon-sdk", "cordond", "cordon-cli", "cordon-testkit", "cordon-fuzz"]),
    ("cordon-validate", &["cordond", "cordon-store", "cordon-feeds"]),
    ("cordon-store", &["cordond", "cordon-fuzz"]),
    ("cordon-ledger", &["cordond"]),
    ("cordon-sandbox", &["cordond"]),
    ("cordon-sinks", &["cordond"]),
    ("cordon-sdk", &["connectors", "cordon-cli", "cordon-hostile", "cordon-testkit", "cordon-tls"]),
    ("cordon-tls", &["connectors"]),
    ("cordon-testkit", &["dev:*"]),
    // Programs are started, never linked.
    ("cordond", &[]),
    ("cordon-cli", &[]),
];

/// Packages that import nothing of ours: the model, the launcher, and us.
const ALONE: [&str; 3] = ["cordon-model", "cordon-sandbox", "xtask"];

/// Packages that nobody imports.
const ENDS: [&str; 5] = ["cordon-feeds", "cordon-fuzz", "cordon-hostile", "cordon-tests", "xtask"];

/// The only packages whose lints differ, see their manifests.
const OWN_LINTS: [&str; 2] = ["cordon-hostile", "cordon-sandbox"];

pub(super) fn check(packages: &[Package]) -> Vec<String> {
    let mut findings = Vec::new();
    for package in packages {
        let name = package.name.as_str();
        if !is_known(name) {
            findings.push(format!("{name} is not in the import table of crates/xtask/src/tidy"));
        }
        for dependency in package.dependencies.iter().filter(|dep| dep.path.is_some()) {
            findings.extend(check_one(name, dependency));
        }
    }
    findings
}

/// Every package takes the workspace's lints, which forbid `unsafe` everywhere but in one place.
pub(super) fn check_lints(packages: &[Package]) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    for package in packages.iter().filter(|package| !OWN_LINTS.contains(&&*package.name)) {
        let path = &package.manifest_path;
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {path:?}"))?;
        let manifest: toml::Table =
            text.parse().with_context(|| format!("cannot read {path:?}"))?;
        let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        if inherits.and_then(toml::Value::as_bool) != Some(true) {
            findings.push(format!("{} does not take the workspace's lints", package.name));
        }
    }
    Ok(findings)
}

fn check_one(importer: &str, dependency: &Dependency) -> Option<String> {
    let imported = dependency.name.as_str();
    let importers = IMPORTERS.iter().find(|(name, _)| *name == imported).map(|(_, who)| *who);
    let is_dev = dependency.kind.as_deref() == Some("dev");
    let allowed = !ALONE.contains(&importer)
        && importers.unwrap_or_default().iter().any(|who| match *who {
            "*" => true,
            "dev:*" => is_dev,
            "connectors" => is_connector(importer),
            who => who == importer,
        })
        // The end-to-end tests know our programs from outside.
        && (importer != "cordon-tests" || imported == "cordon-testkit");
    let kind = dependency.kind.as_deref().unwrap_or("normal");
    (!allowed).then(|| format!("{importer} may not import {imported} ({kind} dependency)"))
}

fn is_connector(name: &str) -> bool {
    name.starts_with("connector-")
}

fn is_known(name: &str) -> bool {
    is_connector(name) || ENDS.contains(&name) || IMPORTERS.iter().any(|(known, _)| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(importer: &str, imported: &str, kind: Option<&str>) -> bool {
        let dependency = Dependency {
            name: imported.into(),
            kind: kind.map(str::to_owned),
            path: Some("/somewhere".into()),
        };
        check_one(importer, &dependency).is_none()
    }

    #[test]
    fn the_table_lets_through_what_the_design_allows() {
        for (importer, imported, kind) in [
            ("cordon-sinks", "cordon-model", None),
            ("cordon-store", "cordon-validate", None),
            ("cordond", "cordon-store", None),
            ("connector-csv", "cordon-sdk", None),
            ("connector-csv", "cordon-testkit", Some("dev")),
            ("cordon-tests", "cordon-testkit", Some("dev")),
            ("cordon-testkit", "cordon-sdk", None),
        ] {
            assert!(check(importer, imported, kind), "{importer} -> {imported}");
        }
    }

    #[test]
    fn the_table_stops_ways_around_the_gate() {
        for (importer, imported, kind) in [
            ("cordon-sinks", "cordon-store", None),
            ("cordon-sinks", "cordon-store", Some("dev")),
            ("cordon-validate", "cordon-store", None),
            ("cordon-ledger", "cordon-store", None),
            ("cordon-cli", "cordon-ledger", None),
            ("connector-csv", "cordon-wire", None),
            ("connector-csv", "cordon-store", Some("build")),
            ("cordond", "connector-csv", None),
            ("cordond", "cordon-sdk", None),
            ("cordond", "cordon-testkit", None),
            ("cordon-tests", "cordon-store", Some("dev")),
            ("cordon-tests", "cordon-model", Some("dev")),
            ("cordon-tests", "cordond", Some("dev")),
            ("cordon-model", "cordon-wire", Some("dev")),
            ("cordon-sandbox", "cordon-model", None),
            ("xtask", "cordon-model", None),
        ] {
            assert!(!check(importer, imported, kind), "{importer} -> {imported}");
        }
    }
}
