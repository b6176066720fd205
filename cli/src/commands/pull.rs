//! `slm pull`: fetches a model, or says what that would do.

use api::{Explanation, Progress, PullRequest, routes};

use super::local;
use crate::args::Pull;
use crate::client::Client;
use crate::error::{Failure, Interrupted};
use crate::exit::Exit;
use crate::interrupt::until_ctrl_c;
use crate::output::{Output, ProgressView, Table};
use crate::run::Context;
use crate::text;

/// Fetches it, and says how far it is.
pub(crate) async fn run(context: &Context, args: &Pull) -> anyhow::Result<Exit> {
    if args.model.starts_with("file:") {
        if args.explain || args.dry_run {
            let message = "a file of this machine is not fetched, so there is nothing to explain";
            return Err(Failure::usage(message).into());
        }
        until_ctrl_c(local::made(context, &args.model)).await?;
        return Ok(Exit::Ok);
    }
    let request = PullRequest {
        model: args.model.clone(),
        insecure: args.insecure.then_some(true),
        ..PullRequest::default()
    };
    if args.explain || args.dry_run {
        return explain(context, args, &request).await;
    }
    let pulling = fetch(&context.client, context.out.progress(), &request);
    let pulled = until_ctrl_c(pulling).await;
    if pulled
        .as_ref()
        .is_err_and(|error| error.is::<Interrupted>())
    {
        let model = &args.model;
        context.out.note(&format!(
            "the pull was stopped; what has come is kept, and `slm pull {model}` goes on with it (one that another command waits for goes on)"
        ));
    }
    let name = pulled?.unwrap_or_else(|| args.model.clone());
    context.out.note(&format!("`{name}` is here"));
    Ok(Exit::Ok)
}

/// Fetches `model`, and returns the name that it has in the store. It is also what `run` does with a model that is not here.
pub(crate) async fn pull(
    client: &Client,
    view: ProgressView,
    model: &str,
) -> anyhow::Result<Option<String>> {
    let request = PullRequest {
        model: model.to_owned(),
        ..PullRequest::default()
    };
    fetch(client, view, &request).await
}

async fn fetch(
    client: &Client,
    mut view: ProgressView,
    request: &PullRequest,
) -> anyhow::Result<Option<String>> {
    let mut events = client.stream::<Progress>(routes::PULL, request).await?;
    let mut name = None;
    while let Some(event) = events.next().await? {
        name = event.model.clone().or(name);
        view.update(&event)?;
    }
    Ok(name)
}

/// Shows what a pull would do.
async fn explain(context: &Context, args: &Pull, request: &PullRequest) -> anyhow::Result<Exit> {
    let found: Explanation = context.client.post(routes::EXPLAIN, request).await?;
    let out = &context.out;
    if out.json() {
        out.json_document(&found)?;
        return Ok(Exit::Ok);
    }
    if args.explain {
        out.line(&format!(
            "`{}` would come from {}",
            found.model, found.place
        ))?;
        for (number, step) in found.steps.iter().enumerate() {
            out.line(&format!("{:3}. {step}", number + 1))?;
        }
    }
    if !found.files.is_empty() {
        out.print(&table(out, &found))?;
    }
    out.line(&match found.missing {
        0 if found.files.iter().any(|file| file.size.is_none()) => {
            "the size is told when it is fetched".to_owned()
        }
        0 => "everything is here".to_owned(),
        bytes => format!("{} would be fetched", text::bytes(bytes)),
    })?;
    Ok(Exit::Ok)
}

fn table(out: &Output, found: &Explanation) -> String {
    let mut table = Table::new(&["FILE", "SIZE", "HERE", "DIGEST"], &[]);
    for file in &found.files {
        let size = file.size.map_or_else(|| "-".to_owned(), text::bytes);
        let here = match file.here {
            0 => "no".to_owned(),
            here if Some(here) == file.size => "yes".to_owned(),
            here => text::bytes(here),
        };
        let digest = file.digest.as_deref().map_or("-", text::short_digest);
        table.row([
            file.title.clone().into(),
            size.into(),
            here.into(),
            digest.to_owned().into(),
        ]);
    }
    table.render(out)
}
