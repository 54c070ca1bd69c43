//! What a server says of itself, and how current it is.

use cordon_sdk::{Error, Timestamp, Watermark};

use crate::connection::Connection;
use crate::dialect::Dialect;
use crate::dn;
use crate::entry::Entry;
use crate::fault::Fault;
use crate::standing;

/// The capability by which a domain controller is known.
const ACTIVE_DIRECTORY: &[u8] = b"1.2.840.113556.1.4.800";
const ATTRIBUTES: [&str; 8] = [
    "supportedCapabilities",
    "namingContexts",
    "defaultNamingContext",
    "vendorName",
    "dsServiceName",
    "highestCommittedUSN",
    "currentTime",
    "objectClass",
];

/// The server, as it presents itself.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    pub(crate) dialect: Dialect,
    /// Below which its entries are.
    pub(crate) contexts: Vec<String>,
    /// What it calls itself.
    pub(crate) vendor: &'static str,
    entry: Entry,
}

impl Root {
    /// Asks the server.
    pub(crate) async fn read(connection: &mut Connection) -> Result<Self, Error> {
        let found = connection.entry("", &ATTRIBUTES, vec![]).await;
        let entry = found.map_err(|fault| fault.into_error("ask the server what it is"))?;
        Ok(Self::of(entry.unwrap_or_default()))
    }

    fn of(entry: Entry) -> Self {
        let capabilities = entry.values("supportedCapabilities");
        let dialect = if capabilities.iter().any(|oid| oid == ACTIVE_DIRECTORY) {
            Dialect::ActiveDirectory
        } else {
            Dialect::Standard
        };
        let contexts = entry.values("namingContexts").iter();
        let contexts = contexts.filter_map(|name| String::from_utf8(name.clone()).ok()).collect();
        let is_samba =
            entry.text_of("vendorName").is_some_and(|vendor| vendor.starts_with("Samba"));
        let vendor = match dialect {
            Dialect::ActiveDirectory if is_samba => "an Active Directory domain controller (Samba)",
            Dialect::ActiveDirectory => "an Active Directory domain controller",
            Dialect::Standard if entry.is_a("OpenLDAProotDSE") => "OpenLDAP",
            Dialect::Standard => "an LDAP server",
        };
        Self { dialect, contexts, vendor, entry }
    }

    /// The context that a base lies in.
    pub(crate) fn context_of<'a>(&'a self, base: &'a str) -> &'a str {
        let around = self.contexts.iter().filter(|context| dn::is_below(base, context));
        around.max_by_key(|context| context.len()).map_or(base, String::as_str)
    }

    /// How current the server is: before anything is read, so that what changes meanwhile is newer.
    pub(crate) async fn watermark(
        &self,
        connection: &mut Connection,
        base: &str,
    ) -> Result<Watermark, Fault> {
        match self.dialect {
            // A controller's numbers have an order, those of two cannot be compared: so each goes
            // with its name, and one that falls back is noticed.
            Dialect::ActiveDirectory => {
                let server = self.entry.text_of("dsServiceName").unwrap_or_default();
                let token = self.entry.text_of("highestCommittedUSN");
                let token = token.map(|usn| format!("{server}@{usn}"));
                let time = self.entry.text_of("currentTime").and_then(standing::moment);
                Ok(Watermark { time, token })
            }
            Dialect::Standard => {
                let context = self.context_of(base);
                let entry = connection.entry(context, &["contextCSN"], vec![]).await?;
                Ok(of_changes(&entry.unwrap_or_default()))
            }
        }
    }
}

/// The newest change of each server that takes part, and the newest of all.
fn of_changes(entry: &Entry) -> Watermark {
    let values = entry.values("contextCSN").iter();
    let mut changes: Vec<&str> = values.filter_map(|it| std::str::from_utf8(it).ok()).collect();
    changes.sort_unstable();
    let time = changes.iter().filter_map(|change| time_of_change(change)).max();
    Watermark { time, token: (!changes.is_empty()).then(|| changes.join(" ")) }
}

/// `20261126212614.123456Z#000000#000#000000` happened at its first part.
fn time_of_change(change: &str) -> Option<Timestamp> {
    standing::moment(change.split('#').next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_change_of_all_servers_is_how_current_the_source_is() {
        let entry = Entry::new(
            "dc=x",
            &[
                ("contextCSN", "20261126212614.500000Z#000000#002#000000"),
                ("contextCSN", "20261126212613.123456Z#000000#001#000000"),
            ],
        );
        let watermark = of_changes(&entry);
        assert_eq!(watermark.time.unwrap().to_string(), "2026-11-26T21:26:14.5Z");
        let token = "20261126212613.123456Z#000000#001#000000 \
                     20261126212614.500000Z#000000#002#000000";
        assert_eq!(watermark.token.as_deref(), Some(token));
        assert_eq!(of_changes(&Entry::default()), Watermark::default());
    }

    #[test]
    fn a_domain_controller_is_known_by_its_capability() {
        let controller = Entry::new("", &[("supportedCapabilities", "1.2.840.113556.1.4.800")]);
        assert_eq!(Root::of(controller).dialect, Dialect::ActiveDirectory);
        let other = Root::of(Entry::new(
            "",
            &[("namingContexts", "dc=x"), ("namingContexts", "ou=a,dc=x")],
        ));
        assert_eq!(other.dialect, Dialect::Standard);
        assert_eq!(other.context_of("OU=b, ou=A,dc=x"), "ou=a,dc=x");
        assert_eq!(other.context_of("ou=c,dc=y"), "ou=c,dc=y");
    }
}
