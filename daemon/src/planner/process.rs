//! What the process of a runner takes beside the model's buffers.
//!
//! The numbers here are measured (`daemon/examples/prediction.rs`), not derived: they are small, and belong to this build.

use registry::memory::MemoryFacts;

use super::shape::Shape;
use super::{DeviceId, PartKind, Prediction};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Heap and stacks of a runner without a model.
const BASE: u64 = 3 * MIB;
/// Tables of llama.cpp and of the engine for one token: text, score, attributes, and the index by text.
const PER_TOKEN: u64 = 320;
/// The same for one merge of a tokenizer.
const PER_MERGE: u64 = 200;
/// Position, sequences and indices of one cell, in llama.cpp and in the engine.
const PER_CELL: u64 = 100;
/// Results of a projector for one cell of an image.
const PER_IMAGE_CELL: u64 = 64 * KIB;

pub(super) fn add(model: &MemoryFacts, shape: &Shape, prediction: &mut Prediction) {
    let parts = [
        BASE,
        PER_TOKEN.saturating_mul(model.vocabulary),
        PER_MERGE.saturating_mul(model.merges),
        model.vocabulary_bytes,
        PER_CELL.saturating_mul(shape.cells),
    ];
    let bytes = parts.into_iter().fold(0, u64::saturating_add);
    prediction.add(PartKind::Process, &DeviceId::host(), bytes);
    // The logits of the last call, `llama_context::output_reserve`.
    let logits = shape
        .outputs
        .saturating_mul(model.vocabulary)
        .saturating_mul(4);
    if !model.pools() {
        prediction.add(PartKind::Compute, &DeviceId::host(), logits);
    }
}

/// Buffers in which a projector computes an image.
pub(super) fn image_buffers(projector: &MemoryFacts) -> u64 {
    projector.image_cells.saturating_mul(PER_IMAGE_CELL)
}
