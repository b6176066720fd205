//! LoRA adapters.

use crate::{Tensor, Writer};

/// An adapter of rank 1 for a square matrix of this width. Adapters with another `period` have other values.
pub fn lora(architecture: &str, tensor: &str, width: u64, period: u64) -> Vec<u8> {
    let value = |at: u64| (at % period) as f32 / period as f32 - 0.4;
    let values: Vec<f32> = (0..width).map(value).collect();
    let half = |name: &str, dims| Tensor::f32(&format!("{tensor}.{name}"), dims, &values);
    Writer::new()
        .kv("general.type", "adapter")
        .kv("general.architecture", architecture)
        .kv("adapter.type", "lora")
        .kv("adapter.lora.alpha", 8.0_f32)
        .tensor(half("lora_a", &[width, 1]))
        .tensor(half("lora_b", &[1, width]))
        .to_bytes()
}
