//! The contract of the command line: streams, exit codes, errors, colour, signals, pipes.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use cordon_wire::v1;
use rustix::process::{Pid, Signal, kill_process};

use super::answers::{self, script};
use super::daemon::{Daemon, Script};
use super::run::{Ran, command, cordon};

fn problem(code: &str, exit_code: u32) -> v1::Problem {
    v1::Problem {
        code: code.into(),
        message: "no connector `hr-cvs`".into(),
        still: "nothing was changed".into(),
        hint: "did you mean `hr-csv`?".into(),
        exit_code,
    }
}

#[test]
fn the_daemons_problem_decides_exit_code_and_words() {
    for exit_code in 1..=8 {
        let daemon = Daemon::start(Script { problem: Some(problem("x", exit_code)), ..script() });
        let ran = cordon(&daemon, "describe hr-cvs");
        assert_eq!(ran.code, i32::try_from(exit_code).ok());
        assert_eq!(
            ran.stderr,
            "error: no connector `hr-cvs`\n  still: nothing was changed\n  hint: did you mean `hr-csv`?\n"
        );
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn a_problem_without_an_exit_code_is_never_a_success() {
    let daemon = Daemon::start(Script { problem: Some(problem("x", 0)), ..script() });
    assert_eq!(cordon(&daemon, "release hr 4 --digest 91fe04c2 --reason x --yes").code, Some(1));
}

#[test]
fn errors_for_scripts_are_problem_objects_on_stderr() {
    let daemon =
        Daemon::start(Script { problem: Some(problem("unknown-connector", 4)), ..script() });
    for form in ["json", "yaml", "ndjson"] {
        let ran = cordon(&daemon, &format!("runs hr-cvs -o {form}"));
        let object = ran.problem();
        assert_eq!(object["code"], "unknown-connector");
        assert_eq!(object["message"], "no connector `hr-cvs`");
        assert_eq!(object["title"], "no connector `hr-cvs`");
        assert_eq!(object["still"], "nothing was changed");
        assert_eq!(object["hint"], "did you mean `hr-csv`?");
        assert_eq!(object["exit_code"], 4);
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn wrong_usage_exits_two_and_asks_nothing() {
    // A followed stream that is asked for all the same breaks off, lest the test hang.
    let daemon = Daemon::start(Script { breaks: true, ..script() });
    for line in ["statsu", "release hr 4", "pause hr", "logs hr -f -o json", "sync hr --exit-code"]
    {
        assert_eq!(cordon(&daemon, line).code, Some(2), "{line}");
    }
    let ran = cordon(&daemon, "statsu -o json");
    assert_eq!((ran.code, &ran.problem()["code"]), (Some(2), &"usage".into()));
    assert!(ran.problem()["hint"].as_str().unwrap().contains("'status'"), "{}", ran.stderr);
    let mut by_environment = command(daemon.socket(), &["statsu"]);
    let ran: Ran = by_environment.env("CORDON_OUTPUT", "json").output().unwrap().into();
    assert_eq!(ran.problem()["code"], "usage");
    assert!(daemon.asked().is_empty(), "{:?}", daemon.asked());
}

#[test]
fn attention_is_an_exit_code_only_where_it_was_asked_for() {
    let daemon = Daemon::start(script());
    assert_eq!(cordon(&daemon, "status").code, Some(0));
    assert_eq!(cordon(&daemon, "status --exit-code").code, Some(3));
    assert_eq!(cordon(&daemon, "status hr-csv --exit-code").code, Some(0));
    assert_eq!(cordon(&daemon, "diff ldap-corp").code, Some(0));
    assert_eq!(cordon(&daemon, "diff ldap-corp --exit-code").code, Some(3));
    let same = Daemon::start(Script { diff: answers::diff(0), ..script() });
    assert_eq!(cordon(&same, "diff ldap-corp --exit-code").code, Some(0));
}

#[test]
fn a_failing_sink_needs_attention_unless_only_connectors_were_asked_about() {
    let mut script = script();
    script.status.connectors = vec![answers::trusted()];
    script.status.sinks[0].state = "failing".into();
    let daemon = Daemon::start(script);
    assert_eq!(cordon(&daemon, "status --exit-code").code, Some(3));
    assert_eq!(cordon(&daemon, "status hr-csv --exit-code").code, Some(0));
}

#[test]
fn an_answer_cut_short_is_no_answer() {
    let script = Script { breaks: true, sync: vec![answers::progress("reading")], ..script() };
    let daemon = Daemon::start(script);
    for line in ["sync hr-csv --wait", "diff ldap-corp", "logs hr-csv", "events"] {
        let ran = cordon(&daemon, line);
        assert_eq!(ran.code, Some(7), "{line}: {}", ran.stderr);
    }
    let silent = Daemon::start(Script { sync: Vec::new(), diff: Vec::new(), ..answers::script() });
    assert_eq!(cordon(&silent, "sync hr-csv --wait").code, Some(7));
    assert_eq!(cordon(&silent, "diff ldap-corp").code, Some(7));
}

#[test]
fn hostile_text_reaches_no_terminal_and_every_script_whole() {
    let daemon = Daemon::start(script());
    for colour in ["auto", "never"] {
        let shown = cordon(&daemon, &format!("logs hr-csv --color {colour}")).stdout;
        assert!(shown.contains("hello \\u{1b}[2Jworld") && !shown.contains('\u{1b}'), "{shown:?}");
    }
    let coloured = cordon(&daemon, "logs hr-csv --color always").stdout;
    assert!(coloured.contains("\u{1b}[") && !coloured.contains("\u{1b}[2J"), "{coloured:?}");
    let json = cordon(&daemon, "logs hr-csv -o json").json();
    assert_eq!(json["items"][0]["line"], "hello \u{1b}[2Jworld");
}

#[test]
fn glyphs_are_ascii_where_the_locale_is_not_utf8() {
    let daemon = Daemon::start(script());
    let ran: Ran = command(daemon.socket(), &["status"]).env("LANG", "C").output().unwrap().into();
    assert!(ran.stdout.is_ascii(), "{}", ran.stdout);
    assert!(ran.stdout.contains("x ldap-corp  quarantined"), "{}", ran.stdout);
}

#[test]
fn a_closed_pipe_ends_the_command_quietly() {
    let daemon = Daemon::start(Script { diff: answers::diff(20_000), ..script() });
    for form in ["ndjson", "json", "table"] {
        let args = ["diff", "ldap-corp", "--full", "-o", form];
        let mut child = command(daemon.socket(), &args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(!first.is_empty());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""), "{form}");
    }
}

#[test]
fn ctrl_c_ends_a_followed_log_with_130() {
    let daemon = Daemon::start(script());
    let mut child = command(daemon.socket(), &["logs", "hr-csv", "-f"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("hello"), "a followed line is written at once: {first}");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn completion_of_release_lists_only_what_is_quarantined() {
    let daemon = Daemon::start(script());
    let complete = |words: &[&str]| {
        let index = (words.len() - 1).to_string();
        let line = [&["--"], words].concat();
        let ran: Ran = command(daemon.socket(), &line)
            .env("COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", index)
            .env("_CLAP_IFS", "\n")
            .output()
            .unwrap()
            .into();
        ran.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete(&["cordon", "release", "l"]), ["ldap-corp"]);
    assert!(!complete(&["cordon", "release", ""]).contains(&"hr-csv".to_owned()));
    assert!(complete(&["cordon", "status", ""]).contains(&"hr-csv".to_owned()));
    assert!(complete(&["cordon", "reject", "ldap-corp", ""]).contains(&"418".to_owned()));
}

#[test]
fn completion_without_a_daemon_is_silent_and_fast() {
    let ran: Ran = command("/nonexistent/cordon.sock".as_ref(), &["--", "cordon", "release", ""])
        .env("COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", "2")
        .output()
        .unwrap()
        .into();
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn every_shell_gets_its_script() {
    let daemon = Daemon::start(script());
    for shell in ["bash", "zsh", "fish", "elvish"] {
        let ran = cordon(&daemon, &format!("completion {shell}"));
        assert!(ran.code == Some(0) && ran.stdout.contains("COMPLETE"), "{shell}: {}", ran.stderr);
    }
}

#[test]
fn config_check_is_the_word_of_the_cordond_beside_us() {
    let dir = tempfile::tempdir().unwrap();
    let cordon = dir.path().join("cordon");
    std::fs::copy(env!("CARGO_BIN_EXE_cordon"), &cordon).unwrap();
    let check = |path: &std::path::Path| -> Ran {
        let mut command = std::process::Command::new(&cordon);
        command.args(["config", "check", "a b.toml"]).env_clear().env("PATH", path);
        command.output().unwrap().into()
    };

    let missing = check("/nonexistent".as_ref());
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("cannot run cordond"), "{}", missing.stderr);

    let cordond = dir.path().join("cordond");
    std::fs::write(&cordond, "#!/bin/sh\necho \"$@\"\necho wrong >&2\nexit 2\n").unwrap();
    std::fs::set_permissions(&cordond, PermissionsExt::from_mode(0o755)).unwrap();
    let ran = check("/nonexistent".as_ref());
    assert_eq!(ran.code, Some(2));
    assert_eq!(ran.stdout, "--check --config a b.toml\n");
    assert_eq!(ran.stderr, "wrong\n");
}
