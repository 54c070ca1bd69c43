//! A domain controller of Samba with users and groups, on a loopback address of its own.
//!
//! To make a domain takes ten seconds and to fill it a minute, so that is done once for each content
//! and copied for each test. Its services are LDAP alone: no file server, no name server, no ports but
//! those four that its LDAP has, on an address that no other test has.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::slapd::{put, run, tool};
use crate::peer::{self, Peer};

/// Where everything is.
const BASE: &str = "DC=corp,DC=example";
/// The account that reads: a user of the domain, in no group but that of all.
const READER: &str = "cordon";
/// The passwords of the domain's administrator and of the reader.
const PASSWORD: &str = "Passw0rd.Passw0rd";
/// What is needed.
const PROGRAMS: [&str; 4] = ["samba", "samba-tool", "ldbadd", "ldbmodify"];
/// Changes with what is prepared, so that nothing old is copied.
const EDITION: u32 = 2;
const DEPARTMENTS: usize = 8;

/// What is in the domain beside what every domain has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SambaSeed {
    /// Users; every 50th is disabled, every 100th stands for a service.
    pub users: usize,
    /// Groups. The first has `first` members, every 10th has the one before it as a member.
    pub groups: usize,
    /// Members of each group.
    pub members: usize,
    /// Members of the first group.
    pub first: usize,
}

impl SambaSeed {
    /// 5,000 users, 500 groups, more than 20,000 memberships, 1,600 of them in one group.
    pub fn large() -> Self {
        Self { users: 5_000, groups: 500, members: 37, first: 1_600 }
    }

    /// The name by which a user logs in.
    pub fn login(user: usize) -> String {
        format!("u{user}")
    }

    /// Whether a user is disabled.
    pub fn is_disabled(user: usize) -> bool {
        user.is_multiple_of(50)
    }

    /// Whether a user stands for a service.
    pub fn is_service(user: usize) -> bool {
        user % 100 == 99
    }

    /// The users of a group.
    pub fn members_of(&self, group: usize) -> BTreeSet<usize> {
        if group == 0 {
            return (0..self.first).collect();
        }
        (0..self.members).map(|member| (group * 37 + member * 11) % self.users).collect()
    }

    /// The group that is a member of a group.
    pub fn nested_in(group: usize) -> Option<usize> {
        (group % 10 == 9).then(|| group - 1)
    }

    /// Memberships of all groups.
    pub fn memberships(&self) -> usize {
        let nested = (0..self.groups).filter_map(Self::nested_in).count();
        (0..self.groups).map(|group| self.members_of(group).len()).sum::<usize>() + nested
    }

    /// The name of a user's entry.
    pub fn user_dn(user: usize) -> String {
        format!("CN=User {user},OU=dept{},{BASE}", user % DEPARTMENTS)
    }

    fn ldif(&self) -> String {
        let mut text = String::new();
        let units = (0..DEPARTMENTS).map(|number| format!("dept{number}"));
        for unit in units.chain(["groups".to_owned()]) {
            let _ = write!(text, "dn: OU={unit},{BASE}\nobjectClass: organizationalUnit\n\n");
        }
        for user in 0..self.users {
            let control = if Self::is_disabled(user) { 514 } else { 512 };
            let _ = write!(
                text,
                "dn: {}\nobjectClass: user\nsAMAccountName: u{user}\ngivenName: Given{user}\n\
                 sn: Family{user}\ndisplayName: User {user}\nmail: u{user}@corp.example\n\
                 employeeID: {user}\nuserAccountControl: {control}\n",
                Self::user_dn(user)
            );
            if Self::is_service(user) {
                let _ = writeln!(text, "servicePrincipalName: HTTP/web{user}.corp.example");
            }
            text.push('\n');
        }
        let managed = "dn: CN=gmsa,OU=dept0,DC=corp,DC=example\n\
                       objectClass: msDS-GroupManagedServiceAccount\nsAMAccountName: gmsa$\n\
                       msDS-ManagedPasswordInterval: 30\n\n";
        text.push_str(managed);
        for group in 0..self.groups {
            let _ = write!(
                text,
                "dn: CN=g{group},OU=groups,{BASE}\nobjectClass: group\nsAMAccountName: g{group}\n"
            );
            for user in self.members_of(group) {
                let _ = writeln!(text, "member: {}", Self::user_dn(user));
            }
            if let Some(nested) = Self::nested_in(group) {
                let _ = writeln!(text, "member: CN=g{nested},OU=groups,{BASE}");
            }
            text.push('\n');
        }
        text
    }
}

/// A domain controller that runs.
pub struct Samba {
    folder: TempDir,
    address: Ipv4Addr,
    peer: Option<Peer>,
}

impl Samba {
    /// Starts a domain controller with that content; none, and said to be skipped, where there is no
    /// Samba or this is not root, which its ports need.
    ///
    /// # Panics
    /// When it cannot be made or does not start.
    pub fn start(seed: &SambaSeed) -> Option<Self> {
        let is_here = PROGRAMS.iter().all(|name| peer::program(name).is_some());
        if !is_here || !rustix::process::geteuid().is_root() {
            crate::capability::skipped("samba");
            return None;
        }
        let prepared = prepared(seed);
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder: {error}"));
        run(Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .arg(prepared.join("."))
            .arg(folder.path()));
        let mut samba = Self { folder, address: own_address(), peer: None };
        samba.configure(&prepared);
        samba.run();
        Some(samba)
    }

    /// Where it is.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The reader's name and password.
    pub fn reader() -> (&'static str, &'static str) {
        ("cordon@corp.example", PASSWORD)
    }

    /// Where everything is.
    pub fn base() -> &'static str {
        BASE
    }

    /// Changes entries while the server stands still, and starts it again.
    ///
    /// # Panics
    /// When they cannot be changed.
    pub fn modify(&mut self, ldif: &str) {
        self.peer = None;
        let file = self.folder.path().join("change.ldif");
        put(&file, ldif);
        run(ldb("ldbmodify", self.folder.path()).arg(&file));
        self.run();
    }

    /// The prepared files speak of the folder in which they were made.
    fn configure(&self, prepared: &Path) {
        let path = configuration(self.folder.path());
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("no smb.conf: {error}"));
        let text = text.replace(&shown(prepared), &shown(self.folder.path()));
        put(&path, &text.replace("127.0.0.53", &self.address.to_string()));
    }

    fn run(&mut self) {
        let mut server = tool("samba");
        server.args(["-F", "-M", "single", "--no-process-group", "--debug-stdout", "-s"]);
        server.arg(configuration(self.folder.path()));
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder: {error}"));
        let address = self.address;
        let ready = move || TcpStream::connect((address, 636)).is_ok();
        self.peer = Some(Peer::start(folder, &mut server, ready));
    }
}

/// A loopback address that only this process uses.
fn own_address() -> Ipv4Addr {
    let id = std::process::id();
    Ipv4Addr::new(127, 64 + (id >> 16) as u8 % 64, (id >> 8) as u8, (id as u8).clamp(1, 254))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn configuration(folder: &Path) -> PathBuf {
    folder.join("etc/smb.conf")
}

fn ldb(name: &str, folder: &Path) -> Command {
    let mut command = tool(name);
    command.arg(format!("--configfile={}", shown(&configuration(folder)))).args(["--nosync", "-H"]);
    command.arg(folder.join("private/sam.ldb"));
    command
}

/// The folder of a domain with that content, made by whoever comes first.
fn prepared(seed: &SambaSeed) -> PathBuf {
    let SambaSeed { users, groups, members, first } = seed;
    let name = format!("samba-{EDITION}-{users}-{groups}-{members}-{first}");
    let folder = peer::folder();
    let made = fs::create_dir_all(&folder)
        .and_then(|()| File::create(folder.join(format!("{name}.lock"))));
    let lock = made.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    lock.lock().unwrap_or_else(|error| panic!("cannot wait for a domain: {error}"));
    let (done, part) = (folder.join(&name), folder.join(format!("{name}.part")));
    if !done.is_dir() {
        let _ = fs::remove_dir_all(&part);
        make(&part, seed);
        fs::rename(&part, &done).unwrap_or_else(|error| panic!("{}: {error}", done.display()));
        let text = fs::read_to_string(configuration(&done)).unwrap_or_default();
        put(&configuration(&done), &text.replace(&shown(&part), &shown(&done)));
    }
    done
}

fn make(folder: &Path, seed: &SambaSeed) {
    fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    run(tool("samba-tool")
        .args(["domain", "provision", "--use-rfc2307", "--server-role=dc"])
        .args([
            &format!("--targetdir={}", shown(folder)),
            "--realm=CORP.EXAMPLE",
            "--domain=CORP",
            "--dns-backend=NONE",
            "--host-name=dc1",
            "--host-ip=127.0.0.53",
            &format!("--adminpass={PASSWORD}"),
            "--option=interfaces=127.0.0.53/8",
            "--option=bind interfaces only=yes",
        ]));
    let path = configuration(folder);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("no smb.conf: {error}"));
    let mut lines: Vec<String> = vec![];
    for line in text.lines() {
        let key = line.split('=').next().unwrap_or_default().trim();
        let own = |name: &str| format!("\t{key} = {}", shown(&folder.join(name)));
        lines.push(match key {
            "server services" => "\tserver services = ldap".to_owned(),
            "interfaces" => "\tinterfaces = 127.0.0.53/8".to_owned(),
            "log file" => own("log"),
            "[global]" => {
                let run = shown(folder);
                format!("{line}\n\tpid directory = {run}\n\tncalrpc dir = {run}/ncalrpc")
            }
            _ => line.to_owned(),
        });
    }
    put(&path, &lines.join("\n"));
    let ldif = folder.join("seed.ldif");
    put(&ldif, &seed.ldif());
    run(ldb("ldbadd", folder).arg(&ldif));
    let database = shown(&folder.join("private/sam.ldb"));
    let own = format!("--configfile={}", shown(&path));
    run(tool("samba-tool").args(["user", "create", READER, PASSWORD, "-H", &database, &own]));
}
