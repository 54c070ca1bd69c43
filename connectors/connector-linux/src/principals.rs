//! Who holds a right: turns the users that a sudo rule speaks of into accounts and groups.
//!
//! A rule for a group is a grant to that group, so that it need not change with every member. Only a
//! rule that leaves somebody out is spelled out account by account: a grant cannot say "but not".

use std::collections::BTreeSet;

use crate::group::Group;
use crate::passwd::Account;
use crate::sudoers::Subject;

/// The group that stands for every account. No group can have this name: `:` ends a name.
pub(crate) const EVERYBODY: &str = "sudo:ALL";

/// What can hold an entitlement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Principal {
    User(String),
    Group(String),
}

/// The accounts and groups of the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Directory<'a> {
    pub(crate) accounts: &'a [Account],
    pub(crate) groups: &'a [Group],
}

impl Directory<'_> {
    /// The id of the group with that number. Ids of groups that no file has begin with `#`.
    pub(crate) fn group_of(&self, gid: u32) -> String {
        let group = self.groups.iter().find(|group| group.gid == gid);
        group.map_or_else(|| format!("#{gid}"), |group| group.name.clone())
    }

    /// Who holds a right that speaks of `subjects`; true stands for those who do.
    pub(crate) fn principals(&self, subjects: &[(Subject, bool)]) -> BTreeSet<Principal> {
        let held = subjects.iter().filter(|(_, holds)| *holds).map(|(subject, _)| subject);
        if subjects.iter().all(|(_, holds)| *holds) {
            return held.flat_map(|subject| self.named(subject)).collect();
        }
        let mut principals: BTreeSet<Principal> = self
            .accounts
            .iter()
            .filter(|account| {
                // As for sudo, the last item that fits decides.
                let decides =
                    subjects.iter().rev().find(|(subject, _)| self.fits(subject, account));
                decides.is_some_and(|(_, holds)| *holds)
            })
            .map(|account| Principal::User(account.name.clone()))
            .collect();
        // Who is in no file cannot be spelled out, and keeps what the rule says.
        let unlisted = held.filter(|subject| match subject {
            Subject::All => false,
            Subject::User(name) => !self.accounts.iter().any(|account| account.name == *name),
            Subject::Uid(uid) => !self.accounts.iter().any(|account| account.uid == *uid),
            Subject::Group(name) => !self.groups.iter().any(|group| group.name == *name),
            Subject::Gid(gid) => !self.groups.iter().any(|group| group.gid == *gid),
            Subject::Foreign(_) => true,
        });
        principals.extend(unlisted.flat_map(|subject| self.named(subject)));
        principals
    }

    fn named(&self, subject: &Subject) -> Vec<Principal> {
        match subject {
            Subject::All => vec![Principal::Group(EVERYBODY.to_owned())],
            Subject::User(name) => vec![Principal::User(name.clone())],
            Subject::Group(name) | Subject::Foreign(name) => vec![Principal::Group(name.clone())],
            Subject::Gid(gid) => vec![Principal::Group(self.group_of(*gid))],
            Subject::Uid(uid) => {
                let names = self.accounts.iter().filter(|account| account.uid == *uid);
                let users: Vec<_> =
                    names.map(|account| Principal::User(account.name.clone())).collect();
                if users.is_empty() { vec![Principal::User(format!("#{uid}"))] } else { users }
            }
        }
    }

    fn fits(&self, subject: &Subject, account: &Account) -> bool {
        let is_in =
            |group: &Group| group.gid == account.gid || group.members.contains(&account.name);
        match subject {
            Subject::All => true,
            Subject::User(name) => *name == account.name,
            Subject::Uid(uid) => *uid == account.uid,
            Subject::Group(name) => {
                self.groups.iter().any(|group| group.name == *name && is_in(group))
            }
            Subject::Gid(gid) => {
                account.gid == *gid
                    || self.groups.iter().any(|group| group.gid == *gid && is_in(group))
            }
            Subject::Foreign(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{group, passwd};

    fn held(subjects: &[(Subject, bool)]) -> Vec<String> {
        let accounts = passwd::parse(
            b"root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\na:x:1:10::/:/bin/sh\nb:x:2:10::/:/bin/sh\n\
              c:x:3:3::/:/bin/sh",
        );
        let groups = group::parse(b"root:x:0:\nstaff:x:10:c\nwheel:x:11:a,ghost");
        let directory = Directory { accounts: &accounts.entries, groups: &groups.entries };
        directory
            .principals(subjects)
            .into_iter()
            .map(|principal| format!("{principal:?}"))
            .collect()
    }

    fn user(name: &str) -> Subject {
        Subject::User(name.to_owned())
    }

    fn group(name: &str) -> Subject {
        Subject::Group(name.to_owned())
    }

    #[test]
    fn rules_without_exceptions_name_whom_they_speak_of() {
        for (subject, expected) in [
            (user("a"), vec!["User(\"a\")"]),
            (user("gone"), vec!["User(\"gone\")"]),
            (Subject::Uid(0), vec!["User(\"root\")", "User(\"toor\")"]),
            (Subject::Uid(99), vec!["User(\"#99\")"]),
            (group("wheel"), vec!["Group(\"wheel\")"]),
            (Subject::Gid(10), vec!["Group(\"staff\")"]),
            (Subject::Gid(99), vec!["Group(\"#99\")"]),
            (Subject::All, vec!["Group(\"sudo:ALL\")"]),
            (Subject::Foreign("+net".to_owned()), vec!["Group(\"+net\")"]),
        ] {
            assert_eq!(held(&[(subject.clone(), true)]), expected, "{subject:?}");
        }
    }

    #[test]
    fn rules_with_exceptions_are_spelled_out_and_the_last_item_that_fits_decides() {
        let users = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| format!("User({name:?})")).collect()
        };
        for (subjects, expected) in [
            (vec![(Subject::All, true), (user("a"), false)], users(&["b", "c", "root", "toor"])),
            (
                vec![(user("a"), false), (Subject::All, true)],
                users(&["a", "b", "c", "root", "toor"]),
            ),
            (vec![(group("staff"), true), (user("b"), false)], users(&["a", "c"])),
            (vec![(Subject::Gid(10), true), (group("wheel"), false)], users(&["b", "c"])),
            (
                vec![(Subject::All, true), (Subject::Uid(0), false), (user("c"), false)],
                users(&["a", "b"]),
            ),
            (vec![(user("gone"), true), (user("a"), false)], users(&["gone"])),
            (vec![(user("a"), false)], users(&[])),
        ] {
            assert_eq!(held(&subjects), expected, "{subjects:?}");
        }
    }
}
