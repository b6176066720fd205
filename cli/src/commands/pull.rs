//! `slm pull`: fetches a model.

use api::{Progress, PullRequest, routes};

use crate::args::Pull;
use crate::client::Client;
use crate::error::Interrupted;
use crate::exit::Exit;
use crate::interrupt::until_ctrl_c;
use crate::output::ProgressView;
use crate::run::Context;

/// Fetches it, and says how far it is.
pub(crate) async fn run(context: &Context, args: &Pull) -> anyhow::Result<Exit> {
    let pulling = pull(&context.client, context.out.progress(), &args.model);
    let pulled = until_ctrl_c(pulling).await;
    if pulled
        .as_ref()
        .is_err_and(|error| error.is::<Interrupted>())
    {
        let model = &args.model;
        context.out.note(&format!(
            "the pull was stopped; `slm pull {model}` starts it anew (one that another command waits for goes on)"
        ));
    }
    pulled?;
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
