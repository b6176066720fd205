//! Loading, unloading and pinning a model (ours).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{KeepAlive, LoadedModel, Unload};

/// Body of `POST /slm/v1/load` and `POST /slm/v1/pin`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LoadRequest {
    /// Name of the model, of any capability.
    pub model: String,
    /// Parameters that decide about the load, such as `num_ctx`; others have no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Map<String, Value>>,
    /// How long the model stays loaded when it is not used; the default is the setting `keep_alive`. A pinned model stays anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<KeepAlive>,
    /// Whether the earlier weights of this name are unloaded once the new ones are loaded, after the answers that use them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
}

/// Answer of `POST /slm/v1/load` and `POST /slm/v1/pin`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LoadResponse {
    /// Name of the model.
    pub model: String,
    /// Nanoseconds until the model was loaded.
    pub load_duration: u64,
    /// The loaded model; absent if it is unloaded again already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loaded: Option<LoadedModel>,
}

/// Body of `POST /slm/v1/unload` and `POST /slm/v1/unpin`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnloadRequest {
    /// Name of the model.
    pub model: String,
}

/// Answer of `POST /slm/v1/unload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnloadResponse {
    /// Name of the model.
    pub model: String,
    /// What became of it.
    pub unload: Unload,
}

/// Answer of `POST /slm/v1/unpin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnpinResponse {
    /// Name of the model.
    pub model: String,
    /// Whether it was pinned.
    pub was_pinned: bool,
}
