//! References: how users name a model and the place that has it.
//!
//! ```text
//! phi4-mini   ns/model:tag                  a catalog's name, or one of the Ollama library
//! host[:port]/[ns/…/]model[:tag]            a registry that speaks the OCI distribution protocol; oci://… says the same
//! ollama://NAME                             the Ollama library or registry, whatever a catalog says
//! …@sha256:…                                the manifest with this digest
//! hf.co/org/repo[:QUANT|:FILE][@REVISION]   the Hugging Face hub; also huggingface.co, and URLs copied from its pages
//! https://host/path/file.gguf[@sha256:…]    a file
//! http://…                                  the same without TLS, see `is_insecure`
//! ```

use std::fmt;

use reqwest::Url;

use crate::catalog::{FileName, Repository, Revision, VariantName};
use crate::host::is_loopback;
use crate::remote::quantization;
use crate::{Digest, ModelName};

pub use crate::error::reference::ReferenceError;

/// The hosts of the hub, as people write them.
pub(crate) const HUB: [&str; 3] = ["hf.co", "huggingface.co", "www.huggingface.co"];
/// What names of the hub begin with in the store.
pub(crate) const HUB_HOST: &str = "hf.co";
/// Longest text that is read, in bytes.
const LONGEST: usize = 2048;

/// A model as a user names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The name that the model gets in the store.
    pub name: ModelName,
    /// Where it is said to be.
    pub place: Named,
    /// Whether plain `http` was asked for.
    pub is_plain: bool,
    /// Whether `https` was asked for, which counts where `http` is usual: on this machine.
    pub is_tls: bool,
    /// The variant that is wanted; `None` leaves it to the place.
    pub variant: Option<VariantName>,
}

/// The place that a reference names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// In a catalog or, if none has it, in the Ollama library.
    Anywhere {
        /// The digest that the manifest must have.
        digest: Option<Digest>,
    },
    /// In the registry of the name's host.
    Registry {
        /// The digest that the manifest must have.
        digest: Option<Digest>,
    },
    /// In a repository of the hub.
    Hub {
        /// The repository.
        repo: Repository,
        /// Which of its files.
        choice: Choice,
        /// The commit or branch.
        revision: Option<Revision>,
    },
    /// A file at a URL.
    File {
        /// The URL.
        url: Url,
        /// The digest that the file must have.
        digest: Option<Digest>,
    },
}

/// Which file of a repository is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The usual one.
    Usual,
    /// The one with this quantization, or with this name.
    Of(String),
    /// The one at this path.
    File(FileName),
    /// A quantization of the model that the file at this path is, or the usual one.
    Variant(Option<FileName>, String),
}

impl Reference {
    /// Parses what a user wrote.
    ///
    /// # Errors
    /// When it has none of the forms above; the message names the part.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let text = text.trim();
        read(text).map_err(|reason| ReferenceError {
            text: without_secrets(text).chars().take(120).collect(),
            reason,
        })
    }

    /// A name of the store, as a reference to where it came from.
    #[must_use]
    pub fn of(name: &ModelName) -> Self {
        Self::parse(&name.to_string()).unwrap_or_else(|_| Self {
            name: name.clone(),
            place: Named::Anywhere { digest: None },
            is_plain: false,
            is_tls: false,
            variant: None,
        })
    }

    /// The same with this variant. The name in the store stays the same.
    #[must_use]
    pub fn with_variant(self, variant: VariantName) -> Self {
        Self {
            variant: Some(variant),
            ..self
        }
    }

    /// Whether a variant can be wanted: it names neither a file nor a digest nor a quantization.
    #[must_use]
    pub fn takes_variant(&self) -> bool {
        match &self.place {
            Named::Anywhere { digest } | Named::Registry { digest } => {
                digest.is_none() && quantization(self.name.tag()).is_empty()
            }
            Named::Hub { choice, .. } => *choice == Choice::Usual,
            Named::File { .. } => false,
        }
    }

    /// Whether it leaves the variant to the place.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.takes_variant() && self.variant.is_none()
    }

    /// Whether it asks for a connection without TLS to another machine.
    #[must_use]
    pub(crate) fn is_insecure(&self) -> bool {
        let host = match &self.place {
            Named::File { url, .. } => url.host_str().unwrap_or_default().to_owned(),
            _ => self.name.host().to_owned(),
        };
        self.is_plain && !is_loopback(&host)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Named::File { url, .. } => f.write_str(url.as_str()),
            _ => self.name.fmt(f),
        }
    }
}

/// A URL without the parts that may be secret: user, password and query.
fn without_secrets(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let rest = rest.split('?').next().unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.rsplit('@').next().unwrap_or_default();
    let slash = if path.is_empty() { "" } else { "/" };
    format!("{scheme}://{host}{slash}{path}")
}

fn read(text: &str) -> Result<Reference, String> {
    if text.len() > LONGEST {
        return Err(format!(
            "it has {} bytes, at most {LONGEST} are read",
            text.len()
        ));
    }
    match text.split_once("://") {
        Some(("ollama", rest)) => registry(rest, false),
        Some(("oci", rest)) => oci(rest),
        Some((scheme @ ("https" | "http"), rest)) => web(scheme, rest, text),
        Some(("hf", rest)) => hub(rest),
        Some((scheme, _)) => Err(format!(
            "{scheme:?} is no scheme of a source; known are https, http, hf, oci and ollama"
        )),
        None => named(text, false),
    }
}

/// A name without a scheme.
fn named(text: &str, is_plain: bool) -> Result<Reference, String> {
    let (host, rest) = text.split_once('/').unwrap_or(("", text));
    if HUB.iter().any(|hub| host.eq_ignore_ascii_case(hub)) {
        return hub(rest);
    }
    let (bare, digest) = pinned(text)?;
    let name = ModelName::parse(bare).map_err(|error| error.reason)?;
    let place = if name.host() == crate::name::DEFAULT_HOST && !bare.starts_with(name.host()) {
        Named::Anywhere { digest }
    } else {
        Named::Registry { digest }
    };
    Ok(Reference {
        name,
        place,
        is_plain,
        is_tls: false,
        variant: None,
    })
}

fn registry(text: &str, is_plain: bool) -> Result<Reference, String> {
    let (bare, digest) = pinned(text)?;
    let name = ModelName::parse(bare).map_err(|error| error.reason)?;
    Ok(Reference {
        name,
        place: Named::Registry { digest },
        is_plain,
        is_tls: false,
        variant: None,
    })
}

/// `host[:port]/repository[:tag]`.
fn oci(text: &str) -> Result<Reference, String> {
    let reference = registry(text, false)?;
    let host = reference.name.host();
    if text.split('/').next() != Some(host) {
        return Err(format!(
            "after oci:// comes a host, such as oci://ghcr.io/{text}"
        ));
    }
    if HUB.iter().any(|hub| host.eq_ignore_ascii_case(hub)) {
        return Err(format!("the hub is no OCI registry; write {text}"));
    }
    Ok(reference)
}

/// Something with a scheme of the web: a page of the hub, a file, or a name in a registry.
fn web(scheme: &str, rest: &str, text: &str) -> Result<Reference, String> {
    let is_plain = scheme == "http";
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if HUB.iter().any(|hub| host.eq_ignore_ascii_case(hub)) {
        return hub(path);
    }
    let (location, digest) = pinned(text)?;
    let url = Url::parse(location).map_err(|error| error.to_string())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a password in it would be stored and shown".to_owned());
    }
    let file = url.path().rsplit('/').next().unwrap_or_default();
    if file.to_ascii_lowercase().ends_with(".gguf") {
        return Ok(Reference {
            name: of_file(file)?,
            place: Named::File { url, digest },
            is_plain,
            is_tls: !is_plain,
            variant: None,
        });
    }
    // A tag tells a nested repository from the URL of a file.
    let is_tagged = file.contains(':') || digest.is_some();
    let depth = path.split('/').count();
    if depth > 2 && !is_tagged || path.contains(['?', '#']) {
        return Err("the URL of a file must end in .gguf".to_owned());
    }
    let reference = registry(rest, is_plain)?;
    Ok(Reference {
        is_tls: !is_plain,
        ..reference
    })
}

/// The name that a file gets.
fn of_file(file: &str) -> Result<ModelName, String> {
    modelfile::name_of_file(&percent(file))
        .and_then(|name| ModelName::parse(&name).ok())
        .ok_or_else(|| format!("no name can be made of the file's name {file:?}"))
}

/// Decodes the `%xx` of a URL; bytes that are not valid UTF-8 become `-`.
fn percent(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let escaped = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).replace('\u{fffd}', "-")
}

/// `org/repo[:QUANT|:FILE][@REVISION]`, or a path of a page: `org/repo/(blob|resolve|tree)/REVISION[/FILE]`.
fn hub(text: &str) -> Result<Reference, String> {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let text = text.trim_end_matches('/');
    let parts: Vec<&str> = text.split('/').collect();
    let told = |error: crate::catalog::TextError| error.to_string();
    let (repo, choice, revision) = match parts.as_slice() {
        [
            owner,
            name,
            "blob" | "resolve" | "tree" | "raw",
            revision,
            file @ ..,
        ] => {
            let choice = if file.is_empty() {
                Choice::Usual
            } else {
                Choice::File(FileName::parse(&percent(&file.join("/"))).map_err(told)?)
            };
            let repo = Repository::parse(&format!("{owner}/{name}")).map_err(told)?;
            (repo, choice, Some(Revision::parse(revision).map_err(told)?))
        }
        [owner, _, ..] => {
            let rest = &text[owner.len() + 1..];
            let (rest, revision) = match rest.split_once('@') {
                Some((rest, revision)) => (rest, Some(Revision::parse(revision).map_err(told)?)),
                None => (rest, None),
            };
            let (name, tag) = match rest.split_once(':') {
                Some((name, tag)) => (name, Some(tag)),
                None => (rest, None),
            };
            let choice = match tag {
                None => Choice::Usual,
                Some(tag) if tag.eq_ignore_ascii_case(crate::name::DEFAULT_TAG) => Choice::Usual,
                Some(tag) if tag.to_ascii_lowercase().ends_with(".gguf") => {
                    Choice::File(FileName::parse(tag).map_err(told)?)
                }
                Some(tag) => Choice::Of(tag.to_owned()),
            };
            let repo = Repository::parse(&format!("{owner}/{name}")).map_err(told)?;
            (repo, choice, revision)
        }
        _ => return Err("a name of the hub is hf.co/owner/repository".to_owned()),
    };
    let tag = match &choice {
        Choice::Usual => crate::name::DEFAULT_TAG.to_owned(),
        Choice::Of(tag) | Choice::Variant(_, tag) => tag.clone(),
        Choice::File(file) => {
            let file = file.as_str();
            let stem = file
                .len()
                .checked_sub(".gguf".len())
                .and_then(|end| file.get(..end))
                .unwrap_or(file);
            // The parts of a split file are one model.
            let (stem, ..) = crate::shard::parse(stem).unwrap_or((stem, 1, 1));
            let plain: String = stem
                .chars()
                .map(|c| if c == '/' { '-' } else { c })
                .collect();
            // Of two files with the same long begin, the end tells them apart.
            let from = plain.len().saturating_sub(80);
            plain
                .get(from..)
                .unwrap_or(&plain)
                .trim_start_matches(['-', '.'])
                .to_owned()
        }
    };
    let (owner, model) = repo.as_str().split_once('/').unwrap_or_default();
    let name = ModelName::from_parts(HUB_HOST, owner, model, &tag).map_err(|error| error.reason)?;
    Ok(Reference {
        name,
        place: Named::Hub {
            repo,
            choice,
            revision,
        },
        is_plain: false,
        is_tls: false,
        variant: None,
    })
}

/// Splits `@sha256:…` off the end.
fn pinned(text: &str) -> Result<(&str, Option<Digest>), String> {
    match text.rsplit_once("@sha256") {
        None => Ok((text, None)),
        Some((bare, _)) => {
            let digest =
                Digest::parse(&text[bare.len() + 1..]).map_err(|error| error.to_string())?;
            Ok((bare, Some(digest)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Reference {
        Reference::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    const PIN: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_say_where() {
        for (text, name, place) in [
            ("phi4-mini", "phi4-mini:latest", "Anywhere"),
            ("me/mine:v1", "me/mine:v1", "Anywhere"),
            ("ollama://phi4-mini", "phi4-mini:latest", "Registry"),
            ("registry.ollama.ai/library/phi4", "phi4:latest", "Registry"),
            (
                "localhost:5000/me/mine",
                "localhost:5000/me/mine:latest",
                "Registry",
            ),
            (
                "https://reg.example/me/mine:x",
                "reg.example/me/mine:x",
                "Registry",
            ),
            ("oci://ghcr.io/a/b/c", "ghcr.io/a/b/c:latest", "Registry"),
            ("localhost:5000/mine:1", "localhost:5000/mine:1", "Registry"),
            (
                "https://reg.example/a/b/c:x",
                "reg.example/a/b/c:x",
                "Registry",
            ),
            (
                "hf.co/Qwen/Qwen3-4B-GGUF",
                "hf.co/Qwen/Qwen3-4B-GGUF:latest",
                "Hub",
            ),
            ("huggingface.co/a/b:Q4_K_M", "hf.co/a/b:Q4_K_M", "Hub"),
            ("hf.co/a/b:m-Q8_0.gguf@main", "hf.co/a/b:m-Q8_0", "Hub"),
            ("hf.co/a/b:Q8/m.gguf", "hf.co/a/b:Q8-m", "Hub"),
            ("hf.co/a/b:m-00001-of-00003.gguf", "hf.co/a/b:m", "Hub"),
            ("hf://a/b", "hf.co/a/b:latest", "Hub"),
            (
                "https://huggingface.co/a/b/blob/main/m.gguf?download=true",
                "hf.co/a/b:m",
                "Hub",
            ),
            (
                "https://huggingface.co/a/b/tree/main",
                "hf.co/a/b:latest",
                "Hub",
            ),
            (
                "https://x.example/p/My%20Model.Q4.gguf?sig=1",
                "my-model.q4:latest",
                "File",
            ),
        ] {
            let found = parse(text);
            assert_eq!(found.name.to_string(), name, "{text}");
            assert!(
                format!("{:?}", found.place).starts_with(place),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn a_digest_pins_the_manifest_or_the_file() {
        for text in ["phi4", "reg.example/me/mine", "https://x.example/m.gguf"] {
            let found = parse(&format!("{text}@{PIN}"));
            let (Named::Anywhere { digest }
            | Named::Registry { digest }
            | Named::File { digest, .. }) = found.place
            else {
                panic!("{text}")
            };
            assert_eq!(
                digest.map(|digest| digest.to_string()).as_deref(),
                Some(PIN)
            );
        }
    }

    #[test]
    fn the_choice_in_a_repository_is_read() {
        let choice = |text: &str| match parse(text).place {
            Named::Hub {
                choice, revision, ..
            } => (choice, revision.map(|r| r.as_str().to_owned())),
            other => panic!("{other:?}"),
        };
        assert_eq!(choice("hf.co/a/b"), (Choice::Usual, None));
        assert_eq!(
            choice("hf.co/a/b:latest@v2"),
            (Choice::Usual, Some("v2".to_owned()))
        );
        assert_eq!(
            choice("hf.co/a/b:q8_0"),
            (Choice::Of("q8_0".to_owned()), None)
        );
        let file = FileName::parse("x/m.gguf").expect("a path");
        assert_eq!(
            choice("https://hf.co/a/b/resolve/abc/x/m.gguf"),
            (Choice::File(file), Some("abc".to_owned()))
        );
    }

    #[test]
    fn names_of_the_store_lead_back() {
        for text in ["phi4-mini", "hf.co/a/b:Q4_K_M", "localhost:5000/me/mine:x"] {
            let name = parse(text).name;
            assert_eq!(Reference::of(&name).place, parse(text).place, "{text}");
        }
    }

    #[test]
    fn plain_http_to_another_machine_is_insecure() {
        assert!(parse("http://reg.example/a/b").is_insecure());
        assert!(parse("http://10.0.0.1:80/x/m.gguf").is_insecure());
        for text in [
            "http://localhost:5000/a/b",
            "http://127.0.0.1:1/m.gguf",
            "https://reg.example/a/b",
        ] {
            assert!(!parse(text).is_insecure(), "{text}");
        }
    }

    #[test]
    fn what_names_nothing_is_refused_with_the_reason() {
        for text in [
            "",
            "ftp://x/y",
            "file:///etc/passwd",
            "hf.co/a",
            "hf.co/a/b/c",
            "hf.co/../b",
            "hf.co/a/b@x y",
            "https://user:secret@x.example/m.gguf",
            "https://x.example/a/b/c/d",
            "oci://phi4",
            "oci://me/phi4",
            "oci://hf.co/a/b",
            "https://x.example/..%2f.gguf/..",
            "phi4@sha256:00",
            "a/b/c/d",
        ] {
            let error = Reference::parse(text).expect_err(text);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "(https?://|hf.co/|ollama://)?\\PC{0,60}(\\.gguf)?(@sha256:)?") {
            let _ = Reference::parse(&text);
        }
    }
}
