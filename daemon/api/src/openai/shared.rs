//! The fields that chat/completions and completions share.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Options of a stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StreamOptions {
    /// Whether a last chunk without choices has the token counts.
    #[serde(default)]
    pub include_usage: Option<bool>,
    /// Has no meaning here: slm pads no chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_obfuscation: Option<bool>,
    /// Has no meaning here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continuous_usage_stats: Option<bool>,
}

/// Defines the body of a request: the listed fields, followed by the fields that chat/completions and completions share.
///
/// A number is a `Value`, because its range is that of a parameter of the Modelfile, which the daemon checks.
macro_rules! with_shared_fields {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)*
        }
    ) => {
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[serde(default)]
        $(#[$meta])*
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
            /// Whether the answer is a stream of events; the default is `false`.
            pub stream: Option<bool>,
            /// Options of a stream; without `stream` they have no meaning.
            pub stream_options: Option<$crate::openai::StreamOptions>,
            /// Number of choices, 1 to 16. They are generated at the same time, each with a seed one higher than the one before it.
            #[schema(value_type = Option<u32>)]
            pub n: Option<Value>,
            /// Maximum number of tokens to generate; −1 is until the context is full.
            #[schema(value_type = Option<i64>)]
            pub max_tokens: Option<Value>,
            /// Temperature of the sampler.
            #[schema(value_type = Option<f64>)]
            pub temperature: Option<Value>,
            /// Top-p of the sampler.
            #[schema(value_type = Option<f64>)]
            pub top_p: Option<Value>,
            /// Lowers the logit of every token that was used before by this much.
            #[schema(value_type = Option<f64>)]
            pub presence_penalty: Option<Value>,
            /// Lowers the logit of a token by this much for each earlier use.
            #[schema(value_type = Option<f64>)]
            pub frequency_penalty: Option<Value>,
            /// Seed of the sampler.
            #[schema(value_type = Option<i64>)]
            pub seed: Option<Value>,
            /// A stop text, or a list of up to 64. Empty ones are ignored.
            #[schema(value_type = Option<$crate::Texts>)]
            pub stop: Option<Value>,
            /// Biases added to logits: an object from token ids to numbers, or a list of pairs of both.
            pub logit_bias: Option<Value>,
            /// Has no meaning here.
            pub user: Option<Value>,
            /// Has no meaning here: no answer is stored under this route.
            pub store: Option<Value>,
            /// Has no meaning here.
            pub metadata: Option<Value>,
            /// Has no meaning here.
            pub service_tier: Option<Value>,
            /// Has no meaning here, because every prompt is cached.
            pub prompt_cache_key: Option<Value>,
            /// Has no meaning here, because every prompt is cached.
            pub prompt_cache_retention: Option<Value>,
            /// Has no meaning here, because every prompt is cached.
            pub prompt_cache_options: Option<Value>,
            /// Has no meaning here.
            pub safety_identifier: Option<Value>,

            /// How long the model stays loaded (Ollama).
            pub keep_alive: Option<$crate::KeepAlive>,
            /// Parameters of a Modelfile; a field of the request has priority (Ollama).
            pub options: Option<serde_json::Map<String, Value>>,
            /// Context in tokens.
            #[schema(value_type = Option<u32>)]
            pub num_ctx: Option<Value>,
            /// Whether the request is computed alone, so that the same request gives the same text (slm).
            pub deterministic: Option<bool>,
            /// Scales of the adapters of the model; an adapter that the list leaves out has scale 0 (llama.cpp).
            pub lora: Option<Vec<$crate::AdapterScale>>,

            /// Keeps only the k most likely tokens (llama.cpp).
            #[schema(value_type = Option<i64>)]
            pub top_k: Option<Value>,
            /// Minimum probability, relative to the most likely token (llama.cpp).
            #[schema(value_type = Option<f64>)]
            pub min_p: Option<Value>,
            /// Locally typical sampling (llama.cpp).
            #[schema(value_type = Option<f64>)]
            pub typical_p: Option<Value>,
            /// Keeps only tokens whose logit is at most this many standard deviations below the highest one (llama.cpp).
            #[schema(value_type = Option<f64>)]
            pub top_n_sigma: Option<Value>,
            /// Divides the logits of repeated tokens (llama.cpp).
            #[schema(value_type = Option<f64>)]
            pub repeat_penalty: Option<Value>,
            /// Number of last tokens that the penalties consider (llama.cpp).
            #[schema(value_type = Option<i64>)]
            pub repeat_last_n: Option<Value>,
            /// Range of the dynamic temperature (llama.cpp).
            #[schema(value_type = Option<f64>)]
            pub dynatemp_range: Option<Value>,
            /// Exponent of the dynamic temperature (llama.cpp).
            #[schema(value_type = Option<f64>)]
            pub dynatemp_exponent: Option<Value>,
            /// Probability of the XTC sampler (llama.cpp).
            #[schema(value_type = Option<f64>)]
            pub xtc_probability: Option<Value>,
            /// Threshold of the XTC sampler (llama.cpp).
            #[schema(value_type = Option<f64>)]
            pub xtc_threshold: Option<Value>,
            /// DRY penalty; 0 is off (llama.cpp).
            #[schema(value_type = Option<f64>)]
            pub dry_multiplier: Option<Value>,
            /// Growth of the DRY penalty (llama.cpp).
            #[schema(value_type = Option<f64>)]
            pub dry_base: Option<Value>,
            /// Longest repetition without a DRY penalty (llama.cpp).
            #[schema(value_type = Option<i64>)]
            pub dry_allowed_length: Option<Value>,
            /// Number of last tokens that DRY searches (llama.cpp).
            #[schema(value_type = Option<i64>)]
            pub dry_penalty_last_n: Option<Value>,
            /// Texts that end a repetition for DRY (llama.cpp).
            #[schema(value_type = Option<Vec<String>>)]
            pub dry_sequence_breakers: Option<Value>,
            /// Version of Mirostat, 1 or 2; 0 is off (llama.cpp).
            #[schema(value_type = Option<u32>)]
            pub mirostat: Option<Value>,
            /// Target surprise of Mirostat (llama.cpp).
            #[schema(value_type = Option<f64>)]
            pub mirostat_tau: Option<Value>,
            /// Learning rate of Mirostat (llama.cpp).
            #[schema(value_type = Option<f64>)]
            pub mirostat_eta: Option<Value>,
            /// Target probability of adaptive-p sampling (llama.cpp).
            #[schema(value_type = Option<f64>)]
            pub adaptive_target: Option<Value>,
            /// Weight of earlier draws in adaptive-p sampling (llama.cpp).
            #[schema(value_type = Option<f64>)]
            pub adaptive_decay: Option<Value>,
            /// The same as `max_tokens`, which has priority (llama.cpp).
            #[schema(value_type = Option<i64>)]
            pub n_predict: Option<Value>,
            /// A GBNF grammar that the answer must match (llama.cpp).
            pub grammar: Option<String>,
            /// A JSON Schema that the answer must match (llama.cpp).
            pub json_schema: Option<Value>,
            /// Report the logprob of each token with this many alternatives, at most 20; 0 is off (llama.cpp).
            #[schema(value_type = Option<u32>)]
            pub n_probs: Option<Value>,
            /// Whether the end of the answer has `timings` (llama.cpp).
            pub timings_per_token: Option<bool>,
            /// Whether a stream of chat/completions begins with chunks that have `prompt_progress`; it has no meaning for completions (llama.cpp).
            pub return_progress: Option<bool>,
            /// Has no meaning here: the prefix cache is always used, and it does not change the answer (llama.cpp).
            pub cache_prompt: Option<Value>,
            /// Has no meaning here: the engine chooses the slot (llama.cpp).
            pub id_slot: Option<Value>,
            /// Has no meaning here: the order of samplers is fixed (llama.cpp).
            pub samplers: Option<Value>,
            /// Has no meaning here: samplers keep at least one token (llama.cpp).
            pub min_keep: Option<Value>,
            /// Has no meaning here: a prompt that does not fit is refused (llama.cpp).
            pub n_keep: Option<Value>,
            /// Has no meaning here: an answer ends when the context is full (llama.cpp).
            pub n_discard: Option<Value>,
            /// `true` is refused: an answer ends at the end of the model's turn (llama.cpp).
            pub ignore_eos: Option<bool>,
            /// A positive number is refused: no answer has a limit of time (llama.cpp).
            #[schema(value_type = Option<i64>)]
            pub t_max_predict_ms: Option<Value>,
            /// A positive number is refused: no line has a minimum indentation (llama.cpp).
            #[schema(value_type = Option<i64>)]
            pub n_indent: Option<Value>,
            /// `true` is refused: logprobs are those before the samplers (llama.cpp).
            pub post_sampling_probs: Option<bool>,
            /// `true` is refused: the answer has no token ids (llama.cpp).
            pub return_tokens: Option<bool>,
        }

        impl $name {
            /// The fields that set a parameter of a Modelfile, each with the name of the parameter. A later field has priority.
            pub fn parameters(&self) -> Vec<(&'static str, &'static str, &Value)> {
                let fields = [
                    ("num_ctx", "num_ctx", &self.num_ctx),
                    ("n_predict", "num_predict", &self.n_predict),
                    ("max_tokens", "num_predict", &self.max_tokens),
                    ("temperature", "temperature", &self.temperature),
                    ("top_p", "top_p", &self.top_p),
                    ("presence_penalty", "presence_penalty", &self.presence_penalty),
                    ("frequency_penalty", "frequency_penalty", &self.frequency_penalty),
                    ("seed", "seed", &self.seed),
                    ("top_k", "top_k", &self.top_k),
                    ("min_p", "min_p", &self.min_p),
                    ("typical_p", "typical_p", &self.typical_p),
                    ("top_n_sigma", "top_n_sigma", &self.top_n_sigma),
                    ("repeat_penalty", "repeat_penalty", &self.repeat_penalty),
                    ("repeat_last_n", "repeat_last_n", &self.repeat_last_n),
                    ("dynatemp_range", "dynatemp_range", &self.dynatemp_range),
                    ("dynatemp_exponent", "dynatemp_exponent", &self.dynatemp_exponent),
                    ("xtc_probability", "xtc_probability", &self.xtc_probability),
                    ("xtc_threshold", "xtc_threshold", &self.xtc_threshold),
                    ("dry_multiplier", "dry_multiplier", &self.dry_multiplier),
                    ("dry_base", "dry_base", &self.dry_base),
                    ("dry_allowed_length", "dry_allowed_length", &self.dry_allowed_length),
                    ("dry_penalty_last_n", "dry_penalty_last_n", &self.dry_penalty_last_n),
                    ("dry_sequence_breakers", "dry_sequence_breakers", &self.dry_sequence_breakers),
                    ("mirostat", "mirostat", &self.mirostat),
                    ("mirostat_tau", "mirostat_tau", &self.mirostat_tau),
                    ("mirostat_eta", "mirostat_eta", &self.mirostat_eta),
                    ("adaptive_target", "adaptive_target", &self.adaptive_target),
                    ("adaptive_decay", "adaptive_decay", &self.adaptive_decay),
                ];
                let fields = fields.into_iter();
                fields.filter_map(|(field, parameter, value)| Some((field, parameter, value.as_ref()?))).collect()
            }

            /// The fields with a value that is refused, each with the reason.
            pub fn refused(&self) -> Option<(&'static str, &'static str)> {
                let is_positive = |value: &Option<Value>| {
                    value.as_ref().is_some_and(|value| value.as_f64().is_none_or(|number| number > 0.0))
                };
                let fields = [
                    ("ignore_eos", self.ignore_eos == Some(true), "must be false: an answer ends at the end of the model's turn"),
                    ("t_max_predict_ms", is_positive(&self.t_max_predict_ms), "must be 0 or less: no answer has a limit of time"),
                    ("n_indent", is_positive(&self.n_indent), "must be 0: no line has a minimum indentation"),
                    ("post_sampling_probs", self.post_sampling_probs == Some(true), "must be false: logprobs are those before the samplers"),
                    ("return_tokens", self.return_tokens == Some(true), "must be false: the answer has no token ids"),
                ];
                let refused = fields.into_iter().find(|(_, is_refused, _)| *is_refused);
                refused.map(|(field, _, reason)| (field, reason))
            }
        }
    };
}
pub(super) use with_shared_fields;
