//! Which characters of a stranger's text are not shown as they are.
//!
//! Ids, names and log lines come from connectors and their sources. A control character in one can
//! move a cursor, retitle a window or hide the line that matters; a direction override can make
//! `nimda` read `admin`. How such a character is shown is the business of whoever shows it.

/// Whether a terminal or a pager would obey this character, or show nothing of it: controls of both
/// sets, line and paragraph separators, marks of direction, and what has no shape.
pub fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_every_script_are_shown() {
        assert!(!"u1042 Łukasz Müller 山田 太郎 a\\b 😀 שלום".contains(is_hostile));
    }

    #[test]
    fn what_moves_hides_or_turns_is_hostile() {
        for character in [
            '\0',
            '\n',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{200b}',
            '\u{202e}',
            '\u{2066}',
            '\u{e0041}',
        ] {
            assert!(is_hostile(character), "{character:?}");
        }
    }
}
