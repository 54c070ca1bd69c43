//! A made-up source: pages of people in a JSON file. Replace it by the real one.
//!
//! Typed errors decide what happens next, so each call says which it is: `Error::auth` waits for a
//! person, `Error::rate_limited` for as long as the source asks, `Error::unavailable` is tried
//! again, `Error::incomplete` is a source that gave less than it has.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cordon_sdk::Error;
use serde::Deserialize;

pub(crate) struct Source {
    path: PathBuf,
}

#[derive(Deserialize)]
struct File {
    total: u64,
    pages: BTreeMap<String, Page>,
    teams: Vec<Team>,
}

#[derive(Deserialize)]
pub(crate) struct Page {
    pub(crate) people: Vec<Person>,
    pub(crate) next: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) login: String,
    pub(crate) name: String,
    pub(crate) active: bool,
}

#[derive(Deserialize)]
pub(crate) struct Team {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) members: Vec<String>,
    pub(crate) owners: Vec<String>,
}

impl Source {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// How many people the source says that it has.
    pub(crate) async fn total(&self) -> Result<u64, Error> {
        Ok(self.read().await?.total)
    }

    /// The people of one page, and the cursor of the next.
    pub(crate) async fn page(&self, cursor: &str) -> Result<Page, Error> {
        let page = self.read().await?.pages.remove(cursor);
        page.ok_or_else(|| Error::incomplete(format!("page {cursor} did not come")))
    }

    /// All teams.
    pub(crate) async fn teams(&self) -> Result<Vec<Team>, Error> {
        Ok(self.read().await?.teams)
    }

    async fn read(&self) -> Result<File, Error> {
        let path = self.path.display();
        let text = tokio::fs::read(&self.path).await.map_err(|error| {
            Error::unavailable(format!("cannot read {path}")).caused_by(error)
        })?;
        serde_json::from_slice(&text).map_err(|error| {
            Error::incomplete(format!("{path} is not what the source writes")).caused_by(error)
        })
    }
}
