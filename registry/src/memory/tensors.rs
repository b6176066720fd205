//! The bytes of groups of tensors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::gguf::{Tensor, TensorType};

/// The table of tokens, which is the matrix of logits as well in a model without [`OUTPUT`].
pub(super) const TOKEN_EMBEDDINGS: &str = "token_embd.weight";

/// Tables that are read by rows.
pub(super) const EMBEDDINGS: &[&str] = &[
    TOKEN_EMBEDDINGS,
    "per_layer_token_embd.weight",
    "position_embd.weight",
    "token_types.weight",
];

/// The matrix that makes logits.
pub(super) const OUTPUT: &[&str] = &["output.weight"];

/// Types that a group lists; beyond, which no real file has, bytes are added to the last one.
const MOST_TYPES: usize = 8;

/// The tensors of a group by their type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tensors(pub Vec<TensorBytes>);

/// The tensors of one type in a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TensorBytes {
    /// The name of the type, such as `Q4_K`.
    pub kind: String,
    /// The bytes of all of them.
    pub bytes: u64,
    /// The bytes of matrices whose rows are a multiple of 8, which llama.cpp's `CPU_REPACK` can take.
    pub matrices_by_8: u64,
    /// The bytes of matrices whose rows are a multiple of 32, which AMX can take.
    pub matrices_by_32: u64,
    /// The bytes of matrices of several experts whose rows are a multiple of 8.
    pub experts_by_8: u64,
}

impl Tensors {
    pub(super) fn sum<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Self {
        let mut sums: BTreeMap<TensorType, TensorBytes> = BTreeMap::new();
        for tensor in tensors {
            let sum = sums.entry(tensor.kind).or_insert_with(|| TensorBytes {
                kind: tensor.kind.name().to_owned(),
                ..TensorBytes::default()
            });
            sum.add(&TensorBytes::one(tensor));
        }
        let mut all = Self::default();
        sums.into_values().for_each(|sum| all.join(sum));
        all
    }

    /// The bytes of all tensors.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, kind| sum.saturating_add(kind.bytes))
    }

    /// Adds the tensors of another file, such as a shard.
    pub fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|sum| self.join(sum.clone()));
    }

    fn join(&mut self, sum: TensorBytes) {
        if let Some(same) = self.0.iter_mut().find(|known| known.kind == sum.kind) {
            same.add(&sum);
        } else if self.0.len() < MOST_TYPES {
            self.0.push(sum);
        } else if let Some(last) = self.0.last_mut() {
            last.add(&sum);
        }
    }
}

impl TensorBytes {
    fn one(tensor: &Tensor) -> Self {
        // A matrix of experts has its rows in the second dimension too.
        let rows = tensor.dims.get(1).copied().unwrap_or(1);
        let of = |unit: u64, dims: usize| {
            let fits = tensor.dims.len() == dims && rows.is_multiple_of(unit);
            if fits { tensor.bytes } else { 0 }
        };
        Self {
            kind: String::new(),
            bytes: tensor.bytes,
            matrices_by_8: of(8, 2),
            matrices_by_32: of(32, 2),
            experts_by_8: of(8, 3),
        }
    }

    fn add(&mut self, other: &Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.matrices_by_8 = self.matrices_by_8.saturating_add(other.matrices_by_8);
        self.matrices_by_32 = self.matrices_by_32.saturating_add(other.matrices_by_32);
        self.experts_by_8 = self.experts_by_8.saturating_add(other.experts_by_8);
    }
}
