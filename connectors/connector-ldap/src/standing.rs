//! May this account act? Each kind of server says it in its own marks.
//!
//! An account without any mark of a server that has such marks is active. Where the mark itself cannot
//! be read nothing is said: a guess would open or shut a door.

use cordon_sdk::{Status, Timestamp};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::dialect::Dialect;
use crate::entry::Entry;

/// Bits of userAccountControl (MS-ADTS 2.2.16), and of what the controller computes of it.
const DISABLED: i64 = 0x2;
const LOCKED_OUT: i64 = 0x10;
/// Seconds from 1601 to 1970, in tenths of microseconds.
const TICKS_TO_1970: i64 = 116_444_736_000_000_000;
/// An account that ends never.
const NEVER: i64 = i64::MAX;
/// A lock that an administrator set (draft-behera-ldap-password-policy).
const LOCKED_FOR_GOOD: &str = "000001010000Z";
const SECONDS_A_DAY: i64 = 86_400;

/// Whether an account may act, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Active,
    Disabled,
    Expired,
    LockedOut,
}

impl Standing {
    pub(crate) fn status(self) -> Status {
        match self {
            Self::Active => Status::Active,
            Self::Disabled | Self::Expired | Self::LockedOut => Status::Disabled,
        }
    }

    /// What keeps the account from acting.
    pub(crate) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Active => None,
            Self::Disabled => Some("disabled"),
            Self::Expired => Some("expired"),
            Self::LockedOut => Some("locked out"),
        }
    }
}

/// Attributes that say it.
pub(crate) fn attributes(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::ActiveDirectory => {
            &["userAccountControl", "msDS-User-Account-Control-Computed", "accountExpires"]
        }
        Dialect::Standard => {
            &["pwdAccountLockedTime", "pwdEndTime", "nsAccountLock", "shadowExpire"]
        }
    }
}

/// Whether an account may act; none where that cannot be seen.
pub(crate) fn standing(dialect: Dialect, entry: &Entry, now: Timestamp) -> Option<Standing> {
    match dialect {
        Dialect::ActiveDirectory => of_domain(entry, now),
        Dialect::Standard => Some(of_directory(entry, now)),
    }
}

fn of_domain(entry: &Entry, now: Timestamp) -> Option<Standing> {
    let control = entry.number_of("userAccountControl")?;
    // Whether a lockout is still in force hangs on policies; the controller knows them.
    let computed = entry.number_of("msDS-User-Account-Control-Computed").unwrap_or(0);
    let expires = entry.number_of("accountExpires").filter(|ticks| !matches!(*ticks, 0 | NEVER));
    let is_expired = expires.and_then(tick).is_some_and(|end| end <= now);
    Some(if control & DISABLED != 0 {
        Standing::Disabled
    } else if is_expired {
        Standing::Expired
    } else if (control | computed) & LOCKED_OUT != 0 {
        Standing::LockedOut
    } else {
        Standing::Active
    })
}

fn of_directory(entry: &Entry, now: Timestamp) -> Standing {
    let lock = entry.text_of("pwdAccountLockedTime");
    let is_locked =
        entry.text_of("nsAccountLock").is_some_and(|it| it.eq_ignore_ascii_case("true"));
    let today = now.as_second().div_euclid(SECONDS_A_DAY);
    let is_expired = entry.text_of("pwdEndTime").and_then(moment).is_some_and(|end| end <= now)
        || entry.number_of("shadowExpire").is_some_and(|day| (0..=today).contains(&day));
    if is_locked || lock == Some(LOCKED_FOR_GOOD) {
        Standing::Disabled
    } else if is_expired {
        Standing::Expired
    } else if lock.is_some() {
        Standing::LockedOut
    } else {
        Standing::Active
    }
}

/// A moment in tenths of microseconds since 1601.
pub(crate) fn tick(ticks: i64) -> Option<Timestamp> {
    let micros = ticks.checked_sub(TICKS_TO_1970)?.div_euclid(10);
    Timestamp::from_microsecond(micros).ok()
}

/// A moment as LDAP writes it (generalized time of UTC): `20261126212614Z`, with or without a
/// fraction and seconds.
pub(crate) fn moment(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let part = |from: usize, to: usize| whole.get(from..to)?.parse::<i8>().ok();
    if !matches!(whole.len(), 12 | 14)
        || !text.bytes().all(|it| it.is_ascii_digit() || it == b'.' || it == b',')
    {
        return None;
    }
    let year = whole.get(..4)?.parse::<i16>().ok()?;
    let second = if whole.len() == 14 { part(12, 14)? } else { 0 };
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanosecond = digits.parse::<i32>().ok()?;
    let (month, day, hour, minute) = (part(4, 6)?, part(6, 8)?, part(8, 10)?, part(10, 12)?);
    let time = DateTime::new(year, month, day, hour, minute, second, nanosecond).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-26T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn moments_are_read_as_servers_write_them() {
        for (text, expected) in [
            ("20261126212614Z", Some("2026-11-26T21:26:14Z")),
            ("20261126212614.0Z", Some("2026-11-26T21:26:14Z")),
            ("20261126212614.123456Z", Some("2026-11-26T21:26:14.123456Z")),
            ("202611262126Z", Some("2026-11-26T21:26:00Z")),
            ("20261126212614", None),
            ("20261126212614+0100", None),
            ("20261326212614Z", None),
            ("2026112é212614Z", None),
            ("", None),
        ] {
            let read = moment(text).map(|time| time.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
        // 2026-11-26 12:00 UTC, by the definition of FILETIME.
        assert_eq!(tick(134_401_680_000_000_000), Some(now()));
        assert_eq!(tick(i64::MIN), None);
    }

    #[test]
    fn a_domains_marks_are_read_in_the_order_of_what_undoes_them_last() {
        let ended = "134401679900000000";
        for (marks, expected) in [
            (&[("userAccountControl", "512")][..], Some(Standing::Active)),
            (&[("userAccountControl", "514")], Some(Standing::Disabled)),
            (
                &[("userAccountControl", "66050"), ("accountExpires", ended)],
                Some(Standing::Disabled),
            ),
            (&[("userAccountControl", "512"), ("accountExpires", ended)], Some(Standing::Expired)),
            (&[("userAccountControl", "512"), ("accountExpires", "0")], Some(Standing::Active)),
            (
                &[("userAccountControl", "512"), ("accountExpires", "9223372036854775807")],
                Some(Standing::Active),
            ),
            (
                &[("userAccountControl", "512"), ("msDS-User-Account-Control-Computed", "16")],
                Some(Standing::LockedOut),
            ),
            (&[("sAMAccountName", "ann")], None),
        ] {
            let entry = Entry::new("cn=a", marks);
            assert_eq!(standing(Dialect::ActiveDirectory, &entry, now()), expected, "{marks:?}");
        }
    }

    #[test]
    fn a_directorys_marks_are_those_of_its_password_policy_and_of_shadow() {
        for (marks, expected) in [
            (&[][..], Standing::Active),
            (&[("pwdAccountLockedTime", "000001010000Z")], Standing::Disabled),
            (&[("pwdAccountLockedTime", "20261126110000Z")], Standing::LockedOut),
            (&[("pwdEndTime", "20261126110000Z")], Standing::Expired),
            (&[("pwdEndTime", "20261127110000Z")], Standing::Active),
            (&[("nsAccountLock", "TRUE")], Standing::Disabled),
            // 2026-11-26 is day 20,783; -1 is no end.
            (&[("shadowExpire", "20783")], Standing::Expired),
            (&[("shadowExpire", "20784")], Standing::Active),
            (&[("shadowExpire", "-1")], Standing::Active),
        ] {
            let entry = Entry::new("cn=a", marks);
            assert_eq!(standing(Dialect::Standard, &entry, now()), Some(expected), "{marks:?}");
        }
    }
}
