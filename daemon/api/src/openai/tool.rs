//! Pieces of tool calls, and logprobs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A piece of a tool call in a stream. The first piece of a call has id, type and name; the others have only arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallDelta {
    /// Index of the call in its choice, from 0; the same in all pieces of a call.
    pub index: u32,
    /// Id of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `function`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The piece.
    pub function: FunctionDelta,
}

/// A piece of a function call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FunctionDelta {
    /// Name of the function, whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace of the function, if the tool was in one (slm).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// More of the JSON text of the arguments.
    pub arguments: String,
}

/// The logprobs of a piece of a choice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChoiceLogprobs {
    /// One for each token of the piece.
    pub content: Vec<TokenLogprob>,
    /// Always null.
    pub refusal: Option<Vec<TokenLogprob>>,
}

/// The logprob of a token, with the top logprobs at its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = openai::TokenLogprob)]
pub struct TokenLogprob {
    /// Text of the token; U+FFFD stands for an incomplete character.
    pub token: String,
    /// Natural logarithm of its probability before samplers and constraints; −9999 to 0.
    pub logprob: f32,
    /// Bytes of the token.
    pub bytes: Vec<u8>,
    /// The most likely tokens at this place, most likely first.
    pub top_logprobs: Vec<TopLogprob>,
}

/// One token and its logprob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TopLogprob {
    /// Text of the token; U+FFFD stands for an incomplete character.
    pub token: String,
    /// Its logprob.
    pub logprob: f32,
    /// Bytes of the token.
    pub bytes: Vec<u8>,
}
