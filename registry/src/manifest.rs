//! Manifests: which blobs a model consists of.
//!
//! A manifest is a JSON file in the shape of the Docker image manifest, version 2, with Ollama's media types for the layers.
//! The digest of a model is the SHA-256 of that file.
//!
//! Whatever is read from disk or network may be hostile: sizes and counts are bounded before they are believed,
//! and every digest passes through [`Digest`].

use serde::{Deserialize, Serialize};

use crate::{Digest, gguf::harmless};

/// Media type of a manifest.
pub const MANIFEST_TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Media type of a manifest by the OCI image specification, which has the same shape.
pub const OCI_MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of the config blob.
pub const CONFIG_TYPE: &str = "application/vnd.docker.container.image.v1+json";
/// Largest manifest that is read, in bytes.
pub const MANIFEST_MAX: u64 = 4 << 20;
/// Most layers in a manifest.
pub const LAYERS_MAX: usize = 1024;
/// Largest blob, in bytes: 2^53 - 1, the largest number that every JSON reader keeps exactly.
pub const BLOB_MAX: u64 = (1 << 53) - 1;

/// What a layer is, told by its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerKind {
    /// GGUF weights; a split model has several.
    Model,
    /// LoRA adapter (GGUF).
    Adapter,
    /// Projector of images or sound into the model (GGUF).
    Projector,
    /// Smaller model that drafts tokens (GGUF).
    Draft,
    /// Go template of the prompt.
    Template,
    /// Chat template (Jinja), which goes before the one in the weights.
    ChatTemplate,
    /// System prompt.
    System,
    /// JSON map of parameters.
    Params,
    /// JSON list of the example conversation.
    Messages,
    /// Text of a licence; repeatable.
    License,
    /// Anything else. Kept, counted and verified, but not understood.
    Other,
}

impl LayerKind {
    const NAMED: [(Self, &str); 10] = [
        (Self::Model, "application/vnd.ollama.image.model"),
        (Self::Adapter, "application/vnd.ollama.image.adapter"),
        (Self::Projector, "application/vnd.ollama.image.projector"),
        (Self::Draft, "application/vnd.ollama.image.draft"),
        (Self::Template, "application/vnd.ollama.image.template"),
        // Ollama has no such layer and passes over it; the type is Docker Model Runner's.
        (
            Self::ChatTemplate,
            "application/vnd.docker.ai.chat.template.jinja",
        ),
        (Self::System, "application/vnd.ollama.image.system"),
        (Self::Params, "application/vnd.ollama.image.params"),
        (Self::Messages, "application/vnd.ollama.image.messages"),
        (Self::License, "application/vnd.ollama.image.license"),
    ];

    /// The kind that a media type stands for.
    pub fn of(media_type: &str) -> Self {
        Self::NAMED
            .into_iter()
            .find(|(_, text)| *text == media_type)
            .map_or(Self::Other, |(kind, _)| kind)
    }

    /// Kinds of other programs, which are of no use here and no sign of damage.
    const FOREIGN: [&str; 4] = [
        "application/vnd.ollama.image.tensor",
        "application/vnd.ollama.image.json",
        "application/vnd.ollama.image.embed",
        "application/vnd.ollama.image.prompt",
    ];

    /// The media type of layers of this kind; `None` for [`LayerKind::Other`].
    pub(crate) fn media_type(self) -> Option<&'static str> {
        Self::NAMED
            .into_iter()
            .find(|(kind, _)| *kind == self)
            .map(|(_, text)| text)
    }

    /// True for the kinds whose blob is a GGUF file.
    pub fn is_gguf(self) -> bool {
        matches!(
            self,
            Self::Model | Self::Adapter | Self::Projector | Self::Draft
        )
    }
}

/// One blob that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// What it is, see [`LayerKind`].
    #[serde(rename = "mediaType")]
    pub media_type: String,
    /// Which blob.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The model it was taken over from, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Name of a tensor or file that the layer holds; written by others, kept by us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Layer {
    /// A layer of a named kind.
    pub(crate) fn new(kind: LayerKind, digest: Digest, size: u64) -> Self {
        let media_type = kind
            .media_type()
            .expect("only layers that we understand are written")
            .to_owned();
        Self {
            media_type,
            digest,
            size,
            from: None,
            name: None,
        }
    }

    /// What the layer is.
    pub fn kind(&self) -> LayerKind {
        LayerKind::of(&self.media_type)
    }
}

/// The blobs of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always 2.
    #[serde(rename = "schemaVersion")]
    pub schema_version: u32,
    /// [`MANIFEST_TYPE`] or [`OCI_MANIFEST_TYPE`], or left out by some writers.
    #[serde(rename = "mediaType", default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The config blob, see [`crate::config::Config`].
    pub config: Layer,
    /// The other blobs, in order.
    pub layers: Vec<Layer>,
}

/// Why bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or not of the expected shape; digests are checked here too.
    #[error("it is not manifest JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// Larger than [`MANIFEST_MAX`].
    #[error("it has {0} bytes, at most {MANIFEST_MAX} are read")]
    TooLarge(u64),
    /// A schema version other than 2.
    #[error("its schema version is {0}, only 2 is known")]
    Schema(u32),
    /// An index or anything else that is neither [`MANIFEST_TYPE`] nor [`OCI_MANIFEST_TYPE`].
    #[error("its media type is {0:?}, expected {MANIFEST_TYPE:?}")]
    MediaType(String),
    /// It lists other manifests as well as layers, which readers understand differently.
    #[error("it holds {0:?} beside its layers, which is ambiguous")]
    Ambiguous(&'static str),
    /// No layer at all.
    #[error("it names no layer")]
    Empty,
    /// More than [`LAYERS_MAX`].
    #[error("it names {0} layers, at most {LAYERS_MAX} are read")]
    TooManyLayers(usize),
    /// A size that no blob can have.
    #[error("it gives {digest} a size of {size} bytes, which no blob has")]
    Size {
        /// The blob.
        digest: Digest,
        /// The size it states.
        size: u64,
    },
    /// One digest under two sizes, or as config and as layer at once.
    #[error("it names {0} twice in ways that contradict each other")]
    Contradiction(Digest),
}

impl Manifest {
    /// A new manifest.
    pub(crate) fn new(config: Layer, layers: Vec<Layer>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MANIFEST_TYPE.into()),
            config,
            layers,
        }
    }

    /// Reads a manifest and checks all that can be checked without its blobs.
    ///
    /// # Errors
    /// Names the first rule that the bytes break.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() as u64 > MANIFEST_MAX {
            return Err(ManifestError::TooLarge(bytes.len() as u64));
        }
        /// Members that would make the file two things at once.
        #[derive(Deserialize)]
        struct Shape {
            manifests: Option<serde::de::IgnoredAny>,
            #[serde(rename = "fsLayers")]
            fs_layers: Option<serde::de::IgnoredAny>,
        }
        let shape: Shape = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if shape.manifests.is_some() {
            return Err(ManifestError::Ambiguous("manifests"));
        }
        if shape.fs_layers.is_some() {
            return Err(ManifestError::Ambiguous("fsLayers"));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The bytes that go to disk; their SHA-256 is the model's digest.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest holds only texts and numbers")
    }

    /// Config and layers, in that order.
    pub fn blobs(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&self.config).chain(&self.layers)
    }

    /// The digest over the digests of the weights, in order.
    /// Models with the same state key can use each other's KV states, also where template, draft model or projector differ
    /// (see [`ModelKey`](crate::ModelKey)). A state names the adapters that it was computed with.
    pub fn state_key(&self) -> Digest {
        let layers = self.layers_of(LayerKind::Model);
        let digests = layers.map(|layer| format!("{}\n", layer.digest));
        Digest::of(digests.collect::<String>().as_bytes())
    }

    /// A sentence for each layer of an unknown kind, which is not used.
    pub(crate) fn strange_layers(&self) -> impl Iterator<Item = String> {
        let strange = self.layers.iter().filter(|layer| {
            layer.kind() == LayerKind::Other
                && !LayerKind::FOREIGN.contains(&layer.media_type.as_str())
        });
        strange.map(|layer| {
            let kind = harmless(layer.media_type.as_bytes());
            format!("its layer {} is of the unknown kind {kind:?}", layer.digest)
        })
    }

    /// Layers of one kind, in order.
    pub(crate) fn layers_of(&self, kind: LayerKind) -> impl Iterator<Item = &Layer> {
        self.layers.iter().filter(move |layer| layer.kind() == kind)
    }

    /// Sum of the sizes of all distinct blobs, in bytes.
    pub fn size(&self) -> u64 {
        let mut seen = std::collections::HashSet::new();
        self.blobs()
            .filter(|layer| seen.insert(layer.digest))
            .map(|layer| layer.size)
            .fold(0, u64::saturating_add)
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.schema_version != 2 {
            return Err(ManifestError::Schema(self.schema_version));
        }
        if let Some(media_type) = self
            .media_type
            .as_deref()
            .filter(|text| !matches!(*text, MANIFEST_TYPE | OCI_MANIFEST_TYPE))
        {
            return Err(ManifestError::MediaType(
                media_type.chars().take(120).collect(),
            ));
        }
        if self.layers.is_empty() {
            return Err(ManifestError::Empty);
        }
        if self.layers.len() > LAYERS_MAX {
            return Err(ManifestError::TooManyLayers(self.layers.len()));
        }
        let mut sizes = std::collections::HashMap::new();
        for layer in &self.layers {
            if layer.size > BLOB_MAX {
                return Err(ManifestError::Size {
                    digest: layer.digest,
                    size: layer.size,
                });
            }
            if *sizes.entry(layer.digest).or_insert(layer.size) != layer.size {
                return Err(ManifestError::Contradiction(layer.digest));
            }
        }
        if self.config.size > crate::config::CONFIG_MAX {
            return Err(ManifestError::Size {
                digest: self.config.digest,
                size: self.config.size,
            });
        }
        if sizes.contains_key(&self.config.digest) {
            return Err(ManifestError::Contradiction(self.config.digest));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const OTHER: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn config() -> String {
        format!(r#"{{"mediaType":"{CONFIG_TYPE}","digest":"{DIGEST}","size":2}}"#)
    }

    fn layer(digest: &str, size: &str) -> String {
        format!(
            r#"{{"mediaType":"application/vnd.ollama.image.model","digest":"{digest}","size":{size}}}"#
        )
    }

    fn with(layers: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST_TYPE}","config":{},"layers":[{layers}]}}"#,
            config()
        )
    }

    #[test]
    fn a_manifest_reads_and_prints() {
        let text = with(&layer(OTHER, "5"));
        let manifest = Manifest::parse(text.as_bytes()).expect("a manifest");
        assert_eq!(String::from_utf8(manifest.to_bytes()).expect("JSON"), text);
        assert_eq!(
            (manifest.size(), manifest.layers[0].kind()),
            (7, LayerKind::Model)
        );
    }

    #[test]
    fn a_blob_counts_once() {
        let twice = with(&format!("{},{}", layer(OTHER, "5"), layer(OTHER, "5")));
        assert_eq!(
            Manifest::parse(twice.as_bytes())
                .expect("a manifest")
                .size(),
            7
        );
    }

    #[test]
    fn every_kind_has_one_media_type() {
        for (kind, text) in LayerKind::NAMED {
            assert_eq!((LayerKind::of(text), kind.media_type()), (kind, Some(text)));
        }
        assert_eq!(
            LayerKind::of("application/vnd.ollama.image.tensor"),
            LayerKind::Other
        );
        assert_eq!(LayerKind::Other.media_type(), None);
    }

    #[test]
    fn hostile_manifests_are_refused_by_rule() {
        let good = layer(OTHER, "5");
        let many = vec![good.as_str(); LAYERS_MAX + 1].join(",");
        for (text, rule) in [
            (String::new(), "Json"),
            ("[]".into(), "Json"),
            ("{".repeat(100_000), "Json"),
            (with(&layer("sha256:../../../../etc/passwd", "5")), "Json"),
            (with(&layer("", "5")), "Json"),
            (with(&layer(OTHER, "-1")), "Json"),
            (with(&layer(OTHER, "1e3")), "Json"),
            (with(&layer(OTHER, "18446744073709551616")), "Json"),
            (with(&layer(OTHER, "\"5\"")), "Json"),
            (with(&layer(OTHER, "18446744073709551615")), "Size"),
            (with(&layer(OTHER, "9007199254740992")), "Size"),
            (with(""), "Empty"),
            (with(&many), "TooManyLayers"),
            (
                with(&format!("{good},{}", layer(OTHER, "6"))),
                "Contradiction",
            ),
            (with(&layer(DIGEST, "2")), "Contradiction"),
            (
                with(&good).replace("\"size\":2", "\"size\":99999999"),
                "Size",
            ),
            (
                with(&good).replace("\"schemaVersion\":2", "\"schemaVersion\":1"),
                "Schema",
            ),
            (
                with(&good).replace(MANIFEST_TYPE, "application/vnd.oci.image.index.v1+json"),
                "MediaType",
            ),
            (
                with(&good).replace("\"layers\"", "\"manifests\":[],\"layers\""),
                "Ambiguous",
            ),
            (
                with(&good).replace("\"layers\"", "\"fsLayers\":[],\"layers\""),
                "Ambiguous",
            ),
            (
                with(&good).replace("\"layers\"", "\"layers\":[],\"layers\""),
                "Json",
            ),
            (" ".repeat(MANIFEST_MAX as usize + 1), "TooLarge"),
        ] {
            let error = Manifest::parse(text.as_bytes()).expect_err(rule);
            let found = format!("{error:?}");
            assert!(found.starts_with(rule), "{found} is not {rule}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, at in 0_usize..400, byte: u8) {
            let _ = Manifest::parse(&bytes);
            let mut text = with(&layer(OTHER, "5")).into_bytes();
            if let Some(place) = text.get_mut(at) {
                *place = byte;
            }
            if let Ok(manifest) = Manifest::parse(&text) {
                prop_assert_eq!(&Manifest::parse(&manifest.to_bytes()).expect("its own bytes"), &manifest);
            }
        }
    }
}
