//! Types and ranges of the keys that llama.cpp relies on.
//!
//! llama.cpp reads these keys by name and expects their types exactly; on some values it ends the whole process
//! (`GGML_ASSERT` in `src/llama-model.cpp`, `load_hparams`), so those values are refused here.
//! Keys that are not named here may hold anything.

mod projector;

use super::error::harmless;
use super::metadata::{Entry, SMALL_ARRAY};
use super::vocabulary::{self, MERGES, TOKENS, Vocabulary};
use super::{Error, GeneralType, Metadata, Problem, Value, ValueType};

/// `LLAMA_MAX_LAYERS`.
const MOST_BLOCKS: u64 = 512;
/// `LLAMA_MAX_EXPERTS`.
const MOST_EXPERTS: u64 = 1024;
const DEFAULT_ALIGNMENT: u64 = 32;
const LEAST_ALIGNMENT: u64 = 8;
const MOST_ALIGNMENT: u64 = 1024 * 1024;

/// What a key must hold.
#[derive(Debug, Clone, Copy)]
enum Expected {
    One(ValueType),
    List(ValueType),
    /// One of either type.
    ListOf(ValueType, ValueType),
    /// One number, or one for each layer.
    OneOrEach,
    /// Bytes; texts are looked at on their own.
    Charsmap,
}

/// The key of the table that characters are normalized by.
pub(crate) const CHARSMAP: &str = "tokenizer.ggml.precompiled_charsmap";

/// Whether the table of characters is told in texts, as in a layout of Ollama's own.
/// llama.cpp ends its process on it, so such a file is translated before.
pub(crate) fn is_told_in_texts(metadata: &Metadata) -> bool {
    let list = metadata.get(CHARSMAP).and_then(Value::as_array);
    list.is_some_and(|list| list.kind == ValueType::String)
        && metadata.str("general.architecture") == Some("bert")
        && metadata.str("tokenizer.ggml.model") == Some("t5")
}

impl Expected {
    fn fits(self, value: &Value) -> bool {
        let element = value.as_array().map(|array| array.kind);
        match self {
            Self::One(kind) => value.kind() == kind,
            Self::List(kind) => element == Some(kind),
            Self::ListOf(kind, other) => element == Some(kind) || element == Some(other),
            Self::Charsmap => matches!(
                element,
                Some(ValueType::U8 | ValueType::I8 | ValueType::String)
            ),
            Self::OneOrEach => {
                value.kind() == ValueType::U32
                    || matches!(element, Some(ValueType::U32 | ValueType::I32))
            }
        }
    }

    fn describe(self) -> String {
        match self {
            Self::One(kind) => kind.to_string(),
            Self::List(kind) => format!("array of {kind}"),
            Self::ListOf(kind, other) => format!("array of {kind} or of {other}"),
            Self::OneOrEach => "u32 or an array of it".to_owned(),
            Self::Charsmap => "array of u8 or of i8".to_owned(),
        }
    }
}

const STRING: Expected = Expected::One(ValueType::String);
const U32: Expected = Expected::One(ValueType::U32);
const F32: Expected = Expected::One(ValueType::F32);
const BOOL: Expected = Expected::One(ValueType::Bool);

/// Keys that stand in files of every architecture.
const KEYS: &[(&str, Expected)] = &[
    ("general.architecture", STRING),
    ("general.type", STRING),
    ("general.name", STRING),
    ("general.alignment", U32),
    ("general.file_type", U32),
    ("general.quantization_version", U32),
    ("split.no", Expected::One(ValueType::U16)),
    ("split.count", Expected::One(ValueType::U16)),
    ("split.tensors.count", Expected::One(ValueType::I32)),
    ("tokenizer.chat_template", STRING),
    ("tokenizer.ggml.model", STRING),
    ("tokenizer.ggml.pre", STRING),
    (TOKENS, Expected::List(ValueType::String)),
    (MERGES, Expected::List(ValueType::String)),
    (
        "tokenizer.ggml.scores",
        Expected::ListOf(ValueType::F32, ValueType::I32),
    ),
    ("tokenizer.ggml.token_type", Expected::List(ValueType::I32)),
    ("tokenizer.ggml.token_type_count", U32),
    (
        "tokenizer.ggml.suppress_tokens",
        Expected::List(ValueType::I32),
    ),
    (CHARSMAP, Expected::Charsmap),
    ("tokenizer.ggml.add_bos_token", BOOL),
    ("tokenizer.ggml.add_eos_token", BOOL),
    ("tokenizer.ggml.add_sep_token", BOOL),
    ("tokenizer.ggml.add_space_prefix", BOOL),
    ("tokenizer.ggml.remove_extra_whitespaces", BOOL),
];

/// Keys that follow the architecture's name and a dot.
const ARCHITECTURE_KEYS: &[(&str, Expected)] = &[
    ("block_count", U32),
    ("context_length", U32),
    ("embedding_length", U32),
    ("vocab_size", U32),
    ("expert_count", U32),
    ("expert_used_count", Expected::OneOrEach),
    ("expert_group_count", U32),
    ("expert_group_used_count", U32),
    ("nextn_predict_layers", U32),
    ("feed_forward_length", Expected::OneOrEach),
    ("attention.head_count", Expected::OneOrEach),
    ("attention.head_count_kv", Expected::OneOrEach),
    ("attention.key_length", U32),
    ("attention.value_length", U32),
    ("attention.causal", BOOL),
    ("attention.layer_norm_epsilon", F32),
    ("attention.layer_norm_rms_epsilon", F32),
    ("attention.group_norm_epsilon", F32),
    ("rope.dimension_count", U32),
    ("rope.freq_base", F32),
    ("rope.scaling.type", STRING),
    ("rope.scaling.factor", F32),
    ("rope.scaling.original_context_length", U32),
];

/// The alignment that the file states, or the default.
pub(super) fn alignment(metadata: &Metadata) -> Result<u64, Error> {
    let Some(entry) = metadata.entry("general.alignment") else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    let found = match &entry.value {
        Value::U32(found) => u64::from(*found),
        other => return Err(wrong_type(entry, other, U32)),
    };
    let fits = found.is_power_of_two() && (LEAST_ALIGNMENT..=MOST_ALIGNMENT).contains(&found);
    if !fits {
        return Err(Problem::Alignment { found }.at(entry.offset));
    }
    Ok(found)
}

/// Checks every key that is known.
pub(super) fn check(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<(), Error> {
    check_types(metadata, "", KEYS)?;
    if let Some(entry) = metadata.entry(CHARSMAP)
        && let Some(list) = entry.value.as_array()
        && list.kind == ValueType::String
        && !is_told_in_texts(metadata)
    {
        return Err(wrong_type(entry, &entry.value, Expected::Charsmap));
    }
    check_vocabulary(metadata, vocabulary)?;
    if is_later_part(metadata) {
        return Ok(());
    }
    let prefix = architecture_prefix(metadata)?;
    check_types(metadata, &prefix, ARCHITECTURE_KEYS)?;
    match GeneralType::of(metadata) {
        GeneralType::Model => check_model(metadata, &prefix),
        GeneralType::Projector => projector::check(metadata),
        GeneralType::Adapter => Ok(()),
    }
}

/// Checks that a file has tensors, unless it is a part of a split model.
pub(super) fn check_tensor_count(metadata: &Metadata, count: usize, at: u64) -> Result<(), Error> {
    let is_part = metadata.u64("split.count").is_some_and(|count| count > 1);
    if count == 0 && !is_part {
        return Err(Problem::NoTensors.at(at));
    }
    Ok(())
}

/// Whether the file is the second or a later part of a split model, which repeats nothing of the first.
fn is_later_part(metadata: &Metadata) -> bool {
    metadata.u64("split.no").is_some_and(|number| number > 0)
}

fn check_types(metadata: &Metadata, prefix: &str, keys: &[(&str, Expected)]) -> Result<(), Error> {
    for entry in metadata.iter() {
        let Some(rest) = entry.key.strip_prefix(prefix) else {
            continue;
        };
        let known = keys.iter().find(|(key, _)| *key == rest);
        if let Some((_, expected)) = known
            && !expected.fits(&entry.value)
        {
            return Err(wrong_type(entry, &entry.value, *expected));
        }
    }
    Ok(())
}

fn wrong_type(entry: &Entry, found: &Value, expected: Expected) -> Error {
    Problem::wrong_type(&entry.key, &found.type_name(), &expected.describe()).at(entry.offset)
}

/// The architecture's name with a dot behind it.
fn architecture_prefix(metadata: &Metadata) -> Result<String, Error> {
    const KEY: &str = "general.architecture";
    let entry = required(metadata, KEY)?;
    let name = entry.value.as_str().unwrap_or_default();
    let fits = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !fits {
        let found = format!("`{}`", harmless(name.as_bytes()));
        let expected = "1 to 64 letters, digits, `-`, `_` and `.`";
        return Err(Problem::wrong_value(KEY, found, expected).at(entry.offset));
    }
    Ok(format!("{name}."))
}

fn required<'metadata>(
    metadata: &'metadata Metadata,
    key: &str,
) -> Result<&'metadata Entry, Error> {
    metadata.entry(key).ok_or_else(|| {
        let key = harmless(key.as_bytes());
        Problem::MissingKey { key }.at(0)
    })
}

/// Keys that every model must have, and the values on which llama.cpp would abort.
fn check_model(metadata: &Metadata, prefix: &str) -> Result<(), Error> {
    let model = Model { metadata, prefix };
    let blocks = model.required_number("block_count", 1, MOST_BLOCKS)?;
    model.required_number("context_length", 1, u64::from(u32::MAX))?;
    model.required_number("embedding_length", 1, u64::from(u32::MAX))?;
    model.number("nextn_predict_layers", 0, blocks)?;
    model.check_experts()?;
    model.epsilon("attention.layer_norm_rms_epsilon", |epsilon| epsilon > 0.0)?;
    model.epsilon("attention.layer_norm_epsilon", |epsilon| epsilon >= 0.0)?;
    model.epsilon("attention.group_norm_epsilon", |epsilon| epsilon >= 0.0)?;
    model.check_scaling()
}

struct Model<'metadata> {
    metadata: &'metadata Metadata,
    prefix: &'metadata str,
}

impl Model<'_> {
    fn key(&self, rest: &str) -> String {
        format!("{}{rest}", self.prefix)
    }

    fn entry(&self, rest: &str) -> Option<&Entry> {
        self.metadata.entry(&self.key(rest))
    }

    fn required_number(&self, rest: &str, least: u64, most: u64) -> Result<u64, Error> {
        required(self.metadata, &self.key(rest))?;
        Ok(self.number(rest, least, most)?.unwrap_or_default())
    }

    /// A number, or the greatest of one for each layer, that must lie in a range.
    fn number(&self, rest: &str, least: u64, most: u64) -> Result<Option<u64>, Error> {
        let Some(entry) = self.entry(rest) else {
            return Ok(None);
        };
        let found = greatest(&entry.value);
        if !(least..=most).contains(&found) {
            let expected = format!("{least} to {most}");
            return Err(Problem::wrong_value(&entry.key, found, &expected).at(entry.offset));
        }
        Ok(Some(found))
    }

    fn check_experts(&self) -> Result<(), Error> {
        let experts = self.number("expert_count", 0, MOST_EXPERTS)?.unwrap_or(0);
        let least_used = u64::from(experts > 0);
        if experts > 0 {
            required(self.metadata, &self.key("expert_used_count"))?;
        }
        self.number("expert_used_count", least_used, experts)?;
        let most_groups = experts.saturating_sub(1);
        let groups = self.number("expert_group_count", 0, most_groups)?;
        let groups = groups.unwrap_or(0);
        if groups <= 1 {
            return Ok(());
        }
        if !experts.is_multiple_of(groups) {
            let key = self.key("expert_group_count");
            let expected = format!("a divisor of the {experts} experts");
            return Err(Problem::wrong_value(&key, groups, &expected).at(0));
        }
        self.required_number("expert_group_used_count", 1, groups - 1)?;
        Ok(())
    }

    fn epsilon(&self, rest: &str, fits: impl Fn(f32) -> bool) -> Result<(), Error> {
        let Some(entry) = self.entry(rest) else {
            return Ok(());
        };
        match entry.value {
            Value::F32(epsilon) if epsilon.is_finite() && fits(epsilon) => Ok(()),
            Value::F32(epsilon) => {
                let expected = "a small number above 0";
                Err(Problem::wrong_value(&entry.key, epsilon, expected).at(entry.offset))
            }
            ref other => Err(wrong_type(entry, other, F32)),
        }
    }

    fn check_scaling(&self) -> Result<(), Error> {
        let Some(entry) = self.entry("rope.scaling.type") else {
            return Ok(());
        };
        let name = entry.value.as_str().unwrap_or_default();
        if !["none", "linear", "yarn", "longrope"].contains(&name) {
            let found = format!("`{}`", harmless(name.as_bytes()));
            let expected = "none, linear, yarn or longrope";
            return Err(Problem::wrong_value(&entry.key, found, expected).at(entry.offset));
        }
        Ok(())
    }
}

/// A number, or the greatest of an array's; what is negative counts as more than any limit.
fn greatest(value: &Value) -> u64 {
    let one = |value: &Value| value.as_u64().unwrap_or(u64::MAX);
    match value {
        Value::Array(array) => match &array.items {
            Some(items) if array.len <= SMALL_ARRAY => items.iter().map(one).max().unwrap_or(0),
            // More elements than that is more than any model has layers.
            _ => u64::MAX,
        },
        other => one(other),
    }
}

fn check_vocabulary(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<(), Error> {
    // In a file without a token list, ids mean the vocabulary of another file.
    let Some(size) = vocabulary.size else {
        return Ok(());
    };
    for key in ["tokenizer.ggml.scores", "tokenizer.ggml.token_type"] {
        let entry = metadata.entry(key);
        if let Some(entry) = entry
            && let Some(array) = entry.value.as_array()
            && array.len != size
        {
            let (key, found) = (key.to_owned(), array.len);
            return Err(Problem::VocabularyLength { key, found, size }.at(entry.offset));
        }
    }
    let entries = metadata.iter();
    for entry in entries.filter(|entry| vocabulary::is_token_id(&entry.key)) {
        check_token_id(entry, vocabulary, size)?;
    }
    Ok(())
}

fn check_token_id(entry: &Entry, vocabulary: &Vocabulary, size: u64) -> Result<(), Error> {
    let (least, greatest) = match &entry.value {
        Value::Array(array) if array.len == 0 => return Ok(()),
        Value::Array(_) => vocabulary
            .ids(&entry.key)
            .ok_or_else(|| wrong_type(entry, &entry.value, Expected::List(ValueType::U32)))?,
        one @ Value::U32(_) => {
            let id = vocabulary::id(one);
            (id, id)
        }
        other => return Err(wrong_type(entry, other, U32)),
    };
    let outside = |id: &i64| !u64::try_from(*id).is_ok_and(|id| id < size);
    match [least, greatest].into_iter().find(outside) {
        Some(found) => {
            let key = harmless(entry.key.as_bytes());
            Err(Problem::TokenId { key, found, size }.at(entry.offset))
        }
        None => Ok(()),
    }
}
