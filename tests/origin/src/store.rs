//! The content of the server.

use std::collections::BTreeMap;

use bytes::Bytes;
use sha1::Digest as _;

/// `sha256:<hex>` of bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&sha2::Sha256::digest(bytes)))
}

/// The git blob id of these bytes.
pub fn git_blob(bytes: &[u8]) -> String {
    let mut hasher = sha1::Sha1::new();
    hasher.update(format!("blob {}\0", bytes.len()));
    hasher.update(bytes);
    hex(&hasher.finalize())
}

/// A layer of a manifest, of one of Ollama's kinds.
pub fn layer(kind: &str, bytes: &[u8]) -> serde_json::Value {
    serde_json::json!({
        "mediaType": format!("application/vnd.ollama.image.{kind}"),
        "digest": digest(bytes),
        "size": bytes.len(),
    })
}

/// A manifest of these layers, with the bytes of its config.
pub fn manifest(config: &[u8], layers: &[serde_json::Value]) -> Vec<u8> {
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": digest(config),
            "size": config.len(),
        },
        "layers": layers,
    });
    manifest.to_string().into_bytes()
}

/// Pseudo-random bytes, so that no two ranges are equal.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The commit of every repository.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A served file with its headers.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) bytes: Bytes,
    pub(crate) headers: Vec<(&'static str, String)>,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    items: BTreeMap<String, Item>,
    /// Paths of files with their bytes, by repository.
    repositories: BTreeMap<String, BTreeMap<String, Bytes>>,
    blobs: BTreeMap<String, Bytes>,
    manifests: BTreeMap<String, Bytes>,
}

impl Store {
    pub(crate) fn blob(&mut self, bytes: Vec<u8>) -> String {
        let digest = digest(&bytes);
        self.blobs.insert(digest.clone(), bytes.into());
        digest
    }

    pub(crate) fn manifest(&mut self, name: &str, bytes: Vec<u8>) -> String {
        let digest = digest(&bytes);
        let (model, _) = name.split_once(':').expect("a name with a tag");
        self.manifests
            .insert(format!("{model}:{digest}"), bytes.clone().into());
        self.manifests.insert(name.to_owned(), bytes.into());
        digest
    }

    pub(crate) fn hub_file(&mut self, repo: &str, path: &str, bytes: Vec<u8>) {
        let files = self.repositories.entry(repo.to_owned()).or_default();
        files.insert(path.to_owned(), bytes.into());
    }

    pub(crate) fn file(&mut self, path: &str, bytes: Vec<u8>) {
        let etag = format!("\"{}\"", git_blob(&bytes));
        let item = Item {
            bytes: bytes.into(),
            headers: vec![("etag", etag)],
        };
        self.items.insert(path.to_owned(), item);
    }

    /// The item at a path without query.
    pub(crate) fn find(&self, path: &str) -> Option<Item> {
        if let Some(item) = self.items.get(path) {
            return Some(item.clone());
        }
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match parts.as_slice() {
            ["v2", repository @ .., "manifests", reference] => {
                let repository = repository.join("/");
                let bytes = self.manifests.get(&format!("{repository}:{reference}"))?;
                let kind = serde_json::from_slice::<serde_json::Value>(bytes).unwrap_or_default();
                let kind = kind["mediaType"]
                    .as_str()
                    .unwrap_or("application/json")
                    .to_owned();
                Some(Item {
                    headers: vec![
                        ("content-type", kind),
                        ("docker-content-digest", digest(bytes)),
                    ],
                    bytes: bytes.clone(),
                })
            }
            ["v2", .., "blobs", digest] => Some(Item {
                bytes: self.blobs.get(*digest)?.clone(),
                headers: vec![("content-type", "application/octet-stream".to_owned())],
            }),
            ["api", "models"] => {
                let listed: Vec<_> = self
                    .repositories
                    .keys()
                    .map(|id| {
                        serde_json::json!({
                            "id": id,
                            "downloads": 7,
                            "lastModified": "2026-01-31T00:00:00.000Z",
                            "tags": ["gguf", "license:mit"],
                        })
                    })
                    .collect();
                Some(json(&serde_json::json!(listed)))
            }
            ["api", "models", owner, name, "revision", _] => {
                self.repositories.get(&format!("{owner}/{name}"))?;
                Some(json(&serde_json::json!({
                    "id": format!("{owner}/{name}"),
                    "sha": COMMIT,
                    "gated": false,
                    "cardData": { "license": "apache-2.0" },
                })))
            }
            ["api", "models", owner, name, "tree", _] => {
                let files = self.repositories.get(&format!("{owner}/{name}"))?;
                let listed: Vec<_> = files
                    .iter()
                    .map(|(path, bytes)| listed(path, bytes))
                    .collect();
                Some(json(&serde_json::json!(listed)))
            }
            [owner, name, "resolve", _, rest @ ..] => {
                let files = self.repositories.get(&format!("{owner}/{name}"))?;
                let path = rest.join("/");
                let bytes = files.get(&path)?.clone();
                let mut headers = vec![("x-repo-commit", COMMIT.to_owned())];
                if is_large(&path) {
                    let hex = digest(&bytes).replace("sha256:", "");
                    headers.push(("x-linked-etag", format!("\"{hex}\"")));
                    headers.push(("x-linked-size", bytes.len().to_string()));
                } else {
                    headers.push(("etag", format!("\"{}\"", git_blob(&bytes))));
                }
                Some(Item { bytes, headers })
            }
            _ => None,
        }
    }
}

/// Whether the hub stores a file outside of git (LFS).
fn is_large(path: &str) -> bool {
    let is_weights = path.ends_with(".gguf") || path.ends_with(".safetensors");
    is_weights && !path.starts_with("in-git")
}

fn listed(path: &str, bytes: &[u8]) -> serde_json::Value {
    let mut entry = serde_json::json!({
        "type": "file",
        "path": path,
        "size": bytes.len(),
        "oid": git_blob(bytes),
    });
    if is_large(path) {
        let hex = digest(bytes).replace("sha256:", "");
        entry["lfs"] = serde_json::json!({ "oid": hex, "size": bytes.len(), "pointerSize": 134 });
    }
    entry
}

fn json(value: &serde_json::Value) -> Item {
    Item {
        bytes: value.to_string().into(),
        headers: vec![("content-type", "application/json".to_owned())],
    }
}
