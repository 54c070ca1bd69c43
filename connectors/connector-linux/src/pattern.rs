//! Name patterns: `*` stands for any text, `?` for one character, all else for itself.

/// Whether a whole name fits a pattern.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where to go on when the text that the last `*` took was too short. Only the last one needs
    // another try, so the time is bounded by the product of the lengths.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, n + 1));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match retry {
                Some((star, next)) => {
                    retry = Some((star, next + 1));
                    (p, n) = (star + 1, next);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name, fits) in [
            ("svc-*", "svc-deploy", true),
            ("svc-*", "svc", false),
            ("*-bot", "deploy-bot", true),
            ("*-bot", "bot-deploy", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("db?", "db1", true),
            ("db?", "db", false),
            ("*", "", true),
            ("", "a", false),
            ("é?", "éü", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_hostile_pattern_ends() {
        assert!(!matches(&"a*".repeat(200), &"a".repeat(199)));
    }
}
