//! `cordon connector test`: passes on what ships, and names the case that a faulty connector fails.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cordon_testkit::programs;
use cordon_testkit::scenario::{Act, Scenario};
use serde_json::{Value, json};
use tempfile::TempDir;

mod servers;

/// What a suite said of a program.
pub(crate) struct Report {
    pub(crate) code: i32,
    pub(crate) document: Value,
    told: String,
}

impl Report {
    /// The cases with that result.
    pub(crate) fn with(&self, result: &str) -> Vec<&str> {
        let items = self.document["items"].as_array().unwrap_or_else(|| panic!("{}", self.told));
        let named = items.iter().filter(|item| item["result"] == result);
        named.filter_map(|item| item["name"].as_str()).collect()
    }

    /// Why a case was not passed.
    pub(crate) fn why(&self, case: &str) -> &str {
        let items = self.document["items"].as_array().unwrap();
        items.iter().find(|item| item["name"] == case).unwrap()["why"].as_str().unwrap()
    }
}

/// Runs the suite on a program, with settings in that folder.
#[track_caller]
pub(crate) fn suite(program: &Path, folder: &Path, settings: &str, more: &[&str]) -> Report {
    let config = folder.join("dev.toml");
    std::fs::write(&config, settings).unwrap();
    let output = Command::new(programs::path("cordon"))
        .args(["connector", "test", "-o", "json", "--config"])
        .arg(&config)
        .args(more)
        .arg(program)
        .env_remove("CORDON_FAULT")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let document = serde_json::from_slice(&output.stdout).unwrap_or_default();
    Report { code: output.status.code().unwrap_or(-1), document, told }
}

/// A folder that connectors of any user can read.
pub(crate) fn folder() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().permissions(open).tempdir().unwrap()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A connector that ships passes, and cannot be judged in just these cases.
#[track_caller]
pub(crate) fn passes(program: &str, settings: &str, unjudged: &[&str]) {
    let folder = folder();
    let settings = settings.replace("{repository}", &repository().display().to_string());
    let report = suite(&programs::path(program), folder.path(), &settings, &[]);
    assert_eq!(report.with("failed"), [""; 0], "{} {}", report.told, report.document);
    assert_eq!(report.code, 0, "{}", report.told);
    let skipped = report.with("skipped");
    assert_eq!(skipped, unjudged, "{}", report.document);
    for case in skipped {
        assert!(!report.why(case).is_empty(), "{case} was skipped without a reason");
    }
}

/// Cases that need a source which only its author can break.
const BROKEN_SOURCES: [&str; 5] = [
    "a_truncated_source_is_incomplete",
    "a_failing_source_is_no_short_success",
    "a_paging_loop_ends",
    "a_rate_limit_is_honoured",
    "hostile_attributes_are_survived",
];

/// The cases that need a larger source, and a secret.
const REST: [&str; 3] =
    ["a_slow_reader_costs_no_memory", "it_keeps_its_memory_limit", "no_secret_is_told"];

#[test]
fn the_example_conforms() {
    let mut unjudged = vec!["no_watermark_goes_back"];
    unjudged.extend(BROKEN_SOURCES);
    unjudged.extend(REST);
    passes(
        "connector-example",
        "config = { path = \"{repository}/connectors/connector-example/fixtures/teams.json\" }\n\
         allow = { read = [\"{repository}/connectors/connector-example/fixtures\"] }",
        &unjudged,
    );
}

#[test]
fn connector_csv_conforms_also_on_a_large_export_and_on_one_that_is_cut() {
    let sources = folder();
    let row = |id: u32| format!("w{id},Worker {id},worker{id}@example.com\n");
    let export = |rows: u32| -> String {
        format!("worker_id,name,email\n{}", (0..rows).map(row).collect::<String>())
    };
    let at = |name: &str| sources.path().join(name).display().to_string();
    std::fs::write(at("small.csv"), export(500)).unwrap();
    std::fs::write(at("large.csv"), export(150_000)).unwrap();
    // A manifest that counts more rows than the file has.
    std::fs::write(at("cut.csv"), export(300)).unwrap();
    std::fs::write(at("cut.manifest.json"), r#"{ "rows": 500 }"#).unwrap();
    std::fs::write(at("small.manifest.json"), r#"{ "rows": 500 }"#).unwrap();
    std::fs::write(at("large.manifest.json"), r#"{ "rows": 150000 }"#).unwrap();
    let hostile =
        "worker_id,name,email\nw1,\"a\u{1b}[2J\u{202e}b\",x\nw2,\"=cmd|' /C calc'!A0\",y\n";
    std::fs::write(at("hostile.csv"), hostile).unwrap();
    std::fs::write(at("hostile.manifest.json"), r#"{ "rows": 2 }"#).unwrap();
    let folder = sources.path().display();
    let settings = format!(
        "config = {{ path = \"{folder}/small.csv\", key = \"worker_id\", total = {{ manifest = \"{{stem}}.manifest.json\" }} }}\n\
         allow = {{ read = [\"{folder}\"] }}\nlimits = {{ memory = \"64MiB\" }}\n\
         [test.large]\npath = \"{folder}/large.csv\"\n\
         [test.truncated]\npath = \"{folder}/cut.csv\"\n\
         [test.hostile]\npath = \"{folder}/hostile.csv\"\n"
    );
    passes(
        "connector-csv",
        &settings,
        &[
            "a_failing_source_is_no_short_success",
            "a_paging_loop_ends",
            "a_rate_limit_is_honoured",
            "no_secret_is_told",
        ],
    );
}

#[test]
fn connector_linux_conforms() {
    let mut unjudged = vec!["a_wrong_type_is_refused_by_name"];
    unjudged.extend(BROKEN_SOURCES);
    unjudged.extend(REST);
    passes(
        "connector-linux",
        "config = { include = [\"users\", \"groups\"] }\n\
         allow = { read = [\"/etc/passwd\", \"/etc/group\", \"/etc/login.defs\"] }",
        &unjudged,
    );
}

/// The faulty connector on its scenario.
fn faulty(scenario: &Scenario, only: &[&str]) -> Report {
    let folder = folder();
    let file = folder.path().join("scenario.json");
    std::fs::write(&file, serde_json::to_string(scenario).unwrap()).unwrap();
    let secrets = json!({ "key": "correct-horse-battery" });
    let file = file.display();
    let settings = format!(
        "args = [\"--scenario\", \"{file}\"]\n\
         config = {{ file = \"{file}\", secrets = {{ key = {} }} }}\n\
         allow = {{ read = [\"{}\"] }}\n",
        secrets["key"],
        folder.path().display()
    );
    let cases = only.join(",");
    let mut more = vec!["--call-timeout", "1s", "--sync-timeout", "3s"];
    if !only.is_empty() {
        more.extend(["--only", &cases]);
    }
    suite(&programs::path("connector-faulty"), folder.path(), &settings, &more)
}

#[test]
fn the_faulty_connector_conforms_while_nothing_is_wrong_with_it() {
    let scenario = Scenario {
        looks_up: true,
        totals: true,
        ..Scenario::with("start", "secret-field:secrets.key")
    };
    let report = faulty(&scenario, &[]);
    assert_eq!(report.with("failed"), [""; 0], "{}", report.document);
    assert_eq!(report.code, 0, "{}", report.told);
    // The schema that marks its secret knows no other field.
    let mut unjudged = vec!["a_wrong_type_is_refused_by_name", "no_watermark_goes_back"];
    unjudged.extend(BROKEN_SOURCES);
    unjudged.extend(["a_slow_reader_costs_no_memory", "it_keeps_its_memory_limit"]);
    assert_eq!(report.with("skipped"), unjudged, "{}", report.document);
}

const SYNC: &str = "every_scope_is_closed_and_counted";
const RECORDS: &str = "every_record_is_well_formed";
const LOOKUP: &str = "a_lookup_agrees_with_the_sync";
const LOG: &str = "its_log_can_be_kept";

/// Where a fault is, what it is, and the case that finds it.
const FAULTS: [(&str, &str, &str); 66] = [
    ("page:2", "crash", SYNC),
    ("page:2", "abort", SYNC),
    ("page:2", "exit:7", SYNC),
    ("page:2", "exit-zero-mid-stream", SYNC),
    ("page:2", "hang", SYNC),
    ("page:2", "hang-ignore-term", SYNC),
    ("page:1", "slow:200", SYNC),
    ("page:2", "endless", SYNC),
    ("page:1", "progress-only", SYNC),
    ("page:1", "progress-stuck", SYNC),
    ("page:1", "checkpoints", SYNC),
    ("page:1", "empty-batches", SYNC),
    ("page:1", "bulky:3", SYNC),
    ("page:2", "garbage-bytes", SYNC),
    ("page:2", "half-message", SYNC),
    ("page:2", "error:unavailable", SYNC),
    ("page:2", "stop-self", SYNC),
    ("page:1", "memory-hog", SYNC),
    ("page:1", "giant-batch", SYNC),
    ("page:1", "many-records", SYNC),
    ("scope-end:users", "wrong-count", SYNC),
    ("sync-end", "wrong-sync-count", SYNC),
    ("scope-end:groups", "unclosed-scope", SYNC),
    ("scope-end:users", "closed-twice", SYNC),
    ("scope-end:users", "batch-after-end", SYNC),
    ("page:1", "unknown-scope", SYNC),
    ("scope-begin:groups", "scope-twice", SYNC),
    ("sync-end", "no-sync-end", SYNC),
    ("sync-end", "after-sync-end", SYNC),
    ("sync-end", "empty", SYNC),
    ("sync-end", "truncate:60", SYNC),
    ("sync-end", "lie-total", SYNC),
    ("page:1", "bad-utf8", SYNC),
    ("page:1", "bad-lengths", SYNC),
    ("sync-end", "duplicate-keys", "no_record_is_reported_twice"),
    ("sync-end", "dangling-grants", "no_grant_dangles"),
    ("sync-end", "incomplete:users", "no_grant_dangles"),
    ("sync-end", "gone:users", "no_grant_dangles"),
    ("sync-end", "control-characters", RECORDS),
    ("page:1", "undeclared-column", RECORDS),
    ("sync-end", "null-attribute:id", RECORDS),
    ("sync-end", "rekey", LOOKUP),
    ("lookup", "say:present", LOOKUP),
    ("lookup", "say:absent", LOOKUP),
    ("lookup", "say:unknown", LOOKUP),
    ("lookup", "short-answer", LOOKUP),
    ("lookup", "say:present", "a_hostile_question_is_survived"),
    ("lookup", "crash", "a_hostile_question_is_survived"),
    ("start", "future-protocol", "describe_is_consistent"),
    ("start", "exit:3", "describe_is_consistent"),
    ("describe", "hang", "describe_is_consistent"),
    ("configure", "hang", "the_configuration_is_taken"),
    ("configure", "error:auth", "the_configuration_is_taken"),
    ("check", "error:auth", "the_configuration_is_taken"),
    ("page:1", "log-flood", LOG),
    ("page:1", "log-line:10000", LOG),
    ("page:1", "close-output", LOG),
    ("page:1", "leak-secret:log", "no_secret_is_told"),
    ("page:1", "leak-secret:error", "no_secret_is_told"),
    ("page:1", "leak-secret:status", "no_secret_is_told"),
    ("page:1", "leak-secret:progress", "no_secret_is_told"),
    ("scope-end:users", "leak-secret:reason", "no_secret_is_told"),
    ("scope-begin", "leak-secret:scope", "no_secret_is_told"),
    ("page:1", "leak-secret:log", "nothing_is_written_to_stdout"),
    ("page:1", "cpu-hog", "it_rests_between_syncs"),
    ("page:1", "fork-children:2", "it_leaves_no_process_behind"),
];

/// Faults that no question shows, and why.
const UNSEEN: [(&str, &str); 5] = [
    ("dial", "the walls stop it; no connector can be asked where it would go"),
    ("schema-drop", "another description is another connector, not a fault"),
    ("schema-require", "another description is another connector, not a fault"),
    ("schema-type", "another description is another connector, not a fault"),
    ("secret-field", "it marks a field as secret, which is no fault"),
];

/// Each fault of a share of them fails in its case, by name.
fn each_is_named(share: usize) {
    for (at, act, case) in FAULTS.iter().skip(share).step_by(4) {
        let looks_up = *at == "lookup" || *act == "rekey";
        let scenario = Scenario { looks_up, totals: true, ..Scenario::with(at, act) };
        let scenario = match act.starts_with("leak-secret") {
            true => scenario.and("start", "secret-field:secrets.key"),
            false => scenario,
        };
        let report = faulty(&scenario, &[case]);
        assert_eq!(report.with("failed"), [*case], "{act} at {at}: {}", report.document);
        assert_eq!(report.code, 1, "{act} at {at}: {}", report.told);
        assert!(!report.why(case).is_empty(), "{act} at {at} fails without a reason");
    }
}

#[test]
fn each_fault_fails_in_the_case_that_is_named_first_share() {
    each_is_named(0);
}

#[test]
fn each_fault_fails_in_the_case_that_is_named_second_share() {
    each_is_named(1);
}

#[test]
fn each_fault_fails_in_the_case_that_is_named_third_share() {
    each_is_named(2);
}

#[test]
fn each_fault_fails_in_the_case_that_is_named_fourth_share() {
    each_is_named(3);
}

#[test]
fn no_fault_of_the_faulty_connector_is_left_out() {
    let error = "no-such-act".parse::<Act>().unwrap_err().to_string();
    let (_, words) = error.split_once("there are ").unwrap();
    let known: BTreeSet<&str> = words.split_whitespace().collect();
    let word = |act: &'static str| act.split(':').next().unwrap_or(act);
    let tried = FAULTS.iter().map(|(_, act, _)| word(act));
    let tried: BTreeSet<&str> = tried.chain(UNSEEN.iter().map(|(act, _)| *act)).collect();
    assert_eq!(tried, known);
}

#[test]
fn a_fault_is_blamed_on_one_case_and_the_others_say_that_they_were_not_judged() {
    let report = faulty(&Scenario::with("page:2", "crash"), &[]);
    assert_eq!(report.with("failed"), [SYNC], "{}", report.document);
    assert!(report.why(SYNC).contains("signal: 11"), "{}", report.why(SYNC));
    for case in ["no_grant_dangles", "it_runs_behind_its_walls", "it_rests_between_syncs"] {
        assert_eq!(report.why(case), format!("see {SYNC}"), "{case}");
    }
}

/// What the suite says of one source that is not in order, played by the faulty connector.
fn broken_source(source: &str, at: &str, act: &str, case: &str) -> Report {
    let folder = folder();
    let write = |name: &str, scenario: &Scenario| {
        let path = folder.path().join(name);
        std::fs::write(&path, serde_json::to_string(scenario).unwrap()).unwrap();
        path.display().to_string()
    };
    let whole = write("whole.json", &Scenario::default());
    let broken = write("broken.json", &Scenario::with(at, act));
    let settings =
        format!("config = {{ file = \"{whole}\" }}\n[test.{source}]\nfile = \"{broken}\"");
    let more = ["--only", case, "--call-timeout", "1s", "--sync-timeout", "3s"];
    suite(&programs::path("connector-faulty"), folder.path(), &settings, &more)
}

#[test]
fn what_is_made_of_a_broken_source_decides_and_a_short_success_never_passes() {
    let (cut, fails) = ("a_truncated_source_is_incomplete", "a_failing_source_is_no_short_success");
    let (limited, hostile) = ("a_rate_limit_is_honoured", "hostile_attributes_are_survived");
    for (source, at, act, case, result) in [
        ("truncated", "sync-end", "truncate:60", cut, "failed"),
        ("truncated", "sync-end", "incomplete:users", cut, "passed"),
        ("truncated", "page:2", "error:incomplete", cut, "passed"),
        ("failing", "page:2", "error:unavailable", fails, "passed"),
        ("failing", "page:2", "error:bug", fails, "failed"),
        ("failing", "sync-end", "truncate:60", fails, "failed"),
        ("paging_loop", "page:2", "endless", "a_paging_loop_ends", "failed"),
        ("rate_limited", "page:2", "error:rate-limited", limited, "passed"),
        ("rate_limited", "page:2", "error:unavailable", limited, "failed"),
        ("hostile", "sync-end", "control-characters", hostile, "failed"),
        ("hostile", "sync-end", "null-attribute:email", hostile, "passed"),
    ] {
        let report = broken_source(source, at, act, case);
        assert_eq!(report.with(result), [case], "{source}, {act}: {}", report.document);
    }
}

#[test]
fn a_case_is_left_out_only_with_a_reason_and_is_not_passed_then() {
    let scenario = Scenario::with("sync-end", "dangling-grants");
    let folder = folder();
    let settings = format!("config = {}", toml_of(&scenario));
    let program = programs::path("connector-faulty");
    let skip =
        ["--only", "no_grant_dangles", "--skip", "no_grant_dangles=groups come from elsewhere"];
    let report = suite(&program, folder.path(), &settings, &skip);
    assert_eq!((report.code, report.with("skipped")), (0, vec!["no_grant_dangles"]));
    assert!(report.why("no_grant_dangles").ends_with("groups come from elsewhere"));
    let strict: Vec<&str> = skip.iter().copied().chain(["--exit-code"]).collect();
    assert_eq!(suite(&program, folder.path(), &settings, &strict).code, 3);
    for wrong in [["--skip", "no_grant_dangles="], ["--skip", "no_such_case=why"], ["--only", "x"]]
    {
        assert_eq!(suite(&program, folder.path(), &settings, &wrong).code, 2, "{wrong:?}");
    }
}

/// A scenario as an inline table.
fn toml_of(scenario: &Scenario) -> String {
    let fault = &scenario.faults[0];
    format!("{{ faults = [{{ at = \"{}\", do = \"{}\" }}] }}", fault.at, fault.act)
}
