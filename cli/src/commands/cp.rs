//! `slm cp`: gives a model a second name.

use api::{CopyRequest, routes};
use http::Method;
use serde_json::json;

use crate::args::Cp;
use crate::exit::Exit;
use crate::run::Context;

/// Copies the name; the weights are shared.
pub(crate) async fn run(context: &Context, args: &Cp) -> anyhow::Result<Exit> {
    let Cp {
        source,
        destination,
    } = args;
    let request = CopyRequest {
        source: source.clone(),
        destination: destination.clone(),
    };
    context
        .client
        .tell(Method::POST, routes::COPY, &request)
        .await?;
    if context.out.json() {
        context
            .out
            .json_document(&json!({ "source": source, "destination": destination }))?;
    } else {
        context
            .out
            .note(&format!("copied `{source}` to `{destination}`"));
    }
    Ok(Exit::Ok)
}
