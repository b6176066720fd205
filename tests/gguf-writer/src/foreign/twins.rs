//! Tensors of the same values under two names, and in two types.

use crate::qwen3::half;
use crate::tiny::Random;
use crate::{Tensor, TensorType, Writer};

/// The values of a tensor.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fill {
    Ones,
    Zeros,
    Random,
}

pub(super) use Fill::{Ones, Zeros};

/// Tensors for two files.
pub(super) struct Twins {
    pub(super) random: Random,
    /// Tensors of Ollama's file.
    pub(super) ollama: Vec<Tensor>,
    /// Tensors of llama.cpp's file.
    pub(super) ours: Vec<Tensor>,
}

impl Twins {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            ollama: Vec::new(),
            ours: Vec::new(),
        }
    }

    pub(super) fn values(&mut self, dims: &[u64], fill: Fill) -> Vec<f32> {
        let count: u64 = dims.iter().product();
        match fill {
            Fill::Ones => vec![1.0; count as usize],
            Fill::Zeros => vec![0.0; count as usize],
            Fill::Random => self.random.values(count, dims[0]),
        }
    }

    /// A tensor that differs only in its name.
    pub(super) fn named(&mut self, ollama: &str, ours: &str, dims: &[u64], fill: Fill) {
        let values = self.values(dims, fill);
        self.ollama.push(Tensor::f32(ollama, dims, &values));
        self.ours.push(Tensor::f32(ours, dims, &values));
    }

    /// A tensor that is equal in both files.
    pub(super) fn same(&mut self, name: &str, dims: &[u64], fill: Fill) {
        self.named(name, name, dims, fill);
    }

    /// Matrices that are equal in both files.
    pub(super) fn matrices(&mut self, prefix: &str, parts: &[(&str, &[u64])]) {
        for (part, dims) in parts {
            self.same(&format!("{prefix}{part}.weight"), dims, Fill::Random);
        }
    }

    /// Norms that are equal in both files.
    pub(super) fn norms(&mut self, prefix: &str, parts: &[(&str, u64)]) {
        for (part, width) in parts {
            self.same(&format!("{prefix}{part}.weight"), &[*width], Ones);
        }
    }

    /// A tensor with 16 bits in Ollama's file and 32 in llama.cpp's.
    pub(super) fn widened(&mut self, ollama: &str, ours: &str, dims: &[u64]) {
        let values = self.halves(dims);
        self.ollama.push(halved(ollama, dims, &values));
        self.ours.push(Tensor::f32(ours, dims, &values));
    }

    /// Values that fit in 16 bits: multiples of 1/64.
    pub(super) fn halves(&mut self, dims: &[u64]) -> Vec<f32> {
        let count: u64 = dims.iter().product();
        // This removes the sign of zero.
        let values = (0..count).map(|_| (self.random.value() * 64.0).round() / 64.0 + 0.0);
        values.collect()
    }
}

/// A tensor of 16 bits.
pub(super) fn halved(name: &str, dims: &[u64], values: &[f32]) -> Tensor {
    let data = values
        .iter()
        .flat_map(|value| half::bits(*value).to_le_bytes());
    Tensor::new(name, dims, TensorType::F16, data.collect())
}

/// Adds tensors to a file.
pub(super) fn with(writer: Writer, tensors: &[Tensor]) -> Writer {
    tensors.iter().cloned().fold(writer, Writer::tensor)
}
