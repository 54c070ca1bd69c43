//! Reads etc/passwd, etc/shadow and etc/login.defs.
//!
//! Of shadow only two things are looked at: whether a password can be used at all, and the day on
//! which the account expires. No hash is kept, compared or copied.

use std::collections::BTreeMap;

use crate::lines::{Parsed, content_lines, name, number, parse_lines};

/// One account of etc/passwd. Its password field is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The whole comment field; the full name is what stands before its first comma.
    pub(crate) gecos: String,
    pub(crate) home: String,
    /// Empty means /bin/sh.
    pub(crate) shell: String,
    /// Where it stands in the file.
    pub(crate) line: usize,
}

impl Account {
    /// The name that people know the account's holder by.
    pub(crate) fn full_name(&self) -> Option<&str> {
        self.gecos.split(',').next().map(str::trim).filter(|name| !name.is_empty())
    }

    /// Whether somebody can log in with the shell.
    pub(crate) fn has_login_shell(&self) -> bool {
        let program = self.shell.rsplit('/').next().unwrap_or_default();
        !matches!(program, "nologin" | "false" | "sync" | "shutdown" | "halt")
    }
}

/// Reads etc/passwd.
pub(crate) fn parse(bytes: &[u8]) -> Parsed<Account> {
    parse_lines(bytes, |line, text| {
        let fields: Vec<&[u8]> = text.split(|byte| *byte == b':').collect();
        // The name goes first: a NIS line may have fewer fields and deserves its own words.
        let name = name(fields[0], "account")?;
        let [_, _, uid, gid, gecos, home, shell] = fields[..] else {
            return Err(format!("{} fields where an account has 7", fields.len()));
        };
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ok(Account {
            name,
            uid: number(uid, "uid")?,
            gid: number(gid, "gid")?,
            gecos: text(gecos),
            home: text(home),
            shell: text(shell),
            line,
        })
    })
}

/// What a password field allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Password {
    /// A password can be used.
    Set,
    /// None is needed.
    Empty,
    /// There is none that would match; a key may still open the account.
    None,
    /// An administrator locked it; a key may still open the account.
    Locked,
}

impl Password {
    /// The state in one word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Empty => "empty",
            Self::None => "none",
            Self::Locked => "locked",
        }
    }
}

/// What etc/shadow says of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shadow {
    pub(crate) password: Password,
    /// Days from 1970-01-01 to the day from which the account can no longer be used.
    pub(crate) expires_day: Option<i64>,
}

/// Reads etc/shadow. Lines that cannot be read say nothing of their account.
pub(crate) fn parse_shadow(bytes: &[u8]) -> BTreeMap<String, Shadow> {
    let entries = content_lines(bytes).filter_map(|(_, line)| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let name = name(fields[0], "account").ok()?;
        let password = match *fields.get(1)? {
            b"" => Password::Empty,
            [b'!', ..] => Password::Locked,
            [b'*', ..] | b"x" => Password::None,
            _ => Password::Set,
        };
        let expires_day = fields
            .get(7)
            .and_then(|day| std::str::from_utf8(day).ok())
            .and_then(|day| day.parse::<i64>().ok())
            .filter(|day| *day >= 0);
        Some((name, Shadow { password, expires_day }))
    });
    let mut shadow = BTreeMap::new();
    for (name, entry) in entries {
        // The first line of a name is the one that counts, as for the C library.
        shadow.entry(name).or_insert(entry);
    }
    shadow
}

/// The lowest uid of accounts that are not the system's own, as etc/login.defs says.
pub(crate) fn parse_uid_min(bytes: &[u8]) -> Option<u32> {
    content_lines(bytes).find_map(|(_, line)| {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        (words.next()? == b"UID_MIN").then(|| words.next())?.and_then(|n| number(n, "uid").ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(line: &str) -> Result<Account, String> {
        let mut parsed = parse(line.as_bytes());
        assert_eq!(parsed.entries.len() + parsed.faults.len(), 1, "{parsed:?}");
        parsed.faults.pop().map_or_else(|| Ok(parsed.entries.remove(0)), |fault| Err(fault.what))
    }

    #[test]
    fn an_account_is_read_field_by_field() {
        let account = only("alice:x:1001:100:Alice A,,,:/home/alice:/bin/bash").unwrap();
        assert_eq!((account.uid, account.gid, account.line), (1001, 100, 1));
        assert_eq!(account.full_name(), Some("Alice A"));
        assert_eq!((account.home.as_str(), account.shell.as_str()), ("/home/alice", "/bin/bash"));
    }

    #[test]
    fn a_line_that_is_no_account_says_what_is_wrong() {
        for (line, what) in [
            ("alice:x:1001", "3 fields where an account has 7"),
            (":x:1:1::/:/bin/sh", "the account name is empty"),
            ("a b:x:1:1::/:/bin/sh", "the account name `a b` has blanks or control characters"),
            ("bob:x:-1:1::/:/bin/sh", "the uid `-1` is not a number"),
            ("bob:x:+1:1::/:/bin/sh", "the uid `+1` is not a number"),
            ("bob:x:1:99999999999::/:/bin/sh", "the gid `99999999999` is not a number"),
            ("+@staff::::::", "`+@staff` asks for NIS entries, which no file lists"),
            ("+", "`+` asks for NIS entries, which no file lists"),
        ] {
            assert_eq!(only(line).unwrap_err(), what, "{line}");
        }
    }

    #[test]
    fn a_bad_line_leaves_its_neighbours_readable() {
        let parsed = parse(b"root:x:0:0::/root:/bin/sh\njunk\nbob:x:5:5::/:/bin/sh\n");
        assert_eq!(parsed.entries.len(), 2);
        assert_eq!(parsed.faults[0].to_string(), "line 2: 1 fields where an account has 7");
    }

    #[test]
    fn shadow_tells_states_and_keeps_no_hash() {
        let shadow = parse_shadow(
            b"a:$6$salt$hash:1:0:99999:7:::\nb:!$6$x:1::::::\nc:*:1::::::\nd::1::::::\n\
              e:x:1:::::20000:\nf:!!:1:::::-1:\na:*:::::::\nbroken",
        );
        let state = |name: &str| (shadow[name].password.as_str(), shadow[name].expires_day);
        assert_eq!(state("a"), ("set", None));
        assert_eq!(state("b"), ("locked", None));
        assert_eq!(state("c"), ("none", None));
        assert_eq!(state("d"), ("empty", None));
        assert_eq!(state("e"), ("none", Some(20_000)));
        assert_eq!(state("f"), ("locked", None));
        assert!(!format!("{shadow:?}").contains("hash"));
    }

    #[test]
    fn uid_min_comes_from_login_defs() {
        assert_eq!(parse_uid_min(b"# UID_MIN 5\nUID_MAX 60000\nUID_MIN\t\t 500\n"), Some(500));
        assert_eq!(parse_uid_min(b"UID_MIN many\n"), None);
        assert_eq!(parse_uid_min(b""), None);
    }
}
