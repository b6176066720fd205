//! The table of parameters, and the list of retired names.

use std::fmt;
use std::ops::RangeInclusive;

/// The longest text of a list, in bytes of UTF-8.
pub const MAX_TEXT_BYTES: usize = 1024;

/// Maximum number of texts in a list.
pub const MAX_TEXTS: usize = 64;

/// One parameter.
#[derive(Debug, PartialEq)]
pub struct ParameterSpec {
    /// The name in a Modelfile and in JSON.
    pub name: &'static str,
    /// Type and range.
    pub kind: Kind,
    /// The default.
    pub default: DefaultValue,
    /// Whether a change may reload the model.
    pub reload: Reload,
    /// One sentence for the reference page and for the help.
    pub description: &'static str,
}

/// Type and range of a parameter. Both ends of a range are allowed.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A whole number.
    Int(RangeInclusive<i64>),
    /// A finite number.
    Float(RangeInclusive<f64>),
    /// `true` or `false`.
    Bool,
    /// Texts; each `PARAMETER` line adds one.
    TextList,
}

impl fmt::Display for Kind {
    /// The phrase after "must be" in a message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(range) if *range == (i64::MIN..=i64::MAX) => {
                f.write_str("a whole number of 64 bits")
            }
            Self::Int(range) => write!(
                f,
                "a whole number from {} to {}",
                range.start(),
                range.end()
            ),
            Self::Float(range) => write!(f, "a number from {} to {}", range.start(), range.end()),
            Self::Bool => f.write_str("`true` or `false`"),
            Self::TextList => f.write_str("a list of texts"),
        }
    }
}

/// The default of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DefaultValue {
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// The daemon chooses; the text says how.
    Chosen(&'static str),
    /// The empty list.
    Empty,
}

impl fmt::Display for DefaultValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Chosen(how) => f.write_str(how),
            Self::Empty => f.write_str("none"),
        }
    }
}

/// Whether a changed parameter can be applied to a model that is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// It applies to one request.
    No,
    /// It applies to the loaded model; a change may reload it.
    Yes,
}

/// A name that older tools wrote and that no longer has an effect.
#[derive(Debug, PartialEq, Eq)]
pub struct Retired {
    /// The name.
    pub name: &'static str,
    /// The replacement, or why none is needed.
    pub reason: &'static str,
}

/// Every parameter, sorted by name.
pub fn specs() -> &'static [ParameterSpec] {
    &SPECS
}

/// The entry with exactly this name.
pub fn find(name: &str) -> Option<&'static ParameterSpec> {
    SPECS.iter().find(|spec| spec.name == name)
}

/// Every retired name, sorted. They are accepted with a warning and ignored.
pub fn retired() -> &'static [Retired] {
    &RETIRED
}

/// The longest context of a request: 2^20 tokens.
const LONGEST_CONTEXT: i64 = 1 << 20;

/// Names, types and defaults are Ollama's; where Ollama has none, those of llama.cpp's server. The ranges are ours.
/// Ollama accepts any number and passes it to its runner.
static SPECS: [ParameterSpec; 35] = [
    ParameterSpec {
        name: "adaptive_decay",
        kind: Kind::Float(0.0..=0.99),
        default: DefaultValue::Float(0.9),
        reload: Reload::No,
        description: "Weight of earlier draws for `adaptive_target`; a higher one adapts more slowly.",
    },
    ParameterSpec {
        name: "adaptive_target",
        kind: Kind::Float(-1.0..=1.0),
        default: DefaultValue::Float(-1.0),
        reload: Reload::No,
        description: "Samples tokens near this probability (adaptive-p); a negative number is off.",
    },
    ParameterSpec {
        name: "draft_num_predict",
        kind: Kind::Int(0..=1024),
        default: DefaultValue::Chosen("as measured, up to 16"),
        reload: Reload::No,
        description: "Maximum length of a draft in tokens, capped at 32; 0 turns drafting off.",
    },
    ParameterSpec {
        name: "dry_allowed_length",
        kind: Kind::Int(0..=1024),
        default: DefaultValue::Int(2),
        reload: Reload::No,
        description: "Longest repeated sequence of tokens without a DRY penalty.",
    },
    ParameterSpec {
        name: "dry_base",
        kind: Kind::Float(1.0..=100.0),
        default: DefaultValue::Float(1.75),
        reload: Reload::No,
        description: "Factor by which the DRY penalty grows with each further token.",
    },
    ParameterSpec {
        name: "dry_multiplier",
        kind: Kind::Float(0.0..=100.0),
        default: DefaultValue::Float(0.0),
        reload: Reload::No,
        description: "DRY penalty of a token that would extend a repeated sequence; 0 is off.",
    },
    ParameterSpec {
        name: "dry_penalty_last_n",
        kind: Kind::Int(-1..=LONGEST_CONTEXT),
        default: DefaultValue::Int(64),
        reload: Reload::No,
        description: "Number of last tokens that DRY searches; 0 is none, -1 is the whole context.",
    },
    ParameterSpec {
        name: "dry_sequence_breakers",
        kind: Kind::TextList,
        default: DefaultValue::Chosen("a newline, `:`, `\"` and `*`"),
        reload: Reload::No,
        description: "Text that DRY repetitions do not cross; repeat the line for several.",
    },
    ParameterSpec {
        name: "dynatemp_exponent",
        kind: Kind::Float(0.0..=100.0),
        default: DefaultValue::Float(1.0),
        reload: Reload::No,
        description: "Exponent of the map from entropy to temperature within `dynatemp_range`; 1 is linear.",
    },
    ParameterSpec {
        name: "dynatemp_range",
        kind: Kind::Float(0.0..=100.0),
        default: DefaultValue::Float(0.0),
        reload: Reload::No,
        description: "Range of the dynamic temperature: up to this much higher at high entropy and lower at low entropy; 0 is off.",
    },
    ParameterSpec {
        name: "frequency_penalty",
        kind: Kind::Float(-100.0..=100.0),
        default: DefaultValue::Float(0.0),
        reload: Reload::No,
        description: "Lowers the logit of a token by this much for each earlier use; 0 is off.",
    },
    ParameterSpec {
        name: "main_gpu",
        kind: Kind::Int(0..=255),
        default: DefaultValue::Chosen("the first GPU"),
        reload: Reload::Yes,
        description: "The GPU of a model that is not split over several.",
    },
    ParameterSpec {
        name: "min_p",
        kind: Kind::Float(0.0..=1.0),
        default: DefaultValue::Float(0.0),
        reload: Reload::No,
        description: "Drops tokens with less than this fraction of the highest probability; 0 is off.",
    },
    ParameterSpec {
        name: "mirostat",
        kind: Kind::Int(0..=2),
        default: DefaultValue::Int(0),
        reload: Reload::No,
        description: "Samples with Mirostat version 1 or 2 instead of `top_k`, `top_p` and the other cuts; 0 is off.",
    },
    ParameterSpec {
        name: "mirostat_eta",
        kind: Kind::Float(0.0..=1.0),
        default: DefaultValue::Float(0.1),
        reload: Reload::No,
        description: "Learning rate of Mirostat.",
    },
    ParameterSpec {
        name: "mirostat_tau",
        kind: Kind::Float(0.0..=100.0),
        default: DefaultValue::Float(5.0),
        reload: Reload::No,
        description: "Target surprise of Mirostat, in bits.",
    },
    ParameterSpec {
        name: "num_batch",
        kind: Kind::Int(1..=65_536),
        default: DefaultValue::Int(512),
        reload: Reload::Yes,
        description: "Maximum number of tokens in a batch.",
    },
    ParameterSpec {
        name: "num_ctx",
        kind: Kind::Int(4..=LONGEST_CONTEXT),
        default: DefaultValue::Chosen("4096, or `context_length`"),
        reload: Reload::Yes,
        description: "Context in tokens, for prompt and answer together; the daemon's setting `context_length` is its default.",
    },
    ParameterSpec {
        name: "num_gpu",
        kind: Kind::Int(-1..=100_000),
        default: DefaultValue::Int(-1),
        reload: Reload::Yes,
        description: "Layers placed on a GPU; -1 is as many as fit, 0 is none; the daemon's setting `gpu_layers` is its default.",
    },
    ParameterSpec {
        name: "num_keep",
        kind: Kind::Int(-1..=LONGEST_CONTEXT),
        default: DefaultValue::Int(4),
        reload: Reload::No,
        description: "Tokens at the start of the prompt that truncation keeps; -1 is the whole prompt.",
    },
    ParameterSpec {
        name: "num_predict",
        kind: Kind::Int(-2..=i32::MAX as i64),
        default: DefaultValue::Int(-1),
        reload: Reload::No,
        description: "Maximum number of tokens to generate; -1 and -2 are until the context is full.",
    },
    ParameterSpec {
        name: "num_thread",
        kind: Kind::Int(0..=512),
        default: DefaultValue::Int(0),
        reload: Reload::Yes,
        description: "CPU threads; 0 lets the engine choose; the daemon's setting `threads` is its default.",
    },
    ParameterSpec {
        name: "presence_penalty",
        kind: Kind::Float(-100.0..=100.0),
        default: DefaultValue::Float(0.0),
        reload: Reload::No,
        description: "Lowers the logit of every token that was used before by this much; 0 is off.",
    },
    ParameterSpec {
        name: "repeat_last_n",
        kind: Kind::Int(-1..=LONGEST_CONTEXT),
        default: DefaultValue::Int(64),
        reload: Reload::No,
        description: "Number of last tokens that the penalties consider; 0 is none, -1 is the whole context.",
    },
    ParameterSpec {
        name: "repeat_penalty",
        kind: Kind::Float(0.01..=100.0),
        default: DefaultValue::Float(1.0),
        reload: Reload::No,
        description: "Divides the logits of repeated tokens; 1 is off, more than 1 repeats less.",
    },
    ParameterSpec {
        name: "seed",
        kind: Kind::Int(i64::MIN..=i64::MAX),
        default: DefaultValue::Int(-1),
        reload: Reload::No,
        description: "Seed of the sampler, for answers that can be repeated; -1 takes a random one, and of others the lower 32 bits count.",
    },
    ParameterSpec {
        name: "stop",
        kind: Kind::TextList,
        default: DefaultValue::Empty,
        reload: Reload::No,
        description: "Text that ends the answer and is not part of it; repeat the line for several.",
    },
    ParameterSpec {
        name: "temperature",
        kind: Kind::Float(0.0..=100.0),
        default: DefaultValue::Float(0.8),
        reload: Reload::No,
        description: "Temperature of the sampler; 0 always takes the most likely token.",
    },
    ParameterSpec {
        name: "top_k",
        kind: Kind::Int(-1..=LONGEST_CONTEXT),
        default: DefaultValue::Int(40),
        reload: Reload::No,
        description: "Keeps only the k most likely tokens; 0 and -1 keep all.",
    },
    ParameterSpec {
        name: "top_n_sigma",
        kind: Kind::Float(-1.0..=100.0),
        default: DefaultValue::Float(0.0),
        reload: Reload::No,
        description: "Keeps the tokens within this many standard deviations of the highest logit; 0 and -1 keep all.",
    },
    ParameterSpec {
        name: "top_p",
        kind: Kind::Float(0.0..=1.0),
        default: DefaultValue::Float(0.9),
        reload: Reload::No,
        description: "Keeps the most likely tokens up to this cumulative probability; 1 is off.",
    },
    ParameterSpec {
        name: "typical_p",
        kind: Kind::Float(0.0..=1.0),
        default: DefaultValue::Float(1.0),
        reload: Reload::No,
        description: "Keeps the locally typical tokens up to this cumulative probability; 1 is off.",
    },
    ParameterSpec {
        name: "use_mmap",
        kind: Kind::Bool,
        default: DefaultValue::Chosen("true"),
        reload: Reload::Yes,
        description: "Maps the weights file into memory instead of reading it.",
    },
    ParameterSpec {
        name: "xtc_probability",
        kind: Kind::Float(0.0..=1.0),
        default: DefaultValue::Float(0.0),
        reload: Reload::No,
        description: "Probability that XTC removes all tokens above `xtc_threshold` except the least likely of them; 0 is off.",
    },
    ParameterSpec {
        name: "xtc_threshold",
        kind: Kind::Float(0.0..=1.0),
        default: DefaultValue::Float(0.1),
        reload: Reload::No,
        description: "Probability above which XTC may remove a token; more than 0.5 is off.",
    },
];

const REMOVED: &str = "current engines have no such setting";

static RETIRED: [Retired; 12] = [
    Retired {
        name: "embedding_only",
        reason: "embedding models are recognised automatically",
    },
    Retired {
        name: "f16_kv",
        reason: REMOVED,
    },
    Retired {
        name: "logits_all",
        reason: REMOVED,
    },
    Retired {
        name: "low_vram",
        reason: "memory is planned automatically; `num_gpu` limits the layers on the GPU",
    },
    Retired {
        name: "num_gqa",
        reason: "it is read from the weights",
    },
    Retired {
        name: "numa",
        reason: REMOVED,
    },
    Retired {
        name: "penalize_newline",
        reason: REMOVED,
    },
    Retired {
        name: "rope_frequency_base",
        reason: "it is read from the weights",
    },
    Retired {
        name: "rope_frequency_scale",
        reason: "it is read from the weights",
    },
    Retired {
        name: "tfs_z",
        reason: "use `min_p`",
    },
    Retired {
        name: "use_mlock",
        reason: REMOVED,
    },
    Retired {
        name: "vocab_only",
        reason: REMOVED,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_have_each_name_once() {
        let mut names: Vec<_> = specs().iter().map(|spec| spec.name).collect();
        assert!(names.is_sorted());
        assert!(retired().is_sorted_by_key(|entry| entry.name));
        names.extend(retired().iter().map(|entry| entry.name));
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "a name is repeated");
    }

    #[test]
    fn defaults_are_values_of_their_own_kind() {
        for spec in specs() {
            match (&spec.kind, spec.default) {
                (Kind::Int(range), DefaultValue::Int(number)) => {
                    assert!(range.contains(&number), "{}", spec.name)
                }
                (Kind::Float(range), DefaultValue::Float(number)) => {
                    assert!(range.contains(&number), "{}", spec.name)
                }
                (Kind::TextList, DefaultValue::Empty) | (_, DefaultValue::Chosen(_)) => {}
                (kind, default) => panic!("{}: {default} is not {kind}", spec.name),
            }
        }
    }

    #[test]
    fn descriptions_are_sentences() {
        for spec in specs() {
            assert!(spec.description.ends_with('.'), "{}", spec.name);
            assert!(
                !spec.description.contains('|'),
                "{} would break the table",
                spec.name
            );
        }
    }
}
