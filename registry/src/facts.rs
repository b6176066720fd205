//! Facts of a file for people and for the scheduler.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::gguf::{GeneralType, Gguf, Metadata, TOKENS, Value};
use crate::memory::MemoryFacts;
use crate::translate::{self, Foreign};

/// Names that are longer are not what people call a model.
const LONGEST_NAME: usize = 256;

/// The facts of one file, small enough to be kept in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// What the file is for.
    pub general_type: GeneralType,
    /// The architecture, for example `llama`; `None` in the later parts of a split model.
    pub architecture: Option<String>,
    /// The name that the model's makers gave it, of at most 256 characters.
    pub name: Option<String>,
    /// The number of values in all tensors.
    pub parameter_count: u64,
    /// The number of tensors in this file.
    pub tensor_count: u64,
    /// How the values are stored, for example `Q4_K_M`.
    pub file_type: String,
    /// The longest context that the model was made for, in tokens.
    pub context_length: Option<u64>,
    /// The width of the model.
    pub embedding_length: Option<u64>,
    /// The number of layers.
    pub block_count: Option<u64>,
    /// The number of attention heads, the greatest if layers differ.
    pub head_count: Option<u64>,
    /// Number of KV heads; the greatest if layers differ.
    pub head_count_kv: Option<u64>,
    /// The width of one head's key, where it is stated.
    pub key_length: Option<u64>,
    /// The width of one head's value, where it is stated.
    pub value_length: Option<u64>,
    /// The number of tokens.
    pub vocabulary: Option<u64>,
    /// The chat template, in Jinja, of at most 1 MiB.
    pub chat_template: Option<String>,
    /// The pooling type, by its number in the file, where it is stated.
    #[serde(default)]
    pub pooling: Option<u64>,
    /// Which part of a split model the file is.
    pub split: Option<Split>,
    /// The layout of Ollama that it is in, if llama.cpp does not read it.
    #[serde(default)]
    pub foreign: Option<Foreign>,
    /// What the memory of the loaded model depends on.
    #[serde(default)]
    pub memory: MemoryFacts,
}

/// The place of a file in a split model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// The part's number, from 0.
    pub number: u64,
    /// The number of parts.
    pub count: u64,
    /// The number of tensors in all parts together.
    pub tensors: u64,
}

impl Gguf {
    /// What people and schedulers want to know of the file.
    #[must_use]
    pub fn facts(&self) -> Facts {
        Facts::of(self)
    }
}

impl Facts {
    fn of(gguf: &Gguf) -> Self {
        let metadata = &gguf.metadata;
        let text = |key: &str| metadata.str(key).map(str::to_owned);
        // The later parts of a split model are not asked for a sensible one.
        let architecture = text("general.architecture").filter(|name| name.len() <= LONGEST_NAME);
        let number = |rest: &str| {
            let architecture = architecture.as_deref()?;
            greatest(metadata.get(&format!("{architecture}.{rest}"))?)
        };
        Self {
            general_type: GeneralType::of(metadata),
            name: text("general.name").map(|name| name.chars().take(LONGEST_NAME).collect()),
            parameter_count: gguf.parameter_count(),
            tensor_count: gguf.tensors.len() as u64,
            file_type: file_type(gguf),
            context_length: number("context_length"),
            embedding_length: number("embedding_length"),
            block_count: number("block_count"),
            head_count: number("attention.head_count"),
            head_count_kv: number("attention.head_count_kv"),
            key_length: number("attention.key_length"),
            value_length: number("attention.value_length"),
            vocabulary: metadata
                .get(TOKENS)
                .and_then(Value::as_array)
                .map(|array| array.len),
            chat_template: text("tokenizer.chat_template"),
            pooling: number("pooling_type"),
            split: split(metadata),
            foreign: translate::recognise(gguf),
            memory: MemoryFacts::of(gguf),
            architecture,
        }
    }

    /// The number of parameters as people write it, for example `134.52M`.
    #[must_use]
    pub fn parameter_size(&self) -> String {
        count_label(self.parameter_count)
    }
}

/// A large count as people write it: `999`, `42K`, `134.52M`, `3.8B`, `2T`.
#[must_use]
pub(crate) fn count_label(count: u64) -> String {
    const STEPS: [(u64, &str, usize); 4] = [
        (1_000_000_000_000, "T", 1),
        (1_000_000_000, "B", 1),
        (1_000_000, "M", 2),
        (1_000, "K", 0),
    ];
    let Some((unit, letter, digits)) = STEPS.into_iter().find(|(unit, ..)| count >= *unit) else {
        return count.to_string();
    };
    if count.is_multiple_of(unit) {
        return format!("{}{letter}", count / unit);
    }
    format!("{:.digits$}{letter}", count as f64 / unit as f64)
}

fn greatest(value: &Value) -> Option<u64> {
    match value {
        Value::Array(array) => array.items.iter().flatten().filter_map(Value::as_u64).max(),
        one => one.as_u64(),
    }
}

fn split(metadata: &Metadata) -> Option<Split> {
    Some(Split {
        number: metadata.u64("split.no")?,
        count: metadata.u64("split.count")?,
        tensors: metadata.u64("split.tensors.count")?,
    })
}

/// The names of `general.file_type`, from `llama_ftype` in llama.cpp's `include/llama.h`.
const FILE_TYPES: &[(u64, &str)] = &[
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (19, "IQ2_XXS"),
    (20, "IQ2_XS"),
    (21, "Q2_K_S"),
    (22, "IQ3_XS"),
    (23, "IQ3_XXS"),
    (24, "IQ1_S"),
    (25, "IQ4_NL"),
    (26, "IQ3_S"),
    (27, "IQ3_M"),
    (28, "IQ2_S"),
    (29, "IQ2_M"),
    (30, "IQ4_XS"),
    (31, "IQ1_M"),
    (32, "BF16"),
    (36, "TQ1_0"),
    (37, "TQ2_0"),
    (38, "MXFP4"),
    (39, "NVFP4"),
    (40, "Q1_0"),
    (41, "Q2_0"),
];

/// The file type that is stated, or the type that most values have.
fn file_type(gguf: &Gguf) -> String {
    let stated = gguf.metadata.u64("general.file_type");
    let named = stated.and_then(|id| FILE_TYPES.iter().find(|(known, _)| *known == id));
    if let Some((_, name)) = named {
        return (*name).to_owned();
    }
    let mut values = HashMap::new();
    for tensor in &gguf.tensors {
        *values.entry(tensor.kind).or_insert(0) += tensor.elements();
    }
    let most = values
        .into_iter()
        .max_by_key(|(kind, count)| (*count, *kind));
    most.map_or_else(|| "unknown".to_owned(), |(kind, _)| kind.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_written_as_people_write_them() {
        let labels = [
            (0, "0"),
            (999, "999"),
            (42_000, "42K"),
            (134_515_008, "134.52M"),
            (7_000_000, "7M"),
            (3_836_021_856, "3.8B"),
            (8_000_000_000, "8B"),
            (1_026_408_232_448, "1.0T"),
        ];
        for (count, label) in labels {
            assert_eq!(count_label(count), label);
        }
    }
}
