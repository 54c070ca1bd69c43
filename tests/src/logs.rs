//! What connectors print costs nobody else anything: not the supervisor's memory, not a neighbour's
//! sync, and on a full disk nothing but lines, which are counted.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use cordon_testkit::{Connector, Host, Scenario, process, wait_until};
use serde_json::Value;

use crate::state::SmallDisk;
use crate::world::run_of;

const LONG: Duration = Duration::from_secs(60);

/// A connector that goes on flooding its log after its sync.
fn flooder() -> Connector {
    Connector::faulty(&Scenario::with("page:1", "log-flood")).set("idle_timeout", "1h")
}

fn lines(host: &Host, connector: &str) -> Vec<Value> {
    host.cordon(&["logs", connector, "-n", "1000"]).done().items()
}

/// Whether `cordond` told in a connector's log how much it dropped.
fn tells_of_drops(lines: &[Value]) -> bool {
    let dropped =
        |line: &Value| line["line"].as_str().is_some_and(|it| it.contains("lines dropped"));
    lines.iter().any(|line| line["pid"] == 0 && dropped(line))
}

#[test]
fn a_log_flood_leaves_the_supervisors_memory_flat_and_counts_what_it_drops() {
    let host =
        Host::setup().connector("bad", flooder()).faulty("good", &Scenario::default()).start();
    assert_eq!(run_of(&host.sync("good").done())["outcome"], "committed");
    let before = process::memory_peak_bytes(host.pid()).unwrap();
    assert_eq!(run_of(&host.sync("bad").done())["outcome"], "committed");
    wait_until("the drops are told", LONG, || tells_of_drops(&lines(&host, "bad")));
    assert_eq!(run_of(&host.sync("good").done())["outcome"], "committed");
    let grown = process::memory_peak_bytes(host.pid()).unwrap() - before;
    assert!(grown < 64 * 1024 * 1024, "{} KiB", grown / 1024);
    let log = std::fs::metadata(host.state().join("logs/bad.log")).unwrap();
    assert_eq!(log.permissions().mode() & 0o777, 0o600);
    assert!(log.len() < 16 * 1024 * 1024);
}

#[test]
fn a_full_disk_costs_log_lines_which_are_counted_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mount(folder.path(), "24m") else {
        eprintln!("skipped: mount");
        return;
    };
    let data_dir = folder.path().join("state");
    let mut host = Host::setup().connector("bad", flooder()).stopped();
    let text = std::fs::read_to_string(host.config()).unwrap();
    let own = format!("data_dir = \"{}\"", host.state().display());
    let small = format!("data_dir = \"{}\"", data_dir.display());
    host.put("cordon.toml", text.replace(&own, &small));
    host.start();
    host.sync("bad").done();
    let pid = host.status("bad")["pid"].as_u64().unwrap() as u32;
    let filler = folder.path().join("filler");
    wait_until("the disk is full and a log cannot be written", LONG, || {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&filler).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        host.log().contains("a connector's log cannot be written")
    });
    assert!(process::is_alive(pid), "the connector goes on");
    assert!(!lines(&host, "bad").is_empty(), "memory keeps what the disk does not");
    std::fs::remove_file(&filler).unwrap();
    let log = data_dir.join("logs/bad.log");
    wait_until("the losses are told", LONG, || {
        let text = std::fs::read(&log).unwrap_or_default();
        String::from_utf8_lossy(&text).contains("[cordond] ")
            && String::from_utf8_lossy(&text).contains("lines were not written")
    });
    let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
    let stamps = [" [cordond] ".to_owned(), format!(" [{pid}] ")];
    let stamped =
        |line: &str| stamps.iter().map(|stamp| line.matches(stamp).count()).sum::<usize>();
    assert!(text.lines().all(|line| stamped(line) == 1), "no line is torn");
    assert!(host.runs());
}
