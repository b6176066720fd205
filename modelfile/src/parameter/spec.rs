//! The table of parameters, and the list of names that no longer mean anything.

use std::fmt;
use std::ops::RangeInclusive;

/// What is known about one parameter.
#[derive(Debug, PartialEq)]
pub struct ParameterSpec {
    /// The name as it is written in a Modelfile and in JSON.
    pub name: &'static str,
    /// Type and range.
    pub kind: Kind,
    /// What holds where nobody sets it.
    pub default: DefaultValue,
    /// Whether a change needs the model to be loaded anew.
    pub reload: Reload,
    /// One sentence for the reference page and for help.
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
    /// As it stands in messages after "must be".
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

/// What holds where nobody sets a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DefaultValue {
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// The daemon chooses; the text says by what.
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
    /// It belongs to one request.
    No,
    /// It belongs to the loaded model; a change may load it anew.
    Yes,
}

/// A name that older tools wrote and that has no effect any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Retired {
    /// The name.
    pub name: &'static str,
    /// What to do instead, or why nothing has to be done.
    pub reason: &'static str,
}

/// Every parameter, sorted by name.
pub fn specs() -> &'static [ParameterSpec] {
    &SPECS
}

/// The entry called `name`, exactly as spelt.
pub fn find(name: &str) -> Option<&'static ParameterSpec> {
    SPECS.iter().find(|spec| spec.name == name)
}

/// Every retired name, sorted. They are accepted with a warning and ignored.
pub fn retired() -> &'static [Retired] {
    &RETIRED
}

/// The longest context that can be asked for: 2^20 tokens.
const LONGEST_CONTEXT: i64 = 1 << 20;

/// Names, types and defaults are Ollama's; where Ollama has none, those of llama.cpp's server. The ranges are ours.
/// Ollama takes any number and leaves it to the runner what an absurd one does.
static SPECS: [ParameterSpec; 35] = [
    ParameterSpec {
        name: "adaptive_decay",
        kind: Kind::Float(0.0..=0.99),
        default: DefaultValue::Float(0.9),
        reload: Reload::No,
        description: "Weight of earlier draws for `adaptive_target`; more is slower.",
    },
    ParameterSpec {
        name: "adaptive_target",
        kind: Kind::Float(-1.0..=1.0),
        default: DefaultValue::Float(-1.0),
        reload: Reload::No,
        description: "Draws tokens near this probability; a negative number is off.",
    },
    ParameterSpec {
        name: "draft_num_predict",
        kind: Kind::Int(0..=1024),
        default: DefaultValue::Chosen("as many as pay, up to 16"),
        reload: Reload::No,
        description: "Most tokens that are drafted at a time, where more than 32 mean 32; 0 turns drafting off.",
    },
    ParameterSpec {
        name: "dry_allowed_length",
        kind: Kind::Int(0..=1024),
        default: DefaultValue::Int(2),
        reload: Reload::No,
        description: "Tokens that a repeated run may have before `dry_multiplier` applies.",
    },
    ParameterSpec {
        name: "dry_base",
        kind: Kind::Float(1.0..=100.0),
        default: DefaultValue::Float(1.75),
        reload: Reload::No,
        description: "The penalty of a repeated run grows by this factor with each token.",
    },
    ParameterSpec {
        name: "dry_multiplier",
        kind: Kind::Float(0.0..=100.0),
        default: DefaultValue::Float(0.0),
        reload: Reload::No,
        description: "Penalty of a token that would go on with a repeated run of tokens; 0 is off.",
    },
    ParameterSpec {
        name: "dry_penalty_last_n",
        kind: Kind::Int(-1..=LONGEST_CONTEXT),
        default: DefaultValue::Int(64),
        reload: Reload::No,
        description: "Tokens in which repeated runs are looked for; 0 is none, -1 is the whole context.",
    },
    ParameterSpec {
        name: "dry_sequence_breakers",
        kind: Kind::TextList,
        default: DefaultValue::Chosen("a newline, `:`, `\"` and `*`"),
        reload: Reload::No,
        description: "Text at which a run begins anew; repeat the line for several.",
    },
    ParameterSpec {
        name: "dynatemp_exponent",
        kind: Kind::Float(0.0..=100.0),
        default: DefaultValue::Float(1.0),
        reload: Reload::No,
        description: "How the openness of a choice maps to the range of `dynatemp_range`; 1 is straight.",
    },
    ParameterSpec {
        name: "dynatemp_range",
        kind: Kind::Float(0.0..=100.0),
        default: DefaultValue::Float(0.0),
        reload: Reload::No,
        description: "The temperature moves by so much up for open choices and down for sure ones; 0 is off.",
    },
    ParameterSpec {
        name: "frequency_penalty",
        kind: Kind::Float(-100.0..=100.0),
        default: DefaultValue::Float(0.0),
        reload: Reload::No,
        description: "Lowers the chance of a token by this much for each time it was used; 0 is off.",
    },
    ParameterSpec {
        name: "main_gpu",
        kind: Kind::Int(0..=255),
        default: DefaultValue::Chosen("the first GPU"),
        reload: Reload::Yes,
        description: "The GPU that holds a model which is not split.",
    },
    ParameterSpec {
        name: "min_p",
        kind: Kind::Float(0.0..=1.0),
        default: DefaultValue::Float(0.0),
        reload: Reload::No,
        description: "Drops tokens less likely than this share of the likeliest one; 0 is off.",
    },
    ParameterSpec {
        name: "mirostat",
        kind: Kind::Int(0..=2),
        default: DefaultValue::Int(0),
        reload: Reload::No,
        description: "Draws with a level surprise, by version 1 or 2 of Mirostat, instead of cutting the choice; 0 is off.",
    },
    ParameterSpec {
        name: "mirostat_eta",
        kind: Kind::Float(0.0..=1.0),
        default: DefaultValue::Float(0.1),
        reload: Reload::No,
        description: "How fast Mirostat corrects the surprise.",
    },
    ParameterSpec {
        name: "mirostat_tau",
        kind: Kind::Float(0.0..=100.0),
        default: DefaultValue::Float(5.0),
        reload: Reload::No,
        description: "The surprise that Mirostat keeps, in bits.",
    },
    ParameterSpec {
        name: "num_batch",
        kind: Kind::Int(1..=65_536),
        default: DefaultValue::Int(512),
        reload: Reload::Yes,
        description: "Most tokens computed in one step.",
    },
    ParameterSpec {
        name: "num_ctx",
        kind: Kind::Int(4..=LONGEST_CONTEXT),
        default: DefaultValue::Chosen("4096, or `context_length`"),
        reload: Reload::Yes,
        description: "Tokens of prompt and answer together that the model can see; the setting `context_length` of the daemon is its default.",
    },
    ParameterSpec {
        name: "num_gpu",
        kind: Kind::Int(-1..=100_000),
        default: DefaultValue::Int(-1),
        reload: Reload::Yes,
        description: "Layers placed on a GPU; -1 is as many as fit, 0 is none.",
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
        description: "Most tokens to answer with; -1 is no limit of its own, -2 is until the context is full.",
    },
    ParameterSpec {
        name: "num_thread",
        kind: Kind::Int(0..=512),
        default: DefaultValue::Int(0),
        reload: Reload::Yes,
        description: "CPU threads; 0 lets the engine choose.",
    },
    ParameterSpec {
        name: "presence_penalty",
        kind: Kind::Float(-100.0..=100.0),
        default: DefaultValue::Float(0.0),
        reload: Reload::No,
        description: "Lowers the chance of a token that was used at all by this much; 0 is off.",
    },
    ParameterSpec {
        name: "repeat_last_n",
        kind: Kind::Int(-1..=LONGEST_CONTEXT),
        default: DefaultValue::Int(64),
        reload: Reload::No,
        description: "Tokens that the penalties look back on; 0 is none, -1 is the whole context.",
    },
    ParameterSpec {
        name: "repeat_penalty",
        kind: Kind::Float(0.01..=100.0),
        default: DefaultValue::Float(1.0),
        reload: Reload::No,
        description: "Divides the score of repeated tokens; 1 is off, more than 1 repeats less.",
    },
    ParameterSpec {
        name: "seed",
        kind: Kind::Int(i64::MIN..=i64::MAX),
        default: DefaultValue::Int(-1),
        reload: Reload::No,
        description: "Start of the random numbers, for answers that can be repeated; -1 takes one at random, and others count by their lower 32 bits.",
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
        description: "Spread of the choice; 0 always takes the likeliest token.",
    },
    ParameterSpec {
        name: "top_k",
        kind: Kind::Int(-1..=LONGEST_CONTEXT),
        default: DefaultValue::Int(40),
        reload: Reload::No,
        description: "Keeps only the k likeliest tokens; 0 and -1 keep all.",
    },
    ParameterSpec {
        name: "top_n_sigma",
        kind: Kind::Float(-1.0..=100.0),
        default: DefaultValue::Float(0.0),
        reload: Reload::No,
        description: "Keeps the tokens within so many standard deviations of the likeliest; 0 and -1 keep all.",
    },
    ParameterSpec {
        name: "top_p",
        kind: Kind::Float(0.0..=1.0),
        default: DefaultValue::Float(0.9),
        reload: Reload::No,
        description: "Keeps the likeliest tokens up to this share of probability; 1 is off.",
    },
    ParameterSpec {
        name: "typical_p",
        kind: Kind::Float(0.0..=1.0),
        default: DefaultValue::Float(1.0),
        reload: Reload::No,
        description: "Keeps the tokens of typical information up to this share of probability; 1 is off.",
    },
    ParameterSpec {
        name: "use_mmap",
        kind: Kind::Bool,
        default: DefaultValue::Chosen("by the daemon"),
        reload: Reload::Yes,
        description: "Maps the weights file into memory instead of reading it.",
    },
    ParameterSpec {
        name: "xtc_probability",
        kind: Kind::Float(0.0..=1.0),
        default: DefaultValue::Float(0.0),
        reload: Reload::No,
        description: "Chance that all likely tokens but the least likely of them are left out; 0 is off.",
    },
    ParameterSpec {
        name: "xtc_threshold",
        kind: Kind::Float(0.0..=1.0),
        default: DefaultValue::Float(0.1),
        reload: Reload::No,
        description: "Probability from which on `xtc_probability` may leave a token out; more than 0.5 is off.",
    },
];

const REMOVED: &str = "current engines have no such setting";

static RETIRED: [Retired; 12] = [
    Retired {
        name: "embedding_only",
        reason: "embedding models are recognised by themselves",
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
        reason: "memory is planned by itself; `num_gpu` limits it by hand",
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
    fn tables_are_sorted_and_name_each_thing_once() {
        let mut names: Vec<_> = specs().iter().map(|spec| spec.name).collect();
        assert!(names.is_sorted());
        assert!(retired().is_sorted_by_key(|entry| entry.name));
        names.extend(retired().iter().map(|entry| entry.name));
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "a name stands twice");
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
