//! `slm cp`: gives a model a second name.

use api::{CopyRequest, routes};
use http::Method;
use serde_json::json;

use crate::args::Cp;
use crate::client::Error;
use crate::context::Context;
use crate::exit::Exit;
use crate::replaced::{NameTarget, with_replaced};

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
    let client = &context.client;
    let before = NameTarget::of(client, destination).await;
    client
        .tell(Method::POST, routes::COPY, &request)
        .await
        .map_err(Error::without_fetching)?;
    let replaced = before.replaced(client).await;
    if context.out.json() {
        context.out.json_document(
            &json!({ "source": source, "destination": destination, "replaced": replaced }),
        )?;
    } else {
        let message = format!("copied `{source}` to `{destination}`");
        context
            .out
            .note(&with_replaced(&message, replaced.as_deref()));
    }
    Ok(Exit::Ok)
}
