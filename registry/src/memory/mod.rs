//! What the memory of a loaded model depends on, from the header of its file.
//!
//! The planner of the daemon predicts bytes from these facts alone, so that a prediction opens no file.
//! Names of keys and tensors, and the defaults of missing keys, are those of llama.cpp's `load_hparams`
//! (`src/llama-model.cpp`, `src/models/*.cpp`) and `src/llama-arch.cpp`.

mod layers;
mod states;
mod tensors;
#[cfg(test)]
mod tests;
mod windows;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::gguf::{GeneralType, Gguf, MERGES, Metadata, TOKENS, Value};

pub use self::layers::{LayerFacts, LayerRun};
pub use self::tensors::{TensorBytes, Tensors};

/// `LLAMA_MAX_LAYERS`; the strict reader refuses files with more model layers.
pub const MOST_LAYERS: usize = 512;

/// Facts of one file that decide how much memory it takes. Numbers that the file does not state are 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryFacts {
    /// The size of the file in bytes.
    pub file_bytes: u64,
    /// The architecture; `None` in the later shards of a split model.
    pub architecture: Option<String>,
    /// The model layers in their order, equal neighbours as one run.
    pub layers: Vec<LayerRun>,
    /// Tables that are read by rows, such as the token embeddings; llama.cpp keeps them in main memory.
    pub embeddings: Tensors,
    /// The bytes of the token embeddings alone.
    pub token_embeddings: u64,
    /// The matrix that makes logits. Without tensors in a model that makes logits, the token embeddings have its role.
    pub output: Tensors,
    /// Tensors of no layer.
    pub rest: Tensors,
    /// The width of the model.
    pub embedding_length: u64,
    /// The number of tokens.
    pub vocabulary: u64,
    /// The number of merges of the tokenizer.
    pub merges: u64,
    /// The bytes of the texts of tokens and merges in the file.
    pub vocabulary_bytes: u64,
    /// The longest context that the model was made for, in tokens.
    pub context_length: u64,
    /// The length of the attention window of the layers that have one, in tokens.
    pub window: u64,
    /// The length of the keys of one head; 0 where layers differ.
    pub head_length: u64,
    /// How the vectors of a text's tokens become one, by its number in the file (`enum llama_pooling_type`).
    pub pooling: u64,
    /// How many experts a layer has; 0 without experts.
    pub experts: u64,
    /// How many experts compute each token.
    pub experts_used: u64,
    /// Cells of one image, if the file is a projector that states it.
    pub image_cells: u64,
}

impl MemoryFacts {
    /// The facts of a file that the strict reader accepted.
    pub(crate) fn of(gguf: &Gguf) -> Self {
        let metadata = &gguf.metadata;
        let keys = Keys::of(metadata);
        let outside = |names: &[&str]| {
            let tensors = gguf.tensors.iter();
            Tensors::sum(tensors.filter(|tensor| names.contains(&tensor.name.as_str())))
        };
        let rest = gguf.tensors.iter().filter(|tensor| {
            layers::layer_of(&tensor.name).is_none()
                && !tensors::EMBEDDINGS.contains(&tensor.name.as_str())
                && !tensors::OUTPUT.contains(&tensor.name.as_str())
        });
        Self {
            file_bytes: gguf.size,
            architecture: keys.architecture.map(str::to_owned),
            layers: layers::of(gguf, &keys),
            embeddings: outside(tensors::EMBEDDINGS),
            token_embeddings: outside(&[tensors::TOKEN_EMBEDDINGS]).bytes(),
            output: outside(tensors::OUTPUT),
            rest: Tensors::sum(rest),
            embedding_length: keys.number("embedding_length"),
            vocabulary: length(metadata, TOKENS),
            merges: length(metadata, MERGES),
            vocabulary_bytes: span(metadata, TOKENS).saturating_add(span(metadata, MERGES)),
            context_length: keys.number("context_length"),
            window: windows::length(&keys),
            head_length: layers::head_length(&keys),
            pooling: keys.number("pooling_type"),
            experts: keys.number("expert_count"),
            experts_used: keys.number("expert_used_count"),
            image_cells: image_cells(metadata),
        }
    }

    /// Each model layer, in order.
    pub fn each_layer(&self) -> impl Iterator<Item = &LayerFacts> {
        let runs = self.layers.iter();
        let each = runs.flat_map(|run| std::iter::repeat_n(&run.layer, run.count as usize));
        each.take(MOST_LAYERS)
    }

    /// Adds the tensors of a later shard of the same model.
    pub fn join(&mut self, shard: &Self) {
        self.file_bytes = self.file_bytes.saturating_add(shard.file_bytes);
        self.embeddings.add(&shard.embeddings);
        self.token_embeddings = self.token_embeddings.saturating_add(shard.token_embeddings);
        self.output.add(&shard.output);
        self.rest.add(&shard.rest);
        let mut layers: Vec<LayerFacts> = self.each_layer().cloned().collect();
        for (number, other) in shard.each_layer().enumerate() {
            match layers.get_mut(number) {
                Some(layer) => layer.join(other),
                None => layers.push(other.clone()),
            }
        }
        self.layers = layers::runs(layers);
    }

    /// Whether it turns whole texts into vectors or scores, and writes none.
    #[must_use]
    pub fn pools(&self) -> bool {
        let architecture = self.architecture.as_deref();
        (1..=4).contains(&self.pooling) || architecture.is_some_and(layers::is_without_cache)
    }

    /// The bytes of all tensors.
    #[must_use]
    pub fn tensor_bytes(&self) -> u64 {
        let outside = [&self.embeddings, &self.output, &self.rest];
        let outside = outside.into_iter().map(Tensors::bytes);
        let layers = self.each_layer().map(LayerFacts::bytes);
        outside.chain(layers).fold(0, u64::saturating_add)
    }
}

/// Access to the keys of the file's architecture.
struct Keys<'a> {
    architecture: Option<&'a str>,
    /// The values by the part of their key behind the architecture.
    values: HashMap<&'a str, &'a Value>,
}

impl<'a> Keys<'a> {
    fn of(metadata: &'a Metadata) -> Self {
        // The later shards of a split model are not checked for a sensible one.
        let architecture = metadata.str("general.architecture");
        let architecture = architecture.filter(|name| name.len() <= 64);
        let entries = metadata.iter().filter_map(|entry| {
            let rest = entry.key.strip_prefix(architecture?)?.strip_prefix('.')?;
            Some((rest, &entry.value))
        });
        Self {
            architecture,
            values: entries.collect(),
        }
    }

    fn is(&self, names: &[&str]) -> bool {
        self.architecture.is_some_and(|name| names.contains(&name))
    }

    fn value(&self, rest: &str) -> Option<&'a Value> {
        self.values.get(rest).copied()
    }

    /// A number, or the greatest of one for each layer.
    fn stated(&self, rest: &str) -> Option<u64> {
        match self.value(rest)? {
            Value::Array(array) => {
                let items = array.items.iter().flatten();
                items.filter_map(Value::as_u64).max()
            }
            one => one.as_u64(),
        }
    }

    fn number(&self, rest: &str) -> u64 {
        self.stated(rest).unwrap_or(0)
    }

    /// The number for one layer, where a key has one for all or one for each.
    fn of_layer(&self, rest: &str, layer: usize) -> Option<u64> {
        match self.value(rest)? {
            Value::Array(array) => number_or_flag(array.items.as_ref()?.get(layer)?),
            one => number_or_flag(one),
        }
    }

    /// Whether a key has one value for each layer.
    fn is_list(&self, rest: &str) -> bool {
        matches!(self.value(rest), Some(Value::Array(_)))
    }
}

fn number_or_flag(value: &Value) -> Option<u64> {
    match value {
        Value::Bool(flag) => Some((*flag).into()),
        other => other.as_u64(),
    }
}

/// The number of elements of a list.
fn length(metadata: &Metadata, key: &str) -> u64 {
    let list = metadata.get(key).and_then(Value::as_array);
    list.map_or(0, |list| list.len)
}

/// The bytes of a value in the file.
fn span(metadata: &Metadata, key: &str) -> u64 {
    let entry = metadata.entry(key);
    entry.map_or(0, |entry| entry.end.saturating_sub(entry.offset))
}

/// Patches of the largest image that a projector takes at once, where the file states a fixed size.
fn image_cells(metadata: &Metadata) -> u64 {
    if GeneralType::of(metadata) != GeneralType::Projector {
        return 0;
    }
    let number = |key| metadata.u64(key).unwrap_or(0);
    let (side, patch) = (
        number("clip.vision.image_size"),
        number("clip.vision.patch_size"),
    );
    let patches = side.checked_div(patch).unwrap_or(0);
    patches.saturating_mul(patches)
}
