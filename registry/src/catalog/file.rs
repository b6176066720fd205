//! One catalog file.

use std::collections::{BTreeSet, HashSet};

use modelfile::Parameters;
use serde::Deserialize;

use super::entry::{Entry, EntryVariant, Location};
use super::text::{Family, ParameterSize};
use crate::{Capability, Digest, ModelName};

const VERSION: u64 = 1;
const MOST_MODELS: usize = 10_000;
const MOST_TAGS: usize = 32;
const MOST_ALIASES: usize = 32;
const MOST_SOURCES: usize = 16;
const MOST_VARIANTS: usize = 32;
const LONGEST_LINE: usize = 1024;
const LONGEST_TEXT: usize = 64 * 1024;

/// Why a file is not a catalog.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileError {
    /// Line and column, from 1.
    pub(super) place: Option<(usize, usize)>,
    pub(super) message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCatalog {
    version: u64,
    models: Vec<RawEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    name: String,
    #[serde(default = "latest")]
    tags: Vec<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    license: String,
    family: Option<Family>,
    parameter_size: Option<ParameterSize>,
    #[serde(default)]
    capabilities: BTreeSet<Capability>,
    context_length: Option<u64>,
    size: Option<u64>,
    digest: Option<Digest>,
    #[serde(default)]
    sources: Vec<Location>,
    #[serde(default)]
    variants: Vec<EntryVariant>,
    #[serde(default)]
    parameters: Parameters,
    template: Option<String>,
    system: Option<String>,
}

fn latest() -> Vec<String> {
    vec!["latest".to_owned()]
}

/// Reads a file's text.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, FileError> {
    // Editors of some systems begin a file with a mark, which YAML would take for a second document.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let form: RawCatalog = serde_yaml::from_str(text).map_err(|error| {
        let place = error.location().map(|place| (place.line(), place.column()));
        // The parser puts the place at the end of its message too.
        let message = error.to_string();
        let message = message
            .rsplit_once(" at line ")
            .map_or(message.as_str(), |(message, _)| message);
        FileError {
            place,
            message: message.to_owned(),
        }
    })?;
    check(form.version == VERSION, || {
        format!(
            "version: this version of slm reads catalogs of version {VERSION}, not {}",
            form.version
        )
    })?;
    check(form.models.len() <= MOST_MODELS, || {
        format!("models: {} are more than {MOST_MODELS}", form.models.len())
    })?;
    let entries = form
        .models
        .into_iter()
        .enumerate()
        .map(|(number, form)| entry(number, form));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    check_twice(&entries)?;
    Ok(entries)
}

fn check(holds: bool, message: impl FnOnce() -> String) -> Result<(), FileError> {
    if holds {
        Ok(())
    } else {
        Err(FileError {
            place: None,
            message: message(),
        })
    }
}

fn entry(number: usize, form: RawEntry) -> Result<Entry, FileError> {
    let at = |key: &str, what: String| {
        format!(
            "models[{number}].{key} of {:?}: {what}",
            form.name.chars().take(96).collect::<String>()
        )
    };
    let counted = |key, count: usize, least: usize, most: usize| {
        check((least..=most).contains(&count), || {
            let possible = format!("{count} are given, {least} to {most} are possible");
            at(key, possible)
        })
    };
    let short = |key, text: &str, longest: usize| {
        check(text.len() <= longest, || {
            at(key, format!("{} bytes are more than {longest}", text.len()))
        })
    };
    counted("tags", form.tags.len(), 1, MOST_TAGS)?;
    counted("aliases", form.aliases.len(), 0, MOST_ALIASES)?;
    counted("variants", form.variants.len(), 0, MOST_VARIANTS)?;
    let has_own = !form.sources.is_empty() || form.size.is_some() || form.digest.is_some();
    check(form.variants.is_empty() || !has_own, || {
        let why = "beside `variants` the entry has no `sources`, `size` and `digest`, because each variant has its own";
        at("variants", why.to_owned())
    })?;
    short("description", &form.description, LONGEST_LINE)?;
    short("license", &form.license, LONGEST_TEXT)?;
    short(
        "template",
        form.template.as_deref().unwrap_or_default(),
        LONGEST_TEXT,
    )?;
    short(
        "system",
        form.system.as_deref().unwrap_or_default(),
        LONGEST_TEXT,
    )?;
    check(form.context_length != Some(0), || {
        at("context_length", "it cannot be 0".to_owned())
    })?;
    let mut names = HashSet::new();
    for (number, variant) in form.variants.iter().enumerate() {
        let name = variant.name.as_str();
        check(names.insert(name.to_ascii_lowercase()), || {
            at("variants", format!("{name} occurs twice"))
        })?;
        weights(variant.size, variant.digest, &variant.sources).or_else(|(key, what)| {
            check(false, || at(&format!("variants[{number}].{key}"), what))
        })?;
    }
    if form.variants.is_empty() {
        weights(form.size, form.digest, &form.sources)
            .or_else(|(key, what)| check(false, || at(key, what)))?;
    }
    let usual = form.variants.first().cloned();
    let (size, digest, sources) = match usual {
        Some(usual) => (usual.size, usual.digest, usual.sources),
        None => (form.size, form.digest, form.sources),
    };
    check(!form.name.contains("://"), || {
        at("name", "it must not have a scheme".to_owned())
    })?;
    let last = form.name.rsplit('/').next().unwrap_or_default();
    check(!last.contains(':'), || {
        at("name", "its tags stand under `tags`".to_owned())
    })?;
    for tag in &form.tags {
        named(&form.name, tag).map_err(|message| FileError {
            place: None,
            message: at("tags", message),
        })?;
    }
    let name = named(&form.name, &form.tags[0]).map_err(|message| FileError {
        place: None,
        message,
    })?;
    let aliases = form.aliases.iter().map(|alias| {
        ModelName::parse(alias).map_err(|error| FileError {
            place: None,
            message: at("aliases", error.to_string()),
        })
    });
    let aliases = aliases.collect::<Result<_, _>>()?;
    Ok(Entry {
        name,
        tags: form.tags,
        aliases,
        description: form.description,
        license: form.license,
        family: form.family,
        parameter_size: form.parameter_size,
        capabilities: form.capabilities.into_iter().collect(),
        context_length: form.context_length,
        size,
        digest,
        sources,
        variants: form.variants,
        parameters: form.parameters,
        template: form.template,
        system: form.system,
    })
}

/// Checks the places of weights and what is said of their bytes; an error names the key.
fn weights(
    size: Option<u64>,
    digest: Option<Digest>,
    sources: &[Location],
) -> Result<(), (&'static str, String)> {
    let count = sources.len();
    if !(1..=MOST_SOURCES).contains(&count) {
        let possible = format!("{count} are given, 1 to {MOST_SOURCES} are possible");
        return Err(("sources", possible));
    }
    if size == Some(0) {
        return Err(("size", "it cannot be 0".to_owned()));
    }
    let joins = sources
        .iter()
        .any(|source| matches!(source, Location::Joined(_)));
    if joins && (size.is_none() || digest.is_none()) {
        let why = "`wheels` need the entry's `size` and `digest`, which tell whether all parts are there in their order";
        return Err(("sources", why.to_owned()));
    }
    let converts = sources
        .iter()
        .any(|source| matches!(source, Location::Folder(_)));
    if converts && (size.is_some() || digest.is_some()) {
        let why = "beside `wheel_folder` the entry has no `size` and no `digest`, because each of its files has its own";
        return Err(("sources", why.to_owned()));
    }
    Ok(())
}

fn named(name: &str, tag: &str) -> Result<ModelName, String> {
    ModelName::parse(&format!("{name}:{tag}")).map_err(|error| error.to_string())
}

fn check_twice(entries: &[Entry]) -> Result<(), FileError> {
    let mut seen = HashSet::new();
    for name in entries.iter().flat_map(Entry::names) {
        check(seen.insert(name.full().to_ascii_lowercase()), || {
            format!("models: {name} occurs twice")
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
version: 1
models:
  - name: acme/notes
    tags: [small]
    aliases: ['acme/note:small', memo]
    description: Takes notes.
    license: MIT
    family: llama
    parameter_size: 1.5B
    capabilities: [tools, completion]
    context_length: 4096
    size: 12
    digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    sources:
      - wheel: { package: notes, version: '1.0', member: notes/a.gguf }
      - hf: { repo: acme/notes, file: a.gguf, revision: main }
      - ollama: { name: 'acme/notes:small' }
    parameters: { temperature: 0.5, stop: ['###'] }
    template: '{{ .Prompt }}'
    system: Take notes.
";

    #[test]
    fn everything_that_can_be_said_is_read() {
        let entries = parse(GOOD).expect("a good file");
        let [entry] = &entries[..] else {
            panic!("{entries:?}")
        };
        assert_eq!(entry.name.to_string(), "acme/notes:small");
        let names: Vec<String> = entry.names().map(|name| name.to_string()).collect();
        assert_eq!(
            names,
            ["acme/notes:small", "acme/note:small", "memo:latest"]
        );
        assert_eq!(entry.family.as_ref().map(Family::as_str), Some("llama"));
        let size = entry.parameter_size.as_ref();
        assert_eq!(size.map(ParameterSize::as_str), Some("1.5B"));
        assert_eq!(
            entry.capabilities,
            [Capability::Completion, Capability::Tools]
        );
        assert_eq!(entry.context_length, Some(4096));
        assert_eq!(
            (entry.size, entry.digest),
            (Some(12), Some(Digest::of(b"")))
        );
        let places: Vec<String> = entry.sources.iter().map(ToString::to_string).collect();
        assert_eq!(
            places,
            [
                "Python package notes==1.0",
                "Hugging Face acme/notes/a.gguf",
                "Ollama library acme/notes:small"
            ]
        );
        assert_eq!(
            serde_json::to_value(&entry.parameters).expect("plain data")["stop"],
            serde_json::json!(["###"])
        );
        assert_eq!(entry.template.as_deref(), Some("{{ .Prompt }}"));
        assert_eq!(entry.system.as_deref(), Some("Take notes."));
    }

    /// A change to the good file, and what the error must say, with the line: that of the mistake or of the entry it is in.
    #[test]
    fn a_byte_order_mark_before_the_file_is_no_part_of_it() {
        let page = include_str!("../../../docs/catalogs.md");
        let example = page
            .split("```yaml\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        let example = example.expect("the page has an example");
        let marked = format!("\u{feff}{example}");
        assert_eq!(parse(&marked), parse(example));
        assert!(parse(&marked).is_ok());
    }

    #[test]
    fn each_mistake_is_named_with_its_key() {
        let mut wrong = Vec::new();
        for (from, to, line, said) in [
            ("version: 1", "version: 2", None, "version 1, not 2"),
            ("    size: 12", "    sise: 12", Some(12), "sise"),
            ("    size: 12", "    size: many", Some(12), "size"),
            ("    size: 12", "    size: -1", Some(12), "size"),
            ("    size: 12", "    size: 0", None, "size"),
            ("length: 4096", "length: 0", None, "context_length"),
            ("size: 1.5B", "size: big", Some(3), "number of parameters"),
            ("family: llama", "family: '?'", Some(3), "family"),
            ("[tools, completion]", "[tolls]", Some(10), "tolls"),
            (", memo]", ", ../x]", None, "aliases"),
            (", memo]", ", 'acme/NOTES:small']", None, "twice"),
            (", memo]", ", 'Acme/Note:small']", None, "twice"),
            ("sha256:e3", "sha256:", Some(3), "is not a digest"),
            ("sha256:e3", "md5:e3", Some(3), "is not a digest"),
            ("name: acme/notes", "name: ../notes", None, "namespace"),
            ("name: acme/notes", "name: 'acme/notes:small'", None, "tags"),
            (
                "name: acme/notes",
                "name: 'https://acme/notes'",
                None,
                "scheme",
            ),
            ("tags: [small]", "tags: []", None, "tags"),
            ("tags: [small]", "tags: [../x]", None, "tags"),
            ("tags: [small]", "tags: [a, A]", None, "twice"),
            ("package: notes", "package: --pre", Some(15), "package"),
            ("version: '1.0'", "version: '1.*'", Some(15), "version"),
            (
                "member: notes/a.gguf",
                "member: ../a.gguf",
                Some(15),
                "path of a file",
            ),
            (
                "member: notes/a.gguf",
                "member: notes/a.gguf, extra: 1",
                Some(15),
                "extra",
            ),
            ("- wheel:", "- whel:", Some(15), "whel"),
            ("      - hf:", "        hf:", Some(15), "exactly one"),
            ("repo: acme/notes", "repo: acme", Some(16), "repo"),
            (
                "temperature: 0.5",
                "temperature: hot",
                Some(3),
                "temperature",
            ),
            ("temperature: 0.5", "temprature: 0.5", Some(3), "temprature"),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD, "{from} is not in the file");
            let error = parse(&text).expect_err(to);
            let found = error.place.map(|(line, _)| line);
            if found != line || !error.message.contains(said) {
                wrong.push(format!("{to}: line {line:?} and {said:?}, but {error:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// The good file with its package in these parts.
    fn in_parts(parts: &[&str]) -> String {
        let wheel = "- wheel: { package: notes, version: '1.0', member: notes/a.gguf }";
        let parts: Vec<String> = parts
            .iter()
            .map(|member| format!("{{ package: notes, version: '1.0', member: '{member}' }}"))
            .collect();
        let text = GOOD.replace(wheel, &format!("- wheels: [{}]", parts.join(", ")));
        assert_ne!(text, GOOD);
        text
    }

    #[test]
    fn parts_are_read_in_their_order() {
        let entries = parse(&in_parts(&["notes/b", "notes/a"])).expect("a good file");
        let Location::Joined(joined) = &entries[0].sources[0] else {
            panic!("{entries:?}")
        };
        let members = joined.parts().iter().map(|part| part.member.as_str());
        assert_eq!(members.collect::<Vec<_>>(), ["notes/b", "notes/a"]);
    }

    #[test]
    fn parts_that_make_no_file_are_refused() {
        let many: Vec<String> = (0..65).map(|number| format!("notes/{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (parts, said) in [
            (&[][..], "2 to 64 parts, not 0"),
            (&["notes/a"], "2 to 64 parts, not 1"),
            (&many, "2 to 64 parts, not 65"),
            (
                &["notes/a", "notes/a"],
                "the part notes/a of notes==1.0 twice",
            ),
            (&["notes/a", "../a"], "path of a file"),
            (&["notes/a", "/notes/a"], "path of a file"),
        ] {
            let error = parse(&in_parts(parts)).expect_err(said);
            assert!(error.message.contains(said), "{error:?}");
        }
        for needed in [
            "    size: 12\n",
            "    digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n",
        ] {
            let text = in_parts(&["notes/a", "notes/b"]);
            let without = text.replace(needed, "");
            assert_ne!(text, without);
            let error = parse(&without).expect_err("nothing tells the order");
            assert!(error.message.contains("`size` and `digest`"), "{error:?}");
        }
    }

    #[test]
    fn a_folder_has_sizes_and_digests_of_its_files_alone() {
        let wheel = "wheel: { package: notes, version: '1.0', member: notes/a.gguf }";
        let folder = "wheel_folder: { package: notes, version: '1.0', folder: notes, files: [{ path: config.json }] }";
        let text = GOOD.replace(wheel, folder);
        assert_ne!(text, GOOD);
        let error = parse(&text).expect_err("size and digest of what");
        assert!(error.message.contains("no `digest`"), "{error:?}");
        let without: String = text
            .lines()
            .filter(|line| !line.starts_with("    size:") && !line.starts_with("    digest:"))
            .map(|line| format!("{line}\n"))
            .collect();
        let entries = parse(&without).expect("a good file");
        assert!(matches!(&entries[0].sources[0], Location::Folder(_)));
        assert_eq!(
            entries[0].sources[0].to_string(),
            "Python package notes==1.0"
        );
    }

    #[test]
    fn the_examples_of_the_manual_are_catalogs() {
        let manual = include_str!("../../../docs/catalogs.md");
        let examples: Vec<_> = manual.split("```yaml\n").skip(1).collect();
        for (example, sources) in examples.iter().zip([3, 1, 1, 1]) {
            let example = example.split("```").next().unwrap_or_default();
            let entries = parse(example).expect("it is right");
            assert_eq!(entries.len(), 1);
            assert_eq!(entries[0].sources.len(), sources);
        }
        assert_eq!(examples.len(), 4);
    }

    #[test]
    fn what_is_no_catalog_at_all_is_refused() {
        let alias_bomb = "a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nversion: 1\nmodels: *b\n";
        let deep = "[".repeat(10_000);
        for text in [
            "",
            "models",
            "version: 1",
            "[]",
            "version: 1\nmodels: 7",
            "version: 1\nversion: 1\nmodels: []",
            "\u{0}",
            alias_bomb,
            &deep,
        ] {
            assert!(parse(text).is_err(), "{:?}", &text[..text.len().min(40)]);
        }
    }

    #[test]
    fn too_much_is_refused() {
        let tags: Vec<String> = (0..40).map(|number| format!("t{number}")).collect();
        let many_tags = GOOD.replace("[small]", &format!("[{}]", tags.join(",")));
        let many_aliases = GOOD.replace("memo", &tags.join(","));
        let long = GOOD.replace("Takes notes.", &"x".repeat(2000));
        let large = GOOD.replace("Take notes.", &"x".repeat(100_000));
        let long_license = GOOD.replace("MIT", &"x".repeat(100_000));
        for (text, said) in [
            (many_tags, "tags"),
            (many_aliases, "aliases"),
            (long, "description"),
            (long_license, "license"),
            (large, "system"),
        ] {
            let error = parse(&text).expect_err(said);
            assert!(error.message.contains(said), "{error:?}");
        }
    }
}
