//! Values of secret references, for a program that is started without a cordond.
//!
//! Only what an author's own machine has: variables and files. What a service manager or another
//! program holds is for cordond, which `cordon connector run` asks.

use serde_json::Value as Json;

use crate::errors::Failure;

/// The same configuration, with values in place of references.
pub(super) fn resolved(mut config: Json) -> Result<Json, Failure> {
    resolve(&mut config)?;
    Ok(config)
}

fn resolve(value: &mut Json) -> Result<(), Failure> {
    match value {
        Json::String(text) => {
            if let Some(found) = value_of(text)? {
                *text = found;
            }
            Ok(())
        }
        Json::Array(values) => values.iter_mut().try_for_each(resolve),
        Json::Object(keys) => keys.values_mut().try_for_each(resolve),
        _ => Ok(()),
    }
}

fn value_of(text: &str) -> Result<Option<String>, Failure> {
    let missing = |why: String| Failure::Usage {
        message: format!("the secret {text} has no value: {why}"),
        hint: "set it, or name another source of it in the settings".into(),
    };
    if let Some(name) = text.strip_prefix("env:") {
        return std::env::var(name).map(Some).map_err(|error| missing(error.to_string()));
    }
    if text.starts_with("file:/") {
        let path = text.trim_start_matches("file:");
        let value = std::fs::read_to_string(path).map_err(|error| missing(error.to_string()))?;
        return Ok(Some(value.trim_end_matches(['\n', '\r']).to_owned()));
    }
    if text.starts_with("cred:") || text.starts_with("exec:/") {
        return Err(missing("only cordond can ask for it; use env: or file:".to_owned()));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_get_their_values_and_other_text_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "hunter2\n").unwrap();
        let reference = format!("file:{}", file.display());
        let config = serde_json::json!({ "login": { "password": reference }, "url": "ldap://x" });
        let resolved = resolved(config).unwrap();
        assert_eq!(resolved["login"]["password"], "hunter2");
        assert_eq!(resolved["url"], "ldap://x");
    }

    #[test]
    fn a_reference_without_a_value_is_named() {
        for text in
            ["env:NO_SUCH_VARIABLE_HERE", "file:/no/such/file", "cred:ldap", "exec:/bin/pass x"]
        {
            let failure = resolved(serde_json::json!([text])).unwrap_err();
            assert!(failure.to_string().contains(text), "{failure}");
        }
    }
}
