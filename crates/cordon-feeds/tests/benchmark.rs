//! The benchmark as a program: what it prints, and what becomes of feeds that are not right.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cordon_testkit::capability::skipped;

fn run(feeds: &Path, args: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_cordon-feeds");
    Command::new(program).arg("--feeds").arg(feeds).args(args).output().unwrap()
}

fn put(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), zstd::encode_all(text.as_bytes(), 3).unwrap()).unwrap();
}

/// A source of forty users in two groups, over two days, and one case in which it is empty.
fn small(folder: &Path) -> (String, String) {
    let user = |n: u32| format!(r#"["u","u{n}",{{"login":"login-{n}","id":"u{n}","num":{n}}}]"#);
    let grant = |n: u32| format!(r#"["m","u{n}","g{}","member",{{"role":"member"}}]"#, n % 2);
    let users: Vec<String> = (0..40).map(user).collect();
    let grants: Vec<String> = (0..40).map(grant).collect();
    let groups = r#"["g","g0",{"kind":"team"}],["g","g1",{"kind":"team"}]"#;
    let daily = format!(
        "{}\n{{\"day\":100,\"add\":[{},{groups},{}]}}\n{{\"day\":140,\"add\":[{}]}}\n",
        r#"{"v":1,"feed":"small","order":"id","timestamps":false}"#,
        users.join(","),
        grants.join(","),
        user(41),
    );
    let gone: Vec<String> = (0..40)
        .flat_map(|n| {
            [format!(r#"["m","u{n}","g{}","member"]"#, n % 2), format!(r#"["u","u{n}"]"#)]
        })
        .collect();
    let case = format!(
        r#"{{"kind":"single","day":120,"variant":"empty","class":"empty","affected":82,"delta":{{"del":[{},["g","g0"],["g","g1"]]}}}}"#,
        gone.join(",")
    );
    put(folder, "small.daily.jsonl.zst", &daily);
    put(folder, "small.cases.jsonl.zst", &case);
    (daily, case)
}

#[test]
fn an_empty_source_is_caught_and_the_figures_have_their_names() {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    let output = run(folder.path(), &["--output", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["syncs"], 41);
    let own = &report["detectors"][0];
    assert_eq!(own["name"], "cordon");
    assert_eq!(own["recall"], 1.0);
    assert_eq!(own["by_class"]["empty"], 1.0);
    assert_eq!(own["false_per_feed_year"], 0.0);
    for budget in ["0.5", "1", "2", "4"] {
        assert_eq!(own["at_budget"][budget], 1.0);
    }
    for key in ["false_without_mass", "recall_5plus"] {
        assert!(own[key].is_number(), "{key}");
    }
    assert_eq!(own["by_feed_at_budget"]["small"]["1"], 1.0);
    assert_eq!(report["changed_days"], 1);
    let again = &report["second_reading"];
    assert_eq!(again["name"], "cordon-read-again");
    assert_eq!(again["recall"], 1.0);
    assert_eq!(again["by_class"]["empty"], 1.0);
    assert_eq!(again["readings_per_feed_year"], 0.0);
    assert_eq!(report["explained"], serde_json::Value::Null);
}

/// With a threshold that nothing reaches every fault is missed, so that there is something to explain.
#[test]
fn what_is_explained_is_part_of_the_json() {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    let output = run(folder.path(), &["--output", "json", "--explain", "--hold", "1000"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let missed = &report["explained"]["missed"][0];
    assert_eq!(missed["variant"], "empty");
    assert_eq!(missed["feed"], "small");
    assert_eq!(missed["read_again"], true);
    assert!(missed["why"][0]["statistic"].is_string(), "{missed}");
    assert_eq!(report["explained"]["held"], serde_json::json!([]));
    assert_eq!(report["second_reading"]["recall"], 1.0);
}

#[test]
fn misses_are_written_one_by_one_beside_what_each_feed_has_of_a_class() {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    let page = folder.path().join("misses.md");
    let page = page.to_str().unwrap();
    let output = run(folder.path(), &["--write-misses", page]);
    assert!(!output.status.success(), "a prior that has seen the feeds tells nothing of others");
    let output = run(folder.path(), &["--leave-one-out", "--hold", "1000", "--write-misses", page]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(page).unwrap();
    assert!(text.contains("\n| empty | 0.0 % | 100 % | 0/1 |\n"), "{text}");
    assert!(text.contains("\n| empty | small | 120 | 82 | yes | "), "{text}");
    let caught = run(folder.path(), &["--leave-one-out", "--write-misses", page]);
    assert!(caught.status.success());
    let text = fs::read_to_string(page).unwrap();
    assert!(text.contains("\n| empty | 100 % | 100 % | 1/1 |\n"), "{text}");
    assert!(!text.contains("| small | 120 |"), "{text}");
}

#[test]
fn a_feed_that_is_not_right_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let (daily, case) = small(folder.path());
    let whole = fs::read(folder.path().join("small.daily.jsonl.zst")).unwrap();
    let told = || {
        let output = run(folder.path(), &[]);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };

    fs::write(folder.path().join("small.daily.jsonl.zst"), &whole[..whole.len() / 2]).unwrap();
    assert!(told().contains("damaged or cut short"));

    put(folder.path(), "small.daily.jsonl.zst", &daily.replace("\"day\":140", "\"day\":99"));
    assert!(told().contains("line 3: days do not ascend"));

    put(folder.path(), "small.daily.jsonl.zst", &daily.replace("\"v\":1", "\"v\":2"));
    assert!(told().contains("version 2 of the format is not known"));

    put(folder.path(), "small.daily.jsonl.zst", &daily.replace("\"day\":140", "\"day\":99999999"));
    assert!(told().contains("more than a century"));

    put(folder.path(), "small.daily.jsonl.zst", "");
    assert!(told().contains("the file is empty"));

    put(folder.path(), "small.daily.jsonl.zst", &daily);
    put(folder.path(), "small.cases.jsonl.zst", &case.replace("\"u39\"", "\"nobody\""));
    assert!(told().contains("what is removed is not there"));

    put(folder.path(), "small.cases.jsonl.zst", &case.replace("\"day\":120", "\"day\":7"));
    assert!(told().contains("cases on days that the feed does not have"));
}

#[test]
fn a_folder_without_feeds_is_said_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &[]);
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("holds no feed"));
}

/// What is promised of sources that the prior has not seen, by statistics alone. Every feed is judged by
/// a prior of the others, so that none of these figures has met its own history.
#[test]
fn real_histories_that_the_prior_never_saw_keep_the_promised_recall() {
    let Some(feeds) = std::env::var_os("CORDON_FEEDS").map(PathBuf::from) else {
        return skipped("feeds");
    };
    let output = run(&feeds, &["--leave-one-out", "--output", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let detectors = report["detectors"].as_array().unwrap();
    let at = |detector: &serde_json::Value, budget: &str| {
        detector["at_budget"][budget].as_f64().unwrap()
    };
    let own = &detectors[0];
    assert!(at(own, "1") >= 0.92 && at(own, "2") >= 0.97, "{own}");
    let again = &report["second_reading"];
    assert!(again["recall"].as_f64().unwrap() >= 0.98, "{again}");
    for other in &detectors[1..] {
        assert!(at(own, "1") > at(other, "1") && at(own, "2") > at(other, "2"), "{other}");
    }
}
