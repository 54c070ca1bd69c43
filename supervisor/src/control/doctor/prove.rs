//! `doctor --prove`: attacks this host from inside a jail, and tells what was denied.
//!
//! The jail is the one that a connector gets of which nothing is written but its program, made by the
//! launcher that makes them all. What is attacked is really there: another process with a secret, a
//! listener, shared memory, a directory that everyone may write to, our own socket, state and
//! configuration. So a denial is the isolation's doing, and an attack that is allowed names the wall
//! that is missing.
//!
//! The attacker is hostile by profession, so its answers are measured like a connector's: so many
//! bytes, so long, and only cases that it was known to have.

mod stage;
mod walls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use cordon_sandbox::{JailReport, KillReason, View};
use cordon_wire::v1;
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::timeout;

use self::stage::Stage;
use crate::config::Config;
use crate::control::problem::Refusal;
use crate::host::Host;

/// The program that attacks.
const PROGRAM: &str = "cordon-hostile";
/// Name of the jail that it attacks from.
const NAME: &str = "prove";
/// All attacks together; `cordon` waits a little longer for the answer.
const ATTACKS_TIMEOUT: Duration = Duration::from_secs(40);
/// Something that only starts, or only ends.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);
/// What the attacker may write; a case takes a line of some hundred bytes.
const OUTPUT_BYTES_MAX: u64 = 256 << 10;
/// Of the kernel's answer to one case.
const DETAIL_CHARS_MAX: usize = 400;

/// Two at a time would be each other's noise.
static PROVING: Mutex<()> = Mutex::const_new(());

/// A line of the attacker.
#[derive(Deserialize)]
struct Line {
    case: String,
    result: String,
    detail: String,
}

/// Attacks, and gives one result for each case that the program has.
pub(super) async fn prove(host: &Host) -> Result<Vec<v1::ProveResult>, Refusal> {
    let Ok(_alone) = PROVING.try_lock() else {
        return Err(Refusal::failed("another proof is running").hint("wait for its end"));
    };
    let program = program()?;
    let cases = cases(&program).await?;
    let config = host.loaded().config;
    let mut stage = Stage::set(&program, &host.work_root)
        .await
        .map_err(|error| Refusal::failed(format!("nothing to attack: {error:#}")))?;
    let attacked = attack(host, &config, &program, &stage).await;
    let stood = stage.clear().await;
    let attacked = attacked?;
    if !stood {
        return Err(Refusal::failed("the process that was attacked has ended")
            .hint("nothing is proven; look at the host's memory and try again"));
    }
    Ok(cases.into_iter().map(|case| attacked.result(case)).collect())
}

/// Beside `cordond`, or where packages put it.
fn program() -> Result<PathBuf, Refusal> {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(|dir| dir.join(PROGRAM));
    let packaged = Path::new("/usr/lib/cordon").join(PROGRAM);
    beside.into_iter().chain([packaged]).find(|path| path.is_file()).ok_or_else(|| {
        Refusal::failed(format!("{PROGRAM} is neither beside cordond nor in /usr/lib/cordon"))
            .hint("install it; without it nothing can be attacked")
    })
}

/// Every case that the program has, so that one without an answer is noticed.
async fn cases(program: &Path) -> Result<Vec<String>, Refusal> {
    let failed = |why: String| Refusal::failed(format!("{PROGRAM} does not list its cases: {why}"));
    let mut command = Command::new(program);
    command.args(["attack", "list"]).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(STEP_TIMEOUT, command.output())
        .await
        .map_err(|_| failed(format!("no answer within {STEP_TIMEOUT:?}")))?
        .map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let cases: Vec<String> = text.lines().map(str::to_owned).collect();
    if cases.is_empty() {
        return Err(failed(output.status.to_string()));
    }
    Ok(cases)
}

/// What an attack came to.
struct Attacked {
    answers: BTreeMap<String, Line>,
    /// What it saw of the host's files.
    view: View,
    report: JailReport,
    /// How the attacker ended.
    end: String,
}

async fn attack(
    host: &Host,
    config: &Config,
    program: &Path,
    stage: &Stage,
) -> Result<Attacked, Refusal> {
    let failed = |error: &dyn std::error::Error| {
        let why = crate::session::chain(error);
        Refusal::failed(format!("the jail was not made: {why}"))
            .hint("a connector would not start either; see `cordon doctor`")
    };
    let mut connector = config.plain_connector(NAME, program).map_err(|error| failed(&error))?;
    connector.args = ["attack", "all"].map(str::to_owned).to_vec();
    connector.args.extend(stage.targets(config, &connector.isolation.network));
    let view = connector.isolation.view.clone();
    let spec = crate::process::launch_spec(&connector, &host.work_root, &host.tag)
        .map_err(|error| failed(&error))?;
    let mut jailed = host.launcher.spawn(spec).await.map_err(|error| failed(&error))?;
    let report = jailed.report().clone();
    let mut text = Vec::new();
    if let Some(output) = jailed.take_output() {
        // What is longer or later is not heard; its cases count as skipped.
        let _ =
            timeout(ATTACKS_TIMEOUT, output.take(OUTPUT_BYTES_MAX).read_to_end(&mut text)).await;
    }
    // One that ended already is not killed, and tells how it ended.
    let end = match timeout(Duration::from_millis(500), jailed.wait()).await {
        Ok(death) => death.cause.to_string(),
        Err(_) => {
            jailed.killer().kill(KillReason::Timeout);
            jailed.wait().await.cause.to_string()
        }
    };
    let lines = text.split(|byte| *byte == b'\n');
    let answers = lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok());
    let answers = answers.map(|line| (line.case.clone(), line)).collect();
    Ok(Attacked { answers, view, report, end })
}

impl Attacked {
    fn result(&self, case: String) -> v1::ProveResult {
        let (result, detail) = match self.answers.get(&case) {
            None => (format!("skipped: no answer; the attacker {}", self.end), String::new()),
            Some(line) => match line.result.as_str() {
                "denied" => ("denied".to_owned(), shorten(&line.detail)),
                skipped if skipped.starts_with("skipped: ") => (shorten(skipped), String::new()),
                // Whatever else it says, it was not denied.
                _ => {
                    let missing = walls::missing(&case, &self.view, &self.report);
                    let detail = shorten(&line.detail);
                    let detail =
                        if missing.is_empty() { detail } else { format!("{missing}; {detail}") };
                    ("ALLOWED".to_owned(), detail)
                }
            },
        };
        v1::ProveResult { case, result, detail }
    }
}

fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(DETAIL_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a case to which this was answered.
    fn result(answer: Option<(&str, &str)>) -> v1::ProveResult {
        let line = answer.map(|(result, detail)| {
            let (result, detail) = (result.to_owned(), detail.to_owned());
            ("kill".to_owned(), Line { case: "kill".to_owned(), result, detail })
        });
        let report = JailReport {
            name: NAME.into(),
            pid: 2,
            uid: 61_200,
            gid: 61_200,
            program: "/usr/lib/cordon/cordon-hostile".into(),
            program_digest: String::new(),
            interpreter: None,
            seccomp_digest: String::new(),
            channel: "socketpair".into(),
            private_dir: "/x".into(),
            cgroups: Vec::new(),
            items: Vec::new(),
        };
        let end = "exited with code 1".to_owned();
        let answers = line.into_iter().collect();
        Attacked { answers, view: View::ReadOnly, report, end }.result("kill".to_owned())
    }

    #[test]
    fn a_case_without_an_answer_is_not_denied() {
        let found = result(None);
        assert_eq!(found.result, "skipped: no answer; the attacker exited with code 1");
    }

    #[test]
    fn an_answer_that_is_not_a_denial_is_none() {
        for said in ["ALLOWED", "", "denied ", "Denied", "skipped"] {
            assert_eq!(result(Some((said, ""))).result, "ALLOWED", "{said:?}");
        }
        assert_eq!(result(Some(("denied", ""))).result, "denied");
    }

    #[test]
    fn what_the_attacker_says_is_short_and_plain() {
        let long = format!("\u{1b}[2J{}", "x".repeat(10_000));
        let found = result(Some(("denied", &long)));
        assert_eq!(found.detail.len(), DETAIL_CHARS_MAX);
        assert!(!found.detail.contains('\u{1b}'));
    }
}
