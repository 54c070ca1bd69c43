//! What every source file keeps to: its size, its header, and nothing unfinished in it.

use super::Tree;

/// A file that reaches this is split.
const LINES_MAX: usize = 800;
/// A file that reaches this is read again.
const LINES_HINT: usize = 400;

/// What marks unfinished work. In parts, so that this file does not find itself.
const UNFINISHED: [&str; 3] =
    [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[", "ignore")];

/// Findings, then hints.
pub(super) fn check(tree: &Tree) -> (Vec<String>, Vec<String>) {
    let mut findings = Vec::new();
    let mut hints = Vec::new();
    for (path, text) in tree.with_end(".rs") {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            findings.push(format!("{path} has {lines} lines; split it along a noun"));
        } else if lines > LINES_HINT {
            hints.push(format!("{path} has {lines} lines; read it again, can it be split?"));
        }
        if path.ends_with("/mod.rs") {
            findings.push(format!("{path}: name it after its folder, beside it"));
        }
        let header = if path.ends_with("/build.rs") { "//" } else { "//!" };
        if !text.starts_with(header) {
            findings.push(format!("{path} does not begin with a {header} header"));
        }
        for (number, line) in (1..).zip(text.lines()) {
            for mark in UNFINISHED.iter().filter(|mark| line.contains(**mark)) {
                findings.push(format!("{path}:{number} holds {mark}"));
            }
        }
    }
    (findings, hints)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(path: &str, text: &str) -> (usize, usize) {
        let (findings, hints) = check(&Tree::of(&[(path, text)]));
        (findings.len(), hints.len())
    }

    #[test]
    fn a_file_is_hinted_at_past_400_lines_and_fails_past_800() {
        for (lines, expected) in [(400, (0, 0)), (401, (0, 1)), (800, (0, 1)), (801, (1, 0))] {
            assert_eq!(check_one("a/src/b.rs", &"//! x\n".repeat(lines)), expected, "{lines}");
        }
    }

    #[test]
    fn a_file_says_first_what_it_is_for() {
        assert_eq!(check_one("a/src/b.rs", "//! For this.\n"), (0, 0));
        assert_eq!(check_one("a/src/b.rs", "use std::io;\n"), (1, 0));
        assert_eq!(check_one("a/src/b.rs", "// For this.\n"), (1, 0));
        assert_eq!(check_one("a/build.rs", "// For this.\n"), (0, 0));
    }

    #[test]
    fn unfinished_work_and_mod_rs_are_found() {
        for mark in UNFINISHED {
            assert_eq!(check_one("a/src/b.rs", &format!("//! x\n    {mark}\n")), (1, 0));
        }
        assert_eq!(check_one("a/src/b/mod.rs", "//! x\n"), (1, 0));
    }
}
