//! Lines of policies that name what no connector has: told with what may have been meant.

use std::collections::BTreeMap;

use cordon_model::{ConnectorName, Finding, Severity};
use cordon_validate::{Announced, Misnamed, Named, codes};

use super::Host;
use crate::config::Config;

/// How near a word has to be to be meant.
const NEAR: f64 = 0.7;
/// Words that are listed where none is near, at most.
const LISTED_MAX: usize = 12;

/// What a configuration names that is not there. What the host's policy names has to fit one of its
/// connectors, once all are known.
pub(super) fn misnamed(config: &Config, known: &BTreeMap<ConnectorName, Announced>) -> Vec<String> {
    let mut told = Vec::new();
    for (name, announced) in known {
        let Some(connector) = config.connectors.get(name) else { continue };
        let own = connector.policy.named().into_iter().filter(|it| !config.named.contains(it));
        let lines = own.filter_map(|named| line(&named, announced));
        told.extend(lines.map(|line| format!("connector `{name}`: {line}")));
    }
    if !known.is_empty() && config.connectors.keys().all(|name| known.contains_key(name)) {
        told.extend(config.named.iter().filter_map(|named| {
            let mut whys = known.values().map(|announced| why(named, announced));
            // The first connector speaks for all of them.
            let first = whys.next().flatten()?;
            let nowhere = whys.all(|why| why.is_some());
            let line = &named.line;
            nowhere.then(|| format!("guard.{line} fits no connector of this host: {first}"))
        }));
    }
    told
}

/// A line that names what the connector has not.
fn line(named: &Named, announced: &Announced) -> Option<String> {
    why(named, announced).map(|why| format!("guard.{}: {why}", named.line))
}

/// Why it has not, and what may have been meant.
fn why(named: &Named, announced: &Announced) -> Option<String> {
    named.misnamed(announced).map(|it| format!("{}; {}", it.why, meant(&it)))
}

fn meant(misnamed: &Misnamed) -> String {
    let scored = misnamed.known.iter().map(|it| (it, strsim::jaro_winkler(&misnamed.unknown, it)));
    match scored.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, score)| *score > NEAR) {
        Some((nearest, _)) => format!("did you mean {nearest}?"),
        None => {
            let listed: Vec<&str> =
                misnamed.known.iter().take(LISTED_MAX).map(String::as_str).collect();
            format!("there are {}", listed.join(", "))
        }
    }
}

impl Host {
    /// What stands at a connector because its own policy names what it does not announce.
    pub(super) async fn misnamed(&self, name: &ConnectorName) -> Vec<Finding> {
        let config = self.loaded().config;
        let Some(connector) = config.connectors.get(name) else { return Vec::new() };
        let own = connector.policy.named().into_iter().filter(|it| !config.named.contains(it));
        let own: Vec<Named> = own.collect();
        if own.is_empty() {
            return Vec::new();
        }
        // What cannot be read is told where it is needed.
        let Ok(Some(announced)) = self.announced(name).await else { return Vec::new() };
        let found = own.iter().filter_map(|named| Some((named, line(named, &announced)?)));
        let finding = |(named, line): (&Named, String)| {
            codes::MISNAMED.finding(Severity::Warning, &named.line, line)
        };
        found.map(finding).collect()
    }
}
