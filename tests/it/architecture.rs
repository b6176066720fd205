//! `docs/architecture.md` is correct: its arrows are those of the manifests, and the paths that it names exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Crates of tests, which may use every crate and which no product crate uses.
const OF_TESTS: [&str; 4] = ["tests", "gguf-writer", "origin", "runner-mock"];

/// Each crate of this workspace with its dependencies, without those of tests and build scripts.
type Arrows = BTreeMap<String, BTreeSet<String>>;

#[test]
fn crates_use_each_other_as_the_page_says() {
    let actual = dependencies("normal");
    let ours: BTreeSet<String> = actual.keys().cloned().collect();
    let mut documented = table(&page(), "## Crates");
    for whole in OF_TESTS {
        assert!(
            documented.remove(whole).is_some(),
            "the page lacks `{whole}`"
        );
    }
    let actual: Arrows = actual
        .into_iter()
        .filter(|(name, _)| !OF_TESTS.contains(&name.as_str()))
        .map(|(name, used)| (name, used.intersection(&ours).cloned().collect()))
        .collect();
    assert_eq!(
        actual, documented,
        "left: the manifests, right: docs/architecture.md; a new arrow is a separate decision"
    );
}

/// No installed program contains the mock runner, or a server or writer of models for tests.
#[test]
fn the_product_links_no_crate_of_tests() {
    for (name, used) in dependencies("normal") {
        let linked: Vec<_> = OF_TESTS.iter().filter(|of| used.contains(**of)).collect();
        assert!(
            OF_TESTS.contains(&name.as_str()) || linked.is_empty(),
            "`{name}` links {linked:?}"
        );
    }
}

#[test]
fn only_tests_use_crates_across_the_arrows() {
    let ours: BTreeSet<String> = dependencies("normal").into_keys().collect();
    for (name, used) in dependencies("dev") {
        let strays: Vec<_> = used
            .intersection(&ours)
            .filter(|used| !OF_TESTS.contains(&used.as_str()))
            .collect();
        assert!(
            name == "tests" || strays.is_empty(),
            "`{name}` uses {strays:?} in its tests"
        );
    }
}

#[test]
fn libraries_stay_in_the_crates_that_the_page_names() {
    let rows = table(&page(), "## Libraries with one home");
    assert!(
        !rows.is_empty(),
        "the page has no table of libraries with one home"
    );
    let dependencies = dependencies("normal");
    for (library, homes) in rows {
        let users: BTreeSet<String> = dependencies
            .iter()
            .filter(|(_, used)| used.contains(&library))
            .map(|(name, _)| name.clone())
            .collect();
        assert_eq!(
            users, homes,
            "users of `{library}`; left: the manifests, right: docs/architecture.md"
        );
    }
}

#[test]
fn every_path_on_the_page_exists() {
    let page = page();
    let paths: BTreeSet<&str> = spans(&page).filter(|span| is_path(span)).collect();
    assert!(
        paths.len() > 30,
        "the page names only {} paths; is it still parsed correctly?",
        paths.len()
    );
    let missing: Vec<_> = paths
        .into_iter()
        .filter(|path| !root().join(path).exists())
        .collect();
    assert!(
        missing.is_empty(),
        "docs/architecture.md names {missing:?}, which do not exist"
    );
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the test reads the project's own page"
)]
fn every_path_of_the_glossary_exists() {
    let page = std::fs::read_to_string(root().join("docs/glossary.md"))
        .expect("docs/glossary.md can be read");
    let paths: Vec<&str> = spans(&page).filter(|span| is_path(span)).collect();
    assert!(paths.len() > 10, "docs/glossary.md names only {paths:?}");
    let missing: Vec<_> = paths
        .into_iter()
        .filter(|path| !root().join(path).exists())
        .collect();
    assert!(
        missing.is_empty(),
        "docs/glossary.md names {missing:?}, which do not exist"
    );
}

#[test]
fn every_file_of_this_binary_is_declared() {
    let mut undeclared = Vec::new();
    let folder = root().join("tests/it");
    let main = folder.join("main.rs");
    visit(&folder, &main, &mut undeclared);
    assert!(
        undeclared.is_empty(),
        "no `mod` line names {undeclared:?}, so their tests never run"
    );
}

/// Compares the files of a folder with the `mod` lines of its parent module.
#[expect(
    clippy::disallowed_methods,
    reason = "the test reads the project's own files"
)]
fn visit(folder: &Path, parent: &Path, undeclared: &mut Vec<PathBuf>) {
    let declarations = std::fs::read_to_string(parent).expect("a module's file can be read");
    let declared = |name: &str| {
        declarations
            .lines()
            .any(|line| line.trim_end().ends_with(&format!("mod {name};")))
    };
    for entry in std::fs::read_dir(folder).expect("the folder of a module can be listed") {
        let path = entry.expect("an entry can be read").path();
        let name = path
            .file_stem()
            .expect("an entry has a name")
            .to_string_lossy()
            .into_owned();
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        if path.join("mod.rs").is_file() {
            if declared(&name) {
                visit(&path, &path.join("mod.rs"), undeclared);
            } else {
                undeclared.push(path);
            }
        } else if is_rust && path != parent && !declared(&name) {
            undeclared.push(path);
        }
    }
}

/// The dependencies of each crate, from `cargo metadata`; `kind` is `normal` or `dev`.
#[expect(clippy::disallowed_methods, reason = "the test runs cargo")]
fn dependencies(kind: &str) -> Arrows {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .expect("cargo can be started");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo answers in JSON");
    let text = |value: &Value| value.as_str().expect("a name is text").to_owned();
    let list = |value: &Value| value.as_array().expect("a list").clone();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let used = list(&package["dependencies"])
                .iter()
                .filter(|dependency| dependency["kind"].as_str().unwrap_or("normal") == kind)
                .map(|dependency| text(&dependency["name"]))
                .collect();
            (text(&package["name"]), used)
        })
        .collect()
}

/// The table below a heading: the names in the first cell, each with the names in the second.
fn table(page: &str, heading: &str) -> Arrows {
    let section = page
        .split_once(heading)
        .unwrap_or_else(|| panic!("the page has no `{heading}`"))
        .1;
    let section = section.split("\n## ").next().unwrap_or_default();
    section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|line| {
            let cells: Vec<&str> = line.split('|').collect();
            let used: BTreeSet<String> = spans(cells[2]).map(ToOwned::to_owned).collect();
            spans(cells[1])
                .map(|name| (name.to_owned(), used.clone()))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The texts between backticks, outside of fenced blocks.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.starts_with("```"))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn is_path(span: &str) -> bool {
    let first = span.split('/').next().unwrap_or_default();
    let is_file = Path::new(span).extension().is_some_and(|extension| {
        ["md", "rs", "sh", "sql", "toml", "yaml"]
            .iter()
            .any(|known| extension == *known)
    });
    let is_room = [
        "modelfile",
        "registry",
        "daemon",
        "cli",
        "installer",
        "tests",
        "docs",
        ".ci",
    ]
    .contains(&first);
    is_room && (span.contains('/') || is_file)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test reads the project's own page"
)]
fn page() -> String {
    std::fs::read_to_string(root().join("docs/architecture.md"))
        .expect("docs/architecture.md can be read")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in the project")
        .to_path_buf()
}
