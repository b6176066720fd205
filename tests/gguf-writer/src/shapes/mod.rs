//! Models of several architectures and quantizations with random weights, for measuring memory.
//!
//! Memory depends on shapes and types, not on values: these models are large enough to be seen beside the process that loads them,
//! and small enough to be written in a second.

mod fill;
mod layers;

use std::io::{self, Write};

use crate::tiny::{self, Random};
use crate::{Tensor, TensorType, Writer};

use self::fill::Fill;

/// Alignment of tensor data in bytes.
const ALIGNMENT: u64 = 32;

const WIDTH: u64 = 768;
const HEADS: u64 = 12;
const KV_HEADS: u64 = 4;
const HEAD_WIDTH: u64 = 64;
const FEED_FORWARD: u64 = 2048;
const EXPERTS: u64 = 8;
const EXPERT_WIDTH: u64 = 512;
/// Tokens beside those of the tiny model.
const MORE_TOKENS: usize = 3500;
const INNER: u64 = 2 * WIDTH;
const STATE: u64 = 16;
const TIME_STEP: u64 = 64;

/// The architecture of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of llama.cpp")]
pub enum Architecture {
    Llama,
    Qwen3,
    Gemma3,
    Phi3,
    Qwen3Moe,
    Mamba,
    Lfm2,
    Bert,
}

/// The types of a model's matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "the names are those of the format")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Quantization {
    F16,
    Q8_0,
    Q4_0,
    /// Q4_K, and Q6_K for the output and for half of the layers' values and second feed-forward matrices.
    Q4_K_M,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Llama,
        Self::Qwen3,
        Self::Gemma3,
        Self::Phi3,
        Self::Qwen3Moe,
        Self::Mamba,
        Self::Lfm2,
        Self::Bert,
    ];

    /// The name in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen3 => "qwen3",
            Self::Gemma3 => "gemma3",
            Self::Phi3 => "phi3",
            Self::Qwen3Moe => "qwen3moe",
            Self::Mamba => "mamba",
            Self::Lfm2 => "lfm2",
            Self::Bert => "bert",
        }
    }

    fn layers(self) -> u32 {
        match self {
            // Enough for one layer with full attention among those with a window.
            Self::Gemma3 => 12,
            _ => 8,
        }
    }

    /// The longest context that the model states, in tokens.
    #[must_use]
    pub fn context(self) -> u32 {
        match self {
            Self::Bert => 512,
            _ => 32_768,
        }
    }
}

impl Quantization {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::F16, Self::Q8_0, Self::Q4_0, Self::Q4_K_M];

    /// The name that people know it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "F16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_K_M => "Q4_K_M",
        }
    }

    /// `general.file_type`.
    fn file_type(self) -> u32 {
        match self {
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q8_0 => 7,
            Self::Q4_K_M => 15,
        }
    }

    /// The type of a matrix, by its name and the number of its layer.
    fn of(self, name: &str, layer: u32) -> TensorType {
        let precise =
            name.contains("attn_v") || name.contains("ffn_down") || name.contains("attn_qkv");
        match self {
            Self::F16 => TensorType::F16,
            Self::Q8_0 => TensorType::Q8_0,
            Self::Q4_0 => TensorType::Q4_0,
            Self::Q4_K_M if name == "token_embd.weight" => TensorType::Q6_K,
            Self::Q4_K_M if precise && layer.is_multiple_of(2) => TensorType::Q6_K,
            Self::Q4_K_M => TensorType::Q4_K,
        }
    }
}

/// Writes a model. The same arguments give the same bytes.
///
/// # Errors
/// The error of `out`.
pub fn write(
    architecture: Architecture,
    quantization: Quantization,
    out: &mut impl Write,
) -> io::Result<()> {
    let plans = layers::plans(architecture, quantization);
    let header = header(architecture, quantization, &plans);
    out.write_all(&header)?;
    pad(header.len() as u64, out)?;
    let mut random = Random::new(1);
    for plan in &plans {
        out.write_all(&fill::bytes(plan, &mut random))?;
        pad(plan.bytes(), out)?;
    }
    out.flush()
}

/// A tensor to write.
struct Plan {
    name: String,
    dims: Vec<u64>,
    kind: TensorType,
    fill: Fill,
}

impl Plan {
    fn bytes(&self) -> u64 {
        let (values, bytes) = fill::block(self.kind);
        self.dims.iter().product::<u64>() / values * bytes
    }
}

fn header(architecture: Architecture, quantization: Quantization, plans: &[Plan]) -> Vec<u8> {
    let mut writer = tokenizer(architecture, describe(architecture, quantization));
    let mut offset = 0;
    for plan in plans {
        let mut tensor = Tensor::new(&plan.name, &plan.dims, plan.kind, Vec::new());
        tensor.stated_offset = Some(offset);
        offset += plan.bytes().next_multiple_of(ALIGNMENT);
        writer = writer.tensor(tensor);
    }
    writer.header()
}

fn describe(architecture: Architecture, quantization: Quantization) -> Writer {
    let name = architecture.name();
    let key = |rest: &str| format!("{name}.{rest}");
    let writer = Writer::new()
        .padded_to(ALIGNMENT)
        .kv("general.architecture", name)
        .kv("general.type", "model")
        .kv("general.name", "random weights")
        .kv("general.file_type", quantization.file_type())
        .kv(&key("block_count"), architecture.layers())
        .kv(&key("context_length"), architecture.context())
        .kv(&key("embedding_length"), WIDTH as u32)
        .kv(&key("feed_forward_length"), FEED_FORWARD as u32)
        .kv(&key("attention.layer_norm_rms_epsilon"), 1e-6_f32)
        .kv(&key("attention.layer_norm_epsilon"), 1e-6_f32);
    layers::describe(architecture, writer)
}

fn tokenizer(architecture: Architecture, writer: Writer) -> Writer {
    match architecture {
        Architecture::Bert => crate::tiny_bert::with_vocabulary(writer, MORE_TOKENS),
        _ => tiny::with_vocabulary(writer, MORE_TOKENS),
    }
}

/// The number of tokens of a model.
#[must_use]
pub fn vocabulary(architecture: Architecture) -> u64 {
    let own = match architecture {
        Architecture::Bert => crate::tiny_bert::vocabulary().len() as u64,
        _ => tiny::size(),
    };
    own + MORE_TOKENS as u64
}

/// The bytes of one row of the token embeddings.
#[must_use]
pub fn embedding_bytes(quantization: Quantization) -> u64 {
    let (values, bytes) = fill::block(quantization.of("token_embd.weight", 0));
    WIDTH / values * bytes
}

fn pad(written: u64, out: &mut impl Write) -> io::Result<()> {
    let missing = written.next_multiple_of(ALIGNMENT) - written;
    out.write_all(&[0; ALIGNMENT as usize][..missing as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_length_of_its_header() {
        let mut file = Vec::new();
        let (architecture, quantization) = (Architecture::Mamba, Quantization::Q4_K_M);
        write(architecture, quantization, &mut file).expect("memory takes everything");
        let plans = layers::plans(architecture, quantization);
        let header = header(architecture, quantization, &plans).len() as u64;
        let data: u64 = plans
            .iter()
            .map(|plan| plan.bytes().next_multiple_of(ALIGNMENT))
            .sum();
        assert_eq!(file.len() as u64, header.next_multiple_of(ALIGNMENT) + data);
    }

    #[test]
    fn every_row_is_made_of_whole_blocks() {
        for architecture in Architecture::ALL {
            for quantization in Quantization::ALL {
                for plan in layers::plans(architecture, quantization) {
                    let (values, _) = fill::block(plan.kind);
                    assert!(plan.dims[0].is_multiple_of(values), "{}", plan.name);
                }
            }
        }
    }
}
