//! What it costs to choose the records that a source is asked for, and to find where a change lies.
//!
//! `cargo run --release -p cordon-validate --example asking_bench`

#![allow(clippy::print_stdout, reason = "a bench")]

use std::collections::BTreeMap;
use std::time::Instant;

use cordon_model::{Change, ChangeOp, RecordType, Row, Value};
use cordon_validate::Percent;
use cordon_validate::contrast::Contrast;
use cordon_validate::lookup::{Choice, sample_size};

const MISSING: u32 = 10_000_000;
const CHANGES: u32 = 1_000_000;
const RECORDS: u32 = 2_000_000;

fn main() {
    let began = Instant::now();
    let size = sample_size(MISSING.into(), Percent::whole(95));
    let mut choice = Choice::new("91fe04c2", usize::try_from(size).unwrap_or(usize::MAX));
    for id in 0..MISSING {
        choice.offer(&format!("user:u{id}"), || id);
    }
    println!("choose {} of {MISSING}: {:?}", choice.into_chosen().count(), began.elapsed());

    let Ok(record_type) = RecordType::try_from("resource.user".to_owned()) else { return };
    let mut contrast = Contrast::new([]);
    let began = Instant::now();
    for id in 0..CHANGES {
        let before = Some(user(&record_type, id));
        let (op, record_type) = (ChangeOp::Removed, record_type.clone());
        contrast.note(&Change {
            op,
            record_type,
            key: String::new(),
            before,
            after: None,
            pending_removal: None,
        });
    }
    println!("look through {CHANGES} removals: {:?}", began.elapsed());
    let mut suspects = contrast.suspects();
    let began = Instant::now();
    for id in 0..RECORDS {
        suspects.count(ChangeOp::Removed, &user(&record_type, id));
    }
    println!("count {RECORDS} records: {:?}", began.elapsed());
    for group in suspects.into_groups() {
        println!("{group:?}");
    }
}

/// A user with six attributes; those below a million are of one unit.
fn user(record_type: &RecordType, id: u32) -> Row {
    let text = |text: String| Value::Text(text);
    let values = BTreeMap::from([
        ("id".to_owned(), text(format!("u{id}"))),
        ("name".to_owned(), text(format!("User {id}"))),
        ("login".to_owned(), text(format!("user{id}"))),
        ("email".to_owned(), text(format!("user{id}@example.com"))),
        ("ou".to_owned(), text(format!("unit {}", id / 1_000_000))),
        ("status".to_owned(), text("active".to_owned())),
    ]);
    Row { record_type: record_type.clone(), values }
}
