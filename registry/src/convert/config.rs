//! Configuration of a model of the BERT family: its sizes, and how token embeddings are pooled.
//!
//! The packages `transformers` and `sentence-transformers` write these files; their defaults hold for missing values.

use serde::Deserialize;

use super::error::Error;
use super::folder::{Folder, shown, wrong};
use crate::RelPath;

pub(super) const CONFIG: &str = "config.json";
const MODULES: &str = "modules.json";
const SENTENCES: &str = "sentence_bert_config.json";
pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// What else there may be to a model, and is not computed.
const ONLY_ENCODERS: &str = "encoders of the architecture BertModel are; convert others to GGUF with llama.cpp's convert_hf_to_gguf.py";

/// `LLAMA_MAX_LAYERS`.
const MOST_LAYERS: u32 = 512;
const WIDEST: u32 = 1 << 16;
/// Far above any model; larger ones would be refused by the reader of what is written.
pub(super) const MOST_TOKENS: u32 = 1 << 20;
/// Begin, one word, and end; and the least that `num_ctx` can be.
const LEAST_POSITIONS: u32 = 4;

/// The sizes of a model.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bert {
    /// Layers.
    pub(super) layers: u32,
    /// Embedding length.
    pub(super) width: u32,
    /// Attention heads; a divisor of the embedding length.
    pub(super) heads: u32,
    /// Feed-forward length.
    pub(super) feed_forward: u32,
    /// Tokens of the longest text there are positions for.
    pub(super) positions: u32,
    /// Vocabulary size.
    pub(super) vocabulary: u32,
    /// Token types (segments).
    pub(super) token_types: u32,
    /// Epsilon of the layer norm.
    pub(super) epsilon: f32,
}

#[derive(Debug, Deserialize)]
struct Config {
    model_type: Option<String>,
    architectures: Option<Vec<String>>,
    hidden_size: u32,
    num_hidden_layers: u32,
    num_attention_heads: u32,
    intermediate_size: u32,
    max_position_embeddings: u32,
    vocab_size: u32,
    #[serde(default = "two")]
    type_vocab_size: u32,
    #[serde(default = "small")]
    layer_norm_eps: f64,
    #[serde(default = "gelu")]
    hidden_act: String,
    position_embedding_type: Option<String>,
    is_decoder: Option<bool>,
}

fn two() -> u32 {
    2
}

fn small() -> f64 {
    1e-12
}

fn gelu() -> String {
    "gelu".into()
}

impl Bert {
    /// Reads `config.json`.
    pub(super) fn read(folder: &mut Folder) -> Result<Self, Error> {
        let config: Config = folder.required(CONFIG)?;
        config.check_kind()?;
        let within = |what: &str, found: u32, least: u32, most: u32| {
            if (least..=most).contains(&found) {
                return Ok(found);
            }
            Err(wrong(
                CONFIG,
                format!("{what} is {found}, and {least} to {most} are possible"),
            ))
        };
        let width = within("hidden_size", config.hidden_size, 1, WIDEST)?;
        let heads = within("num_attention_heads", config.num_attention_heads, 1, width)?;
        if !width.is_multiple_of(heads) {
            let reason =
                format!("hidden_size {width} is no multiple of the {heads} attention heads");
            return Err(wrong(CONFIG, reason));
        }
        let epsilon = config.layer_norm_eps as f32;
        if !(0.0..1.0).contains(&epsilon) {
            let reason = format!("layer_norm_eps is {epsilon}, which is no small number");
            return Err(wrong(CONFIG, reason));
        }
        Ok(Self {
            layers: within(
                "num_hidden_layers",
                config.num_hidden_layers,
                1,
                MOST_LAYERS,
            )?,
            width,
            heads,
            feed_forward: within(
                "intermediate_size",
                config.intermediate_size,
                1,
                WIDEST * 16,
            )?,
            positions: within(
                "max_position_embeddings",
                config.max_position_embeddings,
                LEAST_POSITIONS,
                MOST_TOKENS,
            )?,
            vocabulary: within("vocab_size", config.vocab_size, 1, MOST_TOKENS)?,
            token_types: within("type_vocab_size", config.type_vocab_size, 1, 1024)?,
            epsilon,
        })
    }
}

impl Config {
    /// Refuses what would be computed as something else than it is.
    fn check_kind(&self) -> Result<(), Error> {
        let kind = self.model_type.as_deref().unwrap_or("bert");
        if kind != "bert" {
            return Err(unsupported(
                CONFIG,
                format!("a model of the type `{}`", shown(kind)),
            ));
        }
        let encoders = ["BertModel", "BertForMaskedLM", "BertForPreTraining"];
        let architectures = self.architectures.as_deref().unwrap_or_default();
        let known = |name: &String| encoders.contains(&name.as_str());
        if let Some(first) = architectures.first()
            && !architectures.iter().any(known)
        {
            return Err(unsupported(
                CONFIG,
                format!("the architecture `{}`", shown(first)),
            ));
        }
        if !["gelu", "gelu_new", "gelu_pytorch_tanh"].contains(&self.hidden_act.as_str()) {
            return Err(unsupported(
                CONFIG,
                format!("the activation `{}`", shown(&self.hidden_act)),
            ));
        }
        let positions = self.position_embedding_type.as_deref();
        if let Some(positions) = positions.filter(|kind| *kind != "absolute") {
            return Err(unsupported(
                CONFIG,
                format!("positions of the type `{}`", shown(positions)),
            ));
        }
        if self.is_decoder == Some(true) {
            return Err(unsupported(CONFIG, "a decoder".into()));
        }
        Ok(())
    }
}

/// The pooling type, by the numbers of `enum llama_pooling_type` in llama.cpp's `llama.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Pooling {
    /// The mean.
    Mean = 1,
    /// The first token.
    First = 2,
    /// The last token.
    Last = 3,
}

/// How the model is used for sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sentences {
    /// The pooling type.
    pub(super) pooling: Pooling,
    /// Tokens of the longest text that is read; at most as many as there are positions.
    pub(super) longest: u32,
    /// Whether texts are read in lower case, whatever the tokenizer does.
    pub(super) lowercase: bool,
}

#[derive(Debug, Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    path: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SentenceConfig {
    max_seq_length: Option<u32>,
    do_lower_case: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Lengths {
    /// A float, because files that know no limit say 10³⁰.
    model_max_length: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Modes {
    pooling_mode: Option<String>,
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
    pooling_mode_lasttoken: bool,
}

impl Sentences {
    /// Reads what `sentence-transformers` wrote beside the model, if it did.
    pub(super) fn read(folder: &mut Folder, bert: &Bert) -> Result<Self, Error> {
        let used: SentenceConfig = folder.description(SENTENCES)?.unwrap_or_default();
        let lengths: Lengths = folder.description(TOKENIZER_CONFIG)?.unwrap_or_default();
        let longest = match used.max_seq_length {
            Some(longest) => longest,
            // A cast that is too large is cut, and so is less than nothing.
            None => lengths
                .model_max_length
                .map_or(u32::MAX, |most| most as u32),
        };
        let longest = longest.min(bert.positions);
        if longest < LEAST_POSITIONS {
            let reason = format!("texts of {longest} tokens would hold no word");
            return Err(wrong(SENTENCES, reason));
        }
        Ok(Self {
            pooling: pooling(folder)?,
            longest,
            lowercase: used.do_lower_case,
        })
    }
}

fn pooling(folder: &mut Folder) -> Result<Pooling, Error> {
    let Some(modules) = folder.description::<Vec<Module>>(MODULES)? else {
        return Ok(Pooling::Mean);
    };
    let mut pooling = None;
    for module in modules {
        match module.kind.rsplit('.').next().unwrap_or_default() {
            // Vectors are given the length 1 where that is asked for, and not by the model.
            "Transformer" | "Normalize" => {}
            "Pooling" if pooling.is_none() => pooling = Some(mode(folder, &module.path)?),
            _ => {
                return Err(unsupported(
                    MODULES,
                    format!("a module `{}`", shown(&module.kind)),
                ));
            }
        }
    }
    pooling.ok_or_else(|| wrong(MODULES, "none of the modules makes one vector of many"))
}

fn mode(folder: &mut Folder, path: &str) -> Result<Pooling, Error> {
    let name = format!("{path}/{CONFIG}");
    RelPath::parse(&name).map_err(|error| wrong(MODULES, shown(&error.to_string())))?;
    let modes: Modes = folder.required(&name)?;
    let flags = [
        (modes.pooling_mode_mean_tokens, "mean"),
        (modes.pooling_mode_cls_token, "cls"),
        (modes.pooling_mode_lasttoken, "lasttoken"),
        (modes.pooling_mode_max_tokens, "max"),
        (modes.pooling_mode_mean_sqrt_len_tokens, "mean_sqrt_len"),
        (modes.pooling_mode_weightedmean_tokens, "weightedmean"),
    ];
    let mut wanted: Vec<&str> = flags
        .iter()
        .filter(|(on, _)| *on)
        .map(|(_, mode)| *mode)
        .collect();
    wanted.extend(modes.pooling_mode.as_deref());
    wanted.dedup();
    match wanted[..] {
        ["mean"] => Ok(Pooling::Mean),
        ["cls"] => Ok(Pooling::First),
        ["lasttoken"] => Ok(Pooling::Last),
        [] => Err(wrong(&name, "no way of pooling is named")),
        _ => Err(Error::Unsupported {
            file: shown(&name),
            what: format!("pooling by {}", shown(&wanted.join(" and "))),
            remedy: "mean, cls and lasttoken are possible, one of them",
        }),
    }
}

pub(super) fn unsupported(file: &str, what: String) -> Error {
    Error::Unsupported {
        file: shown(file),
        what,
        remedy: ONLY_ENCODERS,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::folder::tests::folder;
    use super::*;

    fn config() -> Value {
        json!({
            "model_type": "bert", "architectures": ["BertModel"], "hidden_size": 384, "num_hidden_layers": 6,
            "num_attention_heads": 12, "intermediate_size": 1536, "max_position_embeddings": 512, "vocab_size": 30522,
        })
    }

    fn read(config: &Value) -> Result<Bert, Error> {
        Bert::read(&mut folder(&[(CONFIG, config.to_string().as_bytes())]))
    }

    #[test]
    fn sizes_are_read_and_defaults_hold() {
        let bert = read(&config()).expect("a good config");
        assert_eq!(
            (bert.layers, bert.width, bert.heads, bert.feed_forward),
            (6, 384, 12, 1536)
        );
        assert_eq!(
            (bert.positions, bert.vocabulary, bert.token_types),
            (512, 30522, 2)
        );
        assert_eq!(bert.epsilon, 1e-12);
    }

    #[test]
    fn a_config_that_cannot_be_or_is_something_else_is_refused() {
        for (key, value, reason) in [
            ("hidden_size", json!(0), "1 to 65536"),
            ("hidden_size", json!(385), "no multiple of the 12"),
            ("hidden_size", json!(-1), "invalid value"),
            ("hidden_size", json!(1e9), "invalid type"),
            ("hidden_size", json!(4_000_000_000_u32), "1 to 65536"),
            ("num_hidden_layers", json!(513), "1 to 512"),
            ("num_attention_heads", json!(0), "1 to 384"),
            ("intermediate_size", json!(0), "1 to 1048576"),
            ("max_position_embeddings", json!(3), "4 to 1048576"),
            ("vocab_size", json!(2_000_000), "1 to 1048576"),
            ("type_vocab_size", json!(0), "1 to 1024"),
            ("layer_norm_eps", json!(-1.0), "no small number"),
            ("layer_norm_eps", json!(1e300), "no small number"),
            ("model_type", json!("llama"), "type `llama` cannot"),
            (
                "architectures",
                json!(["BertForSequenceClassification"]),
                "convert_hf_to_gguf",
            ),
            ("hidden_act", json!("relu"), "activation"),
            (
                "position_embedding_type",
                json!("relative_key"),
                "positions",
            ),
            ("is_decoder", json!(true), "a decoder"),
        ] {
            let mut config = config();
            config[key] = value;
            let message = read(&config).expect_err(key).to_string();
            assert!(
                message.contains("`config.json`") && message.contains(reason),
                "{key}: {message}"
            );
        }
        let error = Bert::read(&mut folder(&[])).expect_err("nothing there");
        assert!(matches!(error, Error::Missing { .. }));
        let deep = "[".repeat(100_000);
        assert!(Bert::read(&mut folder(&[(CONFIG, deep.as_bytes())])).is_err());
    }

    fn sentences(files: &[(&str, Value)]) -> Result<Sentences, Error> {
        let bert = read(&config()).expect("a good config");
        let texts: Vec<_> = files
            .iter()
            .map(|(name, json)| (*name, json.to_string()))
            .collect();
        let files: Vec<_> = texts
            .iter()
            .map(|(name, text)| (*name, text.as_bytes()))
            .collect();
        Sentences::read(&mut folder(&files), &bert)
    }

    fn modules(kinds: &[&str]) -> Value {
        kinds
            .iter()
            .map(|kind| json!({"type": format!("sentence_transformers.models.{kind}"), "path": "1_Pooling"}))
            .collect()
    }

    #[test]
    fn texts_are_as_long_as_the_first_file_says_that_says_so() {
        let longest = |files: &[(&str, Value)]| sentences(files).expect("good files").longest;
        assert_eq!(longest(&[]), 512);
        let tokenizer = (TOKENIZER_CONFIG, json!({"model_max_length": 128}));
        assert_eq!(longest(std::slice::from_ref(&tokenizer)), 128);
        assert_eq!(
            longest(&[(TOKENIZER_CONFIG, json!({"model_max_length": 1e30}))]),
            512
        );
        let sentence = (SENTENCES, json!({"max_seq_length": 256}));
        assert_eq!(longest(&[tokenizer, sentence]), 256);
        assert_eq!(
            longest(&[(SENTENCES, json!({"max_seq_length": 1024}))]),
            512
        );
        let none = sentences(&[(SENTENCES, json!({"max_seq_length": 2}))]);
        assert!(
            none.expect_err("no word fits")
                .to_string()
                .contains("no word")
        );
    }

    #[test]
    fn pooling_is_what_the_module_says() {
        let both = modules(&["Transformer", "Pooling", "Normalize"]);
        let pooled =
            |modes: Value| sentences(&[(MODULES, both.clone()), ("1_Pooling/config.json", modes)]);
        let good = |modes: Value| pooled(modes).expect("one way").pooling;
        assert_eq!(sentences(&[]).expect("the default").pooling, Pooling::Mean);
        assert_eq!(
            good(json!({"pooling_mode_mean_tokens": true})),
            Pooling::Mean
        );
        assert_eq!(
            good(json!({"pooling_mode_cls_token": true})),
            Pooling::First
        );
        assert_eq!(good(json!({"pooling_mode": "lasttoken"})), Pooling::Last);
        for (modes, reason) in [
            (json!({}), "no way"),
            (
                json!({"pooling_mode_max_tokens": true}),
                "pooling by max cannot",
            ),
            (
                json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}),
                "mean and cls",
            ),
            (json!([]), "`1_Pooling/config.json`"),
        ] {
            let message = pooled(modes).expect_err(reason).to_string();
            assert!(message.contains(reason), "{message}");
        }
        let missing = sentences(&[(MODULES, both)]).expect_err("no file");
        assert!(
            missing
                .to_string()
                .contains("`1_Pooling/config.json` is missing"),
            "{missing}"
        );
    }

    #[test]
    fn modules_that_are_not_computed_are_refused() {
        for (modules, reason) in [
            (modules(&["Transformer", "Pooling", "Dense"]), "Dense"),
            (modules(&["Transformer"]), "none of the modules"),
            (
                json!([{"type": "x.Pooling", "path": "../.."}]),
                "not a path",
            ),
            (json!({}), "invalid type"),
        ] {
            let modes = json!({"pooling_mode_mean_tokens": true});
            let files = [(MODULES, modules), ("1_Pooling/config.json", modes)];
            let message = sentences(&files).expect_err(reason).to_string();
            assert!(
                message.contains("`modules.json`") && message.contains(reason),
                "{message}"
            );
        }
    }
}
