//! Lists of items, and small answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// A page of a list of items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ItemList {
    /// Always `list`.
    pub object: String,
    /// The items.
    pub data: Vec<Value>,
    /// Id of the first item.
    pub first_id: Option<String>,
    /// Id of the last item.
    pub last_id: Option<String>,
    /// Whether there are items after the last one.
    pub has_more: bool,
}

/// Which page of a list of items.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct ItemsQuery {
    /// The page begins after the item of this id.
    pub after: Option<String>,
    /// Most items of the page, from 1 to 100; 20 by default.
    pub limit: Option<u32>,
    /// `asc`, or `desc`, the default.
    pub order: Option<String>,
}

/// How a saved response is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct RetrieveQuery {
    /// Refused when `true`: the events of a saved response are not kept.
    pub stream: Option<bool>,
    /// Refused, as it goes with `stream`.
    pub starting_after: Option<u64>,
    /// Without meaning here.
    pub include_obfuscation: Option<bool>,
}

/// Answer of `DELETE /v1/responses/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeletedResponse {
    /// The id.
    pub id: String,
    /// Always `response`.
    pub object: String,
    /// Always `true`.
    pub deleted: bool,
}

/// Answer of `POST /v1/responses/input_tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InputTokens {
    /// Always `response.input_tokens`.
    pub object: String,
    /// Tokens of the prompt.
    pub input_tokens: u64,
}
