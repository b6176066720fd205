//! What every route has: the store, the scheduler, what runs. Cheap to clone.

use api::Unload;
use modelfile::Parameters;
use registry::source::Settings;
use registry::{Capability, Model, ModelKey, ModelName, Registry};
use tokio::time::Instant;

use crate::duration::Stay;
use crate::error::Error;
use crate::operations::Operations;
use crate::options::{self, Defaults, Resolved};
use crate::prompt::{Needs, Way};
use crate::requirements;
use crate::scheduler::{Lease, LoadRequest, Scheduler, Unloading};
use crate::transfers::Transfers;

/// The service as the routes see it.
#[derive(Debug, Clone)]
pub struct App {
    /// Everything on disk.
    pub registry: Registry,
    /// Everything that is loaded.
    pub scheduler: Scheduler,
    /// Long operations that clients share.
    pub operations: Operations,
    /// Everything that moves models to and from other machines.
    pub transfers: Transfers,
    /// What holds where nobody says otherwise.
    pub defaults: Defaults,
    /// The folder that holds everything, as clients are told; `None` keeps it to ourselves.
    pub home: Option<String>,
    /// How models are fetched.
    pub sources: Settings,
}

/// A model, and how one request wants it.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// The model.
    pub(crate) model: Model,
    /// Its parameters under those of the request.
    pub(crate) options: Resolved,
    /// How long it stays after this request.
    pub(crate) keep_alive: Option<Stay>,
    /// When the request came.
    pub(crate) arrived: Instant,
}

impl Chosen {
    /// What makes it the same to a runner as another.
    pub(crate) fn key(&self) -> ModelKey {
        self.model.key()
    }

    /// How a prompt for it is made, with the template of the request if it has one.
    /// A template is read on a thread that may block, because it may be long.
    pub(crate) async fn way(
        &self,
        request: Option<&str>,
        lease: &Lease,
        needs: Needs,
    ) -> Result<Way, Error> {
        let has_own = lease.loaded().has_chat_template;
        if request.is_none_or(str::is_empty) {
            requirements::template(&self.model, has_own)?;
        }
        let (request, model) = (request.map(str::to_owned), self.model.template.clone());
        let chosen = tokio::task::spawn_blocking(move || {
            Way::choose(request.as_deref(), model.as_deref(), has_own, needs)
        });
        chosen.await.map_err(|_| Error::Internal)?
    }

    /// Checks that the model can be offered tools. Of one whose weights could not be read nothing is known.
    pub(crate) fn calls_tools(&self) -> Result<(), Error> {
        let capabilities = &self.model.capabilities;
        if capabilities.is_empty() || capabilities.contains(&Capability::Tools) {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "'{}' does not support tools: its template has no place for them",
            self.model.name
        )))
    }

    /// Checks that the model can be shown images.
    pub(crate) fn sees_images(&self) -> Result<(), Error> {
        let capabilities = &self.model.capabilities;
        if capabilities.is_empty() || capabilities.contains(&Capability::Vision) {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "'{}' does not support images: it has no projector",
            self.model.name
        )))
    }
}

impl App {
    /// Finds a model that writes, and reads the options of a request for it.
    pub(crate) async fn choose(
        &self,
        name: &ModelName,
        options: &Parameters,
        keep_alive: Option<Stay>,
        arrived: Instant,
    ) -> Result<Chosen, Error> {
        self.choose_for(Capability::Completion, name, options, keep_alive, arrived)
            .await
    }

    /// Finds a model that can do this, and reads the options of a request for it.
    pub(crate) async fn choose_for(
        &self,
        capability: Capability,
        name: &ModelName,
        options: &Parameters,
        keep_alive: Option<Stay>,
        arrived: Instant,
    ) -> Result<Chosen, Error> {
        let model = self.registry.model(name).await?;
        requirements::version(model.config.requires.as_deref())?;
        let capabilities = &model.capabilities;
        if !capabilities.is_empty() && !capabilities.contains(&capability) {
            return Err(Error::Invalid(format!(
                "'{}' does not {}",
                model.name,
                requirements::deed(capability)
            )));
        }
        let options = options::resolve(
            options,
            &model.parameters,
            model.details.context_length,
            self.defaults,
        );
        Ok(Chosen {
            model,
            options,
            keep_alive,
            arrived,
        })
    }

    /// Lets a model go when nobody uses it: the one that has this name, or else the one that was loaded by it, when its
    /// name is gone, damaged or another model's by now.
    pub(crate) async fn let_go(&self, name: &ModelName) -> Result<Unload, Error> {
        let found = self.registry.model(name).await;
        let mut unloading = Unloading::NotLoaded;
        if let Ok(model) = &found {
            unloading = self.scheduler.unload(model.key()).await;
        }
        if unloading == Unloading::NotLoaded {
            unloading = self.scheduler.unload_named(name.clone()).await;
        }
        match (unloading, found) {
            (Unloading::Done, _) => Ok(Unload::Done),
            (Unloading::WhenIdle, _) => Ok(Unload::WhenIdle),
            (Unloading::NotLoaded, Ok(_)) => Ok(Unload::NotLoaded),
            (Unloading::NotLoaded, Err(error)) => Err(error.into()),
        }
    }

    /// The right to use a model, once it is loaded.
    pub(crate) async fn lease(&self, chosen: &Chosen) -> Result<Lease, Error> {
        let Chosen { model, options, .. } = chosen;
        self.scheduler
            .acquire(LoadRequest {
                name: model.name.clone(),
                key: chosen.key(),
                settings: options.load,
                required: options.required,
                digest: model.digest.hex(),
                details: model.details.clone(),
                keep_alive: chosen.keep_alive,
            })
            .await
    }
}
