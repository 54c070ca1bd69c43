//! An attribute that always had one of a few values, and has others from one sync to the next.

use serde_json::{Value, json};

use crate::export::Export;
use crate::world::{believed_from, delivered, held_by};

/// After so many accepted syncs of honest kinds. The detector is off: what holds is the shape.
#[track_caller]
fn accepted(syncs: u32) -> Export {
    let guard = json!({ "shape": "off", "reread": { "times": 0 } });
    let export = Export::read_with(json!({ "columns": { "worker_type": "kind" } }), guard);
    for _ in 0..syncs {
        assert_eq!(export.sync(&workers(honest))["outcome"], "committed");
    }
    export
}

/// A hundred workers of these kinds.
fn workers(kind: fn(u32) -> &'static str) -> String {
    let rows: Vec<_> = (0..100).map(|id| format!("w{id:03},{}", kind(id))).collect();
    format!("id,kind\n{}\n", rows.join("\n"))
}

fn honest(id: u32) -> &'static str {
    ["employee", "employee", "employee", "contractor", "intern"][id as usize % 5]
}

/// The export says the same in letters.
fn in_letters(id: u32) -> &'static str {
    ["E", "E", "E", "C", "I"][id as usize % 5]
}

/// How severely a run speaks of new values.
fn severity(run: &Value) -> Option<String> {
    let findings = run["findings"].as_array().unwrap();
    let told = findings.iter().find(|finding| finding["code"] == "CRD-S304")?;
    Some(told["severity"].as_str().unwrap().to_owned())
}

#[test]
fn words_that_come_as_letters_from_one_day_to_the_next_are_held() {
    let export = accepted(3);
    let run = export.sync(&workers(in_letters));
    assert_eq!(
        (&run["outcome"], held_by(&run)),
        (&json!("quarantined"), vec!["CRD-S304".to_owned()])
    );
    let message = run["findings"][0]["message"].as_str().unwrap();
    for said in
        ["user.worker_type", "`C`, `E`, `I`", "100 of 100", "`contractor`, `employee`, `intern`"]
    {
        assert!(message.contains(said), "{said}: {message}");
    }
    delivered(&export.host);
    let believed = believed_from(&export.host, "hr");
    assert!(believed.values().all(|worker| worker["worker_type"] != "E"), "nothing of it went out");
    // The export is mended, and its connector goes on by itself.
    assert_eq!(export.sync(&workers(honest))["outcome"], "committed");
    // Released, the new words are known, and so are the old ones.
    let run = export.sync(&workers(in_letters));
    export.release(&run);
    assert_eq!(severity(&export.sync(&workers(honest))), None);
    assert_eq!(severity(&export.sync(&workers(in_letters))), None);
    export.host.cordon(&["explain", "CRD-S304"]).done();
}

#[test]
fn one_new_word_of_one_worker_is_a_day_like_any_other() {
    let export = accepted(3);
    let run = export.sync(&workers(|id| if id == 7 { "retiree" } else { honest(id) }));
    assert_eq!(
        (run["outcome"].as_str(), severity(&run).as_deref()),
        (Some("committed"), Some("info"))
    );
}

#[test]
fn after_two_syncs_nobody_knows_all_the_words_there_are() {
    let export = accepted(2);
    assert_eq!(export.sync(&workers(in_letters))["outcome"], "committed");
}
