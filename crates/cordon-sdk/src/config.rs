//! Reads a connector's configuration and names the field that is wrong.
//!
//! The text holds resolved secrets, so a message never repeats a value.

use serde::de::DeserializeOwned;

use crate::Error;

/// Reads a configuration from JSON text.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let config = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let message = error.inner().to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(text, _)| text);
        Error::bad_config(field(&error.path().to_string(), message), without_value(message))
    })?;
    json.end().map_err(|_| Error::bad_config("", "there is text after the configuration"))?;
    Ok(config)
}

/// The path of the field; of a missing or unknown one including its own name, which serde keeps in
/// the message.
fn field(path: &str, message: &str) -> String {
    let path = if path == "." { "" } else { path };
    let named = ["missing field `", "unknown field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.split_once('`'));
    match named {
        Some((name, _)) if path.is_empty() => name.to_owned(),
        Some((name, _)) if path != name && !path.ends_with(&format!(".{name}")) => {
            format!("{path}.{name}")
        }
        _ => path.to_owned(),
    }
}

/// `invalid type: string "hunter2", expected u32` without the secret.
fn without_value(message: &str) -> String {
    for start in ["invalid type: ", "invalid value: "] {
        let Some(rest) = message.strip_prefix(start) else { continue };
        let expected = rest.rsplit_once(", expected ").map_or("something else", |(_, text)| text);
        let found = rest.split([' ', ',', '`', '"']).next().unwrap_or_default();
        return format!("{start}{found}, expected {expected}");
    }
    message.to_owned()
}
