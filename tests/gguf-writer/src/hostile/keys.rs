//! G5: keys and names that are missing, empty or repeated.

use super::{Hostile, hostile};
use crate::{Tensor, Writer, small};

pub(super) fn files() -> Vec<Hostile> {
    let without = |key| small::writer().without(key);
    let tensor = |name: &str| small::writer().tensor(Tensor::f32(name, &[1], &[0.0]));
    [
        ("no_architecture", without("general.architecture")),
        ("no_block_count", without("llama.block_count")),
        ("no_context_length", without("llama.context_length")),
        ("no_embedding_length", without("llama.embedding_length")),
        (
            "keys_of_another_architecture",
            keys_of_another_architecture(),
        ),
        ("no_pairs_at_all", Writer::new().tensor(small::norm())),
        ("nothing_at_all", Writer::new()),
        ("no_tensors", small::writer().without_tensors()),
        (
            "experts_but_none_used",
            small::writer().kv("llama.expert_count", 8_u32),
        ),
        ("key_twice", small::writer().kv("general.name", "another")),
        (
            "key_twice_of_another_type",
            small::writer().kv("llama.block_count", 0_u64),
        ),
        ("key_is_empty", small::writer().kv("", 1_u32)),
        (
            "key_has_a_zero_byte",
            small::writer().kv("general\0x", 1_u32),
        ),
        ("tensor_twice", tensor(small::TENSORS[0])),
        ("tensor_name_is_empty", tensor("")),
        ("tensor_name_has_a_zero_byte", tensor("output\0weight")),
    ]
    .map(|(name, writer)| hostile(name, "G5", &writer))
    .to_vec()
}

fn keys_of_another_architecture() -> Writer {
    small::writer().replace("general.architecture", "qwen3")
}
