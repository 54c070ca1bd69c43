//! Collections that change while they are read, really: the server is written to between two pages.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cordon_testkit::between::{Asked, exchange};
use cordon_testkit::scim::user;

use super::*;

/// Does something at the server when its users are asked for the n-th time.
fn between_pages(world: &World, mut deed: impl FnMut(&Deeds, usize) + Send + 'static) {
    let deeds = Deeds { address: world.server.address().to_owned() };
    let (pages, deed) = (AtomicUsize::new(0), Mutex::new(move |page| deed(&deeds, page)));
    world.between.script(move |asked| {
        if asked.path.starts_with("/v2/Users?") {
            let page = pages.fetch_add(1, Ordering::SeqCst) + 1;
            deed.lock().unwrap()(page);
        }
        Turn::Pass
    });
}

struct Deeds {
    address: String,
}

impl Deeds {
    fn ask(&self, method: &str, path: &str, body: Option<Json>) -> Json {
        let asked = Asked {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: vec![
                ("authorization".to_owned(), format!("Bearer {TOKEN}")),
                ("content-type".to_owned(), "application/scim+json".to_owned()),
            ],
            body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        };
        let told = exchange(&self.address, &asked).unwrap();
        assert!((200..300).contains(&told.status), "{}", told.status);
        serde_json::from_slice(&told.body).unwrap_or_default()
    }

    fn delete(&self, id: &str) {
        self.ask("DELETE", &format!("/v2/Users/{id}"), None);
    }

    fn add(&self, number: usize) -> String {
        let user = self.ask("POST", "/v2/Users", Some(user(number, None)));
        user["id"].as_str().unwrap().to_owned()
    }

    /// Adds a user whom the server lists behind that one.
    fn add_behind(&self, id: &str) {
        for number in 950.. {
            let added = self.add(number);
            if added.as_str() > id {
                return;
            }
            self.delete(&added);
        }
    }
}

/// Ids in the order in which the server lists them.
fn sorted(world: &World) -> Vec<String> {
    let ids = world.server.users.iter().map(|user| user["id"].as_str().unwrap().to_owned());
    let mut ids: Vec<String> = ids.collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn a_user_who_goes_from_the_front_hides_nobody() {
    let Some(world) = World::start() else { return };
    let ids = sorted(&world);
    let first = ids[0].clone();
    // Before the third page the first user goes: whoever was first on it slips onto the second.
    between_pages(&world, move |deeds, page| {
        if page == 3 {
            deeds.delete(&first);
        }
    });
    let collected = world.sync(json!({})).await;
    all_complete(&collected);
    for id in &ids {
        assert!(collected.row(&format!("user:{id}")).is_some(), "{id} is missing");
    }
    // The one who went was reported before; the service counts 129 by now, and no total is claimed.
    let users = collected.scope("users").unwrap();
    assert_eq!((users.received, users.source_total), (130, None));
}

#[tokio::test]
async fn one_who_goes_and_one_who_comes_leave_the_total_alone_and_are_noticed() {
    let Some(world) = World::start() else { return };
    let ids = sorted(&world);
    let (first, far) = (ids[0].clone(), ids[80].clone());
    between_pages(&world, move |deeds, page| {
        if page == 3 {
            deeds.delete(&first);
            deeds.add_behind(&far);
        }
    });
    let collected = world.sync(json!({})).await;
    all_complete(&collected);
    assert_eq!(
        count(&collected, "user:"),
        131 + grants(&collected),
        "all who were, and the new one"
    );
}

fn grants(collected: &Collected) -> usize {
    collected.keys().iter().filter(|key| key.starts_with("user:") && key.contains(" -> ")).count()
}

#[tokio::test]
async fn a_collection_that_never_stands_still_is_incomplete_and_says_so() {
    let Some(world) = World::start() else { return };
    let page_numbers = AtomicUsize::new(0);
    between_pages(&world, move |deeds, _| {
        deeds.add(2_000 + page_numbers.fetch_add(1, Ordering::SeqCst));
    });
    let collected = world.sync(json!({})).await;
    let reason = outcome(&collected, "users");
    assert!(
        reason.starts_with("users: it changed while it was read, 3 times: the service counted "),
        "{reason}"
    );
    assert_eq!(outcome(&collected, "roles"), reason, "roles are as whole as users");
    assert_eq!(outcome(&collected, "groups"), "complete");
    // What was seen is reported all the same.
    assert!(count(&collected, "user:") >= 130);
}

#[tokio::test]
async fn a_cursor_that_expires_begins_again() {
    let Some(world) = World::with_cursors() else { return };
    let pages = AtomicUsize::new(0);
    world.between.script(move |asked| {
        let is_users = asked.path.starts_with("/v2/Users?");
        if is_users && pages.fetch_add(1, Ordering::SeqCst) == 2 {
            let body = json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
                "status": "400",
                "scimType": "expiredCursor",
            });
            return Turn::Say(400, vec![], body.to_string().into_bytes());
        }
        Turn::Pass
    });
    let collected = world.sync(json!({})).await;
    all_complete(&collected);
    let users = collected.scope("users").unwrap();
    assert_eq!((users.received, users.source_total), (130, Some(130)));
}
