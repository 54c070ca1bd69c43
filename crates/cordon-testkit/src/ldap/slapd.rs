//! OpenLDAP's server with a seed, on a private port.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::seed::{BASE, READER, Seed};
use crate::peer::{self, Peer};

/// What the reader may see, and how much.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Rules of access that come before the one which lets the reader read everything.
    pub rules: Vec<String>,
    /// Limits of the reader, as slapd.conf writes them; without any it has none.
    pub limits: Option<String>,
    /// Lines of the whole server, such as those of TLS.
    pub lines: Vec<String>,
}

impl Access {
    /// The reader sees everything but what a rule takes.
    pub fn without(rule: &str) -> Self {
        Self { rules: vec![rule.to_owned()], ..Self::default() }
    }
}

/// A server that runs.
pub struct Slapd {
    folder: TempDir,
    port: u16,
    tls_port: u16,
    peer: Option<Peer>,
}

impl Slapd {
    /// Starts a server with that content; none, and said to be skipped, where there is no slapd.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(seed: &Seed, access: &Access) -> Option<Self> {
        if peer::program("slapd").is_none() {
            crate::capability::skipped("slapd");
            return None;
        }
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder: {error}"));
        let (port, tls_port) = (peer::free_port(), peer::free_port());
        let mut slapd = Self { folder, port, tls_port, peer: None };
        slapd.configure(access);
        slapd.load(seed);
        slapd.run();
        Some(slapd)
    }

    /// The server's address.
    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// The server's address where TLS begins at once.
    pub fn tls_url(&self) -> String {
        format!("ldaps://127.0.0.1:{}", self.tls_port)
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Holds other content from now on.
    pub fn reload(&mut self, seed: &Seed) {
        self.peer = None;
        self.load(seed);
        self.run();
    }

    /// Lets the reader see something else from now on.
    pub fn allow(&mut self, access: &Access) {
        self.peer = None;
        self.configure(access);
        self.run();
    }

    /// Sends the server a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(peer) = &self.peer {
            peer.signal(signal);
        }
    }

    /// A handle by which the server can be killed from elsewhere.
    pub fn pid(&self) -> u32 {
        self.peer.as_ref().map_or(0, Peer::pid)
    }

    /// Changes entries of the running server, as its administrator.
    ///
    /// # Panics
    /// When they cannot be changed.
    pub fn modify(&self, ldif: &str) {
        self.change(ldif)();
    }

    /// The same, to be done by somebody else at another time.
    pub fn change(&self, ldif: &str) -> impl Fn() + Send + Sync + 'static {
        let (file, url) = (self.path("change.ldif"), self.url());
        put(&file, ldif);
        move || change(&url, &file)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, access: &Access) {
        let mut text = String::new();
        for schema in ["core", "cosine", "inetorgperson", "nis"] {
            let _ = writeln!(text, "include /etc/ldap/schema/{schema}.schema");
        }
        text.push_str("modulepath /usr/lib/ldap\n");
        for module in ["back_mdb", "ppolicy", "syncprov"] {
            let _ = writeln!(text, "moduleload {module}");
        }
        for line in &access.lines {
            let _ = writeln!(text, "{line}");
        }
        let limits = access.limits.as_deref().unwrap_or("size=unlimited size.prtotal=unlimited");
        let data = self.path("data");
        let _ = write!(
            text,
            "pidfile {pid}\ndatabase mdb\nsuffix {BASE}\nrootdn cn=admin,{BASE}\nrootpw admin\n\
             directory {data}\nmaxsize 536870912\ndbnosync\nindex objectClass,entryUUID,uid eq\n\
             index member,uniqueMember,memberUid eq\noverlay syncprov\noverlay ppolicy\n\
             limits dn.exact={READER} {limits}\n",
            pid = self.path("slapd.pid").display(),
            data = data.display(),
        );
        for rule in &access.rules {
            let _ = writeln!(text, "access to {rule}");
        }
        let _ = writeln!(text, "access to * by dn.exact={READER} read by anonymous auth");
        put(&self.path("slapd.conf"), &text);
    }

    fn load(&self, seed: &Seed) {
        let data = self.path("data");
        let _ = fs::remove_dir_all(&data);
        fs::create_dir(&data).unwrap_or_else(|error| panic!("no folder for data: {error}"));
        let ldif = self.path("seed.ldif");
        put(&ldif, &seed.ldif());
        // `-w` writes how current the content is, as a server that provides copies has it.
        run(tool("slapadd")
            .args(["-q", "-w", "-f"])
            .arg(self.path("slapd.conf"))
            .arg("-l")
            .arg(&ldif));
    }

    fn run(&mut self) {
        let mut server = tool("slapd");
        let urls = format!("{} {}", self.url(), self.tls_url());
        server.args(["-d", "0", "-h", &urls, "-f"]).arg(self.path("slapd.conf"));
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder: {error}"));
        let port = self.port;
        let ready = move || TcpStream::connect(("127.0.0.1", port)).is_ok();
        self.peer = Some(Peer::start(folder, &mut server, ready));
    }
}

fn change(url: &str, file: &Path) {
    let mut modify = tool("ldapmodify");
    modify.args(["-x", "-H", url, "-D", &format!("cn=admin,{BASE}"), "-w", "admin", "-f"]);
    run(modify.arg(file));
}

pub(super) fn tool(name: &str) -> Command {
    Command::new(peer::program(name).unwrap_or_else(|| panic!("{name} is not installed")))
}

pub(super) fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

pub(super) fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
