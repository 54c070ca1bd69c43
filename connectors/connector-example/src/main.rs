//! Reports people and teams from a JSON file: the connector to copy and begin with.
//!
//! 1. `Config` is what an operator writes into `cordon.toml`.
//! 2. `describe` lists what can be reported, `open` takes the configuration, `sync` reports the
//!    source once, scope by scope. A scope is complete only if all of it was read: what is missing
//!    from a complete scope loses its access.
//! 3. `lookup` tells whether the source has a record that a sync missed, before anyone loses access.
//! 4. The tests at the end hold it to what every connector promises.
//!
//! Left out: paging, which is a loop around `push`, and rate limits, see `Sync::throttled`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use cordon_sdk::{
    AccountType, Connector, Description, Entitlement, Error, Grant, Group, Presence, RecordKey,
    Sync, User,
};
use serde::Deserialize;

fn main() -> ExitCode {
    cordon_sdk::serve::<Example>()
}

struct Example {
    path: PathBuf,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The file to read.
    path: PathBuf,
}

#[derive(Deserialize)]
struct Source {
    people: Vec<Person>,
    teams: Vec<Team>,
}

#[derive(Deserialize)]
struct Person {
    id: String,
    name: String,
    mail: Option<String>,
    #[serde(default)]
    robot: bool,
}

#[derive(Deserialize)]
struct Team {
    id: String,
    name: String,
    members: Vec<String>,
    #[serde(default)]
    leads: Vec<String>,
}

impl Connector for Example {
    type Config = Config;

    fn describe() -> Description {
        Description::new("example", env!("CARGO_PKG_VERSION"))
            .reports(User::schema())
            .reports(Group::schema())
            .reports(Entitlement::schema("group"))
            .reports(Grant::schema("user"))
            .looks_up_by_reading()
    }

    async fn open(config: Config) -> Result<Self, Error> {
        if config.path.is_relative() {
            return Err(Error::bad_config("path", "the path is relative"));
        }
        Ok(Self { path: config.path })
    }

    async fn check(&self) -> Result<Vec<String>, Error> {
        let source = self.read().await?;
        Ok(vec![format!("{} people in {} teams", source.people.len(), source.teams.len())])
    }

    async fn sync(&self, sync: &mut Sync) -> Result<(), Error> {
        let source = self.read().await?;
        let mut people = sync.scope("people").await?;
        for person in &source.people {
            let kind = if person.robot { AccountType::Service } else { AccountType::Human };
            let mut user = User::new(&person.id).name(&person.name).account_type(kind);
            if let Some(mail) = &person.mail {
                user = user.email(mail);
            }
            people.push(user).await?;
        }
        people.source_total(source.people.len() as u64);
        people.complete().await?;

        let mut teams = sync.scope("teams").await?;
        for team in &source.teams {
            teams.push(Group::new(&team.id).name(&team.name)).await?;
            for (role, holders) in team.roles() {
                let id = format!("{}:{role}", team.id);
                let privileged = role == "lead";
                let entitlement = Entitlement::new(&id, "group", &team.id).name(role);
                teams.push(entitlement.privileged(privileged)).await?;
                for person in holders {
                    teams.push(Grant::new("user", person, &id)).await?;
                }
            }
        }
        teams.complete().await
    }

    // A source that can be asked for one record is asked here, and the description says `looks_up`; a
    // file is read again.
    async fn lookup(&self, keys: &[RecordKey]) -> Result<Vec<Presence>, Error> {
        cordon_sdk::look_up_by_reading(self, keys).await
    }
}

impl Example {
    async fn read(&self) -> Result<Source, Error> {
        let text = tokio::fs::read(&self.path).await.map_err(|error| {
            Error::unavailable(format!("cannot read {}", self.path.display())).caused_by(error)
        })?;
        serde_json::from_slice(&text).map_err(|error| {
            Error::incomplete(format!("{} is no list of teams", self.path.display()))
                .caused_by(error)
        })
    }
}

impl Team {
    fn roles(&self) -> BTreeMap<&'static str, &[String]> {
        BTreeMap::from([("member", &*self.members), ("lead", &*self.leads)])
    }
}

#[cfg(test)]
mod tests {
    use cordon_sdk::testing::sync_once;
    use serde_json::{Value, json};

    use super::*;

    fn config() -> Value {
        json!({ "path": concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/teams.json") })
    }

    cordon_sdk::conformance!(Example, config = config());

    #[tokio::test]
    async fn a_lead_is_privileged_and_a_robot_is_a_service() {
        let collected = sync_once::<Example>(config()).await.unwrap();
        let value =
            |key: &str, column: &str| collected.row(key).unwrap().values[column].to_string();
        assert_eq!(value("entitlement:ops:lead", "privileged"), "true");
        assert_eq!(value("user:deploy", "account_type"), "service");
        assert!(collected.row("user:alice -> ops:lead").is_some());
    }

    #[tokio::test]
    async fn a_file_cut_short_is_incomplete_and_never_a_short_success() {
        let cut = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(cut.path(), r#"{ "people": [{ "id": "alice""#).unwrap();
        let error = sync_once::<Example>(json!({ "path": cut.path() })).await.unwrap_err();
        assert!(matches!(error, Error::Incomplete { .. }), "{error:?}");
    }
}
