//! The case about secrets: values that nobody else has are looked for in all that a connector says.
//!
//! Once with the configuration as it is, and once with a made-up value in every secret field: a source
//! that refuses a password is where passwords end in messages.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_sdk::conformance::{Bench, Judged, Objection};
use serde_json::Value as Json;

use super::{Trial, process};

/// Stands in for every secret.
const CANARY: &str = "canary-5cf1d7e09a42b8";
/// A shorter secret is found everywhere.
const SECRET_BYTES_MIN: usize = 6;
/// Steps down a schema.
const DEPTH_MAX: u32 = 16;

pub(super) async fn untold(trial: &mut Trial) -> Judged {
    let described = trial.bench.described().await?;
    let schema: Json = serde_json::from_str(&described.configuration_schema).unwrap_or_default();
    let mut places = Vec::new();
    secret_places(&schema, &schema, String::new(), 0, &mut places);
    let config = trial.bench.config().clone();
    places.retain(|place| config.pointer(place).is_some());
    if places.is_empty() {
        let why = "no field of the configuration is marked secret (\"writeOnly\": true)";
        return Err(Objection::unjudged(why));
    }
    let text = |place: &String| config.pointer(place).and_then(Json::as_str).map(str::to_owned);
    let own: Vec<String> = places.iter().filter_map(text).collect();
    let mut with_canary = config.clone();
    for place in &places {
        if let Some(value) = with_canary.pointer_mut(place) {
            *value = CANARY.into();
        }
    }
    for (config, secrets) in [(config, own), (with_canary, vec![CANARY.to_owned()])] {
        let told = told(trial, config).await?;
        let secrets = secrets.iter().filter(|secret| secret.len() >= SECRET_BYTES_MIN);
        for form in secrets.flat_map(|secret| forms(secret)) {
            if let Some(line) = told.lines().find(|line| line.contains(&form)) {
                let line: String = line.replace(&form, "***").chars().take(120).collect();
                return Err(Objection::failed(format!("a secret is in {line:?}")));
            }
        }
    }
    Ok(())
}

/// All that a connector says with a configuration, in words and records and to its log.
async fn told(trial: &Trial, config: Json) -> Result<String, Objection> {
    let program = trial.bench.subject();
    let mut bench = Bench::new(program, config.clone(), trial.bench.patience());
    let mut live = bench.unconfigured().await?;
    // Refusals are heard too.
    if live.harness.configure(&config).await.is_ok() {
        let _ = live.harness.check().await;
        let (collected, _) = live.harness.sync().await;
        let values = collected.rows.iter().flat_map(|row| row.values.values());
        let values: Vec<String> = values.map(ToString::to_string).collect();
        let told = format!("{}\n{}", live.harness.told(), values.join("\n"));
        drop(live);
        process::settle().await;
        return Ok(format!("{told}\n{}", log(trial)));
    }
    let told = live.harness.told().to_owned();
    drop(live);
    process::settle().await;
    Ok(format!("{told}\n{}", log(trial)))
}

fn log(trial: &Trial) -> String {
    let heard = trial.bench.subject().heard();
    String::from_utf8_lossy(&[heard.stdout, heard.log].concat()).into_owned()
}

/// The forms in which a secret is looked for.
fn forms(secret: &str) -> [String; 3] {
    let hex = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    [secret.to_owned(), STANDARD.encode(secret).trim_end_matches('=').to_owned(), hex]
}

/// Where a schema says that a secret is, as pointers into the configuration.
fn secret_places(root: &Json, schema: &Json, at: String, depth: u32, found: &mut Vec<String>) {
    if depth > DEPTH_MAX {
        return;
    }
    if schema["writeOnly"] == true || schema["format"] == "password" {
        found.push(at);
        return;
    }
    let target = schema["$ref"].as_str().and_then(|to| to.strip_prefix('#'));
    if let Some(target) = target.and_then(|to| root.pointer(to)) {
        secret_places(root, target, at.clone(), depth + 1, found);
    }
    for word in ["allOf", "anyOf", "oneOf"] {
        for one in schema[word].as_array().into_iter().flatten() {
            secret_places(root, one, at.clone(), depth + 1, found);
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let name = name.replace('~', "~0").replace('/', "~1");
        secret_places(root, property, format!("{at}/{name}"), depth + 1, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_where_the_schema_says_so() {
        let schema = serde_json::json!({
            "$defs": { "login": { "properties": { "password": { "writeOnly": true } } } },
            "properties": {
                "login": { "anyOf": [{ "$ref": "#/$defs/login" }, { "type": "null" }] },
                "to/ken": { "type": "string", "format": "password" },
                "url": { "type": "string" },
            },
        });
        let mut places = Vec::new();
        secret_places(&schema, &schema, String::new(), 0, &mut places);
        assert_eq!(places, ["/login/password", "/to~1ken"]);
    }
}
