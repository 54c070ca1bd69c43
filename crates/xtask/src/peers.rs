//! Servers and libraries of other projects that tests run against.
//!
//! A connector is tested on the real server that it reads, since a mock knows only what its author
//! knew. What is missing is installed where that may be done without asking: Debian's packages as
//! root, Python's into a folder of their own beside the build. Elsewhere this says what to type, and
//! the tests that need it say that they were skipped. No service is started: each test starts its own
//! server on a private port.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::run::{self, say, warn};
use crate::workspace::Workspace;

/// A package of Debian, and a program or file by which it is known to be there.
const DEBIAN: [(&str, &str); 6] = [
    ("ldap-utils", "ldapmodify"),
    ("ldb-tools", "ldbadd"),
    ("postgresql", "postgres"),
    ("samba-ad-dc", "samba"),
    ("samba-ad-provision", "/usr/share/samba/setup/provision.ldif"),
    ("slapd", "slapd"),
];

/// Packages of Python, and a module of each.
const PYTHON: [(&str, &str); 2] =
    [("grpcio-tools", "grpc_tools"), ("scim2-server[cursor]", "scim2_server.cursor")];

/// Folders beside those of PATH that hold servers.
const SERVER_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];
const POSTGRES: &str = "/usr/lib/postgresql";

/// Installs what is missing, or says how. That something cannot be had fails nothing here.
pub(crate) fn install(workspace: &Workspace) -> anyhow::Result<()> {
    debian();
    python(&workspace.metadata(false)?.target_directory.join("peers/python"));
    Ok(())
}

fn debian() {
    let missing: Vec<&str> = DEBIAN
        .iter()
        .filter(|(_, program)| !is_here(program))
        .map(|(package, _)| *package)
        .collect();
    if missing.is_empty() {
        return;
    }
    let packages = missing.join(" ");
    if !rustix::process::geteuid().is_root() || !run::is_on_path("apt-get") {
        warn(&format!(
            "tests of some connectors will be skipped; to run them: apt-get install {packages}"
        ));
        return;
    }
    say(&format!("installing {packages}"));
    let apt = |args: &[&str]| {
        let mut apt = Command::new("apt-get");
        // In run level 1 a package starts no service of its own.
        apt.args(args).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
        apt.stdin(Stdio::null()).stdout(Stdio::null());
        run::run(&mut apt)
    };
    let mut install = vec!["install", "--yes", "--no-install-recommends", "--quiet"];
    install.extend(&missing);
    // The lists may be old or absent: a package that is not found is asked for again with new ones.
    let done = apt(&install).or_else(|_| apt(&["update", "--quiet"]).and_then(|()| apt(&install)));
    if let Err(error) = done {
        warn(&format!("tests of some connectors will be skipped: {error:#}"));
    }
}

fn python(folder: &Path) {
    let python = folder.join("bin/python3");
    let missing: Vec<&str> = PYTHON
        .iter()
        .filter(|(_, module)| !python_has(&python, module))
        .map(|(package, _)| *package)
        .collect();
    if missing.is_empty() {
        return;
    }
    let packages = missing.join(" ");
    say(&format!("installing {packages} into {}", folder.display()));
    let made = if python.is_file() {
        Ok(())
    } else {
        run::run(Command::new("python3").args(["-m", "venv"]).arg(folder))
    };
    let pip = || {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(&missing);
        run::run(&mut pip)
    };
    if let Err(error) = made.and_then(|()| pip()) {
        warn(&format!("tests that need {packages} will be skipped: {error:#}"));
    }
}

fn python_has(python: &Path, module: &str) -> bool {
    let mut import = Command::new(python);
    import.args(["-c", &format!("import {module}")]).stdout(Stdio::null()).stderr(Stdio::null());
    import.status().is_ok_and(|status| status.success())
}

/// Whether a program is where `cordon_testkit::peer` will look for it, or a file is there.
fn is_here(program: &str) -> bool {
    let versions = std::fs::read_dir(POSTGRES).into_iter().flatten().flatten();
    let postgres = versions.map(|version| version.path().join("bin"));
    let folders = SERVER_FOLDERS.iter().map(PathBuf::from).chain(postgres);
    run::is_on_path(program) || folders.into_iter().any(|folder| folder.join(program).is_file())
}
