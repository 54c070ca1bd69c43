//! Whole syncs over the wire: a good feed, and everything that is known to go wrong with one.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cordon_sdk::testing::{Collected, Harness, sync_once};
use cordon_sdk::{Error, ScopeOutcome, Value};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::config::Config;
use crate::feed::{Ending, Feed, OpenError};
use crate::hr::Hr;

fn example() -> Json {
    json!({
        "path": concat!(env!("CARGO_MANIFEST_DIR"), "/tests/feed/workers-*.csv"),
        "key": "worker_id",
        "columns": {
            "name": "display_name",
            "email": "mail",
            "title": "title",
            "start_date": { "column": "hired", "format": "%d.%m.%Y" },
        },
        "status": { "column": "state", "active": ["A", "L"] },
        "manager": "manager_id",
        "parent": { "column": "department", "type": "group" },
        "groups": { "column": "teams", "separator": ";" },
        "total": { "manifest": "{stem}.manifest.json" },
    })
}

cordon_sdk::conformance!(Hr, config = example());

/// A folder with a feed that a test may damage.
struct Folder(TempDir);

impl Folder {
    fn new(text: impl AsRef<[u8]>) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("workers.csv", text);
        folder
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("workers.csv")
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.0.path().join(name), bytes).unwrap();
    }

    /// The least configuration, and whatever else a test sets.
    fn config(&self, more: &Json) -> Json {
        let mut config = json!({ "path": self.path(), "key": "id" });
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        config
    }

    async fn sync(&self, more: Json) -> Collected {
        sync_once::<Hr>(self.config(&more)).await.unwrap()
    }

    /// Why users are incomplete, with the folder's name left out; `complete` when they are not.
    async fn reason(&self, more: Json) -> String {
        let collected = self.sync(more).await;
        match &collected.scope("users").unwrap().outcome {
            ScopeOutcome::Complete => "complete".to_owned(),
            ScopeOutcome::Incomplete { reason } => self.shown(reason),
            ScopeOutcome::Gone => "gone".to_owned(),
        }
    }

    /// The error of a sync, with the folder's name left out.
    async fn error(&self, more: Json) -> (&'static str, String) {
        let error = sync_once::<Hr>(self.config(&more)).await.unwrap_err();
        let kind = match &error {
            Error::BadConfig { .. } => "bad config",
            Error::Incomplete { .. } => "incomplete",
            Error::Unavailable { .. } => "unavailable",
            _ => "other",
        };
        (kind, self.shown(&error.chain()))
    }

    fn shown(&self, text: &str) -> String {
        text.replace(self.0.path().to_str().unwrap(), "")
    }
}

fn text(collected: &Collected, key: &str, column: &str) -> String {
    let row = collected.row(key).unwrap_or_else(|| panic!("no {key} in {:?}", collected.keys()));
    row.values.get(column).map_or_else(|| "-".to_owned(), Value::to_string)
}

fn total(collected: &Collected) -> (u64, Option<u64>) {
    let users = collected.scope("users").unwrap();
    (users.received, users.source_total)
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

const THREE: &str = "id,name\n1,Ada\n2,Bo\n3,Cy\n";

#[tokio::test]
async fn workers_are_reported_as_mapped() {
    let collected = sync_once::<Hr>(example()).await.unwrap();
    for (column, expected) in [
        ("name", "Ada Lovelace"),
        ("email", "ada@example.org"),
        ("title", "Analyst, senior"),
        ("status", "active"),
        ("account_type", "human"),
        ("start_date", "2020-03-01T00:00:00Z"),
        ("owner", "user:w3"),
        ("parent", "group:Research"),
    ] {
        assert_eq!(text(&collected, "user:w1", column), expected, "{column}");
    }
    assert_eq!(text(&collected, "user:w4", "status"), "disabled");
    assert_eq!(text(&collected, "user:w3", "owner"), "-");
    assert_eq!(text(&collected, "user:w2", "name"), "José Ñandú");
    for grant in ["user:w1 -> member:engines", "user:w1 -> member:notes", "user:w2 -> member:notes"]
    {
        assert!(collected.keys().iter().any(|key| key == grant), "no {grant}");
    }
    assert_eq!(total(&collected), (4, Some(4)));
    for scope in &collected.scopes {
        assert_eq!(scope.outcome, ScopeOutcome::Complete, "{}", scope.name);
        assert_eq!(scope.watermark.time.unwrap().to_string(), "2026-03-02T04:00:00Z");
        assert!(scope.watermark.token.as_ref().unwrap().starts_with("sha256:"));
    }
}

#[tokio::test]
async fn without_columns_headers_that_are_attributes_are_taken() {
    let collected = Folder::new("id,name,title,shoe size\n1,Ada,Dr,38\n").sync(json!({})).await;
    assert_eq!(text(&collected, "user:1", "name"), "Ada");
    assert_eq!(text(&collected, "user:1", "title"), "Dr");
}

#[tokio::test]
async fn check_says_what_would_be_read() {
    let notes = Harness::configured::<Hr>(&example()).await.unwrap().check().await.unwrap();
    assert!(notes[0].contains("/tests/feed/workers-10.csv, written "), "{notes:?}");
    assert!(notes[1].contains("email from `mail`"), "{notes:?}");
    assert_eq!(notes[2], "its manifest counts 4 rows");
}

#[tokio::test]
async fn a_missing_mapped_column_names_file_column_header_and_the_nearest_name() {
    let folder = Folder::new("id,Mail,name\n1,a@x,Ada\n");
    let more = json!({ "columns": { "email": "mail" } });
    let expected = "/workers.csv has no column `mail` (columns.email); its header is `id`, `Mail`, \
                    `name`; did you mean `Mail`?";
    assert_eq!(folder.error(more.clone()).await, ("incomplete", expected.to_owned()));

    let mut harness = Harness::configured::<Hr>(&folder.config(&more)).await.unwrap();
    let Error::BadConfig { field, .. } = harness.check().await.unwrap_err() else { panic!() };
    assert_eq!(field, "columns.email");
    let (_, message) = folder.error(json!({ "key": "worker_id" })).await;
    let expected =
        "/workers.csv has no column `worker_id` (key); its header is `id`, `Mail`, `name`";
    assert_eq!(message, expected);
}

#[tokio::test]
async fn a_mapped_column_that_stands_twice_is_an_error() {
    let folder = Folder::new("id,name,id\n1,Ada,2\n");
    let expected = "/workers.csv has column `id` (key) twice, as field 1 and as field 3";
    assert_eq!(folder.error(json!({})).await, ("incomplete", expected.to_owned()));
}

#[tokio::test]
async fn an_empty_file_is_an_error_and_never_an_empty_feed() {
    for text in ["", "\n\r\n", "\u{feff}"] {
        let expected =
            "/workers.csv is empty, without even a header: what was reported before still holds";
        let error = Folder::new(text).error(json!({})).await;
        assert_eq!(error, ("incomplete", expected.to_owned()), "{text:?}");
    }
}

#[tokio::test]
async fn a_missing_file_is_worth_another_try() {
    let folder = Folder::new("");
    fs::remove_file(folder.path()).unwrap();
    let expected = "no file is at /workers.csv: what was reported before still holds";
    assert_eq!(folder.error(json!({})).await, ("unavailable", expected.to_owned()));
}

#[tokio::test]
async fn a_header_without_rows_is_believed_only_when_the_source_says_so() {
    let folder = Folder::new("id,name\n");
    let expected = "/workers.csv has a header and no rows, and nothing says so";
    assert_eq!(folder.reason(json!({})).await, expected);

    let manifest = json!({ "total": { "manifest": "m.json" } });
    folder.write("m.json", "{\"rows\": 0}");
    assert_eq!(folder.reason(manifest.clone()).await, "complete");
    assert_eq!(total(&folder.sync(manifest.clone()).await), (0, Some(0)));
    folder.write("m.json", "{\"rows\": 7}");
    let expected = "/workers.csv has a header and no rows, the source counts 7";
    assert_eq!(folder.reason(manifest).await, expected);
}

#[tokio::test]
async fn rows_that_cannot_be_read_are_named_by_number_and_the_others_are_reported() {
    for (row, fault) in [
        ("2,Bo,x", "row 3: 3 fields where the header has 2"),
        ("2", "row 3: 1 fields where the header has 2"),
        (",Bo", "row 3: column `id` is empty"),
        ("  ,Bo", "row 3: column `id` is empty"),
        (
            "2\u{7},Bo",
            "row 3: column `id`: \"2\\u{7}\" is no id: control characters, or longer than 900 bytes",
        ),
        ("\"2\"x,Bo", "row 3: text follows the closing quote of field 1"),
    ] {
        let folder = Folder::new(format!("id,name\n1,Ada\n{row}\n3,Cy\n"));
        let expected = format!("1 of 3 rows of /workers.csv cannot be read: {fault}");
        assert_eq!(folder.reason(json!({})).await, expected, "{row}");
        assert_eq!(folder.sync(json!({})).await.keys(), ["user:1", "user:3"], "{row}");
    }
}

#[tokio::test]
async fn many_rows_that_cannot_be_read_are_counted() {
    let folder = Folder::new(format!("id,name\n1,Ada\n{}", "x\n".repeat(500)));
    let expected = "500 of 501 rows of /workers.csv cannot be read: \
                    row 3: 1 fields where the header has 2; \
                    row 4: 1 fields where the header has 2; \
                    row 5: 1 fields where the header has 2; and 497 more";
    assert_eq!(folder.reason(json!({})).await, expected);
}

#[tokio::test]
async fn a_quote_that_is_never_closed_is_named_and_what_came_before_is_reported() {
    let folder = Folder::new("id,name\n1,Ada\n2,\"Bo\n3,Cy\n4,Di\n");
    let expected = "1 of 2 rows of /workers.csv cannot be read: row 3: the quote of field 2 is \
                    never closed, and swallows the rest of the file";
    assert_eq!(folder.reason(json!({})).await, expected);
    assert_eq!(folder.sync(json!({})).await.keys(), ["user:1"]);
}

#[tokio::test]
async fn a_byte_in_another_encoding_is_named_by_row_and_place() {
    let folder = Folder::new(b"id,name\n1,Ada\n2,Jos\xe9\n");
    let expected = "1 of 2 rows of /workers.csv cannot be read: \
                    row 3: column `name`: byte 0xE9 at place 4 of the field is not UTF-8";
    assert_eq!(folder.reason(json!({})).await, expected);
    let collected = folder.sync(json!({ "encoding": "windows-1252" })).await;
    assert_eq!(text(&collected, "user:2", "name"), "José");
    let folder = Folder::new(b"id,n\xe4me\n1,Ada\n");
    let expected =
        "the header of /workers.csv cannot be read: byte 0xE4 at place 2 of the field is not UTF-8";
    assert_eq!(folder.error(json!({})).await, ("incomplete", expected.to_owned()));
}

#[tokio::test]
async fn a_byte_order_mark_is_recognised() {
    let utf8 = Folder::new("\u{feff}id,name\n1,José\n");
    let configured = json!({ "encoding": "windows-1252" });
    assert_eq!(text(&utf8.sync(configured).await, "user:1", "name"), "José");
    let wide: Vec<u8> =
        "\u{feff}id,name\r\n1,José\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let collected = Folder::new(wide).sync(json!({})).await;
    assert_eq!(text(&collected, "user:1", "name"), "José");
    let mut broken: Vec<u8> =
        "\u{feff}id,name\n1,Ada\n2,".encode_utf16().flat_map(u16::to_le_bytes).collect();
    broken.extend([0x00, 0xd8, b'x', 0]);
    let reason = Folder::new(broken).reason(json!({})).await;
    let expected =
        "row 3 and all after it cannot be read: the bytes before byte 36 are not UTF-16LE";
    assert!(reason.contains(expected), "{reason}");
}

#[tokio::test]
async fn a_field_beyond_the_bound_is_a_fault_of_its_row() {
    let folder = Folder::new(format!("id,name\n1,{}\n2,Bo\n", "x".repeat(70_000)));
    let expected =
        "1 of 2 rows of /workers.csv cannot be read: row 2: field 2 is longer than 65536 bytes";
    assert_eq!(folder.reason(json!({})).await, expected);
    assert_eq!(folder.sync(json!({})).await.keys(), ["user:2"]);
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_a_fault_of_its_row() {
    let folder = Folder::new("id,hired\n1,2026-02-31\n2,2026-02-28\n");
    let more = json!({ "columns": { "start_date": "hired" } });
    let expected = "1 of 2 rows of /workers.csv cannot be read: row 2: column `hired`: \
                    \"2026-02-31\" is not a time in the configured format";
    assert_eq!(folder.reason(more).await, expected);
}

#[tokio::test]
async fn duplicate_keys_are_reported_as_they_are() {
    let folder = Folder::new("id,name\n1,Ada\n1,Bo\n");
    assert_eq!(folder.reason(json!({})).await, "complete");
    assert_eq!(folder.sync(json!({})).await.keys(), ["user:1", "user:1"]);
}

#[tokio::test]
async fn a_file_cut_at_a_line_is_read_to_its_end_and_the_total_tells() {
    let folder = Folder::new(&THREE[..THREE.len() - 5]);
    folder.write("m.json", "{\"rows\": 3}");
    let more = json!({ "total": { "manifest": "m.json" } });
    assert_eq!(folder.reason(more.clone()).await, "complete");
    assert_eq!(total(&folder.sync(more).await), (2, Some(3)));
}

#[tokio::test]
async fn a_manifest_is_held_against_the_file() {
    let folder = Folder::new(THREE);
    let more = json!({ "total": { "manifest": "m.json" } });
    let manifest = |digest: &str| format!("{{\"rows\": 3, \"sha256\": \"{digest}\"}}");
    folder.write("m.json", manifest(&sha256(THREE).to_uppercase()));
    assert_eq!(folder.reason(more.clone()).await, "complete");

    let (read, other) = (sha256(THREE), "0".repeat(64));
    folder.write("m.json", manifest(&other));
    let expected = format!("/workers.csv has SHA-256 {read}, its manifest says {other}");
    assert_eq!(folder.reason(more.clone()).await, expected);
    assert_eq!(total(&folder.sync(more.clone()).await), (3, Some(3)));

    fs::remove_file(folder.0.path().join("m.json")).unwrap();
    let expected = "/m.json is not there: the export may not be finished, what was reported before \
                    still holds";
    assert_eq!(folder.error(more).await, ("unavailable", expected.to_owned()));
}

#[tokio::test]
async fn a_trailer_counts_and_must_be_the_last_line() {
    let more = json!({ "total": { "trailer": "TRAILER,", "column": 2 } });
    let folder = Folder::new(format!("{THREE}TRAILER,3\n\n"));
    assert_eq!(folder.reason(more.clone()).await, "complete");
    let collected = folder.sync(more.clone()).await;
    assert_eq!(total(&collected), (3, Some(3)));
    assert_eq!(collected.keys(), ["user:1", "user:2", "user:3"]);

    let folder = Folder::new(format!("{THREE}TRAILER,9\n"));
    assert_eq!(folder.reason(more.clone()).await, "complete");
    assert_eq!(total(&folder.sync(more.clone()).await), (3, Some(9)));

    let cut = "/workers.csv ends without its trailer `TRAILER,`: it may be cut";
    assert_eq!(Folder::new(THREE).reason(more.clone()).await, cut);
    let bad = "/workers.csv: field 2 of the trailer in row 5 is not a number";
    assert_eq!(Folder::new(format!("{THREE}TRAILER,many\n")).reason(more.clone()).await, bad);
    let inside = Folder::new("id,name\n1,Ada\nTRAILER,1\n2,Bo\n");
    let expected = "/workers.csv: row 3 is the trailer, but more follow it";
    assert_eq!(inside.reason(more).await, expected);
}

/// Reads a feed whose file is changed after it was opened.
fn read_while(folder: &Folder, change: impl FnOnce()) -> Ending {
    let config: Arc<Config> = Arc::new(serde_json::from_value(folder.config(&json!({}))).unwrap());
    let feed = match Feed::open(&config) {
        Ok(feed) => feed,
        Err(OpenError::Error(error)) => panic!("{}", error.chain()),
        Err(OpenError::Header(fault)) => panic!("{fault}"),
    };
    change();
    let (sender, _receiver) = tokio::sync::mpsc::channel(64);
    feed.read(&config, &sender)
}

#[test]
fn a_file_that_changes_while_it_is_read_is_noticed() {
    let folder = Folder::new(THREE);
    assert_eq!(read_while(&folder, || ()).reason, None);

    let appended = format!("{THREE}4,Di\n");
    let ending = read_while(&folder, || folder.write("workers.csv", &appended));
    let reason = folder.shown(&ending.reason.unwrap());
    let expected = "/workers.csv was written to while it was read (24 bytes before, ";
    assert!(reason.starts_with(expected), "{reason}");

    let ending = read_while(&folder, || {
        folder.write("new", THREE);
        fs::rename(folder.0.path().join("new"), folder.path()).unwrap();
    });
    let expected = "/workers.csv was replaced by another file while it was read";
    assert_eq!(folder.shown(&ending.reason.unwrap()), expected);
}

#[tokio::test]
async fn a_configuration_that_cannot_work_names_its_field() {
    let folder = Folder::new(THREE);
    for (more, field, message) in [
        (json!({ "path": "workers.csv" }), "path", "workers.csv is not an absolute path"),
        (json!({ "path": "/a/***" }), "path", "/a/*** is no pattern"),
        (json!({ "delimiter": "\"" }), "delimiter", "'\"' cannot stand between fields"),
        (json!({ "encoding": "gbk" }), "encoding", "`gbk` is not an encoding that can be read"),
        (
            json!({ "columns": { "titel": "x" } }),
            "columns.titel",
            "`titel` is not an attribute that can be mapped; did you mean `title`?",
        ),
        (
            json!({ "columns": { "zzz": "x" } }),
            "columns.zzz",
            "`custom_1` to `custom_8` are for what has no name",
        ),
        (
            json!({ "columns": { "title": { "column": "x", "format": "%d" } } }),
            "columns.title.format",
            "`title` is not a time, only times have a format",
        ),
        (json!({ "total": {} }), "total", "name a `trailer` or a `manifest`"),
        (
            json!({ "total": { "trailer": "T", "manifest": "m" } }),
            "total",
            "a trailer or a manifest, not both",
        ),
        (
            json!({ "total": { "trailer": "T", "column": 0 } }),
            "total.column",
            "the first field is 1",
        ),
        (
            json!({ "total": { "manifest": "../m" } }),
            "total.manifest",
            "a manifest is a file in the folder of the CSV file",
        ),
        (json!({ "total": { "trailr": "T" } }), "total.trailr", "unknown field `trailr`"),
        (json!({ "columns": { "name": 5 } }), "columns", "expected a header, or a table"),
    ] {
        let error = sync_once::<Hr>(folder.config(&more)).await.unwrap_err();
        let Error::BadConfig { field: found, message: text, .. } = &error else {
            panic!("{more}: {error:?}")
        };
        assert!(found.starts_with(field), "{more}: {found}");
        assert!(text.contains(message), "{more}: {text}");
    }
}

#[tokio::test]
async fn a_hundred_thousand_rows_are_read_in_bounded_time() {
    let mut text = String::from("id,name,department\n");
    for number in 0..100_000 {
        text.push_str(&format!("w{number},Worker {number},D{}\n", number % 50));
    }
    let folder = Folder::new(text);
    let config: Config = serde_json::from_value(folder.config(&json!({}))).unwrap();
    let began = Instant::now();
    let (sender, mut receiver) = tokio::sync::mpsc::channel(4);
    let reading = tokio::task::spawn_blocking(move || {
        Feed::open(&config).ok().map(|feed| feed.read(&config, &sender))
    });
    let mut workers = 0;
    while let Some(lot) = receiver.recv().await {
        workers += lot.len();
    }
    assert_eq!(reading.await.unwrap().unwrap().reason, None);
    assert_eq!(workers, 100_000);
    // An unoptimised build on a busy machine takes a second; a square of the rows takes hours.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test]
async fn arbitrary_bytes_never_panic_and_no_row_is_lost_silently() {
    let good = "\u{feff}id,name,hired\n1,\"A \"\"x\"\"\",2026-01-02\n2,Bö,2026-01-03\n3,C,\n4,D,\n";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap()
    };
    for _ in 0..300 {
        let mut bytes = good.as_bytes().to_vec();
        for _ in 0..=random() % 4 {
            let place = random() % bytes.len();
            match random() % 3 {
                0 => bytes[place] = u8::try_from(random() % 256).unwrap(),
                1 => bytes.truncate(place + 1),
                _ => bytes.insert(place, b"\",\n\r\0\xff"[random() % 6]),
            }
        }
        let folder = Folder::new(&bytes);
        let more = json!({ "columns": { "name": "name", "start_date": "hired" } });
        if let Ok(collected) = sync_once::<Hr>(folder.config(&more)).await {
            let users = collected.scope("users").unwrap();
            let lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
            let rows = lines.filter(|line| !line.is_empty()).count() as u64 - 1;
            let is_whole = users.outcome == ScopeOutcome::Complete;
            // A line end that was quoted joins two lines into one row that is whole.
            let is_joined = bytes.contains(&b'"');
            assert!(!is_whole || is_joined || users.received == rows, "{users:?} of {rows} rows");
        }
    }
}
