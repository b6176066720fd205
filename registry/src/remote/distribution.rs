//! Registries that speak the OCI distribution protocol (opencontainers/distribution-spec), with Ollama's media types.
//!
//! ```text
//! GET /v2/<namespace>/<model>/manifests/<tag or digest>
//! GET /v2/<namespace>/<model>/blobs/<digest>        the bytes, or a redirect of any kind to them
//! ```
//!
//! A tag is resolved once; all else goes by digest. A list of manifests, one for each program that runs the model, leads to the
//! one for llama.cpp, which is fetched as a blob.

use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::{Auth, Error, Found, Place, Recipe, RemoteFile};
use crate::http::{Client, Request, shown};
use crate::manifest::{MANIFEST_MAX, Manifest};
use crate::{Digest, ModelName};

/// Media type of Ollama's list of manifests, one for each kind of runner.
const LIST_TYPE: &str = "application/vnd.ollama.manifest.list.v2+json";
/// What is understood.
const ACCEPTED: &str = "application/vnd.ollama.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.oci.image.manifest.v1+json";
/// Kinds of runners whose files llama.cpp reads, the best first.
const RUNNERS: [&str; 2] = ["llamacpp", "ggml"];

/// A model in a registry.
#[derive(Debug, Clone)]
pub(crate) struct Distribution {
    /// Scheme, host and port.
    pub(crate) base: Url,
    /// Its name; host and tag count for the store only.
    pub(crate) name: ModelName,
    /// The digest that its manifest must have.
    pub(crate) digest: Option<Digest>,
}

/// A list of manifests.
#[derive(Deserialize)]
struct List {
    manifests: Vec<Child>,
}

#[derive(Deserialize)]
struct Child {
    digest: Digest,
    #[serde(default)]
    runner: String,
    #[serde(default)]
    format: String,
}

impl Distribution {
    /// Finds out what the model consists of.
    ///
    /// # Errors
    /// [`Error`]; [`Error::NotFound`] when the registry answers that it has no such model.
    pub(crate) async fn find(&self, client: &Client) -> Result<Found, Error> {
        let auth = Auth::challenged();
        let reference = match &self.digest {
            Some(digest) => digest.to_string(),
            None => self.name.tag().to_owned(),
        };
        let url = self.url("manifests", &reference);
        let host = shown(&self.base);
        let mut steps = Vec::new();
        let (bytes, kind, stated) = self.manifest(client, &auth, &url).await?;
        let mut digest = Digest::of(&bytes);
        for expected in self.digest.iter().chain(&stated) {
            if *expected != digest {
                return Err(Error::Digest {
                    host,
                    expected: *expected,
                    found: digest,
                });
            }
        }
        steps.push(format!("{host} has {} as {digest}", self.path()));
        let bytes = if kind.as_deref() == Some(LIST_TYPE) {
            let child = self.choose(&bytes, &mut steps)?;
            let url = self.url("blobs", &child.to_string());
            let (bytes, ..) = self.manifest(client, &auth, &url).await?;
            let found = Digest::of(&bytes);
            if found != child {
                return Err(Error::Digest {
                    host,
                    expected: child,
                    found,
                });
            }
            digest = child;
            bytes
        } else {
            bytes
        };
        let manifest = Manifest::parse(&bytes).map_err(|error| Error::Document {
            host: host.clone(),
            what: "a manifest",
            reason: error.to_string(),
        })?;
        let mut files: Vec<RemoteFile> = Vec::new();
        for layer in manifest.layers.iter().chain([&manifest.config]) {
            if files.iter().any(|file| file.digest == Some(layer.digest)) {
                continue;
            }
            files.push(RemoteFile {
                title: kind_of(&layer.media_type),
                size: Some(layer.size),
                digest: Some(layer.digest),
                place: Place {
                    url: self.url("blobs", &layer.digest.to_string()),
                    auth: auth.clone(),
                    validator: None,
                },
            });
        }
        Ok(Found {
            place: format!("{host} {}@{}", self.path(), digest.short()),
            steps,
            files,
            recipe: Recipe::Manifest(bytes),
        })
    }

    /// A manifest, with its media type and the digest that the registry states.
    async fn manifest(
        &self,
        client: &Client,
        auth: &Auth,
        url: &Url,
    ) -> Result<(Vec<u8>, Option<String>, Option<Digest>), Error> {
        let ask = |value: Option<HeaderValue>| {
            Request::get(url.clone())
                .with(ACCEPT, HeaderValue::from_static(ACCEPTED))
                .authorized(value)
        };
        let read = || async {
            let mut answer = client.send(&ask(auth.header())).await?;
            if answer.status() == StatusCode::UNAUTHORIZED
                && let Some(value) = auth.answer(client, url, answer.headers()).await?
            {
                answer = client.send(&ask(Some(value))).await?;
            }
            if answer.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            answer.document(MANIFEST_MAX).await.map(Some)
        };
        let Some((bytes, headers)) = client.repeated(read).await? else {
            return Err(Error::NotFound {
                host: shown(&self.base),
                what: self.path(),
            });
        };
        #[derive(Deserialize)]
        struct Kind {
            #[serde(rename = "mediaType")]
            media_type: Option<String>,
        }
        let kind: Kind = serde_json::from_slice(&bytes).map_err(|error| Error::Document {
            host: shown(url),
            what: "a manifest",
            reason: if bytes.trim_ascii_start().starts_with(b"<") {
                "it is a web page; a proxy or a login page may stand between".to_owned()
            } else {
                error.to_string()
            },
        })?;
        let stated = headers
            .get("docker-content-digest")
            .and_then(|value| Digest::parse(value.to_str().ok()?).ok());
        Ok((bytes.to_vec(), kind.media_type, stated))
    }

    /// The manifest of a list that llama.cpp can run.
    fn choose(&self, bytes: &[u8], steps: &mut Vec<String>) -> Result<Digest, Error> {
        let host = shown(&self.base);
        let list: List = serde_json::from_slice(bytes).map_err(|error| Error::Document {
            host: host.clone(),
            what: "a list of manifests",
            reason: error.to_string(),
        })?;
        let chosen = RUNNERS.iter().find_map(|runner| {
            let fits = |child: &&Child| child.runner == *runner && child.format != "safetensors";
            list.manifests.iter().find(fits)
        });
        let forms: Vec<String> = list
            .manifests
            .iter()
            .take(16)
            .map(|child| format!("{} ({})", harmless(&child.runner), harmless(&child.format)))
            .collect();
        match chosen {
            Some(child) => {
                steps.push(format!(
                    "of its forms {} the one for {} is taken",
                    forms.join(", "),
                    child.runner
                ));
                Ok(child.digest)
            }
            None => Err(Error::NoForm { host, forms }),
        }
    }

    fn path(&self) -> String {
        let (namespace, model) = (self.name.namespace(), self.name.model());
        format!("{namespace}/{model}:{}", self.name.tag())
    }

    fn url(&self, what: &str, reference: &str) -> Url {
        let mut url = self.base.clone();
        let path = format!(
            "{}/v2/{}/{}/{what}/{reference}",
            self.base.path().trim_end_matches('/'),
            self.name.namespace(),
            self.name.model()
        );
        // Parts of names and digests need no escapes.
        url.set_path(&path);
        url
    }
}

fn kind_of(media_type: &str) -> String {
    let last = media_type.rsplit('.').next().unwrap_or_default();
    match media_type {
        crate::manifest::CONFIG_TYPE => "config".to_owned(),
        _ => harmless(last),
    }
}

fn harmless(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_graphic())
        .take(40)
        .collect()
}
