//! A daemon that is not there, not ours to ask, or not answering: exit 7, and what to do.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::run::{Ran, command};

fn status(socket: &Path, args: &[&str]) -> Ran {
    command(socket, &[&["status"], args].concat()).output().unwrap().into()
}

#[test]
fn a_missing_socket_is_named_with_what_to_do() {
    let socket = Path::new("/nonexistent/cordon.sock");
    let ran = status(socket, &[]);
    assert_eq!(ran.code, Some(7));
    assert!(
        ran.stderr.contains("cannot reach cordond at /nonexistent/cordon.sock"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("is cordond running"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    let problem = status(socket, &["-o", "json"]).problem();
    assert_eq!(
        (&problem["code"], &problem["exit_code"]),
        (&"daemon-unreachable".into(), &7.into())
    );
}

#[test]
fn the_socket_option_wins_over_the_environment() {
    let ran = status("/nonexistent/env.sock".as_ref(), &["--socket", "/nonexistent/flag.sock"]);
    assert!(ran.stderr.contains("/nonexistent/flag.sock"), "{}", ran.stderr);
}

#[test]
fn a_socket_left_over_by_a_dead_daemon_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("cordon.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let ran = status(&socket, &[]);
    assert_eq!(ran.code, Some(7));
    assert!(ran.stderr.contains("left over"), "{}", ran.stderr);
}

#[test]
fn a_socket_that_we_may_not_use_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("place");
    std::fs::create_dir(&place).unwrap();
    let socket = place.join("cordon.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&place, PermissionsExt::from_mode(0o000)).unwrap();

    // Root is refused nothing, so it asks as nobody, who must reach a copy of the program.
    let mut asker: Command = if rustix::process::geteuid().is_root() {
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let copy = dir.path().join("cordon");
        std::fs::copy(env!("CARGO_BIN_EXE_cordon"), &copy).unwrap();
        let mut command = Command::new(copy);
        command.args(["status", "--socket"]).arg(&socket).uid(65_534).gid(65_534);
        command
    } else {
        command(&socket, &["status"])
    };
    let ran: Ran = asker.output().unwrap().into();
    std::fs::set_permissions(&place, PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(ran.code, Some(7), "{}", ran.stderr);
    assert!(ran.stderr.contains("you may not use its control socket"), "{}", ran.stderr);
}

#[test]
fn a_socket_that_speaks_something_else_is_no_daemon() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("cordon.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 mail.example.com ESMTP\r\n").unwrap();
    });
    let ran = status(&socket, &[]);
    server.join().unwrap();
    assert_eq!(ran.code, Some(7), "{}", ran.stderr);
}
