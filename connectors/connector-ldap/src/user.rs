//! Makes a user of an entry.

use cordon_sdk::{AccountType, Attribute, Schema, Timestamp, User};

use crate::dialect::{self, Dialect, ExtendedName};
use crate::entry::{Entry, ValueFault};
use crate::guid::Guid;
use crate::principals::{Holder, Principals};
use crate::standing;

/// Service names of one account that are shown.
const SERVICE_NAMES_MAX: usize = 20;
/// Accounts of a domain below this number come with it.
const FIRST_OWN_ACCOUNT: u32 = 1_000;
/// The number of a new domain's administrator, who is a person.
const ADMINISTRATOR: u32 = 500;
/// Bits of userAccountControl: trusts and computers have accounts as well; a password stays for ever.
const MACHINE: i64 = 0x800 | 0x1000 | 0x2000;
const PASSWORD_STAYS: i64 = 0x1_0000;

/// An attribute that is reported, and what each kind of server calls it; the first name that an entry
/// has counts.
type Text = (&'static str, &'static [&'static str], &'static [&'static str]);

const TEXTS: [Text; 12] = [
    ("email", &["mail"], &["mail"]),
    ("upn", &["userPrincipalName"], &[]),
    ("given_name", &["givenName"], &["givenName"]),
    ("family_name", &["sn"], &["sn"]),
    ("employee_number", &["employeeNumber", "employeeID"], &["employeeNumber"]),
    ("employee_type", &["employeeType"], &["employeeType"]),
    ("title", &["title"], &["title"]),
    ("department", &["department"], &["departmentNumber", "ou"]),
    ("company", &["company"], &["o"]),
    ("location", &["l"], &["l"]),
    ("phone", &["telephoneNumber"], &["telephoneNumber"]),
    ("description", &["description"], &["description"]),
];

/// What a user of this connector has beside what every user has.
pub(crate) fn schema() -> Schema {
    let texts = TEXTS.into_iter().filter(|(name, ..)| *name != "email");
    texts
        .fold(User::schema(), |schema, (name, ..)| {
            let attribute = Attribute::text(name);
            let is_key = matches!(name, "upn" | "employee_number");
            schema.attribute(if is_key { attribute.natural_key() } else { attribute })
        })
        .attribute(Attribute::text("dn").required())
        .attribute(Attribute::text("disabled_by"))
        .attribute(Attribute::text("service_names"))
        .attribute(Attribute::integer("uid_number"))
        .attribute(Attribute::boolean("password_stays"))
        .attribute(Attribute::timestamp("password_changed"))
}

/// Attributes that are asked for.
pub(crate) fn attributes(dialect: Dialect) -> Vec<&'static str> {
    let texts = TEXTS.into_iter().flat_map(|(_, domain, standard)| match dialect {
        Dialect::ActiveDirectory => domain,
        Dialect::Standard => standard,
    });
    let others: &[&str] = match dialect {
        Dialect::ActiveDirectory => &[
            "objectGUID",
            "objectSid",
            "objectClass",
            "sAMAccountName",
            "displayName",
            "cn",
            "manager",
            "servicePrincipalName",
            "whenCreated",
            "lastLogonTimestamp",
            "pwdLastSet",
            "primaryGroupID",
            "uidNumber",
        ],
        Dialect::Standard => &[
            "entryUUID",
            "objectClass",
            "uid",
            "displayName",
            "cn",
            "manager",
            "createTimestamp",
            "pwdLastSuccess",
            "authTimestamp",
            "pwdChangedTime",
            "gidNumber",
            "uidNumber",
        ],
    };
    let mut all: Vec<&str> =
        texts.chain(others).chain(standing::attributes(dialect)).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Makes a user of an entry.
pub(crate) fn user<'e>(
    dialect: Dialect,
    id: Guid,
    entry: &'e Entry,
    principals: &Principals,
    now: Timestamp,
) -> Result<User<'e>, ValueFault> {
    let mut user = User::new(id.to_string())
        .account_type(account_type(dialect, entry))
        .attribute("dn", ExtendedName::read(&entry.dn).dn);
    for name in ["displayName", "cn"] {
        if let Some(text) = entry.reportable(name)? {
            user = user.name(text);
            break;
        }
    }
    if let Some(login) = entry.reportable(dialect.login_attribute())? {
        user = user.login(login);
    }
    for (name, domain, standard) in TEXTS {
        let names = if dialect == Dialect::ActiveDirectory { domain } else { standard };
        for source in names {
            if let Some(text) = entry.reportable(source)? {
                user = if name == "email" { user.email(text) } else { user.attribute(name, text) };
                break;
            }
        }
    }
    if let Some(standing) = standing::standing(dialect, entry, now) {
        user = user.status(standing.status()).attribute("disabled_by", standing.reason());
    }
    if let Some(manager) = entry.text_of("manager")
        && let Holder::Known(place) = principals.named(manager)
        && let Some(manager) = principals.get(place)
    {
        user = user.owner(manager.kind.type_name(), manager.id.to_string());
    }
    Ok(with_moments(dialect, entry, user)
        .attribute("service_names", service_names(entry))
        .attribute("uid_number", entry.number_of("uidNumber")))
}

fn with_moments<'e>(dialect: Dialect, entry: &Entry, mut user: User<'e>) -> User<'e> {
    let moment = |name: &str| entry.text_of(name).and_then(standing::moment);
    let tick = |name: &str| entry.number_of(name).filter(|it| *it > 0).and_then(standing::tick);
    let (created, last_login, changed) = match dialect {
        Dialect::ActiveDirectory => {
            let control = entry.number_of("userAccountControl");
            user = user.attribute("password_stays", control.map(|it| it & PASSWORD_STAYS != 0));
            (moment("whenCreated"), tick("lastLogonTimestamp"), tick("pwdLastSet"))
        }
        Dialect::Standard => (
            moment("createTimestamp"),
            moment("pwdLastSuccess").or_else(|| moment("authTimestamp")),
            moment("pwdChangedTime"),
        ),
    };
    if let Some(created) = created {
        user = user.created(created);
    }
    if let Some(last_login) = last_login {
        user = user.last_login(last_login);
    }
    user.attribute("password_changed", changed)
}

/// Who or what an account is for.
fn account_type(dialect: Dialect, entry: &Entry) -> AccountType {
    if dialect == Dialect::Standard {
        let is_person = ["person", "organizationalPerson", "inetOrgPerson"];
        return match is_person.iter().any(|class| entry.is_a(class)) {
            true => AccountType::Human,
            false => AccountType::Service,
        };
    }
    let managed = ["msDS-ManagedServiceAccount", "msDS-GroupManagedServiceAccount"];
    if managed.iter().any(|class| entry.is_a(class)) {
        return AccountType::Service;
    }
    let sid = entry.bytes_of("objectSid").and_then(dialect::relative_id);
    let is_shipped =
        sid.is_some_and(|(number, _)| number < FIRST_OWN_ACCOUNT && number != ADMINISTRATOR);
    let is_machine = entry.number_of("userAccountControl").is_some_and(|it| it & MACHINE != 0);
    if is_shipped || is_machine || entry.is_a("computer") {
        AccountType::System
    } else if entry.has("servicePrincipalName") {
        AccountType::Service
    } else {
        AccountType::Human
    }
}

/// The services that an account stands for, in one order and not without end.
fn service_names(entry: &Entry) -> Option<String> {
    let values = entry.values("servicePrincipalName").iter();
    let mut names: Vec<&str> = values.filter_map(|it| std::str::from_utf8(it).ok()).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(SERVICE_NAMES_MAX);
    names.truncate(SERVICE_NAMES_MAX);
    let mut text = names.join(", ");
    if more > 0 {
        text.push_str(&format!(", and {more} more"));
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(dialect: Dialect, attributes: &[(&str, &str)]) -> &'static str {
        account_type(dialect, &Entry::new("cn=a", attributes)).as_str()
    }

    #[test]
    fn accounts_are_what_their_class_and_their_marks_say() {
        let domain = |attributes: &[(&str, &str)]| kind(Dialect::ActiveDirectory, attributes);
        assert_eq!(domain(&[("objectClass", "user"), ("userAccountControl", "512")]), "human");
        let holder = [("objectClass", "user"), ("servicePrincipalName", "HTTP/web")];
        assert_eq!(domain(&holder), "service");
        let managed =
            [("objectClass", "msDS-GroupManagedServiceAccount"), ("userAccountControl", "4096")];
        assert_eq!(domain(&managed), "service");
        assert_eq!(
            domain(&[("objectClass", "computer"), ("userAccountControl", "4096")]),
            "system"
        );
        assert_eq!(domain(&[("objectClass", "user"), ("userAccountControl", "2080")]), "system");
        let standard = |class| kind(Dialect::Standard, &[("objectClass", class)]);
        assert_eq!((standard("inetOrgPerson"), standard("account")), ("human", "service"));
    }

    #[test]
    fn service_names_are_in_one_order_and_have_an_end() {
        let names: Vec<String> = (0..22).rev().map(|it| format!("svc/{it:02}")).collect();
        let attributes: Vec<(&str, &str)> =
            names.iter().map(|name| ("servicePrincipalName", name.as_str())).collect();
        let text = service_names(&Entry::new("cn=a", &attributes)).unwrap();
        assert!(
            text.starts_with("svc/00, svc/01,") && text.ends_with("svc/19, and 2 more"),
            "{text}"
        );
        assert_eq!(service_names(&Entry::default()), None);
    }
}
