//! Numbers and names as people read them.

/// Characters of a name that are shown, at most.
const SHOWN_MAX: usize = 200;

/// A number with its thousands apart: `4,212`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share in percent, with one decimal where it needs one: `92.6 %`.
pub(crate) fn share(part: u64, whole: u64) -> String {
    let whole = u128::from(whole.max(1));
    let tenths = (u128::from(part) * 1_000 + whole / 2) / whole;
    // A little is not nothing, and not all is not all.
    let tenths = match tenths {
        0 if part > 0 => 1,
        1_000 if u128::from(part) < whole => 999,
        tenths => tenths,
    };
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} %"),
        (whole, rest) => format!("{whole}.{rest} %"),
    }
}

/// Several of what a label names: `users`, `service accounts`, `policies`.
pub(crate) fn plural(label: &str) -> String {
    let mut text = label.replace('_', " ");
    let ends = |endings: &[&str]| endings.iter().any(|ending| label.ends_with(ending));
    if ends(&["y"]) && !ends(&["ay", "ey", "oy", "uy"]) {
        text.truncate(text.len() - 1);
        text.push_str("ies");
    } else if ends(&["s", "x", "z", "ch", "sh"]) {
        text.push_str("es");
    } else {
        text.push('s');
    }
    text
}

/// So many of what a label names: `1 user`, `4,212 users`.
pub(crate) fn counted(number: u64, label: &str) -> String {
    if number == 1 {
        format!("1 {}", label.replace('_', " "))
    } else {
        format!("{} {}", count(number), plural(label))
    }
}

/// Text of a connector or a source, short and without characters that steer a terminal or turn a
/// line around.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(SHOWN_MAX));
    for (index, character) in text.chars().enumerate() {
        if index == SHOWN_MAX {
            shown.push('…');
            break;
        }
        shown.push(if cordon_model::is_hostile(character) {
            char::REPLACEMENT_CHARACTER
        } else {
            character
        });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let texts = [0, 12, 999, 1_000, 4_212, 1_234_567].map(count);
        assert_eq!(texts, ["0", "12", "999", "1,000", "4,212", "1,234,567"]);
    }

    #[test]
    fn a_share_is_never_rounded_to_nothing_or_to_all() {
        assert_eq!(share(3_902, 4_212), "92.6 %");
        assert_eq!(share(1, 1_000_000), "0.1 %");
        assert_eq!(share(999_999, 1_000_000), "99.9 %");
        assert_eq!(share(1_000, 1_000), "100 %");
        assert_eq!(share(0, 0), "0 %");
        assert_eq!(share(u64::MAX, u64::MAX), "100 %");
    }

    #[test]
    fn labels_are_spoken_of_in_plural() {
        let texts = ["user", "service_account", "policy", "key", "box"].map(plural);
        assert_eq!(texts, ["users", "service accounts", "policies", "keys", "boxes"]);
    }

    #[test]
    fn a_hostile_name_cannot_steer_a_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\n\u{202e}c"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c");
        assert_eq!(shown(&"x".repeat(1_000_000)).chars().count(), SHOWN_MAX + 1);
    }
}
