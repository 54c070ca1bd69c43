//! Which references have a value, and what is said of those that have none.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use serde_json::json;

use super::*;

fn write(path: &Path, content: &str, mode: u32) -> String {
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    format!("file:{}", path.display())
}

/// The value, or why there is none.
fn check(reference: &str) -> String {
    match resolve(reference) {
        Ok(value) => format!("={}", value.expose_secret()),
        Err(error) => crate::session::chain(&error),
    }
}

/// Makes a script; gives what a reference to it resolves to within that time.
fn check_program(script: &str, args: &[&str], deadline: Duration) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keeper");
    write(&path, &format!("#!/bin/sh\n{script}\n"), 0o700);
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    match program::run(&path, &args, deadline) {
        Ok(value) => format!("={}", value.expose_secret()),
        Err(error) => crate::session::chain(&error).replace(&path.display().to_string(), "keeper"),
    }
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_secret_file_that_others_may_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    for mode in [0o644, 0o641, 0o660, 0o622, 0o604] {
        let reference = write(&path, "hush\n", mode);
        assert!(matches!(resolve(&reference), Err(SecretError::TooOpen { .. })), "{mode:o}");
    }
    for mode in [0o640, 0o600, 0o400] {
        assert_eq!(check(&write(&path, "hush\n", mode)), "=hush");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_secret_file_of_somebody_else_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let reference = write(&dir.path().join("key"), "hush", 0o600);
    nix::unistd::chown(&dir.path().join("key"), Some(12_345.into()), None).unwrap();
    assert!(check(&reference).contains("belongs to user id 12345"), "{}", check(&reference));
}

#[test]
fn a_link_a_folder_and_a_pipe_are_no_secret_files() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("key"), "hush", 0o600);
    std::os::unix::fs::symlink(dir.path().join("key"), dir.path().join("link")).unwrap();
    nix::unistd::mkfifo(&dir.path().join("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let at = |name: &str| check(&format!("file:{}", dir.path().join(name).display()));
    assert!(at("link").contains("is a symbolic link"), "{}", at("link"));
    assert!(at("pipe").contains("is no regular file"), "{}", at("pipe"));
    assert!(at(".").contains("is a folder"), "{}", at("."));
    assert!(at("none").contains("No such file"), "{}", at("none"));
}

#[test]
fn an_empty_or_endless_or_binary_secret_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    assert!(check(&write(&path, "\n", 0o600)).contains("an empty value"));
    assert!(check(&write(&path, &"x".repeat(65_537), 0o600)).contains("more than 65536 bytes"));
    std::fs::write(&path, b"\xff\xfe").unwrap();
    assert!(check(&format!("file:{}", path.display())).contains("no UTF-8"));
}

#[test]
fn a_credential_cannot_leave_its_directory() {
    for name in ["../shadow", "a/b", "..", "."] {
        let refused = resolve(&format!("cred:{name}"));
        assert!(matches!(refused, Err(SecretError::BadName(_))), "{name}");
    }
}

#[test]
fn a_literal_is_not_a_reference() {
    for text in
        ["hunter2", "file:relative", "exec:relative", "cred:", "env:A=B", "exec:/", "vault:x"]
    {
        let wanted = text == "exec:/";
        assert_eq!(check_reference(text).is_ok(), wanted, "{text}");
    }
    let config = json!({"path": "file: a note", "list": ["x", 1]});
    assert_eq!(named(&config), []);
}

#[test]
fn a_reference_that_cannot_be_read_is_refused_with_its_place() {
    let config = json!({"server": {"logins": [{"password": "cred:../shadow"}]}});
    let error = crate::session::chain(&check_all(&config).unwrap_err());
    assert!(error.starts_with("config.server.logins[0].password"), "{error}");
}

#[tokio::test]
async fn every_reference_becomes_its_value_and_the_rest_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let reference = write(&dir.path().join("key"), "pass \"word\"\n\n", 0o600);
    let config = json!({"a": reference, "b": [1, null, {"c": reference}], "d": "plain \u{1}"});
    let resolved = resolve_all(&config).await.unwrap();
    let text: serde_json::Value =
        serde_json::from_str(resolved.configuration.expose_secret()).unwrap();
    let secret = "pass \"word\"";
    assert_eq!(text, json!({"a": secret, "b": [1, null, {"c": secret}], "d": "plain \u{1}"}));
}

#[tokio::test]
async fn an_error_names_the_field_and_the_reference_and_no_argument() {
    let config = json!({"token": "exec:/nonexistent/op read hunter2"});
    let error = resolve_all(&config).await.map(drop).unwrap_err();
    let error = crate::session::chain(&error);
    assert!(error.contains("config.token (exec:/nonexistent/op)"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn another_value_has_another_fingerprint_and_the_same_has_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let config = json!({"password": write(&path, "one", 0o600)});
    let held = Held::default();
    let first = resolve_all(&config).await.unwrap();
    assert!(!held.differs(first.fingerprint), "nothing was given yet");
    held.given(&first);
    assert!(!held.differs(resolve_all(&config).await.unwrap().fingerprint));
    write(&path, "two", 0o600);
    assert!(held.differs(resolve_all(&config).await.unwrap().fingerprint));
    assert_eq!(format!("{:?}", first.fingerprint), "Fingerprint(***)");
}

#[test]
fn a_program_gives_its_secret_without_shell_and_environment() {
    assert_eq!(check_program("echo \"$1-$2\"", &["a;id", "$HOME"], LONG), "=a;id-$HOME");
    let seen = check_program("env | cut -d= -f1 | sort | tr '\\n' ' '", &[], LONG);
    for name in seen[1..].split_whitespace() {
        let known = ["HOME", "LANG", "PATH", "PWD", "SHLVL", "_", "OLDPWD"];
        assert!(known.contains(&name), "{name} in {seen}");
    }
}

#[test]
fn a_program_that_fails_is_told_by_its_complaint_and_without_the_secret() {
    let failed =
        check_program("echo hunter2; echo \"no: hunter2\u{1b}[2J\" >&2; exit 3", &[], LONG);
    assert_eq!(failed, "keeper ended with exit status: 3: no: ***\\u{1b}[2J");
    let long = check_program("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1", &[], LONG);
    assert!(long.len() < 400, "{}", long.len());
}

#[test]
fn a_program_that_talks_without_end_is_cut_and_killed() {
    let begun = Instant::now();
    assert!(check_program("exec yes", &[], LONG).contains("more than 65536 bytes"));
    assert!(begun.elapsed() < LONG, "nobody waited for its end");
}

#[test]
fn a_program_that_does_not_end_is_killed_with_its_children() {
    // The children hold its output open and outlive it, unless they are ended with it.
    let mark = "86399.25";
    let script = format!("sleep {mark} & sleep {mark} & echo hush; sleep {mark}");
    let slow = check_program(&script, &[], Duration::from_millis(300));
    assert!(slow.contains("did not end within 0 s and was killed"), "{slow}");
    let script = format!("sleep {mark} & echo hush");
    assert_eq!(check_program(&script, &[], LONG), "=hush");
    let running = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.map(|entry| std::fs::read(entry.path().join("cmdline")));
        lines
            .filter(|line| {
                line.as_ref().is_ok_and(|line| String::from_utf8_lossy(line).contains(mark))
            })
            .count()
    };
    // They are killed with the group, and the kernel takes a moment.
    let begun = Instant::now();
    while running() > 0 {
        assert!(begun.elapsed() < LONG, "{} of them go on", running());
        std::thread::yield_now();
    }
}

#[test]
fn a_program_that_others_may_change_is_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("bin");
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("keeper");
    write(&path, "#!/bin/sh\necho hush\n", 0o700);
    let run = || program::run(&path, &[], LONG).map(drop);
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    run().unwrap();
    for mode in [0o720, 0o702] {
        open(&path, mode);
        assert!(matches!(run(), Err(SecretError::ProgramOpen { .. })), "{mode:o}");
    }
    open(&path, 0o700);
    open(&folder, 0o777);
    assert!(matches!(run(), Err(SecretError::ProgramOpen { .. })), "an open folder");
    open(&folder, 0o755);
    if nix::unistd::geteuid().is_root() {
        nix::unistd::chown(&path, Some(12_345.into()), None).unwrap();
        assert!(matches!(run(), Err(SecretError::ProgramOpen { .. })), "another owner");
    }
}

#[test]
fn what_the_schema_marks_secret_must_be_a_reference() {
    let schema = json!({
        "properties": {
            "url": {"type": "string"},
            "token": {"type": "string", "writeOnly": true},
            "login": {"$ref": "#/$defs/Login"},
            "more": {"items": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Login"}]}},
        },
        "additionalProperties": {"format": "password"},
        "$defs": {"Login": {"properties": {"password": {"format": "password"}}, "$ref": "#/$defs/Login"}},
    });
    let config = json!({
        "url": "https://x", "token": "hunter2", "login": {"password": "cred:x", "user": "u"},
        "more": [{"password": "env:X"}, {"password": 12}], "other": "hunter2", "none": null,
    });
    assert_eq!(
        literals(&schema.to_string(), &config),
        ["config.more[1].password", "config.other", "config.token"]
    );
    assert_eq!(literals("no JSON", &config), Vec::<String>::new());
}
