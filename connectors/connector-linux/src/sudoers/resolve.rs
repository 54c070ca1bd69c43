//! Puts aliases in their place and yields rights.
//!
//! A right's id is made of what it allows and of nothing else, in one spelling, so that a rule that
//! was moved, renamed or reordered is the same right, and one that allows more is another.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use super::load::Sudoers;
use super::statement::{AliasKind, CommandSpec, Item, Privilege, Runas, is_alias_name};

/// Items that one list may expand to: ten aliases of ten aliases each are a billion after nine steps.
const ITEMS_MAX: usize = 10_000;
/// Aliases within aliases, at most.
const DEPTH_MAX: usize = 64;
/// Bytes of an id; what is longer ends in a digest.
const ID_BYTES_MAX: usize = 200;
/// Bytes of a text attribute.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Whom a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Every account.
    All,
    User(String),
    Uid(u32),
    Group(String),
    Gid(u32),
    /// A netgroup (`+name`) or a group of a plugin (`%:name`), written as in sudoers: no file lists
    /// its members.
    Foreign(String),
}

/// What may be run, where and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Right {
    /// `sudo:(root):NOPASSWD:/usr/bin/apt update`.
    pub(crate) id: String,
    /// Users that it may be run as, in sudo's spelling, e.g. `root` or `ALL:ALL`.
    pub(crate) runas: String,
    /// The commands, e.g. `ALL, !/bin/su`.
    pub(crate) commands: String,
    /// None: on every host.
    pub(crate) hosts: Option<String>,
    /// Such as `CHROOT=/srv`.
    pub(crate) options: Option<String>,
    pub(crate) is_nopasswd: bool,
    /// Whether anything is allowed at all: a rule may only forbid.
    pub(crate) allows: bool,
    pub(crate) expires: Option<Timestamp>,
    /// To whom: in order, with who is left out; the last that fits decides.
    pub(crate) subjects: Vec<(Subject, bool)>,
}

/// Makes rights of all rules. A rule that cannot be resolved becomes a fault.
pub(crate) fn resolve(sudoers: &mut Sudoers) -> Vec<Right> {
    let mut rights = vec![];
    let mut faults = vec![];
    for (place, spec) in &sudoers.specs {
        let resolver = Resolver { sudoers };
        match resolver.rights(&spec.users, &spec.privileges) {
            Ok(more) => rights.extend(more),
            Err(what) => faults.push((place.clone(), what)),
        }
    }
    for (place, what) in faults {
        sudoers.fault(place, what);
    }
    rights
}

struct Resolver<'a> {
    sudoers: &'a Sudoers,
}

impl Resolver<'_> {
    fn rights(&self, users: &[Item], privileges: &[Privilege]) -> Result<Vec<Right>, String> {
        let subjects: Vec<(Subject, bool)> = self
            .flatten(AliasKind::User, users)?
            .iter()
            .map(|item| (subject(&item.text), !item.is_negated))
            .collect();
        let mut rights = vec![];
        for privilege in privileges {
            let hosts = text(&self.flatten(AliasKind::Host, &privilege.hosts)?);
            let hosts = (hosts != "ALL").then_some(hosts);
            let same = |one: &CommandSpec, other: &CommandSpec| {
                (&one.runas, one.tags, &one.options) == (&other.runas, other.tags, &other.options)
            };
            for specs in privilege.commands.chunk_by(same) {
                let mut right = self.right(specs, hosts.clone())?;
                right.subjects.clone_from(&subjects);
                rights.push(right);
            }
        }
        Ok(rights)
    }

    /// One right of commands that have all but the command in common.
    fn right(&self, specs: &[CommandSpec], hosts: Option<String>) -> Result<Right, String> {
        let first = &specs[0];
        let commands: Vec<Item> = specs.iter().map(|spec| spec.command.clone()).collect();
        let commands = self.flatten(AliasKind::Command, &commands)?;
        let allows = commands.iter().any(|command| !command.is_negated);
        let commands = text(&commands);
        let runas = match &first.runas {
            None => "root".to_owned(),
            Some(runas) => self.runas(runas)?,
        };
        let mut options = first.options.clone();
        let expires = options
            .iter()
            .find(|(name, _)| name == "NOTAFTER")
            .and_then(|(_, time)| generalized_time(time));
        if expires.is_some() {
            options.retain(|(name, _)| name != "NOTAFTER");
        }
        options.sort_unstable();
        let options: Vec<String> =
            options.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let options = (!options.is_empty()).then(|| options.join(" "));

        let mut id = format!("sudo:({runas})");
        if let Some(hosts) = &hosts {
            let _ = write!(id, "@{hosts}");
        }
        id.push(':');
        if let Some(options) = &options {
            let _ = write!(id, "{options}:");
        }
        let tags = [
            (first.tags.nopasswd, "NOPASSWD:"),
            (first.tags.setenv, "SETENV:"),
            (first.tags.noexec, "NOEXEC:"),
        ];
        tags.iter().filter(|(is_set, _)| *is_set).for_each(|(_, tag)| id.push_str(tag));
        id.push_str(&commands);
        Ok(Right {
            id: bounded(id, ID_BYTES_MAX),
            runas: bounded(runas, TEXT_BYTES_MAX),
            commands: bounded(commands, TEXT_BYTES_MAX),
            hosts: hosts.map(|hosts| bounded(hosts, TEXT_BYTES_MAX)),
            options: options.map(|options| bounded(options, TEXT_BYTES_MAX)),
            is_nopasswd: first.tags.nopasswd,
            allows,
            expires,
            subjects: vec![],
        })
    }

    /// As sudo writes it: users, and after a colon groups. Nobody named: the caller only.
    fn runas(&self, runas: &Runas) -> Result<String, String> {
        let mut written = text(&self.flatten(AliasKind::Runas, &runas.users)?);
        if !runas.groups.is_empty() {
            written.push(':');
            written.push_str(&text(&self.flatten(AliasKind::Runas, &runas.groups)?));
        }
        Ok(written)
    }

    fn flatten(&self, kind: AliasKind, items: &[Item]) -> Result<Vec<Item>, String> {
        let mut flat = vec![];
        self.flatten_into(kind, items, false, &mut vec![], &mut flat)?;
        Ok(flat)
    }

    /// Replaces aliases by what they stand for; negating an alias negates each of its items.
    fn flatten_into<'s>(
        &'s self,
        kind: AliasKind,
        items: &'s [Item],
        is_negated: bool,
        path: &mut Vec<&'s str>,
        flat: &mut Vec<Item>,
    ) -> Result<(), String> {
        for item in items {
            let is_negated = item.is_negated != is_negated;
            let key = (kind, item.text.clone());
            let alias = is_alias_name(&item.text).then(|| self.sudoers.aliases.get(&key)).flatten();
            match alias {
                Some(_) if path.contains(&item.text.as_str()) => {
                    return Err(format!("{} {} contains itself", kind.as_str(), item.text));
                }
                Some(_) if path.len() >= DEPTH_MAX => {
                    return Err(format!("more than {DEPTH_MAX} aliases stand for each other"));
                }
                Some((_, items)) => {
                    path.push(&item.text);
                    self.flatten_into(kind, items, is_negated, path, flat)?;
                    path.pop();
                }
                // A user or a host may have such a name; a command may not.
                None if kind == AliasKind::Command && is_alias_name(&item.text) => {
                    return Err(format!("{} {} is not defined", kind.as_str(), item.text));
                }
                None => flat.push(Item { is_negated, text: item.text.clone() }),
            }
            if flat.len() > ITEMS_MAX {
                return Err(format!("its aliases stand for more than {ITEMS_MAX} items"));
            }
        }
        Ok(())
    }
}

fn subject(text: &str) -> Subject {
    let number = |text: &str| text.parse::<u32>().ok();
    if text == "ALL" {
        Subject::All
    } else if text.starts_with("%:") || text.starts_with('+') {
        Subject::Foreign(text.to_owned())
    } else if let Some(gid) = text.strip_prefix("%#").and_then(number) {
        Subject::Gid(gid)
    } else if let Some(group) = text.strip_prefix('%') {
        Subject::Group(group.to_owned())
    } else if let Some(uid) = text.strip_prefix('#').and_then(number) {
        Subject::Uid(uid)
    } else {
        Subject::User(text.to_owned())
    }
}

/// A list in one spelling. Order counts only where something is left out.
fn text(items: &[Item]) -> String {
    let mut texts: Vec<String> = items
        .iter()
        .map(|item| format!("{}{}", if item.is_negated { "!" } else { "" }, item.text))
        .collect();
    if !items.iter().any(|item| item.is_negated) {
        if texts.iter().any(|text| text == "ALL") {
            return "ALL".to_owned();
        }
        texts.sort_unstable();
        texts.dedup();
    }
    texts.join(", ")
}

/// A text within a bound: what is cut off goes into a digest, so that no two texts become one.
fn bounded(text: String, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    let digest: String =
        Sha256::digest(&text).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let end = bytes_max - digest.len() - '…'.len_utf8();
    let end = (0..=end).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…{digest}", &text[..end])
}

/// `yyyymmddHHMMSSZ`, of which minutes and seconds may be absent.
fn generalized_time(text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z')?;
    let padded = match digits.len() {
        10 => format!("{digits}0000"),
        12 => format!("{digits}00"),
        14 => digits.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%S", padded).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::source_file::Root;

    fn resolved(text: &str) -> (Vec<Right>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        fs::write(folder.path().join("etc/sudoers"), text).unwrap();
        let mut sudoers = super::super::load(&Root::new(folder.path())).unwrap();
        let rights = resolve(&mut sudoers);
        let root = folder.path().to_str().unwrap();
        (rights, sudoers.faults.iter().map(|fault| fault.to_string().replace(root, "")).collect())
    }

    fn ids(text: &str) -> Vec<String> {
        let (rights, faults) = resolved(text);
        assert_eq!(faults, [""; 0], "{text}");
        rights.into_iter().map(|right| right.id).collect()
    }

    #[test]
    fn an_id_says_what_is_allowed_in_one_spelling() {
        for (text, expected) in [
            ("a ALL=(ALL:ALL) ALL", vec!["sudo:(ALL:ALL):ALL"]),
            ("a ALL=ALL", vec!["sudo:(root):ALL"]),
            ("a ALL=(root) ALL", vec!["sudo:(root):ALL"]),
            ("a ALL=() ALL", vec!["sudo:():ALL"]),
            ("a ALL=NOPASSWD: ALL", vec!["sudo:(root):NOPASSWD:ALL"]),
            ("a ALL=NOEXEC: SETENV: NOPASSWD: ALL", vec!["sudo:(root):NOPASSWD:SETENV:NOEXEC:ALL"]),
            ("a ALL=/bin/b, /bin/a, /bin/b", vec!["sudo:(root):/bin/a, /bin/b"]),
            ("a ALL=/bin/b, ALL", vec!["sudo:(root):ALL"]),
            ("a ALL=ALL, !/bin/su, /bin/a", vec!["sudo:(root):ALL, !/bin/su, /bin/a"]),
            (
                "a ALL=/bin/a, NOPASSWD: /bin/b",
                vec!["sudo:(root):/bin/a", "sudo:(root):NOPASSWD:/bin/b"],
            ),
            (
                "a web=ALL : db, app=/bin/a",
                vec!["sudo:(root)@web:ALL", "sudo:(root)@app, db:/bin/a"],
            ),
            ("a ALL=CHROOT=/srv ALL", vec!["sudo:(root):CHROOT=/srv:ALL"]),
            ("a ALL=NOTAFTER=20301231000000Z ALL", vec!["sudo:(root):ALL"]),
            (
                "Cmnd_Alias SHELLS=/bin/sh,/bin/bash\nRunas_Alias OP=op,adm\nHost_Alias H=web,db\n\
                 a H=(OP) ALL, !SHELLS",
                vec!["sudo:(adm, op)@db, web:ALL, !/bin/sh, !/bin/bash"],
            ),
            (
                "a ALL=X\nCmnd_Alias X=Y,!/bin/z\nCmnd_Alias Y=/bin/y",
                vec!["sudo:(root):/bin/y, !/bin/z"],
            ),
            (
                "a ALL=ALL, !X\nCmnd_Alias X=/bin/y,!/bin/z",
                vec!["sudo:(root):ALL, !/bin/y, /bin/z"],
            ),
        ] {
            assert_eq!(ids(text), expected, "{text}");
        }
    }

    #[test]
    fn rules_that_only_forbid_allow_nothing() {
        let allows = |text| resolved(text).0[0].allows;
        assert!(allows("a ALL=ALL, !/bin/su"));
        assert!(!allows("a ALL=!/bin/su"));
        assert!(!allows("Cmnd_Alias S=/bin/su\na ALL=!S"));
    }

    #[test]
    fn a_right_with_an_end_knows_it() {
        let expires = |text| resolved(text).0[0].expires.map(|time| time.to_string());
        let end = Some("2030-12-31T10:00:00Z".to_owned());
        assert_eq!(expires("a ALL=NOTAFTER=20301231100000Z ALL"), end);
        assert_eq!(expires("a ALL=NOTAFTER=2030123110Z ALL"), end);
        assert_eq!(expires("a ALL=NOTAFTER=soon ALL"), None);
    }

    #[test]
    fn users_keep_their_order_and_who_is_left_out() {
        let (rights, _) = resolved("User_Alias A=a,!b\n!A,%g,%#5,#7,ALL,+n,%:p,UPPER ALL=ALL");
        let user = |name: &str| Subject::User(name.to_owned());
        let expected = [
            (user("a"), false),
            (user("b"), true),
            (Subject::Group("g".to_owned()), true),
            (Subject::Gid(5), true),
            (Subject::Uid(7), true),
            (Subject::All, true),
            (Subject::Foreign("+n".to_owned()), true),
            (Subject::Foreign("%:p".to_owned()), true),
            (user("UPPER"), true),
        ];
        assert_eq!(rights[0].subjects, expected);
    }

    #[test]
    fn what_cannot_be_resolved_is_a_fault_with_its_place() {
        for (text, what) in [
            ("a ALL=SHELLS", "/etc/sudoers line 1: Cmnd_Alias SHELLS is not defined"),
            (
                "Cmnd_Alias A=B\nCmnd_Alias B=A\na ALL=A",
                "/etc/sudoers line 3: Cmnd_Alias A contains itself",
            ),
        ] {
            assert_eq!(resolved(text).1, [what], "{text}");
        }
    }

    #[test]
    fn aliases_of_aliases_cannot_fill_the_memory() {
        let mut text = "Cmnd_Alias A0=/bin/a,/bin/b\n".to_owned();
        for level in 1..40 {
            let below = level - 1;
            let _ = writeln!(text, "Cmnd_Alias A{level}=A{below},A{below},A{below}");
        }
        text.push_str("a ALL=A39");
        let expected = "/etc/sudoers line 41: its aliases stand for more than 10000 items";
        assert_eq!(resolved(&text).1, [expected]);
    }

    #[test]
    fn a_long_id_is_cut_and_still_tells_rights_apart() {
        let long =
            |last: &str| ids(&format!("a ALL=/bin/{}, /bin/{last}", "c".repeat(300))).remove(0);
        let (one, other) = (long("x"), long("y"));
        assert_eq!(one.len(), ID_BYTES_MAX);
        assert_ne!(one, other);
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        let seed = b"User_Alias A=a,!b : B=%c\nA,#1,%#2 H=(r:g) NOPASSWD: CWD=/ sha256:ab /bin/x \\\n y, !C\n\
                     @include x\n\"q\\\"\" ALL=ALL # z\n";
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap()
        };
        for _ in 0..20_000 {
            let mut bytes = seed.to_vec();
            for _ in 0..=random() % 6 {
                let place = random() % bytes.len();
                match random() % 3 {
                    0 => bytes[place] = (random() % 256) as u8,
                    1 => bytes.truncate(place + 1),
                    _ => bytes.insert(place, b"\\\"#!,:=()\n%"[random() % 11]),
                }
            }
            let text = String::from_utf8_lossy(&bytes);
            for line in super::super::scan::logical_lines(&text) {
                let _ = super::super::statement::parse(&line.text);
            }
        }
    }
}
