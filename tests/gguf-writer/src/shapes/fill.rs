//! The values of tensors: bytes of blocks, as `ggml-common.h` of llama.cpp lays them out.

use crate::TensorType;
use crate::qwen3::half;
use crate::tiny::Random;

use super::Plan;

/// The values of a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fill {
    /// One value everywhere.
    Constant(f32),
    /// Around zero, at most this large.
    Random(f32),
}

/// How many values one block of a type has, and how many bytes.
pub(super) fn block(kind: TensorType) -> (u64, u64) {
    match kind {
        TensorType::F32 | TensorType::I32 => (1, 4),
        TensorType::F16 | TensorType::BF16 => (1, 2),
        TensorType::Q4_0 => (32, 18),
        TensorType::Q4_1 => (32, 20),
        TensorType::Q8_0 => (32, 34),
        TensorType::Q4_K => (256, 144),
        TensorType::Q6_K => (256, 210),
    }
}

/// The bytes of a tensor.
pub(super) fn bytes(plan: &Plan, random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(plan.bytes() as usize);
    let values: u64 = plan.dims.iter().product();
    let (each, _) = block(plan.kind);
    for _ in 0..values / each {
        match (plan.fill, plan.kind) {
            (Fill::Constant(value), _) => bytes.extend(value.to_le_bytes()),
            (Fill::Random(reach), TensorType::F32) => {
                bytes.extend((random.value() * reach).to_le_bytes());
            }
            (Fill::Random(reach), TensorType::F16) => {
                bytes.extend(half::bits(random.value() * reach).to_le_bytes());
            }
            (Fill::Random(reach), kind) => quantized(kind, reach, random, &mut bytes),
        }
    }
    bytes
}

/// One block of random integers, with scales that keep its values within `reach`.
fn quantized(kind: TensorType, reach: f32, random: &mut Random, bytes: &mut Vec<u8>) {
    let scale = |steps: f32| half::bits(reach / steps).to_le_bytes();
    match kind {
        TensorType::Q8_0 => {
            bytes.extend(scale(127.0));
            random.bytes(32, bytes);
        }
        TensorType::Q4_0 => {
            bytes.extend(scale(8.0));
            random.bytes(16, bytes);
        }
        TensorType::Q4_K => {
            // The least value of a group of 32 is the scale of the least values times 32, its step the other scale times 32.
            bytes.extend(scale(8.0 * 32.0));
            bytes.extend(scale(32.0));
            bytes.extend([32; 12]);
            random.bytes(128, bytes);
        }
        TensorType::Q6_K => {
            random.bytes(192, bytes);
            bytes.extend([1; 16]);
            bytes.extend(scale(32.0));
        }
        _ => unreachable!("the shapes have no tensors of this type"),
    }
}
