//! Servers that stop, hide, hang or die: never fewer records in a scope that is called complete.

use cordon_testkit::ldap::Cut;
use nix::sys::signal::Signal;

use super::*;

/// A small server under that access, and its configuration.
fn under(access: &Access) -> Option<(Slapd, Json)> {
    let server = Slapd::start(&Seed::small(), access)?;
    let config = config(&server.url(), &json!({ "timeout_seconds": 2 }));
    Some((server, config))
}

#[tokio::test]
async fn a_limit_of_the_server_makes_the_scope_incomplete_and_names_it() {
    let limited = |limits: &str| Access { limits: Some(limits.to_owned()), ..Access::default() };
    let Some((mut server, config)) = under(&limited("size=unlimited size.prtotal=100")) else {
        return;
    };
    let collected = synced(&config).await;
    let users = reason(&collected, "users");
    assert!(users.contains("the server ended with"), "{users}");
    assert!(users.contains("LimitExceeded"), "{users}");
    let memberships = reason(&collected, "memberships");
    assert!(memberships.contains("members may be missing"), "{memberships}");
    // Without pages at all.
    server.allow(&limited("size=50 size.prtotal=disabled"));
    let collected = synced(&config).await;
    assert!(reason(&collected, "users").contains("the server ended with"), "{collected:?}");
}

#[tokio::test]
async fn a_right_that_was_taken_makes_the_scope_incomplete() {
    // The ids of users; users themselves; the whole base.
    let Some((mut server, config)) = under(&Access::without(&format!(
        "dn.subtree={} attrs=entryUUID by * none",
        Seed::department(2)
    ))) else {
        return;
    };
    let collected = synced(&config).await;
    let users = reason(&collected, "users");
    assert_eq!(users, "50 entries have no entryUUID that this account may read");
    assert!(reason(&collected, "memberships").contains("members may be missing"));

    server.allow(&Access::without(&format!("dn.subtree={} by * none", Seed::people())));
    let collected = synced(&config).await;
    assert!(reason(&collected, "users").contains("no user is found below"));

    server.allow(&Access::without(&format!("dn.subtree={BASE} attrs=entry by * none")));
    let collected = synced(&config).await;
    assert!(reason(&collected, "users").contains("noSuchObject (32)"), "{collected:?}");
}

#[tokio::test]
async fn a_hidden_member_attribute_is_no_empty_group() {
    let Some((_server, config)) = under(&Access::without("attrs=member by * none")) else { return };
    let collected = synced(&config).await;
    let memberships = reason(&collected, "memberships");
    // Of 40 groups 2 are of logins and 2 of unique members.
    assert!(memberships.starts_with("36 groups must have members and show none"), "{memberships}");
}

#[tokio::test]
async fn members_that_are_hidden_are_reported_as_dangling() {
    let hidden = Seed::department(3);
    let rule = format!("dn.subtree={hidden} by * none");
    let Some((_server, config)) = under(&Access::without(&rule)) else { return };
    let collected = synced(&config).await;
    is_complete(&collected);
    let dangling: Vec<String> =
        collected.keys().into_iter().filter(|key| key.starts_with("user:uid\\=")).collect();
    assert!(dangling.is_empty());
    let dangling = collected.keys().into_iter().filter(|key| key.contains("ou=dept3"));
    let seed = Seed::small();
    // Those of logins are not named by a DN, so where they are cannot be seen.
    let expected = (0..seed.groups)
        .filter(|group| group % 20 != 7)
        .flat_map(|group| seed.members_of(group))
        .filter(|user| user % 8 == 3)
        .count();
    assert_eq!(dangling.count(), expected);
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_is_an_error_and_nothing_is_gone() {
    let Some((server, _)) = under(&Access::default()) else { return };
    let pid = server.pid();
    let wire = Cut::after(60_000, server.port(), move || {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
        nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
    });
    let error = failed(&config(&wire.url(), &json!({}))).await;
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(error.chain().contains("the connection was lost"), "{}", error.chain());
    let error = harness(&config(&server.url(), &json!({}))).await.sync().await.1.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_hangs_is_waited_for_so_long_and_no_longer() {
    let Some((server, _)) = under(&Access::default()) else { return };
    let pid = nix::unistd::Pid::from_raw(i32::try_from(server.pid()).unwrap());
    let wire = Cut::after(60_000, server.port(), move || {
        nix::sys::signal::kill(pid, Signal::SIGSTOP).unwrap();
    });
    let begun = Instant::now();
    let error = failed(&config(&wire.url(), &json!({ "timeout_seconds": 1 }))).await;
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(error.chain().contains("the server said nothing for 1 s"), "{}", error.chain());
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_slow_server_is_read_to_its_end() {
    let Some((server, _)) = under(&Access::default()) else { return };
    let pid = nix::unistd::Pid::from_raw(i32::try_from(server.pid()).unwrap());
    let wire = Cut::after(60_000, server.port(), move || {
        nix::sys::signal::kill(pid, Signal::SIGSTOP).unwrap();
        std::thread::sleep(Duration::from_secs(1));
        nix::sys::signal::kill(pid, Signal::SIGCONT).unwrap();
    });
    let collected = synced(&config(&wire.url(), &json!({ "timeout_seconds": 30 }))).await;
    is_complete(&collected);
    equal(&records(&collected), &Seed::small().truth());
}

#[tokio::test]
async fn credentials_that_are_refused_are_an_error_of_their_own() {
    let Some((server, _)) = under(&Access::default()) else { return };
    let error = failed(&config(&server.url(), &json!({ "bind_password": "wrong" }))).await;
    assert!(matches!(error, Error::Auth { .. }), "{error:?}");
    let said = error.chain();
    assert!(
        said.contains("the name or the password is wrong") && !said.contains("secret"),
        "{said}"
    );
}

#[tokio::test]
async fn a_part_that_is_on_another_server_makes_the_scope_incomplete() {
    let Some((server, config)) = under(&Access::default()) else { return };
    server.modify(&format!(
        "dn: ou=away,{BASE}\nchangetype: add\nobjectClass: referral\nobjectClass: extensibleObject\n\
         ou: away\nref: ldap://secret.example/ou=away,{BASE}\n"
    ));
    let collected = synced(&config).await;
    let users = reason(&collected, "users");
    assert!(users.contains("leaves a part of it to ldap://secret.example, which"), "{users}");
}

#[tokio::test]
async fn an_entry_that_goes_between_the_two_readings_is_unknown_and_one_that_comes_is_reported() {
    let seed = Seed::small();
    let Some((server, _)) = under(&Access::default()) else { return };
    // The first reading is some 70 kB of names.
    let change = server.change(&format!(
        "dn: {}\nchangetype: delete\n\ndn: uid=new,{}\nchangetype: add\nobjectClass: account\n",
        seed.user_dn(399),
        Seed::people(),
    ));
    let wire = Cut::after(60_000, server.port(), change);
    let collected = synced(&config(&wire.url(), &json!({ "page_size": 20 }))).await;
    let users = reason(&collected, "users");
    assert!(users.starts_with("1 entries that were found a moment before"), "{users}");
    let is_new = |row: &Row| row.values.get("login").is_some_and(|it| it.to_string() == "new");
    assert!(collected.rows.iter().any(is_new));
}

#[tokio::test]
async fn two_entries_of_one_login_are_not_guessed_between() {
    let Some((server, config)) = under(&Access::default()) else { return };
    let member = Seed::small().members_of(7).into_iter().next().unwrap();
    server.modify(&format!(
        "dn: uid=u{member},ou=devices,{BASE}\nchangetype: add\nobjectClass: account\n"
    ));
    let collected = synced(&config).await;
    let memberships = reason(&collected, "memberships");
    assert!(memberships.contains(&format!("u{member}, a member of cn=g7")), "{memberships}");
}

#[tokio::test]
async fn a_cancelled_sync_closes_its_connection_within_two_seconds() {
    let Some((server, _)) = under(&Access::default()) else { return };
    let pid = nix::unistd::Pid::from_raw(i32::try_from(server.pid()).unwrap());
    let wire = Cut::after(60_000, server.port(), move || {
        nix::sys::signal::kill(pid, Signal::SIGSTOP).unwrap();
    });
    let config = config(&wire.url(), &json!({}));
    let mut harness = harness(&config).await;
    let stopped = tokio::time::timeout(Duration::from_secs(1), harness.sync()).await;
    assert!(stopped.is_err(), "it came to an end although its server stands still");
    // The stream was dropped: the same connector takes another sync once it has let go of this one.
    let begun = Instant::now();
    loop {
        let again = tokio::time::timeout(Duration::from_millis(200), harness.sync()).await;
        match again {
            Ok((_, Err(error))) if error.to_string() == "another sync is running" => {}
            _ => break,
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "it goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
