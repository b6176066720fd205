//! Bodies of `/v1/conversations`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A conversation, without its items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Conversation {
    /// Its id, `conv_…`.
    pub id: String,
    /// Always `conversation`.
    pub object: String,
    /// When it was made, in seconds since 1970.
    pub created_at: i64,
    /// Up to 16 texts by name.
    pub metadata: BTreeMap<String, String>,
}

/// Body of `POST /v1/conversations` and `POST /v1/conversations/{id}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ConversationRequest {
    /// The first items, at most 20; refused for a conversation that exists.
    pub items: Option<Vec<Value>>,
    /// Up to 16 texts by name.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Body of `POST /v1/conversations/{id}/items`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ItemsRequest {
    /// The items to add, at most 20.
    pub items: Vec<Value>,
}

/// Answer of `DELETE /v1/conversations/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeletedConversation {
    /// The id.
    pub id: String,
    /// Always `conversation.deleted`.
    pub object: String,
    /// Always `true`.
    pub deleted: bool,
}
