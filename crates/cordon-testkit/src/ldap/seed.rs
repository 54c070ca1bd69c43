//! A directory's content, and the records that a complete reading of it has to give.
//!
//! Both are written down from one description, so that neither is computed from the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Where everything is.
pub const BASE: &str = "dc=corp,dc=example";
/// The account that reads.
pub const READER: &str = "cn=cordon,dc=corp,dc=example";
/// Departments, over which users are spread evenly.
const DEPARTMENTS: usize = 8;
/// When everything was made.
const CREATED: &str = "20260101000000Z";

/// Records by key, each with its attributes as text.
pub type Truth = BTreeMap<String, BTreeMap<String, String>>;

/// How many users, groups and members, and what differs from the first day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// Users; every 50th is locked, every 100th a service.
    pub users: usize,
    /// Groups; every 10th has the one before it as a member.
    pub groups: usize,
    /// Users in each group.
    pub members: usize,
    /// Users that are not there.
    pub without_users: BTreeSet<usize>,
    /// Groups that nobody but the nested group is in.
    pub without_members: BTreeSet<usize>,
    /// Users that lie in another department than the one they would be in.
    pub moved: BTreeMap<usize, usize>,
    /// Users with another title than all others.
    pub promoted: BTreeSet<usize>,
}

impl Seed {
    /// A directory of that size.
    pub fn new(users: usize, groups: usize, members: usize) -> Self {
        Self {
            users,
            groups,
            members,
            without_users: BTreeSet::new(),
            without_members: BTreeSet::new(),
            moved: BTreeMap::new(),
            promoted: BTreeSet::new(),
        }
    }

    /// 400 users, 40 groups, 800 memberships.
    pub fn small() -> Self {
        Self::new(400, 40, 20)
    }

    /// 5,000 users, 500 groups, 40,000 memberships.
    pub fn large() -> Self {
        Self::new(5_000, 500, 80)
    }

    /// The base of users.
    pub fn people() -> String {
        format!("ou=people,{BASE}")
    }

    /// The name of a department's entry.
    pub fn department(department: usize) -> String {
        format!("ou=dept{department},{}", Self::people())
    }

    /// The id of a user.
    pub fn user_id(user: usize) -> String {
        format!("00000000-0000-4000-8000-{user:012x}")
    }

    /// The id of a group.
    pub fn group_id(group: usize) -> String {
        format!("00000000-0000-4000-9000-{group:012x}")
    }

    /// The name of a user's entry.
    pub fn user_dn(&self, user: usize) -> String {
        let department = self.moved.get(&user).copied().unwrap_or(user % DEPARTMENTS);
        format!("uid=u{user},{}", Self::department(department))
    }

    /// The name of a group's entry.
    pub fn group_dn(group: usize) -> String {
        format!("cn=g{group},ou=groups,{BASE}")
    }

    /// The users of a group.
    pub fn members_of(&self, group: usize) -> BTreeSet<usize> {
        let members = (0..self.members).map(|member| (group * 37 + member * 13) % self.users);
        let members = members.filter(|user| !self.without_users.contains(user));
        if self.without_members.contains(&group) { BTreeSet::new() } else { members.collect() }
    }

    /// The group that is a member of a group.
    pub fn nested_in(group: usize) -> Option<usize> {
        (group % 10 == 9).then(|| group - 1)
    }

    fn all_users(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.users).filter(|user| !self.without_users.contains(user))
    }

    fn is_service(user: usize) -> bool {
        user % 100 == 99
    }

    fn manager(&self, user: usize) -> Option<usize> {
        let manager = user / 10;
        let is_there =
            user > 0 && !Self::is_service(user) && !self.without_users.contains(&manager);
        is_there.then_some(manager)
    }

    /// Whether a group is one of logins, as Unix has them.
    fn is_posix(group: usize) -> bool {
        group % 20 == 7
    }

    /// The content as LDIF, ids and times included.
    pub fn ldif(&self) -> String {
        let mut text = String::new();
        let mut entry = |dn: &str, id: &str, lines: &[&str]| {
            let _ = writeln!(text, "dn: {dn}");
            for line in lines {
                let _ = writeln!(text, "{line}");
            }
            let _ = write!(text, "entryUUID: {id}\ncreateTimestamp: {CREATED}\n");
            let _ = write!(text, "modifyTimestamp: {CREATED}\n\n");
        };
        let other = |number: usize| format!("00000000-0000-4000-a000-{number:012x}");
        let domain = ["objectClass: organization", "objectClass: dcObject", "o: Corp", "dc: corp"];
        entry(BASE, &other(0), &domain);
        let role = ["objectClass: organizationalRole", "objectClass: simpleSecurityObject"];
        entry(READER, &other(1), &[&role[..], &["cn: cordon", "userPassword: secret"]].concat());
        for (number, unit) in ["people", "groups", "devices"].into_iter().enumerate() {
            let lines = ["objectClass: organizationalUnit".to_owned(), format!("ou: {unit}")];
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            entry(&format!("ou={unit},{BASE}"), &other(10 + number), &lines);
        }
        let device = ["objectClass: device", "cn: printer"];
        entry(&format!("cn=printer,ou=devices,{BASE}"), &other(20), &device);
        for number in 0..DEPARTMENTS {
            let lines = ["objectClass: organizationalUnit".to_owned(), format!("ou: dept{number}")];
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            entry(&Self::department(number), &other(100 + number), &lines);
        }
        for user in self.all_users() {
            let lines = self.user_lines(user);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            entry(&self.user_dn(user), &Self::user_id(user), &lines);
        }
        for group in 0..self.groups {
            let lines = self.group_lines(group);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            entry(&Self::group_dn(group), &Self::group_id(group), &lines);
        }
        text
    }

    fn user_lines(&self, user: usize) -> Vec<String> {
        let mut lines = if Self::is_service(user) {
            vec![
                "objectClass: account".to_owned(),
                format!("uid: u{user}"),
                format!("description: Service {user}"),
            ]
        } else {
            vec![
                "objectClass: inetOrgPerson".to_owned(),
                format!("uid: u{user}"),
                format!("cn: User {user}"),
                format!("givenName: Given{user}"),
                format!("sn: Family{user}"),
                format!("mail: u{user}@corp.example"),
                format!("employeeNumber: {user}"),
                format!("title: {}", self.title(user)),
            ]
        };
        if let Some(manager) = self.manager(user) {
            lines.push(format!("manager: {}", self.user_dn(manager)));
        }
        if user.is_multiple_of(50) {
            lines.push("pwdAccountLockedTime: 000001010000Z".to_owned());
        }
        lines
    }

    fn title(&self, user: usize) -> &'static str {
        if self.promoted.contains(&user) { "Director" } else { "Engineer" }
    }

    fn group_lines(&self, group: usize) -> Vec<String> {
        let members = self.members_of(group);
        if Self::is_posix(group) {
            let mut lines = vec![
                "objectClass: posixGroup".to_owned(),
                format!("cn: g{group}"),
                format!("gidNumber: {}", 10_000 + group),
            ];
            lines.extend(members.iter().map(|user| format!("memberUid: u{user}")));
            return lines;
        }
        let (class, attribute) = if group % 20 == 3 {
            ("groupOfUniqueNames", "uniqueMember")
        } else {
            ("groupOfNames", "member")
        };
        let mut lines = vec![format!("objectClass: {class}"), format!("cn: g{group}")];
        // As people type them: servers keep every spelling.
        lines.extend(members.iter().map(|user| {
            let dn = self.user_dn(*user);
            let dn = if user % 7 == 0 {
                dn.replace("uid=u", "UID=U").replace(",ou", ", OU")
            } else {
                dn
            };
            format!("{attribute}: {dn}")
        }));
        if let Some(nested) = Self::nested_in(group) {
            lines.push(format!("{attribute}: {}", Self::group_dn(nested)));
        }
        if group == 0 {
            lines.push(format!("member: cn=printer,ou=devices,{BASE}"));
        }
        if lines.len() == 2 {
            lines.push(format!("{attribute}: cn=nobody,{BASE}"));
        }
        lines
    }

    /// What a complete reading reports.
    pub fn truth(&self) -> Truth {
        let mut truth = Truth::new();
        let mut put = |key: String, attributes: &[(&str, String)]| {
            let attributes =
                attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            truth.insert(key, attributes.collect());
        };
        for user in self.all_users() {
            let attributes = self.user_truth(user);
            put(format!("user:{}", Self::user_id(user)), &attributes);
        }
        let printer = "00000000-0000-4000-a000-000000000014".to_owned();
        let printer_dn = format!("cn=printer,ou=devices,{BASE}");
        if self.groups > 0 {
            let attributes = [
                ("id", printer.clone()),
                ("name", printer_dn.clone()),
                ("dn", printer_dn),
                ("class", "device".to_owned()),
            ];
            put(format!("principal:{printer}"), &attributes);
        }
        for group in 0..self.groups {
            let id = Self::group_id(group);
            let member = format!("member:{id}");
            let mut attributes = vec![
                ("id", id.clone()),
                ("name", format!("g{group}")),
                ("dn", Self::group_dn(group)),
            ];
            if Self::is_posix(group) {
                attributes.push(("gid_number", (10_000 + group).to_string()));
            }
            put(format!("group:{id}"), &attributes);
            let entitlement = [
                ("id", member.clone()),
                ("resource", format!("group:{id}")),
                ("name", "member".to_owned()),
                ("privileged", "false".to_owned()),
            ];
            put(format!("entitlement:{member}"), &entitlement);
            let users =
                self.members_of(group).into_iter().map(|user| ("user", Self::user_id(user)));
            let nested = Self::nested_in(group).filter(|_| !Self::is_posix(group));
            let nested = nested.map(|nested| ("group", Self::group_id(nested)));
            let device = (group == 0).then(|| ("principal", printer.clone()));
            for (kind, holder) in users.chain(nested).chain(device) {
                let grant = [("principal", holder.clone()), ("entitlement", member.clone())];
                put(format!("{kind}:{holder} -> {member}"), &grant);
            }
        }
        truth
    }

    fn user_truth(&self, user: usize) -> Vec<(&'static str, String)> {
        let is_locked = user.is_multiple_of(50);
        let mut attributes = vec![
            ("id", Self::user_id(user)),
            ("login", format!("u{user}")),
            ("dn", self.user_dn(user)),
            ("status", if is_locked { "disabled" } else { "active" }.to_owned()),
            ("created", "2026-01-01T00:00:00Z".to_owned()),
        ];
        if is_locked {
            attributes.push(("disabled_by", "disabled".to_owned()));
        }
        if let Some(manager) = self.manager(user) {
            attributes.push(("owner", format!("user:{}", Self::user_id(manager))));
        }
        if Self::is_service(user) {
            attributes.push(("account_type", "service".to_owned()));
            attributes.push(("description", format!("Service {user}")));
        } else {
            attributes.extend([
                ("account_type", "human".to_owned()),
                ("name", format!("User {user}")),
                ("given_name", format!("Given{user}")),
                ("family_name", format!("Family{user}")),
                ("email", format!("u{user}@corp.example")),
                ("employee_number", user.to_string()),
                ("title", self.title(user).to_owned()),
            ]);
        }
        attributes
    }
}
