//! Which layers look at a sliding window only.
//!
//! Each architecture has its own default in llama.cpp (`load_arch_hparams` in `src/models/*.cpp`).

use super::{Keys, states};

/// The windows of an architecture.
struct Windows {
    architecture: &'static str,
    /// The length where the file states none; 0 for no window then.
    length: u64,
    /// Every layer whose number is a multiple of this has full attention; 0 where the file must list them.
    every: usize,
    /// The first of so many layers has full attention, and not the last.
    dense_first: bool,
}

const fn windows(architecture: &'static str, length: u64, every: usize) -> Windows {
    Windows {
        architecture,
        length,
        every,
        dense_first: false,
    }
}

const fn dense_first(architecture: &'static str, length: u64, every: usize) -> Windows {
    Windows {
        dense_first: true,
        ..windows(architecture, length, every)
    }
}

/// Phi-3 is left out: llama.cpp ignores its window.
const WINDOWS: &[Windows] = &[
    windows("afmoe", 0, 4),
    windows("cohere2", 0, 4),
    dense_first("cohere2moe", 0, 4),
    windows("dots3note", 0, 0),
    windows("exaone-moe", 128, 4),
    windows("exaone4", 4096, 4),
    windows("gemma2", 4096, 2),
    windows("gemma3", 0, 6),
    windows("gemma3n", 0, 5),
    windows("gemma4", 0, 0),
    windows("gpt-oss", 0, 2),
    windows("granite_swa", 0, 0),
    dense_first("laguna", 0, 4),
    windows("llama4", 8192, 4),
    windows("maple", 0, 0),
    windows("mellum", 0, 4),
    windows("mimo2", 0, 0),
    windows("muse-glimmer", 0, 4),
    windows("olmo2", 0, 4),
    windows("plamo3", 0, 8),
    dense_first("smallthinker", 0, 4),
    windows("spark2_5", 0, 0),
    windows("step35", 0, 0),
];

/// The architectures whose every attention layer has the window, if there is one.
const EVERYWHERE: &[&str] = &["lfm2", "lfm2moe", "deepseek4"];

const LENGTH: &str = "attention.sliding_window";
const PATTERN: &str = "attention.sliding_window_pattern";

fn of(keys: &Keys<'_>) -> Option<&'static Windows> {
    let architecture = keys.architecture?;
    let found = WINDOWS
        .iter()
        .find(|known| known.architecture == architecture)?;
    // The smaller EXAONE 4 has full attention.
    let full = architecture == "exaone4" && keys.number("block_count") != 64;
    (!full).then_some(found)
}

/// The length of the window in tokens; 0 without one.
pub(super) fn length(keys: &Keys<'_>) -> u64 {
    if keys.is(EVERYWHERE) {
        return keys.number(LENGTH);
    }
    let Some(known) = of(keys) else {
        return 0;
    };
    match (known.architecture, keys.stated(LENGTH)) {
        (_, Some(0)) => 0,
        // These two have one length, whatever the file states.
        ("llama4", _) => known.length,
        ("smallthinker", Some(_)) => 4096,
        (_, stated) => stated.unwrap_or(known.length),
    }
}

/// Whether a layer has the window.
pub(super) fn has(keys: &Keys<'_>, layer: usize) -> bool {
    if length(keys) == 0 {
        return false;
    }
    let Some(known) = of(keys) else {
        return !matches!(states::kind(keys, layer), states::Kind::State);
    };
    if keys.is_list(PATTERN) {
        return keys.of_layer(PATTERN, layer).unwrap_or(0) != 0;
    }
    let every = match keys.stated(PATTERN) {
        Some(every) => usize::try_from(every).unwrap_or(usize::MAX),
        None => known.every,
    };
    match every {
        0 => known.every != 0,
        every if known.dense_first => !layer.is_multiple_of(every),
        every => layer % every < every - 1,
    }
}
