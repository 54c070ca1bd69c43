//! The settings that a connector is tried with: what would stand in its table of cordon.toml.
//!
//! They go to a private cordond as they are, which judges them as any other would; so an author's file
//! is moved into a host's configuration by copying it. Only three things are its own: `{dir}` is the
//! file's folder, `use` is the program of the command line, and `test` holds sources for the suite.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use cordon_model::ConnectorName;
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::args::Program;
use crate::errors::Failure;

/// What stands for the settings' own folder.
const FOLDER: &str = "{dir}";
/// Keys that decide when a connector syncs: here it does so when it is told to.
const SCHEDULE: [&str; 3] = ["every", "cron", "tz"];
/// Sources that are not in order, which the suite can be led to.
pub(super) const SOURCES: [&str; 6] =
    ["truncated", "failing", "paging_loop", "rate_limited", "hostile", "large"];

/// A program and the settings that it is tried with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    /// The program, by its absolute path.
    pub(super) program: PathBuf,
    /// What it is called meanwhile.
    pub(super) name: String,
    /// The table of the connector, without its program and its schedule.
    pub(super) table: Table,
    /// Keys of its configuration that lead to a source that is not in order.
    pub(super) sources: BTreeMap<String, Table>,
    /// Whether it is walled in.
    pub(super) is_walled: bool,
}

impl Settings {
    pub(super) fn read(args: &Program) -> Result<Self, Failure> {
        let program = std::path::absolute(&args.program).map_err(Failure::Start)?;
        if !program.is_file() {
            return Err(Failure::NotFound {
                message: format!("there is no program {}", args.program.display()),
                hint: "build it first, as with `cargo build`".into(),
            });
        }
        let mut table = match &args.config {
            None => Table::new(),
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|source| Failure::Usage {
                    message: format!("cannot read {}: {source}", path.display()),
                    hint: "name the connector's settings with --config".into(),
                })?;
                let mut table: Table = text.parse().map_err(|error| Failure::Usage {
                    message: format!("{}: {error}", path.display()),
                    hint: "write what would stand in [connector.NAME] of cordon.toml".into(),
                })?;
                let file = std::path::absolute(path).map_err(Failure::Start)?;
                let folder = file.parent().unwrap_or(&file).display().to_string();
                table.iter_mut().for_each(|(_, value)| put_folder(value, &folder));
                table
            }
        };
        for key in SCHEDULE {
            table.remove(key);
        }
        if table.remove("use").is_some() {
            return Err(usage(
                "`use` stands in the settings",
                "the command line names the program",
            ));
        }
        let sources = sources(table.remove("test"))?;
        let name = name(&program);
        Ok(Self { program, name, table, sources, is_walled: !args.no_sandbox })
    }

    /// The connector's own configuration.
    pub(super) fn config(&self) -> Json {
        let config = self.table.get("config").and_then(Value::as_table).cloned();
        to_json(&config.unwrap_or_default())
    }

    /// Its configuration for a source that is not in order; none where the settings name none.
    pub(super) fn config_of(&self, source: &str) -> Option<Json> {
        let mut config = self.config();
        let Json::Object(other) = to_json(self.sources.get(source)?) else { return None };
        if let Json::Object(keys) = &mut config {
            keys.extend(other);
        }
        Some(config)
    }

    /// The same settings, led to another source.
    pub(super) fn of(&self, source: &str) -> Option<Self> {
        let mut settings = self.clone();
        let other = self.sources.get(source)?.clone();
        let config = settings.table.entry("config").or_insert_with(|| Table::new().into());
        config.as_table_mut()?.extend(other);
        Some(settings)
    }

    /// Arguments of the program.
    pub(super) fn arguments(&self) -> Vec<String> {
        let given = self.table.get("args").and_then(Value::as_array);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        given.into_iter().flatten().filter_map(text).collect()
    }
}

fn to_json(table: &Table) -> Json {
    serde_json::to_value(table).unwrap_or_default()
}

fn put_folder(value: &mut Value, folder: &str) {
    match value {
        Value::String(text) => *text = text.replace(FOLDER, folder),
        Value::Array(values) => values.iter_mut().for_each(|value| put_folder(value, folder)),
        Value::Table(table) => {
            table.iter_mut().for_each(|(_, value)| put_folder(value, folder));
        }
        _ => {}
    }
}

fn sources(written: Option<Value>) -> Result<BTreeMap<String, Table>, Failure> {
    let known = || format!("there are {}", SOURCES.map(|name| format!("[test.{name}]")).join(", "));
    let Some(written) = written else { return Ok(BTreeMap::new()) };
    let Value::Table(written) = written else {
        return Err(usage("`test` is no table", &known()));
    };
    let mut sources = BTreeMap::new();
    for (name, keys) in written {
        match keys {
            Value::Table(keys) if SOURCES.contains(&name.as_str()) => sources.insert(name, keys),
            Value::Table(_) => {
                return Err(usage(&format!("no case needs [test.{name}]"), &known()));
            }
            _ => return Err(usage(&format!("test.{name} is no table"), &known())),
        };
    }
    Ok(sources)
}

fn usage(message: &str, hint: &str) -> Failure {
    Failure::Usage { message: message.into(), hint: hint.into() }
}

/// What a program is called as a connector: its file's name without what is put around it.
fn name(program: &std::path::Path) -> String {
    let stem = program.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let stem = stem.strip_prefix("connector-").unwrap_or(&stem);
    let plain = |char: char| if char.is_ascii_alphanumeric() { char } else { '-' };
    let name: String = stem.chars().map(plain).take(40).collect();
    let name = name.trim_matches('-');
    if ConnectorName::new(name).is_ok() { name.to_owned() } else { "connector".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let (program, config) =
            (folder.path().join("connector-acme"), folder.path().join("dev.toml"));
        fs::write(&program, "").unwrap();
        fs::write(&config, text).unwrap();
        let settings =
            Settings::read(&Program { program, config: Some(config), no_sandbox: false })?;
        let shown = folder.path().display().to_string();
        let table = settings.table.to_string().replace(&shown, "DIR");
        Ok(Settings { table: table.parse().unwrap(), ..settings })
    }

    #[test]
    fn settings_are_those_of_a_host_without_program_and_schedule() {
        let settings = read(
            "every = \"1h\"\nargs = [\"-v\"]\nconfig = { path = \"{dir}/a\" }\n\
             allow = { read = [\"{dir}\"] }\n[test.truncated]\npath = \"/b\"",
        );
        let settings = settings.unwrap();
        assert_eq!(settings.name, "acme");
        assert_eq!(settings.arguments(), ["-v"]);
        assert_eq!(settings.config()["path"], "DIR/a");
        assert_eq!(settings.config_of("truncated").unwrap()["path"], "/b");
        assert_eq!(settings.config_of("large"), None);
        assert!(!settings.table.contains_key("every") && !settings.table.contains_key("test"));
        assert_eq!(settings.of("truncated").unwrap().config()["path"], "/b");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, word) in [
            ("use = \"csv\"", "`use`"),
            ("[test.trunkated]\npath = \"/b\"", "[test.trunkated]"),
            ("test = 1", "no table"),
            ("config = ", "dev.toml"),
        ] {
            let failure = read(text).unwrap_err();
            assert!(failure.to_string().contains(word), "{failure}");
        }
    }
}
