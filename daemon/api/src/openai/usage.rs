//! Token counts and times of an answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Token counts of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = openai::Usage)]
pub struct Usage {
    /// Tokens of the prompt. With `n` choices the prompt counts once.
    pub prompt_tokens: u32,
    /// Tokens of all choices, thinking included.
    pub completion_tokens: u32,
    /// The sum of both.
    pub total_tokens: u32,
    /// Of the tokens of the prompt.
    pub prompt_tokens_details: PromptDetails,
    /// Of the tokens of the choices.
    pub completion_tokens_details: CompletionDetails,
}

/// Of the tokens of a prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PromptDetails {
    /// Tokens that came from the cache.
    pub cached_tokens: u32,
    /// Always 0.
    pub audio_tokens: u32,
}

/// Of the tokens of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CompletionDetails {
    /// Pieces of thinking that the model sent, about the number of its tokens.
    pub reasoning_tokens: u32,
    /// Drafted tokens that were accepted.
    pub accepted_prediction_tokens: u32,
    /// Drafted tokens that were not accepted.
    pub rejected_prediction_tokens: u32,
    /// Always 0.
    pub audio_tokens: u32,
}

/// Times of an answer, in llama.cpp's names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = openai::Timings)]
pub struct Timings {
    /// Prompt tokens that came from the cache.
    pub cache_n: u32,
    /// Prompt tokens that were computed.
    pub prompt_n: u32,
    /// Milliseconds of prefill.
    pub prompt_ms: f64,
    /// Milliseconds for each computed token of the prompt.
    pub prompt_per_token_ms: f64,
    /// Computed tokens of the prompt in a second.
    pub prompt_per_second: f64,
    /// Tokens of the answer.
    pub predicted_n: u32,
    /// Milliseconds of decoding.
    pub predicted_ms: f64,
    /// Milliseconds for each token of the answer.
    pub predicted_per_token_ms: f64,
    /// Tokens of the answer in a second.
    pub predicted_per_second: f64,
    /// Drafted tokens.
    pub draft_n: u32,
    /// Drafted tokens that were accepted.
    pub draft_n_accepted: u32,
}

/// Progress of prefill, in llama.cpp's names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PromptProgress {
    /// Tokens of the prompt.
    pub total: u32,
    /// Of these, tokens that came from the cache.
    pub cache: u32,
    /// Tokens that are computed or came from the cache.
    pub processed: u32,
    /// Milliseconds since the request arrived.
    pub time_ms: u64,
}
