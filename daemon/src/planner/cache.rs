//! The KV cache and the recurrent states.
//!
//! `llama_kv_cache`, `llama_kv_cache_iswa` and `llama_memory_recurrent` of llama.cpp's `src`.
//! All sequences share one pool of cells. A layer keeps its cells where it is computed.

use registry::memory::{LayerFacts, MemoryFacts};

use super::offload::layer_count;
use super::shape::Shape;
use super::{Offload, PartKind, Prediction};

/// Bytes of a number of a recurrent state.
const F32: u64 = 4;

pub(super) fn add(
    model: &MemoryFacts,
    shape: &Shape,
    offload: &Offload,
    prediction: &mut Prediction,
) {
    let layers = layer_count(model);
    for (number, layer) in (0..).zip(model.each_layer()) {
        let device = offload.device_of(number, layers);
        prediction.add(PartKind::KvCache, &device, layer_bytes(layer, shape));
    }
}

fn layer_bytes(layer: &LayerFacts, shape: &Shape) -> u64 {
    let cells = match layer.windowed {
        true => shape.window_cells.min(shape.cells),
        false => shape.cells,
    };
    // llama.cpp refuses rows that are not whole blocks; such a model is not loaded at all.
    let row = |values| shape.kv_type.row_bytes(values).unwrap_or(0);
    let row = row(layer.key_width).saturating_add(row(layer.value_width));
    let state = layer
        .state
        .saturating_mul(F32)
        .saturating_mul(shape.sequences);
    cells.saturating_mul(row).saturating_add(state)
}
