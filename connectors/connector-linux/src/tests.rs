//! Whole syncs over the wire, on a host that stands still and on hosts with something wrong.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use cordon_sdk::testing::{Collected, Harness, sync_once};
use cordon_sdk::{Error, ScopeOutcome, Value};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::linux::Linux;

const ED25519: &str = "SHA256:rkJ8tIl+290LoUMGNrPPnqU8/INmukJLIs72dory3WM";
const RSA: &str = "SHA256:CmvGyHgEtT0xxv0qiMVU9Ws2nluVucbG/QLarl1bhv4";

fn example() -> Json {
    json!({
        "root": concat!(env!("CARGO_MANIFEST_DIR"), "/tests/root"),
        "service_accounts": ["svc-*"],
    })
}

cordon_sdk::conformance!(Linux, config = example());

/// A copy of the example that a test may damage.
struct Damaged(TempDir);

impl Damaged {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/root");
        copy(&from, folder.path());
        Self(folder)
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn append(&self, path: &str, text: &str) {
        let old = fs::read_to_string(self.0.path().join(path)).unwrap();
        self.write(path, old + text);
    }

    async fn sync(&self) -> Collected {
        sync_once::<Linux>(json!({ "root": self.0.path() })).await.unwrap()
    }

    /// Why a scope is incomplete, with paths as on the host.
    async fn reason(&self, scope: &str) -> String {
        match &self.sync().await.scope(scope).unwrap().outcome {
            ScopeOutcome::Incomplete { reason } => {
                reason.replace(self.0.path().to_str().unwrap(), "")
            }
            other => panic!("{scope} is {other:?}"),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn text(collected: &Collected, key: &str, column: &str) -> String {
    let row = collected.row(key).unwrap_or_else(|| panic!("no {key} in {:?}", collected.keys()));
    row.values.get(column).map_or_else(|| "-".to_owned(), Value::to_string)
}

fn is_complete(collected: &Collected, scope: &str) -> bool {
    collected.scope(scope).unwrap().outcome == ScopeOutcome::Complete
}

#[tokio::test]
async fn accounts_are_reported_with_what_they_are() {
    let collected = sync_once::<Linux>(example()).await.unwrap();
    for (user, kind, uid, shell) in [
        ("root", "system", "0", "/bin/bash"),
        ("postgres", "system", "101", "/bin/bash"),
        ("alice", "human", "1000", "/bin/bash"),
        ("deploy", "service", "1002", "/usr/sbin/nologin"),
        ("svc-backup", "service", "1003", "/bin/sh"),
        ("nobody", "system", "65534", "/usr/sbin/nologin"),
    ] {
        let value = |column| text(&collected, &format!("user:{user}"), column);
        assert_eq!((value("account_type").as_str(), value("uid").as_str()), (kind, uid), "{user}");
        assert_eq!((value("shell").as_str(), value("login").as_str()), (shell, user));
    }
    assert_eq!(text(&collected, "user:alice", "name"), "Alice Example");
    let users = collected.scope("users").unwrap();
    assert_eq!((users.received, users.source_total), (8, Some(8)));
    let groups = collected.scope("groups").unwrap();
    assert_eq!((groups.received, groups.source_total), (18, Some(18)));
}

#[tokio::test]
async fn memberships_are_primary_and_supplementary() {
    let collected = sync_once::<Linux>(example()).await.unwrap();
    let keys = collected.keys();
    for grant in [
        "user:alice -> member:alice",
        "user:alice -> member:sudo",
        "user:alice -> member:docker",
        "user:svc-backup -> member:deploy",
        "user:carol -> member:docker",
    ] {
        assert!(keys.iter().any(|key| key == grant), "no {grant} in {keys:?}");
    }
    // carol is in a group, but in no file of accounts: somebody of a directory service.
    assert_eq!(text(&collected, "user:carol", "local"), "false");
    assert_eq!(text(&collected, "user:alice", "local"), "true");
}

#[tokio::test]
async fn sudo_rights_are_privileged_entitlements_of_users_and_groups() {
    let collected = sync_once::<Linux>(example()).await.unwrap();
    let apt = "sudo:(root):NOPASSWD:/usr/bin/apt update, /usr/bin/apt upgrade";
    let keys = collected.keys();
    for grant in [
        "user:root -> sudo:(ALL:ALL):ALL".to_owned(),
        "group:sudo -> sudo:(ALL:ALL):ALL".to_owned(),
        "group:admin -> sudo:(ALL):ALL".to_owned(),
        format!("user:bob -> {apt}"),
        "user:alice -> sudo:(root):/usr/bin/uptime".to_owned(),
    ] {
        assert!(keys.contains(&grant), "no {grant} in {keys:?}");
    }
    assert!(!keys.contains(&"user:nobody -> sudo:(root):/usr/bin/uptime".to_owned()));
    let apt = format!("entitlement:{apt}");
    assert_eq!(text(&collected, &apt, "privileged"), "true");
    assert_eq!(text(&collected, &apt, "nopasswd"), "true");
    assert_eq!(text(&collected, &apt, "resource"), "app:sudo");
    // No file defines the group, and yet whoever makes it gets the right.
    assert_eq!(text(&collected, "group:admin", "local"), "false");
}

#[tokio::test]
async fn keys_are_secrets_of_the_account_that_they_open() {
    let collected = sync_once::<Linux>(example()).await.unwrap();
    for (owner, fingerprint, key_type) in [
        ("alice", ED25519, "ssh-ed25519"),
        ("bob", ED25519, "ssh-ed25519"),
        ("alice", RSA, "ssh-rsa"),
    ] {
        let key = format!("secret:{fingerprint}@{owner}");
        assert_eq!(text(&collected, &key, "owner"), format!("user:{owner}"));
        assert_eq!(text(&collected, &key, "key_type"), key_type);
    }
    let bob = format!("secret:{ED25519}@bob");
    assert_eq!(text(&collected, &bob, "expires"), "2030-12-31T00:00:00Z");
    let rsa = format!("secret:{RSA}@alice");
    assert_eq!(text(&collected, &rsa, "options"), "restrict,command=\"/usr/bin/backup run\"");
    assert_eq!(text(&collected, &rsa, "bits"), "2048");
}

#[tokio::test]
async fn everything_of_a_whole_host_is_complete_and_has_a_watermark() {
    let collected = sync_once::<Linux>(example()).await.unwrap();
    for scope in ["users", "groups", "memberships", "sudo", "authorized_keys"] {
        assert!(is_complete(&collected, scope), "{scope}");
        let watermark = &collected.scope(scope).unwrap().watermark;
        assert!(watermark.time.is_some() && watermark.token.is_some(), "{scope}: {watermark:?}");
    }
}

#[tokio::test]
async fn shadow_gives_status_and_never_a_hash() {
    let host = Damaged::new();
    host.write("etc/shadow", "alice:$6$salt$canary:1::::::\nbob:!$6$x$canary:1:::::1:\n");
    let collected = host.sync().await;
    assert_eq!(text(&collected, "user:alice", "status"), "active");
    assert_eq!(text(&collected, "user:alice", "password"), "set");
    assert_eq!(text(&collected, "user:bob", "status"), "disabled");
    assert_eq!(text(&collected, "user:bob", "password"), "locked");
    assert_eq!(text(&collected, "user:root", "status"), "-");
    assert!(!format!("{collected:?}").contains("canary"));
}

#[tokio::test]
async fn an_account_line_that_cannot_be_read_makes_the_scope_incomplete_by_line() {
    let host = Damaged::new();
    host.append("etc/passwd", "dave:x:abc:1::/:/bin/sh\ncarol:x:1:1\n");
    let expected = "/etc/passwd line 9: the uid `abc` is not a number; \
                    /etc/passwd line 10: 4 fields where an account has 7";
    assert_eq!(host.reason("users").await, expected);
    let collected = host.sync().await;
    assert!(collected.row("user:alice").is_some());
    assert_eq!(collected.scope("users").unwrap().source_total, Some(10));
    // carol has a line; only what it says is unknown.
    assert!(collected.row("user:carol").is_none());
    assert!(!is_complete(&collected, "memberships"));
    assert!(!is_complete(&collected, "authorized_keys"));
    assert!(is_complete(&collected, "groups"));
}

#[tokio::test]
async fn an_account_that_stands_twice_is_reported_once_and_named() {
    let host = Damaged::new();
    host.append("etc/passwd", "alice:x:0:0::/root:/bin/sh\n");
    let expected = "/etc/passwd line 9: alice stands in line 4 already";
    assert_eq!(host.reason("users").await, expected);
    assert_eq!(text(&host.sync().await, "user:alice", "uid"), "1000");
}

#[tokio::test]
async fn sudoers_that_cannot_be_read_make_sudo_incomplete_by_file_and_line() {
    let host = Damaged::new();
    host.write("etc/sudoers.d/bad", "# ok\nbob ALL=(root NOPASSWD: ALL\n");
    let expected = "/etc/sudoers.d/bad line 2: expected `)` before `NOPASSWD: ALL`";
    assert_eq!(host.reason("sudo").await, expected);
    let collected = host.sync().await;
    assert!(collected.keys().contains(&"group:sudo -> sudo:(ALL:ALL):ALL".to_owned()));
    assert!(is_complete(&collected, "users") && is_complete(&collected, "authorized_keys"));

    fs::remove_file(host.0.path().join("etc/sudoers")).unwrap();
    fs::create_dir(host.0.path().join("etc/sudoers")).unwrap();
    assert_eq!(host.reason("sudo").await, "/etc/sudoers is not a regular file");
}

#[tokio::test]
async fn a_host_without_sudo_is_complete_and_says_so() {
    let host = Damaged::new();
    fs::remove_file(host.0.path().join("etc/sudoers")).unwrap();
    let collected = host.sync().await;
    assert!(is_complete(&collected, "sudo"));
    assert_eq!(collected.scope("sudo").unwrap().received, 1);
    let config = json!({ "root": host.0.path() });
    let notes = Harness::configured::<Linux>(&config).await.unwrap().check().await.unwrap();
    assert!(notes.iter().any(|note| note.starts_with("no sudo here: ")), "{notes:?}");
}

#[tokio::test]
async fn a_sudo_whose_rules_are_hidden_is_incomplete() {
    let host = Damaged::new();
    fs::remove_file(host.0.path().join("etc/sudoers")).unwrap();
    host.write("usr/bin/sudo", "program");
    let expected = "/etc/sudoers cannot be read: No such file or directory (os error 2)";
    assert_eq!(host.reason("sudo").await, expected);
}

#[tokio::test]
async fn a_home_that_cannot_be_read_makes_keys_incomplete_by_path() {
    let host = Damaged::new();
    let keys = host.0.path().join("home/bob/.ssh/authorized_keys");
    fs::remove_file(&keys).unwrap();
    symlink("/etc/shadow", &keys).unwrap();
    let expected = "/home/bob/.ssh/authorized_keys is a symbolic link, which is not followed";
    assert_eq!(host.reason("authorized_keys").await, expected);
    let collected = host.sync().await;
    assert!(collected.row(&format!("secret:{RSA}@alice")).is_some());

    fs::remove_file(&keys).unwrap();
    nix::unistd::mkfifo(&keys, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let expected = "/home/bob/.ssh/authorized_keys is not a regular file";
    assert_eq!(host.reason("authorized_keys").await, expected);
}

#[tokio::test]
async fn a_file_without_permission_is_named() {
    let host = Damaged::new();
    let group = host.0.path().join("etc/group");
    fs::set_permissions(&group, Permissions::from_mode(0o000)).unwrap();
    if fs::read(&group).is_ok() {
        // Root reads everything; then a loop of links stands in for a file that cannot be opened.
        fs::remove_file(&group).unwrap();
        symlink("group", &group).unwrap();
    }
    let reason = host.reason("groups").await;
    assert!(reason.starts_with("/etc/group cannot be read: "), "{reason}");
    assert!(host.sync().await.row("user:alice").is_some());
}

#[tokio::test]
async fn a_root_without_accounts_is_refused_by_field() {
    let folder = tempfile::tempdir().unwrap();
    let error = sync_once::<Linux>(json!({ "root": folder.path() })).await.unwrap_err();
    let Error::BadConfig { field, message, .. } = &error else { panic!("{error:?}") };
    assert_eq!(field, "root");
    let message = message.replace(folder.path().to_str().unwrap(), "");
    let expected = "no account can be read: /etc/passwd cannot be read: No such file or directory";
    assert!(message.starts_with(expected), "{message}");
}

#[tokio::test]
async fn a_configuration_that_cannot_work_names_its_field() {
    for (config, field, message) in [
        (json!({ "root": "etc" }), "root", "etc is not an absolute path"),
        (json!({ "include": [] }), "include", "nothing to report: name at least `users`"),
        (
            json!({ "include": ["users", "sudo"] }),
            "include",
            "`sudo` refers to groups: include `groups` as well",
        ),
        (
            json!({ "include": ["ssh_keys"] }),
            "include",
            "`ssh_keys` refers to users: include `users` as well",
        ),
    ] {
        let error = sync_once::<Linux>(config).await.unwrap_err();
        let Error::BadConfig { field: found, message: text, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!((found.as_str(), text.as_str()), (field, message));
    }
}

#[tokio::test]
async fn only_what_is_included_is_reported() {
    let mut config = example();
    config["include"] = json!(["users", "ssh_keys"]);
    let collected = sync_once::<Linux>(config).await.unwrap();
    let names: Vec<&str> = collected.scopes.iter().map(|scope| scope.name.as_str()).collect();
    assert_eq!(names, ["users", "authorized_keys"]);
}

#[tokio::test]
async fn arbitrary_bytes_in_every_file_end_in_scopes_and_never_in_a_panic() {
    let host = Damaged::new();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let files = [
        "etc/passwd",
        "etc/group",
        "etc/shadow",
        "etc/sudoers",
        "etc/sudoers.d/ops",
        "home/alice/.ssh/authorized_keys",
        "etc/login.defs",
    ];
    for _ in 0..60 {
        for file in files {
            let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/root").join(file);
            let mut bytes = fs::read(original).unwrap_or_else(|_| b"UID_MIN 1000\na:b:c".to_vec());
            for _ in 0..8 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let place = usize::try_from(state >> 40).unwrap() % bytes.len();
                bytes[place] = u8::try_from(state & 0xff).unwrap();
            }
            host.write(file, bytes);
        }
        let collected = host.sync().await;
        assert_eq!(collected.scopes.len(), 5);
        let mut keys = collected.keys();
        keys.sort_unstable();
        let all = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), all, "a key was reported twice");
    }
}
