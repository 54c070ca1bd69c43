//! Who is who: the roles that a sync found, and what each of them is in records.

use std::collections::HashMap;

use cordon_sdk::AccountType;
use glob::Pattern;

use crate::fact::Holder;
use crate::fault::Fault;

/// The group that stands for every role. No role has this id: theirs are numbers.
pub(crate) const PUBLIC: &str = "public";
/// Roles below it came with the server.
pub(crate) const FIRST_OWN_OID: u32 = 16_384;
/// The role that initdb made.
const BOOTSTRAP_OID: u32 = 10;

/// Whether a role can log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It can.
    User,
    /// It cannot.
    Group,
}

impl Kind {
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }
}

/// What is known while rows become records.
pub(crate) struct Known {
    roles: HashMap<u32, Kind>,
    /// Whether `roles` are only those that somebody asks for.
    is_partial: bool,
    services: Vec<Pattern>,
    account_type: Option<AccountType>,
    /// The database that is read.
    pub(crate) database: u32,
    /// The entitlement that was reported last, so that each is reported once.
    entitlement: String,
}

impl Known {
    pub(crate) fn new(services: Vec<Pattern>, account_type: Option<AccountType>) -> Self {
        Self {
            roles: HashMap::new(),
            is_partial: false,
            services,
            account_type,
            database: 0,
            entitlement: String::new(),
        }
    }

    /// Others than those that are added next concern nobody.
    pub(crate) fn only_some(mut self) -> Self {
        self.is_partial = true;
        self
    }

    pub(crate) fn add(&mut self, role: u32, kind: Kind) {
        self.roles.insert(role, kind);
    }

    /// The record of a role that holds something. `is_listed` says whether the server lists it at
    /// the moment of that reading, which may be later than that of the roles.
    pub(crate) fn holder(
        &self,
        role: u32,
        is_listed: bool,
        holds: impl Fn() -> String,
    ) -> Result<Holder, Fault> {
        if role == 0 {
            return Ok(("group", PUBLIC.to_owned()));
        }
        match self.roles.get(&role) {
            Some(kind) => Ok((kind.type_name(), role.to_string())),
            None if self.is_partial || is_listed => Err(Fault::Younger),
            None => Err(Fault::Stranger { holds: holds(), role }),
        }
    }

    /// Whether an entitlement comes for the first time; those of one id come one after another.
    pub(crate) fn is_new(&mut self, entitlement: &str) -> bool {
        let is_new = self.entitlement != entitlement;
        if is_new {
            entitlement.clone_into(&mut self.entitlement);
        }
        is_new
    }

    /// What a role that can log in is, where anything says so.
    pub(crate) fn account_type(
        &self,
        role: u32,
        name: &str,
        is_replicating: bool,
    ) -> Option<AccountType> {
        if self.services.iter().any(|pattern| pattern.matches(name)) {
            return Some(AccountType::Service);
        }
        match role {
            BOOTSTRAP_OID => Some(AccountType::System),
            _ if is_replicating => Some(AccountType::Service),
            _ => self.account_type,
        }
    }
}
