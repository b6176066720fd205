//! Repositories of the Hugging Face hub, and of mirrors that have its shape.
//!
//! ```text
//! GET /api/models/{repo}/revision/{revision}          the commit, the licence
//! GET /api/models/{repo}/tree/{commit}?recursive=true the files: size, and sha256 of large ones; further pages by `Link`
//! GET /{repo}/resolve/{commit}/{file}                 the bytes, or a redirect to them
//! ```
//!
//! The revision is pinned to its commit first, so that all files are of one state. A mirror that lacks the first of these is asked
//! for the tree of the revision as it was named. Large files are verified by their sha256, small ones by their git blob id.

use reqwest::header::{HeaderMap, LINK};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use sha1::Digest as _;

use super::pick::{self, Listed, Picked};
use super::{Auth, Beside, Endpoint, Error, Recipe, RemoteFile, RemoteModel, RemoteVariant};
use crate::Digest;
use crate::catalog::{Repository, Revision};
use crate::credentials::HubToken;
use crate::http::{self, Client, Request, shown};
use crate::reference::Choice;

/// The URL of the hub, unless a mirror is set.
pub(crate) const DEFAULT: &str = "https://huggingface.co";
/// Most pages of a listing, and the longest page.
const MOST_PAGES: usize = 50;
const PAGE_MAX: u64 = 4 << 20;
/// Most files of a repository.
const MOST_FILES: usize = 20_000;
/// Longest text beside the weights.
const TEXT_MAX: u64 = 256 << 10;
/// The files beside the weights that the hub's own endpoint for Ollama reads.
const BESIDE: [&str; 3] = ["template", "system", "params"];

/// Files in a repository.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    /// The hub or a mirror.
    pub(crate) base: Url,
    /// The user's token.
    pub(crate) token: Option<HubToken>,
    /// The repository.
    pub(crate) repo: Repository,
    /// Which of its files.
    pub(crate) choice: Choice,
    /// The commit or branch.
    pub(crate) revision: Option<Revision>,
    /// The digest that the weights must have, by a catalog.
    pub(crate) digest: Option<Digest>,
}

#[derive(Deserialize, Default)]
struct Info {
    sha: Option<String>,
    #[serde(default, rename = "cardData")]
    card: Option<Card>,
}

#[derive(Deserialize, Default)]
struct Card {
    license: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    oid: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: Option<String>,
    size: Option<u64>,
}

impl Hub {
    /// Finds out which files make the model.
    ///
    /// # Errors
    /// [`Error`]; [`Error::NotFound`] when the hub answers that it has no such repository or revision.
    pub(crate) async fn find(&self, client: &Client) -> Result<RemoteModel, Error> {
        let named = self.revision.as_ref().map_or("main", Revision::as_str);
        let info = self.info(client, named).await?;
        let commit = info.sha.clone().filter(|sha| is_commit(sha));
        let at = commit.as_deref().unwrap_or(named);
        let entries = self.tree(client, at).await?;
        let host = shown(&self.base);
        let place = format!("{host} {}", self.repo);
        let mut steps = vec![match &commit {
            Some(commit) => format!("{place} is at commit {} ({named})", &commit[..12]),
            None => format!("{place} does not tell the commit of {named}"),
        }];
        let files = listed(&entries);
        let Picked {
            weights,
            projector,
            steps: chosen,
        } = pick::pick(&files, &self.choice, &place)?;
        steps.extend(chosen);
        let mut found = Vec::new();
        for index in weights.into_iter().chain(projector) {
            let entry = &entries[index];
            found.push(RemoteFile {
                title: entry.path.clone(),
                size: Some(files[index].size),
                digest: entry.digest(),
                git_id: entry.oid.clone(),
                endpoint: Endpoint {
                    url: self.file(at, &entry.path),
                    auth: self.auth(),
                    validator: None,
                },
            });
        }
        let mut beside = self.beside(client, at, &entries, &mut steps).await?;
        beside.license = info.card.and_then(|card| card.license).and_then(|license| {
            license
                .as_str()
                .map(|text| text.chars().take(200).collect())
        });
        Ok(RemoteModel {
            place: match &commit {
                Some(commit) => format!("{place}@{}", &commit[..12]),
                None => format!("{place}@{named}"),
            },
            steps,
            files: found,
            recipe: Recipe::Files(Box::new(beside)),
        })
    }

    /// The quantizations of the model in the repository.
    ///
    /// # Errors
    /// As [`Hub::find`].
    pub(crate) async fn variants(&self, client: &Client) -> Result<Vec<RemoteVariant>, Error> {
        let named = self.revision.as_ref().map_or("main", Revision::as_str);
        let entries = self.tree(client, named).await?;
        let place = format!("{} {}", shown(&self.base), self.repo);
        let found = pick::variants(&listed(&entries), &self.choice, &place)?;
        let found = found.into_iter().map(|variant| RemoteVariant {
            digest: variant.only.and_then(|index| entries[index].digest()),
            name: variant.name,
            quantization: variant.quantization,
            size: Some(variant.size),
            is_usual: variant.is_usual,
        });
        Ok(found.collect())
    }

    /// Metadata of the repository; a mirror may not have it.
    async fn info(&self, client: &Client, revision: &str) -> Result<Info, Error> {
        let url = self.api(&format!("revision/{revision}"));
        match self.document(client, &url).await {
            Ok((body, _)) => serde_json::from_slice(&body).map_err(|error| Error::Document {
                host: shown(&url),
                what: "what it knows of the repository",
                reason: error.to_string(),
            }),
            // The listing tells a missing repository from an API that this mirror does not have.
            Err(http::Error::Status {
                status: StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED,
                code: None,
                ..
            }) => Ok(Info::default()),
            Err(error) => Err(self.told(error, revision)),
        }
    }

    /// Every file of the repository.
    async fn tree(&self, client: &Client, revision: &str) -> Result<Vec<Entry>, Error> {
        let mut url = self.api(&format!("tree/{revision}"));
        url.set_query(Some("recursive=true"));
        let mut entries = Vec::new();
        for _ in 0..MOST_PAGES {
            let (body, headers) = self
                .document(client, &url)
                .await
                .map_err(|error| self.told(error, revision))?;
            let page: Vec<Entry> =
                serde_json::from_slice(&body).map_err(|error| Error::Document {
                    host: shown(&url),
                    what: "a listing",
                    reason: error.to_string(),
                })?;
            entries.extend(page.into_iter().filter(|entry| entry.kind == "file"));
            if entries.len() > MOST_FILES {
                break;
            }
            match next_page(&url, &headers)? {
                Some(next) => url = next,
                None => return Ok(entries),
            }
        }
        Err(Error::Document {
            host: shown(&url),
            what: "a listing",
            reason: format!("it has more than {MOST_FILES} files or {MOST_PAGES} pages"),
        })
    }

    /// The texts beside the weights that go into the model.
    async fn beside(
        &self,
        client: &Client,
        revision: &str,
        entries: &[Entry],
        steps: &mut Vec<String>,
    ) -> Result<Beside, Error> {
        let mut beside = Beside::default();
        for name in BESIDE {
            let Some(entry) = entries.iter().find(|entry| entry.path == name) else {
                continue;
            };
            let url = self.file(revision, name);
            let request = Request::get(url.clone()).authorized(self.auth().header());
            let (body, _) = client.document(&request, TEXT_MAX).await?;
            let bad = |reason: String| Error::Document {
                host: shown(&url),
                what: "a text beside the weights",
                reason,
            };
            if let Some(expected) = entry.oid.as_deref().filter(|_| entry.lfs.is_none())
                && !expected.eq_ignore_ascii_case(&git_blob(&body))
            {
                return Err(bad(
                    "its git blob id is another one than in the listing".to_owned()
                ));
            }
            let text = String::from_utf8(body.to_vec()).map_err(|error| bad(error.to_string()))?;
            steps.push(format!("{name}: goes into the model"));
            match name {
                "template" => beside.template = Some(text),
                "system" => beside.system = Some(text),
                _ => {
                    beside.parameters =
                        serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
                }
            }
        }
        Ok(beside)
    }

    async fn document(
        &self,
        client: &Client,
        url: &Url,
    ) -> Result<(bytes::Bytes, HeaderMap), http::Error> {
        let request = Request::get(url.clone()).authorized(self.auth().header());
        client.document(&request, PAGE_MAX).await
    }

    /// A refusal of the hub as an error.
    fn told(&self, error: http::Error, revision: &str) -> Error {
        let code = match &error {
            http::Error::Status { code, .. } => code.as_deref(),
            _ => None,
        };
        let is_missing = matches!(
            &error,
            http::Error::Status {
                status: StatusCode::NOT_FOUND,
                ..
            }
        );
        match code {
            Some("RevisionNotFound") => Error::NotFound {
                host: shown(&self.base),
                what: format!("revision {revision} of {}", self.repo),
            },
            Some("GatedRepo") => Error::Gated {
                place: format!("{} {}", shown(&self.base), self.repo),
                whose: self.whose(),
                has_token: self.token.is_some(),
            },
            // The hub also answers 401 for a repository that does not exist, to hide private ones.
            Some("RepoNotFound") => Error::NotFound {
                host: shown(&self.base),
                what: format!("repository {} that can be read {}", self.repo, self.whose()),
            },
            _ if is_missing => Error::NotFound {
                host: shown(&self.base),
                what: format!("repository {} with revision {revision}", self.repo),
            },
            _ => error.into(),
        }
    }

    fn whose(&self) -> String {
        match &self.token {
            Some(found) => format!("with the token of {}", found.source),
            None => "without a token".to_owned(),
        }
    }

    fn auth(&self) -> Auth {
        Auth::token(self.token.as_ref().map(|found| found.token.reveal()))
    }

    fn api(&self, rest: &str) -> Url {
        self.at(&["api", "models"], &format!("{}/{rest}", self.repo))
    }

    fn file(&self, revision: &str, path: &str) -> Url {
        self.at(&[], &format!("{}/resolve/{revision}/{path}", self.repo))
    }

    /// A URL below the base; characters that mean something in a URL are escaped.
    fn at(&self, first: &[&str], path: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .extend(first)
                .extend(path.split('/'));
        }
        url
    }
}

impl Entry {
    fn size(&self) -> u64 {
        self.lfs
            .as_ref()
            .and_then(|lfs| lfs.size)
            .unwrap_or(self.size)
    }

    fn digest(&self) -> Option<Digest> {
        let oid = self.lfs.as_ref()?.oid.as_deref()?;
        Digest::from_hex(oid.strip_prefix("sha256:").unwrap_or(oid))
    }
}

fn listed(entries: &[Entry]) -> Vec<Listed> {
    let listed = entries.iter().map(|entry| Listed {
        path: entry.path.clone(),
        size: entry.size(),
    });
    listed.collect()
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The id that git gives to a file: the SHA-1 over its kind, its length and its bytes.
pub(crate) fn git_blob(bytes: &[u8]) -> String {
    let mut hasher = sha1::Sha1::new();
    hasher.update(format!("blob {}\0", bytes.len()));
    hasher.update(bytes);
    hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The next page by `Link: <…>; rel="next"` (RFC 8288).
///
/// # Errors
/// It is at another origin, to which the token must not go; skipping it would truncate the listing silently.
fn next_page(url: &Url, headers: &HeaderMap) -> Result<Option<Url>, Error> {
    let address = || {
        let links = headers.get(LINK)?.to_str().ok()?;
        let link = links
            .split(',')
            .find(|link| link.contains("rel=\"next\""))?;
        let address = link.split('>').next()?.trim().strip_prefix('<')?;
        url.join(address).ok()
    };
    match address() {
        Some(next) if next.origin() != url.origin() => Err(Error::Document {
            host: shown(url),
            what: "a listing",
            reason: format!("its next page is said to be at {}", shown(&next)),
        }),
        next => Ok(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_git_blob_has_the_id_that_git_gives_it() {
        // `printf 'hello\n' | git hash-object --stdin`
        assert_eq!(
            git_blob(b"hello\n"),
            "ce013625030ba8dba906f756967f9e9ca394464a"
        );
    }

    #[test]
    fn paths_are_escaped_and_stay_below_the_base() {
        let hub = Hub {
            base: Url::parse("https://mirror.example/hf/").expect("a URL"),
            token: None,
            repo: Repository::parse("a/b").expect("a repository"),
            choice: Choice::Usual,
            revision: None,
            digest: None,
        };
        assert_eq!(
            hub.file("main", "x y/m?#%.gguf").as_str(),
            "https://mirror.example/hf/a/b/resolve/main/x%20y/m%3F%23%25.gguf"
        );
        assert_eq!(
            hub.api("revision/main").as_str(),
            "https://mirror.example/hf/api/models/a/b/revision/main"
        );
    }

    #[test]
    fn the_next_page_is_one_of_the_same_place() {
        let url = Url::parse("https://hub.example/api/x?recursive=true").expect("a URL");
        let next = |link: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, link.parse().expect("a header"));
            next_page(&url, &headers).map(|next| next.map(String::from))
        };
        assert_eq!(
            next("<https://hub.example/api/x?cursor=1>; rel=\"next\""),
            Ok(Some("https://hub.example/api/x?cursor=1".to_owned()))
        );
        assert!(next("<https://evil.example/>; rel=\"next\"").is_err());
        assert_eq!(next("<https://hub.example/>; rel=\"prev\""), Ok(None));
    }
}
