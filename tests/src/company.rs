//! A company whose people, teams and leads connector-example reads; leading a team gives power.

use serde_json::{Value, json};

/// Who leads and who belongs to a team.
#[derive(Clone)]
pub(crate) struct Team {
    pub(crate) leads: Vec<u32>,
    pub(crate) members: Vec<u32>,
}

/// A company as connector-example reads it.
#[derive(Clone)]
pub(crate) struct Company {
    pub(crate) people: Vec<u32>,
    pub(crate) teams: Vec<Team>,
}

impl Company {
    /// Three hundred people, twelve teams with everybody whose number leaves no rest by three, by four
    /// and so on, each led by one.
    pub(crate) fn new() -> Self {
        let team = |number: u32| Team {
            leads: vec![number],
            members: (20..300).filter(|person| person % (number + 3) == 0).collect(),
        };
        Self { people: (0..300).collect(), teams: (0..12).map(team).collect() }
    }

    /// People who hold nothing yet.
    pub(crate) fn with(mut self, joiners: u32) -> Self {
        self.people.extend(300..300 + joiners);
        self
    }

    /// They have left, and everything that they held is gone.
    pub(crate) fn without(mut self, leavers: &[u32]) -> Self {
        self.people.retain(|person| !leavers.contains(person));
        for team in &mut self.teams {
            team.members.retain(|person| !leavers.contains(person));
        }
        self
    }

    /// The file that the connector reads.
    pub(crate) fn json(&self) -> Value {
        let id = |person: &u32| format!("p{person}");
        let ids = |people: &[u32]| people.iter().map(id).collect::<Vec<_>>();
        let person = |it: &u32| json!({ "id": id(it), "name": format!("Person {it}") });
        let team = |(number, team): (usize, &Team)| {
            json!({
                "id": format!("t{number}"), "name": format!("Team {number}"),
                "leads": ids(&team.leads), "members": ids(&team.members),
            })
        };
        json!({
            "people": self.people.iter().map(person).collect::<Vec<_>>(),
            "teams": self.teams.iter().enumerate().map(team).collect::<Vec<_>>(),
        })
    }
}
