//! What a configuration may say, and what it is told when it may not.

use std::path::Path;

use super::Config;

/// Writes a configuration beside a program `prog` and reads it; renders the error.
fn check(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("prog"), "").unwrap();
    let path = dir.path().join("cordon.toml");
    std::fs::write(&path, text).unwrap();
    match Config::read(&path) {
        Ok(config) => format!("ok: {} connectors", config.connectors.len()),
        Err(error) => error.to_string().replace(&dir.path().display().to_string(), ""),
    }
}

#[test]
fn the_smallest_configuration_has_every_default() {
    assert_eq!(check("version = 1"), "ok: 0 connectors");
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_name() {
    let text = "version = 1\n[connector.hr]\nuse = \"./prog\"\nlimit = 3\n";
    assert_eq!(
        check(text),
        "unknown field `limit`, expected one of `use`, `args`, `every`, `cron`, `tz`, `labels`, \
         `config`, `limits`, `allow`, `isolation`, `pin`, `restart`, `idle_timeout`, `guard`\n  --> \
         /cordon.toml:4:1\n   4 | limit = 3\n     | ^^^^^\n  hint: did you mean `limits`?"
    );
}

#[test]
fn a_wrong_type_is_refused_with_its_place() {
    let text = "version = 1\n[connector.hr]\nuse = \"./prog\"\nevery = 15\n";
    let error = check(text);
    assert!(error.contains("/cordon.toml:4:9"), "{error}");
}

#[test]
fn a_wrong_type_names_its_key_and_what_belongs_there() {
    // Whoever reads it knows neither our types nor those of the program that reads it.
    for (guard, told) in [
        (
            "removed.user = 10",
            "`guard.removed.user` is a number and has to be a limit such as { percent = 10, count = 50, floor = 5 }",
        ),
        ("removed = 10", "`guard.removed` is a number and has to be a table"),
        (
            "removed.user = { percent = \"10\" }",
            "`guard.removed.user.percent` is a text and has to be a number",
        ),
        (
            "reread = \"2m\"",
            "`guard.reread` is a text and has to be a table such as { after = \"2m\", times = 1 }",
        ),
        ("governs = \"leavers\"", "`guard.governs` is a text and has to be a list"),
        ("risk = 3", "`guard.risk` has to be a text"),
        ("freshness = 6", "`guard.freshness` is a number and has to be a time span such as \"6h\""),
        (
            "freshness = \"6 parsecs\"",
            "`guard.freshness` is no time span; write it like \"6h\" or \"2h 30m\"",
        ),
        (
            "budget = [{ within = 7, percent = 3 }]",
            "`guard.budget.within` is a number and has to be a text",
        ),
        (
            "schema.required = [\"mail\"]",
            "`guard.schema.required`: \"mail\" is not a label, a dot and an attribute",
        ),
        ("rule.x = 3", "`guard.rule.x` is a number and has to be a rule such as"),
    ] {
        let error = check(&format!("version = 1\n[guard]\n{guard}\n"));
        assert!(error.starts_with(told), "{guard}: {error}");
        assert!(error.contains("/cordon.toml:3:"), "{guard}: {error}");
    }
    let error = check("version = 1\n[connector.hr]\nuse = \"./prog\"\nlimits = { memory = 128 }\n");
    let told = "`connector.hr.limits.memory` is a number and has to be a size such as \"128MiB\"";
    assert!(error.starts_with(told), "{error}");
}

#[test]
fn a_word_that_is_not_allowed_names_its_key_and_the_nearest() {
    let error = check("version = 1\n[guard]\nfirst_sync = \"revieww\"\n");
    let told = "`guard.first_sync`: unknown variant `revieww`, expected `trust` or `review`";
    assert!(error.starts_with(told), "{error}");
    assert!(error.ends_with("hint: did you mean `review`?"), "{error}");
}

#[test]
fn a_span_without_sense_says_how_to_write_one() {
    let error = check("version = 1\n[connector.hr]\nuse = \"./prog\"\nevery = \"soon\"\n");
    assert!(error.contains("\"soon\" is no time span; write it like \"15m\""), "{error}");
    assert!(error.contains("/cordon.toml:4:9"), "{error}");
}

#[test]
fn a_missing_program_names_where_it_was_looked_for() {
    let error = check("version = 1\n[connector.hr]\nuse = \"nonesuch\"\n");
    assert!(error.contains("connector `hr`: use = \"nonesuch\": no such connector"), "{error}");
    assert!(error.contains("/usr/lib/cordon/connectors/connector-nonesuch"), "{error}");
}

#[test]
fn a_sink_that_names_no_connector_is_refused() {
    let error = check("version = 1\n[sink.x]\ntype = \"file\"\npath = \"x\"\nfrom = [\"hr\"]\n");
    assert!(error.contains("sink `x`: `from` names `hr`"), "{error}");
}

#[test]
fn a_literal_secret_is_refused_and_not_repeated() {
    let sink = "type = \"webhook\"\nurl = \"https://x\"\nsecret = \"hunter2\"\n";
    let error = check(&format!("version = 1\n[sink.x]\n{sink}"));
    assert!(error.contains("a secret is written as a reference"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn every_and_cron_exclude_each_other() {
    let text =
        "version = 1\n[connector.hr]\nuse = \"./prog\"\nevery = \"1h\"\ncron = \"* * * * *\"\n";
    assert!(check(text).contains("`every` and `cron` exclude each other"));
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::read(Path::new("/nonexistent/cordon.toml")).unwrap_err().to_string();
    assert!(error.contains("cannot read the configuration"), "{error}");
    assert!(error.contains("/nonexistent/cordon.toml"), "{error}");
}

#[test]
fn a_version_from_the_future_is_refused() {
    assert!(check("version = 2").contains("version 2 is not known"));
}
