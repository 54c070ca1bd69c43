//! What an author gets: a connector that is made, built, run and proven, in Rust and in Python.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cordon_testkit::{capability, peer, programs};
use serde_json::Value;

use crate::conformance::{self, folder};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Runs `cordon connector` in that folder.
fn cordon(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(programs::path("cordon"))
        .arg("connector")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// One sync of a program, and what it left; the exit code first.
fn run_once(folder: &Path, program: &Path, more: &[&str]) -> (i32, Value, String) {
    let program = program.display().to_string();
    let arguments: Vec<&str> =
        ["run", &program, "-o", "json"].into_iter().chain(more.iter().copied()).collect();
    let output = cordon(folder, &arguments);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap_or(-1), document["items"][0].clone(), told)
}

fn settings_of_example(folder: &Path) -> String {
    let fixtures = repository().join("connectors/connector-example/fixtures").display().to_string();
    let settings = format!(
        "config = {{ path = \"{fixtures}/teams.json\" }}\nallow = {{ read = [\"{fixtures}\"] }}"
    );
    std::fs::write(folder.join("dev.toml"), settings).unwrap();
    "dev.toml".to_owned()
}

#[test]
fn a_run_is_one_sync_behind_real_walls_and_leaves_its_snapshot() {
    let folder = folder();
    let settings = settings_of_example(folder.path());
    let program = programs::path("connector-example");
    let more = ["--config", &settings, "--state", "state"];
    let (code, run, told) = run_once(folder.path(), &program, &more);
    assert_eq!((code, run["run"]["outcome"].as_str()), (0, Some("committed")), "{told} {run}");
    // The fixture's three people, two teams with two roles each, and four roles that are held.
    assert_eq!(run["run"]["records"], 13);
    let of = |name: &str| {
        let files = run["files"].as_array().unwrap();
        let file = files.iter().find(|file| file["records"] == name);
        let file = file.unwrap_or_else(|| panic!("no {name}: {run}"));
        let path = file["path"].as_str().unwrap().to_owned();
        assert_eq!(std::fs::read(&path).unwrap()[..4], *b"PAR1", "{path}");
        file["rows"].as_u64().unwrap()
    };
    assert_eq!(["resource.user", "resource.group", "grant.user"].map(of), [3, 2, 4]);
    if is_root() {
        assert_eq!(run["profile"], "service");
        let isolation = run["isolation"].as_array().unwrap();
        for step in ["view", "network_namespace", "seccomp"] {
            let item = isolation.iter().find(|item| item["name"] == step);
            assert_eq!(item.unwrap()["state"], "applied", "{step}");
        }
    } else {
        capability::skipped("root");
    }
    // With the same state, the next sync is judged against this one.
    let (code, again, told) = run_once(folder.path(), &program, &more);
    assert_eq!((code, &again["run"]["sync"]), (0, &2.into()), "{told}");
    assert_eq!(again["run"]["changes"]["added"], 0);
}

fn is_root() -> bool {
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    own.lines().any(|line| line.starts_with("Uid:\t0\t0"))
}

#[test]
fn a_run_shows_what_walls_do_to_a_connector_and_that_they_can_be_left_off() {
    let folder = folder();
    let fixtures = repository().join("connectors/connector-example/fixtures");
    // The file is not allowed, so it is not there.
    let settings = format!("config = {{ path = \"{}/teams.json\" }}", fixtures.display());
    std::fs::write(folder.path().join("dev.toml"), settings).unwrap();
    let program = programs::path("connector-example");
    let (code, run, told) = run_once(folder.path(), &program, &["--config", "dev.toml"]);
    assert_eq!((code, run["run"]["outcome"].as_str()), (1, Some("failed")), "{told} {run}");
    assert!(run["run"]["error"].as_str().unwrap().contains("cannot read"), "{run}");
    let open = ["--config", "dev.toml", "--no-sandbox"];
    let (code, run, told) = run_once(folder.path(), &program, &open);
    assert_eq!((code, run["run"]["outcome"].as_str()), (0, Some("committed")), "{told}");
    assert_eq!(run["profile"], "dev");
}

#[test]
fn a_run_of_nothing_or_with_bad_settings_says_so_and_exits_as_documented() {
    let folder = folder();
    let program = programs::path("connector-example");
    assert_eq!(run_once(folder.path(), Path::new("no-such-program"), &[]).0, 4);
    for (settings, word) in [
        ("config = {", "dev.toml"),
        ("use = \"csv\"", "`use`"),
        ("colour = \"red\"", "colour"),
        ("[test.truncate]\npath = \"/x\"", "test.truncate"),
    ] {
        std::fs::write(folder.path().join("dev.toml"), settings).unwrap();
        let (code, _, told) = run_once(folder.path(), &program, &["--config", "dev.toml"]);
        assert_eq!(code, 2, "{settings}: {told}");
        assert!(told.contains(word), "{settings}: {told}");
    }
}

/// A workspace that is this one, but for its connectors: sources are linked to, builds are shared. It
/// lies where it lay before, so that what was built of it is used again.
fn workspace() -> PathBuf {
    let (folder, root) = (peer::folder().join("author"), repository());
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["Cargo.toml", "Cargo.lock"] {
        std::fs::copy(root.join(file), folder.join(file)).unwrap();
    }
    for part in ["crates", "docs", "proto", "supervisor", "tests"] {
        std::os::unix::fs::symlink(root.join(part), folder.join(part)).unwrap();
    }
    folder
}

/// Runs cargo in that workspace without a network; gives what it said.
fn cargo(workspace: &Path, target: &Path, arguments: &[&str]) -> String {
    let output = Command::new("cargo")
        .args(arguments)
        .args(["--offline", "--package", "connector-ware-house"])
        .current_dir(workspace)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{told}");
    assert!(!told.contains("warning"), "{told}");
    said
}

#[test]
fn a_new_connector_compiles_passes_its_tests_and_the_suite() {
    let root = workspace();
    let made = cordon(&root, &["new", "ware-house", "-o", "json"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(made["items"][0]["in_workspace"], true);
    let folder = root.join("connectors/connector-ware-house");
    assert!(folder.join("README.md").is_file());

    let target = peer::folder();
    let target = target.parent().unwrap();
    // The suite's cases and two tests of its own.
    let said = cargo(&root, target, &["test"]);
    assert!(said.contains("17 passed"), "{said}");
    cargo(&root, target, &["build"]);
    let program = target.join("debug/connector-ware-house");
    let settings = std::fs::read_to_string(folder.join("dev.toml")).unwrap();
    let report = conformance::suite(&program, &folder, &settings, &[]);
    assert_eq!(report.with("failed"), [""; 0], "{}", report.document);
    for case in
        ["a_truncated_source_is_incomplete", "a_paging_loop_ends", "it_runs_behind_its_walls"]
    {
        assert!(report.with("passed").contains(&case), "{case}: {}", report.why(case));
    }
}

#[test]
fn a_new_connector_never_touches_what_is_there() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("connector-acme")).unwrap();
    assert_eq!(cordon(folder.path(), &["new", "acme"]).status.code(), Some(1));
    assert_eq!(std::fs::read_dir(folder.path().join("connector-acme")).unwrap().count(), 0);
    assert_eq!(cordon(folder.path(), &["new", "../acme"]).status.code(), Some(2));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_connector_in_python_conforms_behind_the_walls() {
    let Some(python) = peer::python() else {
        capability::skipped("python packages");
        return;
    };
    let folder = folder();
    let example = folder.path().join("python");
    let mut copy = Command::new("cp");
    let copied = copy.arg("-r").arg(repository().join("examples/python")).arg(&example).status();
    assert!(copied.unwrap().success());
    let built = Command::new("sh")
        .arg("build.sh")
        .current_dir(&example)
        .env("PYTHON", &python)
        .env("PROTO", repository().join("proto"))
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    // Where its Python is at home, which is not the system's everywhere.
    let home = Command::new(&python).args(["-c", "import sys; print(sys.base_prefix)"]).output();
    let home = String::from_utf8(home.unwrap().stdout).unwrap();
    let packages = peer::folder().join("python").display().to_string();
    let settings = std::fs::read_to_string(example.join("dev.toml")).unwrap();
    let settings = settings.replace("{dir}/.venv", &format!("{packages}\", \"{}", home.trim()));
    let program = example.join("build/connector-people");
    let report = conformance::suite(&program, &example, &settings, &[]);
    assert_eq!(report.with("failed"), [""; 0], "{}", report.document);
    assert_eq!(report.code, 0);
    for case in [
        "every_scope_is_closed_and_counted",
        "a_cancelled_sync_ends_at_once",
        "a_truncated_source_is_incomplete",
        "a_paging_loop_ends",
        "it_bears_pings",
        "it_ends_when_asked",
        "it_runs_behind_its_walls",
    ] {
        assert!(report.with("passed").contains(&case), "{case}: {}", report.why(case));
    }
}
