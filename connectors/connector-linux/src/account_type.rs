//! Tells human, service and system accounts apart.
//!
//! Nothing in etc/passwd says so; what hosts agree on is a border between numbers (UID_MIN of
//! login.defs) and a shell that refuses logins. Where a host has services that look like people,
//! its administrator names them.

use cordon_sdk::AccountType;

use crate::passwd::Account;
use crate::pattern;

/// The border where login.defs is silent.
pub(crate) const UID_MIN_DEFAULT: u32 = 1000;
/// `nobody`: above the border, and yet the kernel's own.
const UID_NOBODY: u32 = 65_534;

/// What an account is.
pub(crate) fn account_type(
    account: &Account,
    uid_min: u32,
    service_accounts: &[String],
) -> AccountType {
    if service_accounts.iter().any(|pattern| pattern::matches(pattern, &account.name)) {
        return AccountType::Service;
    }
    if account.uid < uid_min || account.uid == UID_NOBODY || account.name == "nobody" {
        return AccountType::System;
    }
    if account.has_login_shell() { AccountType::Human } else { AccountType::Service }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(name: &str, uid: u32, shell: &str) -> AccountType {
        let line = format!("{name}:x:{uid}:0::/:{shell}");
        let account = crate::passwd::parse(line.as_bytes()).entries.remove(0);
        account_type(&account, 1000, &["svc-*".to_owned(), "backup".to_owned()])
    }

    #[test]
    fn numbers_and_shells_tell_accounts_apart() {
        for (name, uid, shell, expected) in [
            ("root", 0, "/bin/bash", AccountType::System),
            ("daemon", 1, "/usr/sbin/nologin", AccountType::System),
            ("postgres", 999, "/bin/bash", AccountType::System),
            ("alice", 1000, "/bin/bash", AccountType::Human),
            ("bob", 60_001, "", AccountType::Human),
            ("app", 1001, "/usr/sbin/nologin", AccountType::Service),
            ("app", 1001, "/bin/false", AccountType::Service),
            ("nobody", 65_534, "/bin/bash", AccountType::System),
            ("nobody", 99, "/bin/bash", AccountType::System),
            ("svc-deploy", 1002, "/bin/bash", AccountType::Service),
            ("backup", 34, "/usr/sbin/nologin", AccountType::Service),
        ] {
            assert_eq!(typed(name, uid, shell), expected, "{name} {uid} {shell}");
        }
    }
}
