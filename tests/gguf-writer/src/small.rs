//! A well-formed file of about two kilobytes: the base of most hostile files.
//!
//! It claims to be a model and obeys every rule, but no engine would run it.

use crate::{Endian, Tensor, TensorType, Value, Writer};

/// The tensors' names, in the file's order.
pub const TENSORS: [&str; 3] = ["token_embd.weight", "output_norm.weight", "output.weight"];
/// The width of the model.
pub const WIDTH: u64 = 32;
/// The tokens.
pub const TOKENS: [&str; 5] = ["<unk>", "<s>", "</s>", "a", "b"];

/// The file before it is written.
#[must_use]
pub fn writer() -> Writer {
    metadata(Writer::new())
        .tensor(embedding())
        .tensor(norm())
        .tensor(output())
}

/// The bytes of [`writer`].
#[must_use]
pub fn model() -> Vec<u8> {
    writer().to_bytes()
}

/// The same file in the other byte order.
///
/// Tensor data is unchanged, because no reader interprets it.
#[must_use]
pub fn big_endian() -> Vec<u8> {
    writer().endian(Endian::Big).to_bytes()
}

/// Only the key-value pairs.
pub(crate) fn metadata(writer: Writer) -> Writer {
    writer
        .kv("general.architecture", "llama")
        .kv("general.name", "small")
        .kv("general.file_type", 7_u32)
        .kv("llama.block_count", 1_u32)
        .kv("llama.context_length", 128_u32)
        .kv("llama.embedding_length", WIDTH as u32)
        .kv("llama.attention.head_count", 4_u32)
        .kv("llama.attention.layer_norm_rms_epsilon", 1e-5_f32)
        .kv("tokenizer.ggml.model", "llama")
        .kv("tokenizer.ggml.tokens", Value::from(TOKENS.to_vec()))
        .kv("tokenizer.ggml.scores", vec![0_f32; TOKENS.len()])
        .kv("tokenizer.ggml.token_type", vec![2_i32, 3, 3, 1, 1])
        .kv("tokenizer.ggml.bos_token_id", 1_u32)
        .kv("tokenizer.ggml.eos_token_id", 2_u32)
        .kv("tokenizer.ggml.add_bos_token", true)
        .kv("tokenizer.chat_template", "{{ messages[0].content }}")
}

pub(crate) fn embedding() -> Tensor {
    quantized(TENSORS[0])
}

pub(crate) fn norm() -> Tensor {
    Tensor::f32(TENSORS[1], &[WIDTH], &[1.0; WIDTH as usize])
}

pub(crate) fn output() -> Tensor {
    quantized(TENSORS[2])
}

/// One row of `Q8_0` for each token; each row is one block of a scale and 32 values.
fn quantized(name: &str) -> Tensor {
    let tokens = TOKENS.len();
    Tensor::new(
        name,
        &[WIDTH, tokens as u64],
        TensorType::Q8_0,
        vec![0; 34 * tokens],
    )
}
