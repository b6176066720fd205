//! The load of a model.

use serde::{Deserialize, Serialize};

/// Largest context, in cells. llama.cpp has no such limit; this one catches typing errors.
pub const MAX_CONTEXT: u32 = 1 << 20;

/// Smallest context, in cells.
pub const MIN_CONTEXT: u32 = 4;

/// Most parallel sequences; llama.cpp's own limit.
pub const MAX_SEQUENCES: u32 = 256;

/// Most tokens in one batch.
pub const MAX_BATCH: u32 = 65_536;

/// Most compute threads; llama.cpp's own limit.
pub const MAX_THREADS: u32 = 512;

/// Most LoRA adapters of one runner, and of one request.
pub const MAX_ADAPTERS: usize = 16;

/// Longest digest of an adapter, in bytes.
pub const MAX_ADAPTER_DIGEST: usize = 128;

/// What to load, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Inherited read-only descriptor of the GGUF file.
    pub weights_fd: i32,
    /// Inherited read-only descriptors of the other files of a split model, in the order of their parts.
    #[serde(default)]
    pub shard_fds: Vec<i32>,
    /// LoRA adapters that requests may name, at most [`MAX_ADAPTERS`]. An adapter that does not fit the weights is left out, and is in
    /// [`Loaded::refused_adapters`](crate::Loaded::refused_adapters).
    pub adapters: Vec<Adapter>,
    /// Most parallel sequences, 1 to [`MAX_SEQUENCES`].
    pub sequences: u32,
    /// Context, batch, threads and devices.
    pub settings: LoadSettings,
    /// Chat template to use instead of the model's own (Jinja source), if any.
    pub chat_template: Option<String>,
    /// Inherited read-only descriptor of a draft model with the same vocabulary, if any. Its KV cache has as many cells.
    #[serde(default)]
    pub draft_fd: Option<i32>,
    /// Whether tokens are drafted.
    #[serde(default)]
    pub speculation: Speculation,
    /// The image encoder; `None` for a model that reads text only.
    #[serde(default)]
    pub projector: Option<Projector>,
}

/// The settings of a load that a request or a Modelfile can choose. They hold for as long as the model is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadSettings {
    /// Cells of the KV cache, shared by all sequences; [`MIN_CONTEXT`] to [`MAX_CONTEXT`].
    pub context: u32,
    /// Most tokens in one batch, 1 to [`MAX_BATCH`], and no fewer than there are sequences.
    pub batch: u32,
    /// CPU threads, at most [`MAX_THREADS`]; 0 lets the engine choose.
    pub threads: u32,
    /// Layers on a GPU; −1 for as many as fit, 0 for none.
    pub gpu_layers: i32,
    /// So many of the first layers leave their experts in main memory, also those on a GPU; 0 for none.
    #[serde(default)]
    pub host_experts: u32,
    /// The GPU of a model that uses one.
    pub main_gpu: i32,
    /// Map the weights instead of reading them.
    pub mmap: bool,
    /// The type of keys and values in the KV cache.
    #[serde(default)]
    pub kv_type: KvType,
}

/// The type of keys and values in the KV cache. A smaller one takes less memory and is less exact.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum KvType {
    /// Half precision, 16 bits for each value.
    #[default]
    F16,
    /// Blocks of 32 values in 34 bytes.
    Q8_0,
    /// Blocks of 32 values in 18 bytes.
    Q4_0,
}

impl KvType {
    /// All of them, the most exact first.
    pub const ALL: [Self; 3] = [Self::F16, Self::Q8_0, Self::Q4_0];

    /// Its name, as in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }

    /// The type of this name, in small or capital letters.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// The bytes of a row of so many values; `None` where they are not whole blocks.
    #[must_use]
    pub fn row_bytes(self, values: u64) -> Option<u64> {
        let (block, bytes) = match self {
            Self::F16 => (1, 2),
            Self::Q8_0 => (32, 34),
            Self::Q4_0 => (32, 18),
        };
        let blocks = values.is_multiple_of(block).then(|| values / block)?;
        Some(blocks.saturating_mul(bytes))
    }
}

/// Whether tokens are drafted. It changes how fast tokens come, and not which.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speculation {
    /// While drafts are measured to be faster.
    #[default]
    Auto,
    /// Never.
    Off,
    /// Whenever a draft is possible, also where it is slower; for measurements and tests.
    Always,
}

/// An image encoder (multimodal projector).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Projector {
    /// Inherited read-only descriptor of its GGUF file.
    pub fd: i32,
    /// Digest of that file in hex, because two projectors encode one image differently.
    pub digest: String,
}

/// One LoRA adapter. It has the scale 0 for a request that does not name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapter {
    /// Inherited read-only descriptor.
    pub fd: i32,
    /// Digest of its file in hex, at most [`MAX_ADAPTER_DIGEST`] bytes. Requests and saved states name it by this.
    pub digest: String,
}

/// The scale of one adapter for a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdapterScale {
    /// [`Adapter::digest`].
    pub digest: String,
    /// 0 turns it off, 1 is its full strength.
    pub scale: f32,
}
