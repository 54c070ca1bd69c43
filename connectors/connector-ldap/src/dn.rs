//! Compares names of entries as servers do.
//!
//! A group keeps its members as somebody typed them: `UID=Bob, ou=People` is the entry
//! `uid=bob,ou=People`. Names are made comparable by lower case, single blanks and one way of writing
//! an escape. Two entries whose names differ in nothing else are told apart by nothing here; who looks
//! a name up has to notice that it leads to both.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// A name as a key: short, since a directory has many.
pub(crate) type Key = u128;

/// A name in the one spelling that all its spellings share. What is no name stays what it is.
pub(crate) fn normalized(dn: &str) -> String {
    if is_plain(dn) {
        return dn.to_ascii_lowercase();
    }
    rdns(dn).map_or_else(|| dn.to_owned(), |rdns| rdns.join(","))
}

/// The key of a name, the same for all its spellings.
pub(crate) fn key(dn: &str) -> Key {
    key_of(&normalized(dn))
}

/// The key of any text.
pub(crate) fn key_of(text: &str) -> Key {
    let digest = Sha256::digest(text.as_bytes());
    let half: [u8; 16] = std::array::from_fn(|at| digest[at]);
    u128::from_be_bytes(half)
}

/// Whether an entry lies at or below another.
pub(crate) fn is_below(dn: &str, base: &str) -> bool {
    matches!((rdns(dn), rdns(base)), (Some(dn), Some(base)) if dn.ends_with(&base))
}

/// Whether a name differs from its one spelling in nothing but the case of its letters, as nearly all
/// do: then it need not be taken apart.
fn is_plain(dn: &str) -> bool {
    let mut before = b',';
    for byte in dn.bytes() {
        let is_plain = match byte {
            b' ' => !matches!(before, b' ' | b',' | b'='),
            b',' => before != b' ',
            b'=' => before != b' ' && before != b',',
            b'\\' | b'+' | b'"' | b'<' | b'>' | b';' => false,
            _ => byte.is_ascii() && !byte.is_ascii_control(),
        };
        if !is_plain {
            return false;
        }
        before = byte;
    }
    before != b' ' && dn.split(',').all(|part| part.matches('=').count() == 1)
}

/// The relative names, each in its one spelling.
fn rdns(dn: &str) -> Option<Vec<String>> {
    if dn.trim().is_empty() {
        return Some(vec![]);
    }
    split(dn, &[',', ';']).into_iter().map(rdn).collect()
}

fn rdn(text: &str) -> Option<String> {
    let mut parts: Vec<String> =
        split(text, &['+']).into_iter().map(assertion).collect::<Option<_>>()?;
    parts.sort();
    Some(parts.join("+"))
}

fn assertion(text: &str) -> Option<String> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim().to_ascii_lowercase();
    let is_name = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    is_name.then(|| format!("{name}={}", escaped(&folded(&unescaped(value)))))
}

/// Splits at characters that are not escaped.
fn split<'a>(text: &'a str, at: &[char]) -> Vec<&'a str> {
    let mut parts = vec![];
    let (mut begin, mut is_escaped) = (0, false);
    for (place, character) in text.char_indices() {
        if is_escaped {
            is_escaped = false;
        } else if character == '\\' {
            is_escaped = true;
        } else if at.contains(&character) {
            parts.push(&text[begin..place]);
            begin = place + character.len_utf8();
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// A value without its escapes. Blanks around it go, unless they are escaped.
fn unescaped(value: &str) -> String {
    let mut bytes = vec![];
    let mut kept = 0;
    let mut rest = value.trim_start().as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'\\' {
            bytes.push(*byte);
            if *byte != b' ' {
                kept = bytes.len();
            }
            continue;
        }
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                if let [byte, after @ ..] = rest {
                    bytes.push(*byte);
                    rest = after;
                }
            }
        }
        kept = bytes.len();
    }
    bytes.truncate(kept);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Lower case, with one blank where there are several.
fn folded(value: &str) -> String {
    let mut folded = String::with_capacity(value.len());
    for character in value.chars() {
        if character != ' ' || !folded.ends_with(' ') {
            folded.extend(character.to_lowercase());
        }
    }
    folded
}

fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=') {
            escaped.push('\\');
            escaped.push(character);
        } else if character.is_control() {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                let _ = write!(escaped, "\\{byte:02x}");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_name_are_one() {
        for (one, other) in [
            ("uid=bob,ou=People,dc=x", "UID=Bob, OU = people ,DC=X"),
            ("cn=Smith\\, Ann,dc=x", "cn=smith\\2c ann,dc=x"),
            ("cn=J\\C3\\BCrgen,dc=x", "cn=jürgen,dc=x"),
            ("cn=a  b,dc=x", "cn=A b,dc=x"),
            ("cn=a+uid=b,dc=x", "uid=B+cn=A,dc=x"),
            ("cn=a;dc=x", "cn=a,dc=x"),
        ] {
            assert_eq!(normalized(one), normalized(other));
            assert_eq!(key(one), key(other));
        }
        for (one, other) in
            [("cn=a,dc=x", "cn=a\\,dc\\=x"), ("cn=a\\+b,dc=x", "cn=a+cn=b,dc=x"), ("cn=a", "cn=b")]
        {
            assert_ne!(key(one), key(other), "{one} {other}");
        }
        // The short way and the long one lead to the same.
        let plain = "UID=Bob Smith,OU=People,DC=x";
        assert!(is_plain(plain) && !is_plain("uid=bob, dc=x") && !is_plain("cn=a=b,dc=x"));
        let long = rdns(plain).unwrap().join(",");
        assert_eq!(
            (normalized(plain), long.as_str()),
            (long.clone(), "uid=bob smith,ou=people,dc=x")
        );
        assert_eq!(normalized("no name"), "no name");
        assert_eq!(normalized("cn=line\\0abreak"), "cn=line\\0abreak");
    }

    #[test]
    fn what_lies_below_is_told_by_whole_names() {
        assert!(is_below("uid=b,ou=P,dc=x", "OU=p, DC=x"));
        assert!(is_below("dc=x", "dc=x") && is_below("uid=b,dc=x", ""));
        assert!(!is_below("uid=b,ou=ap,dc=x", "ou=p,dc=x"));
        assert!(!is_below("ou=other,dc=x", "ou=p,dc=x"));
    }
}
