//! Writes GGUF files for tests: well-formed ones, a tiny model that really runs and projectors of images and adapters for it, tiny models in Ollama's own layouts, one of a real shape and some of many architectures to measure with, and hostile ones.
//!
//! The format is the one that llama.cpp's `ggml/src/gguf.cpp` reads: a magic, a version, two counts,
//! key-value pairs, tensor descriptions, padding, tensor data.
//! [`Writer`] writes whatever it is given, lies included, because most of its users test that a lie is refused.

pub mod foreign;
pub mod hostile;
mod lora;
pub mod qwen3;
pub mod shapes;
pub mod small;
pub mod tiny;
pub mod tiny_bert;
pub mod tiny_folder;
mod value;
pub mod vision;
mod writer;

pub use lora::lora;
pub use value::{Value, ValueType};
pub use writer::{Endian, Tensor, TensorType, Writer};
