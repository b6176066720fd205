//! How a runner makes the context of a model: cells, micro-batch, sequences, outputs.
//!
//! `daemon/engine/src/load.rs` and `daemon/engine/src/embed/mod.rs` choose these numbers.

use registry::memory::MemoryFacts;
use runner_protocol::{KvType, LoadSettings};

/// Tokens that the kernels take at once.
const MICRO_BATCH: u64 = 512;
/// Finished sequences that stay in the cache beside the running ones.
const KEPT: u64 = 16;
/// llama.cpp's own limit of sequences.
const MOST_SEQUENCES: u64 = 256;
/// The longest text of an embedding model, in tokens.
const LONGEST_TEXT: u64 = 8192;
/// Texts that share a batch in an embedding model.
const TEXTS: u64 = 64;
/// llama.cpp pads the cells of a cache to a multiple of this.
const PADDING: u64 = 256;

/// The numbers that decide the size of caches and buffers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    /// Cells of the layers with full attention; 0 without a KV cache.
    pub(super) cells: u64,
    /// Cells of the layers with a window.
    pub(super) window_cells: u64,
    /// Tokens that are computed at once.
    pub(super) micro_batch: u64,
    /// Sequences that the cache has room for.
    pub(super) sequences: u64,
    /// Most tokens with logits or vectors in one call.
    pub(super) outputs: u64,
    /// The type of keys and values.
    pub(super) kv_type: KvType,
    /// Keys and values are rotated before they are quantized.
    pub(super) is_rotated: bool,
}

impl Shape {
    /// The shape of the context of this model.
    pub(super) fn of(facts: &MemoryFacts, settings: &LoadSettings, sequences: u32) -> Self {
        let is_recurrent = facts.each_layer().any(|layer| layer.state > 0);
        let has_cells = facts.each_layer().any(|layer| layer.key_width > 0);
        if facts.pools() {
            return Self::pooled(facts, settings, has_cells);
        }
        let kept = if is_recurrent { 0 } else { KEPT };
        let sequences = (u64::from(sequences) + kept).min(MOST_SEQUENCES);
        let cells = padded(settings.context.into());
        let micro_batch = u64::from(settings.batch).clamp(1, MICRO_BATCH).min(cells);
        // `llama_kv_cache_iswa`: a window for each sequence, and a micro-batch.
        let window = facts
            .window
            .saturating_mul(sequences)
            .saturating_add(micro_batch);
        let kv_type = settings.kv_type;
        Self {
            cells: if has_cells { cells } else { 0 },
            window_cells: padded(window.min(cells)),
            micro_batch,
            sequences,
            outputs: sequences,
            kv_type,
            is_rotated: kv_type != KvType::F16 && is_rotatable(facts),
        }
    }

    /// Whole texts are computed at once.
    fn pooled(facts: &MemoryFacts, settings: &LoadSettings, has_cells: bool) -> Self {
        let trained = match facts.context_length {
            0 => LONGEST_TEXT,
            trained => trained,
        };
        let longest = u64::from(settings.context).min(trained).min(LONGEST_TEXT);
        let batch = longest.max(MICRO_BATCH);
        Self {
            cells: if has_cells { padded(batch) } else { 0 },
            window_cells: padded(batch),
            micro_batch: batch,
            sequences: TEXTS,
            outputs: batch,
            kv_type: KvType::F16,
            is_rotated: false,
        }
    }
}

fn padded(cells: u64) -> u64 {
    cells.next_multiple_of(PADDING)
}

/// `llama_kv_cache`: the heads of all layers have one length, a multiple of 64.
fn is_rotatable(facts: &MemoryFacts) -> bool {
    facts.head_length > 0 && facts.head_length.is_multiple_of(64)
}
