//! The forms in which programs write a secret: what a careless connector prints, and what a test
//! looks for afterwards.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// A secret, and each line of one of several lines, in every form.
pub fn forms(secret: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for part in [secret].into_iter().chain(secret.lines().filter(|_| secret.contains('\n'))) {
        forms.push(part.to_owned());
        for before in ["", "u", "u:"] {
            forms.push(STANDARD.encode(format!("{before}{part}")));
            forms.push(URL_SAFE_NO_PAD.encode(format!("{before}{part}")));
        }
        let encoded = |form: &dyn Fn(u8) -> String| part.bytes().map(form).collect::<String>();
        forms.push(encoded(&|byte| format!("%{byte:02x}")));
        forms.push(encoded(&|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        }));
    }
    forms
}
