//! Numbers, times and digests in the form that people read.
//!
//! Counts have thousands separators, ages two units, digests their short form. The machine formats
//! never come through here.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

use cordon_wire::v1;

/// Characters of a digest in its short form.
pub(crate) const DIGEST_CHARS_MIN: usize = 8;

/// `7019` as `7,019`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 change`, `2 changes`.
pub(crate) fn plural(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(value), if value == 1 { one } else { many })
}

/// `+12 -7,019 ~40`, or `-` where nothing was compared.
pub(crate) fn changes(counts: Option<&v1::ChangeCounts>) -> String {
    counts.map_or_else(
        || "-".to_owned(),
        |c| format!("+{} -{} ~{}", count(c.added), count(c.removed), count(c.modified)),
    )
}

/// The moment so long ago, as the wire tells it; 0 where none was given.
pub(crate) fn since(past: Option<SignedDuration>) -> i64 {
    let since = past.and_then(|past| Timestamp::now().checked_sub(past).ok());
    since.map_or(0, Timestamp::as_microsecond)
}

/// All changes together.
pub(crate) fn changes_sum(counts: &v1::ChangeCounts) -> u64 {
    counts.added.saturating_add(counts.removed).saturating_add(counts.modified)
}

/// A digest as `b3:` and its first characters: enough to name it, short enough to type.
pub(crate) fn digest(hex: &str) -> String {
    let hex = hex.strip_prefix("b3:").unwrap_or(hex);
    if hex.is_empty() {
        return "-".to_owned();
    }
    format!("b3:{}", hex.chars().take(DIGEST_CHARS_MIN).collect::<String>())
}

/// Seconds as `14s`, `14m`, `2h 11m` or `12d 4h`.
pub(crate) fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3_600 => format!("{}m", s / 60),
        s @ 3_600..86_400 => format!("{}h {:02}m", s / 3_600, s % 3_600 / 60),
        s => format!("{}d {}h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// Seconds in their greatest unit: `2h`.
pub(crate) fn age_short(seconds: i64) -> String {
    age(seconds).split(' ').next().unwrap_or_default().to_owned()
}

/// How long something took: `812us`, `312ms`, `12.3s`, `3m 12s`, `2h 11m`.
pub(crate) fn took(micros: i64) -> String {
    if (1..1_000).contains(&micros) {
        return format!("{micros}us");
    }
    match micros.max(0) / 1_000 {
        ms @ 0..1_000 => format!("{ms}ms"),
        ms @ 1_000..60_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        ms @ 60_000..3_600_000 => format!("{}m {:02}s", ms / 60_000, ms % 60_000 / 1_000),
        ms => age(ms / 1_000),
    }
}

/// Bytes as `118 MiB`.
pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut whole = value;
    while whole >= 10_240 && unit + 1 < UNITS.len() {
        whole /= 1_024;
        unit += 1;
    }
    format!("{} {}", count(whole), UNITS[unit])
}

/// Microseconds of the wire as a time; 0 and what no calendar holds are none.
pub(crate) fn time(micros: i64) -> Option<Timestamp> {
    if micros == 0 {
        return None;
    }
    Timestamp::from_microsecond(micros).ok()
}

/// A time of the wire for a person in `zone`: today as `09:12:44`, another day as
/// `2026-03-02 04:00`, never as `-`.
pub(crate) fn clock(micros: i64, now: i64, zone: &TimeZone) -> String {
    let Some(then) = time(micros) else {
        return "-".to_owned();
    };
    let then = then.to_zoned(zone.clone());
    let today = time(now).map(|now| now.to_zoned(zone.clone()).date());
    let shape = if today == Some(then.date()) { "%H:%M:%S" } else { "%Y-%m-%d %H:%M" };
    then.strftime(shape).to_string()
}

/// Reads `90s`, `2h`, `1h 30m` or `2d`; days are 24 hours.
pub(crate) fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    let span: Span =
        text.parse().map_err(|_| "give a number and a unit, as 90s, 2h or 3d".to_owned())?;
    let length = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| "months and years have no fixed length; give days or less".to_owned())?;
    if length < SignedDuration::from_secs(1) {
        return Err("must be one second or more".to_owned());
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_thousands_separators() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn ages_have_two_units() {
        assert_eq!(age(-5), "0s");
        assert_eq!(age(59), "59s");
        assert_eq!(age(60), "1m");
        assert_eq!(age(2 * 3_600 + 11 * 60), "2h 11m");
        assert_eq!(age(3_600 + 120), "1h 02m");
        assert_eq!(age(12 * 86_400 + 4 * 3_600), "12d 4h");
        assert_eq!(age_short(2 * 3_600 + 11 * 60), "2h");
    }

    #[test]
    fn lengths_keep_what_matters_at_their_size() {
        assert_eq!(took(812), "812us");
        assert_eq!(took(312_000), "312ms");
        assert_eq!(took(12_345_000), "12.3s");
        assert_eq!(took(192_000_000), "3m 12s");
        assert_eq!(took(-1), "0ms");
    }

    #[test]
    fn bytes_are_told_in_binary_units() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(118 * 1_024 * 1_024), "118 MiB");
        assert_eq!(bytes(u64::MAX), "16,777,215 TiB");
    }

    #[test]
    fn a_time_that_no_calendar_holds_is_none() {
        assert_eq!(time(0), None);
        assert_eq!(time(i64::MAX), None);
        assert_eq!(clock(i64::MIN, 0, &TimeZone::UTC), "-");
    }

    #[test]
    fn another_day_is_told_with_its_date() {
        let then = 1_772_424_000_000_000;
        assert_eq!(clock(then, then + 1_000_000, &TimeZone::UTC), "04:00:00");
        assert_eq!(clock(then, then + 86_400_000_000, &TimeZone::UTC), "2026-03-02 04:00");
    }

    #[test]
    fn a_duration_needs_a_unit_and_a_length() {
        assert_eq!(parse_duration("2h").unwrap().as_secs(), 7_200);
        assert_eq!(parse_duration("1h 30m").unwrap().as_secs(), 5_400);
        assert_eq!(parse_duration("3d").unwrap().as_secs(), 259_200);
        for wrong in ["", "2", "0s", "-2h", "1 month", "soon"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_digest_is_named_by_its_beginning() {
        assert_eq!(digest("91fe04c2aabbccdd"), "b3:91fe04c2");
        assert_eq!(digest(""), "-");
    }
}
