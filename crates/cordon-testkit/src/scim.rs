//! A real SCIM server, filled with people and groups that are known.
//!
//! The server is Python's `scim2-server`. It keeps all in memory and gives ids of its own, so what was
//! put in stands here with its ids: the truth that records are held against.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::between::{Asked, Told, exchange};
use crate::capability;
use crate::peer::{self, Peer};

/// The program.
const PROGRAM: &str = "scim2-server";
/// The token that the server asks for.
pub const TOKEN: &str = "scim-token-5f1c2a";
/// The schema of the enterprise extension.
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:";
const MESSAGES: &str = "urn:ietf:params:scim:api:messages:2.0:";
/// Operations of one bulk request; the server takes 1,000 and 1 MiB.
const USERS_AT_ONCE: usize = 500;
const GROUPS_AT_ONCE: usize = 50;

/// How much a server holds.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Users.
    pub users: usize,
    /// Groups.
    pub groups: usize,
    /// Users of each group; every tenth group has another group as a member, too.
    pub members: usize,
}

/// A server that runs, and what was put into it.
pub struct ScimServer {
    peer: Peer,
    address: String,
    /// Users as they were put in, with their ids.
    pub users: Vec<Value>,
    /// Groups as they were put in, with their ids.
    pub groups: Vec<Value>,
}

impl ScimServer {
    /// Starts a server and fills it; none where it is not installed.
    pub fn start(size: Size) -> Option<Self> {
        Self::start_with(size, |_| {})
    }

    /// The same, with a configuration that a test changed before: what the server says that it can.
    ///
    /// # Panics
    /// When it does not come up or does not take what is put into it.
    pub fn start_with(size: Size, change: impl FnOnce(&mut Value)) -> Option<Self> {
        let Some(program) = peer::program(PROGRAM) else {
            capability::skipped(PROGRAM);
            return None;
        };
        let folder = TempDir::new().unwrap_or_else(|error| panic!("no folder: {error}"));
        let configuration = folder.path().join("configuration.json");
        let mut document = configuration_of_the_server();
        change(&mut document);
        std::fs::write(&configuration, document.to_string())
            .unwrap_or_else(|error| panic!("no configuration: {error}"));
        let port = peer::free_port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(program);
        command.args(["--port", &port.to_string(), "--bearer-token", TOKEN]);
        command.arg("--service-provider-config").arg(&configuration);
        let up = || std::net::TcpStream::connect(&address).is_ok();
        let peer = Peer::start(folder, &mut command, up);
        let mut server = Self { peer, address, users: vec![], groups: vec![] };
        server.fill(size);
        Some(server)
    }

    /// Where it listens: host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The address before `/Users`.
    pub fn url(&self) -> String {
        format!("http://{}/v2", self.address)
    }

    /// The server's process.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Asks the server; gives its answer.
    ///
    /// # Panics
    /// When it does not answer, or refuses.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let told = ask(&self.address, method, path, body);
        let said = String::from_utf8_lossy(&told.body).into_owned();
        assert!((200..300).contains(&told.status), "{method} {path}: {} {said}", told.status);
        serde_json::from_str(&said).unwrap_or(Value::Null)
    }

    /// Deletes a resource.
    pub fn delete(&self, kind: &str, id: &str) {
        self.ask("DELETE", &format!("/v2/{kind}/{id}"), None);
    }

    /// Puts a user in; gives its id.
    pub fn add_user(&mut self, user: Value) -> String {
        let ids = self.add("Users", "User", vec![user]);
        ids.into_iter().next().unwrap_or_default()
    }

    /// Puts a group in; gives its id.
    pub fn add_group(&mut self, group: Value) -> String {
        let ids = self.add("Groups", "Group", vec![group]);
        ids.into_iter().next().unwrap_or_default()
    }

    fn fill(&mut self, size: Size) {
        // The first one is everybody's manager.
        let mut first = 0;
        while first < size.users {
            let until = if first == 0 { 1 } else { size.users.min(first + USERS_AT_ONCE) };
            let boss = self.users.first().map(|boss| boss["id"].clone());
            let users = (first..until).map(|number| user(number, boss.as_ref())).collect();
            self.add("Users", "User", users);
            first = until;
        }
        while self.groups.len() < size.groups {
            let from = self.groups.len();
            let until = size.groups.min(from + GROUPS_AT_ONCE);
            let groups = (from..until).map(|number| self.group(number, size)).collect();
            self.add("Groups", "Group", groups);
        }
    }

    fn group(&self, number: usize, size: Size) -> Value {
        let mut members: Vec<Value> = (0..size.members)
            .filter_map(|place| {
                let user = self.users.get((number * 37 + place * 13) % size.users.max(1))?;
                // Some groups do not say what their members are.
                Some(if number % 7 == 3 {
                    json!({ "value": user["id"] })
                } else {
                    json!({ "value": user["id"], "type": "User" })
                })
            })
            .collect();
        // A group of an earlier lot, whose id is known.
        let lot = number / GROUPS_AT_ONCE * GROUPS_AT_ONCE;
        if number % 10 == 9 && lot > 0 {
            members.push(json!({ "value": self.groups[number - lot]["id"], "type": "Group" }));
        }
        json!({
            "schemas": [format!("{CORE}Group")],
            "displayName": format!("Group {number}"),
            "externalId": format!("g-{number}"),
            "members": members,
        })
    }

    /// Puts resources in by one request.
    fn add(&mut self, path: &str, kind: &str, resources: Vec<Value>) -> Vec<String> {
        let operations: Vec<Value> = resources
            .iter()
            .enumerate()
            .map(|(place, data)| {
                json!({
                    "method": "POST",
                    "path": format!("/{path}"),
                    "bulkId": format!("b{place}"),
                    "data": data,
                })
            })
            .collect();
        let body =
            json!({ "schemas": [format!("{MESSAGES}BulkRequest")], "Operations": operations });
        let answer = self.ask("POST", "/v2/Bulk", Some(&body));
        let done = answer["Operations"].as_array().cloned().unwrap_or_default();
        assert_eq!(done.len(), resources.len(), "the server did something else: {answer}");
        let known = if kind == "User" { &mut self.users } else { &mut self.groups };
        let mut ids = vec![];
        for (mut resource, done) in resources.into_iter().zip(done) {
            let location = done["location"].as_str().unwrap_or_default();
            let id = location.rsplit('/').next().unwrap_or_default().to_owned();
            assert!(done["status"] == "201" && !id.is_empty(), "not taken: {done}");
            resource["id"] = Value::String(id.clone());
            known.push(resource);
            ids.push(id);
        }
        ids
    }
}

/// A person by number, under that manager.
pub fn user(number: usize, boss: Option<&Value>) -> Value {
    let mut user = json!({
        "schemas": [format!("{CORE}User"), ENTERPRISE],
        "userName": format!("user{number}"),
        "externalId": format!("x-{number}"),
        "displayName": format!("Person {number}"),
        "name": { "givenName": format!("Given {number}"), "familyName": format!("Family {number}") },
        "title": "Clerk",
        "userType": "Employee",
        "active": number % 10 != 9,
        "emails": [
            { "value": format!("user{number}@home.example"), "type": "home" },
            { "value": format!("user{number}@work.example"), "type": "work", "primary": true },
        ],
        ENTERPRISE: {
            "employeeNumber": format!("{number:06}"),
            "department": format!("department {}", number % 8),
            "costCenter": format!("cost {}", number % 7),
        },
    });
    if let Some(boss) = boss {
        user[ENTERPRISE]["manager"] = json!({ "value": boss });
    }
    if number.is_multiple_of(50) {
        user["roles"] = json!([{ "value": "auditor", "display": "Auditor" }]);
    }
    if number.is_multiple_of(40) {
        user["entitlements"] = json!([{ "value": "vpn" }]);
    }
    user
}

/// Asks a server with the token that it wants.
fn ask(address: &str, method: &str, path: &str, body: Option<&Value>) -> Told {
    let asked = Asked {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: vec![
            ("authorization".to_owned(), format!("Bearer {TOKEN}")),
            ("content-type".to_owned(), "application/scim+json".to_owned()),
        ],
        body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
    };
    exchange(address, &asked).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

/// What the server says that it can, where no test changes it.
fn configuration_of_the_server() -> Value {
    json!({
        "schemas": [format!("{CORE}ServiceProviderConfig")],
        "patch": { "supported": true },
        "bulk": { "supported": true, "maxOperations": 1000, "maxPayloadSize": 1_048_576 },
        "filter": { "supported": true, "maxResults": 1000 },
        "changePassword": { "supported": true },
        "sort": { "supported": true },
        "etag": { "supported": true },
    })
}
