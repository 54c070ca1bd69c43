//! A made-up company and the export of its HR system: a CSV file, and beside it a manifest that says
//! how many workers the file should hold.
//!
//! Always the same company: what a tour shows today it shows tomorrow.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Context;
use fastrand::Rng;
use serde_json::json;

/// Workers on the first day.
const WORKERS: u32 = 3_000;
/// The first of them manage the others, and stay.
const MANAGERS: u32 = 150;
/// Another number is another company.
const SEED: u64 = 418;

const FIRST_NAMES: [&str; 20] = [
    "Ada", "Bao", "Chidi", "Dana", "Elif", "Femi", "Grace", "Hana", "Ivan", "Jun", "Kofi", "Lena",
    "Mateo", "Noor", "Olga", "Priya", "Quinn", "Rosa", "Sami", "Tove",
];
const LAST_NAMES: [&str; 20] = [
    "Abara",
    "Berg",
    "Castro",
    "Dogan",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Haddad",
    "Ito",
    "Jensen",
    "Kim",
    "Lindqvist",
    "Moreau",
    "Nakamura",
    "Okafor",
    "Patel",
    "Rossi",
    "Silva",
    "Tanaka",
    "Weber",
];
const DEPARTMENTS: [&str; 8] =
    ["Engineering", "Finance", "Legal", "Logistics", "People", "Research", "Sales", "Support"];
const TITLES: [&str; 5] = ["Associate", "Specialist", "Senior Specialist", "Lead", "Principal"];

/// A worker, as the HR system knows one.
struct Worker {
    number: u32,
    first_name: &'static str,
    last_name: &'static str,
    department: &'static str,
    title: &'static str,
    manager: Option<u32>,
}

impl Worker {
    fn id(&self) -> String {
        format!("W{:05}", self.number)
    }

    /// The key of this worker's record.
    fn key(&self) -> String {
        format!("user:{}", self.id())
    }
}

/// Keys of the records that a day changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) joined: BTreeSet<String>,
    pub(super) left: BTreeSet<String>,
    pub(super) promoted: BTreeSet<String>,
}

/// The company as it is today.
pub(super) struct Company {
    workers: Vec<Worker>,
    hired: u32,
    random: Rng,
}

impl Company {
    pub(super) fn new() -> Self {
        let mut company = Self { workers: Vec::new(), hired: 0, random: Rng::with_seed(SEED) };
        for _ in 0..WORKERS {
            company.hire();
        }
        company
    }

    pub(super) fn keys(&self) -> BTreeSet<String> {
        self.workers.iter().map(Worker::key).collect()
    }

    /// Keys of the workers in an export of only the first `rows` rows.
    pub(super) fn first_keys(&self, rows: usize) -> BTreeSet<String> {
        self.workers.iter().take(rows).map(Worker::key).collect()
    }

    /// A day passes: five join, four leave, twelve are promoted.
    pub(super) fn pass_a_day(&mut self) -> Day {
        let mut day = Day::default();
        while day.left.len() < 4 {
            let index = self.random.usize(MANAGERS as usize..self.workers.len());
            day.left.insert(self.workers.remove(index).key());
        }
        while day.promoted.len() < 12 {
            let index = self.random.usize(..self.workers.len());
            let worker = &mut self.workers[index];
            let rank = TITLES.iter().position(|title| *title == worker.title).unwrap_or_default();
            if let Some(next) =
                TITLES.get(rank + 1).filter(|_| !day.promoted.contains(&worker.key()))
            {
                worker.title = next;
                day.promoted.insert(worker.key());
            }
        }
        while day.joined.len() < 5 {
            day.joined.insert(self.hire());
        }
        day
    }

    /// Writes the export and its manifest, as HR systems do: whole, then in place.
    pub(super) fn write_export(&self, path: &Path) -> anyhow::Result<()> {
        self.write_rows(path, self.workers.len())
    }

    /// Writes an export that ends after some rows. The manifest still promises all.
    pub(super) fn write_cut_export(&self, path: &Path, rows: usize) -> anyhow::Result<()> {
        self.write_rows(path, rows)
    }

    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    fn write_rows(&self, path: &Path, rows: usize) -> anyhow::Result<()> {
        let mut text =
            String::from("worker_id,first_name,last_name,mail,title,department,manager,state\n");
        for worker in self.workers.iter().take(rows) {
            let Worker { number, first_name, last_name, title, department, .. } = worker;
            let mail = format!("{first_name}.{last_name}.{number}@example.com").to_lowercase();
            let manager = worker.manager.map(|number| format!("W{number:05}")).unwrap_or_default();
            let id = worker.id();
            writeln!(
                text,
                "{id},{first_name},{last_name},{mail},{title},{department},{manager},active"
            )?;
        }
        let manifest =
            json!({ "rows": self.workers.len(), "generated_at": jiff::Timestamp::now() });
        replace(&path.with_extension("manifest.json"), &manifest.to_string())?;
        replace(path, &text)
    }

    /// Hires somebody and returns the key of the record.
    fn hire(&mut self) -> String {
        self.hired += 1;
        let number = self.hired;
        let random = &mut self.random;
        let worker = Worker {
            number,
            first_name: FIRST_NAMES[random.usize(..FIRST_NAMES.len())],
            last_name: LAST_NAMES[random.usize(..LAST_NAMES.len())],
            department: DEPARTMENTS[random.usize(..DEPARTMENTS.len())],
            title: TITLES[random.usize(..TITLES.len() - 1)],
            manager: (number > MANAGERS).then(|| 1 + random.u32(..MANAGERS)),
        };
        let key = worker.key();
        self.workers.push(worker);
        key
    }
}

/// Nobody ever sees half a file.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)
        .and_then(|()| fs::rename(&new, path))
        .with_context(|| format!("cannot write {path:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_company_is_the_same_on_every_run() {
        let (mut one, mut other) = (Company::new(), Company::new());
        assert_eq!(one.keys(), other.keys());
        assert_eq!(one.pass_a_day(), other.pass_a_day());
        assert_eq!(one.keys(), other.keys());
    }

    #[test]
    fn a_day_changes_those_whom_it_names() {
        let mut company = Company::new();
        let before = company.keys();
        let day = company.pass_a_day();
        let after = company.keys();
        assert_eq!(after.difference(&before).cloned().collect::<BTreeSet<_>>(), day.joined);
        assert_eq!(before.difference(&after).cloned().collect::<BTreeSet<_>>(), day.left);
        assert!(day.promoted.is_subset(&after) && day.promoted.is_disjoint(&day.joined));
        assert_eq!((day.joined.len(), day.left.len(), day.promoted.len()), (5, 4, 12));
    }

    #[test]
    fn a_cut_export_ends_on_a_line_and_its_manifest_still_promises_all() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("workers.csv");
        let company = Company::new();
        company.write_cut_export(&path, 1_800).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("active\n"), "{:?}", &text[text.len() - 20..]);
        assert_eq!(text.lines().count(), 1 + 1_800);
        let exported = company.first_keys(1_800);
        let is_in_text = |key: &String| text.contains(&format!("\n{},", &key["user:".len()..]));
        assert!(company.keys().iter().all(|key| is_in_text(key) == exported.contains(key)));
        let manifest = fs::read_to_string(folder.path().join("workers.manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(manifest["rows"], 3_000);
    }
}
