//! How far a connector is walled in, and what of that its start depends on.
//!
//! `allow` is a promise: once it is written, a start that cannot keep it is refused. A host's profile
//! says what holds without it. `service` demands limits, a user of its own and walls around files
//! and network; `dev`, for a workstation, takes what the host gives and reports the rest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cordon_sandbox::{Destination, Level, Network, Step, View};
use serde::Deserialize;

use super::User;

/// What a host is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// A service: a connector starts with its walls, or not at all.
    #[default]
    Service,
    /// A workstation: a connector starts with what the host gives.
    Dev,
}

impl Profile {
    /// Its word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Dev => "dev",
        }
    }
}

/// How far one connector is walled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Isolation {
    /// Whose rights its process has.
    pub(crate) user: User,
    /// What it sees of the host's files.
    pub(crate) view: View,
    /// What it must not see, whatever its view shows.
    pub(crate) hide: Vec<PathBuf>,
    /// Where it may connect to.
    pub(crate) network: Network,
    /// Whether its processes may speak TCP with each other, inside its own network.
    pub(crate) loopback: bool,
    /// BLAKE3 of the program in hex, when it is pinned.
    pub(crate) pin: Option<String>,
    /// Steps that must be in force.
    pub(crate) require: BTreeSet<Step>,
}

/// What a connector may read and reach, as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { read = [\"/srv/hr\"], connect = [\"dc1:636\"] }"
)]
pub(super) struct Allow {
    #[serde(default)]
    read: Vec<PathBuf>,
    #[serde(default)]
    connect: Vec<String>,
    #[serde(default)]
    loopback: bool,
}

/// The rest of it, as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { user = \"own\" }")]
pub(super) struct Raw {
    user: Option<String>,
    #[serde(default)]
    require: Vec<String>,
}

const LIMITS: [Step; 6] = [
    Step::LimitMemory,
    Step::LimitTasks,
    Step::LimitCpu,
    Step::GroupMemory,
    Step::GroupTasks,
    Step::GroupCpu,
];

/// What keeps `allow`.
const WALLS: [Step; 4] = [Step::MountNamespace, Step::View, Step::NetworkNamespace, Step::Relays];

/// What a connector's isolation comes to.
pub(super) fn resolve(
    raw: &Raw,
    allow: Option<&Allow>,
    pin: Option<&str>,
    profile: Profile,
    data_dir: &Path,
) -> Result<Isolation, String> {
    let user = match raw.user.as_deref() {
        None | Some("own") => User::Own,
        Some("same") => User::Same,
        Some(user) => User::Named(user.to_owned()),
    };
    let mut require = BTreeSet::new();
    for name in &raw.require {
        require.extend(steps(name)?);
    }
    if profile == Profile::Service {
        require.extend(LIMITS);
        require.extend([Step::GroupKill, Step::PidNamespace]);
        if user != User::Same {
            require.insert(Step::Identity);
        }
    }
    let walled = allow.is_some() || profile == Profile::Service;
    let nothing = Allow::default();
    let allow = allow.unwrap_or(&nothing);
    let (view, network) = if walled {
        require.extend(WALLS);
        (View::Only(paths(&allow.read, data_dir)?), Network::Only(destinations(&allow.connect)?))
    } else {
        (View::ReadOnly, Network::Host)
    };
    if allow.loopback && require.contains(&Step::LandlockPorts) {
        return Err("allow.loopback: Landlock cannot tell its own loopback from other places; \
                    require `network_namespace` instead of `landlock_ports` and L3"
            .into());
    }
    let hide = vec![data_dir.to_owned()];
    let pin = pin.map(digest).transpose()?;
    Ok(Isolation { user, view, hide, network, loopback: allow.loopback, pin, require })
}

/// A step by its name, or a rung's steps by its.
fn steps(name: &str) -> Result<Vec<Step>, String> {
    if let Some(step) = Step::named(name) {
        return Ok(vec![step]);
    }
    // What depends on who the supervisor is belongs to no rung: each is there where the other is not.
    let by_itself = |step: &Step| !matches!(step, Step::UserNamespace | Step::LimitProcesses);
    let of_level = |step: &Step| step.level().name() == name && step.level() != Level::L0;
    let found: Vec<Step> = Step::all().filter(by_itself).filter(of_level).collect();
    if found.is_empty() {
        let known = Step::all().map(Step::name);
        let near = known
            .map(|known| (strsim::jaro_winkler(known, name), known))
            .max_by(|one, other| one.0.total_cmp(&other.0));
        let near = near.map_or("view", |(_, near)| near);
        return Err(format!(
            "isolation.require: {name:?} is no step and none of L1 to L4; did you mean `{near}`?"
        ));
    }
    Ok(found)
}

fn paths(read: &[PathBuf], data_dir: &Path) -> Result<Vec<PathBuf>, String> {
    for path in read {
        let shown = path.display();
        let dotted = path.components().any(|part| matches!(part, std::path::Component::ParentDir));
        if !path.is_absolute() || dotted {
            return Err(format!("allow.read: {shown} must be an absolute path without `..`"));
        }
        if path == Path::new("/") {
            return Err("allow.read: / is everything; list what the connector reads".into());
        }
        if path.starts_with(data_dir) {
            return Err(format!("allow.read: {shown} is part of the state directory"));
        }
    }
    Ok(read.to_vec())
}

fn destinations(connect: &[String]) -> Result<Vec<Destination>, String> {
    let mut found: Vec<Destination> = Vec::new();
    for text in connect {
        let one = Destination::parse(text).map_err(|error| format!("allow.connect: {error}"))?;
        if !found.contains(&one) {
            found.push(one);
        }
    }
    Ok(found)
}

/// `b3:` and 64 hex digits, as `cordon describe` shows a program.
fn digest(pin: &str) -> Result<String, String> {
    let hex = pin.strip_prefix("b3:").filter(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    });
    hex.map(str::to_owned)
        .ok_or_else(|| format!("pin: {pin:?} is not b3: and the 64 hex digits of a digest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn isolation(text: &str, profile: Profile) -> Result<Isolation, String> {
        #[derive(Deserialize)]
        struct Written {
            #[serde(default)]
            isolation: Raw,
            allow: Option<Allow>,
            pin: Option<String>,
        }
        let it: Written = toml::from_str(text).unwrap();
        let dir = Path::new("/var/lib/cordon");
        resolve(&it.isolation, it.allow.as_ref(), it.pin.as_deref(), profile, dir)
    }

    #[test]
    fn a_service_allows_nothing_that_is_not_written_and_demands_its_walls() {
        let found = isolation("", Profile::Service).unwrap();
        assert_eq!((found.view, found.network), (View::Only(vec![]), Network::Only(vec![])));
        for step in [Step::LimitMemory, Step::GroupKill, Step::Identity, Step::View, Step::Relays] {
            assert!(found.require.contains(&step), "{step}");
        }
    }

    #[test]
    fn a_workstation_takes_what_there_is_until_allow_is_written() {
        let found = isolation("", Profile::Dev).unwrap();
        assert_eq!((found.view, found.network), (View::ReadOnly, Network::Host));
        assert!(found.require.is_empty());
        let found = isolation("allow = { read = [\"/srv/hr\"] }", Profile::Dev).unwrap();
        assert_eq!(found.view, View::Only(vec!["/srv/hr".into()]));
        assert_eq!(found.network, Network::Only(vec![]));
        assert_eq!(found.require, BTreeSet::from(WALLS));
    }

    #[test]
    fn the_supervisors_user_can_be_accepted_and_other_walls_stay() {
        let found = isolation("isolation = { user = \"same\" }", Profile::Service).unwrap();
        assert!(!found.require.contains(&Step::Identity));
        assert!(found.require.contains(&Step::PidNamespace));
    }

    #[test]
    fn a_step_is_required_by_its_name_or_its_rung() {
        let found = isolation("isolation = { require = [\"seccomp\", \"L3\"] }", Profile::Dev);
        let found = found.unwrap().require;
        assert!(found.contains(&Step::Seccomp) && found.contains(&Step::LandlockFiles));
        assert!(!found.contains(&Step::UserNamespace) && !found.contains(&Step::Identity));
        let error = isolation("isolation = { require = [\"landlok_files\"] }", Profile::Dev);
        assert!(error.unwrap_err().ends_with("did you mean `landlock_files`?"));
    }

    #[test]
    fn a_loopback_is_open_only_in_a_network_of_its_own() {
        let found = isolation("allow = { loopback = true }", Profile::Dev).unwrap();
        assert!(found.loopback && found.require.contains(&Step::NetworkNamespace));
        assert_eq!(found.network, Network::Only(vec![]));
        assert!(!isolation("allow = {}", Profile::Service).unwrap().loopback);
    }

    #[test]
    fn what_cannot_be_allowed_is_named() {
        for (text, word) in [
            ("allow = { read = [\"srv\"] }", "absolute path"),
            ("allow = { read = [\"/srv/../etc\"] }", "absolute path"),
            ("allow = { read = [\"/\"] }", "everything"),
            ("allow = { read = [\"/var/lib/cordon/store\"] }", "state directory"),
            ("allow = { connect = [\"db\"] }", "not host:port"),
            (
                "allow = { loopback = true }\nisolation = { require = [\"L3\"] }",
                "require `network_namespace` instead",
            ),
            ("pin = \"b3:12\"", "64 hex digits"),
        ] {
            let error = isolation(text, Profile::Dev).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
