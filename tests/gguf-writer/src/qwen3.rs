//! A model of the shape of Qwen3-0.6B with random weights, for measuring.
//!
//! Speed and memory depend on shapes and types, not on values, so this model replaces the real one:
//! the same tensors, a vocabulary of the same size and kind, `F16`, 1.2 GB.
//! llama.cpp's `llama-quantize` makes any other type of it.
//!
//! The file is streamed to the output, because it is too large for memory.

pub(crate) mod half;
mod vocabulary;

use std::io::{self, Write};

use crate::tiny::{CHAT_TEMPLATE, Random};
use crate::{Tensor, TensorType, Value, Writer};

/// Alignment of tensor data in bytes.
const ALIGNMENT: u64 = 32;
/// Spread of the embeddings, small compared with the output of the layers.
/// The output layer is the same matrix, so with large values every token would be followed by itself.
const EMBEDDING_REACH: f32 = 0.05;

/// The dimensions of a model.
#[derive(Debug, Clone, Copy)]
struct Shape {
    layers: u32,
    width: u32,
    heads: u32,
    kv_heads: u32,
    head_width: u32,
    feed_forward: u32,
    context: u32,
    vocabulary: u32,
}

/// Qwen3-0.6B, as its `config.json` says.
const REAL: Shape = Shape {
    layers: 28,
    width: 1024,
    heads: 16,
    kv_heads: 8,
    head_width: 128,
    feed_forward: 3072,
    context: 40_960,
    vocabulary: 151_936,
};

/// A tensor to write.
struct Plan {
    name: String,
    dims: Vec<u64>,
    fill: Fill,
}

/// The values of a tensor.
#[derive(Clone, Copy)]
enum Fill {
    /// A norm's weights, in `F32`.
    Ones,
    /// `F16` values spread evenly from minus to plus this number.
    Random(f32),
    /// The same, with zero rows for tokens that would end or spoil an answer.
    Embeddings,
}

/// Writes the model. The same seed gives the same bytes.
///
/// # Errors
/// The error of `out`.
pub fn write(seed: u64, out: &mut impl Write) -> io::Result<()> {
    write_shape(&REAL, seed, out)
}

fn write_shape(shape: &Shape, seed: u64, out: &mut impl Write) -> io::Result<()> {
    let plans = plans(shape);
    let header = header(shape, &plans);
    out.write_all(&header)?;
    pad(header.len() as u64, out)?;
    let mut random = Random::new(seed);
    for plan in &plans {
        plan.write(&mut random, out)?;
        pad(plan.bytes(), out)?;
    }
    out.flush()
}

fn header(shape: &Shape, plans: &[Plan]) -> Vec<u8> {
    let mut writer = tokenizer(shape, describe(shape));
    let mut offset = 0;
    for plan in plans {
        // Only the description; the data follows later.
        let mut tensor = Tensor::new(&plan.name, &plan.dims, plan.kind(), Vec::new());
        tensor.stated_offset = Some(offset);
        offset += plan.bytes().next_multiple_of(ALIGNMENT);
        writer = writer.tensor(tensor);
    }
    writer.header()
}

fn describe(shape: &Shape) -> Writer {
    Writer::new()
        .padded_to(ALIGNMENT)
        .kv("general.architecture", "qwen3")
        .kv("general.type", "model")
        .kv("general.name", "random weights in the shape of Qwen3-0.6B")
        .kv("general.file_type", 1_u32)
        .kv("qwen3.block_count", shape.layers)
        .kv("qwen3.context_length", shape.context)
        .kv("qwen3.embedding_length", shape.width)
        .kv("qwen3.feed_forward_length", shape.feed_forward)
        .kv("qwen3.attention.head_count", shape.heads)
        .kv("qwen3.attention.head_count_kv", shape.kv_heads)
        .kv("qwen3.attention.key_length", shape.head_width)
        .kv("qwen3.attention.value_length", shape.head_width)
        .kv("qwen3.attention.layer_norm_rms_epsilon", 1e-6_f32)
        .kv("qwen3.rope.freq_base", 1_000_000_f32)
}

fn tokenizer(shape: &Shape, writer: Writer) -> Writer {
    let vocabulary = vocabulary::new(shape.vocabulary as usize);
    let kinds: Vec<i32> = vocabulary.kinds().collect();
    writer
        .kv("tokenizer.ggml.model", "gpt2")
        .kv("tokenizer.ggml.pre", "qwen2")
        .kv("tokenizer.ggml.tokens", Value::from(vocabulary.tokens))
        .kv("tokenizer.ggml.token_type", Value::from(kinds))
        .kv("tokenizer.ggml.merges", Value::from(vocabulary.merges))
        .kv("tokenizer.ggml.bos_token_id", vocabulary.end_of_text)
        .kv("tokenizer.ggml.eos_token_id", vocabulary.end_of_turn)
        .kv("tokenizer.ggml.padding_token_id", vocabulary.end_of_text)
        .kv("tokenizer.ggml.add_bos_token", false)
        .kv("tokenizer.chat_template", CHAT_TEMPLATE)
}

/// All tensors in the order of the file. The embeddings are the output layer too, as in the real model.
fn plans(shape: &Shape) -> Vec<Plan> {
    let width = u64::from(shape.width);
    let head = u64::from(shape.head_width);
    let heads = u64::from(shape.heads) * head;
    let kv_heads = u64::from(shape.kv_heads) * head;
    let feed_forward = u64::from(shape.feed_forward);
    let mut plans = vec![Plan {
        name: "token_embd.weight".to_owned(),
        dims: vec![width, shape.vocabulary.into()],
        fill: Fill::Embeddings,
    }];
    for layer in 0..shape.layers {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        plans.extend([
            ones(name("attn_norm"), width),
            matrix(name("attn_q"), width, heads),
            matrix(name("attn_k"), width, kv_heads),
            matrix(name("attn_v"), width, kv_heads),
            ones(name("attn_q_norm"), head),
            ones(name("attn_k_norm"), head),
            matrix(name("attn_output"), heads, width),
            ones(name("ffn_norm"), width),
            matrix(name("ffn_gate"), width, feed_forward),
            matrix(name("ffn_up"), width, feed_forward),
            matrix(name("ffn_down"), feed_forward, width),
        ]);
    }
    plans.push(ones("output_norm.weight".to_owned(), width));
    plans
}

fn ones(name: String, width: u64) -> Plan {
    Plan {
        name,
        dims: vec![width],
        fill: Fill::Ones,
    }
}

/// A matrix with the variance that keeps a layer's output as large as its input.
fn matrix(name: String, inputs: u64, outputs: u64) -> Plan {
    Plan {
        name,
        dims: vec![inputs, outputs],
        fill: Fill::Random((3.0 / inputs as f32).sqrt()),
    }
}

impl Plan {
    fn kind(&self) -> TensorType {
        match self.fill {
            Fill::Ones => TensorType::F32,
            Fill::Random(_) | Fill::Embeddings => TensorType::F16,
        }
    }

    fn bytes(&self) -> u64 {
        let each = match self.kind() {
            TensorType::F32 => 4,
            _ => 2,
        };
        self.dims.iter().product::<u64>() * each
    }

    fn write(&self, random: &mut Random, out: &mut impl Write) -> io::Result<()> {
        let row = self.dims[0] as usize;
        let rows = self.dims.get(1).copied().unwrap_or(1) as usize;
        let mut bytes = Vec::with_capacity(4 * row);
        for index in 0..rows {
            bytes.clear();
            match self.fill {
                Fill::Ones => {
                    bytes.extend(std::iter::repeat_n(1_f32.to_le_bytes(), row).flatten());
                }
                Fill::Embeddings if !vocabulary::is_spoken(index, rows) => bytes.resize(2 * row, 0),
                Fill::Embeddings => random_row(random, EMBEDDING_REACH, row, &mut bytes),
                Fill::Random(reach) => random_row(random, reach, row, &mut bytes),
            }
            out.write_all(&bytes)?;
        }
        Ok(())
    }
}

fn random_row(random: &mut Random, reach: f32, count: usize, bytes: &mut Vec<u8>) {
    for _ in 0..count {
        bytes.extend(half::bits(random.value() * reach).to_le_bytes());
    }
}

fn pad(written: u64, out: &mut impl Write) -> io::Result<()> {
    let missing = written.next_multiple_of(ALIGNMENT) - written;
    out.write_all(&[0; ALIGNMENT as usize][..missing as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Shape = Shape {
        layers: 2,
        width: 64,
        heads: 4,
        kv_heads: 2,
        head_width: 16,
        feed_forward: 96,
        context: 512,
        vocabulary: 600,
    };

    #[test]
    fn the_file_has_the_length_of_its_header() {
        let mut file = Vec::new();
        write_shape(&SMALL, 1, &mut file).expect("memory takes everything");
        let plans = plans(&SMALL);
        let header = (header(&SMALL, &plans).len() as u64).next_multiple_of(ALIGNMENT);
        let data: u64 = plans
            .iter()
            .map(|plan| plan.bytes().next_multiple_of(ALIGNMENT))
            .sum();
        assert_eq!(file.len() as u64, header + data);
    }

    #[test]
    fn the_same_seed_gives_the_same_file() {
        let file = |seed| {
            let mut file = Vec::new();
            write_shape(&SMALL, seed, &mut file).expect("memory takes everything");
            file
        };
        assert_eq!(file(1), file(1));
        assert_ne!(file(1), file(2));
    }

    #[test]
    fn the_real_shape_has_the_parameters_of_the_real_model() {
        let parameters: u64 = plans(&REAL)
            .iter()
            .map(|plan| plan.dims.iter().product::<u64>())
            .sum();
        assert_eq!(parameters, 596_049_920);
    }
}
