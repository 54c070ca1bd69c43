//! What an administrator can set, and what of it cannot work.
//!
//! A Baton connector takes each of its settings as a flag or as a variable of its environment. All
//! go by environment here: arguments stand in the process table, the environment of a process that
//! is closed to its own user does not.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use cordon_sdk::Error;
use schemars::JsonSchema;
use serde::Deserialize;

/// What the child's variables begin with.
const PREFIX: &str = "BATON_";
/// Names the descriptor on which the child listens.
pub(crate) const LISTENER_VARIABLE: &str = "BATON_CONNECTOR_SERVICE_LISTENER_FD";
/// Attributes of users that come from the profile, where the connector reports one.
pub(crate) const PROFILE_ATTRIBUTES: [&str; 18] = [
    "title",
    "department",
    "division",
    "cost_center",
    "company",
    "location",
    "country",
    "manager",
    "worker_type",
    "phone",
    "custom_1",
    "custom_2",
    "custom_3",
    "custom_4",
    "custom_5",
    "custom_6",
    "custom_7",
    "custom_8",
];

/// Configuration of connector-baton.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The Baton connector, as an absolute path.
    pub(crate) program: PathBuf,
    /// SHA-256 of the program in hex, as its makers publish it. Another program is not started.
    #[serde(default)]
    pub(crate) sha256: Option<String>,
    /// Its settings by the names of its flags, without dashes before them: `domain`, `base-url`.
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, Setting>,
    /// Those of its settings that are secret.
    #[serde(default)]
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// Arguments of the program. Whoever sees the process table sees them: no secrets.
    #[serde(default)]
    pub(crate) args: Vec<String>,
    /// More variables of its environment, such as `GOMEMLIMIT`.
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    /// Attributes of users, each with the name that the connector's profiles have for it. Without it
    /// names that are an attribute's name are taken.
    #[serde(default)]
    pub(crate) profile: Option<BTreeMap<String, String>>,
    /// Seconds that it may take to answer its first call.
    #[serde(default = "start_seconds_max")]
    pub(crate) start_seconds_max: u32,
    /// Seconds that any other call may take.
    #[serde(default = "call_seconds_max")]
    pub(crate) call_seconds_max: u32,
}

fn start_seconds_max() -> u32 {
    30
}

fn call_seconds_max() -> u32 {
    90
}

/// The value of a setting.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text, a number, or true or false")]
pub(crate) enum Setting {
    /// Yes or no.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(yes) => yes.fmt(formatter),
            Self::Integer(number) => number.fmt(formatter),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

/// The value of a setting that nobody may see.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("writeOnly" = true))]
pub(crate) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !self.program.is_absolute() {
            return Err(Error::bad_config("program", "the path must be absolute"));
        }
        let is_hex = |text: &str| text.len() == 64 && text.bytes().all(|it| it.is_ascii_hexdigit());
        if self.sha256.as_deref().is_some_and(|digest| !is_hex(digest)) {
            return Err(Error::bad_config("sha256", "it has 64 hex digits"));
        }
        for (key, seconds) in [
            ("start_seconds_max", self.start_seconds_max),
            ("call_seconds_max", self.call_seconds_max),
        ] {
            if !(1..=3_600).contains(&seconds) {
                return Err(Error::bad_config(key, "between 1 and 3600"));
            }
        }
        for attribute in self.profile.iter().flat_map(BTreeMap::keys) {
            if !PROFILE_ATTRIBUTES.contains(&attribute.as_str()) {
                let known = PROFILE_ATTRIBUTES.join(", ");
                let field = format!("profile.{attribute}");
                return Err(Error::bad_config(field, format!("the attributes are {known}")));
            }
        }
        self.variables().map(drop)
    }

    /// Every variable of the child that is configured.
    pub(crate) fn variables(&self) -> Result<BTreeMap<String, String>, Error> {
        let settings =
            self.settings.iter().map(|(name, value)| ("settings", name, value.to_string()));
        let secrets = self.secrets.iter().map(|(name, value)| ("secrets", name, value.0.clone()));
        let mut variables = BTreeMap::new();
        for (table, name, value) in settings.chain(secrets) {
            let field = format!("{table}.{name}");
            let variable = variable(name)
                .ok_or_else(|| Error::bad_config(&field, "no flag of a connector has this name"))?;
            add(&mut variables, &field, variable, value)?;
        }
        for (name, value) in &self.environment {
            let field = format!("environment.{name}");
            let is_name = !name.is_empty() && !name.contains(['=', '\0']);
            if !is_name || name.starts_with("CORDON_") {
                return Err(Error::bad_config(field, "no variable can have this name"));
            }
            add(&mut variables, &field, name.clone(), value.clone())?;
        }
        Ok(variables)
    }

    pub(crate) fn start_within(&self) -> Duration {
        Duration::from_secs(self.start_seconds_max.into())
    }

    pub(crate) fn call_within(&self) -> Duration {
        Duration::from_secs(self.call_seconds_max.into())
    }
}

fn add(
    variables: &mut BTreeMap<String, String>,
    field: &str,
    variable: String,
    value: String,
) -> Result<(), Error> {
    if value.contains('\0') {
        return Err(Error::bad_config(field, "a value has no NUL byte"));
    }
    if variable == LISTENER_VARIABLE || variables.contains_key(&variable) {
        return Err(Error::bad_config(field, format!("{variable} is set already")));
    }
    variables.insert(variable, value);
    Ok(())
}

/// The variable of a flag: `base-url` is `BATON_BASE_URL`.
fn variable(flag: &str) -> Option<String> {
    let is_flag = flag.starts_with(|first: char| first.is_ascii_alphanumeric())
        && flag.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.'));
    is_flag.then(|| format!("{PREFIX}{}", flag.to_ascii_uppercase().replace('-', "_")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config(more: &Value) -> Config {
        let mut config = json!({ "program": "/opt/baton-x" });
        let into = config.as_object_mut().unwrap();
        into.extend(more.as_object().unwrap().clone());
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn every_setting_becomes_the_variable_that_its_flag_has() {
        let config = config(&json!({
            "settings": { "domain": "acme.example.org", "skip-apps": true, "page-size": 50 },
            "secrets": { "api-token": "hunter2" },
            "environment": { "GOMEMLIMIT": "400MiB" },
        }));
        let variables: Vec<_> = config.variables().unwrap().into_iter().collect();
        let expected = [
            ("BATON_API_TOKEN", "hunter2"),
            ("BATON_DOMAIN", "acme.example.org"),
            ("BATON_PAGE_SIZE", "50"),
            ("BATON_SKIP_APPS", "true"),
            ("GOMEMLIMIT", "400MiB"),
        ];
        assert_eq!(variables, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_secret_is_marked_in_the_schema_so_that_a_literal_is_refused() {
        let schema = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
        let of_values = &schema["properties"]["secrets"]["additionalProperties"];
        let of_values = match of_values["$ref"].as_str() {
            Some(path) => schema.pointer(path.trim_start_matches('#')).unwrap(),
            None => of_values,
        };
        assert_eq!(of_values["writeOnly"], true, "{schema}");
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (more, field) in [
            (json!({ "program": "baton-x" }), "program"),
            (json!({ "sha256": "12" }), "sha256"),
            (json!({ "call_seconds_max": 0 }), "call_seconds_max"),
            (json!({ "settings": { "--domain": "x" } }), "settings.--domain"),
            (json!({ "settings": { "a-b": 1 }, "secrets": { "a_b": "x" } }), "secrets.a_b"),
            (
                json!({ "settings": { "connector-service-listener-fd": 4 } }),
                "settings.connector-service-listener-fd",
            ),
            (json!({ "environment": { "CORDON_FD": "3" } }), "environment.CORDON_FD"),
            (json!({ "profile": { "shoe_size": "shoe" } }), "profile.shoe_size"),
        ] {
            match config(&more).check() {
                Err(Error::BadConfig { field: named, .. }) => assert_eq!(named, field),
                other => panic!("{more}: {other:?}"),
            }
        }
    }
}
