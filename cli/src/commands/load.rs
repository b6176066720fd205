//! `slm load`, `slm pin` and `slm unpin`: which models stay in memory.

use std::time::Duration;

use api::{KeepAlive, LoadRequest, LoadResponse, UnloadRequest, UnpinResponse, routes};

use super::{Outcome, each};
use crate::args::{Load, Models};
use crate::context::Context;
use crate::exit::Exit;
use crate::text;

/// Loads every named model.
pub(crate) async fn load(context: &Context, args: &Load) -> anyhow::Result<Exit> {
    each(&context.out, &args.models.models, async |model| {
        let request = LoadRequest {
            model: model.to_owned(),
            keep_alive: args.keepalive.clone().map(KeepAlive::Text),
            ..LoadRequest::default()
        };
        let loaded: LoadResponse = context.client.post(routes::LOAD, &request).await?;
        let note = format!("loaded `{model}`{}", size_and_time(&loaded));
        Ok(Outcome {
            word: "loaded",
            note,
        })
    })
    .await
}

/// Loads and pins every named model.
pub(crate) async fn pin(context: &Context, args: &Models) -> anyhow::Result<Exit> {
    each(&context.out, &args.models, async |model| {
        let request = LoadRequest {
            model: model.to_owned(),
            ..LoadRequest::default()
        };
        let loaded: LoadResponse = context.client.post(routes::PIN, &request).await?;
        let note = format!("pinned `{model}`{}", size_and_time(&loaded));
        Ok(Outcome {
            word: "pinned",
            note,
        })
    })
    .await
}

/// Unpins every named model. Without a daemon nothing is pinned, so none is started.
pub(crate) async fn unpin(context: Context, args: &Models) -> anyhow::Result<Exit> {
    let client = context.client.without_start();
    each(&context.out, &args.models, async |model| {
        let request = UnloadRequest {
            model: model.to_owned(),
        };
        let unpinned: UnpinResponse = client.post(routes::UNPIN, &request).await?;
        let (word, note) = match unpinned.was_pinned {
            true => ("unpinned", format!("unpinned `{model}`")),
            false => ("not_pinned", format!("`{model}` was not pinned")),
        };
        Ok(Outcome { word, note })
    })
    .await
}

/// The size of the loaded model, and how long its load took.
fn size_and_time(response: &LoadResponse) -> String {
    let time = text::duration(Duration::from_nanos(response.load_duration));
    match response.loaded.as_ref().map(|loaded| loaded.size) {
        Some(size) if size > 0 => format!(": {} in {time}", text::bytes(size)),
        _ => format!(" in {time}"),
    }
}
