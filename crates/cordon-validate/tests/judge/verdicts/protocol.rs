//! Evidence that contradicts itself.

use cordon_model::ScopeOutcome;
use insta::assert_snapshot;

use crate::scene::{Move, Scene, record_type};

#[test]
fn a_scope_that_declares_other_counts_than_arrived_is_rejected() {
    let mut scene = Scene::users(Move::removing(1_000, 0));
    scene.scope("users").report.declared = 1_001;
    assert_snapshot!(scene.check(), @r"
    rejected
    reject CRD-P102: scope users declares 1,001 records, but 1,000 arrived
    ");
    let incomplete = scene.cut_short("users");
    assert!(incomplete.check().starts_with("rejected"));
}

#[test]
fn a_removal_from_a_scope_that_proves_nothing_is_rejected() {
    let scene = Scene::users(Move::removing(1_000, 1));
    assert_snapshot!(scene.check(), @"accepted");
    let text = "reject CRD-P202: 1 record would be removed from scope users, which was not \
                enumerated to its end";
    for scene in [scene.clone().cut_short("users"), scene.clone().unreported("users")] {
        let check = scene.check();
        assert!(check.starts_with("rejected") && check.contains(text), "{check}");
    }
    let mut both = scene.clone();
    both.candidate.delta.as_mut().unwrap().unreported_scopes.push("users".to_owned());
    assert!(both.check().contains(text), "a scope reported as complete and as silent");
    let mut forgotten = scene.clone().unreported("users");
    forgotten.candidate.delta.as_mut().unwrap().unreported_scopes.clear();
    assert!(forgotten.check().contains(text), "a scope that nothing speaks of");
    let mut gone = scene;
    gone.scope("users").report.outcome = ScopeOutcome::Gone;
    assert!(gone.check().starts_with("accepted"));
}

#[test]
fn a_removal_that_no_scope_accounts_for_is_rejected() {
    let mut scene = Scene::users(Move::removing(1_000, 1));
    scene.candidate.delta.as_mut().unwrap().scopes.clear();
    assert_snapshot!(scene.check(), @r"
    rejected
    reject CRD-P201: records removed: 1 counted by type, 0 by scope
    ");
}

#[test]
fn a_step_that_does_not_fit_the_counts_is_rejected() {
    let steady = Scene::users(Move::removing(1_000, 0));
    let disturbed = |disturb: fn(&mut Scene)| {
        let mut scene = steady.clone();
        disturb(&mut scene);
        scene.check()
    };
    assert_snapshot!(disturbed(|scene| {
        let delta = scene.candidate.delta.as_mut().unwrap();
        delta.types.clear();
    }), @r"
    rejected
    reject CRD-P201: resource.user was counted as 1000 before and 1000 after, but the step says 0 to 0 with 0 added and 0 removed
    ");
    assert_snapshot!(disturbed(|scene| {
        let delta = scene.candidate.delta.as_mut().unwrap();
        delta.types.get_mut(&record_type("resource.user")).unwrap().added = 7;
    }), @r"
    rejected
    reject CRD-P201: resource.user was counted as 1000 before and 1000 after, but the step says 1000 to 1000 with 7 added and 0 removed
    ");
}

#[test]
fn a_step_without_the_snapshot_that_it_starts_from_is_rejected() {
    let mut scene = Scene::users(Move::removing(1_000, 0));
    scene.last_good = None;
    let check = scene.check();
    assert!(check.contains("reject CRD-P201: last known good absent, step given"), "{check}");

    let mut scene = Scene::users(Move::removing(1_000, 0));
    scene.candidate.delta = None;
    let check = scene.check();
    assert!(check.contains("last known good given, step absent"), "{check}");

    let mut scene = Scene::users(Move::removing(1_000, 0));
    scene.candidate.against = None;
    let check = scene.check();
    assert!(check.contains("compared with nothing"), "{check}");
}
