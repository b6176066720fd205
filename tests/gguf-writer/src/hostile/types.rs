//! G4: types that do not exist, and known keys of the wrong type or with impossible values.

use super::{Hostile, hostile};
use crate::{Tensor, Value, ValueType, Writer, small};

const ARRAY: u32 = 9;

pub(super) fn files() -> Vec<Hostile> {
    let replaced = wrong_keys()
        .into_iter()
        .map(|(name, key, value)| (name, small::writer().replace(key, value)));
    unknown()
        .into_iter()
        .chain(replaced)
        .map(|(name, writer)| hostile(name, "G4", &writer))
        .collect()
}

fn unknown() -> Vec<(&'static str, Writer)> {
    let raw = |type_id, payload: &[u8]| {
        let payload = payload.to_vec();
        small::writer().kv("x", Value::Raw { type_id, payload })
    };
    let array = |type_id| small::writer().kv("x", Value::lying_array(type_id, 1, &[0; 16]));
    let tensor = |kind: u32| small::writer().tensor(Tensor::new("x", &[256], kind, vec![0; 2048]));
    vec![
        ("value_type_13", raw(13, &[0; 8])),
        ("value_type_minus_1", raw(u32::MAX, &[0; 8])),
        ("array_of_type_13", array(13)),
        ("array_of_type_minus_1", array(u32::MAX)),
        ("array_of_arrays", array(ARRAY)),
        ("array_of_arrays_a_hundred_deep", a_hundred_deep()),
        ("truth_value_2", raw(ValueType::Bool as u32, &[2])),
        ("truth_value_255_in_an_array", truth_value_in_an_array()),
        ("tensor_type_4_is_gone", tensor(4)),
        ("tensor_type_31_is_gone", tensor(31)),
        ("tensor_type_36_is_gone", tensor(36)),
        ("tensor_type_43", tensor(43)),
        ("tensor_type_999", tensor(999)),
        ("tensor_type_minus_1", tensor(u32::MAX)),
        (
            "key_is_not_text",
            small::writer().kv_bytes(b"x\xff\xfe", 1_u32),
        ),
        (
            "value_is_not_text",
            small::writer().kv("x", Value::Bytes(vec![0xC3, 0x28])),
        ),
        ("tensor_name_is_not_text", tensor_name_is_not_text()),
    ]
}

fn wrong_keys() -> Vec<(&'static str, &'static str, Value)> {
    const BLOCKS: &str = "llama.block_count";
    const EPSILON: &str = "llama.attention.layer_norm_rms_epsilon";
    const ARCHITECTURE: &str = "general.architecture";
    const TOKENS: &str = "tokenizer.ggml.tokens";
    vec![
        ("architecture_is_a_number", ARCHITECTURE, 1_u32.into()),
        ("architecture_is_empty", ARCHITECTURE, "".into()),
        (
            "architecture_is_a_path",
            ARCHITECTURE,
            "../../etc/passwd".into(),
        ),
        ("architecture_is_long", ARCHITECTURE, "a".repeat(65).into()),
        ("block_count_is_text", BLOCKS, "1".into()),
        ("block_count_is_a_fraction", BLOCKS, 1_f32.into()),
        ("block_count_is_64_bits_wide", BLOCKS, 1_u64.into()),
        ("block_count_is_an_array", BLOCKS, vec![1_u32].into()),
        ("block_count_0", BLOCKS, 0_u32.into()),
        ("block_count_513", BLOCKS, 513_u32.into()),
        ("block_count_a_billion", BLOCKS, 1_000_000_000_u32.into()),
        ("context_length_0", "llama.context_length", 0_u32.into()),
        (
            "context_length_is_negative",
            "llama.context_length",
            (-1_i32).into(),
        ),
        ("embedding_length_0", "llama.embedding_length", 0_u32.into()),
        (
            "head_count_is_text",
            "llama.attention.head_count",
            "four".into(),
        ),
        (
            "head_count_is_an_array_of_text",
            "llama.attention.head_count",
            vec!["4"].into(),
        ),
        ("epsilon_is_nan", EPSILON, f32::NAN.into()),
        ("epsilon_0", EPSILON, 0_f32.into()),
        ("epsilon_is_negative", EPSILON, (-1e-5_f32).into()),
        ("epsilon_is_infinite", EPSILON, f32::INFINITY.into()),
        ("epsilon_is_64_bits_wide", EPSILON, 1e-5_f64.into()),
        (
            "layer_norm_epsilon_is_nan",
            "llama.attention.layer_norm_epsilon",
            f32::NAN.into(),
        ),
        ("experts_1025", "llama.expert_count", 1025_u32.into()),
        (
            "experts_used_without_experts",
            "llama.expert_used_count",
            2_u32.into(),
        ),
        (
            "expert_groups_without_experts",
            "llama.expert_group_count",
            2_u32.into(),
        ),
        (
            "more_predicted_layers_than_layers",
            "llama.nextn_predict_layers",
            2_u32.into(),
        ),
        (
            "rope_scaling_unknown",
            "llama.rope.scaling.type",
            "quadratic".into(),
        ),
        ("file_type_is_text", "general.file_type", "Q8_0".into()),
        (
            "alignment_is_64_bits_wide",
            "general.alignment",
            32_u64.into(),
        ),
        ("alignment_is_text", "general.alignment", "32".into()),
        (
            "alignment_is_an_array",
            "general.alignment",
            vec![32_u32].into(),
        ),
        ("split_count_is_32_bits_wide", "split.count", 2_u32.into()),
        (
            "chat_template_is_an_array",
            "tokenizer.chat_template",
            vec!["a"].into(),
        ),
        ("tokens_is_text", TOKENS, "abc".into()),
        ("tokens_are_numbers", TOKENS, vec![1_u32; 5].into()),
        (
            "scores_are_bytes",
            "tokenizer.ggml.scores",
            vec![0_u8; 5].into(),
        ),
        (
            "scores_is_one_number",
            "tokenizer.ggml.scores",
            0_f32.into(),
        ),
        (
            "token_types_are_bytes",
            "tokenizer.ggml.token_type",
            vec![1_u8; 5].into(),
        ),
        (
            "token_types_are_fractions",
            "tokenizer.ggml.token_type",
            vec![1_f32; 5].into(),
        ),
        (
            "merges_are_numbers",
            "tokenizer.ggml.merges",
            vec![1_i32].into(),
        ),
        (
            "charsmap_is_text",
            "tokenizer.ggml.precompiled_charsmap",
            "abc".into(),
        ),
        (
            "token_id_is_text",
            "tokenizer.ggml.bos_token_id",
            "<s>".into(),
        ),
        (
            "token_id_is_signed",
            "tokenizer.ggml.bos_token_id",
            1_i32.into(),
        ),
        (
            "add_bos_is_a_number",
            "tokenizer.ggml.add_bos_token",
            1_u32.into(),
        ),
    ]
}

/// Nested arrays.
fn a_hundred_deep() -> Writer {
    let mut payload = Vec::new();
    for _ in 0..100 {
        payload.extend(ARRAY.to_le_bytes());
        payload.extend(1_u64.to_le_bytes());
    }
    let type_id = ARRAY;
    small::writer().kv("x", Value::Raw { type_id, payload })
}

fn truth_value_in_an_array() -> Writer {
    let bools = ValueType::Bool as u32;
    small::writer().kv("x", Value::lying_array(bools, 3, &[0, 1, 255]))
}

fn tensor_name_is_not_text() -> Writer {
    small::writer().tensor(Tensor {
        name: vec![b'x', 0xFF],
        ..Tensor::f32("x", &[1], &[0.0])
    })
}
