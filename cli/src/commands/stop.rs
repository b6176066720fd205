//! `slm stop`: unloads models from memory.

use api::{GenerateEvent, GenerateRequest, KeepAlive, routes};

use super::each;
use crate::args::Models;
use crate::exit::Exit;
use crate::run::Context;

/// Unloads every model named. Without a daemon nothing is loaded, so none is started for it.
pub(crate) async fn run(context: Context, args: &Models) -> anyhow::Result<Exit> {
    let client = context.client.without_start();
    each(&context.out, &args.models, "stopped", async |model| {
        let request = GenerateRequest {
            model: model.to_owned(),
            keep_alive: Some(KeepAlive::Seconds(0.0)),
            stream: Some(false),
            ..GenerateRequest::default()
        };
        client
            .post::<GenerateEvent>(routes::GENERATE, &request)
            .await?;
        Ok(())
    })
    .await
}
