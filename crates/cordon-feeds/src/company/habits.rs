//! What a company does on a day: who joins, leaves, moves, is promoted, and loses what a review takes.

use std::collections::BTreeMap;

use fastrand::Rng;
use jiff::ToSpan;
use jiff::civil::{Date, Weekday, date};

use super::staff::{Group, Person, Staff};

/// Working days of a year, over which yearly rates are spread.
const WORKING_DAYS: f64 = 250.0;
/// The group of everybody.
const EVERYONE: &str = "everyone";
/// Months after which who was disabled is removed.
const DISABLED_DAYS: i64 = 30;

// Shares of the people in a year.
const JOIN: f64 = 0.15;
const LEAVE: f64 = 0.12;
const TRANSFER: f64 = 0.08;
const PROMOTED_SINGLY: f64 = 0.03;
const PROMOTED_IN_APRIL: f64 = 0.12;
const INTERNS: f64 = 0.03;
const RENAMED: f64 = 0.01;
const APP_JOINED: f64 = 1.0;
const APP_LEFT: f64 = 0.3;
/// The share of memberships that a review takes away.
const REVIEWED_AWAY: f64 = 0.03;

/// How a company behaves, and what it has decided for later.
pub(super) struct Habits {
    draw: Rng,
    tells_logins: bool,
    disables_first: bool,
    people: u32,
    departments: u32,
    apps: u32,
    /// Who heads a department.
    heads: BTreeMap<u32, u32>,
    /// Last days of those whose end is known.
    ends: Vec<(i64, u32)>,
    /// When who was disabled is removed.
    removals: Vec<(i64, u32)>,
}

/// Where a day stands in its month.
struct Calendar {
    date: Date,
    is_working: bool,
    opens_month: bool,
    closes_month: bool,
}

impl Calendar {
    fn of(day: i64) -> Self {
        let date = date(1970, 1, 1).saturating_add(day.days());
        let is_working =
            |date: Date| !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday);
        let among = |mut date: Date, by: i64| loop {
            date = date.saturating_add(by.days());
            if is_working(date) {
                return date;
            }
        };
        let works = is_working(date);
        Self {
            date,
            is_working: works,
            opens_month: works && among(date, -1).month() != date.month(),
            closes_month: works && among(date, 1).month() != date.month(),
        }
    }
}

impl Habits {
    pub(super) fn new(seed: u64, tells_logins: bool, disables_first: bool) -> Self {
        Self {
            draw: Rng::with_seed(seed),
            tells_logins,
            disables_first,
            people: 0,
            departments: 0,
            apps: 0,
            heads: BTreeMap::new(),
            ends: Vec::new(),
            removals: Vec::new(),
        }
    }

    /// A company of so many people, as it is on its first day.
    pub(super) fn found(&mut self, staff: &mut Staff, people: u32, day: i64) {
        let group = |title: &str| Group { title: title.to_owned(), parent: None };
        staff.groups.insert(EVERYONE.to_owned(), group("Everyone"));
        for division in 0..4 {
            staff.groups.insert(format!("division-{division}"), group("Division"));
        }
        for _ in 0..(people / 25).max(4) {
            self.new_department(staff);
        }
        for _ in 0..(people / 12).max(6) {
            self.new_app(staff);
        }
        for _ in 0..people {
            let joined = day - self.draw.i64(1..3_000);
            self.join(staff, joined, false);
        }
        for person in staff.people.values_mut() {
            person.password = day - self.draw.i64(0..90);
            person.seen = day - 1;
        }
        for department in 0..self.departments {
            self.new_head(staff, department);
        }
    }

    /// One more day.
    pub(super) fn live(&mut self, staff: &mut Staff, day: i64) {
        let calendar = Calendar::of(day);
        if self.tells_logins {
            let share = if calendar.is_working { 0.7 } else { 0.08 };
            for person in staff.people.values_mut() {
                if person.is_active && self.draw.f64() < share {
                    person.seen = day;
                }
            }
        }
        if !calendar.is_working {
            return;
        }
        for person in staff.people.values_mut() {
            if person.is_active && day - person.password >= 90 && self.draw.f64() < 0.2 {
                person.password = day;
            }
        }
        self.leavers(staff, day, &calendar);
        self.joiners(staff, day, &calendar);
        self.movers(staff, &calendar);
        self.apps_of_the_day(staff);
        self.yearly(staff, day, &calendar);
        self.review(staff, &calendar);
    }

    /// How many of the people something happens to today: half of a year's on single days, the other
    /// half on one day of each month.
    fn count(&mut self, staff: &Staff, yearly: f64, is_day_of_month: bool) -> u32 {
        let people = staff.people.len() as f64;
        let single = people * yearly / 2.0 / WORKING_DAYS;
        let monthly = if is_day_of_month { people * yearly / 2.0 / 12.0 } else { 0.0 };
        self.poisson(single + monthly)
    }

    fn poisson(&mut self, mean: f64) -> u32 {
        let (least, mut product, mut count) = ((-mean).exp(), 1.0, 0);
        loop {
            product *= self.draw.f64();
            if product <= least {
                return count;
            }
            count += 1;
        }
    }

    fn someone(&mut self, staff: &Staff) -> Option<u32> {
        let active: Vec<u32> =
            staff.people.iter().filter(|(_, p)| p.is_active).map(|(number, _)| *number).collect();
        self.draw.choice(active)
    }

    fn leavers(&mut self, staff: &mut Staff, day: i64, calendar: &Calendar) {
        let mut leaving: Vec<u32> =
            self.ends.iter().filter(|(end, _)| *end <= day).map(|(_, person)| *person).collect();
        self.ends.retain(|(end, _)| *end > day);
        for _ in 0..self.count(staff, LEAVE, calendar.closes_month) {
            leaving.extend(self.someone(staff));
        }
        for person in leaving {
            if self.disables_first {
                staff.strip(person);
                if let Some(person) = staff.people.get_mut(&person) {
                    person.is_active = false;
                }
                self.removals.push((day + DISABLED_DAYS, person));
            } else {
                staff.remove(person);
            }
            let headed = self.heads.iter().find(|(_, head)| **head == person);
            if let Some(department) = headed.map(|(department, _)| *department) {
                self.new_head(staff, department);
            }
        }
        // Accounts are cleared away when the month begins.
        if calendar.opens_month {
            for (_, person) in self.removals.extract_if(.., |(due, _)| *due <= day) {
                staff.remove(person);
            }
        }
    }

    fn joiners(&mut self, staff: &mut Staff, day: i64, calendar: &Calendar) {
        for _ in 0..self.count(staff, JOIN, calendar.opens_month) {
            self.join(staff, day, false);
        }
        if calendar.opens_month && calendar.date.month() == 6 {
            let interns = (staff.people.len() as f64 * INTERNS).round() as u32;
            for _ in 0..interns {
                let intern = self.join(staff, day, true);
                let last = (0..100).map(|after| day + after).find(|day| {
                    let calendar = Calendar::of(*day);
                    calendar.date.month() == 8 && calendar.closes_month
                });
                match self.draw.u32(0..10) {
                    0 => {}
                    1 | 2 => self.ends.push((day + self.draw.i64(62..85), intern)),
                    _ => self.ends.extend(last.map(|last| (last, intern))),
                }
            }
        }
        if calendar.opens_month && calendar.date.month() == 9 {
            for person in staff.people.values_mut().filter(|p| p.is_intern && p.is_active) {
                person.is_intern = false;
            }
        }
    }

    fn join(&mut self, staff: &mut Staff, day: i64, is_intern: bool) -> u32 {
        let number = self.people;
        self.people += 1;
        let department = self.existing_department(staff);
        let person = Person {
            surname: self.draw.u32(0..4_000),
            department,
            cost_center: department,
            title: self.draw.u32(0..30),
            manager: self.heads.get(&department).copied().unwrap_or(0),
            city: self.draw.u32(0..5),
            is_active: true,
            is_intern,
            joined: day,
            seen: day,
            password: day,
        };
        staff.people.insert(number, person);
        staff.members.insert((number, EVERYONE.to_owned()), false);
        staff.members.insert((number, format!("department-{department}")), false);
        for _ in 0..self.draw.u32(1..5) {
            self.join_app(staff, number);
        }
        number
    }

    fn movers(&mut self, staff: &mut Staff, calendar: &Calendar) {
        for _ in 0..self.count(staff, TRANSFER, calendar.opens_month) {
            let Some(person) = self.someone(staff) else { continue };
            if self.heads.values().any(|head| *head == person) {
                continue;
            }
            let department = self.existing_department(staff);
            self.transfer(staff, person, department);
            // With the work go some of its tools.
            let left = staff.groups_of(person).into_iter().filter(|group| group.starts_with("app"));
            if let Some(app) = self.draw.choice(left.collect::<Vec<_>>()) {
                staff.members.remove(&(person, app));
                self.join_app(staff, person);
            }
        }
        let april = calendar.opens_month && calendar.date.month() == 4;
        let round = if april { staff.people.len() as f64 * PROMOTED_IN_APRIL } else { 0.0 };
        let singly = self.count(staff, PROMOTED_SINGLY, false);
        for _ in 0..singly + round as u32 {
            let Some(person) = self.someone(staff) else { continue };
            let title = self.draw.u32(0..30);
            if let Some(person) = staff.people.get_mut(&person) {
                person.title = title;
            }
        }
        for _ in 0..self.count(staff, RENAMED, false) {
            let Some(person) = self.someone(staff) else { continue };
            let surname = self.draw.u32(0..4_000);
            if let Some(person) = staff.people.get_mut(&person) {
                person.surname = surname;
            }
        }
    }

    fn transfer(&mut self, staff: &mut Staff, person: u32, department: u32) {
        let head = self.heads.get(&department).copied().unwrap_or(0);
        let Some(moved) = staff.people.get_mut(&person) else { return };
        let old = std::mem::replace(&mut moved.department, department);
        moved.cost_center = department;
        moved.manager = head;
        staff.members.remove(&(person, format!("department-{old}")));
        staff.members.insert((person, format!("department-{department}")), false);
    }

    /// Somebody of a department heads it from now on, and all of it report to that person.
    fn new_head(&mut self, staff: &mut Staff, department: u32) {
        let of: Vec<u32> = staff
            .people
            .iter()
            .filter(|(_, person)| person.department == department && person.is_active)
            .map(|(number, _)| *number)
            .collect();
        let Some(head) = self.draw.choice(&of).copied() else { return };
        self.heads.insert(department, head);
        staff.members.insert((head, format!("department-{department}")), true);
        for person in of {
            if let Some(person) = staff.people.get_mut(&person) {
                person.manager = head;
            }
        }
    }

    fn new_department(&mut self, staff: &mut Staff) -> u32 {
        let number = self.departments;
        self.departments += 1;
        let parent = Some(format!("division-{}", number % 4));
        let title = format!("Department {number}");
        staff.groups.insert(format!("department-{number}"), Group { title, parent });
        number
    }

    fn existing_department(&mut self, staff: &Staff) -> u32 {
        let there = |number: &u32| staff.groups.contains_key(&format!("department-{number}"));
        let there: Vec<u32> = (0..self.departments).filter(there).collect();
        self.draw.choice(there).unwrap_or(0)
    }

    fn new_app(&mut self, staff: &mut Staff) -> String {
        let name = format!("app-{}", self.apps);
        let title = format!("Application {}", self.apps);
        self.apps += 1;
        staff.groups.insert(name.clone(), Group { title, parent: None });
        name
    }

    /// The first applications are used by many, the last by few.
    fn join_app(&mut self, staff: &mut Staff, person: u32) {
        let apps = f64::from(self.apps);
        let app = (self.draw.f64() * self.draw.f64() * apps) as u32;
        let app = format!("app-{app}");
        if staff.groups.contains_key(&app) {
            staff.members.entry((person, app)).or_insert(false);
        }
    }

    fn apps_of_the_day(&mut self, staff: &mut Staff) {
        for _ in 0..self.count(staff, APP_JOINED * 2.0, false) {
            if let Some(person) = self.someone(staff) {
                self.join_app(staff, person);
            }
        }
        for _ in 0..self.count(staff, APP_LEFT * 2.0, false) {
            let Some(person) = self.someone(staff) else { continue };
            let apps = staff.groups_of(person).into_iter().filter(|group| group.starts_with("app"));
            if let Some(app) = self.draw.choice(apps.collect::<Vec<_>>()) {
                staff.members.remove(&(person, app));
            }
        }
        // In a year one application of twenty comes, and one of forty goes.
        let apps = f64::from(self.apps);
        for _ in 0..self.poisson(apps / 20.0 / WORKING_DAYS) {
            let app = self.new_app(staff);
            for _ in 0..self.draw.u32(3..13) {
                if let Some(person) = self.someone(staff) {
                    staff.members.insert((person, app.clone()), false);
                }
            }
        }
        for _ in 0..self.poisson(apps / 40.0 / WORKING_DAYS) {
            let there = staff.groups.keys().filter(|group| group.starts_with("app"));
            if let Some(app) = self.draw.choice(there.cloned().collect::<Vec<_>>()) {
                staff.dissolve(&app);
            }
        }
    }

    /// What happens once a year: cost centres in January, two departments made one in March, one made
    /// two in October, and every other November an office closes.
    fn yearly(&mut self, staff: &mut Staff, day: i64, calendar: &Calendar) {
        if !calendar.opens_month {
            return;
        }
        match calendar.date.month() {
            1 => {
                let department = self.existing_department(staff);
                for person in staff.people.values_mut().filter(|p| p.department == department) {
                    person.cost_center += 1_000;
                }
            }
            3 => {
                let (old, new) = (self.existing_department(staff), self.existing_department(staff));
                if old != new {
                    self.move_all(staff, old, new, false);
                    staff.dissolve(&format!("department-{old}"));
                    self.heads.remove(&old);
                }
            }
            10 => {
                let old = self.existing_department(staff);
                let new = self.new_department(staff);
                self.move_all(staff, old, new, true);
                self.new_head(staff, new);
            }
            11 if day % 2 == 0 => {
                let (old, new) = (self.draw.u32(0..5), self.draw.u32(0..5));
                for person in staff.people.values_mut().filter(|person| person.city == old) {
                    person.city = new;
                }
            }
            _ => {}
        }
    }

    fn move_all(&mut self, staff: &mut Staff, old: u32, new: u32, half: bool) {
        let head = self.heads.get(&old).copied();
        let of: Vec<u32> = staff
            .people
            .iter()
            .filter(|(number, person)| {
                person.department == old && person.is_active && (!half || Some(**number) != head)
            })
            .map(|(number, _)| *number)
            .collect();
        for person in of {
            if !half || self.draw.bool() {
                self.transfer(staff, person, new);
            }
        }
    }

    /// In the second week of each quarter's last month owners say who still needs their application:
    /// one fifth of the applications a day.
    fn review(&mut self, staff: &mut Staff, calendar: &Calendar) {
        let (month, day) = (calendar.date.month(), calendar.date.day());
        if month % 3 != 0 || !(8..15).contains(&day) {
            return;
        }
        let fifth = calendar.date.weekday().to_monday_zero_offset() as u32;
        let reviewed = |group: &str| {
            let number = group.strip_prefix("app-").and_then(|number| number.parse::<u32>().ok());
            number.is_some_and(|number| number % 5 == fifth)
        };
        let draw = &mut self.draw;
        staff.members.retain(|(_, group), _| !(reviewed(group) && draw.f64() < REVIEWED_AWAY));
    }
}
