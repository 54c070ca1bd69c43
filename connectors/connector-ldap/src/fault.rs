//! Why a search did not give all that it should have, and what follows from it.
//!
//! A server that stopped half-way has said so, and the rest of the directory may still be read: that
//! scope is incomplete. A server that is away, or that refuses this account altogether, ends the sync
//! with an error by which the supervisor decides about the next try.

use std::time::Duration;

use cordon_sdk::Error;
use ldap3::{LdapError, LdapResult};

/// How long a server that is busy is left alone.
const BUSY_FOR: Duration = Duration::from_secs(30);
/// Characters of a server's own words in a message.
const WORDS_SHOWN_MAX: usize = 200;

/// Why a search did not give all that it should have.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the connection was lost: {0}")]
    Lost(String),
    #[error("the server said nothing for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the server ended with {name} ({code}){words}")]
    Refused { code: u32, name: &'static str, words: String },
    #[error("the server leaves a part of it to {0}, which is not followed")]
    Referred(String),
    #[error(
        "the server sends no pages (control 1.2.840.113556.1.4.319), so its end proves nothing"
    )]
    NotPaged,
    #[error("the server sends the same page again and again")]
    Repeats,
    #[error("the server sends more than the {asked} entries that were asked for")]
    Flood { asked: u32 },
    #[error("the server's answer cannot be read: {0}")]
    Malformed(&'static str),
}

impl Fault {
    /// What a result says; nothing when it is a success.
    pub(crate) fn of_result(result: &LdapResult) -> Option<Self> {
        match result.rc {
            0 => None,
            10 => Some(Self::Referred(host_of(result.refs.first().map_or("", String::as_str)))),
            code => {
                let words = shown(&result.text);
                let words = if words.is_empty() { words } else { format!(": {words}") };
                Some(Self::Refused { code, name: name_of(code), words })
            }
        }
    }

    pub(crate) fn of_error(error: LdapError, timeout: Duration) -> Self {
        match error {
            LdapError::Timeout { .. } => Self::Silent(timeout),
            LdapError::LdapResult { result } => {
                Self::of_result(&result).unwrap_or(Self::Malformed("a success that is an error"))
            }
            LdapError::Io { source } => Self::Lost(source.to_string()),
            LdapError::EndOfStream | LdapError::ResultRecv { .. } | LdapError::OpSend { .. } => {
                Self::Lost("the server closed it".to_owned())
            }
            error => Self::Lost(error.to_string()),
        }
    }

    /// A part of the server that is elsewhere.
    pub(crate) fn referred(url: &str) -> Self {
        Self::Referred(host_of(url))
    }

    /// Whether the server stands and only this part of it could not be read.
    pub(crate) fn is_partial(&self) -> bool {
        match self {
            Self::Lost(_) | Self::Silent(_) => false,
            Self::Refused { code, .. } => !matches!(code, 1 | 8 | 13 | 48 | 49 | 51 | 52),
            Self::Referred(_)
            | Self::NotPaged
            | Self::Repeats
            | Self::Flood { .. }
            | Self::Malformed(_) => true,
        }
    }

    /// As the error of what was being done.
    pub(crate) fn into_error(self, doing: &str) -> Error {
        let message = format!("cannot {doing}");
        let error = match &self {
            Self::Lost(_) | Self::Silent(_) | Self::Refused { code: 52, .. } => {
                Error::unavailable(message)
            }
            Self::Refused { code: 51, .. } => Error::rate_limited(message, BUSY_FOR),
            Self::Refused { code: 1 | 7 | 8 | 13 | 48 | 49 | 50, .. } => Error::auth(message),
            Self::Refused { code: 34, .. } => {
                let message = format!("{message}: a DN of the configuration is none");
                Error::bad_config("base", message)
            }
            _ => Error::incomplete(message),
        };
        error.caused_by(self)
    }
}

/// Why a bind was refused, with what Active Directory hides in a number.
pub(crate) fn bind_error(result: &LdapResult, who: &str) -> Error {
    let Some(fault) = Fault::of_result(result) else { return Error::bug("a bind that went well") };
    let hint = match (result.rc, active_directory_reason(&result.text)) {
        (_, Some(reason)) => format!(": {reason}"),
        (8 | 13, _) => {
            ": the server wants an encrypted connection; take `plaintext` away".to_owned()
        }
        (49, _) => ": the name or the password is wrong".to_owned(),
        _ => String::new(),
    };
    fault.into_error(&format!("bind as {who}{hint}"))
}

/// The part `data 775` of what a domain controller says of a bind.
fn active_directory_reason(text: &str) -> Option<&'static str> {
    let data = text.split("data ").nth(1)?.split(',').next()?;
    Some(match data.trim() {
        "525" => "there is no such account",
        "52e" => "the name or the password is wrong",
        "530" | "531" => "the account may not log in now, or not from here",
        "532" => "the account's password has expired",
        "533" => "the account is disabled",
        "701" => "the account has expired",
        "773" => "the account must change its password first",
        "775" => "the account is locked out",
        _ => return None,
    })
}

/// What a server says, short and on one line.
fn shown(text: &str) -> String {
    let text = text.trim_matches(|character: char| character == '\0' || character.is_whitespace());
    let clean = text.chars().map(|it| if it.is_control() { ' ' } else { it });
    clean.take(WORDS_SHOWN_MAX).collect()
}

/// The place that a referral names: never more than scheme, host and port, since it is not followed.
fn host_of(url: &str) -> String {
    let end = url.find("://").map_or(0, |at| at + 3);
    let host = url[end..].find('/').map_or(url, |at| &url[..end + at]);
    if host.is_empty() { "another server".to_owned() } else { shown(host) }
}

fn name_of(code: u32) -> &'static str {
    match code {
        1 => "operationsError",
        2 => "protocolError",
        3 => "timeLimitExceeded",
        4 => "sizeLimitExceeded",
        7 => "authMethodNotSupported",
        8 => "strongerAuthRequired",
        11 => "adminLimitExceeded",
        12 => "unavailableCriticalExtension",
        13 => "confidentialityRequired",
        18 => "inappropriateMatching",
        21 => "invalidAttributeSyntax",
        32 => "noSuchObject",
        34 => "invalidDNSyntax",
        48 => "inappropriateAuthentication",
        49 => "invalidCredentials",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        80 => "other",
        _ => "an error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(rc: u32, text: &str) -> LdapResult {
        LdapResult {
            rc,
            matched: String::new(),
            text: text.to_owned(),
            refs: vec!["ldap://other.example:389/dc=x??sub".to_owned()],
            ctrls: vec![],
        }
    }

    #[test]
    fn every_ending_is_a_part_or_an_error_of_its_kind() {
        let kind = |error: &Error| match error {
            Error::Auth { .. } => "auth",
            Error::RateLimited { .. } => "rate limited",
            Error::Unavailable { .. } => "unavailable",
            Error::Incomplete { .. } => "incomplete",
            _ => "other",
        };
        for (code, is_partial, expected) in [
            (1, false, "auth"),
            (3, true, "incomplete"),
            (4, true, "incomplete"),
            (8, false, "auth"),
            (10, true, "incomplete"),
            (11, true, "incomplete"),
            (12, true, "incomplete"),
            (32, true, "incomplete"),
            (49, false, "auth"),
            (50, true, "auth"),
            (51, false, "rate limited"),
            (52, false, "unavailable"),
            (53, true, "incomplete"),
            (80, true, "incomplete"),
        ] {
            let fault = Fault::of_result(&result(code, "")).unwrap();
            assert_eq!(fault.is_partial(), is_partial, "{code}");
            assert_eq!(kind(&fault.into_error("read users")), expected, "{code}");
        }
        assert!(Fault::of_result(&result(0, "")).is_none());
    }

    #[test]
    fn what_is_said_names_the_code_the_words_and_the_place() {
        let fault = Fault::of_result(&result(4, "size limit\nof 500\0")).unwrap();
        let expected = "the server ended with sizeLimitExceeded (4): size limit of 500";
        assert_eq!(fault.to_string(), expected);
        let referred = Fault::of_result(&result(10, "")).unwrap().to_string();
        assert!(
            referred.contains("leaves a part of it to ldap://other.example:389,"),
            "{referred}"
        );
        let words = "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data \
                     775, v4563";
        let error = bind_error(&result(49, words), "cn=cordon").to_string();
        assert_eq!(error, "cannot bind as cn=cordon: the account is locked out");
    }
}
