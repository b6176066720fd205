//! Bodies of `POST /v1/completions`.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::shared::with_shared_fields;
use super::{Inputs, Timings, Usage};

with_shared_fields! {
    /// Body of `POST /v1/completions`. A field that is `null` counts as absent.
    pub struct CompletionRequest {
        /// Name of the model. Required.
        pub model: Option<String>,
        /// One prompt or several. Required. The model reads it without its chat template, and control tokens in it are parsed.
        pub prompt: Option<Inputs>,
        /// Text after the gap that the model fills; then the prompt is rendered by the template of the model, which must have a place for
        /// it. It goes with prompts that are texts.
        pub suffix: Option<String>,
        /// Whether the text of the answer begins with the prompt. It goes without `suffix` and `logprobs`.
        pub echo: Option<bool>,
        /// 1; more is refused.
        #[schema(value_type = Option<u32>)]
        pub best_of: Option<Value>,
        /// Report the logprob of each token with this many alternatives, 0 to 20.
        #[schema(value_type = Option<u32>)]
        pub logprobs: Option<Value>,
    }
}

/// A whole answer, or a chunk of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CompletionAnswer<'a> {
    /// Its id, `cmpl-…`, the same in all chunks.
    pub id: &'a str,
    /// `text_completion`.
    pub object: &'static str,
    /// When the request came, in seconds since 1970.
    pub created: i64,
    /// The model, as the request names it.
    pub model: &'a str,
    /// The version of slm.
    pub system_fingerprint: &'a str,
    /// The choices, `n` for each prompt, in order; in a stream a piece of one choice.
    pub choices: Vec<CompletionChoice>,
    /// Token counts; in a stream with `include_usage` on the last chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Times of the choice, if the request has `timings_per_token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

/// A choice, or a piece of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct CompletionChoice {
    /// Its index, from 0.
    pub index: u32,
    /// The text, or more of it.
    pub text: String,
    /// The logprobs of its tokens, if the request asks for them.
    pub logprobs: Option<CompletionLogprobs>,
    /// `stop` or `length`; null until the last piece.
    pub finish_reason: Option<&'static str>,
}

/// The logprobs of tokens; the lists have an entry for each token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct CompletionLogprobs {
    /// The tokens.
    pub tokens: Vec<String>,
    /// Their logprobs.
    pub token_logprobs: Vec<f32>,
    /// The most likely tokens at each place, with their logprobs.
    #[schema(value_type = Option<Vec<Object>>)]
    pub top_logprobs: Option<Vec<Map<String, Value>>>,
    /// Where each token begins in the text of the choice, in characters.
    pub text_offset: Vec<usize>,
}
