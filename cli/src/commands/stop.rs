//! `slm stop`: unloads models from memory.

use api::{GenerateEvent, GenerateRequest, KeepAlive, Unload, routes};

use super::{Outcome, each};
use crate::args::Models;
use crate::context::Context;
use crate::exit::Exit;

/// Unloads every named model. Without a daemon nothing is loaded, so none is started.
pub(crate) async fn run(context: Context, args: &Models) -> anyhow::Result<Exit> {
    let client = context.client.without_start();
    each(&context.out, &args.models, async |model| {
        let request = GenerateRequest {
            model: model.to_owned(),
            keep_alive: Some(KeepAlive::Seconds(0.0)),
            stream: Some(false),
            ..GenerateRequest::default()
        };
        let event: GenerateEvent = client.post(routes::GENERATE, &request).await?;
        Ok(outcome(model, event.unload))
    })
    .await
}

/// The outcome that the daemon reports; an older daemon reports none.
fn outcome(model: &str, unload: Option<Unload>) -> Outcome {
    let (word, note) = match unload {
        None | Some(Unload::Done) => ("stopped", format!("stopped `{model}`")),
        Some(Unload::WhenIdle) => (
            "when_idle",
            format!("`{model}` is in use and stops when its answers are over"),
        ),
        Some(Unload::NotLoaded) => ("not_loaded", format!("`{model}` was not loaded")),
    };
    Outcome { word, note }
}
