//! Texts and tokens of a request.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A text or a list of tokens, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected a text, a list of texts, a list of token ids or a list of such lists"
)]
pub enum Inputs {
    /// One text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// The tokens of one text.
    Tokens(Vec<i64>),
    /// The tokens of several texts.
    TokenLists(Vec<Vec<i64>>),
}
