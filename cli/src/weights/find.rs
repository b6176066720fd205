//! From the values of `FROM`, `ADAPTER` and `DRAFT` to files.
//!
//! A value is first tried as a file or folder, relative to the Modelfile. If nothing exists there and it
//! does not look like a path, it is the name of a model. A folder must contain one set of GGUF files;
//! without GGUF files it may contain safetensors, which the daemon converts.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use modelfile::Source;

use crate::error::Failure;
use crate::fs::{self, Kind};

/// Maximum number of entries of a folder.
const MAX_ENTRIES: usize = 10_000;
/// Maximum number of shards of a split model.
const MAX_SHARDS: usize = 1_000;
/// Files that describe safetensors, besides the folders of modules. Nothing else in the folder is opened or sent.
const DESCRIPTIONS: [&str; 6] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "modules.json",
    "sentence_bert_config.json",
];

/// The base of a model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// Another model, by name.
    Model(String),
    /// Local files, absolute paths.
    Files(Vec<PathBuf>),
    /// Safetensors with the files that describe them.
    Folder(Vec<FolderFile>),
}

/// A file of a folder with safetensors.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FolderFile {
    /// Its path in the folder, with `/`.
    pub(crate) name: String,
    /// Its absolute path.
    pub(crate) path: PathBuf,
}

impl Base {
    /// The base that all `FROM`s together name.
    pub(crate) fn resolve<'a>(
        values: impl Iterator<Item = &'a str>,
        roots: &PathRoots,
    ) -> anyhow::Result<Self> {
        let mut names = Vec::new();
        let mut files = Vec::new();
        let values: Vec<&str> = values.collect();
        for (number, &value) in values.iter().enumerate() {
            if values[..number].contains(&value) {
                return Err(Failure::new(format!("`FROM {value}` is repeated")).into());
            }
            if let Some(folder) = roots.safetensors(value)? {
                if values.len() > 1 {
                    return Err(stands_beside(value));
                }
                return Ok(Self::Folder(folder));
            }
            match roots.find(value, "FROM")? {
                // A shard brings the others, which may have `FROM` lines too.
                Some(found) => {
                    let more = found.into_iter().filter(|file| !files.contains(file));
                    let more: Vec<_> = more.collect();
                    files.extend(more);
                }
                None => names.push(value.to_owned()),
            }
        }
        match (names.len(), files.is_empty()) {
            (0, false) => Ok(Self::Files(files)),
            (1, true) => Ok(Self::Model(names.remove(0))),
            (0, true) => Err(Failure::new("the Modelfile has no FROM").into()),
            _ => Err(stands_beside(&names[0])),
        }
    }
}

fn stands_beside(value: &str) -> anyhow::Error {
    Failure::new(format!(
        "`FROM {value}` cannot be combined with other FROMs"
    ))
    .hint("the base is one model, one folder of safetensors, or only GGUF files")
    .into()
}

/// The folders that paths in a Modelfile start from.
#[derive(Debug)]
pub(crate) struct PathRoots {
    /// Folder of the Modelfile, absolute.
    pub(crate) folder: PathBuf,
    /// The folder for `~`.
    pub(crate) home: Option<PathBuf>,
}

impl PathRoots {
    /// The files of values that can only be paths.
    pub(crate) fn weights<'a>(
        &self,
        values: impl Iterator<Item = &'a str>,
        keyword: &str,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for value in values {
            let found = self
                .find(value, keyword)?
                .ok_or_else(|| nothing_there(value, keyword))?;
            files.extend(found);
        }
        Ok(files)
    }

    /// The files of `value`; `None` if it is a name.
    fn find(&self, value: &str, keyword: &str) -> anyhow::Result<Option<Vec<PathBuf>>> {
        let path = self.expand(value, keyword)?;
        let can_be_name = Source::classify(value) == Source::Name;
        match fs::kind(&path)? {
            Some(Kind::File(_)) => Ok(Some(with_all_shards(&path, keyword)?)),
            Some(Kind::Folder) => match the_one_set(&path) {
                Ok(files) => Ok(Some(files)),
                // A folder with the name of a model, and without weights.
                Err(_) if can_be_name && !holds_weights(&path)? => Ok(None),
                Err(failure) => Err(failure),
            },
            Some(Kind::Other) => Err(Failure::new(format!(
                "{keyword} `{value}`: `{}` is neither a file nor a folder",
                path.display()
            ))
            .into()),
            None if can_be_name => Ok(None),
            None => Err(nothing_there(value, keyword).into()),
        }
    }

    /// The folder of a value that could also be the name of a model; `None` for others.
    pub(crate) fn shadow(&self, value: &str) -> Option<PathBuf> {
        let path = self.expand(value, "FROM").ok()?;
        let is_folder = matches!(fs::kind(&path), Ok(Some(Kind::Folder)));
        (Source::classify(value) == Source::Name && is_folder).then_some(path)
    }

    /// The files of a folder with safetensors and without GGUF files; `None` for others.
    fn safetensors(&self, value: &str) -> anyhow::Result<Option<Vec<FolderFile>>> {
        let folder = self.expand(value, "FROM")?;
        if fs::kind(&folder)? != Some(Kind::Folder) {
            return Ok(None);
        }
        let entries = fs::list(&folder, MAX_ENTRIES)?;
        if entries.iter().any(|path| has_ending(path, "gguf")) {
            return Ok(None);
        }
        let weights: Vec<_> = entries.iter().filter(|path| is_weights(path)).collect();
        if weights.is_empty() {
            return Ok(None);
        }
        let mut files = Vec::new();
        for path in the_one_model(&folder, &weights)? {
            files.push(FolderFile {
                name: file_name(path),
                path: begins_like_safetensors(path)?,
            });
        }
        let in_folders = entries.iter().filter_map(|path| {
            let name = file_name(path);
            let is_module = name.starts_with(|first: char| first.is_ascii_digit());
            is_module.then(|| format!("{name}/config.json"))
        });
        let descriptions = DESCRIPTIONS.iter().map(|name| (*name).to_owned());
        for name in descriptions.chain(in_folders) {
            let path = folder.join(&name);
            if matches!(fs::kind(&path)?, Some(Kind::File(_))) {
                let path = fs::canonical(&path)?;
                files.push(FolderFile { name, path });
            }
        }
        Ok(Some(files))
    }

    fn expand(&self, value: &str, keyword: &str) -> Result<PathBuf, Failure> {
        let Some(rest) = value.strip_prefix('~') else {
            // Rebuilt from its components, so that `./x` is shown as `x`.
            return Ok(self.folder.join(value).components().collect());
        };
        if !(rest.is_empty() || rest.starts_with('/')) {
            return Err(
                Failure::new(format!("{keyword} `{value}`: `~USER` is not supported"))
                    .hint("write the whole path"),
            );
        }
        let home = self.home.as_ref().ok_or_else(|| {
            Failure::new(format!("{keyword} `{value}`: this user has no home folder"))
                .hint("write the whole path")
        })?;
        Ok(home.join(rest.trim_start_matches('/')))
    }
}

fn nothing_there(value: &str, keyword: &str) -> Failure {
    Failure::new(format!("{keyword} `{value}`: there is no such file"))
        .hint("a relative path starts at the folder of the Modelfile")
        .code("weights_missing")
}

fn holds_weights(folder: &Path) -> anyhow::Result<bool> {
    let entries = fs::list(folder, MAX_ENTRIES)?;
    Ok(entries
        .iter()
        .any(|path| has_ending(path, "gguf") || is_weights(path)))
}

/// The one set of GGUF files in a folder.
fn the_one_set(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::list(folder, MAX_ENTRIES)?;
    // The shards of a split model are one set, under their common name.
    let mut sets: BTreeMap<String, &PathBuf> = BTreeMap::new();
    for path in entries.iter().filter(|path| has_ending(path, "gguf")) {
        let name = file_name(path);
        let set = ShardName::of(&name).map_or_else(|| name.clone(), |shard| shard.stem.to_owned());
        sets.entry(set).or_insert(path);
    }
    // A vision model has its projector beside it.
    let projectors: Vec<String> = sets.keys().filter(|it| is_projector(it)).cloned().collect();
    let projector = match (sets.len(), projectors.as_slice()) {
        (2, [one]) => sets.remove(one),
        _ => None,
    };
    match sets.len() {
        1 => {
            let path = sets.into_values().next().expect("there is one");
            let mut files = with_all_shards(path, "FROM")?;
            files.extend(projector.map(|path| check(path, "FROM")).transpose()?);
            Ok(files)
        }
        0 if entries.iter().any(|path| is_weights(path)) => Err(safetensors(folder).into()),
        0 => Err(
            Failure::new(format!("there is no GGUF file in `{}`", folder.display()))
                .code("weights_missing")
                .into(),
        ),
        _ => Err(Failure::new(format!(
            "there are several models in `{}`: {}",
            folder.display(),
            sets.into_keys().collect::<Vec<_>>().join(", ")
        ))
        .hint("name the file in FROM")
        .into()),
    }
}

/// Whether a file has the name of a projector.
fn is_projector(name: &str) -> bool {
    name.get(..6)
        .is_some_and(|start| start.eq_ignore_ascii_case("mmproj"))
}

/// The file, or for a shard of a split model all shards in order.
fn with_all_shards(path: &Path, keyword: &str) -> anyhow::Result<Vec<PathBuf>> {
    let name = file_name(path);
    let Some(shard) = ShardName::of(&name) else {
        return Ok(vec![check(path, keyword)?]);
    };
    if shard.count > MAX_SHARDS {
        return Err(Failure::new(format!("{keyword}: `{name}` claims too many shards")).into());
    }
    (1..=shard.count)
        .map(|number| {
            let path = path.with_file_name(shard.name_of(number));
            if fs::kind(&path)?.is_none() {
                return Err(Failure::new(format!(
                    "{keyword}: shard {number} of {} is missing: there is no `{}`",
                    shard.count,
                    path.display()
                ))
                .code("weights_missing")
                .into());
            }
            check(&path, keyword)
        })
        .collect()
}

/// The absolute path of a file with the magic of GGUF.
///
/// The daemon checks the rest. Files without the magic are not sent, because a Modelfile from
/// elsewhere could name any file of the user.
fn check(path: &Path, keyword: &str) -> anyhow::Result<PathBuf> {
    if is_weights(path) {
        return Err(safetensors(path).into());
    }
    let path = fs::canonical(path)?;
    let mut magic = [0; 4];
    let is_gguf = fs::open(&path)?.read_exact(&mut magic).is_ok() && &magic == b"GGUF";
    if !is_gguf {
        return Err(Failure::new(format!(
            "{keyword}: `{}` is not a GGUF file",
            path.display()
        ))
        .hint("weights of other kinds must be converted to GGUF first")
        .code("weights_not_gguf")
        .into());
    }
    Ok(path)
}

fn safetensors(path: &Path) -> Failure {
    Failure::new(format!(
        "`{}` holds safetensors, which need their whole folder in one FROM",
        path.display()
    ))
    .hint("name the folder with its config.json, or convert it with llama.cpp's convert_hf_to_gguf.py")
    .code("weights_not_gguf")
}

/// The weights of one model in a folder: `model.safetensors`, the shards of a split model, or the only file.
fn the_one_model<'a>(folder: &Path, weights: &[&'a PathBuf]) -> anyhow::Result<Vec<&'a PathBuf>> {
    let whole = weights
        .iter()
        .find(|path| file_name(path) == "model.safetensors");
    if let Some(whole) = whole {
        return Ok(vec![whole]);
    }
    let shards: Vec<_> = weights
        .iter()
        .filter(|path| file_name(path).starts_with("model-0"))
        .copied()
        .collect();
    match (shards.is_empty(), weights) {
        (false, _) => Ok(shards),
        (true, [only]) => Ok(vec![only]),
        (true, _) => Err(Failure::new(format!(
            "there are several files of safetensors in `{}`, and none is model.safetensors",
            folder.display()
        ))
        .hint("leave one model in the folder")
        .into()),
    }
}

/// The absolute path of a file that starts as safetensors do: a header length and a brace.
fn begins_like_safetensors(path: &Path) -> anyhow::Result<PathBuf> {
    let path = fs::canonical(path)?;
    let mut start = [0; 9];
    if fs::open(&path)?.read_exact(&mut start).is_ok() && start[8] == b'{' {
        return Ok(path);
    }
    Err(Failure::new(format!(
        "FROM: `{}` is not a file of safetensors",
        path.display()
    ))
    .into())
}

/// Whether a file has the extension of safetensors.
pub(super) fn is_weights(path: &Path) -> bool {
    has_ending(path, "safetensors")
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension()
        .is_some_and(|found| found.eq_ignore_ascii_case(ending))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// `stem-00002-of-00003.gguf`, as llama.cpp's split tool names shards.
struct ShardName<'a> {
    stem: &'a str,
    count: usize,
}

impl<'a> ShardName<'a> {
    fn of(name: &'a str) -> Option<Self> {
        let rest = name.strip_suffix(".gguf")?;
        let (rest, count) = rest.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let digits = |text: &str| -> Option<usize> {
            let right = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
            right.then(|| text.parse().ok()).flatten()
        };
        let (number, count) = (digits(number)?, digits(count)?);
        (1..=count)
            .contains(&number)
            .then_some(Self { stem, count })
    }

    fn name_of(&self, number: usize) -> String {
        format!("{}-{number:05}-of-{:05}.gguf", self.stem, self.count)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make files")]
mod tests {
    use std::fs::{create_dir, write};

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn with(files: &[&str]) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            for file in files {
                folder.put(file, b"GGUF and more");
            }
            folder
        }

        fn put(&self, file: &str, bytes: &[u8]) {
            let path = self.0.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            write(path, bytes).unwrap();
        }

        /// Compares the base of `FROM`s, without the path of the folder.
        fn check(&self, values: &[&str], expected: &str) {
            let folder = std::fs::canonicalize(self.0.path()).unwrap();
            let roots = PathRoots {
                folder: folder.clone(),
                home: Some(folder.join("home")),
            };
            let shown = match Base::resolve(values.iter().copied(), &roots) {
                Ok(Base::Model(name)) => format!("model {name}"),
                Ok(Base::Files(files)) => {
                    let files: Vec<_> = files
                        .iter()
                        .map(|path| path.display().to_string())
                        .collect();
                    format!("files {}", files.join(" "))
                }
                Ok(Base::Folder(files)) => {
                    let names: Vec<_> = files.into_iter().map(|file| file.name).collect();
                    format!("folder {}", names.join(" "))
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(
                shown.replace(&format!("{}/", folder.display()), ""),
                expected
            );
        }
    }

    #[test]
    fn an_existing_file_goes_before_a_model_of_that_name() {
        let folder = Folder::with(&["weights", "home/m.gguf"]);
        folder.check(&["weights"], "files weights");
        folder.check(&["./weights"], "files weights");
        folder.check(&["~/m.gguf"], "files home/m.gguf");
        folder.check(&["smollm2"], "model smollm2");
        folder.check(&["library/smollm2:latest"], "model library/smollm2:latest");
    }

    #[test]
    fn a_path_to_nothing_is_an_error() {
        let folder = Folder::with(&[]);
        folder.check(&["./x.gguf"], "FROM `./x.gguf`: there is no such file");
        folder.check(&["x.gguf"], "FROM `x.gguf`: there is no such file");
        folder.check(
            &["~someone/x"],
            "FROM `~someone/x`: `~USER` is not supported",
        );
    }

    #[test]
    fn a_folder_must_contain_one_model() {
        let folder = Folder::with(&["one/m.gguf", "two/a.gguf", "two/b.gguf"]);
        folder.check(&["./one"], "files one/m.gguf");
        folder.check(
            &["./two"],
            "there are several models in `two`: a.gguf, b.gguf",
        );
        for file in ["three/m.gguf", "three/mmproj-m.gguf"] {
            folder.put(file, b"GGUF and more");
        }
        folder.check(&["./three"], "files three/m.gguf three/mmproj-m.gguf");
        folder.put("three/mmproj-m-f16.gguf", b"GGUF and more");
        folder.check(
            &["./three"],
            "there are several models in `three`: m.gguf, mmproj-m-f16.gguf, mmproj-m.gguf",
        );
        create_dir(folder.0.path().join("none")).unwrap();
        folder.check(&["./none"], "there is no GGUF file in `none`");
        folder.check(&["none"], "model none");
        folder.check(
            &["two"],
            "there are several models in `two`: a.gguf, b.gguf",
        );
    }

    #[test]
    fn a_folder_with_the_name_of_a_model_is_noticed() {
        let folder = Folder::with(&["smollm2/m.gguf", "file"]);
        let roots = PathRoots {
            folder: folder.0.path().to_owned(),
            home: None,
        };
        let shadow = roots.shadow("smollm2");
        assert_eq!(shadow, Some(folder.0.path().join("smollm2")));
        for clear in ["./smollm2", "smollm2/", "smollm2:latest", "file", "other"] {
            assert_eq!(roots.shadow(clear), None, "{clear}");
        }
    }

    #[test]
    fn a_folder_of_safetensors_brings_its_descriptions() {
        const START: &[u8] = b"\x02\0\0\0\0\0\0\0{}";
        let folder = Folder::with(&["m.gguf"]);
        for file in [
            "config.json",
            "1_Pooling/config.json",
            "secret.json",
            "onnx/config.json",
        ] {
            folder.put(&format!("hub/{file}"), b"{}");
        }
        folder.put("hub/model.safetensors", START);
        let all = "folder model.safetensors config.json 1_Pooling/config.json";
        folder.check(&["./hub"], all);
        folder.check(&["hub"], all);
        folder.put("hub/other.safetensors", START);
        folder.check(&["hub"], all);
        folder.check(
            &["./hub", "m.gguf"],
            "`FROM ./hub` cannot be combined with other FROMs",
        );
        for shard in ["model-00001-of-00002", "model-00002-of-00002"] {
            folder.put(&format!("split/{shard}.safetensors"), START);
        }
        folder.check(
            &["split"],
            "folder model-00001-of-00002.safetensors model-00002-of-00002.safetensors",
        );
        folder.put("one/some.safetensors", START);
        folder.check(&["one"], "folder some.safetensors");
        folder.put("one/another.safetensors", START);
        folder.check(
            &["one"],
            "there are several files of safetensors in `one`, and none is model.safetensors",
        );
        folder.put("bad/model.safetensors", b"root:x:0:0:root");
        folder.check(
            &["bad"],
            "FROM: `bad/model.safetensors` is not a file of safetensors",
        );
        folder.put("both/m.gguf", b"GGUF");
        folder.put("both/model.safetensors", START);
        folder.check(&["both"], "files both/m.gguf");
    }

    #[test]
    fn the_shards_of_a_split_model_belong_together() {
        let folder = Folder::with(&["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]);
        let both = "files m-00001-of-00002.gguf m-00002-of-00002.gguf";
        folder.check(&["."], both);
        folder.check(&["m-00002-of-00002.gguf"], both);
        folder.check(&["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"], both);
        folder.check(
            &["m-00001-of-00002.gguf", "m-00001-of-00002.gguf"],
            "`FROM m-00001-of-00002.gguf` is repeated",
        );
        std::fs::remove_file(folder.0.path().join("m-00001-of-00002.gguf")).unwrap();
        folder.check(
            &["."],
            "FROM: shard 1 of 2 is missing: there is no `m-00001-of-00002.gguf`",
        );
    }

    #[test]
    fn a_file_without_the_magic_is_not_sent() {
        let folder = Folder::with(&[]);
        folder.put("secret", b"root:x:0:0");
        folder.put("short", b"GG");
        folder.check(&["./secret"], "FROM: `secret` is not a GGUF file");
        folder.check(&["./short"], "FROM: `short` is not a GGUF file");
        folder.put("w.safetensors", b"{}");
        folder.check(
            &["w.safetensors"],
            "`w.safetensors` holds safetensors, which need their whole folder in one FROM",
        );
    }

    #[test]
    fn a_name_and_files_cannot_be_combined() {
        let folder = Folder::with(&["a.gguf", "b.gguf"]);
        folder.check(&["a.gguf", "b.gguf"], "files a.gguf b.gguf");
        folder.check(
            &["a.gguf", "smollm2"],
            "`FROM smollm2` cannot be combined with other FROMs",
        );
        folder.check(
            &["one", "two"],
            "`FROM one` cannot be combined with other FROMs",
        );
    }
}
