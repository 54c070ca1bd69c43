//! The edges of what is wrong with records: of which kind, out of how many, and against which limit.

use cordon_model::{Finding, Severity};
use cordon_validate::DefectKind;

use crate::scene::{Move, Scene, record_type};

/// The one finding of a defect of records of this kind and type.
fn of(kind: DefectKind, on: &str, column: &str, [count, of]: [u64; 2]) -> Finding {
    let mut scene = Scene::users(Move::removing(1_000, 0)).defect(kind, column, count, of);
    scene.candidate.defects[0].record_type = record_type(on);
    let findings = scene.verdict().findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings[0].clone()
}

#[test]
fn a_record_cannot_be_told_from_others_without_the_keys_of_its_own_kind() {
    let missing = |on, column| of(DefectKind::MissingRequired, on, column, [1, 1_000]).code;
    for (on, column, code) in [
        ("resource.user", "id", "CRD-R104"),
        ("entitlement.app", "id", "CRD-R104"),
        ("grant.user", "principal", "CRD-R104"),
        ("grant.user", "entitlement", "CRD-R104"),
        ("grant.user", "id", "CRD-R201"),
        ("entitlement.app", "principal", "CRD-R201"),
        ("resource.user", "entitlement", "CRD-R201"),
    ] {
        assert_eq!(missing(on, column), code, "{column} of {on}");
    }
}

#[test]
fn what_is_wrong_is_measured_against_its_own_limit() {
    for (kind, limit) in [
        (DefectKind::DuplicateKey, 0),
        (DefectKind::MalformedId, 0),
        (DefectKind::MalformedReference, 0),
        (DefectKind::MissingRequired, 0),
        // One in a hundred.
        (DefectKind::ImplausibleTime, 20),
        (DefectKind::DanglingReference, 20),
    ] {
        let finding = of(kind, "resource.user", "mail", [7, 2_000]);
        assert_eq!((finding.measured, finding.limit), (Some(7), Some(limit)), "{kind:?}");
        assert_eq!(finding.examples, ["user:u1042"], "{kind:?}");
        assert_eq!(finding.subject, "user", "{kind:?}");
    }
}

#[test]
fn a_dead_reference_is_told_once_and_nothing_of_no_target() {
    let scene = |count| {
        let scene = Scene::users(Move::removing(1_000, 0));
        scene.defect(DefectKind::DanglingReference, "owner", count, 1_000).verdict().findings
    };
    assert_eq!(scene(0), []);
    let few = scene(1);
    assert_eq!((few.len(), few[0].severity), (1, Severity::Warning));
    // Other defects beside it are none of references.
    let both = Scene::users(Move::removing(1_000, 0))
        .defect(DefectKind::MissingRequired, "mail", 1, 1_000)
        .defect(DefectKind::DanglingReference, "owner", 1, 1_000);
    let codes: Vec<_> = both.verdict().findings.into_iter().map(|it| it.code).collect();
    assert_eq!(codes, ["CRD-R201", "CRD-F101"]);
}

#[test]
fn what_the_policy_requires_is_counted_over_all_types_of_the_label_and_over_no_other() {
    let missing = |guard: &str| {
        let mut scene = Scene::users(Move::removing(1_000, 0))
            .with("apps", "entitlement.app", Move::removing(100, 0))
            .with("groups", "entitlement.group", Move::removing(50, 0))
            .guard(guard);
        let owned = scene.clone().column("owner", None, Some(90)).candidate.census.types
            [&record_type("resource.user")]
            .columns
            .clone();
        let apps = scene.candidate.census.types.get_mut(&record_type("entitlement.app")).unwrap();
        apps.columns = owned;
        scene.verdict().findings
    };
    let found = missing("schema.required = [\"entitlement.owner\"]");
    assert_eq!(found.iter().filter(|it| it.code == "CRD-R201").count(), 1, "{found:?}");
    let told = found.iter().find(|it| it.code == "CRD-R201").unwrap();
    // Ninety of the hundred apps have an owner, none of the fifty groups has.
    assert!(told.message.starts_with("60 of 150 entitlements (40 %) have no owner"), "{told:?}");
    assert_eq!((told.measured, told.limit), (Some(60), Some(0)));
    assert_eq!((told.subject.as_str(), told.severity), ("entitlement", Severity::Quarantine));
}
