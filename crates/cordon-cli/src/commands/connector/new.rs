//! `cordon connector new`: a connector to begin with, from a template in this program.
//!
//! Inside a checkout of Cordon it becomes a crate of that workspace, so that it is built and tested
//! with the rest. Elsewhere it is a project of its own. Nothing that exists is touched: the folder
//! must not be there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::args::ConnectorNewArgs;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::json::{Item, View};
use crate::output::page::{Page, Tone};
use crate::output::scene::Scene;

/// What the template's own name and type are.
const TEMPLATE_NAME: &str = "acme-crm";
const TEMPLATE_TYPE: &str = "AcmeCrmConnector";
/// Where cordon-sdk comes from, unless a checkout is named.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");
/// Characters of a name, at most.
const NAME_CHARS_MAX: usize = 40;

const FILES: [(&str, &str); 7] = [
    ("README.md", include_str!("../../../template/README.md")),
    ("dev.toml", include_str!("../../../template/dev.toml")),
    ("fixtures/loop.json", include_str!("../../../template/fixtures/loop.json")),
    ("fixtures/source.json", include_str!("../../../template/fixtures/source.json")),
    ("fixtures/truncated.json", include_str!("../../../template/fixtures/truncated.json")),
    ("src/main.rs", include_str!("../../../template/src/main.rs")),
    ("src/source.rs", include_str!("../../../template/src/source.rs")),
];
const MANIFEST_OF_WORKSPACE: &str = include_str!("../../../template/Cargo.workspace.toml");
const MANIFEST_OF_PROJECT: &str = include_str!("../../../template/Cargo.project.toml");
const IGNORED: &str = include_str!("../../../template/gitignore");

/// Where a connector is made, and as what.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    folder: PathBuf,
    /// Where its program will be.
    program: PathBuf,
    /// How its manifest names the SDK; none inside the workspace.
    sdk: Option<String>,
}

/// What was made.
struct Made {
    name: String,
    package: String,
    place: Place,
}

impl Item for Made {
    const KIND: &'static str = "NewConnectorList";

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Serialize for View<'_, Made> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Made { name, package, place } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", name)?;
        map.serialize_entry("package", package)?;
        map.serialize_entry("folder", &place.folder)?;
        map.serialize_entry("program", &place.program)?;
        map.serialize_entry("in_workspace", &place.sdk.is_none())?;
        map.end()
    }
}

pub(super) fn run(args: &ConnectorNewArgs, out: &mut Output) -> Result<Exit, Failure> {
    check_name(&args.name).map_err(|why| Failure::Usage {
        message: format!("{:?} is no name for a connector: {why}", args.name),
        hint: "take the name of the source, such as acme-crm".into(),
    })?;
    let here = std::env::current_dir().map_err(Failure::Start)?;
    let place = place(args, &here)?;
    let made = Made { package: format!("connector-{}", args.name), name: args.name.clone(), place };
    write(&made).map_err(|source| Failure::File {
        what: "make",
        path: made.place.folder.clone(),
        source,
    })?;
    out.list(std::slice::from_ref(&made), &(), |scene| page(&made, &here, scene))?;
    Ok(Exit::Done)
}

/// A name that can be that of a program, a package and an instance.
fn check_name(name: &str) -> Result<(), String> {
    let plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
    if name.starts_with("connector-") {
        return Err("connector- is put before it".into());
    }
    if !name.chars().all(plain) || !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Err("use a-z, 0-9 and -, and begin with a letter".into());
    }
    if name.ends_with('-') || name.contains("--") {
        return Err("each - stands between two words".into());
    }
    if name.len() > NAME_CHARS_MAX {
        return Err(format!("it has more than {NAME_CHARS_MAX} characters"));
    }
    Ok(())
}

fn place(args: &ConnectorNewArgs, here: &Path) -> Result<Place, Failure> {
    let package = format!("connector-{}", args.name);
    let checkout = here.ancestors().find(|folder| is_checkout(folder));
    if let (Some(root), None, None) = (checkout, &args.into, &args.sdk) {
        let program = root.join("target/debug").join(&package);
        return Ok(Place { folder: root.join("connectors").join(package), program, sdk: None });
    }
    let sdk = match &args.sdk {
        Some(checkout) => {
            let root = fs::canonicalize(checkout).unwrap_or_else(|_| here.join(checkout));
            if !is_checkout(&root) {
                return Err(Failure::Usage {
                    message: format!("{} is no checkout of Cordon", checkout.display()),
                    hint: "name the folder that holds crates/cordon-sdk".into(),
                });
            }
            let path = toml::Value::String(root.join("crates/cordon-sdk").display().to_string());
            format!("{{ path = {path} }}")
        }
        None => format!("{{ git = \"{REPOSITORY}\" }}"),
    };
    let folder = args.into.as_deref().map_or_else(|| here.to_owned(), |into| here.join(into));
    let folder = folder.join(&package);
    let program = folder.join("target/debug").join(&package);
    Ok(Place { folder, program, sdk: Some(sdk) })
}

fn is_checkout(folder: &Path) -> bool {
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    manifest.contains("[workspace]") && folder.join("crates/cordon-sdk/Cargo.toml").is_file()
}

/// Writes every file. What was begun is taken away again when one cannot be written.
fn write(made: &Made) -> io::Result<()> {
    let folder = &made.place.folder;
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    // Fails on a folder that exists: what somebody wrote there is not ours to change.
    fs::create_dir(folder)?;
    let written = files(made).into_iter().try_for_each(|(path, text)| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, text)
    });
    if written.is_err() {
        let _ = fs::remove_dir_all(folder);
    }
    written
}

fn files(made: &Made) -> Vec<(&'static str, String)> {
    let words = made.name.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    let type_name = format!("{}Connector", words.collect::<String>());
    let program = match &made.place.sdk {
        Some(_) => format!("target/debug/{}", made.package),
        None => format!("../../target/debug/{}", made.package),
    };
    let fill = |text: &str| {
        text.replace(TEMPLATE_TYPE, &type_name)
            .replace(TEMPLATE_NAME, &made.name)
            .replace("{program}", &program)
    };
    let mut files: Vec<(&str, String)> =
        FILES.iter().map(|(path, text)| (*path, fill(text))).collect();
    match &made.place.sdk {
        Some(sdk) => {
            files.push(("Cargo.toml", fill(MANIFEST_OF_PROJECT).replace("{sdk}", sdk)));
            files.push((".gitignore", IGNORED.to_owned()));
        }
        None => files.push(("Cargo.toml", fill(MANIFEST_OF_WORKSPACE))),
    }
    files
}

fn page(made: &Made, here: &Path, scene: &Scene) -> Page {
    let Made { package, place, .. } = made;
    let near = |path: &Path| path.strip_prefix(here).unwrap_or(path).display().to_string();
    let mut page = Page::new();
    let mark = scene.glyphs.good();
    page.styled(mark.tone, mark.glyph).push(" ").push(&near(&place.folder));
    page.line(match place.sdk {
        None => "   a crate of this workspace",
        Some(_) => "   a project of its own",
    });
    page.line("  read   src/main.rs, src/source.rs (a made-up source: put yours there), dev.toml");
    let manifest = match place.sdk {
        None => format!("-p {package}"),
        Some(_) => format!("--manifest-path {}/Cargo.toml", near(&place.folder)),
    };
    let (program, settings) = (near(&place.program), near(&place.folder.join("dev.toml")));
    for (word, command) in [
        ("test   ", format!("cargo test {manifest}")),
        ("build  ", format!("cargo build {manifest}")),
        ("run    ", format!("cordon connector run {program} --config {settings}")),
        ("prove  ", format!("cordon connector test {program} --config {settings}")),
    ] {
        page.push("  ").push(word).styled(Tone::Strong, &command).end();
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(name: &str) -> ConnectorNewArgs {
        ConnectorNewArgs { name: name.into(), into: None, sdk: None }
    }

    fn checkout() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("crates/cordon-sdk")).unwrap();
        fs::write(root.path().join("Cargo.toml"), "[workspace]\n").unwrap();
        fs::write(root.path().join("crates/cordon-sdk/Cargo.toml"), "").unwrap();
        root
    }

    #[test]
    fn bad_names_are_refused() {
        for good in ["a", "acme", "acme-crm2", &"a".repeat(40)] {
            check_name(good).unwrap();
        }
        for bad in [
            "",
            "A",
            "1a",
            "-a",
            "a-",
            "a--b",
            "a_b",
            "a/b",
            "..",
            "ä",
            "connector-x",
            &"a".repeat(41),
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn in_a_checkout_it_is_a_crate_of_the_workspace_and_elsewhere_a_project() {
        let (root, elsewhere) = (checkout(), tempfile::tempdir().unwrap());
        let deep = root.path().join("crates/cordon-sdk");
        let inside = place(&args("acme"), &deep).unwrap();
        assert_eq!(inside.folder, root.path().join("connectors/connector-acme"));
        assert_eq!(inside.sdk, None);
        let outside = place(&args("acme"), elsewhere.path()).unwrap();
        assert_eq!(outside.folder, elsewhere.path().join("connector-acme"));
        assert!(outside.sdk.unwrap().contains("git = \"https://"));
        let named = ConnectorNewArgs { sdk: Some(root.path().into()), ..args("acme") };
        let sdk = place(&named, elsewhere.path()).unwrap().sdk.unwrap();
        assert!(sdk.starts_with("{ path = \"") && sdk.contains("crates/cordon-sdk"), "{sdk}");
        let wrong = ConnectorNewArgs { sdk: Some(elsewhere.path().into()), ..args("acme") };
        assert!(matches!(place(&wrong, root.path()), Err(Failure::Usage { .. })));
    }

    #[test]
    fn nothing_of_the_templates_own_name_is_left() {
        let root = checkout();
        for args in [
            args("warehouse"),
            ConnectorNewArgs { sdk: Some(root.path().into()), ..args("warehouse") },
        ] {
            let place = place(&args, root.path()).unwrap();
            let made =
                Made { name: args.name.clone(), package: "connector-warehouse".into(), place };
            for (path, text) in files(&made) {
                for left in ["acme", "Acme", "{sdk}", "{program}"] {
                    assert!(!text.contains(left), "{path} has {left}");
                }
            }
        }
    }

    #[test]
    fn a_folder_that_is_there_is_left_as_it_is() {
        let root = checkout();
        let folder = root.path().join("connectors/connector-acme");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("notes"), "mine").unwrap();
        let place = place(&args("acme"), root.path()).unwrap();
        let made = Made { name: "acme".into(), package: "connector-acme".into(), place };
        assert_eq!(write(&made).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }
}
