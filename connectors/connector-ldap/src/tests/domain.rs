//! Active Directory, as Samba is one.

use cordon_sdk::testing::Collected;
use cordon_testkit::ldap::{Samba, SambaSeed};

use super::*;

fn domain(samba: &Samba, more: &Json) -> Json {
    let (name, password) = Samba::reader();
    let mut domain = json!({
        "url": format!("ldaps://{}:636", samba.address()),
        "bind_dn": name,
        "bind_password": password,
        "base": Samba::base(),
    });
    for (key, value) in more.as_object().unwrap() {
        domain[key] = value.clone();
    }
    domain
}

/// Ids of users and groups by the name that they have in the domain.
fn by_name(collected: &Collected, kind: &str, column: &str) -> BTreeMap<String, String> {
    let of_kind = collected.rows.iter().filter(|row| row.key().starts_with(&format!("{kind}:")));
    let of_kind = of_kind.filter(|row| row.values.contains_key(column));
    of_kind.map(|row| (row.values[column].to_string(), row.values["id"].to_string())).collect()
}

#[tokio::test]
async fn a_domain_is_reported_record_by_record() {
    let seed = SambaSeed::large();
    let Some(mut samba) = Samba::start(&seed) else { return };
    let said = failed(&domain(&samba, &json!({}))).await.chain();
    let pin = said.split("tls = { fingerprint = \"").nth(1).unwrap_or_else(|| panic!("{said}"));
    let pin = pin.split('"').next().unwrap();
    let config = domain(&samba, &json!({ "tls": { "fingerprint": pin } }));

    let mut connector = harness(&config).await;
    let (collected, took) = timed(&mut connector).await;
    is_complete(&collected);
    eprintln!("samba: {} records in {took:?}", collected.rows.len());
    is_true(&collected, &seed);
    let watermark = &collected.scope("users").unwrap().watermark;
    assert!(watermark.time.is_some(), "{watermark:?}");
    assert!(watermark.token.as_ref().unwrap().starts_with("CN=NTDS Settings"), "{watermark:?}");

    // A rename, a move to another unit, a leaver and one who is disabled.
    let before = records(&collected);
    let users = by_name(&collected, "user", "login");
    samba.modify(&format!(
        "dn: {}\nchangetype: modrdn\nnewrdn: CN=Renamed\ndeleteoldrdn: 1\nnewsuperior: \
         OU=dept1,DC=corp,DC=example\n\ndn: {}\nchangetype: delete\n\ndn: {}\nchangetype: modify\n\
         replace: userAccountControl\nuserAccountControl: 514\n",
        SambaSeed::user_dn(8),
        SambaSeed::user_dn(11),
        SambaSeed::user_dn(13),
    ));
    let collected = synced(&config).await;
    is_complete(&collected);
    let after = records(&collected);
    let key = |user: usize| format!("user:{}", users[&SambaSeed::login(user)]);
    let changed: BTreeSet<String> = before
        .keys()
        .chain(after.keys())
        .filter(|key| before.get(*key) != after.get(*key))
        .filter(|key| !key.contains(" -> "))
        .cloned()
        .collect();
    assert_eq!(changed, BTreeSet::from([key(8), key(11), key(13)]));
    assert_eq!(after[&key(8)]["dn"], "CN=Renamed,OU=dept1,DC=corp,DC=example");
    assert_eq!(after[&key(13)]["status"], "disabled");
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let left = key(11);
    assert!(gone.clone().all(|key| key.starts_with(&left)), "{:?}", gone.collect::<Vec<_>>());
    domain_lookups(&mut connector, &users).await;
}

/// Everything that was put into the domain, and of what every domain has what matters.
fn is_true(collected: &Collected, seed: &SambaSeed) {
    let users = by_name(collected, "user", "login");
    let groups = by_name(collected, "group", "name");
    let all = records(collected);
    for user in 0..seed.users {
        let record = &all[&format!("user:{}", users[&SambaSeed::login(user)])];
        let is_disabled = SambaSeed::is_disabled(user);
        let expected = [
            ("name", format!("User {user}")),
            ("dn", SambaSeed::user_dn(user)),
            ("email", format!("u{user}@corp.example")),
            ("employee_number", user.to_string()),
            ("status", if is_disabled { "disabled" } else { "active" }.to_owned()),
            (
                "account_type",
                if SambaSeed::is_service(user) { "service" } else { "human" }.to_owned(),
            ),
        ];
        for (column, value) in expected {
            assert_eq!(record.get(column), Some(&value), "{column} of u{user}");
        }
    }
    let id_of = |name: &str| users[name].clone();
    let mut expected = BTreeSet::new();
    for group in 0..seed.groups {
        let member = format!("member:{}", groups[&format!("g{group}")]);
        for user in seed.members_of(group) {
            expected.insert(format!("user:{} -> {member}", id_of(&SambaSeed::login(user))));
        }
        if let Some(nested) = SambaSeed::nested_in(group) {
            expected.insert(format!("group:{} -> {member}", groups[&format!("g{nested}")]));
        }
    }
    assert_eq!(expected.len(), seed.memberships());
    assert!(expected.len() >= 20_000, "{}", expected.len());
    let own: BTreeSet<String> = groups
        .iter()
        .filter(|(name, _)| name.starts_with('g') && name[1..].parse::<usize>().is_ok())
        .map(|(_, id)| format!("member:{id}"))
        .collect();
    let is_own = |key: &&String| key.split(" -> ").nth(1).is_some_and(|it| own.contains(it));
    let reported: BTreeSet<String> = all.keys().filter(is_own).cloned().collect();
    let differing: Vec<_> = reported.symmetric_difference(&expected).take(5).collect();
    assert!(differing.is_empty(), "{differing:?}");
    // Nobody's `member` says who is in a primary group.
    let everybody = format!("member:{}", groups["Domain Users"]);
    let in_everybody = all.keys().filter(|key| key.ends_with(&everybody)).count();
    assert!(in_everybody >= seed.users, "{in_everybody}");
    let kind = |login: &str| all[&format!("user:{}", users[login])]["account_type"].clone();
    assert_eq!(kind("gmsa$"), "service");
    assert_eq!(
        (kind("krbtgt"), kind("Guest"), kind("Administrator")),
        ("system".to_owned(), "system".to_owned(), "human".to_owned())
    );
    let privileged =
        |name: &str| all[&format!("entitlement:member:{}", groups[name])]["privileged"].clone();
    assert_eq!(
        (privileged("Domain Admins"), privileged("Administrators")),
        ("true".to_owned(), "true".to_owned())
    );
    assert_eq!(
        (privileged("g3"), privileged("Domain Users")),
        ("false".to_owned(), "false".to_owned())
    );
}

async fn domain_lookups(connector: &mut Harness, users: &BTreeMap<String, String>) {
    let (collected, result) = connector.sync().await;
    result.unwrap();
    let groups = by_name(&collected, "group", "name");
    let row = |key: &str| collected.row(key).unwrap();
    let user = row(&format!("user:{}", users["u12"])).record_type.clone();
    let grant = |user: &str, group: &str| {
        let key = format!("user:{} -> member:{}", users["u12"], groups["Domain Users"]);
        cordon_sdk::RecordKey {
            record_type: row(&key).record_type.clone(),
            id: users[user].clone(),
            entitlement: format!("member:{}", groups[group]),
        }
    };
    let keys = [
        cordon_sdk::RecordKey {
            record_type: user.clone(),
            id: users["u12"].clone(),
            entitlement: String::new(),
        },
        cordon_sdk::RecordKey {
            record_type: user,
            id: users["u11"].clone(),
            entitlement: String::new(),
        },
        grant("u12", "Domain Users"),
        grant("u12", "g0"),
        grant("u1700", "g0"),
        grant("u11", "g0"),
    ];
    use cordon_sdk::Presence::{Absent, Present};
    let answers = connector.lookup(&keys).await.unwrap();
    assert_eq!(answers, [Present, Absent, Present, Present, Absent, Absent]);
}
