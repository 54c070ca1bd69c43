//! What the source's word on missing records does to a verdict.

use cordon_model::Outcome;
use cordon_validate::Percent;
use cordon_validate::lookup::{Answers, Lookup, asks_the_source, sample_size};
use insta::assert_snapshot;
use proptest::prelude::*;

use crate::scene::{Move, Scene, digest, record_type};

const ACCEPT: &str = "removals_verified = \"accept\"";

/// A loss of 400 of 1,000 users, which the default policy holds.
fn loss() -> Scene {
    Scene::users(Move::removing(1_000, 400))
}

/// The source has none of so many users that were asked for, and passed both controls.
fn absent(asked: u64) -> Answers {
    Answers {
        record_type: record_type("resource.user"),
        missing: 400,
        asked,
        present: 0,
        absent: asked,
        known: 5,
        known_present: 5,
        invented_present: false,
        present_examples: Vec::new(),
        absent_examples: vec!["user:u7".to_owned()],
    }
}

impl Scene {
    /// The same scene, in which the source was asked and answered so.
    fn answered(mut self, types: Vec<Answers>) -> Self {
        let confidence = Percent::whole(95);
        self.history.lookup = Some(Lookup { digest: digest(), confidence, types, trouble: None });
        self
    }
}

#[test]
fn a_record_that_is_still_there_proves_a_truncated_read_whatever_the_policy_says() {
    let answers = Answers { present: 3, absent: 397, ..absent(400) };
    let scene = loss().answered(vec![answers]).guard(ACCEPT);
    assert_snapshot!(scene.check(), @r"
    quarantined
    quarantine CRD-D101: users fell from 1,000 to 600: 400 removed (40 %), limit 10 % and more than 5
    quarantine CRD-D103: 400 of 1,000 users removed within 24 hours (40 %), 400 of them now, limit 20 %
    quarantine CRD-V101: 3 of 400 users looked up are still at the source, 400 are missing here: the source was not read to its end
    ");
    // Also where no limit is broken: the proof stands by itself.
    let answers = Answers { missing: 3, present: 1, absent: 2, asked: 3, ..absent(3) };
    let small = Scene::users(Move::removing(1_000, 3)).answered(vec![answers]).guard(ACCEPT);
    assert_eq!(small.verdict().outcome, Outcome::Quarantined);
}

#[test]
fn confirmed_removals_stand_beside_what_holds_a_sync_by_default() {
    assert_snapshot!(loss().answered(vec![absent(400)]).check(), @r"
    quarantined
    quarantine CRD-D101: users fell from 1,000 to 600: 400 removed (40 %), limit 10 % and more than 5
    quarantine CRD-D103: 400 of 1,000 users removed within 24 hours (40 %), 400 of them now, limit 20 %
    info CRD-V201: all 400 users that are missing were looked up: the source has none of them
    ");
}

#[test]
fn confirmed_removals_pass_where_the_policy_accepts_them() {
    let asked = sample_size(400, Percent::whole(95));
    assert_snapshot!(loss().answered(vec![absent(asked)]).guard(ACCEPT).check(), @r"
    accepted
    warning CRD-D101: users fell from 1,000 to 600: 400 removed (40 %), limit 10 % and more than 5; the source confirms that they are gone
    warning CRD-D103: 400 of 1,000 users removed within 24 hours (40 %), 400 of them now, limit 20 %; the source confirms that they are gone
    info CRD-V201: 180 of 400 users that are missing were looked up, chosen at random: the source has none of them, so at least 99 % are gone (95 % confidence)
    ");
}

#[test]
fn on_a_high_risk_connector_a_person_decides_also_of_confirmed_removals() {
    for risk in ["high", "critical"] {
        let guard = format!("{ACCEPT}\nrisk = \"{risk}\"");
        let verdict = loss().answered(vec![absent(400)]).guard(&guard).verdict();
        assert_eq!(verdict.outcome, Outcome::Quarantined, "{risk}");
    }
}

#[test]
fn confirmation_answers_nothing_but_removals() {
    let mut protected = loss();
    protected.history.protected_removed.push("user:breakglass".to_owned());
    let privileged = loss().privileged(100, 0, 50);
    let rekeyed = Scene::users(Move { added: 950, ..Move::removing(1_000, 950) });
    let rekeyed = rekeyed.answered(vec![Answers { missing: 950, ..absent(950) }]);
    let lost = loss().column("mail", Some(1_000), None);
    for (scene, code) in [
        (protected.answered(vec![absent(400)]), "CRD-D104"),
        (privileged.answered(vec![absent(400)]), "CRD-D301"),
        (rekeyed, "CRD-D401"),
        (lost.answered(vec![absent(400)]), "CRD-S302"),
    ] {
        let verdict = scene.guard(ACCEPT).verdict();
        assert_eq!(verdict.outcome, Outcome::Quarantined, "{code}");
        assert_eq!(verdict.findings[0].code, code);
    }
}

#[test]
fn answers_that_show_nothing_say_why() {
    let why = |answers: Answers| {
        let verdict = loss().answered(vec![answers]).guard(ACCEPT).verdict();
        assert_eq!(verdict.outcome, Outcome::Quarantined);
        let found = verdict.findings.iter().find(|finding| finding.code == "CRD-V202");
        let message = found.map(|finding| finding.message.clone()).unwrap_or_default();
        message.rsplit(": ").next().unwrap().to_owned()
    };
    assert_eq!(why(Answers { absent: 399, ..absent(400) }), "1 of 400 have no answer");
    assert_eq!(why(Answers { absent: 0, ..absent(1_201) }), "1,201 of 1,201 have no answer");
    assert_eq!(
        why(Answers { known_present: 4, ..absent(400) }),
        "it does not know 1 of 5 that it has just reported"
    );
    assert_eq!(
        why(Answers { known: 0, known_present: 0, ..absent(400) }),
        "no record of that type is left to test its answers with"
    );
    assert_eq!(
        why(Answers { invented_present: true, present: 400, absent: 0, ..absent(400) }),
        "it also claims to hold a record that was made up"
    );
    assert_eq!(why(absent(179)), "179 are too few for 95 % confidence");
    assert_eq!(why(absent(0)), "none was asked for");
}

#[test]
fn answers_to_another_question_confirm_nothing() {
    let mut other = loss().answered(vec![absent(400)]);
    other.history.lookup.as_mut().unwrap().digest = "0".repeat(64);
    let fewer =
        loss().answered(vec![Answers { missing: 399, asked: 399, absent: 399, ..absent(0) }]);
    let grants = loss().with("grants", "grant.user", Move::removing(1_000, 10));
    for scene in [other, fewer, grants.answered(vec![absent(400)]), loss().answered(Vec::new())] {
        let verdict = scene.guard(ACCEPT).verdict();
        assert_eq!(verdict.outcome, Outcome::Quarantined);
        assert!(verdict.findings.iter().all(|finding| finding.code != "CRD-V201"));
    }
}

#[test]
fn a_type_that_misses_nothing_needs_no_answer() {
    let grants = loss().with("grants", "grant.user", Move::removing(1_000, 0));
    let verdict = grants.answered(vec![absent(400)]).guard(ACCEPT).verdict();
    assert_eq!(verdict.outcome, Outcome::Accepted, "{:?}", verdict.findings);
}

#[test]
fn the_source_is_asked_where_a_loss_is_suspicious_and_only_there_unless_told() {
    let asks = |scene: &Scene| {
        let types = scene.candidate.delta.iter().flat_map(|delta| delta.types.values());
        let removed = types.map(|step| step.removed).sum();
        asks_the_source(&scene.verdict(), removed, &scene.policy)
    };
    assert!(asks(&loss()));
    assert!(asks(&Scene::users(Move::removing(30, 30))));
    let small = Scene::users(Move::removing(1_000, 3));
    assert!(!asks(&small));
    assert!(!asks(&small.clone().column("mail", Some(1_000), None)), "not for another reason");
    let always = "lookup.when = \"always\"";
    assert!(asks(&small.guard(always)));
    assert!(!asks(&Scene::users(Move::removing(1_000, 0)).guard(always)), "nothing is missing");
}

proptest! {
    #[test]
    fn nothing_passes_that_is_still_there_or_was_not_asked_for_enough(
        numbers in prop::array::uniform6(0_u64..500), invented in any::<bool>(), percent in 0_u8..=100,
    ) {
        let [asked, present, missing_answers, known, unknown, more] = numbers;
        let missing = 400.min(asked + more);
        let answers = Answers {
            asked: asked.min(400),
            present,
            absent: asked.min(400).saturating_sub(missing_answers),
            known,
            known_present: known.saturating_sub(unknown),
            invented_present: invented,
            ..absent(0)
        };
        prop_assume!(missing <= 400);
        let mut scene = loss().answered(vec![answers.clone()]).guard(ACCEPT);
        scene.history.lookup.as_mut().unwrap().confidence = Percent::whole(percent);
        let proven = !invented
            && present == 0
            && answers.asked > 0
            && answers.absent == answers.asked
            && known > 0
            && unknown == 0
            && answers.asked >= sample_size(400, Percent::whole(percent));
        let accepted = scene.verdict().outcome == Outcome::Accepted;
        prop_assert_eq!(accepted, proven);
    }
}
