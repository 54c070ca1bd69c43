//! A deterministic source of any size: users, groups and eight grants a user, and the next day with
//! a given churn.
//!
//! Nothing is held: a record is computed when it is pushed, so that memory is flat and the time that
//! a bench measures is not the generator's. `--drain N` tells what is: it makes and packs N grants
//! and sends them nowhere.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use cordon_sdk::{
    AccountType, Connector, Description, Entitlement, Error, Grant, Group, Status, Sync, Timestamp,
    User,
};
use serde_json::json;

/// Grants of one user.
const GRANTS_A_USER: u64 = 8;
/// Users for each group.
const USERS_A_GROUP: u64 = 20;
/// When a grant that was modified on the second day ends, in seconds since 1970.
const MODIFIED_GRANT_EXPIRES: i64 = 2_000_000_000;
/// Records between two reports of progress.
const PROGRESS_RECORDS: u64 = 1 << 16;

/// Serves the generator, or measures it alone.
#[derive(Parser)]
struct Arguments {
    /// Make and pack that many grants, send them nowhere and print what it took as JSON.
    #[arg(long, value_name = "GRANTS")]
    drain: Option<u64>,
}

fn main() -> ExitCode {
    match Arguments::parse().drain {
        None => cordon_sdk::serve::<Generator>(),
        Some(grants) => match drain(grants) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "error: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

fn drain(grants: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let begun = Instant::now();
    let config = json!({ "grants": grants });
    let records = runtime.block_on(cordon_sdk::testing::drain::<Generator>(config))?;
    let seconds = begun.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), "{}", json!({ "records": records, "seconds": seconds }))?;
    Ok(())
}

/// What to generate.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// How many grants; there are a user for eight of them and a group for twenty users.
    grants: u64,
    /// The first or the second day.
    #[serde(default = "first_day")]
    day: u32,
    /// How many of a hundred users, and their grants, are not as the day before. Half of them are
    /// replaced by others, half are modified.
    #[serde(default = "one_percent")]
    churn_percent: u64,
    /// Another seed is another source.
    #[serde(default)]
    seed: u64,
}

fn first_day() -> u32 {
    1
}

fn one_percent() -> u64 {
    1
}

struct Generator {
    config: Config,
    users: u64,
    groups: u64,
}

/// What the second day does to a user.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unchanged,
    Replaced,
    Modified,
}

impl Connector for Generator {
    type Config = Config;

    fn describe() -> Description {
        Description::new("generator", env!("CARGO_PKG_VERSION"))
            .reports(User::schema())
            .reports(Group::schema())
            .reports(Entitlement::schema("group"))
            .reports(Grant::schema("user"))
    }

    async fn open(config: Config) -> Result<Self, Error> {
        if !matches!(config.day, 1 | 2) {
            return Err(Error::bad_config("day", "there are the days 1 and 2"));
        }
        if config.churn_percent > 100 {
            return Err(Error::bad_config("churn_percent", "more than 100"));
        }
        let users = config.grants / GRANTS_A_USER;
        let groups = (users / USERS_A_GROUP).max(GRANTS_A_USER);
        Ok(Self { config, users, groups })
    }

    async fn check(&self) -> Result<Vec<String>, Error> {
        Ok(vec![format!("{} users in {} groups", self.users, self.groups)])
    }

    async fn sync(&self, sync: &mut Sync) -> Result<(), Error> {
        self.report_users(sync).await?;
        self.report_groups(sync).await?;
        self.report_grants(sync).await
    }
}

impl Generator {
    async fn report_users(&self, sync: &mut Sync) -> Result<(), Error> {
        let mut scope = sync.scope("users").await?;
        let (mut id, mut name, mut login) = (String::new(), String::new(), String::new());
        for user in 0..self.users {
            let fate = self.fate(user);
            write_user(&mut id, user, fate);
            for (text, start) in [(&mut name, "User "), (&mut login, "user")] {
                text.clear();
                text.push_str(start);
                push_number(text, user);
            }
            if fate == Fate::Modified {
                name.push_str(" (renamed)");
            }
            let account_type =
                if user % 50 == 49 { AccountType::Service } else { AccountType::Human };
            let user = User::new(id.as_str())
                .name(name.as_str())
                .login(login.as_str())
                .account_type(account_type)
                .status(Status::Active);
            scope.push(user).await?;
        }
        scope.source_total(self.users);
        scope.complete().await
    }

    async fn report_groups(&self, sync: &mut Sync) -> Result<(), Error> {
        let mut scope = sync.scope("groups").await?;
        for group in 0..self.groups {
            let (id, name) = (format!("g{group}"), format!("Group {group}"));
            scope.push(Group::new(id.as_str()).name(name)).await?;
            let member = format!("{id}:member");
            let member = Entitlement::new(member, "group", id).name("member");
            scope.push(member.privileged(group % 100 == 0)).await?;
        }
        scope.source_total(self.groups * 2);
        scope.complete().await
    }

    async fn report_grants(&self, sync: &mut Sync) -> Result<(), Error> {
        let total = self.users * GRANTS_A_USER;
        let mut scope = sync.scope("grants").await?;
        let (mut principal, mut entitlement) = (String::new(), String::new());
        for user in 0..self.users {
            let fate = self.fate(user);
            write_user(&mut principal, user, fate);
            for group in self.groups_of(user) {
                entitlement.clear();
                entitlement.push('g');
                push_number(&mut entitlement, group);
                entitlement.push_str(":member");
                if fate == Fate::Modified {
                    let expires = Timestamp::from_second(MODIFIED_GRANT_EXPIRES)
                        .map_err(|error| Error::bug("no such moment").caused_by(error))?;
                    let grant = Grant::new("user", principal.as_str(), entitlement.as_str());
                    scope.push(grant.expires(expires)).await?;
                } else {
                    scope.push_grant("user", &principal, &entitlement).await?;
                }
            }
            let done = (user + 1) * GRANTS_A_USER;
            if done.is_multiple_of(PROGRESS_RECORDS) {
                sync.progress(done, Some(total), "grants").await?;
            }
        }
        scope.source_total(total);
        scope.complete().await
    }

    fn fate(&self, user: u64) -> Fate {
        if self.config.day == 1 {
            return Fate::Unchanged;
        }
        // Of ten thousand, so that half a percent is a whole number.
        let lot = mix(user ^ self.config.seed.rotate_left(32)) % 10_000;
        match lot {
            lot if lot < self.config.churn_percent * 50 => Fate::Replaced,
            lot if lot < self.config.churn_percent * 100 => Fate::Modified,
            _ => Fate::Unchanged,
        }
    }

    /// Eight different groups: steps of one width that together are no longer than all groups.
    fn groups_of(&self, user: u64) -> impl Iterator<Item = u64> + Send + use<> {
        let hash = mix(user.wrapping_add(self.config.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let groups = self.groups;
        let first = hash % groups;
        let width = 1 + (hash >> 32) % (groups / GRANTS_A_USER);
        (0..GRANTS_A_USER).map(move |step| (first + step * width) % groups)
    }
}

fn write_user(id: &mut String, user: u64, fate: Fate) {
    id.clear();
    id.push('u');
    push_number(id, user);
    if fate == Fate::Replaced {
        id.push('b');
    }
}

fn push_number(text: &mut String, number: u64) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{number}");
}

/// Spreads a number over all bits (the finaliser of `SplitMix64`).
fn mix(number: u64) -> u64 {
    let mut hash = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cordon_sdk::testing::sync_once;

    use super::*;

    cordon_sdk::conformance!(Generator, config = json!({ "grants": 4_000 }));

    /// What a day reports: text of each record by its key.
    async fn day(day: u32) -> BTreeMap<String, String> {
        let config = json!({ "grants": 80_000, "day": day, "seed": 7 });
        let collected = sync_once::<Generator>(config).await.unwrap();
        let rows = collected.rows.iter().map(|row| (row.key(), format!("{:?}", row.values)));
        rows.collect()
    }

    #[tokio::test]
    async fn a_hundredth_of_the_grants_is_replaced_or_modified_on_the_second_day() {
        let (first, second) = (day(1).await, day(2).await);
        let grants =
            |day: &BTreeMap<String, String>| day.keys().filter(|key| key.contains(" -> ")).count();
        assert_eq!((grants(&first), grants(&second)), (80_000, 80_000));
        let is_grant = |key: &&String| key.contains(" -> ");
        let gone = first.keys().filter(is_grant).filter(|key| !second.contains_key(*key)).count();
        let other = first
            .iter()
            .filter(|(key, _)| is_grant(key))
            .filter(|(key, row)| second.get(*key).is_some_and(|found| found != *row))
            .count();
        assert!((200..=600).contains(&gone), "{gone} of 80,000 are gone");
        assert!((200..=600).contains(&other), "{other} of 80,000 are modified");
    }
}
