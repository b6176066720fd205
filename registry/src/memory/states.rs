//! Which layers have a recurrent state, and how large it is.
//!
//! `n_embd_r` and `n_embd_s` of llama.cpp's `src/llama-hparams.cpp`, and the layer filters of `create_memory`.

use super::Keys;

const RECURRENT: &[&str] = &["mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"];

/// Hybrid models that state the interval of layers with attention.
const BY_INTERVAL: &[&str] = &["qwen3next", "qwen35", "qwen35moe", "qwen4exp", "minimax-01"];

/// Hybrid models whose recurrent layers have no KV heads.
const BY_HEADS: &[&str] = &[
    "jamba",
    "plamo2",
    "granitehybrid",
    "lfm2",
    "lfm2moe",
    "nemotron_h",
    "nemotron_h_moe",
    "kimi-linear",
    "bailingmoe3",
    "kimi-k3",
    "glm5-next",
];

/// What a layer keeps of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Cells in the KV cache.
    Attention,
    /// A recurrent state.
    State,
    /// Both.
    Both,
    /// Nothing.
    Neither,
}

pub(super) fn kind(keys: &Keys<'_>, layer: usize) -> Kind {
    if keys.is(RECURRENT) {
        return Kind::State;
    }
    if keys.is(&["falcon-h1"]) {
        return Kind::Both;
    }
    if keys.is(BY_INTERVAL) {
        return by_interval(keys, layer);
    }
    if !keys.is(BY_HEADS) {
        return Kind::Attention;
    }
    let recurrent = keys.of_layer("attention.head_count_kv", layer) == Some(0);
    let dense = keys.of_layer("feed_forward_length", layer).unwrap_or(0) > 0;
    match (recurrent, dense) {
        // Each layer of Nemotron is one of three: attention, recurrent or feed-forward.
        (_, true) if keys.is(&["nemotron_h", "nemotron_h_moe"]) => Kind::Neither,
        (true, _) => Kind::State,
        (false, _) => Kind::Attention,
    }
}

fn by_interval(keys: &Keys<'_>, layer: usize) -> Kind {
    const LIST: &str = "attention.recurrent_layers";
    let recurrent = if keys.is_list(LIST) {
        keys.of_layer(LIST, layer).unwrap_or(0) != 0
    } else {
        let every = keys.stated("full_attention_interval");
        let every = every.filter(|every| *every > 0).unwrap_or(4);
        !(layer as u64 + 1).is_multiple_of(every)
    };
    if recurrent {
        Kind::State
    } else {
        Kind::Attention
    }
}

/// Numbers of the state of one layer and one sequence.
pub(super) fn numbers(keys: &Keys<'_>, layer: usize) -> u64 {
    match kind(keys, layer) {
        Kind::State | Kind::Both => convolution(keys).saturating_add(memory(keys)),
        Kind::Attention | Kind::Neither => 0,
    }
}

/// `n_embd_r`.
fn convolution(keys: &Keys<'_>) -> u64 {
    let width = keys.number("embedding_length");
    if keys.number("wkv.head_size") > 0 {
        return width.saturating_mul(keys.stated("token_shift_count").unwrap_or(2));
    }
    if let Some(length) = keys
        .stated("shortconv.l_cache")
        .filter(|length| *length > 0)
    {
        return width.saturating_mul(length - 1);
    }
    let kernel = keys.number("ssm.conv_kernel");
    if let Some(head) = kda_head(keys) {
        let kernel = if kernel > 0 { kernel - 1 } else { 3 };
        let heads = keys.of_layer("attention.head_count", 0).unwrap_or(0);
        return product(&[3, kernel, heads, head]);
    }
    let groups = product(&[
        2,
        keys.number("ssm.group_count"),
        keys.number("ssm.state_size"),
    ]);
    let inner = keys.number("ssm.inner_size").saturating_add(groups);
    kernel.saturating_sub(1).saturating_mul(inner)
}

/// `n_embd_s`.
fn memory(keys: &Keys<'_>) -> u64 {
    let head = keys.number("wkv.head_size");
    if head > 0 {
        return keys.number("embedding_length").saturating_mul(head);
    }
    if let Some(head) = kda_head(keys) {
        let heads = keys.of_layer("attention.head_count", 0).unwrap_or(0);
        return product(&[head, head, heads]);
    }
    product(&[keys.number("ssm.state_size"), keys.number("ssm.inner_size")])
}

fn kda_head(keys: &Keys<'_>) -> Option<u64> {
    keys.stated("kda.head_dim").filter(|head| *head > 0)
}

fn product(factors: &[u64]) -> u64 {
    factors
        .iter()
        .fold(1, |product, factor| product.saturating_mul(*factor))
}
