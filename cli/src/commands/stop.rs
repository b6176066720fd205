//! `slm stop`: unloads models from memory.

use api::{Unload, UnloadRequest, UnloadResponse, routes};

use super::{Outcome, each};
use crate::args::Models;
use crate::context::Context;
use crate::exit::Exit;

/// Unloads every named model. Without a daemon nothing is loaded, so none is started.
pub(crate) async fn run(context: Context, args: &Models) -> anyhow::Result<Exit> {
    let client = context.client.without_start();
    each(&context.out, &args.models, async |model| {
        let request = UnloadRequest {
            model: model.to_owned(),
        };
        let response: UnloadResponse = client.post(routes::UNLOAD, &request).await?;
        Ok(outcome(model, response.unload))
    })
    .await
}

fn outcome(model: &str, unload: Unload) -> Outcome {
    let (word, note) = match unload {
        Unload::Done => ("stopped", format!("stopped `{model}`")),
        Unload::WhenIdle => (
            "when_idle",
            format!("`{model}` is in use and stops when its answers are over"),
        ),
        Unload::NotLoaded => ("not_loaded", format!("`{model}` was not loaded")),
        Unload::Pinned => ("pinned", format!("`{model}` is pinned and stays loaded")),
    };
    Outcome { word, note }
}
