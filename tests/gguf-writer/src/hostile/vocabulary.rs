//! G7 and G8: inconsistent vocabularies, and absurdly long tokens.

use super::{Hostile, hostile};
use crate::{Value, Writer, small};

const TOKENS: &str = "tokenizer.ggml.tokens";
const STRING: u32 = 8;

pub(super) fn files() -> Vec<Hostile> {
    [misfits(), long()].concat()
}

fn misfits() -> Vec<Hostile> {
    let id = |key: &str, id: u32| small::writer().replace(&format!("tokenizer.ggml.{key}"), id);
    let size = small::TOKENS.len();
    [
        (
            "bos_is_the_vocabulary_size",
            id("bos_token_id", size as u32),
        ),
        ("eos_minus_1", id("eos_token_id", u32::MAX)),
        ("unknown_token_2_to_31", id("unknown_token_id", 1 << 31)),
        ("padding_far_outside", id("padding_token_id", 1_000_000)),
        ("a_token_id_nobody_knows", id("newest_token_id", 5)),
        (
            "ids_without_tokens",
            small::writer()
                .replace(TOKENS, Vec::<&str>::new())
                .replace("tokenizer.ggml.scores", Vec::<f32>::new())
                .replace("tokenizer.ggml.token_type", Vec::<i32>::new()),
        ),
        (
            "suppressed_token_is_negative",
            small::writer().kv("tokenizer.ggml.suppress_tokens", vec![1_i32, -1]),
        ),
        (
            "suppressed_token_far_down_a_long_list",
            small::writer().kv(
                "tokenizer.ggml.suppress_tokens",
                [vec![1_i32; 5000], vec![5]].concat(),
            ),
        ),
        (
            "id_in_the_last_of_many_lists",
            many_lists().kv("tokenizer.ggml.last_token_ids", vec![1_u32, 5]),
        ),
        (
            "scores_too_few",
            small::writer().replace("tokenizer.ggml.scores", vec![0_f32; size - 1]),
        ),
        (
            "scores_too_many",
            small::writer().replace("tokenizer.ggml.scores", vec![0_f32; size + 1]),
        ),
        (
            "token_types_too_few",
            small::writer().replace("tokenizer.ggml.token_type", vec![1_i32; size - 1]),
        ),
        (
            "token_types_too_many",
            small::writer().replace("tokenizer.ggml.token_type", vec![1_i32; 2 * size]),
        ),
        ("token_twice", tokens(&["<unk>", "<s>", "</s>", "a", "a"])),
        (
            "first_token_again",
            tokens(&["<unk>", "<s>", "</s>", "a", "<unk>"]),
        ),
    ]
    .map(|(name, writer)| hostile(name, "G7", &writer))
    .to_vec()
}

/// More small lists than a reader should keep.
fn many_lists() -> Writer {
    (0..600).fold(small::writer(), |writer, number| {
        writer.kv(&format!("list.{number}"), vec![0_u8; 1024])
    })
}

fn long() -> Vec<Hostile> {
    let long = "x".repeat(65_537);
    let states = |len: u64| {
        let payload = len.to_le_bytes();
        small::writer().replace(TOKENS, Value::lying_array(STRING, 1, &payload))
    };
    [
        (
            "token_of_65537_bytes",
            tokens(&["<unk>", "<s>", "</s>", "a", &long]),
        ),
        ("token_states_2_to_31_bytes", states(1 << 31)),
        ("token_states_2_to_60_bytes", states(1 << 60)),
        (
            "merge_of_65537_bytes",
            small::writer().kv("tokenizer.ggml.merges", vec![long.as_str()]),
        ),
    ]
    .map(|(name, writer)| hostile(name, "G8", &writer))
    .to_vec()
}

fn tokens(tokens: &[&str]) -> Writer {
    small::writer().replace(TOKENS, tokens.to_vec())
}
