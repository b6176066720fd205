//! A model as CNCF's ModelPack specification has it: an OCI manifest whose layers are files, with their paths in annotations.
//!
//! Weights are raw, so that a blob of weights is the same one here, there and in a registry of Ollama's. Texts beside them get the
//! names that the Hugging Face hub's endpoint for Ollama reads: `template`, `system` and `params`.

use serde::Serialize;
use serde_json::{Value, json};

use crate::manifest::{Layer, LayerKind};
use crate::{Capability, Digest, Model};

/// Media type of the manifest.
pub(super) const MANIFEST_TYPE: &str = crate::manifest::OCI_MANIFEST_TYPE;
const ARTIFACT_TYPE: &str = "application/vnd.cncf.model.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.cncf.model.config.v1+json";
const WEIGHT_TYPE: &str = "application/vnd.cncf.model.weight.v1.raw";
const WEIGHT_CONFIG_TYPE: &str = "application/vnd.cncf.model.weight.config.v1.raw";
const DOC_TYPE: &str = "application/vnd.cncf.model.doc.v1.raw";
/// The annotation with a file's path.
const PATH: &str = "org.cncf.model.filepath";

/// A model that is ready to be pushed.
pub(super) struct Packed {
    pub(super) manifest: Vec<u8>,
    pub(super) config: Vec<u8>,
    /// Digest and size of each blob of the store that is named.
    pub(super) layers: Vec<(Digest, u64)>,
    /// What is said of each layer that is not.
    pub(super) left_out: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: &'static str,
    artifact_type: &'static str,
    config: Value,
    layers: Vec<Value>,
}

/// Makes manifest and config of a model. The same model has the same ones each time.
pub(super) fn pack(model: &Model) -> Packed {
    let mut layers = Vec::new();
    let mut named = Vec::new();
    let mut left_out = Vec::new();
    let count = |kind| model.manifest.layers_of(kind).count();
    let mut numbers = std::collections::HashMap::new();
    for layer in &model.manifest.layers {
        let kind = layer.kind();
        let number = numbers.entry(kind).or_insert(0_usize);
        *number += 1;
        let Some((media_type, path)) = file(model, kind, *number, count(kind)) else {
            left_out.push(format!(
                "layer {} ({}) is left out",
                layer.digest.short(),
                layer.media_type
            ));
            continue;
        };
        layers.push(described(layer, media_type, &path));
        named.push((layer.digest, layer.size));
    }
    let config = serde_json::to_vec(&config(model, &named)).expect("texts and numbers");
    let manifest = Manifest {
        schema_version: 2,
        media_type: MANIFEST_TYPE,
        artifact_type: ARTIFACT_TYPE,
        config: json!({
            "mediaType": CONFIG_TYPE,
            "digest": Digest::of(&config),
            "size": config.len(),
        }),
        layers,
    };
    Packed {
        manifest: serde_json::to_vec(&manifest).expect("texts and numbers"),
        config,
        layers: named,
        left_out,
    }
}

/// Media type and path of the `number`th of `count` layers of a kind.
fn file(
    model: &Model,
    kind: LayerKind,
    number: usize,
    count: usize,
) -> Option<(&'static str, String)> {
    let name = model.name.model();
    let counted = |text: &str, end: &str| match count {
        1 => format!("{text}{end}"),
        _ => format!("{text}-{number}{end}"),
    };
    Some(match kind {
        LayerKind::Model if count == 1 => (WEIGHT_TYPE, format!("{name}.gguf")),
        LayerKind::Model => (
            WEIGHT_TYPE,
            format!("{name}-{number:05}-of-{count:05}.gguf"),
        ),
        LayerKind::Projector => (WEIGHT_TYPE, counted(&format!("mmproj-{name}"), ".gguf")),
        LayerKind::Adapter => (WEIGHT_TYPE, counted(&format!("adapter-{name}"), ".gguf")),
        LayerKind::Draft => (WEIGHT_TYPE, counted(&format!("draft-{name}"), ".gguf")),
        LayerKind::Template => (WEIGHT_CONFIG_TYPE, "template".to_owned()),
        LayerKind::ChatTemplate => (WEIGHT_CONFIG_TYPE, "chat_template.jinja".to_owned()),
        LayerKind::System => (WEIGHT_CONFIG_TYPE, "system".to_owned()),
        LayerKind::Params => (WEIGHT_CONFIG_TYPE, "params".to_owned()),
        LayerKind::Messages => (WEIGHT_CONFIG_TYPE, "messages".to_owned()),
        LayerKind::License => (DOC_TYPE, counted("LICENSE", "")),
        LayerKind::Other => return None,
    })
}

fn described(layer: &Layer, media_type: &str, path: &str) -> Value {
    json!({
        "mediaType": media_type,
        "digest": layer.digest,
        "size": layer.size,
        "annotations": { PATH: path },
    })
}

fn config(model: &Model, layers: &[(Digest, u64)]) -> Value {
    let details = &model.details;
    let has = |capability| model.capabilities.contains(&capability);
    let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let mut inputs = vec!["text"];
    inputs.extend(has(Capability::Vision).then_some("image"));
    inputs.extend(has(Capability::Audio).then_some("audio"));
    let outputs = match has(Capability::Embedding) {
        true => "embedding",
        false => "text",
    };
    let digests: Vec<Digest> = layers.iter().map(|(digest, _)| *digest).collect();
    let mut config = json!({
        "descriptor": { "name": model.name.model(), "family": known(&details.family) },
        "config": {
            "architecture": "transformer",
            "format": "gguf",
            "paramSize": known(&details.parameter_size).map(|size| size.to_ascii_lowercase()),
            "quantization": known(&details.quantization_level),
            "capabilities": {
                "inputTypes": inputs,
                "outputTypes": [outputs],
                "reasoning": has(Capability::Thinking),
                "toolUsage": has(Capability::Tools),
            },
        },
        "modelfs": { "type": "layers", "diffIds": digests },
    });
    for part in ["descriptor", "config"] {
        if let Some(members) = config[part].as_object_mut() {
            members.retain(|_, value| !value.is_null());
        }
    }
    config
}
