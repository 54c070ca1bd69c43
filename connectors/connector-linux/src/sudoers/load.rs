//! Reads sudoers and all that it includes, in the order in which sudo does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::scan::logical_lines;
use super::statement::{self, AliasKind, Item, Statement, UserSpec};
use super::{Fault, Place};
use crate::source_file::{ReadError, Root, SourceFile, modified};

/// Where sudo begins.
pub(crate) const SUDOERS: &str = "/etc/sudoers";
/// Bytes of one file, at most.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Files in all, at most.
const FILES_MAX: usize = 1_000;
/// Includes within includes, at most; sudo's own bound.
const DEPTH_MAX: usize = 128;
/// Faults that are kept; the first ones tell enough.
const FAULTS_MAX: usize = 100;

/// All that sudoers says.
#[derive(Debug, Default)]
pub(crate) struct Sudoers {
    pub(crate) aliases: BTreeMap<(AliasKind, String), (Place, Vec<Item>)>,
    pub(crate) specs: Vec<(Place, UserSpec)>,
    pub(crate) faults: Vec<Fault>,
    /// What was read, in order.
    pub(crate) files: Vec<SourceFile>,
    /// When a folder that was read last changed: a file that was removed leaves no other trace.
    pub(crate) folders_modified: Option<Timestamp>,
}

impl Sudoers {
    pub(crate) fn fault(&mut self, place: Place, what: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { place, what });
        }
    }
}

/// Reads sudoers. Fails when the first file cannot be read; whatever else cannot becomes a fault.
pub(crate) fn load(root: &Root) -> Result<Sudoers, ReadError> {
    let first = root.read(SUDOERS, FILE_BYTES_MAX)?;
    let mut loading = Loading { root, sudoers: Sudoers::default() };
    loading.file(SUDOERS, first, 0);
    Ok(loading.sudoers)
}

struct Loading<'a> {
    root: &'a Root,
    sudoers: Sudoers,
}

impl Loading<'_> {
    /// Reads the statements of a file that lies at `path` of the host.
    fn file(&mut self, path: &str, file: SourceFile, depth: usize) {
        let text = String::from_utf8_lossy(&file.bytes).into_owned();
        let shown = Arc::new(file.path.clone());
        self.sudoers.files.push(file);
        for line in logical_lines(&text) {
            let place = Place { file: Arc::clone(&shown), line: line.number };
            match statement::parse(&line.text) {
                Ok(Statement::Defaults) => {}
                Ok(Statement::Aliases(kind, aliases)) => self.define(kind, aliases, &place),
                Ok(Statement::UserSpec(spec)) => self.sudoers.specs.push((place, spec)),
                Ok(Statement::Include(target)) => self.include(path, &target, &place, depth),
                Ok(Statement::IncludeDir(target)) => self.folder(path, &target, &place, depth),
                Err(what) => self.sudoers.fault(place, what),
            }
        }
    }

    fn define(&mut self, kind: AliasKind, aliases: Vec<(String, Vec<Item>)>, place: &Place) {
        for (name, items) in aliases {
            let key = (kind, name);
            if let Some((earlier, _)) = self.sudoers.aliases.get(&key) {
                let what = format!("{} {} is defined already, in {earlier}", kind.as_str(), key.1);
                self.sudoers.fault(place.clone(), what);
            } else {
                self.sudoers.aliases.insert(key, (place.clone(), items));
            }
        }
    }

    fn include(&mut self, from: &str, target: &str, place: &Place, depth: usize) {
        let Some(path) = self.target(from, target, place, depth) else { return };
        match self.root.read(&path, FILE_BYTES_MAX) {
            Ok(file) => self.file(&path, file, depth + 1),
            Err(error) => self.sudoers.fault(place.clone(), error.chain()),
        }
    }

    fn folder(&mut self, from: &str, target: &str, place: &Place, depth: usize) {
        let Some(path) = self.target(from, target, place, depth) else { return };
        let folder = self.root.join(&path);
        let names = match names(&folder) {
            Ok((names, time)) => {
                self.sudoers.folders_modified = self.sudoers.folders_modified.max(Some(time));
                names
            }
            // sudo takes a folder that is not there as an empty one.
            Err(error) if error.is_absent() => return,
            Err(error) => return self.sudoers.fault(place.clone(), error.chain()),
        };
        for name in names {
            let path = format!("{}/{name}", path.trim_end_matches('/'));
            match self.root.read(&path, FILE_BYTES_MAX) {
                // sudo, too, passes over what is no file.
                Err(ReadError::NotRegular { .. }) => {}
                Err(error) => self.sudoers.fault(place.clone(), error.chain()),
                Ok(_) if self.sudoers.files.len() >= FILES_MAX => {
                    let what = format!("more than {FILES_MAX} files are included");
                    return self.sudoers.fault(place.clone(), what);
                }
                Ok(file) => self.file(&path, file, depth + 1),
            }
        }
    }

    /// Where an include leads, unless it must not be followed.
    fn target(&mut self, from: &str, target: &str, place: &Place, depth: usize) -> Option<String> {
        if depth >= DEPTH_MAX || self.sudoers.files.len() >= FILES_MAX {
            let what = format!(
                "more than {DEPTH_MAX} files include each other, or more than {FILES_MAX} in all"
            );
            self.sudoers.fault(place.clone(), what);
            return None;
        }
        let mut target = target.to_owned();
        if target.contains("%h") {
            match self.root.read("/etc/hostname", 4096) {
                Ok(file) => {
                    let name = String::from_utf8_lossy(&file.bytes);
                    target = target.replace("%h", name.trim().split('.').next().unwrap_or(""));
                }
                Err(error) => {
                    self.sudoers.fault(place.clone(), format!("what is %h? {}", error.chain()));
                    return None;
                }
            }
        }
        if target.starts_with('/') {
            return Some(target);
        }
        let folder = Path::new(from).parent().unwrap_or(Path::new("/"));
        Some(folder.join(target).to_string_lossy().into_owned())
    }
}

/// The names that sudo reads in a folder, in its order, and when the folder last changed.
fn names(folder: &Path) -> Result<(Vec<String>, Timestamp), ReadError> {
    let failed = |source| ReadError::Io { path: PathBuf::from(folder), source };
    let time = modified(&folder.metadata().map_err(failed)?);
    let mut names = vec![];
    for entry in folder.read_dir().map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        // Left by packages and editors; sudo passes over them.
        if !name.contains('.') && !name.ends_with('~') {
            names.push(name.into_owned());
        }
    }
    names.sort_unstable();
    Ok((names, time))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn loaded(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let sudoers = load(&Root::new(folder.path())).unwrap();
        let root = folder.path().to_str().unwrap();
        let users = sudoers.specs.iter().map(|(_, spec)| spec.users[0].text.clone()).collect();
        let faults =
            sudoers.faults.iter().map(|fault| fault.to_string().replace(root, "")).collect();
        (users, faults)
    }

    #[test]
    fn includes_are_read_where_they_stand_and_folders_by_name() {
        let (users, faults) = loaded(&[
            (
                "etc/sudoers",
                "a ALL=ALL\n@include more\n#includedir sudoers.d\n@includedir /none\nz ALL=ALL",
            ),
            ("etc/more", "b ALL=ALL"),
            ("etc/sudoers.d/20-d", "d ALL=ALL"),
            ("etc/sudoers.d/10-c", "c ALL=ALL"),
            ("etc/sudoers.d/30.bak", "bad line"),
            ("etc/sudoers.d/40~", "bad line"),
            ("etc/sudoers.d/folder/x", "bad line"),
        ]);
        assert_eq!(users, ["a", "b", "c", "d", "z"]);
        assert_eq!(faults, [""; 0]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_with_its_file_and_the_rest_is_read() {
        let (users, faults) = loaded(&[
            ("etc/sudoers", "a ALL=ALL\n@includedir sudoers.d\n@include gone\nz ALL=ALL"),
            ("etc/sudoers.d/x", "# note\n\nbroken \\\n line\nb ALL=ALL"),
        ]);
        assert_eq!(users, ["a", "b", "z"]);
        assert_eq!(
            faults,
            [
                "/etc/sudoers.d/x line 3: expected `=` at the end of the line",
                "/etc/sudoers line 3: /etc/gone cannot be read: No such file or directory (os error 2)",
            ]
        );
    }

    #[test]
    fn a_file_that_includes_itself_ends_in_a_fault() {
        let (users, faults) = loaded(&[("etc/sudoers", "a ALL=ALL\n@include sudoers")]);
        assert_eq!((users.len(), faults.len()), (129, 1));
    }

    #[test]
    fn a_second_definition_of_an_alias_is_a_fault() {
        let (_, faults) =
            loaded(&[("etc/sudoers", "User_Alias A = a\nHost_Alias A = h\nUser_Alias A = b")]);
        assert_eq!(
            faults,
            ["/etc/sudoers line 3: User_Alias A is defined already, in /etc/sudoers line 1"]
        );
    }

    #[test]
    fn the_host_name_stands_for_itself_in_includes() {
        let (users, _) = loaded(&[
            ("etc/sudoers", "@include sudoers.%h"),
            ("etc/hostname", "web1.example.org\n"),
            ("etc/sudoers.web1", "a ALL=ALL"),
        ]);
        assert_eq!(users, ["a"]);
    }
}
