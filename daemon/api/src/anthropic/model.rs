//! The list of models.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// `GET /v1/models` with the header `anthropic-version`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Models {
    /// The models, the latest first.
    pub data: Vec<Model>,
    /// Whether there are more after `last_id`.
    pub has_more: bool,
    /// Id of the first model in `data`.
    pub first_id: Option<String>,
    /// Id of the last model in `data`.
    pub last_id: Option<String>,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = anthropic::Model)]
pub struct Model {
    /// Always `model`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its name.
    pub id: String,
    /// Its name for people.
    pub display_name: String,
    /// When its name was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Always `active`.
    pub lifecycle: &'static str,
    /// The context length that the model is loaded with, or would be.
    pub max_input_tokens: u64,
    /// The same.
    pub max_tokens: u64,
}
