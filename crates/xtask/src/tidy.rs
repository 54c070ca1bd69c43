//! `cargo xtask tidy`: the rules of this project that no other tool checks.
//!
//! A finding names the file, the line where there is one, and what to do. All are shown before it
//! fails, so that one run is enough.

mod imports;
mod links;
mod promises;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::run::{self, say};
use crate::workspace::Workspace;

/// Words of README.md, at most: what is longer is not read.
const README_WORDS_MAX: usize = 500;

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let root = workspace.root();
    let metadata = workspace.metadata(false)?;
    let tree = Tree::read(root)?;
    let mut findings = imports::check(&metadata.packages);
    findings.extend(imports::check_lints(&metadata.packages)?);
    let (wrong, hints) = sources::check(&tree);
    findings.extend(wrong);
    findings.extend(links::check(root, &tree));
    findings.extend(promises::check(&tree));
    findings.extend(readme(&tree));
    findings.extend(unmerged(&tree));
    for hint in hints {
        say(&format!("hint: {hint}"));
    }
    spelling(workspace, &mut findings)?;
    if findings.is_empty() {
        return Ok(());
    }
    findings.iter().for_each(|finding| say(&format!("error: {finding}")));
    bail!("{} findings", findings.len())
}

fn readme(tree: &Tree) -> Option<String> {
    let Some(text) = tree.text("README.md") else { return Some("README.md is missing".into()) };
    let words = text.split_whitespace().count();
    (words >= README_WORDS_MAX)
        .then(|| format!("README.md has {words} words; it must stay under {README_WORDS_MAX}"))
}

/// What a merge left for somebody to decide, and nobody did.
fn unmerged(tree: &Tree) -> Vec<String> {
    let marks = ["<<<<<<< ", ">>>>>>> "];
    let mut findings = Vec::new();
    for (path, text) in &tree.files {
        let marked = |line: &str| marks.iter().any(|mark| line.starts_with(mark));
        if let Some(at) = text.lines().position(marked) {
            findings.push(format!("{path}:{} is not merged", at + 1));
        }
    }
    findings
}

fn spelling(workspace: &Workspace, findings: &mut Vec<String>) -> anyhow::Result<()> {
    if !run::is_on_path("typos") {
        say("spelling skipped: typos is not installed");
        return Ok(());
    }
    let status = std::process::Command::new("typos").current_dir(workspace.root()).status()?;
    if !status.success() {
        findings.push("typos found misspelt words, see above".into());
    }
    Ok(())
}

/// The text files of the repository, by path from its root, in order.
struct Tree {
    files: Vec<(String, String)>,
}

impl Tree {
    fn read(root: &Path) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let full = root.join(&folder);
            for entry in fs::read_dir(&full).with_context(|| format!("cannot list {full:?}"))? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with('.') || name == "target" {
                    continue;
                }
                let path = folder.join(&name);
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() && (name.ends_with(".rs") || name.ends_with(".md")) {
                    let text = fs::read_to_string(root.join(&path))
                        .with_context(|| format!("cannot read {path:?}"))?;
                    files.push((path.to_string_lossy().into_owned(), text));
                }
            }
        }
        files.sort();
        Ok(Self { files })
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|(at, _)| at == path).map(|(_, text)| text.as_str())
    }

    /// Path and text of every file whose name ends so.
    fn with_end<'a>(&'a self, end: &'static str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.ends_with(end))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        Self { files: files.iter().map(owned).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_merged_is_found_by_its_line() {
        let tree = Tree::of(&[
            ("a.md", "one\n<<<<<<< HEAD\ntwo\n=======\n>>>>>>> other\n"),
            ("b.rs", "// a << b >> c\n"),
        ]);
        assert_eq!(unmerged(&tree), ["a.md:2 is not merged"]);
    }
}
