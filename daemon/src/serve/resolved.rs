//! The model of a request, with its parameters resolved.

use std::sync::Arc;

use registry::{Capability, Model};
use runner_protocol::LoadSettings;

use crate::accelerators::Wish;
use crate::app::App;
use crate::ask::{Target, TemplateChoice};
use crate::blocking;
use crate::config::{Kernels, ModelSettings};
use crate::duration::KeepAlive;
use crate::error::Error;
use crate::needs::NeedSettings;
use crate::options::{self, Defaults, ResolvedOptions};
use crate::prompt::{Needs, PromptSource};
use crate::requirements;
use crate::scheduler::{Lease, LoadRequest, OnCpu};

/// A model that can do what a request asks for.
#[derive(Debug)]
pub(super) struct ResolvedModel {
    /// The model.
    pub(super) model: Model,
    /// The parameters of request, model and configuration, joined.
    pub(super) options: ResolvedOptions,
    keep_alive: Option<KeepAlive>,
    configured: ModelSettings,
}

impl ResolvedModel {
    /// Finds the model of a request, which must have this capability if one is given, and joins the parameters of both.
    pub(super) async fn find(
        app: &App,
        capability: impl Into<Option<Capability>>,
        target: &Target,
    ) -> Result<Self, Error> {
        let model = app.registry.model(&target.model).await?;
        requirements::version(model.config.requires.as_deref())?;
        if let Some(capability) = capability.into()
            && !requirements::may_have(&model, capability)
        {
            return Err(Error::Invalid(format!(
                "'{}' does not {}",
                model.name,
                requirements::capability_phrase(capability)
            )));
        }
        let config = app.config.current();
        let configured = config.for_model(&model.name);
        let options = options::resolve(
            &target.parameters,
            &model.parameters,
            model.details.context_length,
            Defaults::of(&config, &configured),
        );
        Ok(Self {
            model,
            options,
            keep_alive: target.keep_alive,
            configured,
        })
    }

    /// A lease on the model, once it is loaded.
    pub(super) async fn lease(&self, app: &App) -> Result<Lease, Error> {
        let Self { model, options, .. } = self;
        let config = app.config.current();
        let digest = model.digest.hex();
        let wish = Wish {
            key: &digest,
            gpu_layers: options.load.gpu_layers,
            states_layers: options.load.gpu_layers >= 0,
            device: self.configured.device.as_deref(),
        };
        let placement = app.accelerators.place(&config.backend, wish).await?;
        let devices = app.accelerators.devices(&placement).into_iter();
        let settings = NeedSettings {
            devices: devices
                .map(|device| device.within(&config.device_budget))
                .collect(),
            load: options.load,
            sequences: self.configured.parallel.unwrap_or(config.parallel),
            kernels: config.kernels != Kernels::Off,
            names_context: options.names_context
                || self.configured.context_length.is_some()
                || config.is_set("context_length"),
            names_kv_type: config.is_set("kv_cache_type"),
            names_sequences: self.configured.parallel.is_some() || config.is_set("parallel"),
        };
        let mut fallback = None;
        if placement.falls_back {
            let load = LoadSettings {
                gpu_layers: 0,
                ..options.load
            };
            let settings = NeedSettings {
                devices: Vec::new(),
                load,
                ..settings.clone()
            };
            let demand = app.needs.of(&app.registry, model, settings).await;
            fallback = Some(Arc::new(OnCpu {
                settings: load,
                need: demand.need,
                smaller: demand.smaller,
            }));
        }
        let demand = app.needs.of(&app.registry, model, settings).await;
        let adapters = app.adapters.of(&app.registry, model).await;
        let settings = demand.offloaded.unwrap_or(options.load);
        let mut required = options.required;
        // A model may have fewer layers than the number asks for. -1 leaves the number to the load, which may fall back to the CPU.
        let stated = required.gpu_layers.filter(|layers| *layers >= 0);
        required.gpu_layers = stated.map(|_| settings.gpu_layers);
        let request = LoadRequest {
            name: model.name.clone(),
            key: model.key(),
            settings,
            required,
            digest,
            details: model.details.clone(),
            keep_alive: self.keep_alive,
            states_layers: options.load.gpu_layers >= 0,
            layers_reason: demand.reason,
            adapters: Vec::new(),
            need: demand.need,
            smaller: demand.smaller,
            state_memory: match demand.keeps_states {
                true => config.state_memory,
                false => Some(0),
            },
            host_cache: None,
            fallback,
            fell_back: false,
            apart: false,
            configured: self.configured.clone(),
        };
        let request = request.with_adapters(adapters);
        app.scheduler.acquire(request).await
    }

    /// The source of its prompts: the template of the request, or a template of the model; `None` for a raw prompt.
    /// Templates can be long, so they are parsed on a blocking thread.
    pub(super) async fn prompt_source(
        &self,
        app: &App,
        template: TemplateChoice,
        lease: &Lease,
        needs: Needs,
    ) -> Result<Option<PromptSource>, Error> {
        let has_jinja = lease.loaded().has_chat_template;
        let given = match template {
            TemplateChoice::Raw | TemplateChoice::Tokens(_) => return Ok(None),
            TemplateChoice::Given(text) => Some(text),
            TemplateChoice::Model => {
                requirements::template(&self.model, has_jinja)?;
                None
            }
        };
        let model = self.model.template.clone();
        let cache = app.templates.clone();
        let chosen = blocking::run(move || {
            PromptSource::choose(given.as_deref(), model.as_deref(), has_jinja, needs, &cache)
        });
        chosen.await?.map(Some)
    }

    /// Checks that the model supports tools.
    pub(super) fn has_place_for_tools(&self) -> Result<(), Error> {
        self.can(
            Capability::Tools,
            "does not support tools: its template has no place for them",
        )
    }

    /// Checks that the model supports images.
    pub(super) fn sees_images(&self) -> Result<(), Error> {
        self.can(
            Capability::Vision,
            "does not support vision: it has no projector for images",
        )
    }

    fn can(&self, capability: Capability, lacks: &str) -> Result<(), Error> {
        if requirements::may_have(&self.model, capability) {
            return Ok(());
        }
        Err(Error::Invalid(format!("'{}' {lacks}", self.model.name)))
    }
}
