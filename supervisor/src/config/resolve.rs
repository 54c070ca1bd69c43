//! From what is written to what holds: defaults, paths, includes, and what only fits together or
//! not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cordon_model::ConnectorName;
use cordon_validate::{BUDGETS_MAX, EXEMPTIONS_MAX, Policy, PolicyPatch, RULES_MAX};
use jiff::tz::TimeZone;

use super::error::ConfigError;
use super::{Config, Connector, Daemon, Sink, SinkKind, Times, isolation, raw};
use crate::liveness::Rate;
use crate::schedule::Schedule;
use crate::unit::{Backoff, Rules};

/// The only version of the configuration's format.
const VERSION: u32 = 1;
/// Patterns of protected records and privileged entitlements in one guard, at most.
const PATTERNS_MAX: usize = 1_000;
/// A configuration file is written by hand; a larger one is something else.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

pub(super) fn read(path: &Path) -> Result<Config, ConfigError> {
    let text = read_text(path)?;
    let file: raw::File =
        toml::from_str(&text).map_err(|error| ConfigError::of_toml(path, &text, &error))?;
    if file.version != VERSION {
        let message = format!("version {} is not known; this build reads {VERSION}", file.version);
        return Err(ConfigError::of_file(path, message));
    }
    // Relative paths are meant from where the file is, and hold wherever the service runs.
    let whole = std::path::absolute(path)
        .map_err(|error| ConfigError::of_file(path, format!("has no absolute path: {error}")))?;
    let base = whole.parent().unwrap_or(Path::new("/"));
    let mut config = Config {
        path: whole.clone(),
        daemon: daemon(path, base, &file)?,
        named: Default::default(),
        connectors: Default::default(),
        sinks: Default::default(),
    };
    if let Some(message) = too_much(&file.guard) {
        return Err(ConfigError::of_file(path, format!("guard: {message}")));
    }
    let host = Policy::default().overlaid(&file.guard).for_every_connector();
    config.named = host.named();
    let included = included(path, base, &file.daemon.include)?;
    let own = file.connector.into_iter().map(|(name, raw)| (path.to_owned(), name, raw));
    for (from, name, raw) in own.chain(included) {
        let connector = connector(&from, base, name.clone(), raw, &config.daemon, &host)?;
        if config.connectors.insert(name.clone(), connector).is_some() {
            let message = format!("connector `{name}` is configured twice");
            return Err(ConfigError::of_file(&from, message));
        }
    }
    for (name, raw) in file.sink {
        let sink = sink(path, base, &name, raw, &config)?;
        config.sinks.insert(name, sink);
    }
    Ok(config)
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    let refused = |error: std::io::Error| {
        ConfigError::of_file(path, format!("cannot read the configuration: {error}"))
    };
    let length = std::fs::metadata(path).map_err(refused)?.len();
    if length > FILE_BYTES_MAX {
        let message = format!("{length} bytes are more than a configuration has");
        return Err(ConfigError::of_file(path, message));
    }
    std::fs::read_to_string(path).map_err(refused)
}

fn included(
    path: &Path,
    base: &Path,
    patterns: &[String],
) -> Result<Vec<(PathBuf, ConnectorName, raw::Connector)>, ConfigError> {
    let mut found = Vec::new();
    for pattern in patterns {
        let absolute = base.join(pattern);
        let files = glob::glob(&absolute.to_string_lossy()).map_err(|error| {
            ConfigError::of_file(path, format!("include {pattern:?} is no pattern: {error}"))
        })?;
        for file in files {
            let file = file.map_err(|error| {
                ConfigError::of_file(error.path(), format!("cannot read: {}", error.error()))
            })?;
            let stem = file.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
            let name = ConnectorName::new(&stem)
                .map_err(|error| ConfigError::of_file(&file, error.to_string()))?;
            let text = read_text(&file)?;
            let connector = toml::from_str(&text)
                .map_err(|error| ConfigError::of_toml(&file, &text, &error))?;
            found.push((file, name, connector));
        }
    }
    Ok(found)
}

fn daemon(path: &Path, base: &Path, file: &raw::File) -> Result<Daemon, ConfigError> {
    let raw = &file.daemon;
    let max_concurrent_syncs = raw.max_concurrent_syncs.unwrap_or(4);
    if max_concurrent_syncs == 0 {
        return Err(ConfigError::of_file(path, "daemon.max_concurrent_syncs is 0")
            .with_hint("nothing would ever sync; 4 is the default"));
    }
    let keep_last = file.store.keep.last.unwrap_or(30);
    if keep_last == 0 {
        return Err(ConfigError::of_file(path, "store.keep.last is 0")
            .with_hint("the last known good is always kept; write at least 1"));
    }
    let default_dir = || PathBuf::from("/var/lib/cordon");
    Ok(Daemon {
        data_dir: base.join(raw.data_dir.clone().unwrap_or_else(default_dir)),
        socket: base.join(raw.socket.clone().unwrap_or_else(|| "/run/cordon/cordon.sock".into())),
        socket_group: raw.socket_group.clone(),
        profile: raw.profile,
        max_concurrent_syncs,
        keep_last,
    })
}

pub(super) fn plain_connector(
    config: &Config,
    name: &str,
    program: &Path,
) -> Result<Connector, ConfigError> {
    let refused = |why: String| ConfigError::of_file(&config.path, why);
    let name = ConnectorName::new(name).map_err(|error| refused(error.to_string()))?;
    let mut written = toml::Table::new();
    written.insert("use".to_owned(), program.display().to_string().into());
    let raw = written.try_into().map_err(|error| refused(error.to_string()))?;
    connector(&config.path, Path::new("/"), name, raw, &config.daemon, &Policy::default())
}

fn connector(
    path: &Path,
    base: &Path,
    name: ConnectorName,
    raw: raw::Connector,
    daemon: &Daemon,
    host: &Policy,
) -> Result<Connector, ConfigError> {
    let fail =
        |message: String| Err(ConfigError::of_file(path, format!("connector `{name}`: {message}")));
    let schedule = match schedule(&raw) {
        Ok(schedule) => schedule,
        Err(message) => return fail(message),
    };
    let program = match program(&raw.uses, base) {
        Ok(program) => program,
        Err(message) => return fail(message),
    };
    let config = match serde_json::to_value(&raw.config) {
        Ok(config) => config,
        Err(error) => return fail(format!("config has no JSON form: {error}")),
    };
    if let Err(error) = crate::secrets::check_all(&config) {
        return fail(crate::session::chain(&error));
    }
    let isolation = isolation::resolve(
        &raw.isolation,
        raw.allow.as_ref(),
        raw.pin.as_deref(),
        daemon.profile,
        &daemon.data_dir,
    );
    let isolation = match isolation {
        Ok(isolation) => isolation,
        Err(message) => return fail(message),
    };
    if let Some(message) = too_much(&raw.guard).or_else(|| taken_names(&raw.guard, host)) {
        return fail(message);
    }
    let policy = host.clone().overlaid(&raw.guard);
    let backoff = raw.restart.backoff.map_or_else(Backoff::default, |spans| Backoff {
        base: *spans.0.start(),
        cap: *spans.0.end(),
    });
    let give_up_after = raw.restart.give_up_after.unwrap_or(5);
    if give_up_after == 0 {
        return fail("restart.give_up_after is 0; the breaker would always be open".into());
    }
    let seconds = |span: Option<super::value::Span>, default| {
        span.map_or(Duration::from_secs(default), |span| span.0)
    };
    Ok(Connector {
        uses: raw.uses,
        program,
        args: raw.args,
        schedule,
        labels: raw.labels,
        config,
        limits: limits(&raw.limits),
        isolation,
        times: Times {
            sync: seconds(raw.limits.sync_timeout, 3_600),
            stall: seconds(raw.limits.stall_timeout, 120),
            rate: raw.limits.min_rate.map(|rate| Rate { units: rate.0, per: rate.1 }),
            start: seconds(raw.limits.start_timeout, 10),
            call: seconds(raw.limits.call_timeout, 10),
            idle: seconds(raw.idle_timeout, 60),
        },
        records_max: raw.limits.records.unwrap_or(200_000_000),
        rules: Rules { backoff, give_up_after },
        freshness: policy.freshness,
        policy,
        name,
    })
}

/// What a policy says of single records is walked for every record that changed.
pub(super) fn too_much(guard: &PolicyPatch) -> Option<String> {
    fn len<T>(list: Option<&Vec<T>>) -> usize {
        list.map_or(0, Vec::len)
    }
    let marks = len(guard.protected_where.as_ref()) + len(guard.privileged_where.as_ref());
    let globs = len(guard.protected.as_ref()) + len(guard.privileged_entitlements.as_ref());
    let counted = [
        ("rules", guard.rule.as_ref().map_or(0, |rules| rules.len()), RULES_MAX),
        ("exemptions", guard.exemption.as_ref().map_or(0, |all| all.len()), EXEMPTIONS_MAX),
        ("budgets", len(guard.budget.as_ref()), BUDGETS_MAX),
        ("records marked by what they are like", marks, RULES_MAX),
        ("patterns of marked records", globs, PATTERNS_MAX),
    ];
    let found = counted.into_iter().find(|(_, found, max)| found > max);
    found.map(|(what, found, max)| format!("{found} {what} are more than {max}"))
}

/// A rule of the host cannot be replaced by one of a connector, nor an exemption.
pub(super) fn taken_names(guard: &PolicyPatch, host: &Policy) -> Option<String> {
    let rules = guard.rule.iter().flatten().map(|(name, _)| name);
    let exemptions = guard.exemption.iter().flatten().map(|(name, _)| name);
    let rule = rules.into_iter().find(|name| host.rules.contains_key(*name));
    let exemption = exemptions.into_iter().find(|name| host.exemptions.contains_key(*name));
    let (what, name) =
        rule.map(|name| ("rule", name)).or_else(|| exemption.map(|name| ("exemption", name)))?;
    Some(format!("guard.{what}.{name}: [guard] has one of that name, which holds here too"))
}

/// What a process may use. A limit that nobody asked for still holds where the host can give it.
fn limits(raw: &raw::Limits) -> cordon_sandbox::Limits {
    let defaults = cordon_sandbox::Limits::default();
    cordon_sandbox::Limits {
        memory_bytes: Some(raw.memory.map_or(512 << 20, |bytes| bytes.0)),
        cpu_percent: Some(raw.cpu.map_or(100, |percent| percent.0)),
        tasks: Some(raw.tasks.unwrap_or(128)),
        files: raw.files.unwrap_or(defaults.files),
        file_size_bytes: raw.file_size.map_or(defaults.file_size_bytes, |bytes| Some(bytes.0)),
        scratch_bytes: raw.scratch.map_or(defaults.scratch_bytes, |bytes| bytes.0),
        scratch_files: raw.scratch_files.unwrap_or(defaults.scratch_files),
        ..defaults
    }
}

fn schedule(raw: &raw::Connector) -> Result<Schedule, String> {
    match (&raw.every, &raw.cron) {
        (Some(_), Some(_)) => Err("`every` and `cron` exclude each other".into()),
        (None, None) if raw.tz.is_some() => Err("`tz` has no `cron` to be the zone of".into()),
        (Some(_), None) if raw.tz.is_some() => Err("`tz` has no `cron` to be the zone of".into()),
        (None, None) => Ok(Schedule::OnDemand),
        (Some(interval), None) => Ok(Schedule::Every(interval.0)),
        (None, Some(expression)) => {
            let cron = expression
                .parse()
                .map_err(|error| format!("cron {expression:?} cannot be read: {error}"))?;
            let zone = match &raw.tz {
                None => TimeZone::system(),
                Some(name) => TimeZone::get(name)
                    .map_err(|error| format!("time zone {name:?} is not known: {error}"))?,
            };
            Ok(Schedule::Cron { expression: expression.clone(), cron: Box::new(cron), zone })
        }
    }
}

/// Where connector programs are looked for: beside `cordond`, then where packages put them.
fn program(uses: &str, base: &Path) -> Result<PathBuf, String> {
    if uses.contains('/') {
        let program = base.join(uses);
        return if program.is_file() {
            Ok(program)
        } else {
            Err(format!("use = {uses:?}: there is no file {}", program.display()))
        };
    }
    let file = format!("connector-{uses}");
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(Path::to_owned))
        .unwrap_or_default();
    let packaged = PathBuf::from("/usr/lib/cordon/connectors");
    let places = [beside.join(&file), packaged.join(&file)];
    places.iter().find(|place| place.is_file()).cloned().ok_or_else(|| {
        let looked: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        format!("use = {uses:?}: no such connector; looked for {}", looked.join(" and "))
    })
}

fn sink(
    path: &Path,
    base: &Path,
    name: &str,
    raw: raw::Sink,
    config: &Config,
) -> Result<Sink, ConfigError> {
    let fail =
        |message: String| Err(ConfigError::of_file(path, format!("sink `{name}`: {message}")));
    if ConnectorName::new(name).is_err() {
        return fail("a name is 1 to 63 of a-z, 0-9 and -".into());
    }
    let (from, kind) = match raw {
        raw::Sink::File(file) => {
            let kind = SinkKind::File {
                path: base.join(file.path),
                rotate_bytes: file.rotate.map_or(256 * 1024 * 1024, |bytes| bytes.0),
                keep: file.keep.unwrap_or(10),
            };
            (file.from, kind)
        }
        raw::Sink::Webhook(webhook) => {
            let batch_max = webhook.batch.unwrap_or(crate::limits::DELIVERY_BATCH_MAX);
            if !(1..=10_000).contains(&batch_max) {
                return fail(format!("batch = {batch_max} is not between 1 and 10,000"));
            }
            if let Err(error) = crate::secrets::check_reference(&webhook.secret) {
                return fail(error.to_string());
            }
            let kind = SinkKind::Webhook {
                url: webhook.url,
                secret: webhook.secret,
                batch_max,
                timeout: webhook.timeout.map_or(Duration::from_secs(30), |span| span.0),
            };
            (webhook.from, kind)
        }
    };
    for wanted in from.iter().flatten() {
        if !config.connectors.contains_key(wanted) {
            return fail(format!("`from` names `{wanted}`, which is no configured connector"));
        }
    }
    Ok(Sink { name: name.to_owned(), from, kind })
}
