//! What every route has: the store, the scheduler, what runs. Cheap to clone.

use api::JobKind;
use registry::source::Settings;
use registry::{ModelName, Registry};

use crate::error::Error;
use crate::operations::Operations;
use crate::options::Defaults;
use crate::scheduler::Scheduler;
use crate::template;
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
    /// The templates of models, parsed.
    pub templates: template::Cache,
}

impl App {
    /// Removes the bytes that cancelled pulls of a model fetched, unless another job pulls the same model.
    ///
    /// # Errors
    /// When the jobs cannot be listed or the files cannot be removed.
    pub(crate) async fn remove_partials(&self, name: &ModelName) -> Result<(), Error> {
        let jobs = self.transfers.list().await?;
        let text = name.to_string();
        let is_pulled = jobs
            .iter()
            .any(|job| job.kind == JobKind::Pull && !job.state.is_over() && job.model == text);
        if is_pulled {
            return Ok(());
        }
        let bytes = self.registry.remove_partials(name).await?;
        if bytes > 0 {
            tracing::info!(model = %name, bytes, "removed what was fetched");
        }
        Ok(())
    }
}
