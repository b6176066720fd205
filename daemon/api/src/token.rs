//! Tokens, and the prompt that a model reads (ours).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::KeepAlive;

/// Body of `POST /slm/v1/tokenize`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenizeRequest {
    /// Name of the model.
    pub model: String,
    /// The text.
    pub text: String,
    /// Whether the tokens begin with the beginning-of-sequence token, if the model uses one; the default is `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_special: Option<bool>,
    /// Whether control tokens in the text, such as `<|im_end|>`, become tokens; the default is `true`. With `false` they stay text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parse_special: Option<bool>,
    /// Whether the answer has the text of each token; the default is `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_pieces: Option<bool>,
    /// How long the model stays loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
}

/// Answer of `POST /slm/v1/tokenize`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenizeResponse {
    /// Name of the model.
    pub model: String,
    /// The tokens.
    pub tokens: Vec<i32>,
    /// Their number.
    pub count: usize,
    /// The text of each token. A token that is part of a character has U+FFFD in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pieces: Option<Vec<String>>,
}

/// Body of `POST /slm/v1/detokenize`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DetokenizeRequest {
    /// Name of the model.
    pub model: String,
    /// The tokens.
    pub tokens: Vec<i32>,
    /// How long the model stays loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
}

/// Answer of `POST /slm/v1/detokenize`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DetokenizeResponse {
    /// Name of the model.
    pub model: String,
    /// The text.
    pub text: String,
}

/// Answer of `POST /slm/v1/apply-template`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TemplateResponse {
    /// Name of the model.
    pub model: String,
    /// The prompt as text, with control tokens as text.
    pub prompt: String,
    /// Its tokens. Each image is a marker in them.
    pub tokens: Vec<i32>,
    /// About how many tokens the prompt has, images included.
    pub count: usize,
}
