//! A service on a bad day: incomplete scopes and typed errors, never fewer users in silence.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use cordon_testkit::between::Asked;

use super::*;

/// Whether this asks for a page of users, and not the first.
fn is_later_page(asked: &Asked) -> bool {
    asked.path.starts_with("/v2/Users?")
        && !asked.path.contains("startIndex=1&")
        && !asked.path.contains("cursor=&")
}

/// Edits each answer that lists users after the first page.
fn edit_later_pages(world: &World, edit: fn(&mut Json)) {
    world.between.script(move |asked| match is_later_page(asked) {
        true => Turn::Edit(Box::new(edit)),
        false => Turn::Pass,
    });
}

#[tokio::test]
async fn a_service_that_wants_a_pause_gets_it_and_loses_nothing() {
    let Some(world) = World::start() else { return };
    let told = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&told);
    world.between.script(move |asked| {
        if is_later_page(asked) && counting.fetch_add(1, Ordering::SeqCst) == 1 {
            let after = vec![("retry-after", "1".to_owned())];
            return Turn::Say(429, after, vec![]);
        }
        Turn::Pass
    });
    let begun = Instant::now();
    let collected = world.sync(json!({})).await;
    all_complete(&collected);
    assert!(begun.elapsed() >= Duration::from_secs(1), "it did not wait");
    assert_eq!(collected.scope("users").unwrap().received, 130);
}

#[tokio::test]
async fn a_pause_that_is_too_long_is_an_error_with_its_length() {
    let Some(world) = World::start() else { return };
    world.between.script(|asked| match is_later_page(asked) {
        true => Turn::Say(429, vec![("retry-after", "7200".to_owned())], vec![]),
        false => Turn::Pass,
    });
    let (_, result) = world.harness(json!({})).await.sync().await;
    let Err(Error::RateLimited { retry_after, .. }) = result else { panic!("{result:?}") };
    assert_eq!(retry_after, Duration::from_secs(7200));
}

#[tokio::test]
async fn a_failure_that_passes_is_tried_again_and_one_that_stays_leaves_its_scope_incomplete() {
    let Some(world) = World::start() else { return };
    let failures = AtomicUsize::new(0);
    world.between.script(move |asked| {
        let first_two = || failures.fetch_add(1, Ordering::SeqCst) < 2;
        match is_later_page(asked) && first_two() {
            true => Turn::Say(500, vec![], vec![]),
            false => Turn::Pass,
        }
    });
    all_complete(&world.sync(json!({})).await);

    world.between.script(|asked| match is_later_page(asked) {
        true => Turn::Say(500, vec![], vec![]),
        false => Turn::Pass,
    });
    let collected = world.sync(json!({})).await;
    let expected = "users: the service failed: 500 Internal Server Error";
    assert_eq!(outcome(&collected, "users"), expected);
    assert_eq!(outcome(&collected, "roles"), expected);
    assert_eq!(outcome(&collected, "groups"), "complete");
    assert_eq!(outcome(&collected, "memberships"), "complete");
    let tries = world.between.asked().iter().filter(|asked| is_later_page(asked)).count();
    assert_eq!(tries, 3, "once, and two retries");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    let Some(world) = World::start() else { return };
    let answers = AtomicUsize::new(0);
    world.between.script(move |asked| {
        match is_later_page(asked) && answers.fetch_add(1, Ordering::SeqCst) == 0 {
            true => Turn::Cut,
            false => Turn::Pass,
        }
    });
    let collected = world.sync(json!({})).await;
    all_complete(&collected);
    assert_eq!(collected.scope("users").unwrap().received, 130);
}

#[tokio::test]
async fn a_right_that_is_missing_leaves_its_scopes_incomplete_and_is_named() {
    let Some(world) = World::start() else { return };
    world.say("/v2/Groups", 403, r#"{"detail": "no scope groups.read"}"#);
    let collected = world.sync(json!({})).await;
    let expected = "groups: may not be read: 403 Forbidden no scope groups.read";
    assert_eq!(outcome(&collected, "groups"), expected);
    assert_eq!(outcome(&collected, "memberships"), expected);
    assert_eq!(outcome(&collected, "users"), "complete");

    // Where nothing may be read, a sync of nothing but incomplete scopes would look like work.
    world.between.script(|asked| {
        let is_list = asked.path.starts_with("/v2/Users") || asked.path.starts_with("/v2/Groups");
        if is_list { Turn::Say(403, vec![], vec![]) } else { Turn::Pass }
    });
    let (kind, message) = world.error(json!({})).await;
    assert_eq!(kind, "auth", "{message}");
    let error = world.harness(json!({})).await.check().await.unwrap_err();
    assert!(matches!(error, Error::Auth { .. }), "{error}");
}

#[tokio::test]
async fn credentials_that_are_refused_are_an_error_that_does_not_show_them() {
    let Some(world) = World::start() else { return };
    let (kind, message) = world.error(json!({ "token": "wrong-c4n4ry" })).await;
    assert_eq!(kind, "auth");
    assert!(message.contains("401") && !message.contains("c4n4ry"), "{message}");
}

#[tokio::test]
async fn pages_that_end_early_are_never_taken_for_the_end() {
    for world in [World::start(), World::with_cursors()] {
        let Some(world) = world else { return };
        edit_later_pages(&world, |list| {
            list["Resources"] = json!([]);
            list["itemsPerPage"] = json!(0);
            if let Some(list) = list.as_object_mut() {
                list.remove("nextCursor");
            }
        });
        let collected = world.sync(json!({})).await;
        let reason = outcome(&collected, "users");
        // By index the last resource of the page before is missing: that is a collection that moved.
        let expected = [
            "users: the pages end after 25 of 130 that the service counts",
            "users: it changed while it was read, 3 times: the resource before page 2 is no longer \
             where it was",
        ];
        assert!(expected.contains(&reason.as_str()), "{reason}");
        assert!(count(&collected, "user:") >= 25);
    }
}

#[tokio::test]
async fn a_total_that_shrinks_to_what_was_read_does_not_end_the_reading() {
    let Some(world) = World::start() else { return };
    edit_later_pages(&world, |list| list["totalResults"] = json!(49));
    let reason = outcome(&world.sync(json!({})).await, "users");
    let expected = "users: it changed while it was read, 3 times: the service counted 130 at first \
                    and 49 later";
    assert_eq!(reason, expected);
}

#[tokio::test]
async fn a_service_that_shows_one_page_again_and_again_ends() {
    let Some(world) = World::start() else { return };
    let first = world.server.ask("GET", "/v2/Users?startIndex=1&count=26", None);
    world.between.script(move |asked| match is_later_page(asked) {
        true => {
            let mut page = first.clone();
            page.as_object_mut().unwrap().remove("startIndex");
            Turn::Say(200, vec![], page.to_string().into_bytes())
        }
        false => Turn::Pass,
    });
    // Five pages of 26 are as many as the service counts: the number alone would not tell.
    for overlap in [true, false] {
        let collected = world.sync(json!({ "overlap": overlap, "page_size": 26 })).await;
        let reason = outcome(&collected, "users");
        assert!(reason.contains("it changed while it was read, 3 times"), "{reason}");
        assert_eq!(collected.scope("users").unwrap().received, 26);
    }
    let asked = world.between.asked().len();
    assert!(asked < 40, "{asked} requests");
}

#[tokio::test]
async fn a_cursor_that_comes_twice_or_leads_elsewhere_is_refused() {
    let Some(world) = World::with_cursors() else { return };
    world.between.script(|asked| match asked.path.starts_with("/v2/Users?") {
        true => Turn::Say(
            200,
            vec![],
            json!({ "totalResults": 999, "nextCursor": "c1", "Resources": [{ "id": "a" }] })
                .to_string()
                .into_bytes(),
        ),
        false => Turn::Pass,
    });
    let collected = world.sync(json!({})).await;
    let expected = "users: the service gave the same cursor twice, so its pages never end";
    assert_eq!(outcome(&collected, "users"), expected);

    let elsewhere = Between::start(world.server.address());
    let next = format!("http://{}/v2/Users?cursor=2", elsewhere.address());
    world.between.script(move |asked| match asked.path.starts_with("/v2/Users?") {
        true => {
            let next = next.clone();
            Turn::Edit(Box::new(move |list| list["nextCursor"] = next.into()))
        }
        false => Turn::Pass,
    });
    let collected = world.sync(json!({})).await;
    let expected =
        "users: the next cursor is an address or no cursor at all; no other place is asked";
    assert_eq!(outcome(&collected, "users"), expected);
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn the_token_is_never_carried_to_another_host() {
    let Some(world) = World::start() else { return };
    let elsewhere = Arc::new(Between::start(world.server.address()));
    let address = elsewhere.address().to_owned();
    world.between.script(move |asked| match is_later_page(asked) {
        true => {
            let to = format!("http://{address}/v2/Users?startIndex=1");
            Turn::Say(302, vec![("location", to)], vec![])
        }
        false => Turn::Pass,
    });
    let (kind, message) = world.error(json!({})).await;
    let to = format!("http://{}/v2/Users", elsewhere.address());
    let expected = format!("the service sends on to {to}, where the token does not go");
    assert!(kind == "auth" && message.contains(&expected), "{kind} {message}");
    assert!(elsewhere.asked().is_empty(), "the other host was asked");
}

#[tokio::test]
async fn a_service_that_is_too_slow_or_dies_is_an_error() {
    let Some(world) = World::start() else { return };
    world.between.script(|asked| match is_later_page(asked) {
        true => Turn::Wait(Duration::from_secs(20)),
        false => Turn::Pass,
    });
    let (kind, message) = world.error(json!({ "timeout": "300ms", "retries": 1 })).await;
    assert_eq!(kind, "unavailable");
    assert!(message.starts_with("users: no answer: not in time"), "{message}");

    let pid = world.server.peer().pid().to_string();
    world.between.script(move |asked| {
        if is_later_page(asked) {
            std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap();
        }
        Turn::Pass
    });
    let (kind, message) = world.error(json!({ "retries": 1 })).await;
    assert_eq!(kind, "unavailable");
    assert!(message.ends_with("what was reported before still holds"), "{message}");
}

#[tokio::test]
async fn what_is_no_list_and_what_is_too_long_is_incomplete() {
    let Some(world) = World::start() else { return };
    world.say("/v2/Users?", 200, "<html>please log in</html>");
    let reason = outcome(&world.sync(json!({})).await, "users");
    assert!(reason.starts_with("users: the answer is no list of SCIM"), "{reason}");

    let long = 17 * 1024 * 1024;
    world.between.script(move |asked| match asked.path.starts_with("/v2/Users?") {
        true => Turn::Say(200, vec![], vec![b' '; long]),
        false => Turn::Pass,
    });
    let reason = outcome(&world.sync(json!({})).await, "users");
    assert_eq!(reason, "users: the answer is longer than 16777216 bytes");
    let counts: Vec<bool> =
        world.between.asked().iter().map(|it| it.path.ends_with("count=2")).collect();
    assert!(counts.contains(&true), "smaller pages were not tried");
}

#[tokio::test]
async fn a_resource_that_cannot_be_read_is_named_and_keeps_its_scope_incomplete() {
    let Some(world) = World::start() else { return };
    for (edit, expected) in [
        (
            (|list: &mut Json| list["Resources"][3]["active"] = json!("perhaps")) as fn(&mut Json),
            "is not true or false",
        ),
        (|list| list["Resources"][3]["title"] = json!({ "a": 1 }), "`title` of"),
        (|list| list["Resources"][3]["id"] = json!("a\nb"), "a resource has no id"),
        (|list| list["Resources"][3]["roles"] = json!([{ "type": "x" }]), "roles of"),
    ] {
        edit_later_pages(&world, edit);
        let collected = world.sync(json!({})).await;
        let reason = outcome(&collected, "users");
        assert!(reason.contains(expected), "{expected}: {reason}");
        assert!(reason.ends_with("and 2 more"), "{reason}");
        assert_eq!(collected.scope("users").unwrap().received, 130 - 5, "{expected}");
    }
}

#[tokio::test]
async fn members_of_a_type_that_nobody_explained_are_no_loss_in_silence() {
    let Some(world) = World::start() else { return };
    let strangers = |list: &mut Json| {
        let members = list["Resources"][0]["members"].as_array_mut().unwrap();
        members.push(json!({ "value": "d1", "type": "Device" }));
    };
    world.between.script(move |asked| match asked.path.starts_with("/v2/Groups?startIndex=1&") {
        true => Turn::Edit(Box::new(strangers)),
        false => Turn::Pass,
    });
    let collected = world.sync(json!({})).await;
    let reason = outcome(&collected, "memberships");
    assert!(
        reason.ends_with("has members of type Device: say in `resources` what these are"),
        "{reason}"
    );
    assert_eq!(outcome(&collected, "groups"), "complete");
    let collected = world.sync(json!({ "resources": { "Device": "ignore" } })).await;
    assert_eq!(outcome(&collected, "memberships"), "complete");
}

#[tokio::test]
async fn what_the_service_says_of_itself_is_asked_for_by_its_tag() {
    let Some(world) = World::start() else { return };
    world.between.script(|asked| {
        let is_schemas = asked.path.starts_with("/v2/Schemas");
        match (is_schemas, asked.header("if-none-match")) {
            (true, Some("\"s1\"")) => Turn::Say(304, vec![], vec![]),
            (true, _) => Turn::With("etag", "\"s1\"".to_owned()),
            _ => Turn::Pass,
        }
    });
    let more = json!({ "attributes": { "custom_1": "titel" } });
    let mut harness = world.harness(more).await;
    for _ in 0..2 {
        // Refused by the schemas each time, also by those that were not sent again.
        let error = harness.check().await.unwrap_err();
        assert!(matches!(error, Error::BadConfig { .. }), "{error}");
    }
    let tags: Vec<bool> = world
        .between
        .asked()
        .iter()
        .filter(|asked| asked.path.starts_with("/v2/Schemas"))
        .map(|asked| asked.header("if-none-match").is_some())
        .collect();
    assert_eq!(tags, [false, true]);
}

#[tokio::test]
async fn a_token_is_asked_for_renewed_and_never_shown() {
    let Some(world) = World::start() else { return };
    let grants = Arc::new(AtomicUsize::new(0));
    let endpoint = Between::start("127.0.0.1:1");
    let counting = Arc::clone(&grants);
    endpoint.script(move |asked| {
        let form = String::from_utf8_lossy(&asked.body).into_owned();
        // `cordon:s3cret/+`, as RFC 6749 has it encoded before it is base64.
        let is_known = asked.header("authorization") == Some("Basic Y29yZG9uOnMzY3JldCUyRiUyQg==");
        if !is_known || form != "grant_type=client_credentials&scope=read%20all" {
            return Turn::Say(401, vec![], br#"{"error": "invalid_client"}"#.to_vec());
        }
        // The first token ends before its time.
        let token = if counting.fetch_add(1, Ordering::SeqCst) == 0 { "early" } else { TOKEN };
        let grant = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 });
        Turn::Say(200, vec![], grant.to_string().into_bytes())
    });
    // Served for two requests, refused from then on.
    let served = AtomicUsize::new(0);
    let upstream = world.server.address().to_owned();
    world.between.script(move |asked| {
        let is_early = asked.header("authorization") == Some("Bearer early");
        if is_early && served.fetch_add(1, Ordering::SeqCst) < 2 {
            let mut asked = asked.clone();
            asked.headers.retain(|(name, _)| name != "authorization");
            asked.headers.push(("authorization".to_owned(), format!("Bearer {TOKEN}")));
            let told = cordon_testkit::between::exchange(&upstream, &asked).unwrap();
            return Turn::Say(told.status, vec![], told.body);
        }
        Turn::Pass
    });
    let oauth = |secret: &str| {
        let oauth = json!({
            "token_url": format!("http://{}/token", endpoint.address()),
            "client_id": "cordon",
            "client_secret": secret,
            "scope": "read all",
        });
        json!({ "token": null, "oauth": oauth })
    };
    let collected = world.sync(oauth("s3cret/+")).await;
    all_complete(&collected);
    assert_eq!(grants.load(Ordering::SeqCst), 2, "one token, and one more when it was refused");
    let (kind, message) = world.error(oauth("wr0ng")).await;
    assert_eq!(kind, "auth");
    assert!(message.contains("401 Unauthorized invalid_client"), "{message}");
    assert!(!message.contains("wr0ng"), "{message}");
}
