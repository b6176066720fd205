//! `slm pull`: fetches a model.

use api::{Progress, PullRequest, routes};

use crate::args::Pull;
use crate::client::Client;
use crate::exit::Exit;
use crate::output::ProgressView;
use crate::run::Context;

/// Fetches it, and says how far it is.
pub(crate) async fn run(context: &Context, args: &Pull) -> anyhow::Result<Exit> {
    pull(&context.client, context.out.progress(), &args.model).await?;
    context.out.note(&format!("`{}` is here", args.model));
    Ok(Exit::Ok)
}

/// Fetches `model`. It is also what `run` does with a model that is not here.
pub(crate) async fn pull(
    client: &Client,
    mut view: ProgressView,
    model: &str,
) -> anyhow::Result<()> {
    let request = PullRequest {
        model: model.to_owned(),
        ..PullRequest::default()
    };
    let mut events = client.stream::<Progress>(routes::PULL, &request).await?;
    while let Some(event) = events.next().await? {
        view.update(&event)?;
    }
    Ok(())
}
