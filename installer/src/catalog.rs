//! `cargo xtask catalog`: queries every source of the built-in catalog for size and digest of its weights, and fills them in.
//!
//! It needs the internet. `slm pull --explain` sends the queries, as on a user's machine; no weights are fetched. Sizes and digests
//! of files of the hub are filled in, because their revisions are pinned; a tag of the Ollama library may change, so its digest is
//! only shown. Python packages have no metadata before they are fetched.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use installer::process;
use installer::workspace::Workspace;
use installer::{files, say};

/// The catalog, relative to the root of the workspace.
const CATALOG: &str = "registry/catalogs/builtin.yaml";

/// The entries to query.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Query only models with this name.
    #[arg(long)]
    only: Option<String>,
    /// Change nothing, and print what would be written.
    #[arg(long)]
    print: bool,
}

#[derive(Deserialize)]
struct Catalog {
    models: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    tags: Vec<String>,
    sources: Vec<Source>,
}

#[derive(Deserialize)]
struct Source {
    hf: Option<Hub>,
    ollama: Option<Library>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Hub {
    repo: String,
    file: String,
    revision: Option<String>,
}

#[derive(Deserialize)]
struct Library {
    name: String,
}

/// Size and digest that a source states.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Weights {
    size: Option<u64>,
    digest: Option<String>,
}

#[derive(Deserialize)]
struct Explained {
    files: Vec<Weights>,
}

/// Queries all sources.
///
/// # Errors
/// The programs cannot be built, or no source answers at all.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    process::run(&mut workspace.build(&["slm", "slmd"]))?;
    let path = workspace.root().join(CATALOG);
    let mut text = files::read(&path)?;
    let catalog: Catalog = serde_yaml::from_str(&text).context("the catalog cannot be read")?;
    let home = tempfile::tempdir()?;
    let slm = |arguments: &[&str]| {
        let mut slm = process::command(workspace.release().join("slm"));
        slm.args(arguments).env("SLM_HOME", home.path());
        slm
    };
    let (mut answered, mut failed) = (0, 0);
    for entry in catalog.models {
        if options
            .only
            .as_ref()
            .is_some_and(|only| *only != entry.name)
        {
            continue;
        }
        for source in &entry.sources {
            let Some(reference) = source.reference() else {
                continue;
            };
            let tag = entry.tags.first().map_or("latest", String::as_str);
            let name = format!("{}:{tag}", entry.name);
            let told = process::quiet(&mut slm(&["--json", "pull", "--explain", &reference]));
            match told.and_then(|json| weights(&json)) {
                Ok(weights) => {
                    answered += 1;
                    say::line(&format!("{name}: {reference} has {}", weights.shown()));
                    if let Some(hub) = &source.hf {
                        text = with(&text, hub, &weights)?;
                    }
                }
                Err(error) => {
                    failed += 1;
                    say::line(&format!("{name}: {reference}: {error:#}"));
                }
            }
        }
    }
    // Stopping fails harmlessly if no daemon was started.
    let _ = process::quiet(&mut slm(&["serve", "--stop"]));
    ensure!(
        answered > 0,
        "no source answered; can the internet be reached from here?"
    );
    if !options.print {
        files::replace(&path, &text)?;
    }
    say::line(&format!("{answered} sources answered, {failed} did not"));
    Ok(())
}

impl Source {
    /// The reference for `slm pull`.
    fn reference(&self) -> Option<String> {
        match (&self.hf, &self.ollama) {
            (Some(hub), _) => {
                let revision = hub.revision.as_ref().map(|revision| format!("@{revision}"));
                Some(format!(
                    "hf.co/{}:{}{}",
                    hub.repo,
                    hub.file,
                    revision.unwrap_or_default()
                ))
            }
            (None, Some(library)) => Some(format!("ollama://{}", library.name)),
            (None, None) => None,
        }
    }
}

impl Weights {
    fn shown(&self) -> String {
        let size = self.size.map_or_else(
            || "an unknown size".to_owned(),
            |size| format!("{size} bytes"),
        );
        format!("{size}, {}", self.digest.as_deref().unwrap_or("no digest"))
    }
}

/// The weights in what `slm pull --explain --json` prints: the first file.
fn weights(json: &str) -> Result<Weights> {
    let explained: Explained = serde_json::from_str(json).context("slm prints no explanation")?;
    explained
        .files
        .into_iter()
        .next()
        .context("the source names no file")
}

/// The catalog's text with the size and digest of a file of the hub; everything else is unchanged.
fn with(text: &str, hub: &Hub, weights: &Weights) -> Result<String> {
    let (Some(size), Some(digest)) = (weights.size, &weights.digest) else {
        return Ok(text.to_owned());
    };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let says = |line: &String, key: &str, value: &str| {
        let said = line
            .trim()
            .strip_prefix(key)
            .and_then(|rest| rest.strip_prefix(':'));
        said.is_some_and(|said| said.trim().trim_matches('"') == value)
    };
    let mut at = 0;
    let mut found = false;
    while at + 1 < lines.len() {
        if !(says(&lines[at], "repo", &hub.repo) && says(&lines[at + 1], "file", &hub.file)) {
            at += 1;
            continue;
        }
        found = true;
        let indent: String = lines[at].chars().take_while(|c| *c == ' ').collect();
        at += 2;
        while lines.get(at).is_some_and(|line| {
            let key = line.strip_prefix(&indent).unwrap_or_default();
            key.starts_with("size:") || key.starts_with("digest:")
        }) {
            lines.remove(at);
        }
        lines.insert(at, format!("{indent}size: {size}"));
        lines.insert(at + 1, format!("{indent}digest: {digest}"));
    }
    ensure!(
        found,
        "the catalog has no lines `repo: {}` and `file: {}` one after the other",
        hub.repo,
        hub.file
    );
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_digests_are_written_beside_the_file_and_nothing_else_changes() {
        let text = "# A note.\nmodels:\n  - name: a\n    sources:\n      - hf:\n          repo: x/y\n          file: m.gguf\n          size: 1\n          digest: old\n          revision: main\n      - hf:\n          repo: x/y\n          file: other.gguf\n";
        let hub = Hub {
            repo: "x/y".into(),
            file: "m.gguf".into(),
            revision: None,
        };
        let weights = Weights {
            size: Some(5),
            digest: Some("sha256:ab".into()),
        };
        let written = with(text, &hub, &weights).expect("it is there");
        assert_eq!(
            written,
            text.replace("size: 1", "size: 5")
                .replace("digest: old", "digest: sha256:ab")
        );
        assert_eq!(
            with(&written, &hub, &weights).expect("it is there"),
            written
        );
        let missing = Hub {
            file: "none.gguf".into(),
            ..hub
        };
        assert!(with(text, &missing, &weights).is_err());
    }

    #[test]
    fn every_source_of_the_catalog_has_a_reference_or_is_a_package() {
        let text = include_str!("../../registry/catalogs/builtin.yaml");
        let catalog: Catalog = serde_yaml::from_str(text).expect("the catalog");
        let sources = catalog.models.iter().flat_map(|entry| &entry.sources);
        let weights = Weights {
            size: Some(5),
            digest: Some("sha256:ab".into()),
        };
        let (mut references, mut hubs) = (0, 0);
        for source in sources {
            references += usize::from(source.reference().is_some());
            if let Some(hub) = &source.hf {
                with(text, hub, &weights).unwrap_or_else(|error| panic!("{error}"));
                hubs += 1;
            }
        }
        assert!(references > hubs && hubs > 40, "{references} {hubs}");
    }
}
