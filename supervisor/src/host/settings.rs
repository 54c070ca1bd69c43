//! The keys of the service itself, from one configuration to the next: those that a reload takes
//! over, and those that hold from its start to its end.

use std::fmt::Display;
use std::path::Path;

use crate::config::Daemon;

/// Keys of which a reload takes nothing over, and that differ: each with both values.
pub(super) fn fixed(running: &Daemon, wanted: &Daemon) -> Vec<String> {
    let group = |daemon: &Daemon| daemon.socket_group.clone().unwrap_or_else(|| "none".to_owned());
    let path = Path::display;
    let told = [
        differs("daemon.data_dir", path(&running.data_dir), path(&wanted.data_dir)),
        differs("daemon.socket", path(&running.socket), path(&wanted.socket)),
        differs("daemon.socket_group", group(running), group(wanted)),
    ];
    told.into_iter().flatten().collect()
}

/// Keys that a reload takes over, and that differ. What the profile changes shows at the connectors,
/// too.
pub(super) fn taken_over(running: &Daemon, wanted: &Daemon) -> Vec<String> {
    let syncs = |daemon: &Daemon| daemon.max_concurrent_syncs;
    let told = [
        differs("daemon.profile", running.profile.as_str(), wanted.profile.as_str()),
        differs("daemon.max_concurrent_syncs", syncs(running), syncs(wanted)),
        differs("store.keep.last", running.keep_last, wanted.keep_last),
    ];
    told.into_iter().flatten().collect()
}

fn differs<T: Display>(key: &str, running: T, wanted: T) -> Option<String> {
    let (running, wanted) = (running.to_string(), wanted.to_string());
    (running != wanted).then(|| format!("{key} was {running} and is {wanted}"))
}
