//! Releases: what a person must give, and what nobody can.

use cordon_model::{Outcome, Severity, SyncNumber};
use cordon_validate::{
    Accepted, Agreed, Judged, Policy, Release, ReleaseError, Selection, Verdict, agree, release,
};

use crate::scene::{Move, Scene, digest};

const CURRENT: Option<SyncNumber> = Some(SyncNumber(417));

fn quarantined() -> Verdict {
    let verdict = Scene::users(Move::removing(1_000, 500)).verdict();
    assert_eq!(verdict.outcome, Outcome::Quarantined);
    verdict
}

fn word(digest: &str) -> Release {
    Release {
        by: "operator-1".to_owned(),
        reason: "INC-4411".to_owned(),
        digest: digest.to_owned(),
        at: "2026-03-02T04:00:00Z".parse().unwrap(),
        selection: Selection::all(),
        asked_by: None,
    }
}

/// One person is enough for the default policy.
fn alone(release: Release) -> Agreed {
    agree(&Policy::default(), &digest(), release, 1_000, None).unwrap()
}

fn try_release(digest: &str) -> Result<Accepted, ReleaseError> {
    release(quarantined(), alone(word(digest)), CURRENT)
}

#[test]
fn a_release_is_proof_and_remembers_who_gave_it() {
    let accepted = try_release(&digest()).unwrap();
    assert_eq!(accepted.released_by(), Some(&word(&digest())));
    assert_eq!(accepted.sync(), SyncNumber(418));
    assert_eq!(accepted.digest(), digest());
    assert_eq!(accepted.against(), CURRENT);
    assert_eq!(accepted.connector().as_str(), "hr-csv");
    assert_eq!(accepted.verdict(), &quarantined());
}

#[test]
fn what_the_policy_accepted_names_nobody() {
    let Judged::Accepted(accepted) = Scene::users(Move::removing(1_000, 0)).judged() else {
        panic!("a step without a change is held");
    };
    assert_eq!(accepted.released_by(), None);
}

#[test]
fn the_beginning_of_a_digest_is_enough_from_eight_characters_on() {
    for given in ["91fe04c2", "91fe04c29", "91FE04C2", "b3:91fe04c2"] {
        assert!(try_release(given).is_ok(), "{given:?} was refused");
    }
    for given in ["", "91fe04c", "b3:91fe0", "b3:", "91fe04cz", "91fe04c2 ", "ééééé"] {
        let error = try_release(given).unwrap_err();
        assert!(matches!(error, ReleaseError::NotADigest { .. }), "{given:?} gave {error}");
    }
}

#[test]
fn what_was_reviewed_is_what_is_released() {
    for given in ["01fe04c2".to_owned(), "91fe04c3".to_owned(), digest() + "0"] {
        let error = try_release(&given).unwrap_err();
        assert!(matches!(error, ReleaseError::OtherDigest { .. }), "{given:?} gave {error}");
    }
}

#[test]
fn a_release_needs_a_reason_and_a_name() {
    for blank in ["", " \n\t"] {
        let silent = Release { reason: blank.to_owned(), ..word(&digest()) };
        let error = release(quarantined(), alone(silent), CURRENT).unwrap_err();
        assert_eq!(error.to_string(), "a release of sync 418 needs a reason");
        let nobody = Release { by: blank.to_owned(), ..word(&digest()) };
        let error = release(quarantined(), alone(nobody), CURRENT).unwrap_err();
        assert_eq!(error.to_string(), "a release of sync 418 needs a name");
    }
}

#[test]
fn a_verdict_against_an_older_snapshot_releases_nothing() {
    for (current, text) in [
        (Some(SyncNumber(416)), "sync 418 was judged against snapshot 417, but snapshot 416 is"),
        (Some(SyncNumber(419)), "sync 418 was judged against snapshot 417, but snapshot 419 is"),
        (None, "sync 418 was judged against snapshot 417, but no snapshot is"),
    ] {
        let error = release(quarantined(), alone(word(&digest())), current).unwrap_err();
        assert_eq!(error.to_string(), format!("{text} current by now"));
    }
}

#[test]
fn a_first_sync_is_released_only_while_nothing_is_current() {
    let verdict = Scene::first().verdict();
    assert!(release(verdict.clone(), alone(word(&digest())), None).is_ok());
    let error = release(verdict, alone(word(&digest())), CURRENT).unwrap_err();
    assert!(matches!(error, ReleaseError::Outrun { .. }), "{error}");
}

#[test]
fn only_what_waits_for_a_person_can_be_released() {
    let accepted = Scene::users(Move::removing(1_000, 0)).verdict();
    let mut broken = Scene::users(Move::removing(1_000, 500));
    broken.scope("users").report.declared = 7;
    for (verdict, outcome) in [(accepted, "accepted"), (broken.verdict(), "rejected")] {
        let error = release(verdict, alone(word(&digest())), CURRENT).unwrap_err();
        assert_eq!(error.to_string(), format!("sync 418 is {outcome}, not quarantined"));
    }
}

#[test]
fn a_rejected_verdict_that_was_relabelled_is_not_released() {
    let mut verdict = quarantined();
    verdict.findings[0].severity = Severity::Reject;
    let error = release(verdict, alone(word(&digest())), CURRENT).unwrap_err();
    assert!(matches!(error, ReleaseError::NotQuarantined { .. }), "{error}");

    let mut verdict = quarantined();
    verdict.outcome = Outcome::Rejected;
    let error = release(verdict, alone(word(&digest())), CURRENT).unwrap_err();
    assert!(matches!(error, ReleaseError::NotQuarantined { .. }), "{error}");
}

#[test]
fn a_verdict_comes_back_from_json_as_it_was() {
    let verdict = quarantined();
    let json = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
}
