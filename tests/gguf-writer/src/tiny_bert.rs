//! A complete, valid encoder with random weights: texts in, vectors or scores out.
//!
//! Architecture `bert`, two layers, 32 wide, `F32`, under a hundred kilobytes.
//! Its vocabulary is that of a WordPiece tokenizer: a few words, and every lower-case letter and digit alone and inside a word.

use crate::tiny::Random;
use crate::{Tensor, Value, Writer};

/// The width of the model, and of its vectors.
pub const WIDTH: u64 = 32;
/// The longest text, in tokens.
pub const CONTEXT_LENGTH: u32 = 128;

pub(crate) const HEADS: u32 = 4;
pub(crate) const FEED_FORWARD: u64 = 64;
pub(crate) const LAYERS: u32 = 2;

/// The special tokens in the order of their ids: padding, unknown, begin, separator, mask.
pub const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// The id of `[CLS]`, which begins every text.
pub const BEGIN: u32 = 2;
/// The id of `[SEP]`, which ends every text.
pub const SEPARATOR: u32 = 3;

/// Words that are one token.
const WORDS: [&str; 12] = [
    "the", "sky", "is", "blue", "grass", "green", "why", "hello", "world", "cat", "dog", "and",
];

/// The pooling, by the numbers of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Pooling {
    /// The mean of the tokens' vectors.
    Mean = 1,
    /// The vector of the first token.
    First = 2,
    /// A score for a pair of texts.
    Rank = 4,
    /// A number that the format does not define.
    Unknown = 9,
}

/// The bytes of the model whose weights come from `seed`.
#[must_use]
pub fn bert(seed: u64, pooling: Pooling) -> Vec<u8> {
    writer(seed, pooling).to_bytes()
}

/// A model without keys for the tokens that start and end a text, and without such tokens at the usual ids.
#[must_use]
pub fn without_special_tokens(seed: u64) -> Vec<u8> {
    weights(seed, Pooling::Mean, false).to_bytes()
}

/// The writer of the same model, for tests that change it.
#[must_use]
pub fn writer(seed: u64, pooling: Pooling) -> Writer {
    weights(seed, pooling, true)
}

fn weights(seed: u64, pooling: Pooling, special: bool) -> Writer {
    let tokens = vocabulary();
    let size = tokens.len() as u64;
    let mut random = Random::new(seed);
    let mut writer = tokenizer(describe(Writer::new(), pooling), &tokens);
    if special {
        writer = special_tokens(writer);
    }
    let embeddings = [
        ("token_embd.weight", size),
        ("token_types.weight", 2),
        ("position_embd.weight", u64::from(CONTEXT_LENGTH)),
    ];
    for (name, rows) in embeddings {
        let values = random.values(WIDTH * rows, 1);
        writer = writer.tensor(Tensor::f32(name, &[WIDTH, rows], &values));
    }
    writer = norm(writer, "token_embd_norm");
    for layer in 0..LAYERS {
        writer = block(writer, layer, &mut random);
    }
    if pooling == Pooling::Rank {
        writer = linear(writer, "cls", WIDTH, WIDTH, &mut random);
        writer = linear(writer, "cls.output", WIDTH, 1, &mut random);
    }
    writer
}

fn describe(writer: Writer, pooling: Pooling) -> Writer {
    writer
        .kv("general.architecture", "bert")
        .kv("general.type", "model")
        .kv("general.name", "tiny bert")
        .kv("general.file_type", 0_u32)
        .kv("bert.block_count", LAYERS)
        .kv("bert.context_length", CONTEXT_LENGTH)
        .kv("bert.embedding_length", WIDTH as u32)
        .kv("bert.feed_forward_length", FEED_FORWARD as u32)
        .kv("bert.attention.head_count", HEADS)
        .kv("bert.attention.layer_norm_epsilon", 1e-12_f32)
        .kv("bert.attention.causal", false)
        .kv("bert.pooling_type", pooling as u32)
}

fn tokenizer(writer: Writer, tokens: &[String]) -> Writer {
    let kinds: Vec<i32> = tokens
        .iter()
        .map(|token| if is_special(token) { 3 } else { 1 })
        .collect();
    let texts: Vec<&str> = tokens.iter().map(String::as_str).collect();
    writer
        .kv("tokenizer.ggml.model", "bert")
        .kv("tokenizer.ggml.tokens", Value::from(texts))
        .kv("tokenizer.ggml.token_type", Value::from(kinds))
        .kv("tokenizer.ggml.token_type_count", 2_u32)
}

/// Adds the model's vocabulary to another shape, with `more` unused tokens at its end.
pub(crate) fn with_vocabulary(writer: Writer, more: usize) -> Writer {
    let mut tokens = vocabulary();
    tokens.extend((0..more).map(|number| format!("▁more{number}")));
    special_tokens(tokenizer(writer, &tokens))
}

fn special_tokens(writer: Writer) -> Writer {
    writer
        .kv("tokenizer.ggml.padding_token_id", 0_u32)
        .kv("tokenizer.ggml.unknown_token_id", 1_u32)
        .kv("tokenizer.ggml.bos_token_id", BEGIN)
        .kv("tokenizer.ggml.cls_token_id", BEGIN)
        .kv("tokenizer.ggml.seperator_token_id", SEPARATOR)
        .kv("tokenizer.ggml.mask_token_id", 4_u32)
}

fn is_special(token: &str) -> bool {
    SPECIAL.contains(&token)
}

/// Words begin with the mark of a space, pieces inside words do not.
pub(crate) fn vocabulary() -> Vec<String> {
    let letters = || ('a'..='z').chain('0'..='9');
    let special = SPECIAL.iter().map(|token| (*token).to_owned());
    special
        .chain(WORDS.iter().map(|word| format!("▁{word}")))
        .chain(letters().map(|letter| format!("▁{letter}")))
        .chain(letters().map(String::from))
        .collect()
}

fn block(mut writer: Writer, layer: u32, random: &mut Random) -> Writer {
    let name = |part: &str| format!("blk.{layer}.{part}");
    for part in ["attn_q", "attn_k", "attn_v", "attn_output"] {
        writer = linear(writer, &name(part), WIDTH, WIDTH, random);
    }
    writer = norm(writer, &name("attn_output_norm"));
    writer = linear(writer, &name("ffn_up"), WIDTH, FEED_FORWARD, random);
    writer = linear(writer, &name("ffn_down"), FEED_FORWARD, WIDTH, random);
    norm(writer, &name("layer_output_norm"))
}

fn linear(writer: Writer, name: &str, inputs: u64, outputs: u64, random: &mut Random) -> Writer {
    let bias = random.values(outputs, 100);
    writer
        .tensor(random.matrix(&format!("{name}.weight"), &[inputs, outputs]))
        .tensor(Tensor::f32(&format!("{name}.bias"), &[outputs], &bias))
}

fn norm(writer: Writer, name: &str) -> Writer {
    let values = |value: f32| vec![value; WIDTH as usize];
    writer
        .tensor(Tensor::f32(
            &format!("{name}.weight"),
            &[WIDTH],
            &values(1.0),
        ))
        .tensor(Tensor::f32(&format!("{name}.bias"), &[WIDTH], &values(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_small_model() {
        let model = bert(7, Pooling::Mean);
        assert_eq!(model, bert(7, Pooling::Mean));
        assert_ne!(model, bert(8, Pooling::Mean));
        assert!(model.len() < 200_000, "{} bytes", model.len());
    }

    #[test]
    fn no_token_is_repeated() {
        let mut tokens = vocabulary();
        let all = tokens.len();
        tokens.sort();
        tokens.dedup();
        assert_eq!(tokens.len(), all);
    }
}
