//! A complete, valid model with random weights, small enough for every test.
//!
//! Architecture `llama`, two layers, 64 wide, `F32`, under half a megabyte.
//! Its vocabulary has a token for every byte, so any text can be tokenized, and a few pieces that join,
//! so that a text has fewer tokens than bytes.
//! Its chat template is ChatML.
//! Its answers are nonsense, but the same nonsense for the same seed.

use crate::{Tensor, TensorType, Value, Writer};

const WIDTH: u64 = 64;
const HEADS: u64 = 4;
const KV_HEADS: u64 = 2;
const HEAD_WIDTH: u64 = WIDTH / HEADS;
const FEED_FORWARD: u64 = 128;
const LAYERS: u32 = 2;

/// The context length that the model states.
pub const CONTEXT_LENGTH: u32 = 2048;
/// The id of `<unk>`.
pub const UNKNOWN: u32 = 0;
/// The id of `<|im_start|>`, which is also the first token of every text.
pub const BEGIN: u32 = 1;
/// The id of `<|im_end|>`, which ends an answer.
pub const END: u32 = 2;
/// The id of the token for byte 0; the token of byte `b` is this plus `b`.
pub const FIRST_BYTE: u32 = 3;

/// Pieces of one letter.
const LETTERS: &str = "▁etaoinshrdlcumwfgypbvkxjqz.,!?'-:0123456789ETAOINSHRDLCUMWFGYPBVK";
/// Pieces joined from two earlier ones, by rank.
const JOINED: &[&str] = &[
    "▁t", "he", "in", "an", "▁a", "re", "er", "on", "is", "▁s", "ou", "▁w", "▁the", "ll", "▁is",
    "ing", "▁an", "and", "▁and", "lo", "▁h", "hello", "ello", "llo", "sk", "sky", "▁sky", "lu",
];

/// The chat template.
pub const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// The bytes of the model whose weights come from `seed`.
///
/// With greedy sampling its answers are printable ASCII and never end:
/// the weights of control tokens and other bytes are zero.
#[must_use]
pub fn llama(seed: u64) -> Vec<u8> {
    writer(seed).to_bytes()
}

/// The same model with its matrices in `Q8_0`, which processors with AMX multiply in tiles.
#[must_use]
pub fn llama_q8_0(seed: u64) -> Vec<u8> {
    let plain = writer(seed);
    let tensors = plain.tensors().to_vec();
    let add = |writer: Writer, tensor: Tensor| match tensor.dims.len() {
        2 => writer.tensor(q8_0(&tensor)),
        _ => writer.tensor(tensor),
    };
    let quantized = tensors.into_iter().fold(plain.without_tensors(), add);
    quantized.to_bytes()
}

/// Blocks of a scale in half precision and 32 bytes, `block_q8_0` in llama.cpp's `ggml-common.h`. One scale is enough for all weights here.
fn q8_0(tensor: &Tensor) -> Tensor {
    const SCALE: f32 = 1.0 / 64.0;
    const SCALE_BITS: u16 = 0x2400;
    let values = tensor.data.chunks_exact(4).map(|bytes| {
        let value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        (value / SCALE).round() as i8
    });
    let values: Vec<u8> = values.map(i8::cast_unsigned).collect();
    let blocks = values.chunks_exact(32);
    let data = blocks.flat_map(|block| [&SCALE_BITS.to_le_bytes(), block].concat());
    let name = String::from_utf8_lossy(&tensor.name);
    Tensor::new(&name, &tensor.dims, TensorType::Q8_0, data.collect())
}

/// The writer of the same model, for tests that change it.
#[must_use]
pub fn writer(seed: u64) -> Writer {
    writer_of("llama", seed)
}

/// The same model under another architecture of the same tensors.
#[must_use]
pub(crate) fn writer_of(architecture: &str, seed: u64) -> Writer {
    let vocabulary = vocabulary();
    let size = vocabulary.len() as u64;
    let mut random = Random::new(seed);
    let mut writer = describe(Writer::new(), architecture);
    writer = tokenizer(writer, &vocabulary);
    // As large as the output of the layers, so that the last token influences the next one.
    let embedding = random.values(WIDTH * size, 1);
    writer = writer.tensor(Tensor::f32("token_embd.weight", &[WIDTH, size], &embedding));
    for layer in 0..LAYERS {
        writer = block(writer, layer, &mut random);
    }
    writer = writer.tensor(ones("output_norm.weight"));
    let output = random.values(WIDTH * size, WIDTH);
    let output = silence(output, &vocabulary);
    writer.tensor(Tensor::f32("output.weight", &[WIDTH, size], &output))
}

fn describe(writer: Writer, architecture: &str) -> Writer {
    let key = |rest: &str| format!("{architecture}.{rest}");
    writer
        .kv("general.architecture", architecture)
        .kv("general.type", "model")
        .kv("general.name", "tiny")
        .kv("general.file_type", 0_u32)
        .kv(&key("block_count"), LAYERS)
        .kv(&key("context_length"), CONTEXT_LENGTH)
        .kv(&key("embedding_length"), WIDTH as u32)
        .kv(&key("feed_forward_length"), FEED_FORWARD as u32)
        .kv(&key("attention.head_count"), HEADS as u32)
        .kv(&key("attention.head_count_kv"), KV_HEADS as u32)
        .kv(&key("attention.layer_norm_rms_epsilon"), 1e-5_f32)
        .kv(&key("rope.dimension_count"), HEAD_WIDTH as u32)
        .kv(&key("rope.freq_base"), 10_000_f32)
}

/// Adds the model's vocabulary to another architecture, with `more` unused tokens at its end.
pub(crate) fn with_vocabulary(writer: Writer, more: usize) -> Writer {
    let mut vocabulary = vocabulary();
    vocabulary.extend((0..more).map(|number| Token {
        text: format!("<more {number}>"),
        score: 0.0,
        kind: TokenKind::Normal,
    }));
    tokenizer(writer, &vocabulary).without("llama.vocab_size")
}

/// The number of tokens.
pub(crate) fn size() -> u64 {
    vocabulary().len() as u64
}

fn tokenizer(writer: Writer, vocabulary: &[Token]) -> Writer {
    let texts: Vec<&str> = vocabulary.iter().map(|token| token.text.as_str()).collect();
    let scores: Vec<f32> = vocabulary.iter().map(|token| token.score).collect();
    let kinds: Vec<i32> = vocabulary.iter().map(|token| token.kind as i32).collect();
    writer
        .kv("llama.vocab_size", vocabulary.len() as u32)
        .kv("tokenizer.ggml.model", "llama")
        .kv("tokenizer.ggml.tokens", Value::from(texts))
        .kv("tokenizer.ggml.scores", Value::from(scores))
        .kv("tokenizer.ggml.token_type", Value::from(kinds))
        .kv("tokenizer.ggml.unknown_token_id", UNKNOWN)
        .kv("tokenizer.ggml.bos_token_id", BEGIN)
        .kv("tokenizer.ggml.eos_token_id", END)
        .kv("tokenizer.ggml.add_bos_token", true)
        .kv("tokenizer.ggml.add_eos_token", false)
        .kv("tokenizer.ggml.add_space_prefix", false)
        .kv("tokenizer.chat_template", CHAT_TEMPLATE)
}

fn block(writer: Writer, layer: u32, random: &mut Random) -> Writer {
    let name = |part: &str| format!("blk.{layer}.{part}.weight");
    let kv_width = KV_HEADS * HEAD_WIDTH;
    writer
        .tensor(ones(&name("attn_norm")))
        .tensor(random.matrix(&name("attn_q"), &[WIDTH, WIDTH]))
        .tensor(random.matrix(&name("attn_k"), &[WIDTH, kv_width]))
        .tensor(random.matrix(&name("attn_v"), &[WIDTH, kv_width]))
        .tensor(random.matrix(&name("attn_output"), &[WIDTH, WIDTH]))
        .tensor(ones(&name("ffn_norm")))
        .tensor(random.matrix(&name("ffn_gate"), &[WIDTH, FEED_FORWARD]))
        .tensor(random.matrix(&name("ffn_up"), &[WIDTH, FEED_FORWARD]))
        .tensor(random.matrix(&name("ffn_down"), &[FEED_FORWARD, WIDTH]))
}

fn ones(name: &str) -> Tensor {
    Tensor::f32(name, &[WIDTH], &[1.0; WIDTH as usize])
}

/// Zeroes the output rows of tokens that would end or spoil a greedy answer.
fn silence(mut output: Vec<f32>, vocabulary: &[Token]) -> Vec<f32> {
    for (row, token) in output.chunks_mut(WIDTH as usize).zip(vocabulary) {
        if token.kind != TokenKind::Normal {
            row.fill(0.0);
        }
    }
    output
}

/// The token types of the format.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TokenKind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    Byte = 6,
}

struct Token {
    text: String,
    score: f32,
    kind: TokenKind,
}

fn vocabulary() -> Vec<Token> {
    let token = |text: String, score: f32, kind: TokenKind| Token { text, score, kind };
    let special = [
        token("<unk>".to_owned(), 0.0, TokenKind::Unknown),
        token("<|im_start|>".to_owned(), 0.0, TokenKind::Control),
        token("<|im_end|>".to_owned(), 0.0, TokenKind::Control),
    ];
    let bytes = (0..=u8::MAX).map(|byte| token(format!("<0x{byte:02X}>"), 0.0, TokenKind::Byte));
    let letters = LETTERS
        .chars()
        .map(|letter| token(letter.to_string(), -1000.0, TokenKind::Normal));
    let joined = JOINED
        .iter()
        .zip(1_u16..)
        .map(|(text, rank)| token((*text).to_owned(), -f32::from(rank), TokenKind::Normal));
    special
        .into_iter()
        .chain(bytes)
        .chain(letters)
        .chain(joined)
        .collect()
}

/// SplitMix64: eight lines that give the same numbers on every machine.
pub(crate) struct Random(u64);

impl Random {
    /// Numbers that depend on `seed` alone.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x9E37_79B9_7F4A_7C15)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform values around zero, with the variance that keeps a layer's output as large as its input.
    pub(crate) fn values(&mut self, count: u64, inputs: u64) -> Vec<f32> {
        let reach = (3.0 / inputs as f32).sqrt();
        (0..count).map(|_| self.value() * reach).collect()
    }

    /// Appends random bytes.
    pub(crate) fn bytes(&mut self, count: usize, out: &mut Vec<u8>) {
        let end = out.len() + count;
        while out.len() < end {
            let bytes = self.next().to_le_bytes();
            let missing = end - out.len();
            out.extend(&bytes[..missing.min(bytes.len())]);
        }
    }

    /// One uniform value from -1 to 1.
    pub(crate) fn value(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    }

    /// A matrix of such values.
    pub(crate) fn matrix(&mut self, name: &str, dims: &[u64; 2]) -> Tensor {
        let values = self.values(dims[0] * dims[1], dims[0]);
        Tensor::f32(name, dims, &values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_small_model() {
        let model = llama(7);
        assert_eq!(model, llama(7));
        assert_ne!(model, llama(8));
        assert!(model.len() < 1_000_000, "{} bytes", model.len());
    }

    #[test]
    fn no_token_is_repeated() {
        let mut texts: Vec<_> = vocabulary().into_iter().map(|token| token.text).collect();
        let all = texts.len();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), all);
    }
}
