//! The work of a job.

use std::fmt;

use api::{Progress, PushFormat, Pushed};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use registry::push::Format;
use registry::{Registry, Reporter};

use super::table::Work;
use crate::error::Error;
use crate::extract::{reference, variant_of};
use crate::progress;
use crate::sources::Sources;
use crate::variants::VariantChooser;

/// Does the work of jobs. Dropping the future ends the work, and partial blobs stay.
pub trait Worker: fmt::Debug + Send + Sync {
    /// Does or continues the work, and returns the last line.
    fn run(&self, work: &Work, reporter: Reporter) -> BoxFuture<'static, Result<Progress, Error>>;
}

/// Moves models between the store and their sources and registries.
#[derive(Debug, Clone)]
pub struct StoreWorker {
    /// The store.
    pub registry: Registry,
    /// Settings of the sources of models.
    pub sources: Sources,
    /// The choice of a model's variant.
    pub variants: VariantChooser,
}

impl Worker for StoreWorker {
    fn run(&self, work: &Work, reporter: Reporter) -> BoxFuture<'static, Result<Progress, Error>> {
        match work.clone() {
            Work::Pull {
                model,
                insecure,
                variant,
            } => pull(self.clone(), model, variant, insecure, reporter).boxed(),
            Work::Push {
                model,
                destination,
                format,
                insecure,
            } => push(self.clone(), model, destination, format, insecure, reporter).boxed(),
        }
    }
}

async fn pull(
    StoreWorker {
        registry,
        sources,
        variants,
    }: StoreWorker,
    model: String,
    variant: Option<String>,
    insecure: bool,
    reporter: Reporter,
) -> Result<Progress, Error> {
    let reference = variant_of(reference(&model)?, variant.as_deref())?;
    let reference = variants.decide(reference, insecure, &reporter).await;
    registry
        .pull(&reference, insecure, &sources.now(), &reporter)
        .await?;
    Ok(Progress {
        model: Some(reference.name.to_string()),
        ..progress::success()
    })
}

async fn push(
    StoreWorker {
        registry, sources, ..
    }: StoreWorker,
    model: String,
    destination: String,
    format: PushFormat,
    insecure: bool,
    reporter: Reporter,
) -> Result<Progress, Error> {
    let source = reference(&model)?.name;
    let destination = reference(&destination)?;
    let format = match format {
        PushFormat::Ollama => Format::Ollama,
        PushFormat::ModelPack => Format::ModelPack,
    };
    let pushed = registry
        .push(
            &source,
            &destination,
            format,
            insecure,
            &sources.now(),
            &reporter,
        )
        .await?;
    Ok(Progress {
        pushed: Some(Pushed {
            place: pushed.place,
            digest: pushed.digest.to_string(),
            present: pushed.present,
            mounted: pushed.mounted,
            sent: pushed.sent,
        }),
        ..progress::success()
    })
}
