//! The state that all routes share. Cheap to clone.

use std::collections::BTreeSet;

use api::JobKind;
use registry::{ModelName, Registry};

use crate::accelerators::Accelerators;
use crate::adapters::Adapters;
use crate::config::LiveConfig;
use crate::devices::Devices;
use crate::error::Error;
use crate::events::Events;
use crate::needs::Needs;
use crate::operations::Operations;
use crate::responses::Responses;
use crate::scheduler::Scheduler;
use crate::sources::Sources;
use crate::template;
use crate::transfers::Transfers;
use crate::variants::VariantChooser;

/// The service as the routes see it.
#[derive(Debug, Clone)]
pub struct App {
    /// The store.
    pub registry: Registry,
    /// The scheduler of loaded models.
    pub scheduler: Scheduler,
    /// The memory that models are expected to take.
    pub needs: Needs,
    /// Which adapters loads take.
    pub adapters: Adapters,
    /// The choice of backends.
    pub accelerators: Accelerators,
    /// The devices of this machine.
    pub devices: Devices,
    /// Loads, evictions and jobs as they happen, and the last ones.
    pub events: Events,
    /// Long operations that clients share.
    pub operations: Operations,
    /// Saved responses of the Responses API.
    pub responses: Responses,
    /// The jobs that pull and push models.
    pub transfers: Transfers,
    /// The settings in force.
    pub config: LiveConfig,
    /// Settings of the sources of models.
    pub sources: Sources,
    /// The choice of a model's variant.
    pub variants: VariantChooser,
    /// Parsed templates.
    pub templates: template::Cache,
}

impl App {
    /// Path of the home for `GET /api/version`. With allowed hosts there is a proxy, and its clients must not see paths of this
    /// machine.
    pub(crate) fn shown_home(&self) -> Option<String> {
        let config = self.config.current();
        let is_local = config.allowed_hosts.is_empty();
        is_local.then(|| config.home.display().to_string())
    }

    /// Removes the bytes that cancelled pulls of a model fetched, unless another job pulls the same model.
    ///
    /// # Errors
    /// When the jobs cannot be listed or the files cannot be removed.
    pub(crate) async fn remove_partials(&self, name: &ModelName) -> Result<(), Error> {
        if self
            .pulled()
            .await?
            .contains(&name.to_string().to_ascii_lowercase())
        {
            return Ok(());
        }
        let bytes = self.registry.remove_partials(name).await?;
        if bytes > 0 {
            tracing::info!(model = %name, bytes, "removed what was fetched");
        }
        Ok(())
    }

    /// The unfinished downloads that no job continues: their models, and their bytes.
    ///
    /// # Errors
    /// When the jobs cannot be listed or the files cannot be read.
    pub(crate) async fn left_downloads(&self) -> Result<(BTreeSet<String>, u64), Error> {
        let partials = self.registry.partials().await?;
        let pulled = self.pulled().await?;
        let mut left = (BTreeSet::new(), 0_u64);
        for (models, bytes) in partials {
            let is_pulled = |model: &String| pulled.contains(&model.to_ascii_lowercase());
            if !models.iter().any(is_pulled) {
                left.0.extend(models);
                left.1 = left.1.saturating_add(bytes);
            }
        }
        Ok(left)
    }

    /// The models that jobs pull, or will pull.
    async fn pulled(&self) -> Result<BTreeSet<String>, Error> {
        let jobs = self.transfers.list().await?.into_iter();
        let open = jobs.filter(|job| job.kind == JobKind::Pull && !job.state.is_over());
        Ok(open.map(|job| job.model.to_ascii_lowercase()).collect())
    }
}
