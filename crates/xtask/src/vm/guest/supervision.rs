//! What systemd sees and does: credentials, journal, watchdog, exit codes, start limits.

use anyhow::ensure;

use super::shell::{
    UNIT, accepted, answers, cordon, main_pid, pid, process_field, property, put, sh, until,
};
use super::world::{SOURCES, configure, drop_in, forget, group_of, without_drop_in};

/// The source whose place is a secret, and how many workers it has.
const EXPORT: &str = "/srv/cordon-vm/export-7f3a91c2.csv";

/// Both neighbours have a process that has nothing to do.
pub(super) fn both_run() -> anyhow::Result<()> {
    accepted("left")?;
    accepted("right")
}

pub(super) fn a_restart_of_one_connector_leaves_the_others() -> anyhow::Result<()> {
    both_run()?;
    let (left, right, supervisor) = (pid("left")?, pid("right")?, main_pid()?);
    let started = |pid: u32| sh(&format!("cut -d' ' -f22 /proc/{pid}/stat"));
    let before = started(right)?;
    sh("cordon restart left --reason drill")?;
    accepted("left")?;
    ensure!(pid("left")? != left, "it was not restarted");
    ensure!(pid("right")? == right && started(right)? == before, "the other one was restarted");
    ensure!(main_pid()? == supervisor);
    Ok(())
}

pub(super) fn a_credential_of_the_service_manager_reaches_the_connector_and_no_file()
-> anyhow::Result<()> {
    put(EXPORT, "key,title\nw1,Engineer\nw2,Analyst\nw3,Clerk\n")?;
    put("/etc/cordon/credentials/hr-path", EXPORT)?;
    sh("chmod 600 /etc/cordon/credentials/hr-path")?;
    drop_in("credentials", "[Service]\nLoadCredential=hr-path:/etc/cordon/credentials/hr-path\n")?;
    // The value is the file to read: whoever finds three workers in it was told.
    let text = format!(
        "use = \"csv\"\nidle_timeout = \"2h\"\nallow = {{ read = [\"{SOURCES}\"] }}\n\
         [config]\npath = \"cred:hr-path\"\nkey = \"key\"\n"
    );
    configure("hr", &text)?;
    accepted("hr")?;
    let document = cordon("status hr")?;
    ensure!(document["items"][0]["records"] == 3, "{document}");
    let pid = pid("hr")?;
    for place in ["environ", "cmdline"] {
        let found = sh(&format!("grep -c export-7f3a91c2 /proc/{pid}/{place} || true"))?;
        ensure!(found == "0", "the secret is in {place}");
    }
    let on_disk =
        sh("grep -rl export-7f3a91c2 /var/lib/cordon /var/log/cordon /run/cordon || true")?;
    ensure!(on_disk.is_empty(), "the secret is on disk: {on_disk}");
    // Each connector's own user cannot read what the service manager gave.
    let folder = property("ExecMainPID")
        .and_then(|pid| sh(&format!("tr '\\0' '\\n' </proc/{pid}/environ | grep ^CREDENTIALS_")))?;
    let folder = folder.trim_start_matches("CREDENTIALS_DIRECTORY=").to_owned();
    let uid = process_field(pid, "Uid")?;
    let uid = uid.split_whitespace().next().unwrap_or_default().to_owned();
    let refused = sh(&format!(
        "setpriv --reuid {uid} --regid {uid} --clear-groups cat {folder}/hr-path 2>&1 || echo refused"
    ))?;
    ensure!(refused.ends_with("refused"), "another user reads the credential: {refused}");
    forget(&["hr"])
}

pub(super) fn the_journal_has_fields_and_priorities() -> anyhow::Result<()> {
    accepted("left")?;
    until("the journal knows the connector", || {
        let lines = sh(&format!(
            "journalctl -u {UNIT} CORDON_CONNECTOR=left SYSLOG_IDENTIFIER=cordond -o json -n 1"
        ))?;
        Ok(lines.contains("\"PRIORITY\":\"5\"") || lines.contains("\"PRIORITY\":\"6\""))
    })?;
    let noise =
        sh(&format!("journalctl -u {UNIT} -p err --no-pager -o cat _COMM=cordond || true"))?;
    ensure!(!noise.contains("ERROR"), "levels are text, not priorities:\n{noise}");
    Ok(())
}

pub(super) fn a_blocked_main_loop_is_killed_by_the_watchdog_and_started_again() -> anyhow::Result<()>
{
    accepted("left")?;
    let leftover = pid("left")?;
    // The loop blocks at its 40th turn, and only in the first process: the drill is disarmed as
    // soon as it has come to be.
    drop_in(
        "drill",
        "[Service]\nWatchdogSec=15\nEnvironment=CORDON_FAULT=block:main.heartbeat:40\n\
         ExecStart=\nExecStart=/usr/bin/cordond --dev --config /etc/cordon/cordon.toml\n",
    )?;
    accepted("left")?;
    let (supervisor, connector) = (main_pid()?, pid("left")?);
    ensure!(connector != leftover);
    until("the watchdog saw it", || {
        let text = sh(&format!("journalctl -u {UNIT} --no-pager -o cat -n 100"))?;
        Ok(text.contains("Watchdog timeout") && main_pid()? != supervisor && main_pid()? != 0)
    })?;
    answers()?;
    ensure!(property("NRestarts")? != "0");
    ensure!(process_field(connector, "State").is_err(), "its connector lives on");
    without_drop_in("drill")?;
    accepted("left")
}

pub(super) fn a_configuration_that_no_restart_can_mend_is_not_retried() -> anyhow::Result<()> {
    sh(
        "cp -p /etc/cordon/cordon.toml /root/cordon.toml; echo 'nonsense = 1' >> /etc/cordon/cordon.toml",
    )?;
    sh(&format!("systemctl restart {UNIT} || true"))?;
    until("it is failed", || Ok(property("ActiveState")? == "failed"))?;
    let code = property("ExecMainStatus")?;
    ensure!(code == "78", "it ended with {code}");
    let restarts = property("NRestarts")?;
    ensure!(restarts == "0", "it was restarted {restarts} times");
    sh("cp -p /root/cordon.toml /etc/cordon/cordon.toml; rm /root/cordon.toml")?;
    sh(&format!("systemctl reset-failed {UNIT}; systemctl start {UNIT}"))?;
    answers()
}

pub(super) fn a_service_that_keeps_dying_meets_its_start_limit() -> anyhow::Result<()> {
    sh(&format!("systemctl reset-failed {UNIT} || true"))?;
    let mut kills = 0;
    until("systemd gives up", || {
        if property("ActiveState")? == "failed" {
            return Ok(true);
        }
        let pid = main_pid()?;
        if pid > 0 && sh(&format!("kill -9 {pid}")).is_ok() {
            kills += 1;
        }
        Ok(false)
    })?;
    let result = property("Result")?;
    ensure!(matches!(result.as_str(), "start-limit-hit" | "signal"), "the result is {result}");
    ensure!((9..=14).contains(&kills), "it took {kills} deaths");
    sh(&format!("systemctl reset-failed {UNIT}; systemctl start {UNIT}"))?;
    answers()?;
    accepted("left")?;
    accepted("right")?;
    ensure!(group_of(main_pid()?)?.ends_with("/supervisor"));
    Ok(())
}
