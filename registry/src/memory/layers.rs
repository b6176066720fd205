//! Model layers: their tensors, their cells in the KV cache and their recurrent state.

use serde::{Deserialize, Serialize};

use crate::gguf::{Gguf, Tensor};

use super::{Keys, MOST_LAYERS, Tensors, states, windows};

/// Architectures that compute without a KV cache (`create_memory` in `src/llama-model.cpp`).
const WITHOUT_CACHE: &[&str] = &[
    "bert",
    "jina-bert-v2",
    "jina-bert-v3",
    "nomic-bert",
    "nomic-bert-moe",
    "neo-bert",
    "eurobert",
    "wavtokenizer-dec",
    "modern-bert",
    "gemma-embedding",
    "dream",
    "llada",
    "llada-moe",
    "rnd1",
    "clef",
];

/// Whether an architecture computes without a KV cache.
pub(super) fn is_without_cache(architecture: &str) -> bool {
    WITHOUT_CACHE.contains(&architecture)
}

/// Equal layers that follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRun {
    /// How many.
    pub count: u32,
    /// One of them.
    pub layer: LayerFacts,
}

/// One model layer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LayerFacts {
    /// Tensors of attention or of the recurrent part, and norms.
    pub attention: Tensors,
    /// Tensors of the feed-forward part that every token uses.
    pub feed_forward: Tensors,
    /// Tensors of experts, of which a token uses some.
    pub experts: Tensors,
    /// Values of the queries of one token.
    pub query_width: u64,
    /// Values of the keys in one cell; 0 for a layer without cells.
    pub key_width: u64,
    /// Values of the values in one cell.
    pub value_width: u64,
    /// Its attention looks at a window only.
    pub windowed: bool,
    /// Numbers of the recurrent state of one sequence, each of 4 bytes.
    pub state: u64,
    /// Values of the inner dimension of the feed-forward part.
    pub feed_forward_length: u64,
}

impl LayerFacts {
    /// Adds tensors of the same layer from another file.
    pub(super) fn join(&mut self, other: &Self) {
        self.attention.add(&other.attention);
        self.feed_forward.add(&other.feed_forward);
        self.experts.add(&other.experts);
    }

    /// The bytes of its tensors.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let parts = [&self.attention, &self.feed_forward, &self.experts];
        let parts = parts.into_iter().map(Tensors::bytes);
        parts.fold(0, u64::saturating_add)
    }
}

/// The number of the layer that a tensor belongs to.
pub(super) fn layer_of(name: &str) -> Option<usize> {
    let (number, _) = name.strip_prefix("blk.")?.split_once('.')?;
    let number: usize = number.parse().ok()?;
    (number < MOST_LAYERS).then_some(number)
}

/// The layers of a file. A later shard knows its tensors only.
pub(super) fn of(gguf: &Gguf, keys: &Keys<'_>) -> Vec<LayerRun> {
    let mut tensors: Vec<Vec<&Tensor>> = Vec::new();
    for tensor in &gguf.tensors {
        let Some(layer) = layer_of(&tensor.name) else {
            continue;
        };
        if layer >= tensors.len() {
            tensors.resize(layer + 1, Vec::new());
        }
        tensors[layer].push(tensor);
    }
    let stated = usize::try_from(keys.number("block_count")).unwrap_or(MOST_LAYERS);
    tensors.resize(tensors.len().max(stated).min(MOST_LAYERS), Vec::new());
    let layers = tensors.iter().enumerate();
    runs(layers.map(|(number, tensors)| facts(keys, number, tensors)))
}

/// Equal neighbours as one run.
pub(super) fn runs(layers: impl IntoIterator<Item = LayerFacts>) -> Vec<LayerRun> {
    let mut runs: Vec<LayerRun> = Vec::new();
    for layer in layers {
        match runs.last_mut() {
            Some(run) if run.layer == layer => run.count += 1,
            _ => runs.push(LayerRun { count: 1, layer }),
        }
    }
    runs
}

fn facts(keys: &Keys<'_>, number: usize, tensors: &[&Tensor]) -> LayerFacts {
    let part = |wanted: Part| {
        let tensors = tensors.iter().copied();
        Tensors::sum(tensors.filter(|tensor| Part::of(&tensor.name) == wanted))
    };
    let heads = Heads::of(keys, number);
    LayerFacts {
        attention: part(Part::Attention),
        feed_forward: part(Part::FeedForward),
        experts: part(Part::Experts),
        query_width: heads.query_width,
        key_width: heads.key_width,
        value_width: heads.value_width,
        windowed: windows::has(keys, number),
        state: states::numbers(keys, number),
        feed_forward_length: feed_forward_length(keys, number),
    }
}

/// The inner width of all experts that a token uses, or of the dense part.
fn feed_forward_length(keys: &Keys<'_>, number: usize) -> u64 {
    let dense = keys.of_layer("feed_forward_length", number).unwrap_or(0);
    let expert = keys.of_layer("expert_feed_forward_length", number);
    match keys.of_layer("expert_used_count", number) {
        None | Some(0) => dense,
        Some(used) => expert.unwrap_or(dense).saturating_mul(used),
    }
}

#[derive(PartialEq, Eq)]
enum Part {
    Attention,
    FeedForward,
    Experts,
}

impl Part {
    fn of(name: &str) -> Self {
        let rest = name.splitn(3, '.').nth(2).unwrap_or_default();
        match rest.strip_prefix("ffn_") {
            Some(ffn) if ffn.contains("_exps") => Self::Experts,
            Some(_) => Self::FeedForward,
            None => Self::Attention,
        }
    }
}

/// The widths of queries, keys and values.
struct Heads {
    query_width: u64,
    key_width: u64,
    value_width: u64,
}

impl Heads {
    fn of(keys: &Keys<'_>, layer: usize) -> Self {
        let heads = keys.of_layer("attention.head_count", layer).unwrap_or(0);
        let kv_heads = keys.of_layer("attention.head_count_kv", layer);
        let kv_heads = kv_heads.unwrap_or(heads);
        let (key, value) = head_lengths(keys, layer);
        let query_width = heads.saturating_mul(key);
        if !has_cells(keys, layer) {
            return Self {
                query_width,
                key_width: 0,
                value_width: 0,
            };
        }
        // Compressed attention (MLA) keeps one vector for a cell, which has keys and values.
        let is_mla = keys.number("attention.key_length_mla") > 0
            && keys.number("attention.value_length_mla") > 0;
        // Sparse attention of DeepSeek's kind keeps the keys of its indexer besides.
        let indexer = match keys.is(&["deepseek32", "glm-dsa", "dots3note"]) {
            true => keys.number("attention.indexer.key_length"),
            false => 0,
        };
        Self {
            query_width,
            key_width: kv_heads.saturating_mul(key).saturating_add(indexer),
            value_width: if is_mla {
                0
            } else {
                kv_heads.saturating_mul(value)
            },
        }
    }
}

/// The length of the keys of one head; 0 where layers with a window have another one.
pub(super) fn head_length(keys: &Keys<'_>) -> u64 {
    let narrow = keys.stated("attention.key_length_swa");
    let (length, _) = head_lengths(keys, 0);
    match (narrow, keys.stated("attention.key_length")) {
        (Some(narrow), Some(full)) if narrow != full => 0,
        _ => length,
    }
}

/// The length of the key and of the value of one head.
fn head_lengths(keys: &Keys<'_>, layer: usize) -> (u64, u64) {
    // llama.cpp takes the heads of the first layer.
    let heads = keys.of_layer("attention.head_count", 0).unwrap_or(0);
    let even = keys.number("embedding_length").checked_div(heads);
    let even = even.unwrap_or(0);
    let of = |rest: &str| {
        let windowed = windows::has(keys, layer);
        let narrow = keys.stated(&format!("attention.{rest}_swa"));
        let full = keys.stated(&format!("attention.{rest}"));
        narrow.filter(|_| windowed).or(full).unwrap_or(even)
    };
    (of("key_length"), of("value_length"))
}

/// Whether a layer has cells in the KV cache.
fn has_cells(keys: &Keys<'_>, layer: usize) -> bool {
    if keys.architecture.is_none() || keys.is(WITHOUT_CACHE) {
        return false;
    }
    let layers = usize::try_from(keys.number("block_count")).unwrap_or(MOST_LAYERS);
    let drafting = usize::try_from(keys.number("nextn_predict_layers")).unwrap_or(0);
    let trunk = layers.saturating_sub(drafting);
    // Gemma's later layers look at the cells of earlier ones.
    let own = if keys.is(&["gemma3n"]) {
        20
    } else {
        let shared = keys.number("attention.shared_kv_layers");
        layers.saturating_sub(usize::try_from(shared).unwrap_or(layers))
    };
    let is_attention = match states::kind(keys, layer) {
        states::Kind::Attention | states::Kind::Both => true,
        states::Kind::State | states::Kind::Neither => false,
    };
    layer < trunk && layer < own && is_attention
}
