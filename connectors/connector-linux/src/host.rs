//! Reads a host: all files of one sync, and what keeps a part of them from being whole.
//!
//! Everything is read before anything is reported, so that users, groups and rights are of one
//! moment, and so that waiting for the supervisor never stretches the reading.

use std::collections::BTreeMap;
use std::path::Path;

use cordon_sdk::{Error, Timestamp, Watermark};
use sha2::{Digest, Sha256};

use crate::authorized_keys::{self, Key};
use crate::config::{Config, Part};
use crate::group::{self, Group};
use crate::lines::{Parsed, content_lines};
use crate::passwd::{self, Account, Shadow};
use crate::source_file::{Root, SourceFile, modified};
use crate::sudoers::{self, Right};
use crate::{account_type, lines};

/// Bytes of etc/passwd, etc/group and etc/shadow, at most: half a million accounts.
const DATABASE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of etc/login.defs, at most.
const DEFS_BYTES_MAX: u64 = 1024 * 1024;
/// Bytes of one account's keys, at most.
const KEYS_BYTES_MAX: u64 = 1024 * 1024;
/// The files of keys that sshd reads by default.
const KEY_FILES: [&str; 2] = [".ssh/authorized_keys", ".ssh/authorized_keys2"];
/// Where sudo is, if it is installed.
const SUDO_PROGRAM: &str = "/usr/bin/sudo";
/// Causes that a reason spells out; the others are counted.
const CAUSES_SHOWN_MAX: usize = 3;

/// One part of the host, and whether it is whole.
#[derive(Debug, Clone)]
pub(crate) struct Whole<T> {
    pub(crate) content: T,
    /// Why it is not; empty when it is.
    pub(crate) causes: Vec<String>,
    pub(crate) watermark: Watermark,
    /// Lines that hold an entry, counted apart from reading them.
    pub(crate) lines: u64,
}

impl<T> Whole<T> {
    /// Why it is not whole, in one text; none when it is.
    pub(crate) fn reason(&self) -> Option<String> {
        reason(&self.causes)
    }
}

/// Causes in one text: the first ones, and how many there are besides.
pub(crate) fn reason(causes: &[String]) -> Option<String> {
    let shown = causes.len().min(CAUSES_SHOWN_MAX);
    let mut text = causes[..shown].join("; ");
    if causes.len() > shown {
        text.push_str(&format!("; and {} more", causes.len() - shown));
    }
    (!causes.is_empty()).then_some(text)
}

/// A host at one moment.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) users: Whole<Vec<Account>>,
    /// None: may not be read, so nothing is known.
    pub(crate) shadow: Option<BTreeMap<String, Shadow>>,
    pub(crate) uid_min: u32,
    pub(crate) groups: Whole<Vec<Group>>,
    pub(crate) sudo: Whole<Vec<Right>>,
    /// Keys with the account that they open.
    pub(crate) keys: Whole<Vec<(String, Key)>>,
    /// What a person may want to know of this reading, in words.
    pub(crate) notes: Vec<String>,
}

/// Reads what the configuration includes.
pub(crate) fn read(config: &Config) -> Result<Host, Error> {
    let reading = Reading { root: Root::new(&config.root), started: Timestamp::now() };
    let passwd = reading.passwd()?;
    let mut notes = vec![];
    let users = reading.users(&passwd);
    notes.push(format!("{}: {} accounts", passwd.path.display(), users.content.len()));
    let shadow = reading.shadow(&mut notes);
    let uid_min = reading.root.read("/etc/login.defs", DEFS_BYTES_MAX).ok();
    let uid_min = uid_min.and_then(|file| passwd::parse_uid_min(&file.bytes));
    let part = |part| config.includes(part);
    let groups = if part(Part::Groups) { reading.groups(&mut notes) } else { reading.nothing() };
    let sudo = if part(Part::Sudo) { reading.sudo(&mut notes) } else { reading.nothing() };
    let keys = if part(Part::SshKeys) {
        reading.keys(&users.content, &passwd, &mut notes)
    } else {
        reading.nothing()
    };
    let parts = [
        ("users", users.reason()),
        ("groups", groups.reason()),
        ("sudo", sudo.reason()),
        ("authorized_keys", keys.reason()),
    ];
    let incomplete = parts.into_iter().filter_map(|(part, reason)| Some((part, reason?)));
    notes.extend(incomplete.map(|(part, reason)| format!("{part} would be incomplete: {reason}")));
    let uid_min = uid_min.unwrap_or(account_type::UID_MIN_DEFAULT);
    Ok(Host { users, shadow, uid_min, groups, sudo, keys, notes })
}

struct Reading {
    root: Root,
    started: Timestamp,
}

impl Reading {
    fn passwd(&self) -> Result<SourceFile, Error> {
        self.root.read("/etc/passwd", DATABASE_BYTES_MAX).map_err(|error| {
            let message = format!("no account can be read: {}", error.chain());
            if error.is_absent() {
                Error::bad_config("root", message)
            } else if error.is_denied() {
                Error::auth(message)
            } else {
                Error::unavailable(message)
            }
        })
    }

    fn users(&self, passwd: &SourceFile) -> Whole<Vec<Account>> {
        let Parsed { entries, faults } = passwd::parse(&passwd.bytes);
        let mut causes = in_file(&passwd.path, &faults);
        let names = entries.iter().map(|account| (account.name.as_str(), account.line));
        causes.extend(repeated(&passwd.path, names));
        let entries = first_of_each(entries, |account| account.name.clone());
        let watermark = self.watermark(&[passwd], None);
        let lines = content_lines(&passwd.bytes).count() as u64;
        Whole { content: entries, causes, watermark, lines }
    }

    /// The state of passwords, where that may be read; it is optional by nature.
    fn shadow(&self, notes: &mut Vec<String>) -> Option<BTreeMap<String, Shadow>> {
        match self.root.read("/etc/shadow", DATABASE_BYTES_MAX) {
            Ok(file) => Some(passwd::parse_shadow(&file.bytes)),
            Err(error) => {
                let unread = error.chain();
                notes.push(format!("the status of accounts is not reported: {unread}"));
                None
            }
        }
    }

    fn groups(&self, notes: &mut Vec<String>) -> Whole<Vec<Group>> {
        let file = match self.root.read("/etc/group", DATABASE_BYTES_MAX) {
            Ok(file) => file,
            Err(error) => return Whole { causes: vec![error.chain()], ..self.nothing() },
        };
        let Parsed { entries, faults } = group::parse(&file.bytes);
        let mut causes = in_file(&file.path, &faults);
        causes.extend(repeated(&file.path, entries.iter().map(|g| (g.name.as_str(), g.line))));
        let entries = first_of_each(entries, |group| group.name.clone());
        notes.push(format!("{}: {} groups", file.path.display(), entries.len()));
        let watermark = self.watermark(&[&file], None);
        let lines = content_lines(&file.bytes).count() as u64;
        Whole { content: entries, causes, watermark, lines }
    }

    fn sudo(&self, notes: &mut Vec<String>) -> Whole<Vec<Right>> {
        let mut sudoers = match sudoers::load(&self.root) {
            Ok(sudoers) => sudoers,
            // A sudo without rules does not work: what is not there was rather hidden or lost.
            Err(error) if error.is_absent() && !self.root.join(SUDO_PROGRAM).exists() => {
                notes.push(format!("no sudo here: {}", error.chain()));
                return self.nothing();
            }
            Err(error) => return Whole { causes: vec![error.chain()], ..self.nothing() },
        };
        let rights = sudoers::resolve(&mut sudoers);
        notes.push(format!("sudoers: {} rights in {} files", rights.len(), sudoers.files.len()));
        let causes = sudoers.faults.iter().map(ToString::to_string).collect();
        let files: Vec<&SourceFile> = sudoers.files.iter().collect();
        let watermark = self.watermark(&files, sudoers.folders_modified);
        Whole { content: rights, causes, watermark, lines: 0 }
    }

    fn keys(
        &self,
        accounts: &[Account],
        passwd: &SourceFile,
        notes: &mut Vec<String>,
    ) -> Whole<Vec<(String, Key)>> {
        let (mut keys, mut causes, mut files) = (vec![], vec![], vec![]);
        let mut folders_modified = None;
        let mut homeless = 0;
        for account in accounts.iter().filter(|account| account.home.starts_with('/')) {
            let mut own: Vec<Key> = vec![];
            for name in KEY_FILES {
                match self.root.read_in_home(&account.home, name, KEYS_BYTES_MAX) {
                    Ok(file) => {
                        let parsed = authorized_keys::parse(&file.bytes);
                        causes.extend(in_file(&file.path, &parsed.faults));
                        own.extend(parsed.entries);
                        files.push(file);
                    }
                    Err(error) if error.is_absent() => {}
                    Err(error) => causes.push(error.chain()),
                }
            }
            let home = self.root.join(&account.home);
            homeless += usize::from(!home.exists());
            let time = home.join(".ssh").metadata().ok().map(|metadata| modified(&metadata));
            folders_modified = folders_modified.max(time);
            let own = first_of_each(own, |key| key.fingerprint.clone());
            keys.extend(own.into_iter().map(|key| (account.name.clone(), key)));
        }
        // Two accounts with one home have the same file, and may not be read twice as a cause.
        causes.dedup();
        let (keys_found, files_read) = (keys.len(), files.len());
        notes.push(format!(
            "{keys_found} keys in {files_read} files of homes; {homeless} accounts have no home here"
        ));
        let files: Vec<&SourceFile> = std::iter::once(passwd).chain(&files).collect();
        let watermark = self.watermark(&files, folders_modified);
        Whole { content: keys, causes, watermark, lines: 0 }
    }

    fn nothing<T>(&self) -> Whole<Vec<T>> {
        let watermark = self.watermark(&[], None);
        Whole { content: vec![], causes: vec![], watermark, lines: 0 }
    }

    /// How current the files are.
    ///
    /// The host lives by its own files: they are current when they are read, however long ago they
    /// were written. A copy is as current as the newest thing in it.
    fn watermark(&self, files: &[&SourceFile], folders: Option<Timestamp>) -> Watermark {
        let newest = files.iter().map(|file| file.modified).chain(folders).max();
        let time = if self.root.is_live() { Some(self.started) } else { newest };
        let mut digest = Sha256::new();
        for file in files {
            digest.update((file.bytes.len() as u64).to_be_bytes());
            digest.update(&file.bytes);
        }
        let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Watermark { time, token: (!files.is_empty()).then(|| format!("sha256:{hex}")) }
    }
}

fn in_file(path: &Path, faults: &[lines::Fault]) -> Vec<String> {
    faults.iter().map(|fault| format!("{} {fault}", path.display())).collect()
}

/// Names that stand in a file twice. The C library takes the first line and hides the others, which
/// may be what somebody wants to hide.
fn repeated<'a>(path: &Path, names: impl Iterator<Item = (&'a str, usize)>) -> Vec<String> {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    let mut causes = vec![];
    for (name, line) in names {
        if let Some(first) = first.get(name) {
            let path = path.display();
            causes.push(format!("{path} line {line}: {name} stands in line {first} already"));
        } else {
            first.insert(name, line);
        }
    }
    causes
}

fn first_of_each<T, K: Ord>(entries: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = std::collections::BTreeSet::new();
    entries.into_iter().filter(|entry| seen.insert(key(entry))).collect()
}
