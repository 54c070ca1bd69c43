//! The directory that `baton-source` serves: computed, so that a test knows it without asking.
//!
//! Everything follows from numbers and the day. The second day loses, renames and adds people, each
//! by a rule that a test can count.

use std::collections::BTreeSet;

/// Departments, as groups of people.
pub const DEPARTMENTS: u32 = 8;
/// Teams of each person.
pub const TEAMS_A_USER: u32 = 8;
/// Projects below the first team.
pub const PROJECTS: u32 = 10;
/// People with a key each.
pub const KEYS: u32 = 20;
/// People with the first role.
pub const ADMINS: u32 = 5;
/// People who are new on the second day.
pub const NEWCOMERS: u32 = 30;

/// What there is.
#[derive(Debug, Clone)]
pub struct Directory {
    /// People of the first day.
    pub users: u32,
    /// Teams, at least as many as a person has.
    pub teams: u32,
    /// 1 or 2.
    pub day: u32,
    /// A department of which nothing is told, as to somebody without the right to see it.
    pub hidden: Option<u32>,
}

impl Directory {
    /// The people of the day, by number.
    pub fn people(&self) -> impl Iterator<Item = u32> + '_ {
        let last = if self.day == 2 { self.users + NEWCOMERS } else { self.users };
        (0..last).filter(|user| self.is_there(*user))
    }

    fn is_there(&self, user: u32) -> bool {
        let left = self.day == 2 && user < self.users && user % 100 == 7;
        !left && Some(department(user)) != self.hidden
    }

    /// What somebody is called.
    pub fn name(&self, user: u32) -> String {
        let married = self.day == 2 && user % 100 == 13;
        format!("User {user}{}", if married { " (renamed)" } else { "" })
    }

    /// The teams of somebody: steps of one width around the circle of teams.
    pub fn teams_of(&self, user: u32) -> BTreeSet<u32> {
        let width = 1 + user / self.teams % (self.teams / TEAMS_A_USER);
        (0..TEAMS_A_USER).map(|step| (user + step * width) % self.teams).collect()
    }

    /// The members of each team, in the order of their numbers.
    pub fn members(&self) -> Vec<Vec<u32>> {
        let mut members = vec![Vec::new(); self.teams as usize];
        for user in self.people() {
            for team in self.teams_of(user) {
                members[team as usize].push(user);
            }
        }
        members
    }
}

/// Where somebody works.
pub fn department(user: u32) -> u32 {
    user % DEPARTMENTS
}

/// Whether it is a program and not a person.
pub fn is_service(user: u32) -> bool {
    user % 50 == 49
}

/// Whether it may not log in.
pub fn is_disabled(user: u32) -> bool {
    user % 20 == 19
}
