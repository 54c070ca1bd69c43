//! From a configuration with references to the text that goes to the connector.
//!
//! The text is written once, into memory that is wiped when it is dropped: a tree of JSON values
//! would leave copies behind.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

use super::{Fingerprint, Redactor, Reference, SecretError};

/// How long all references of one configuration may take, whatever they wait for.
const DEADLINE: Duration = Duration::from_secs(60);

/// A connector's configuration with every reference replaced by its value.
pub(crate) struct Resolved {
    /// JSON text.
    pub(crate) configuration: SecretString,
    /// Finds the values in text.
    pub(crate) redactor: Redactor,
    /// Tells whether they changed.
    pub(crate) fingerprint: Fingerprint,
}

/// A reference and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// As `config.server.password`.
    pub(crate) place: String,
    /// As it is written.
    pub(crate) text: String,
}

/// Every reference of a connector's configuration.
pub(crate) fn named(config: &Value) -> Vec<Named> {
    let mut found = Vec::new();
    collect(config, "config", &mut found);
    found
}

fn collect(value: &Value, place: &str, found: &mut Vec<Named>) {
    match value {
        Value::String(text) if Reference::is_meant(text) => {
            found.push(Named { place: place.to_owned(), text: text.clone() });
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                collect(value, &format!("{place}[{index}]"), found);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                collect(value, &format!("{place}.{name}"), found);
            }
        }
        _ => {}
    }
}

/// Whether every reference of a configuration can be read as one. Nothing is looked up.
pub(crate) fn check_all(config: &Value) -> Result<(), SecretError> {
    named(config)
        .iter()
        .try_for_each(|named| Reference::parse(&named.text).map(drop).map_err(at(named)))
}

/// Resolves every reference, on a thread that may wait.
pub(crate) async fn resolve_all(config: &Value) -> Result<Resolved, SecretError> {
    let config = config.clone();
    let resolving = tokio::task::spawn_blocking(move || resolve(&config));
    match tokio::time::timeout(DEADLINE, resolving).await {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(_)) => Err(SecretError::Lost),
        Err(_) => Err(SecretError::Slow(DEADLINE.as_secs())),
    }
}

fn resolve(config: &Value) -> Result<Resolved, SecretError> {
    let mut values: BTreeMap<String, SecretString> = BTreeMap::new();
    for named in named(config) {
        // A reference that stands in two places is asked once, so that both get the same value.
        if values.contains_key(&named.text) {
            continue;
        }
        let reference = Reference::parse(&named.text).map_err(at(&named))?;
        let value = reference.resolve().map_err(at(&named))?;
        values.insert(named.text, value);
    }
    Ok(Resolved {
        configuration: fill(config, &values),
        redactor: Redactor::new(values.values()),
        fingerprint: Fingerprint::of(&values),
    })
}

/// Says of an error where it is.
fn at(named: &Named) -> impl FnOnce(SecretError) -> SecretError {
    let shown = Reference::parse(&named.text).map_or_else(|_| "…".to_owned(), |it| it.to_string());
    let place = named.place.clone();
    move |source| SecretError::At { place, reference: shown, source: Box::new(source) }
}

fn fill(config: &Value, values: &BTreeMap<String, SecretString>) -> SecretString {
    let filled = Filled { value: config, values };
    // Counted first: a buffer that grows leaves its earlier places unwiped.
    let mut count = Count(0);
    let _ = serde_json::to_writer(&mut count, &filled);
    let mut bytes = Zeroizing::new(Vec::with_capacity(count.0));
    // Writing a JSON value into memory cannot fail.
    let _ = serde_json::to_writer(&mut *bytes, &filled);
    String::from_utf8_lossy(&bytes).as_ref().into()
}

struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A value in which references read as their values.
#[derive(Clone, Copy)]
struct Filled<'a> {
    value: &'a Value,
    values: &'a BTreeMap<String, SecretString>,
}

impl Serialize for Filled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let within = |value| Filled { value, values: self.values };
        match self.value {
            Value::String(text) => match self.values.get(text) {
                Some(secret) => serializer.serialize_str(secret.expose_secret()),
                None => serializer.serialize_str(text),
            },
            Value::Array(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                values.iter().try_for_each(|value| list.serialize_element(&within(value)))?;
                list.end()
            }
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, &within(value))?;
                }
                map.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}
