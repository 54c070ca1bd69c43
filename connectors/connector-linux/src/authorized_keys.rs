//! Reads authorized_keys files as sshd does.
//!
//! A line is options, a key's type, the key in base64 and a comment; the type names itself again
//! inside the key, which is how sshd and this parser tell a key from a text that looks like one.
//! What sshd would not take grants nothing and is no key; but a line that holds the beginning of one
//! (base64 keys begin with `AAAA`) may be a key that was damaged, and is reported as a fault.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use crate::lines::{Fault, Parsed, content_lines};

/// One public key that opens an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// As `ssh-keygen -l` prints it: `SHA256:` and 43 characters of base64.
    pub(crate) fingerprint: String,
    /// Such as `ssh-ed25519`.
    pub(crate) key_type: String,
    /// Of RSA keys, whose strength differs.
    pub(crate) bits: Option<u32>,
    /// What limits its use; empty when nothing does.
    pub(crate) options: String,
    /// What stands behind the key; whose it is, by custom.
    pub(crate) comment: String,
    /// From the option `expiry-time`.
    pub(crate) expires: Option<Timestamp>,
}

/// Reads an authorized_keys file. A key that stands there twice is one key with both options.
pub(crate) fn parse(bytes: &[u8]) -> Parsed<Key> {
    let mut parsed: Parsed<Key> = Parsed { entries: vec![], faults: vec![] };
    for (line, text) in content_lines(bytes) {
        let text = String::from_utf8_lossy(text);
        match parse_line(&text) {
            Some(key) => add(&mut parsed.entries, key),
            None if text.split_ascii_whitespace().any(|word| word.starts_with("AAAA")) => {
                // The line itself stays out of the message: it may hold what was pasted by mistake.
                parsed.faults.push(Fault { line, what: "a key that cannot be read".to_owned() });
            }
            None => {}
        }
    }
    parsed
}

fn add(keys: &mut Vec<Key>, key: Key) {
    let Some(known) = keys.iter_mut().find(|known| known.fingerprint == key.fingerprint) else {
        keys.push(key);
        return;
    };
    // Either line opens the account: no option limits both, and the later end counts.
    if known.options != key.options {
        known.options = format!("{} | {}", known.options, key.options);
    }
    known.expires = known.expires.zip(key.expires).map(|(one, other)| one.max(other));
}

fn parse_line(line: &str) -> Option<Key> {
    // sshd tries the line as a key first, and as options and a key if it is none.
    parse_key(line, "").or_else(|| {
        let (options, rest) = split_options(line)?;
        parse_key(rest, options)
    })
}

fn parse_key(text: &str, options: &str) -> Option<Key> {
    let (key_type, rest) = text.split_once([' ', '\t'])?;
    let rest = rest.trim_start();
    let (encoded, comment) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let blob = STANDARD.decode(encoded).or_else(|_| STANDARD_NO_PAD.decode(encoded)).ok()?;
    let mut fields = Fields(&blob);
    if fields.next()? != key_type.as_bytes() || !is_whole(key_type, fields) {
        return None;
    }
    let bits = (key_type == "ssh-rsa").then(|| {
        fields.next()?;
        fields.next().map(bit_length)
    });
    Some(Key {
        fingerprint: format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&blob))),
        key_type: key_type.to_owned(),
        bits: bits.flatten(),
        options: options.to_owned(),
        comment: comment.trim().to_owned(),
        expires: expiry(options),
    })
}

/// Whether a key ends with its last field. Certificates hold plain numbers between their fields.
fn is_whole(key_type: &str, mut fields: Fields<'_>) -> bool {
    if key_type.contains("-cert-") {
        return !fields.0.is_empty();
    }
    let mut count = 0;
    while fields.next().is_some() {
        count += 1;
    }
    count > 0 && fields.0.is_empty()
}

/// Splits at the first blank outside of quotes.
fn split_options(line: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    for (position, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => {
                return Some((&line[..position], line[position..].trim_start()));
            }
            _ => {}
        }
    }
    None
}

/// Reads the option `expiry-time="YYYYMMDD[HHMM[SS]][Z]"`. Without `Z` sshd means the host's own
/// time zone, which the files do not tell: UTC is taken.
fn expiry(options: &str) -> Option<Timestamp> {
    let lower = options.to_ascii_lowercase();
    let (_, value) = lower.split_once("expiry-time=\"")?;
    let digits = value.split('"').next()?.trim_end_matches('z');
    let format = match digits.len() {
        8 => "%Y%m%d",
        12 => "%Y%m%d%H%M",
        14 => "%Y%m%d%H%M%S",
        _ => return None,
    };
    let time = if digits.len() == 8 {
        jiff::civil::Date::strptime(format, digits).ok()?.to_datetime(jiff::civil::Time::midnight())
    } else {
        DateTime::strptime(format, digits).ok()?
    };
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The fields of a key: each four bytes of length and as many bytes.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (field, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }
}

/// Bits of a big-endian number.
fn bit_length(number: &[u8]) -> u32 {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    match &number[zeros..] {
        [] => 0,
        [first, rest @ ..] => {
            let rest = u32::try_from(rest.len()).unwrap_or(u32::MAX / 16);
            rest * 8 + (8 - first.leading_zeros())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICnyQrB+o5/S6QYWWZ3H1XzrYs03i2xe/rNEOM2oGCwq ed25519@test";
    const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCYQca93R29LPFelVaeY0cpT3iPV7RbyTlHoQ5SKkQ0Encg9JwC6XNYZoOo8PMQhrSXgrF8zu0oSHYb3Dcz4wiFXKqfwPeASiM9xV+tJqBvVG3d15+YEfO0tNkyDpzCnR7ox2zlvJS3EeU6wJdxwIt7iFcOA5WiY0pjrQMSv5jUer6Y5X+vFS7bpMk+SXyt1F4eAKZYraWWoEwg9Bbyr1DiCBkfiTNN6ngOdg3/huuwzdCYyy6vvC+msbX66wJ04IR0P1sEjN4928vCpGKFjchbtypzh1rNrm9Ak6VYZB4WvVCc93lxH3gMekzuCxg5rel6jOhMo4s6PWbAKqmcL5O/ rsa@test";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBMfphe8L4T+zbYZJ8rPOXsdBfFKJs71SieHtALTar/00YXBHzEKIh0+9QxnWb+w2hVgl9k1gWbpptcQsA9CfjQY= ecdsa@test";

    fn only(line: &str) -> Key {
        let mut parsed = parse(line.as_bytes());
        assert_eq!((parsed.entries.len(), parsed.faults.len()), (1, 0), "{line}: {parsed:?}");
        parsed.entries.remove(0)
    }

    #[test]
    fn fingerprints_are_those_that_ssh_keygen_prints() {
        for (line, fingerprint, key_type, bits, comment) in [
            (
                ED25519,
                "SHA256:rkJ8tIl+290LoUMGNrPPnqU8/INmukJLIs72dory3WM",
                "ssh-ed25519",
                None,
                "ed25519@test",
            ),
            (
                RSA,
                "SHA256:CmvGyHgEtT0xxv0qiMVU9Ws2nluVucbG/QLarl1bhv4",
                "ssh-rsa",
                Some(2048),
                "rsa@test",
            ),
            (
                ECDSA,
                "SHA256:JnLuU4TTP/xiPRDaRcBB52lE+qk4IqXGdVtdCJB8uiA",
                "ecdsa-sha2-nistp256",
                None,
                "ecdsa@test",
            ),
        ] {
            let key = only(line);
            assert_eq!(key.fingerprint, fingerprint);
            assert_eq!((key.key_type.as_str(), key.bits), (key_type, bits));
            assert_eq!((key.comment.as_str(), key.options.as_str()), (comment, ""));
        }
    }

    #[test]
    fn options_may_hold_blanks_and_quotes() {
        for options in [
            "restrict",
            "no-pty,command=\"/bin/run me # now\"",
            "command=\"say \\\"hi there\\\"\",from=\"10.0.0.0/8\"",
        ] {
            let key = only(&format!("  {options} \t{ED25519} laptop"));
            assert_eq!(
                (key.options.as_str(), key.comment.as_str()),
                (options, "ed25519@test laptop")
            );
        }
    }

    #[test]
    fn an_expiry_time_ends_the_key() {
        for (time, expected) in [
            ("20301231", Some("2030-12-31T00:00:00Z")),
            ("20301231Z", Some("2030-12-31T00:00:00Z")),
            ("203012312359", Some("2030-12-31T23:59:00Z")),
            ("20301231235958Z", Some("2030-12-31T23:59:58Z")),
            ("20301340", None),
            ("soon", None),
        ] {
            let key = only(&format!("expiry-time=\"{time}\" {ED25519}"));
            assert_eq!(key.expires, expected.map(|time| time.parse().unwrap()), "{time}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_one_key_that_ends_with_the_later_line() {
        let dated = format!("expiry-time=\"20300101\" {ED25519}\n");
        let later = format!("expiry-time=\"20310101\" {ED25519}\n");
        let parsed = parse(format!("{dated}{later}").as_bytes());
        assert_eq!(parsed.entries.len(), 1);
        assert_eq!(parsed.entries[0].expires, Some("2031-01-01T00:00:00Z".parse().unwrap()));
        let parsed = parse(format!("{dated}{ED25519}").as_bytes());
        assert_eq!((parsed.entries.len(), parsed.entries[0].expires), (1, None));
    }

    #[test]
    fn what_sshd_would_not_take_is_no_key_and_a_damaged_one_is_a_fault() {
        let cut = &ED25519[..40];
        let lying = ED25519.replacen("ssh-ed25519", "ssh-rsa", 1);
        for (line, faults) in [
            ("remember to rotate this", 0),
            ("ssh-ed25519", 0),
            ("ssh-ed25519 !!! alice", 0),
            (cut, 1),
            (lying.as_str(), 1),
            ("ssh-ed25519 AAAA", 1),
            ("command=\"open ssh-ed25519 AAAA", 1),
        ] {
            let parsed = parse(line.as_bytes());
            assert_eq!((parsed.entries.len(), parsed.faults.len()), (0, faults), "{line}");
        }
        let parsed = parse(format!("# note\n{cut}\n{RSA}\n").as_bytes());
        assert_eq!(parsed.entries.len(), 1);
        assert_eq!(parsed.faults[0].to_string(), "line 2: a key that cannot be read");
    }
}
