//! The config blob of a model: its details, without a look at the weights.
//!
//! The JSON is Ollama's, so that either program can read what the other wrote.

use serde::{Deserialize, Deserializer, Serialize};

use crate::Digest;

/// Largest config blob that is read, in bytes.
pub const CONFIG_MAX: u64 = 1 << 20;

/// What is said about a model beside its layers. Every member may be missing or null in a file that others wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `gguf`.
    #[serde(deserialize_with = "null_as_default")]
    pub model_format: String,
    /// Architecture of the weights, such as `llama`.
    #[serde(deserialize_with = "null_as_default")]
    pub model_family: String,
    /// Architectures of weights and projectors.
    #[serde(deserialize_with = "null_as_default")]
    pub model_families: Vec<String>,
    /// Size class in parameters, such as `134.52M`.
    #[serde(deserialize_with = "null_as_default")]
    pub model_type: String,
    /// Quantization, such as `Q4_1`.
    #[serde(deserialize_with = "null_as_default")]
    pub file_type: String,
    /// Id of a built-in prompt renderer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renderer: Option<String>,
    /// Id of a built-in output parser.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parser: Option<String>,
    /// Oldest version that can run the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires: Option<String>,
    /// What the model can be used for, such as `completion`.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub capabilities: Vec<String>,
    /// Context length that the model was trained with.
    #[serde(rename = "context_length", skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
    /// Embedding length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_length: Option<u64>,
    /// Digest of the artifact's manifest that the model was made from; ours, and no member of Ollama's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_from: Option<Digest>,
    /// Always `amd64`: a word that image tools ask for, and that means nothing for weights.
    #[serde(deserialize_with = "null_as_default")]
    pub architecture: String,
    /// Always `linux`, for the same reason.
    #[serde(deserialize_with = "null_as_default")]
    pub os: String,
    /// The layers again, as image tools want them.
    #[serde(deserialize_with = "null_as_default")]
    pub rootfs: RootFs,
}

/// Digests of the layers in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", deserialize_with = "null_as_default")]
    pub kind: String,
    /// One for each layer of the manifest.
    #[serde(deserialize_with = "null_as_default")]
    pub diff_ids: Vec<Digest>,
}

/// Go writes an empty list as null.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_as_good_as_nothing() {
        let whole = serde_json::to_value(Config {
            capabilities: vec!["completion".into()],
            renderer: Some("x".into()),
            parser: Some("x".into()),
            requires: Some("x".into()),
            context_length: Some(1),
            embedding_length: Some(1),
            ..Config::default()
        });
        let mut whole = whole.expect("texts and numbers");
        let members = whole.as_object_mut().expect("an object");
        assert_eq!(members.len(), 14, "every member is written");
        members
            .values_mut()
            .for_each(|value| *value = serde_json::Value::Null);
        let config: Config = serde_json::from_value(whole).expect("a config");
        assert_eq!(config, Config::default());
        let inner: Config =
            serde_json::from_str(r#"{"rootfs":{"type":null,"diff_ids":null}}"#).expect("a config");
        assert_eq!(inner, Config::default());
    }
}
