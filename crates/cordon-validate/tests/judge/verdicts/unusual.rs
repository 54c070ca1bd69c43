//! What becomes of a step whose shape is unusual, where every limit is kept.

use cordon_model::{Outcome, Severity};
use cordon_validate::Zone;
use cordon_validate::detect::{Learned, Measure, Memory, Prior, Statistic, Step};
use cordon_validate::lookup::{Answers, Lookup};

use crate::scene::{Move, Scene, digest, record_type};

/// Twelve of 300 users are gone, all from the end of their listing.
fn cut() -> Scene {
    let mut scene = Scene::users(Move::removing(300, 12));
    let tail = Measure {
        statistic: Statistic::Tail,
        // Twelve of 300 at random are just these: once in C(300, 12).
        value: 20.9,
        subject: "user".to_owned(),
        count: 12,
        of: 300,
        proven: false,
        examples: vec!["user:u299".to_owned()],
    };
    let step =
        Step { measures: vec![tail], changed: true, causes: 12, records: 300, ..Step::default() };
    scene.candidate.step = Some(step);
    scene
}

#[test]
fn the_policy_says_from_where_on_a_shape_is_held_or_read_again() {
    let held = cut().verdict();
    assert_eq!((held.outcome, held.zone), (Outcome::Quarantined, Zone::Quarantine));
    assert_eq!(held.findings[0].code, "CRD-D502");
    let told = &held.findings[0].message;
    assert!(told.starts_with("removals at the end of a listing: 12 of 300, as "), "{told}");
    assert!(told.ends_with(
        "; by chance not once in 1,000,000,000; no total of the source proves that they are gone"
    ), "{told}");
    let suspicious = cut().guard("shape = { hold = 12 }\nreread.times = 0").verdict();
    assert_eq!((suspicious.outcome, suspicious.zone), (Outcome::Accepted, Zone::ReadAgain));
    let again = cut().guard("shape = { hold = 12 }").verdict();
    assert_eq!(again.findings[0].code, "CRD-V301", "nothing holds it but a second reading");
    for guard in ["shape = { hold = 12, read_again = 12 }", "shape = \"off\""] {
        let passed = cut().guard(guard).verdict();
        assert_eq!((passed.outcome, passed.zone), (Outcome::Accepted, Zone::Pass), "{guard}");
    }
    // A second reading beyond what is held would come too late.
    let turned = cut().guard("shape = { hold = 1, read_again = 12 }").verdict();
    assert_eq!(turned.outcome, Outcome::Quarantined);
}

#[test]
fn an_unusual_loss_that_the_source_confirms_is_not_even_read_again() {
    let answers = Answers {
        record_type: record_type("resource.user"),
        missing: 12,
        asked: 12,
        present: 0,
        absent: 12,
        known: 5,
        known_present: 5,
        invented_present: false,
        present_examples: Vec::new(),
        absent_examples: Vec::new(),
    };
    for guard in ["", "shape = { hold = 12 }"] {
        let mut scene = cut().guard(&format!("removals_verified = \"accept\"\n{guard}"));
        scene.history.lookup = Some(Lookup {
            digest: digest(),
            confidence: cordon_validate::Percent::whole(95),
            types: vec![answers.clone()],
            trouble: None,
        });
        let verdict = scene.verdict();
        assert_eq!((verdict.outcome, verdict.zone), (Outcome::Accepted, Zone::Pass), "{guard}");
        let told = verdict.findings.iter().find(|finding| finding.code == "CRD-D502").unwrap();
        assert_eq!(told.severity, Severity::Info);
        assert!(told.message.ends_with("the source confirms that they are gone"), "{told:?}");
    }
}

#[test]
fn what_somebody_answers_for_is_not_read_again_either() {
    // So many at once, at one end, and in the sum of the last syncs: who answers, answers for each.
    let codes = ["CRD-D501", "CRD-D502", "CRD-D506"];
    let exemption: String = codes
        .iter()
        .map(|code| {
            let name = code.to_lowercase();
            let said = "owner = \"o\"\nreason = \"r\"\nuntil = \"2026-03-07\"";
            format!("[exemption.{name}]\ncode = \"{code}\"\n{said}\n")
        })
        .collect();
    for guard in ["", "shape = { hold = 12 }\n"] {
        let mut scene = cut().guard(&format!("{guard}{exemption}"));
        scene.history.judged_at = Some("2026-03-05T12:00:00Z".parse().unwrap());
        let verdict = scene.verdict();
        assert_eq!((verdict.outcome, verdict.zone), (Outcome::Accepted, Zone::Pass), "{guard}");
        let told = verdict.findings.iter().find(|finding| finding.code == "CRD-D502").unwrap();
        assert_eq!(told.severity, Severity::Info);
        assert!(told.message.contains("exempted until 2026-03-07 by o"), "{told:?}");
    }
}

#[test]
fn an_amount_is_told_beside_the_most_that_was_known_as_records_of_this_source() {
    // Three hundred of four hundred, whose root is twenty: fifteen.
    let step = |value: f64| {
        let gone = Measure {
            statistic: Statistic::GrantsGone,
            value,
            subject: "grant".to_owned(),
            count: (value * 20.0) as u64,
            of: 400,
            proven: false,
            examples: Vec::new(),
        };
        Step { measures: vec![gone], changed: true, records: 400, ..Step::default() }
    };
    let mut curves = Prior::shipped().curves();
    let (_, curve) = curves.find(|(statistic, _)| *statistic == Statistic::GrantsGone).unwrap();
    let elsewhere = (curve[0].0 * 20.0).round();
    let mut scene = Scene::users(Move::removing(300, 1));
    scene.candidate.step = Some(step(15.0));
    scene.history.memory = Some(Memory::default().learn(&step(1.0), Learned::Accepted));
    let told = scene.verdict().findings[0].message.clone();
    let known = format!("; at most 20 here so far, {elsewhere} in other sources of this size");
    assert!(told.contains("300 of 400") && told.contains(&known), "{told}");
}
