//! What is asked of the keys of a projector.
//!
//! llama.cpp's `tools/mtmd/clip.cpp` reads these keys by name, and ends the process when one is of another type.

use super::{BOOL, Error, Expected, F32, Metadata, Model, STRING, U32, ValueType, check_types};

/// The prefix of its keys, whatever its architecture is called.
const PREFIX: &str = "clip.";

/// The most pixels of a side, of `clip_model_loader::load_hparams`.
const MOST_PIXELS: u64 = 8192;

/// More layers, and wider ones, than any projector has.
const MOST_BLOCKS: u64 = 512;
const MOST_WIDTH: u64 = 65_536;

/// Keys that follow [`PREFIX`].
const KEYS: &[(&str, Expected)] = &[
    ("projector_type", STRING),
    ("has_vision_encoder", BOOL),
    ("has_audio_encoder", BOOL),
    ("has_gen_audio_encoder", BOOL),
    ("use_gelu", BOOL),
    ("use_silu", BOOL),
    ("minicpmv_version", Expected::One(ValueType::I32)),
    ("minicpmv_query_num", U32),
];

/// Keys that follow [`PREFIX`] and the name of an encoder.
const ENCODER_KEYS: &[(&str, Expected)] = &[
    ("projector_type", STRING),
    ("model_variant", STRING),
    ("mm_patch_merge_type", STRING),
    ("attention.layer_norm_epsilon", F32),
    ("swiglu_clamp", F32),
    ("image_mean", Expected::List(ValueType::F32)),
    ("image_std", Expected::List(ValueType::F32)),
    ("attention.head_count", U32),
    ("attention.head_count_kv", U32),
    ("attention.head_dim", U32),
    ("block_count", U32),
    ("chunk_size", U32),
    ("conv_kernel_size", U32),
    ("embedding_length", U32),
    ("expert_used_count", U32),
    ("feed_forward_length", U32),
    ("image_max_pixels", U32),
    ("image_min_pixels", U32),
    ("image_size", U32),
    ("local_block_count", U32),
    ("local_group_size", U32),
    ("max_pos_emb", U32),
    ("n_wa_pattern", U32),
    ("num_mel_bins", U32),
    ("patch_size", U32),
    ("preproc_image_size", U32),
    ("preproc_max_tiles", U32),
    ("preproc_min_tiles", U32),
    ("projection_dim", U32),
    ("projector.downsample_rate", U32),
    ("projector.head_count", U32),
    ("projector.query_side", U32),
    ("projector.scale_factor", U32),
    ("projector.stack_factor", U32),
    ("projector.window_side", U32),
    ("projector.window_size", U32),
    ("rvq.num_quantizers", U32),
    ("sam.block_count", U32),
    ("sam.embedding_length", U32),
    ("sam.head_count", U32),
    ("spatial_merge_size", U32),
    ("subsampling_factor", U32),
    ("window_size", U32),
];

/// Checks the keys of a projector.
pub(super) fn check(metadata: &Metadata) -> Result<(), Error> {
    check_types(metadata, PREFIX, KEYS)?;
    for encoder in ["vision.", "audio.", "gen.audio."] {
        let prefix = format!("{PREFIX}{encoder}");
        check_types(metadata, &prefix, ENCODER_KEYS)?;
        let encoder = Model {
            metadata,
            prefix: &prefix,
        };
        encoder.number("block_count", 0, MOST_BLOCKS)?;
        encoder.number("sam.block_count", 0, MOST_BLOCKS)?;
        encoder.number("embedding_length", 1, MOST_WIDTH)?;
        encoder.number("feed_forward_length", 0, MOST_WIDTH)?;
        encoder.number("projection_dim", 0, MOST_WIDTH)?;
        encoder.number("attention.head_count", 0, MOST_WIDTH)?;
        encoder.number("image_size", 0, MOST_PIXELS)?;
        encoder.number("patch_size", 1, MOST_PIXELS)?;
        encoder.epsilon("attention.layer_norm_epsilon", |epsilon| epsilon >= 0.0)?;
    }
    Ok(())
}
