//! Reports people and teams of acme-crm.
//!
//! 1. `Config` is what an operator writes into `cordon.toml`.
//! 2. `describe` lists what can be reported, `open` takes the configuration, `sync` reports the
//!    source once, scope by scope. A scope is complete only if all of it was read: what is missing
//!    from a complete scope loses its access.
//! 3. `lookup` tells whether the source has a record that a sync missed, before anyone loses access.
//! 4. The tests at the end hold it to what every connector promises.

mod source;

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;

use cordon_sdk::{
    Connector, Description, Entitlement, Error, Grant, Group, Presence, RecordKey, Status, Sync,
    User,
};
use serde::Deserialize;

use source::Source;

fn main() -> ExitCode {
    cordon_sdk::serve::<AcmeCrmConnector>()
}

struct AcmeCrmConnector {
    source: Source,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The file with the source's pages.
    path: PathBuf,
}

impl Connector for AcmeCrmConnector {
    type Config = Config;

    fn describe() -> Description {
        Description::new("acme-crm", env!("CARGO_PKG_VERSION"))
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
        Ok(Self { source: Source::new(config.path) })
    }

    async fn check(&self) -> Result<Vec<String>, Error> {
        Ok(vec![format!("{} people can be read", self.source.total().await?)])
    }

    async fn sync(&self, sync: &mut Sync) -> Result<(), Error> {
        // A scope that is left by an error is closed as incomplete, with that error.
        let mut people = sync.scope("people").await?;
        let (mut next, mut seen) = (Some("1".to_owned()), HashSet::new());
        while let Some(cursor) = next {
            if !seen.insert(cursor.clone()) {
                return Err(Error::incomplete(format!("page {cursor} came a second time")));
            }
            let page = self.source.page(&cursor).await?;
            for person in page.people {
                let status = if person.active { Status::Active } else { Status::Disabled };
                let user = User::new(&person.id).login(&person.login).name(&person.name);
                people.push(user.status(status)).await?;
            }
            next = page.next;
        }
        people.source_total(self.source.total().await?);
        people.complete().await?;

        let mut teams = sync.scope("teams").await?;
        for team in self.source.teams().await? {
            teams.push(Group::new(&team.id).name(&team.name)).await?;
            for (role, holders, privileged) in
                [("member", &team.members, false), ("owner", &team.owners, true)]
            {
                let id = format!("{}:{role}", team.id);
                let entitlement = Entitlement::new(&id, "group", &team.id).name(role);
                teams.push(entitlement.privileged(privileged)).await?;
                for person in holders {
                    teams.push(Grant::new("user", person, &id)).await?;
                }
            }
        }
        teams.complete().await
    }

    // A source that can be asked for one record is asked here, and the description says `looks_up`.
    async fn lookup(&self, keys: &[RecordKey]) -> Result<Vec<Presence>, Error> {
        cordon_sdk::look_up_by_reading(self, keys).await
    }
}

#[cfg(test)]
mod tests {
    use cordon_sdk::testing::sync_once;
    use serde_json::{Value, json};

    use super::*;

    fn config(source: &str) -> Value {
        json!({ "path": format!("{}/fixtures/{source}.json", env!("CARGO_MANIFEST_DIR")) })
    }

    cordon_sdk::conformance!(AcmeCrmConnector, config = config("source"));

    #[tokio::test]
    async fn everybody_is_reported_and_an_owner_is_privileged() {
        let collected = sync_once::<AcmeCrmConnector>(config("source")).await.unwrap();
        let value =
            |key: &str, column: &str| collected.row(key).unwrap().values[column].to_string();
        assert_eq!(value("user:p2", "status"), "disabled");
        assert_eq!(value("entitlement:t1:owner", "privileged"), "true");
        assert!(collected.row("user:p3 -> t2:member").is_some());
    }

    #[tokio::test]
    async fn a_page_that_does_not_come_or_comes_twice_is_never_a_short_success() {
        for source in ["truncated", "loop"] {
            let error = sync_once::<AcmeCrmConnector>(config(source)).await.unwrap_err();
            assert!(matches!(error, Error::Incomplete { .. }), "{source}: {error:?}");
        }
    }
}
