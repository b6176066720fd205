//! Descriptions of a model: from one line of a list to everything.

use std::{fmt, fs::File};

use jiff::Timestamp;
use modelfile::{Message, Parameters};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Digest, ModelName,
    config::Config,
    gguf,
    manifest::{Layer, LayerKind, Manifest},
};

/// A model in a few words, taken from its config and the header of its weights. Texts are empty where nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// Model that its weights are from; empty where it was made of files.
    pub parent_model: String,
    /// `gguf`.
    pub format: String,
    /// Architecture of the weights, such as `llama`.
    pub family: String,
    /// Architectures of weights and projectors.
    pub families: Vec<String>,
    /// Number of parameters for people, such as `134.52M`.
    pub parameter_size: String,
    /// Quantization of most of the weights, such as `Q4_1`.
    pub quantization_level: String,
    /// Context length that the model was trained with.
    pub context_length: Option<u64>,
    /// Embedding length.
    pub embedding_length: Option<u64>,
}

/// What a model can be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// Completes text.
    Completion,
    /// Calls tools.
    Tools,
    /// Fills in the middle between prefix and suffix.
    Insert,
    /// Takes images.
    Vision,
    /// Computes embeddings.
    Embedding,
    /// Thinks before it answers.
    Thinking,
    /// Makes images.
    Image,
    /// Takes audio.
    Audio,
    /// Reranks documents.
    Rerank,
}

impl Capability {
    /// Every capability, in the order they are listed.
    pub const ALL: [Self; 9] = [
        Self::Completion,
        Self::Tools,
        Self::Insert,
        Self::Vision,
        Self::Embedding,
        Self::Thinking,
        Self::Image,
        Self::Audio,
        Self::Rerank,
    ];

    /// The word for it on the wire and in the config blob.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completion => "completion",
            Self::Tools => "tools",
            Self::Insert => "insert",
            Self::Vision => "vision",
            Self::Embedding => "embedding",
            Self::Thinking => "thinking",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Rerank => "rerank",
        }
    }

    /// The capability with this word; `None` for a word that is not known here.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|capability| capability.as_str() == word)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One line of the list of models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
    /// Its name, in the case it was first given.
    pub name: ModelName,
    /// SHA-256 of its manifest file, which is the identity of the model.
    pub digest: Digest,
    /// Bytes of all its blobs together.
    pub size: u64,
    /// When its manifest was last written.
    pub modified: Timestamp,
    /// What it is.
    pub details: Details,
    /// What it can be used for.
    pub capabilities: Vec<Capability>,
    /// What is wrong with its manifest or config; `None` for a good model.
    pub damage: Option<String>,
}

/// A model with its small layers read, licences aside. Its large ones are digests.
#[derive(Debug, Clone)]
pub struct Model {
    /// Its name, in the case it was first given.
    pub name: ModelName,
    /// SHA-256 of its manifest file.
    pub digest: Digest,
    /// When its manifest was last written.
    pub modified: Timestamp,
    /// The blobs it consists of.
    pub manifest: Manifest,
    /// The config blob.
    pub config: Config,
    /// Go template of the prompt; `None` leaves it to the chat template.
    pub template: Option<String>,
    /// Chat template (Jinja); `None` leaves it to the one in the weights.
    pub chat_template: Option<String>,
    /// System prompt.
    pub system: Option<String>,
    /// Parameters that differ from the defaults.
    pub parameters: Parameters,
    /// The conversation it starts from.
    pub messages: Vec<Message>,
    /// What it is.
    pub details: Details,
    /// What it can be used for.
    pub capabilities: Vec<Capability>,
}

impl Model {
    /// The weights; several for a split model.
    pub fn weights(&self) -> impl Iterator<Item = &Layer> {
        self.manifest.layers_of(LayerKind::Model)
    }

    /// LoRA adapters in the order they apply.
    pub fn adapters(&self) -> impl Iterator<Item = &Layer> {
        self.manifest.layers_of(LayerKind::Adapter)
    }

    /// Projectors of images or sound.
    pub fn projectors(&self) -> impl Iterator<Item = &Layer> {
        self.manifest.layers_of(LayerKind::Projector)
    }

    /// The smaller model that drafts tokens.
    pub fn draft(&self) -> Option<&Layer> {
        self.manifest.layers_of(LayerKind::Draft).next()
    }
}

/// Everything that `show` tells about a model.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The model.
    pub model: Model,
    /// Texts of its licences.
    pub licenses: Vec<String>,
    /// A Modelfile that makes the same model again, from its blobs in this store.
    pub modelfile: String,
    /// The metadata of its weights by key. Long lists are null unless asked for.
    pub model_info: Map<String, Value>,
    /// Its chat template, or the one in its weights, in Jinja.
    pub chat_template: Option<String>,
    /// The metadata of its projector, where it has one.
    pub projector_info: Option<Map<String, Value>>,
    /// The tensors of its weights; empty unless asked for.
    pub tensors: Vec<gguf::Tensor>,
}

/// A model whose blobs were found good, with its large ones opened: all that a runner needs.
#[derive(Debug)]
pub struct Ready {
    /// The model.
    pub model: Model,
    /// The weights, or the first file of a split model.
    pub weights: OpenBlob,
    /// The other files of a split model, in order.
    pub shards: Vec<OpenBlob>,
    /// LoRA adapters in the order they apply.
    pub adapters: Vec<OpenBlob>,
    /// Projectors of images or sound.
    pub projectors: Vec<OpenBlob>,
    /// The smaller model that drafts tokens.
    pub draft: Option<OpenBlob>,
    /// What the header of the weights says.
    pub facts: crate::facts::Facts,
}

/// A blob that was found good and is open for reading; it stays readable when the blob is removed.
#[derive(Debug)]
pub struct OpenBlob {
    /// Its digest; for a translation, the digest that identifies it.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The file, read-only, at its first byte.
    pub file: File,
}
