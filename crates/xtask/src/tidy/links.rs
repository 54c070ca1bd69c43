//! Links between documents lead somewhere.

use std::path::Path;

use super::Tree;

pub(super) fn check(root: &Path, tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in tree.with_end(".md") {
        let folder = root.join(path).parent().unwrap_or(root).to_owned();
        for (line, target) in links(text) {
            let file = target.split('#').next().unwrap_or_default();
            if !is_elsewhere(&target) && !file.is_empty() && !folder.join(file).exists() {
                findings.push(format!("{path}:{line} links to {target}, which does not exist"));
            }
        }
    }
    findings
}

fn is_elsewhere(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

/// Line and target of every `[text](target)` outside code.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // What stands between backticks is every second part.
        for prose in line.split('`').step_by(2) {
            for rest in prose.split("](").skip(1) {
                if let Some((target, _)) = rest.split_once(')') {
                    let target = target.split_whitespace().next().unwrap_or_default();
                    found.push((number, target.to_owned()));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_a_missing_file_is_found_and_one_in_code_or_elsewhere_is_not() {
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::write(folder.path().join("there.md"), "").unwrap();
        let text = "\
[a](there.md) [b](there.md#part) [c](#part) [d](https://example.com/x) `[e](code.md)`
[f](gone.md \"title\") and [g](docs/)
```
[h](code.md)
```
";
        let findings = check(folder.path(), &Tree::of(&[("README.md", text)]));
        assert_eq!(
            findings,
            [
                "README.md:2 links to gone.md, which does not exist",
                "README.md:2 links to docs/, which does not exist",
            ]
        );
    }
}
