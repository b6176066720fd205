//! Models in OCI registries in layouts other than Ollama's: the roles of their layers.
//!
//! | layout | media types of layers | specification |
//! |---|---|---|
//! | ModelPack | `application/vnd.cncf.model.{weight,weight.config,doc}.v1.{raw,tar,tar+gzip,tar+zstd}` | modelpack/model-spec, `docs/spec.md` |
//! | Docker Model Runner | `application/vnd.docker.ai.{gguf.v3,mmproj,license,chat.template.jinja,model.file}` | docker/model-spec |
//! | KitOps | `application/vnd.kitops.modelkit.{model,modelpart,docs}.v1.tar[+gzip,+zstd]` | kitops-ml/kitops |
//! | RamaLama | layers of an ordinary image, whose label `org.containers.type` is `ai.image.model…` | containers/ramalama |
//! | any other artifact | any media type, with a title that ends in `.gguf` | OCI image specification, `annotations.md` |

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Error;
use super::pick::{Listed, pick};
use crate::RelPath;
use crate::gguf::harmless;
use crate::manifest::{Layer, Manifest};
use crate::reference::Choice;

/// Annotations that name the file of a layer, the first that is there counts.
const NAMES: [&str; 2] = ["org.cncf.model.filepath", "org.opencontainers.image.title"];
/// The label of an image that holds a model, and how its values begin.
const LABEL: (&str, &str) = ("org.containers.type", "ai.image.model");

/// What a layer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// One file of the model.
    File(RelPath),
    /// Files of the model in a tar archive.
    Archive(Packing),
    /// Text of a licence.
    License,
    /// Chat template (Jinja).
    ChatTemplate,
    /// Go template of the prompt.
    Template,
    /// System prompt.
    System,
    /// Parameters (JSON).
    Parameters,
}

impl Role {
    /// Whether it is a text of the model.
    pub(crate) fn is_text(&self) -> bool {
        !matches!(self, Self::File(_) | Self::Archive(_))
    }
}

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// It is not.
    Plain,
    /// As gzip does (RFC 1952).
    Gzip,
    /// As zstd does (RFC 8878).
    Zstd,
}

/// A layer that is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// What it holds.
    pub(crate) role: Role,
    /// Its index among the layers of the manifest.
    pub(crate) index: usize,
}

/// The layers of an artifact that make the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Artifact {
    /// The layers, weights first.
    pub(crate) pieces: Vec<Piece>,
    /// What was chosen and what is left out, for people.
    pub(crate) steps: Vec<String>,
}

#[derive(Deserialize)]
struct Annotated {
    layers: Vec<Annotations>,
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// Whether a manifest has Ollama's layers, which are a model as they are.
pub(super) fn is_ollama(manifest: &Manifest) -> bool {
    let begins = |layer: &Layer| {
        layer
            .media_type
            .starts_with("application/vnd.ollama.image.")
    };
    manifest.layers.iter().any(begins)
}

/// Whether only the config tells if the layers of an image hold a model.
pub(super) fn needs_config(manifest: &Manifest) -> bool {
    manifest
        .layers
        .iter()
        .all(|layer| image(&layer.media_type).is_some())
}

/// Finds the layers that make the model. `bytes` is the manifest, `config` its config, where [`needs_config`].
///
/// # Errors
/// [`Error::Document`] for a file name that leads out of its folder; [`Error::NoSuchFile`] where nothing holds weights.
pub(super) fn read(
    manifest: &Manifest,
    bytes: &[u8],
    config: Option<&[u8]>,
    place: &str,
) -> Result<Artifact, Error> {
    let document = |reason: String| Error::Document {
        host: place.to_owned(),
        what: "a manifest",
        reason,
    };
    let annotated: Annotated =
        serde_json::from_slice(bytes).map_err(|error| document(error.to_string()))?;
    let is_image = config.is_some_and(is_model_image);
    let mut pieces = Vec::new();
    let mut left_out: Vec<String> = Vec::new();
    for (index, (layer, said)) in manifest.layers.iter().zip(annotated.layers).enumerate() {
        let name = NAMES
            .iter()
            .find_map(|name| said.annotations.as_ref()?.get(*name))
            .map(|name| RelPath::parse(name))
            .transpose()
            .map_err(|error| document(format!("its layer {}: {error}", layer.digest)))?;
        match role(&layer.media_type, name, index, is_image) {
            Some(role) => pieces.push(Piece { role, index }),
            None => {
                let kind = harmless(layer.media_type.as_bytes());
                if !left_out.contains(&kind) {
                    left_out.push(kind);
                }
            }
        }
    }
    let size = |index: usize| manifest.layers[index].size;
    let mut steps = choose(&mut pieces, size, place)?;
    if !left_out.is_empty() {
        left_out.truncate(8);
        steps.push(format!(
            "left out, as no part of a model: {}",
            left_out.join(", ")
        ));
    }
    Ok(Artifact { pieces, steps })
}

/// Keeps one quantization where there are files in GGUF; weights come first then.
fn choose(
    pieces: &mut Vec<Piece>,
    size: impl Fn(usize) -> u64,
    place: &str,
) -> Result<Vec<String>, Error> {
    let files: Vec<(usize, Listed)> = pieces
        .iter()
        .filter_map(|piece| match &piece.role {
            Role::File(path) if is_gguf(path) => {
                let path = path.as_str().to_owned();
                Some((
                    piece.index,
                    Listed {
                        path,
                        size: size(piece.index),
                    },
                ))
            }
            _ => None,
        })
        .collect();
    if files.is_empty() {
        let has_files = pieces
            .iter()
            .any(|piece| matches!(piece.role, Role::File(_) | Role::Archive(_)));
        if !has_files {
            return Err(Error::NoSuchFile {
                place: place.to_owned(),
                wanted: None,
                choices: Vec::new(),
            });
        }
        pieces.sort_by_key(|piece| piece.role.is_text());
        return Ok(Vec::new());
    }
    let (indexes, listed): (Vec<usize>, Vec<Listed>) = files.into_iter().unzip();
    let picked = pick(&listed, &Choice::Usual, place)?;
    let kept: Vec<usize> = picked
        .weights
        .iter()
        .chain(&picked.projector)
        .map(|at| indexes[*at])
        .collect();
    pieces.retain(|piece| piece.role.is_text() || kept.contains(&piece.index));
    pieces.sort_by_key(|piece| {
        kept.iter()
            .position(|index| *index == piece.index)
            .unwrap_or(usize::MAX)
    });
    Ok(picked.steps)
}

/// What a layer is by its media type; `None` for a layer that is not part of a model.
fn role(media_type: &str, name: Option<RelPath>, index: usize, is_image: bool) -> Option<Role> {
    let numbered = |begin: &str| RelPath::parse(&format!("{begin}-{index}.gguf")).ok();
    if let Some(kind) = media_type.strip_prefix("application/vnd.docker.ai.") {
        return match kind {
            "gguf.v3" => Some(Role::File(
                ends_in_gguf(name).or_else(|| numbered("model"))?,
            )),
            "mmproj" => numbered("mmproj").map(Role::File),
            "license" => Some(Role::License),
            "chat.template.jinja" => Some(Role::ChatTemplate),
            "safetensors" | "model.file" => of_file(name?),
            _ => None,
        };
    }
    if let Some(kind) = media_type.strip_prefix("application/vnd.cncf.model.") {
        let (kind, packed) = kind.split_once(".v1.")?;
        if !matches!(kind, "weight" | "weight.config" | "doc") {
            return None;
        }
        return match packed {
            // Written by Docker Model Runner.
            "gguf" => Some(Role::File(
                ends_in_gguf(name).or_else(|| numbered("model"))?,
            )),
            "raw" | "safetensors" => match name {
                Some(name) => of_file(name),
                None if kind == "weight" => numbered("model").map(Role::File),
                None => None,
            },
            packed => packing(packed).map(Role::Archive),
        };
    }
    if let Some(kind) = media_type.strip_prefix("application/vnd.kitops.modelkit.") {
        let (kind, packed) = kind.split_once(".v1.")?;
        return match kind {
            "model" | "modelpart" | "docs" => packing(packed).map(Role::Archive),
            _ => None,
        };
    }
    if let Some(packing) = image(media_type).filter(|_| is_image) {
        return Some(Role::Archive(packing));
    }
    ends_in_gguf(name).map(Role::File)
}

/// How a layer of an ordinary image is packed.
fn image(media_type: &str) -> Option<Packing> {
    let packed = media_type
        .strip_prefix("application/vnd.oci.image.layer.v1.")
        .or_else(|| media_type.strip_prefix("application/vnd.docker.image.rootfs.diff."))?;
    packing(packed)
}

fn packing(text: &str) -> Option<Packing> {
    match text {
        "tar" => Some(Packing::Plain),
        "tar+gzip" | "tar.gzip" => Some(Packing::Gzip),
        "tar+zstd" => Some(Packing::Zstd),
        _ => None,
    }
}

/// The role of a file by its name; `None` for a file that is not part of a model.
pub(crate) fn of_file(path: RelPath) -> Option<Role> {
    let name = path.file_name().to_ascii_lowercase();
    let begins = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
    if begins(&["license", "licence", "copying"]) {
        return Some(Role::License);
    }
    if name.ends_with(".jinja") {
        return Some(Role::ChatTemplate);
    }
    // As the hub's endpoint for Ollama names them, and a push of ours.
    match name.as_str() {
        "template" => return Some(Role::Template),
        "system" => return Some(Role::System),
        "params" => return Some(Role::Parameters),
        _ => {}
    }
    let ends = [".gguf", ".safetensors", ".json", ".txt", ".model"];
    let is_part = ends.iter().any(|end| name.ends_with(end)) && !begins(&["readme"]);
    is_part.then_some(Role::File(path))
}

pub(crate) fn is_gguf(path: &RelPath) -> bool {
    path.file_name().to_ascii_lowercase().ends_with(".gguf")
}

fn ends_in_gguf(name: Option<RelPath>) -> Option<RelPath> {
    name.filter(is_gguf)
}

fn is_model_image(config: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Image {
        config: Option<Settings>,
    }
    #[derive(Deserialize)]
    struct Settings {
        #[serde(rename = "Labels")]
        labels: Option<BTreeMap<String, String>>,
    }
    let image = serde_json::from_slice::<Image>(config).ok();
    let labels = image
        .and_then(|image| image.config?.labels)
        .unwrap_or_default();
    labels
        .get(LABEL.0)
        .is_some_and(|value| value.starts_with(LABEL.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;
    use serde_json::json;

    fn artifact(layers: &[(&str, Option<&str>)], config: Option<&str>) -> Result<Artifact, Error> {
        let layers: Vec<_> = layers
            .iter()
            .enumerate()
            .map(|(at, (kind, name))| {
                let annotations: BTreeMap<_, _> = name.iter().map(|name| (NAMES[0], *name)).collect();
                json!({"mediaType": kind, "digest": Digest::of(&[at as u8]).to_string(), "size": 5, "annotations": annotations})
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": crate::manifest::OCI_MANIFEST_TYPE,
            "config": {"mediaType": "application/octet-stream", "digest": Digest::of(b"config").to_string(), "size": 6},
            "layers": layers,
        });
        let bytes = manifest.to_string().into_bytes();
        let manifest = Manifest::parse(&bytes).expect("a manifest");
        read(
            &manifest,
            &bytes,
            config.map(str::as_bytes),
            "reg.example a/b",
        )
    }

    fn roles(layers: &[(&str, Option<&str>)]) -> Vec<(usize, String)> {
        let artifact = artifact(layers, None).unwrap_or_else(|error| panic!("{error}"));
        let shown = |piece: &Piece| match &piece.role {
            Role::File(path) => (piece.index, path.to_string()),
            other => (piece.index, format!("{other:?}")),
        };
        artifact.pieces.iter().map(shown).collect()
    }

    fn told(expected: &[(usize, &str)]) -> Vec<(usize, String)> {
        expected
            .iter()
            .map(|(at, text)| (*at, (*text).to_owned()))
            .collect()
    }

    #[test]
    fn each_layout_is_understood() {
        let docker = "application/vnd.docker.ai.";
        let kind = |end: &str| format!("{docker}{end}");
        assert_eq!(
            roles(&[
                (&kind("license"), None),
                (&kind("mmproj"), None),
                (&kind("gguf.v3"), None),
                (&kind("chat.template.jinja"), None),
                (&kind("vllm.config.tar"), None)
            ]),
            told(&[
                (2, "model-2.gguf"),
                (1, "mmproj-1.gguf"),
                (0, "License"),
                (3, "ChatTemplate")
            ])
        );
        let pack = |end: &str| format!("application/vnd.cncf.model.{end}");
        assert_eq!(
            roles(&[
                (&pack("weight.v1.raw"), Some("a/m-Q8_0.gguf")),
                (&pack("weight.v1.raw"), Some("m-Q4_K_M.gguf")),
                (&pack("doc.v1.raw"), Some("LICENSE")),
                (&pack("code.v1.raw"), Some("run.py"))
            ]),
            told(&[(1, "m-Q4_K_M.gguf"), (2, "License")])
        );
        assert_eq!(
            roles(&[
                (&pack("weight.config.v1.raw"), Some("config.json")),
                (&pack("weight.v1.tar+zstd"), None)
            ]),
            told(&[(0, "config.json"), (1, "Archive(Zstd)")])
        );
        let kit = |end: &str| format!("application/vnd.kitops.modelkit.{end}");
        assert_eq!(
            roles(&[
                (&kit("code.v1.tar"), None),
                (&kit("model.v1.tar+gzip"), None)
            ]),
            told(&[(1, "Archive(Gzip)")])
        );
        assert_eq!(
            roles(&[("application/gguf", Some("any.gguf"))]),
            told(&[(0, "any.gguf")])
        );
    }

    #[test]
    fn an_image_is_a_model_if_its_label_says_so() {
        let layers = [("application/vnd.oci.image.layer.v1.tar+gzip", None)];
        let config = r#"{"config":{"Labels":{"org.containers.type":"ai.image.model.raw"}}}"#;
        let found = artifact(&layers, Some(config)).expect("a model");
        assert_eq!(found.pieces[0].role, Role::Archive(Packing::Gzip));
        for other in [r#"{"config":{"Labels":null}}"#, "{}", "no JSON"] {
            let error = artifact(&layers, Some(other)).expect_err("no model");
            assert_eq!(error.to_string(), "reg.example a/b has no weights in GGUF");
        }
    }

    #[test]
    fn a_name_that_leads_out_of_its_folder_is_refused() {
        for name in [
            "../../etc/passwd",
            "/etc/passwd",
            "C:\\m.gguf",
            "a\\b.gguf",
            "con.gguf",
        ] {
            let error = artifact(
                &[("application/vnd.cncf.model.weight.v1.raw", Some(name))],
                None,
            );
            let text = error.expect_err(name).to_string();
            assert!(text.contains("is not a path inside a folder"), "{text}");
        }
    }
}
