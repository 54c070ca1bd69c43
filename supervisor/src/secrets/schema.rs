//! Which fields of a configuration are secret, as the connector's own schema says.
//!
//! A JSON Schema marks a secret by `"writeOnly": true` or `"format": "password"`. What it marks must
//! be written as a reference; only a service in development lets a literal pass. The schema comes
//! from the connector, so its size and depth are bounded.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Reference;

/// Bytes of a schema, at most; a longer one is not read.
const SCHEMA_BYTES_MAX: usize = 1024 * 1024;
/// Steps down a schema and a configuration.
const DEPTH_MAX: u32 = 32;
/// Steps over a schema that leads to itself, at most.
const STEPS_MAX: u32 = 100_000;
/// Places that are named.
const FOUND_MAX: usize = 8;

/// Where a configuration holds a literal although the schema says that it is secret.
pub(crate) fn literals(schema: &str, config: &Value) -> Vec<String> {
    let mut found = BTreeSet::new();
    if schema.len() > SCHEMA_BYTES_MAX {
        return Vec::new();
    }
    if let Ok(root) = serde_json::from_str::<Value>(schema) {
        let mut walk = Walk { root: &root, found: &mut found, steps: 0 };
        walk.visit(&root, config, "config", 0);
    }
    found.into_iter().collect()
}

struct Walk<'a> {
    root: &'a Value,
    found: &'a mut BTreeSet<String>,
    steps: u32,
}

impl Walk<'_> {
    fn visit(&mut self, schema: &Value, value: &Value, place: &str, depth: u32) {
        self.steps += 1;
        if depth > DEPTH_MAX || self.steps > STEPS_MAX || self.found.len() >= FOUND_MAX {
            return;
        }
        if is_secret(schema) && !is_reference(value) {
            self.found.insert(place.to_owned());
            return;
        }
        if let Some(target) = schema["$ref"].as_str().and_then(|to| to.strip_prefix('#'))
            && let Some(target) = self.root.pointer(target)
        {
            self.visit(target, value, place, depth + 1);
        }
        for word in ["allOf", "anyOf", "oneOf"] {
            for schema in schema[word].as_array().into_iter().flatten() {
                self.visit(schema, value, place, depth + 1);
            }
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let known = schema["properties"].get(name);
                    let schema = known.unwrap_or(&schema["additionalProperties"]);
                    self.visit(schema, value, &format!("{place}.{name}"), depth + 1);
                }
            }
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    self.visit(&schema["items"], value, &format!("{place}[{index}]"), depth + 1);
                }
            }
            _ => {}
        }
    }
}

fn is_secret(schema: &Value) -> bool {
    schema["writeOnly"] == true || schema["format"] == "password"
}

/// Nothing is no literal, either.
fn is_reference(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => Reference::parse(text).is_ok(),
        _ => false,
    }
}
